/* promql/quantile.h: quantiles of values and of classic histograms. Pure functions. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The q-quantile, interpolated between neighbours; NaN values count as smallest. NaN for no values
 * or q NaN, -Inf and +Inf for q outside of [0, 1]. Reorders the values. */
double quantile_of(double q, double *values, size_t count);

struct bucket {
    double upper_bound, count;
};

/* What had to be done to a histogram whose counts did not grow with the bounds. */
struct bucket_repair {
    bool forced;                       /* counts were raised */
    double min_bound, max_bound, diff; /* where, and by how much at most */
};

/* histogram_quantile() of a classic histogram. Sorts and changes the buckets. NaN unless the
 * highest bound is +Inf and there are at least two buckets and one observation. */
double bucket_quantile(double q, struct bucket *buckets, size_t count,
                       struct bucket_repair *repair);
/* histogram_fraction() of one: the part of the observations between lower and upper. */
double bucket_fraction(double lower, double upper, struct bucket *buckets, size_t count);
