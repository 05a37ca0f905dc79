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

/* The pair of a sample with the scalar. */
struct pair {
    struct operand left, right;
};

static struct pair pair_of(const struct arithmetic_stage *stage, double value,
                           const struct histogram *histogram, double scalar)
{
    struct operand vector = {value, histogram}, other = {scalar, NULL};
    return stage->vector_is_left ? (struct pair){vector, other} : (struct pair){other, vector};
}

/* Computes the histograms of a row; those without a result fall out. The bits of the others are
 * moved to `kept`, so that floats are left alone. */
static void compute_histograms(const struct arithmetic_stage *stage, struct step_batch *batch,
                               size_t row, uint64_t *kept, struct arena *arena)
{
    enum binary_op op = stage->base.node->binary.op;
    struct histogram **histograms = step_batch_histograms(batch, row);
    uint64_t *present = step_batch_present(batch, row);
    uint64_t told = 0; /* a bit for each note: once a row is enough */
    for (uint32_t step = batch->first[row]; step < batch->last[row]; step++) {
        if (!step_bit_get(present, step) || !histograms[step])
            continue;
        struct pair pair = pair_of(stage, 0, histograms[step], stage->scalar.values[step]);
        step_bit_clear(present, step);
        enum binary_note note = binary_refusal(op, &pair.left, &pair.right);
        if (note == BINARY_NOTE_NONE) {
            histograms[step] = binary_histogram(op, &pair.left, &pair.right, arena, &note);
            step_bit_set(kept, step);
        }
        if (!(told >> note & 1))
            binary_tell(stage->base.execution, stage->base.node, note);
        told |= (uint64_t)1 << note;
    }
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

static void apply_to_floats(const struct arithmetic_stage *stage, struct step_batch *batch,
                            size_t row, uint64_t *kept)
{
    enum binary_op op = stage->base.node->binary.op;
    if (batch->first[row] == batch->last[row])
        return;
    if (binary_op_is_trim(op)) {
        binary_tell(stage->base.execution, stage->base.node, BINARY_NOTE_FLOATS);
        memset(step_batch_present(batch, row), 0, step_grid_words(batch->grid) * sizeof(*kept));
        batch->first[row] = batch->last[row] = 0;
    } else if (binary_op_is_comparison(op)) {
        compare_row(stage, batch, row, kept);
    } else {
        compute_row(stage, batch, row);
    }
}

static void apply_to_row(const struct arithmetic_stage *stage, struct step_batch *batch, size_t row,
                         uint64_t *kept, uint64_t *computed, struct arena *arena)
{
    size_t words = step_grid_words(batch->grid);
    if (!batch->histograms) {
        apply_to_floats(stage, batch, row, kept);
        return;
    }
    memset(computed, 0, words * sizeof(*computed));
    compute_histograms(stage, batch, row, computed, arena);
    step_batch_trim_row(batch, row);
    apply_to_floats(stage, batch, row, kept);
    for (size_t word = 0; word < words; word++)
        step_batch_present(batch, row)[word] |= computed[word];
    step_batch_trim_row(batch, row);
}

static struct error *arithmetic_apply(const struct row_stage *base, struct context *ctx,
                                      struct arena *arena, struct step_batch **batch_at)
{
    const struct arithmetic_stage *stage = container_of(base, struct arithmetic_stage, base);
    const struct plan_binary *binary = &base->node->binary;
    struct step_batch *batch = *batch_at;
    size_t words = step_grid_words(batch->grid) + 1;
    uint64_t *kept = arena_array(arena, words, sizeof(*kept));
    uint64_t *computed = batch->histograms ? arena_array(arena, words, sizeof(*kept)) : NULL;
    struct error *err = NULL;
    for (size_t row = 0; row < batch->row_count && !err; row++) {
        apply_to_row(stage, batch, row, kept, computed, arena);
        err = batch->histograms ? arena_status(arena) : NULL;
    }
    bool keeps_names =
        binary_op_is_trim(binary->op) || (binary_op_is_comparison(binary->op) && !binary->is_bool);
    if (!keeps_names)
        step_batch_drop_names(batch);
    return err;
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
