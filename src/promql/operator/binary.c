#include "promql/operator/binary.h"

#include "promql/arithmetic.h"

enum pair_rule binary_pair(enum binary_op op, bool left_is_histogram, bool right_is_histogram)
{
    if (!left_is_histogram && !right_is_histogram)
        return binary_op_is_trim(op) ? PAIR_INCOMPATIBLE : PAIR_COMPUTE;
    if (left_is_histogram && right_is_histogram) {
        if (op == BINARY_EQUAL || op == BINARY_NOT_EQUAL)
            return PAIR_COMPARE;
        return op == BINARY_ADD || op == BINARY_SUB ? PAIR_UNSUPPORTED : PAIR_INCOMPATIBLE;
    }
    bool scales =
        op == BINARY_MUL || (left_is_histogram && (op == BINARY_DIV || binary_op_is_trim(op)));
    return scales ? PAIR_UNSUPPORTED : PAIR_INCOMPATIBLE;
}

void binary_note_incompatible(struct execution *execution, const struct plan_node *node,
                              bool left_is_histogram, bool right_is_histogram)
{
    const char *op = binary_op_text(node->binary.op);
    annotations_add(execution->annotations, ANNOTATION_INFO, node->position,
                    "incompatible sample types encountered for binary operator \"%s\": %s %s %s",
                    op, left_is_histogram ? "histogram" : "float", op,
                    right_is_histogram ? "histogram" : "float");
}

struct error *binary_unsupported(const struct plan_node *node)
{
    return error_create(ERROR_QUERY, "operator \"%s\" is not supported for native histograms yet",
                        binary_op_text(node->binary.op));
}
