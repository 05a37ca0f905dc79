/* model/histogram_estimate.h: what a histogram says about its observations: quantiles, fractions,
 * spread, with Prometheus's interpolation. Within exponential buckets observations are taken to lie
 * evenly on a logarithmic scale; within custom buckets and the zero bucket, evenly. NaN
 * observations are counted but in no bucket: the sum of such a histogram is NaN. */
#pragma once

#include "model/histogram.h"

enum histogram_nan_note {
    HISTOGRAM_NAN_NONE,
    HISTOGRAM_NAN_RESULT,  /* the quantile lies among NaN observations, and is one */
    HISTOGRAM_NAN_SKEWED,  /* NaN observations, counted as the highest, move the quantile up */
    HISTOGRAM_NAN_OUTSIDE, /* NaN observations lie in no part of the fraction */
};

double histogram_quantile(const struct histogram *histogram, double quantile,
                          enum histogram_nan_note *note);
/* Of the observations between two values. */
double histogram_fraction(const struct histogram *histogram, double lower, double upper,
                          enum histogram_nan_note *note);
double histogram_variance(const struct histogram *histogram);

/* Which part (0..1) of a bucket with finite bounds lies below a value within it. */
double histogram_bucket_below(const struct histogram_bucket *bucket, double value, bool linear);
