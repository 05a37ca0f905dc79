/* absent() and absent_over_time(): a row with 1 at the steps where the input has nothing. */
#include <stdlib.h>

#include "base/memory.h"
#include "promql/operator/operator.h"

struct absent {
    struct operator base;
    struct execution *execution;
    const struct plan_node *node;
    struct operator* input;
    struct arena *arena;
    uint64_t *seen;
    bool is_given;
};

static struct error *absent_fold(void *self, struct context *ctx, struct step_batch *batch,
                                 struct arena *arena)
{
    struct absent *absent = self;
    size_t words = step_grid_words(batch->grid);
    for (size_t row = 0; row < batch->row_count; row++) {
        const uint64_t *present = step_batch_present(batch, row);
        for (size_t word = 0; word < words; word++)
            absent->seen[word] |= present[word];
    }
    return NULL;
}

static struct error *absent_next(struct operator* base, struct context *ctx, struct arena *arena,
                                 struct step_batch **out)
{
    struct absent *absent = container_of(base, struct absent, base);
    if (absent->is_given)
        return NULL;
    absent->is_given = true;
    struct step_batch *batch;
    struct error *err = operator_drain(absent->input, absent->execution, ctx, absent_fold, absent);
    if (!err)
        err = step_batch_create(arena, base->grid, 1, &batch);
    if (err)
        return err;
    batch->labels[0] = absent->node->call.absent_labels;
    for (size_t step = 0; step < base->grid->count; step++) {
        batch->values[step] = 1;
        if (!step_bit_get(absent->seen, step))
            step_bit_set(batch->present, step);
    }
    step_batch_trim_row(batch, 0);
    step_batch_drop_empty_rows(batch);
    *out = batch;
    return NULL;
}

static void absent_explain(struct operator* base, struct buf *out)
{
    operator_explain(container_of(base, struct absent, base)->input, out);
    buf_append_cstr(out, " | absent");
}

static void absent_free(struct operator* base)
{
    struct absent *absent = container_of(base, struct absent, base);
    operator_free(absent->input);
    arena_unref(absent->arena);
    free(absent);
}

static const struct operator_ops absent_ops = {absent_next, absent_explain, absent_free};

struct operator*
    absent_create(struct execution *execution, const struct plan_node *node, struct operator* input)
{
    struct absent *absent = xcalloc(1, sizeof(*absent));
    absent->base = (struct operator){&absent_ops, node->grid};
    absent->execution = execution;
    absent->node = node;
    absent->input = input;
    absent->arena = arena_create(execution->budget);
    absent->seen = arena_zalloc(absent->arena, (step_grid_words(node->grid) + 1) * 8);
    return &absent->base;
}
