#include "promql/arithmetic.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

double arithmetic_scalars(enum binary_op op, double left, double right)
{
    if (!binary_op_is_comparison(op)) {
        double result;
        arithmetic_columns(op, &left, &right, &result, 1);
        return result;
    }
    uint64_t kept = 0;
    arithmetic_compare(op, &left, &right, 0, 1, &kept);
    return (double)(kept & 1);
}

#define EACH(expression)                                                                           \
    for (size_t i = 0; i < count; i++) {                                                           \
        double l = left[i], r = right[i];                                                          \
        out[i] = (expression);                                                                     \
    }                                                                                              \
    break

void arithmetic_columns(enum binary_op op, const double *left, const double *right, double *out,
                        size_t count)
{
    switch (op) {
    case BINARY_ADD:
        EACH(l + r);
    case BINARY_SUB:
        EACH(l - r);
    case BINARY_MUL:
        EACH(l * r);
    case BINARY_DIV:
        EACH(l / r);
    case BINARY_MOD:
        EACH(fmod(l, r));
    case BINARY_POW:
        EACH(pow(l, r));
    case BINARY_ATAN2:
        EACH(atan2(l, r));
    default:
        bug("operator %s is not arithmetic", binary_op_text(op));
    }
}

#define EACH_BIT(condition)                                                                        \
    for (size_t i = first; i < last; i++) {                                                        \
        double l = left[i], r = right[i];                                                          \
        kept[i / 64] |= (uint64_t)(condition) << (i % 64);                                         \
    }                                                                                              \
    break

void arithmetic_compare(enum binary_op op, const double *left, const double *right, size_t first,
                        size_t last, uint64_t *kept)
{
    if (first == last)
        return;
    memset(kept + first / 64, 0, ((last - 1) / 64 - first / 64 + 1) * sizeof(*kept));
    switch (op) {
    case BINARY_EQUAL:
        EACH_BIT(l == r);
    case BINARY_NOT_EQUAL:
        EACH_BIT(l != r);
    case BINARY_GREATER:
        EACH_BIT(l > r);
    case BINARY_LESS:
        EACH_BIT(l < r);
    case BINARY_GREATER_EQUAL:
        EACH_BIT(l >= r);
    case BINARY_LESS_EQUAL:
        EACH_BIT(l <= r);
    default:
        bug("operator %s does not compare", binary_op_text(op));
    }
}

double float_max(double a, double b)
{
    if (a == INFINITY || b == INFINITY)
        return INFINITY;
    if (isnan(a) || isnan(b))
        return NAN;
    if (a == 0 && b == 0)
        return signbit(a) ? b : a;
    return a > b ? a : b;
}

double float_min(double a, double b)
{
    if (a == -INFINITY || b == -INFINITY)
        return -INFINITY;
    if (isnan(a) || isnan(b))
        return NAN;
    if (a == 0 && b == 0)
        return signbit(a) ? a : b;
    return a < b ? a : b;
}
