/* Operators of type scalar: one row without labels that is present at each step of the grid. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "promql/arithmetic.h"
#include "promql/operator/operator.h"

static struct error *scalar_batch(struct arena *arena, const struct step_grid *grid,
                                  struct step_batch **out)
{
    struct error *err = step_batch_create(arena, grid, 1, out);
    if (err)
        return err;
    for (size_t step = 0; step < grid->count; step++)
        step_bit_set((*out)->present, step);
    (*out)->last[0] = (uint32_t)grid->count;
    return NULL;
}

/* ---- literals and time() ---- */

struct number {
    struct operator base;
    double value;
    bool is_time, is_given;
};

static struct error *number_next(struct operator* base, struct context *ctx, struct arena *arena,
                                 struct step_batch **out)
{
    struct number *number = container_of(base, struct number, base);
    *out = NULL;
    if (number->is_given)
        return NULL;
    number->is_given = true;
    struct error *err = scalar_batch(arena, base->grid, out);
    if (err)
        return err;
    for (size_t step = 0; step < base->grid->count; step++)
        (*out)->values[step] =
            number->is_time ? (double)step_grid_time(base->grid, step) / 1000 : number->value;
    return NULL;
}

static void number_explain(struct operator* base, struct buf *out)
{
    struct number *number = container_of(base, struct number, base);
    if (number->is_time)
        buf_append_cstr(out, "time");
    else
        buf_printf(out, "number %g", number->value);
}

static void number_free(struct operator* base)
{
    free(container_of(base, struct number, base));
}

static const struct operator_ops number_ops = {number_next, number_explain, number_free};

struct operator* number_create(const struct step_grid *grid, double value)
{
    struct number *number = xcalloc(1, sizeof(*number));
    *number = (struct number){.base = {&number_ops, grid}, .value = value};
    return &number->base;
}

struct operator* time_create(const struct step_grid *grid)
{
    struct number *number = xcalloc(1, sizeof(*number));
    *number = (struct number){.base = {&number_ops, grid}, .is_time = true};
    return &number->base;
}

/* ---- scalar op scalar, max_of(), min_of() ---- */

struct scalar_binary {
    struct operator base;
    struct execution *execution;
    const struct plan_node *node;
    struct scalar left, right;
    bool is_given;
};

static void scalar_compute(const struct plan_node *node, double *values, const double *left,
                           const double *right, size_t count)
{
    if (node->kind == PLAN_BINARY) {
        for (size_t i = 0; i < count; i++)
            values[i] = arithmetic_scalars(node->binary.op, left[i], right[i]);
    } else {
        bool is_max = node->call.function->id == FUNCTION_MAX_OF;
        for (size_t i = 0; i < count; i++)
            values[i] = is_max ? float_max(left[i], right[i]) : float_min(left[i], right[i]);
    }
}

static struct error *scalar_binary_next(struct operator* base, struct context *ctx,
                                        struct arena *arena, struct step_batch **out)
{
    struct scalar_binary *binary = container_of(base, struct scalar_binary, base);
    *out = NULL;
    if (binary->is_given)
        return NULL;
    binary->is_given = true;
    struct error *err = scalar_read(binary->execution, &binary->left, ctx);
    if (!err)
        err = scalar_read(binary->execution, &binary->right, ctx);
    if (!err)
        err = scalar_batch(arena, base->grid, out);
    if (!err)
        scalar_compute(binary->node, (*out)->values, binary->left.values, binary->right.values,
                       base->grid->count);
    return err;
}

static void scalar_binary_explain(struct operator* base, struct buf *out)
{
    struct scalar_binary *binary = container_of(base, struct scalar_binary, base);
    buf_append_cstr(out, "(");
    operator_explain(binary->left.op, out);
    buf_printf(out, " %s ",
               binary->node->kind == PLAN_BINARY ? binary_op_text(binary->node->binary.op) : ",");
    operator_explain(binary->right.op, out);
    buf_append_cstr(out, ")");
}

static void scalar_binary_free(struct operator* base)
{
    struct scalar_binary *binary = container_of(base, struct scalar_binary, base);
    scalar_deinit(&binary->left);
    scalar_deinit(&binary->right);
    free(binary);
}

static const struct operator_ops scalar_binary_ops = {scalar_binary_next, scalar_binary_explain,
                                                      scalar_binary_free};

struct operator* scalar_binary_create(struct execution *execution, const struct plan_node *node,
                                      struct operator* left, struct operator* right)
{
    struct scalar_binary *binary = xcalloc(1, sizeof(*binary));
    *binary = (struct scalar_binary){
        .base = {&scalar_binary_ops, node->grid},
        .execution = execution,
        .node = node,
        .left.op = left,
        .right.op = right,
    };
    return &binary->base;
}

/* ---- scalar(): the only float of each step, NaN where there are none or several ---- */

struct scalar_of_vector {
    struct operator base;
    struct execution *execution;
    struct operator* input;
    bool is_given;
};

struct only_value {
    double *values;
    uint64_t *seen, *several; /* a value was there; more than one */
};

static struct error *take_only(void *self, struct context *ctx, struct step_batch *batch,
                               struct arena *arena)
{
    struct only_value *only = self;
    for (size_t row = 0; row < batch->row_count; row++) {
        const double *from = step_batch_values(batch, row);
        const uint64_t *present = step_batch_present(batch, row);
        struct histogram **histograms = step_batch_histograms(batch, row);
        for (uint32_t step = batch->first[row]; step < batch->last[row]; step++) {
            if (!step_bit_get(present, step) || (histograms && histograms[step]))
                continue;
            if (step_bit_get(only->seen, step))
                step_bit_set(only->several, step);
            step_bit_set(only->seen, step);
            only->values[step] = from[step];
        }
    }
    return NULL;
}

static struct error *scalar_of_vector_next(struct operator* base, struct context *ctx,
                                           struct arena *arena, struct step_batch **out)
{
    struct scalar_of_vector *scalar = container_of(base, struct scalar_of_vector, base);
    *out = NULL;
    if (scalar->is_given)
        return NULL;
    scalar->is_given = true;
    struct step_batch *batch;
    struct error *err = scalar_batch(arena, base->grid, &batch);
    if (err)
        return err;
    size_t bytes = (step_grid_words(base->grid) + 1) * sizeof(uint64_t);
    struct only_value only = {batch->values, arena_zalloc(arena, bytes),
                              arena_zalloc(arena, bytes)};
    err = operator_drain(scalar->input, scalar->execution, ctx, take_only, &only);
    if (err)
        return err;
    for (size_t step = 0; step < base->grid->count; step++) {
        if (!step_bit_get(only.seen, step) || step_bit_get(only.several, step))
            batch->values[step] = NAN;
    }
    *out = batch;
    return NULL;
}

static void scalar_of_vector_explain(struct operator* base, struct buf *out)
{
    operator_explain(container_of(base, struct scalar_of_vector, base)->input, out);
    buf_append_cstr(out, " | scalar");
}

static void scalar_of_vector_free(struct operator* base)
{
    struct scalar_of_vector *scalar = container_of(base, struct scalar_of_vector, base);
    operator_free(scalar->input);
    free(scalar);
}

static const struct operator_ops scalar_of_vector_ops = {
    scalar_of_vector_next, scalar_of_vector_explain, scalar_of_vector_free};

struct operator* scalar_of_vector_create(struct execution *execution, const struct plan_node *node,
                                         struct operator* input)
{
    struct scalar_of_vector *scalar = xcalloc(1, sizeof(*scalar));
    *scalar = (struct scalar_of_vector){
        .base = {&scalar_of_vector_ops, node->grid}, .execution = execution, .input = input};
    return &scalar->base;
}
