#include "model/histogram_estimate.h"

#include <math.h>

#include "base/kahan.h"

static bool is_custom(const struct histogram *histogram)
{
    return histogram->schema == HISTOGRAM_SCHEMA_CUSTOM;
}

/* As Go has it: exact at powers of two. */
static double log2_exact(double value)
{
    int exponent;
    double fraction = frexp(value, &exponent);
    if (!isfinite(value) || value == 0)
        return log2(value);
    return fraction == 0.5 ? exponent - 1 : log(fraction) * (1 / M_LN2) + exponent;
}

double histogram_bucket_below(const struct histogram_bucket *bucket, double value, bool linear)
{
    if (linear)
        return (value - bucket->lower) / (bucket->upper - bucket->lower);
    double lower = log2_exact(fabs(bucket->lower)), upper = log2_exact(fabs(bucket->upper));
    double at = log2_exact(fabs(value));
    return value > 0 ? (at - lower) / (upper - lower) : 1 - (at - upper) / (lower - upper);
}

/* The zero bucket ends at 0 where nothing was observed on one side. */
static void cut_at_zero(const struct histogram *histogram, struct histogram_bucket *bucket)
{
    bool below = histogram->negative.bucket_count, above = histogram->positive.bucket_count;
    if (above && !below)
        bucket->lower = 0;
    if (below && !above)
        bucket->upper = 0;
}

/* ---- quantiles ---- */

/* Buckets from the lowest up, or from the highest down. */
struct direction {
    struct histogram mirrored; /* its sides exchanged: upwards there is downwards here */
    struct histogram_walk walk;
    bool down;
};

static void direction_init(struct direction *direction, const struct histogram *histogram,
                           bool down)
{
    direction->down = down;
    direction->mirrored = *histogram;
    direction->mirrored.positive = histogram->negative;
    direction->mirrored.negative = histogram->positive;
    direction->walk = histogram_walk(down ? &direction->mirrored : histogram);
}

static bool direction_next(struct direction *direction, struct histogram_bucket *bucket)
{
    if (!histogram_walk_next(&direction->walk, bucket))
        return false;
    if (direction->down) {
        double lower = bucket->lower;
        bucket->lower = -bucket->upper;
        bucket->upper = -lower;
    }
    return true;
}

static double within_bucket(const struct histogram *histogram,
                            const struct histogram_bucket *bucket, double part)
{
    if (is_custom(histogram) || (bucket->lower <= 0 && bucket->upper >= 0))
        return bucket->lower + (bucket->upper - bucket->lower) * part;
    double lower = log2_exact(fabs(bucket->lower)), upper = log2_exact(fabs(bucket->upper));
    if (bucket->lower > 0)
        return exp2(lower + (upper - lower) * part);
    return -exp2(upper + (lower - upper) * (1 - part));
}

/* The bucket where the count reaches the rank, else the last one that counts anything. */
static double find_rank(struct direction *direction, double rank, struct histogram_bucket *found)
{
    double count = 0;
    *found = (struct histogram_bucket){0};
    while (direction_next(direction, found)) {
        count += found->count;
        if (found->count != 0 && count >= rank)
            break;
    }
    return count;
}

/* Ends of custom buckets without a bound, where nothing can be interpolated. */
static bool open_end(const struct histogram *histogram, struct histogram_bucket *bucket,
                     double *result)
{
    if (!is_custom(histogram)) {
        if (bucket->lower < 0 && bucket->upper > 0)
            cut_at_zero(histogram, bucket);
        return false;
    }
    if (bucket->lower == -INFINITY) {
        *result = bucket->upper;
        if (bucket->upper > 0)
            bucket->lower = 0;
        return bucket->upper <= 0;
    }
    *result = bucket->lower;
    return bucket->upper == INFINITY;
}

double histogram_quantile(const struct histogram *histogram, double quantile,
                          enum histogram_nan_note *note)
{
    *note = HISTOGRAM_NAN_NONE;
    if (quantile < 0)
        return -INFINITY;
    if (quantile > 1)
        return INFINITY;
    if (histogram->count == 0 || isnan(quantile))
        return NAN;
    /* Ranks of NaN observations lie above all: with them, only the way up finds the bucket. */
    bool nan = isnan(histogram->sum), down = !nan && !(quantile < 0.5);
    double rank = (down ? 1 - quantile : quantile) * histogram->count, result;
    struct direction direction;
    struct histogram_bucket bucket;
    direction_init(&direction, histogram, down);
    double count = find_rank(&direction, rank, &bucket);
    if (open_end(histogram, &bucket, &result))
        return result;
    if (count > histogram->count)
        count = histogram->count;
    if (count < rank) {
        *note = nan ? HISTOGRAM_NAN_RESULT : HISTOGRAM_NAN_NONE;
        return nan ? NAN : bucket.upper;
    }
    rank = down ? count - rank : rank - (count - bucket.count);
    if (nan) {
        struct histogram_bucket rest;
        while (direction_next(&direction, &rest))
            count += rest.count;
        if (count < histogram->count)
            *note = HISTOGRAM_NAN_SKEWED;
    }
    return within_bucket(histogram, &bucket, rank / bucket.count);
}

/* ---- fractions ---- */

struct boundary { /* of a fraction: how many observations lie below it */
    double value, rank;
    bool set;
};

static void place_boundary(struct boundary *boundary, const struct histogram_bucket *bucket,
                           double rank, bool linear)
{
    if (boundary->set)
        return;
    if (bucket->lower >= boundary->value) {
        boundary->rank = rank;
        boundary->set = true;
    } else if (bucket->lower < boundary->value && bucket->upper > boundary->value) {
        if (linear && bucket->lower == -INFINITY)
            boundary->rank = bucket->count;
        else
            boundary->rank =
                rank + bucket->count * histogram_bucket_below(bucket, boundary->value, linear);
        boundary->set = true;
    }
}

double histogram_fraction(const struct histogram *histogram, double lower, double upper,
                          enum histogram_nan_note *note)
{
    *note = HISTOGRAM_NAN_NONE;
    if (histogram->count == 0 || isnan(lower) || isnan(upper))
        return NAN;
    if (lower >= upper)
        return 0;
    struct boundary from = {.value = lower}, to = {.value = upper};
    struct histogram_walk walk = histogram_walk(histogram);
    struct histogram_bucket bucket;
    double rank = 0, count = 0;
    while ((!from.set || !to.set) && histogram_walk_next(&walk, &bucket)) {
        bool linear = is_custom(histogram);
        count += bucket.count;
        if (linear && bucket.lower == -INFINITY && bucket.upper > 0)
            bucket.lower = 0;
        if (!linear && bucket.lower <= 0 && bucket.upper >= 0) {
            linear = true;
            cut_at_zero(histogram, &bucket);
        }
        place_boundary(&from, &bucket, rank, linear);
        place_boundary(&to, &bucket, rank, linear);
        rank += bucket.count;
    }
    if (isnan(histogram->sum)) {
        while (histogram_walk_next(&walk, &bucket))
            count += bucket.count;
        if (count < histogram->count)
            *note = HISTOGRAM_NAN_OUTSIDE;
    } else {
        count = histogram->count;
    }
    double below_from = from.set && !(from.rank > count) ? from.rank : count;
    double below_to = to.set && !(to.rank > count) ? to.rank : count;
    return (below_to - below_from) / histogram->count;
}

/* ---- spread ---- */

double histogram_variance(const struct histogram *histogram)
{
    double mean = histogram->sum / histogram->count, variance = 0, lost = 0;
    struct histogram_walk walk = histogram_walk(histogram);
    struct histogram_bucket bucket;
    while (histogram_walk_next(&walk, &bucket)) {
        double at = 0;
        if (bucket.count == 0)
            continue;
        if (is_custom(histogram)) {
            at = (bucket.upper + bucket.lower) / 2;
        } else if (bucket.lower > 0 || bucket.upper < 0) {
            at = sqrt(bucket.upper * bucket.lower);
            if (bucket.upper < 0)
                at = -at;
        }
        double distance = at - mean;
        kahan_add(bucket.count * distance * distance, &variance, &lost);
    }
    return (variance + lost) / histogram->count;
}
