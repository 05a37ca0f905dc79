#include <math.h>

#include "promql/arithmetic.h"
#include "promql/plan/pass.h"

static bool is_number(const struct plan_node *node)
{
    return node->kind == PLAN_NUMBER;
}

static bool fold_call(const struct plan_call *call, double *out)
{
    for (size_t i = 0; i < call->arg_count; i++)
        if (!is_number(call->args[i]))
            return false;
    switch (call->function->id) {
    case FUNCTION_PI:
        *out = M_PI;
        return true;
    case FUNCTION_MAX_OF:
        *out = float_max(call->args[0]->number, call->args[1]->number);
        return true;
    case FUNCTION_MIN_OF:
        *out = float_min(call->args[0]->number, call->args[1]->number);
        return true;
    default:
        return false;
    }
}

static bool fold_value(const struct plan_node *node, double *out)
{
    switch (node->kind) {
    case PLAN_NEGATE:
        if (!is_number(node->negate))
            return false;
        *out = -node->negate->number;
        return true;
    case PLAN_BINARY:
        if (!is_number(node->binary.left) || !is_number(node->binary.right) ||
            binary_op_is_trim(node->binary.op))
            return false;
        *out = arithmetic_scalars(node->binary.op, node->binary.left->number,
                                  node->binary.right->number);
        return true;
    case PLAN_CALL:
        return fold_call(&node->call, out);
    default:
        return false;
    }
}

void plan_fold(struct planner *planner, struct plan_node **node)
{
    struct plan_node **child;
    double value;
    for (size_t i = 0; (child = plan_child(*node, i)) != NULL; i++)
        plan_fold(planner, child);
    if (!fold_value(*node, &value))
        return;
    struct plan_node *number = plan_node_new(planner, PLAN_NUMBER, VALUE_SCALAR, (*node)->position);
    number->number = value;
    *node = number;
}
