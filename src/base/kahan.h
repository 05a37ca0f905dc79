/* base/kahan.h: compensated summation, with the branches of Prometheus: Neumaier's variant, whose
 * compensation is dropped when the sum becomes infinite. */
#pragma once

#include <float.h>
#include <math.h>
#include <stdbool.h>

static inline bool kahan_is_infinite(double value)
{
    return value > DBL_MAX || value < -DBL_MAX;
}

static inline void kahan_add(double value, double *sum, double *compensation)
{
    double total = *sum + value;
    if (kahan_is_infinite(total))
        *compensation = 0;
    else if (fabs(*sum) >= fabs(value))
        *compensation += (*sum - total) + value;
    else
        *compensation += (value - total) + *sum;
    *sum = total;
}
