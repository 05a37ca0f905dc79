/* From the plan's nodes to operators. */
#include <math.h>

#include "base/memory.h"
#include "promql/arithmetic.h"
#include "promql/operator/operator.h"
#include "promql/operator/share.h"
#include "promql/window.h"

enum { SCALAR_ARGS_MAX = 10 }; /* histogram_quantiles() has that many */

struct scalar_args {
    struct operator* items[SCALAR_ARGS_MAX];
    size_t count;
};

static void scalar_args_free(struct scalar_args *args)
{
    for (size_t i = 0; i < args->count; i++)
        operator_free(args->items[i]);
    args->count = 0;
}

/* Operators for all arguments of type scalar, in their order. */
static struct error *build_scalar_args(struct execution *execution, const struct plan_node *call,
                                       struct scalar_args *args)
{
    *args = (struct scalar_args){0};
    for (size_t i = 0; i < call->call.arg_count; i++) {
        if (call->call.args[i]->type != VALUE_SCALAR || args->count == SCALAR_ARGS_MAX)
            continue;
        struct error *err =
            operator_build(execution, call->call.args[i], &args->items[args->count]);
        if (err) {
            scalar_args_free(args);
            return err;
        }
        args->count++;
    }
    return NULL;
}

static struct error *not_supported(const struct plan_node *call)
{
    return error_create(ERROR_QUERY, "%.*s() is not supported yet",
                        STR_ARG(call->call.function->name));
}

/* ---- selectors and windows ---- */

static struct error *build_selector(struct execution *execution, const struct plan_node *node,
                                    const struct plan_node *call, struct scalar_args *scalars,
                                    struct operator** out)
{
    *out = NULL;
    struct error *err = NULL;
    err = selector_create(execution, node, call, scalars->items, scalars->count, out);
    if (err) {
        operator_free(*out);
        *out = NULL;
    }
    return err;
}

static const struct plan_node *range_arg(const struct plan_node *call)
{
    for (size_t i = 0; i < call->call.arg_count; i++) {
        if (call->call.args[i]->type == VALUE_MATRIX)
            return call->call.args[i];
    }
    bug("%.*s() has no range vector", STR_ARG(call->call.function->name));
}

static struct error *build_window(struct execution *execution, const struct plan_node *call,
                                  struct operator** out)
{
    const struct plan_node *range = range_arg(call);
    struct scalar_args scalars;
    if (!window_has_function(call->call.function->id))
        return not_supported(call);
    if (call->call.function->extended && range->kind != PLAN_SELECTOR)
        return error_create(ERROR_QUERY, "%.*s() of a subquery is not supported",
                            STR_ARG(call->call.function->name));
    struct error *err = build_scalar_args(execution, call, &scalars);
    if (err)
        return err;
    if (range->kind == PLAN_SELECTOR)
        return build_selector(execution, range, call, &scalars, out);
    struct operator* input;
    err = operator_build(execution, range->subquery.input, &input);
    if (err) {
        scalar_args_free(&scalars);
        return err;
    }
    *out = operator_with_stage(
        input, subquery_stage_create(execution, range, call, scalars.items, scalars.count));
    return NULL;
}

/* ---- calls ---- */

static struct error *build_scalar_call(struct execution *execution, const struct plan_node *node,
                                       struct operator** out)
{
    struct scalar_args args;
    struct error *err = NULL;
    switch (node->call.function->id) {
    case FUNCTION_PI:
        *out = number_create(node->grid, M_PI);
        return NULL;
    case FUNCTION_TIME:
        *out = time_create(node->grid);
        return NULL;
    case FUNCTION_MAX_OF:
    case FUNCTION_MIN_OF:
        err = build_scalar_args(execution, node, &args);
        if (!err)
            *out = scalar_binary_create(execution, node, args.items[0], args.items[1]);
        return err;
    default:
        return not_supported(node);
    }
}

/* Functions of one vector and perhaps scalars. */
static struct error *build_vector_call(struct execution *execution, const struct plan_node *node,
                                       struct operator** out)
{
    const struct plan_node *vector = NULL;
    for (size_t i = 0; i < node->call.arg_count && !vector; i++) {
        if (node->call.args[i]->type == VALUE_VECTOR)
            vector = node->call.args[i];
    }
    if (!vector)
        return not_supported(node);
    struct scalar_args scalars;
    struct operator* input;
    struct error *err = build_scalar_args(execution, node, &scalars);
    if (err)
        return err;
    err = operator_build(execution, vector, &input);
    if (err) {
        scalar_args_free(&scalars);
        return err;
    }
    if (node->call.function->class == FUNCTION_HISTOGRAMS)
        *out = histogram_call_create(execution, node, input, scalars.items, scalars.count);
    else
        *out = operator_with_stage(
            input, values_stage_create(execution, node, scalars.items, scalars.count));
    return NULL;
}

static struct error *build_labels_call(struct execution *execution, const struct plan_node *node,
                                       struct operator** out)
{
    struct row_stage *stage;
    struct error *err = labels_stage_create(execution, node, &stage);
    if (!err)
        err = operator_build(execution, node->call.args[0], out);
    if (err) {
        stage->ops->free(stage);
        return err;
    }
    *out = operator_with_stage(*out, stage);
    return NULL;
}

static struct error *build_info(struct execution *execution, const struct plan_node *node,
                                struct operator** out)
{
    struct operator* series;
    struct error *err = operator_build(execution, node->call.args[0], out);
    if (err)
        return err;
    err = operator_build(execution, node->call.args[1], &series);
    if (err)
        operator_free(*out);
    else
        *out = info_create(execution, node, *out, series);
    return err;
}

static struct error *build_special_call(struct execution *execution, const struct plan_node *node,
                                        struct operator** out)
{
    struct error *err = NULL;
    switch (node->call.function->id) {
    case FUNCTION_VECTOR:
        return operator_build(execution, node->call.args[0], out);
    case FUNCTION_SCALAR:
        err = operator_build(execution, node->call.args[0], out);
        if (!err)
            *out = scalar_of_vector_create(execution, node, *out);
        return err;
    case FUNCTION_ABSENT:
        err = operator_build(execution, node->call.args[0], out);
        if (!err)
            *out = absent_create(execution, node, *out);
        return err;
    case FUNCTION_ABSENT_OVER_TIME:
        err = build_window(execution, node, out);
        if (!err)
            *out = absent_create(execution, node, *out);
        return err;
    case FUNCTION_TIMESTAMP:
    case FUNCTION_START_TIMESTAMP:
        return build_vector_call(execution, node, out);
    case FUNCTION_INFO:
        return build_info(execution, node, out);
    default:
        return not_supported(node);
    }
}

static struct error *build_call(struct execution *execution, const struct plan_node *node,
                                struct operator** out)
{
    struct error *err = NULL;
    switch (node->call.function->class) {
    case FUNCTION_SCALARS:
        return build_scalar_call(execution, node, out);
    case FUNCTION_VALUES:
    case FUNCTION_HISTOGRAMS:
        return build_vector_call(execution, node, out);
    case FUNCTION_WINDOWS:
        return build_window(execution, node, out);
    case FUNCTION_LABELS:
        return build_labels_call(execution, node, out);
    case FUNCTION_SORTS:
        err = operator_build(execution, node->call.args[0], out);
        if (!err)
            *out = sort_create(execution, node, *out);
        return err;
    case FUNCTION_SPECIAL:
        return build_special_call(execution, node, out);
    }
    return not_supported(node);
}

/* ---- binary operators and aggregations ---- */

static struct error *build_binary(struct execution *execution, const struct plan_node *node,
                                  struct operator** out)
{
    const struct plan_binary *binary = &node->binary;
    struct operator* left, *right;
    if (node->type == VALUE_SCALAR && binary_op_is_trim(binary->op))
        return error_create(ERROR_QUERY, "operator \"%s\" not allowed for Scalar operations",
                            binary_op_text(binary->op));
    struct error *err = operator_build(execution, binary->left, &left);
    if (err)
        return err;
    err = operator_build(execution, binary->right, &right);
    if (err) {
        operator_free(left);
        return err;
    }
    bool left_is_vector = binary->left->type == VALUE_VECTOR;
    bool right_is_vector = binary->right->type == VALUE_VECTOR;
    if (left_is_vector && right_is_vector)
        *out = binary_op_is_set(binary->op) ? set_create(execution, node, left, right)
                                            : join_create(execution, node, left, right);
    else if (left_is_vector)
        *out = operator_with_stage(left, arithmetic_stage_create(execution, node, right, true));
    else if (right_is_vector)
        *out = operator_with_stage(right, arithmetic_stage_create(execution, node, left, false));
    else
        *out = scalar_binary_create(execution, node, left, right);
    return NULL;
}

/* Takes both operators. */
static struct error *aggregate_with(struct execution *execution, const struct plan_node *node,
                                    struct operator* input, struct operator* param,
                                    struct operator** out)
{
    struct error *err = NULL;
    switch (node->aggregate.op) {
    case AGGREGATE_TOPK:
    case AGGREGATE_BOTTOMK:
    case AGGREGATE_LIMITK:
        *out = pick_create(execution, node, input, param);
        break;
    case AGGREGATE_LIMIT_RATIO:
        *out = operator_with_stage(input, limit_ratio_stage_create(execution, node, param));
        break;
    case AGGREGATE_QUANTILE:
        *out = quantile_create(execution, node, input, param);
        break;
    case AGGREGATE_COUNT_VALUES:
        err = count_values_create(execution, node, input, out);
        if (err)
            operator_free(*out);
        break;
    default:
        *out = aggregate_create(execution, node, input);
        break;
    }
    return err;
}

static struct error *build_aggregate(struct execution *execution, const struct plan_node *node,
                                     struct operator** out)
{
    const struct plan_node *param = node->aggregate.param;
    struct operator* input, *scalar = NULL;
    struct error *err = node->aggregate.share
                            ? share_end_create(execution, node->aggregate.share, &input)
                            : operator_build(execution, node->aggregate.input, &input);
    if (err)
        return err;
    if (param && param->type == VALUE_SCALAR)
        err = operator_build(execution, param, &scalar);
    if (err) {
        operator_free(input);
        return err;
    }
    return aggregate_with(execution, node, input, scalar, out);
}

/* ---- nodes that only wrap another ---- */

static struct error *build_wrapper(struct execution *execution, const struct plan_node *node,
                                   struct operator** out)
{
    const struct plan_node *input = node->kind == PLAN_NEGATE           ? node->negate
                                    : node->kind == PLAN_STEP_INVARIANT ? node->step_invariant.input
                                                                        : node->merge_rows.input;
    struct error *err = operator_build(execution, input, out);
    if (err)
        return err;
    if (node->kind == PLAN_NEGATE)
        *out = operator_with_stage(*out, values_stage_create(execution, node, NULL, 0));
    else if (node->kind == PLAN_STEP_INVARIANT)
        *out = operator_with_stage(*out, step_invariant_stage_create(execution, node));
    else
        *out = merge_rows_create(execution, node, *out);
    return NULL;
}

struct error *operator_build(struct execution *execution, const struct plan_node *node,
                             struct operator** out)
{
    struct scalar_args none = {0};
    *out = NULL;
    struct error *err = execution_check_grid(execution, node->grid);
    if (err)
        return err;
    if (node->grid->count == 0 && node->type == VALUE_VECTOR) {
        *out = empty_create(node->grid);
        return NULL;
    }
    switch (node->kind) {
    case PLAN_NUMBER:
        *out = number_create(node->grid, node->number);
        return NULL;
    case PLAN_SELECTOR:
        return build_selector(execution, node, NULL, &none, out);
    case PLAN_REMOTE:
        *out = remote_create(execution, node);
        return NULL;
    case PLAN_NEGATE:
    case PLAN_STEP_INVARIANT:
    case PLAN_MERGE_ROWS:
        return build_wrapper(execution, node, out);
    case PLAN_BINARY:
        return build_binary(execution, node, out);
    case PLAN_AGGREGATE:
        return build_aggregate(execution, node, out);
    case PLAN_CALL:
        return build_call(execution, node, out);
    case PLAN_STRING:
    case PLAN_SUBQUERY:
        break;
    }
    bug("node %d has no operator of its own", (int)node->kind);
}
