/* What does not depend on the step: computed once, then the same at every step. */
#include <stdlib.h>

#include "base/memory.h"
#include "promql/operator/operator.h"

static void repeat_row(const struct step_batch *from, struct step_batch *to, size_t row)
{
    to->labels[row] = from->labels[row];
    to->drop_name[row] = from->drop_name[row];
    if (from->first[row] == from->last[row])
        return;
    double value = *step_batch_values(from, row);
    double *values = step_batch_values(to, row);
    uint64_t *present = step_batch_present(to, row);
    for (size_t step = 0; step < to->grid->count; step++) {
        values[step] = value;
        step_bit_set(present, step);
    }
    to->last[row] = (uint32_t)to->grid->count;
    if (!from->histograms)
        return;
    struct histogram *histogram = *step_batch_histograms(from, row);
    for (size_t step = 0; step < to->grid->count; step++)
        step_batch_histograms(to, row)[step] = histogram;
}

static struct error *step_invariant_apply(const struct row_stage *base, struct context *ctx,
                                          struct arena *arena, struct step_batch **batch_at)
{
    struct step_batch *from = *batch_at, *to;
    struct error *err = step_batch_create(arena, base->grid, from->row_count, &to);
    if (!err && from->histograms)
        err = step_batch_add_histograms(to, arena);
    if (err)
        return err;
    for (size_t row = 0; row < from->row_count; row++)
        repeat_row(from, to, row);
    to->sequence = from->sequence;
    *batch_at = to;
    return NULL;
}

static void step_invariant_explain(const struct row_stage *base, struct buf *out)
{
    buf_append_cstr(out, "step invariant");
}

static void step_invariant_free(struct row_stage *stage)
{
    free(stage);
}

static const struct row_stage_ops step_invariant_ops = {
    NULL, step_invariant_apply, step_invariant_explain, step_invariant_free};

struct row_stage *step_invariant_stage_create(struct execution *execution,
                                              const struct plan_node *node)
{
    struct row_stage *stage = xcalloc(1, sizeof(*stage));
    *stage = (struct row_stage){&step_invariant_ops, execution, node, node->grid, NULL};
    return stage;
}
