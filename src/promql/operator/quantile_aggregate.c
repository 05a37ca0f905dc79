/* quantile(): all rows of a group have to be there before a step can be computed. */
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "promql/operator/groups.h"
#include "promql/operator/operator.h"
#include "promql/quantile.h"
#include "promql/row_store.h"

struct quantile_group {
    struct group base;
    struct stored_row *first, **last; /* by stored_row.next */
    size_t row_count;
};

struct quantile {
    struct operator base;
    struct execution *execution;
    const struct plan_node *node;
    struct operator* input;
    struct scalar param;
    struct groups groups;
    struct row_store rows;
    bool is_folded;
    size_t given;
};

static struct error *quantile_fold(void *self, struct context *ctx, struct step_batch *batch,
                                   struct arena *arena)
{
    struct quantile *quantile = self;
    if (step_batch_has_histograms(batch))
        annotations_add(quantile->execution->annotations, ANNOTATION_INFO,
                        quantile->node->aggregate.input->position,
                        "ignored histogram in quantile aggregation");
    step_batch_drop_histograms(batch);
    for (size_t row = 0; row < batch->row_count; row++) {
        struct group *base;
        struct stored_row *stored;
        struct error *err = groups_find(&quantile->groups, batch, row, &base);
        if (!err)
            err = row_store_add(&quantile->rows, batch, row, arena, &stored);
        if (err)
            return err;
        struct quantile_group *group = container_of(base, struct quantile_group, base);
        if (!group->last)
            group->last = &group->first;
        *group->last = stored;
        group->last = &stored->next;
        group->row_count++;
        base->drop_name |= batch->drop_name[row];
    }
    return NULL;
}

static void warn_of_param(const struct quantile *quantile)
{
    char text[ANNOTATION_FLOAT_MAX];
    double least = 0, most = 1;
    bool any_nan = false;
    for (size_t step = 0; step < quantile->base.grid->count; step++) {
        least = fmin(least, quantile->param.values[step]);
        most = fmax(most, quantile->param.values[step]);
        any_nan |= isnan(quantile->param.values[step]);
    }
    double bad[] = {any_nan ? NAN : most, any_nan ? NAN : least}; /* NaN hides the others */
    for (size_t i = 0; i < countof(bad); i++) {
        if (!(bad[i] >= 0 && bad[i] <= 1))
            annotations_add_of_argument(
                quantile->execution->annotations, ANNOTATION_WARNING,
                quantile->node->aggregate.param->position, quantile->node->position,
                "quantile value should be between 0 and 1, got %s", annotation_float(text, bad[i]));
    }
}

static void group_write(const struct quantile *quantile, const struct quantile_group *group,
                        struct step_batch *batch, size_t row, double *scratch)
{
    double *values = step_batch_values(batch, row);
    batch->labels[row] = group->base.labels;
    batch->drop_name[row] = quantile->execution->delayed_names && group->base.drop_name;
    for (size_t step = 0; step < batch->grid->count; step++) {
        size_t count = 0;
        for (const struct stored_row *stored = group->first; stored; stored = stored->next) {
            if (stored_has(stored, step))
                scratch[count++] = stored->values[step - stored->first];
        }
        values[step] = 0;
        if (count == 0)
            continue;
        values[step] = quantile_of(quantile->param.values[step], scratch, count);
        step_bit_set(step_batch_present(batch, row), step);
    }
    step_batch_trim_row(batch, row);
}

static struct error *write_groups(struct quantile *quantile, struct arena *arena,
                                  struct step_batch *batch)
{
    for (size_t row = 0; row < batch->row_count; row++) {
        struct quantile_group *group = container_of(
            quantile->groups.items.items[quantile->given + row], struct quantile_group, base);
        double *scratch = arena_try_alloc(arena, (group->row_count + 1) * sizeof(*scratch));
        if (!scratch)
            return arena_status(arena);
        group_write(quantile, group, batch, row, scratch);
    }
    quantile->given += batch->row_count;
    step_batch_drop_empty_rows(batch);
    return NULL;
}

static struct error *quantile_next(struct operator* base, struct context *ctx, struct arena *arena,
                                   struct step_batch **out)
{
    struct quantile *quantile = container_of(base, struct quantile, base);
    struct error *err = NULL;
    if (!quantile->is_folded) {
        quantile->is_folded = true;
        err = scalar_read(quantile->execution, &quantile->param, ctx);
        if (!err)
            warn_of_param(quantile);
        if (!err)
            err =
                operator_drain(quantile->input, quantile->execution, ctx, quantile_fold, quantile);
    }
    size_t rows =
        size_min(quantile->groups.items.len - quantile->given, step_batch_rows_max(base->grid));
    if (err || rows == 0)
        return err;
    err = step_batch_create(arena, base->grid, rows, out);
    if (!err)
        err = write_groups(quantile, arena, *out);
    if (err)
        *out = NULL;
    return err;
}

static void quantile_explain(struct operator* base, struct buf *out)
{
    operator_explain(container_of(base, struct quantile, base)->input, out);
    buf_append_cstr(out, " | quantile");
}

static void quantile_free(struct operator* base)
{
    struct quantile *quantile = container_of(base, struct quantile, base);
    operator_free(quantile->input);
    scalar_deinit(&quantile->param);
    row_store_deinit(&quantile->rows);
    groups_deinit(&quantile->groups);
    free(quantile);
}

static const struct operator_ops quantile_ops = {quantile_next, quantile_explain, quantile_free};

struct operator* quantile_create(struct execution *execution, const struct plan_node *node,
                                 struct operator* input, struct operator* param)
{
    struct quantile *quantile = xcalloc(1, sizeof(*quantile));
    quantile->base = (struct operator){&quantile_ops, node->grid};
    quantile->execution = execution;
    quantile->node = node;
    quantile->input = input;
    quantile->param.op = param;
    groups_init(&quantile->groups, execution, &node->aggregate, sizeof(struct quantile_group));
    row_store_init(&quantile->rows, execution, node->grid);
    return &quantile->base;
}
