#include "promql/operator/binary.h"

#include "model/histogram_math.h"
#include "promql/arithmetic.h"

enum pair_rule binary_pair(enum binary_op op, bool left_is_histogram, bool right_is_histogram)
{
    if (!left_is_histogram && !right_is_histogram)
        return binary_op_is_trim(op) ? PAIR_INCOMPATIBLE : PAIR_COMPUTE;
    if (left_is_histogram && right_is_histogram) {
        if (op == BINARY_EQUAL || op == BINARY_NOT_EQUAL)
            return PAIR_COMPARE;
        return op == BINARY_ADD || op == BINARY_SUB ? PAIR_HISTOGRAM : PAIR_INCOMPATIBLE;
    }
    bool scales =
        op == BINARY_MUL || (left_is_histogram && (op == BINARY_DIV || binary_op_is_trim(op)));
    return scales ? PAIR_HISTOGRAM : PAIR_INCOMPATIBLE;
}

static bool is_custom(const struct histogram *histogram)
{
    return histogram->schema == HISTOGRAM_SCHEMA_CUSTOM;
}

static bool resets_collide(const struct histogram *left, const struct histogram *right)
{
    return (left->reset == HISTOGRAM_RESET_YES && right->reset == HISTOGRAM_RESET_NO) ||
           (left->reset == HISTOGRAM_RESET_NO && right->reset == HISTOGRAM_RESET_YES);
}

enum binary_note binary_refusal(enum binary_op op, const struct operand *left,
                                const struct operand *right)
{
    static const enum binary_note incompatible[2][2] = {
        {BINARY_NOTE_FLOATS, BINARY_NOTE_FLOAT_HISTOGRAM},
        {BINARY_NOTE_HISTOGRAM_FLOAT, BINARY_NOTE_HISTOGRAMS}};
    bool both = left->histogram && right->histogram;
    enum pair_rule rule = binary_pair(op, left->histogram != NULL, right->histogram != NULL);
    if (rule == PAIR_INCOMPATIBLE)
        return incompatible[left->histogram != NULL][right->histogram != NULL];
    if (rule != PAIR_HISTOGRAM || !both)
        return BINARY_NOTE_NONE;
    if (is_custom(left->histogram) != is_custom(right->histogram))
        return BINARY_NOTE_LAYOUT;
    /* A sum of contradicting hints could be made, but is not given. */
    return resets_collide(left->histogram, right->histogram) ? BINARY_NOTE_COLLISION
                                                             : BINARY_NOTE_NONE;
}

struct histogram *binary_histogram(enum binary_op op, const struct operand *left,
                                   const struct operand *right, struct arena *arena,
                                   enum binary_note *note)
{
    const struct histogram *from = left->histogram ? left->histogram : right->histogram;
    double value = left->histogram ? right->value : left->value;
    struct histogram *result = histogram_copy_counts(arena, from);
    unsigned notes = 0;
    *note = BINARY_NOTE_NONE;
    if (binary_op_is_trim(op)) {
        histogram_trim(result, value, op == BINARY_TRIM_UPPER, arena);
        return result;
    }
    if (op == BINARY_MUL) {
        histogram_scale(result, value);
    } else if (op == BINARY_DIV) {
        histogram_divide(result, value);
    } else if (op == BINARY_ADD) {
        notes = histogram_add(result, right->histogram, arena);
    } else {
        notes = histogram_subtract(result, right->histogram, arena);
        result->reset = HISTOGRAM_GAUGE;
    }
    if (notes & HISTOGRAM_RECONCILED)
        *note = BINARY_NOTE_RECONCILED;
    histogram_compact(result, arena);
    return result;
}

static void tell_incompatible(struct execution *execution, const struct plan_node *node,
                              const char *left, const char *right)
{
    const char *op = binary_op_text(node->binary.op);
    annotations_add(execution->annotations, ANNOTATION_INFO, node->position,
                    "incompatible sample types encountered for binary operator \"%s\": %s %s %s",
                    op, left, op, right);
}

void binary_tell(struct execution *execution, const struct plan_node *node, enum binary_note note)
{
    const char *what = node->binary.op == BINARY_ADD ? "addition" : "subtraction";
    switch (note) {
    case BINARY_NOTE_FLOATS:
        tell_incompatible(execution, node, "float", "float");
        break;
    case BINARY_NOTE_FLOAT_HISTOGRAM:
        tell_incompatible(execution, node, "float", "histogram");
        break;
    case BINARY_NOTE_HISTOGRAM_FLOAT:
        tell_incompatible(execution, node, "histogram", "float");
        break;
    case BINARY_NOTE_HISTOGRAMS:
        tell_incompatible(execution, node, "histogram", "histogram");
        break;
    case BINARY_NOTE_LAYOUT:
        annotations_add(execution->annotations, ANNOTATION_WARNING, node->position,
                        "incompatible bucket layout encountered for binary operator %s",
                        binary_op_text(node->binary.op));
        break;
    case BINARY_NOTE_COLLISION:
        annotations_add(execution->annotations, ANNOTATION_WARNING, node->position,
                        "conflicting counter resets during histogram %s", what);
        break;
    case BINARY_NOTE_RECONCILED:
        annotations_add(execution->annotations, ANNOTATION_INFO, node->position,
                        "mismatched custom buckets were reconciled during %s", what);
        break;
    default:
        break;
    }
}
