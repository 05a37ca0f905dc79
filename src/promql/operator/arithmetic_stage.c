/* Vector op scalar and scalar op vector: arithmetic, and comparisons as filters or with bool. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "promql/arithmetic.h"
#include "promql/operator/binary.h"
#include "promql/operator/operator.h"

struct arithmetic_stage {
    struct row_stage base;
    struct scalar scalar;
    bool vector_is_left;
};

static struct error *arithmetic_prepare(struct row_stage *base, struct context *ctx)
{
    struct arithmetic_stage *stage = container_of(base, struct arithmetic_stage, base);
    return scalar_read(base->execution, &stage->scalar, ctx);
}

/* Takes histograms out of a row, or refuses those that would have a result. */
static struct error *leave_histograms(const struct arithmetic_stage *stage,
                                      struct step_batch *batch, size_t row)
{
    const struct plan_node *node = stage->base.node;
    struct histogram **histograms = step_batch_histograms(batch, row);
    uint64_t *present = step_batch_present(batch, row);
    bool left = stage->vector_is_left, any = false;
    for (uint32_t step = batch->first[row]; step < batch->last[row]; step++) {
        if (!step_bit_get(present, step) || !histograms[step])
            continue;
        step_bit_clear(present, step);
        any = true;
    }
    if (!any)
        return NULL;
    if (binary_pair(node->binary.op, left, !left) == PAIR_UNSUPPORTED)
        return binary_unsupported(node);
    binary_note_incompatible(stage->base.execution, node, left, !left);
    step_batch_trim_row(batch, row);
    return NULL;
}

static void compare_row(const struct arithmetic_stage *stage, struct step_batch *batch, size_t row,
                        uint64_t *kept)
{
    const struct plan_binary *binary = &stage->base.node->binary;
    double *values = step_batch_values(batch, row);
    const double *left = stage->vector_is_left ? values : stage->scalar.values;
    const double *right = stage->vector_is_left ? stage->scalar.values : values;
    size_t first = batch->first[row], last = batch->last[row];
    arithmetic_compare(binary->op, left, right, first, last, kept);
    if (binary->is_bool) {
        for (size_t step = first; step < last; step++)
            values[step] = step_bit_get(kept, step);
        return;
    }
    uint64_t *present = step_batch_present(batch, row);
    for (size_t word = first / 64; word * 64 < last; word++)
        present[word] &= kept[word];
    step_batch_trim_row(batch, row);
}

static void compute_row(const struct arithmetic_stage *stage, struct step_batch *batch, size_t row)
{
    size_t first = batch->first[row], count = batch->last[row] - first;
    double *values = step_batch_values(batch, row) + first;
    const double *scalar = stage->scalar.values + first;
    arithmetic_columns(stage->base.node->binary.op, stage->vector_is_left ? values : scalar,
                       stage->vector_is_left ? scalar : values, values, count);
}

static struct error *arithmetic_apply(const struct row_stage *base, struct context *ctx,
                                      struct arena *arena, struct step_batch **batch_at)
{
    const struct arithmetic_stage *stage = container_of(base, struct arithmetic_stage, base);
    const struct plan_binary *binary = &base->node->binary;
    struct step_batch *batch = *batch_at;
    uint64_t *kept = arena_alloc(arena, (step_grid_words(batch->grid) + 1) * sizeof(*kept));
    for (size_t row = 0; row < batch->row_count; row++) {
        struct error *err = batch->histograms ? leave_histograms(stage, batch, row) : NULL;
        if (err)
            return err;
        if (batch->first[row] == batch->last[row])
            continue;
        if (binary_op_is_trim(binary->op)) {
            binary_note_incompatible(base->execution, base->node, false, false);
            step_batch_clear_row(batch, row);
        } else if (binary_op_is_comparison(binary->op)) {
            compare_row(stage, batch, row, kept);
        } else {
            compute_row(stage, batch, row);
        }
    }
    batch->histograms = NULL;
    if (!binary_op_is_comparison(binary->op) || binary->is_bool)
        step_batch_drop_names(batch);
    return NULL;
}

static void arithmetic_explain(const struct row_stage *base, struct buf *out)
{
    struct arithmetic_stage *stage =
        container_of((struct row_stage *)base, struct arithmetic_stage, base);
    buf_printf(out, "%s%s ", stage->vector_is_left ? "" : "swapped ",
               binary_op_text(base->node->binary.op));
    operator_explain(stage->scalar.op, out);
}

static void arithmetic_free(struct row_stage *base)
{
    struct arithmetic_stage *stage = container_of(base, struct arithmetic_stage, base);
    scalar_deinit(&stage->scalar);
    free(stage);
}

static const struct row_stage_ops arithmetic_ops = {arithmetic_prepare, arithmetic_apply,
                                                    arithmetic_explain, arithmetic_free};

struct row_stage *arithmetic_stage_create(struct execution *execution, const struct plan_node *node,
                                          struct operator* scalar, bool vector_is_left)
{
    struct arithmetic_stage *stage = xcalloc(1, sizeof(*stage));
    stage->base = (struct row_stage){&arithmetic_ops, execution, node, node->grid, NULL};
    stage->scalar.op = scalar;
    stage->vector_is_left = vector_is_left;
    return &stage->base;
}
