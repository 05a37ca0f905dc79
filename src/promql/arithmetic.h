/* promql/arithmetic.h: binary operators on floats, column by column. Pure functions. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "promql/ast.h"

/* Between scalars: comparisons give 0 or 1. */
double arithmetic_scalars(enum binary_op op, double left, double right);
/* out[i] = left[i] op right[i], for + - * / % ^ atan2. out may be one of the others. */
void arithmetic_columns(enum binary_op op, const double *left, const double *right, double *out,
                        size_t count);
/* Sets the bits [first, last) of `kept` for which left op right, a comparison, is true; the others
 * of those words are cleared. */
void arithmetic_compare(enum binary_op op, const double *left, const double *right, size_t first,
                        size_t last, uint64_t *kept);

/* Go's math.Max and math.Min: an infinity of their side wins, then NaN; -0 is below 0. */
double float_max(double a, double b);
double float_min(double a, double b);

static inline bool binary_op_is_trim(enum binary_op op)
{
    return op == BINARY_TRIM_UPPER || op == BINARY_TRIM_LOWER;
}
