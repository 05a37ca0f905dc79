#include "promql/quantile.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

enum { SORT_WHOLE_UP_TO = 16 };

/* Moves NaNs to the front; gives their number. */
static size_t nans_first(double *values, size_t count)
{
    size_t nans = 0;
    for (size_t i = 0; i < count; i++) {
        if (!isnan(values[i]))
            continue;
        double nan = values[i];
        values[i] = values[nans];
        values[nans++] = nan;
    }
    return nans;
}

static void sort_few(double *values, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        double value = values[i];
        size_t at = i;
        for (; at > 0 && value < values[at - 1]; at--)
            values[at] = values[at - 1];
        values[at] = value;
    }
}

static double median_of_three(double a, double b, double c)
{
    double low = a < b ? a : b, high = a < b ? b : a;
    return c < low ? low : c > high ? high : c;
}

/* Puts the value that sorting would put at `wanted` there, nothing larger before it and nothing
 * smaller behind. No NaNs. */
static void select_nth(double *values, size_t count, size_t wanted)
{
    while (count > SORT_WHOLE_UP_TO) {
        double pivot = median_of_three(values[0], values[count / 2], values[count - 1]);
        size_t low = 0, high = count - 1;
        for (;;) {
            while (values[low] < pivot)
                low++;
            while (values[high] > pivot)
                high--;
            if (low >= high)
                break;
            double swapped = values[low];
            values[low++] = values[high];
            values[high--] = swapped;
        }
        /* Left of `low` nothing is larger than the pivot, from it on nothing is smaller. */
        size_t left = low == 0 ? 1 : low;
        if (wanted < left) {
            count = left;
        } else {
            values += left;
            count -= left;
            wanted -= left;
        }
    }
    sort_few(values, count);
}

double quantile_of(double q, double *values, size_t count)
{
    if (count == 0 || isnan(q))
        return NAN;
    if (q < 0)
        return -INFINITY;
    if (q > 1)
        return INFINITY;
    double rank = q * ((double)count - 1);
    double lower = fmax(0, floor(rank));
    double upper = fmin((double)count - 1, lower + 1);
    double weight = rank - floor(rank);
    size_t low = (size_t)lower, high = (size_t)upper;

    size_t nans = nans_first(values, count);
    if (low >= nans)
        select_nth(values + nans, count - nans, low - nans);
    double low_value = values[low];
    if (weight == 0)
        return low_value;
    if (high > low && high >= nans) { /* the smallest of those behind `low` */
        size_t from = low >= nans ? low + 1 : nans;
        size_t smallest = from;
        for (size_t i = from + 1; i < count; i++)
            smallest = values[i] < values[smallest] ? i : smallest;
        double swapped = values[high];
        values[high] = values[smallest];
        values[smallest] = swapped;
    }
    return low_value * (1 - weight) + values[high] * weight;
}

static int bucket_order(const void *a, const void *b)
{
    double left = ((const struct bucket *)a)->upper_bound;
    double right = ((const struct bucket *)b)->upper_bound;
    return left < right ? -1 : left > right ? 1 : 0;
}

static void buckets_sort(struct bucket *buckets, size_t count)
{
    for (size_t i = 1; i < count; i++) { /* they mostly come in some order of few */
        if (bucket_order(&buckets[i - 1], &buckets[i]) > 0) {
            qsort(buckets, count, sizeof(*buckets), bucket_order);
            return;
        }
    }
}

/* Adds up neighbours with one bound; gives what is left. */
static size_t buckets_coalesce(struct bucket *buckets, size_t count)
{
    size_t last = 0;
    for (size_t i = 1; i < count; i++) {
        if (buckets[i].upper_bound == buckets[last].upper_bound)
            buckets[last].count += buckets[i].count;
        else
            buckets[++last] = buckets[i];
    }
    return last + 1;
}

/* Differences that small are rounding, not data. */
static bool almost_equal(double a, double b)
{
    static const double tolerance = 1e-12;
    if (isnan(a) && isnan(b))
        return true;
    if (a == b)
        return true;
    double sum = fabs(a) + fabs(b), difference = fabs(a - b);
    if (a == 0 || b == 0 || sum < DBL_MIN)
        return difference < tolerance * DBL_MIN;
    return difference / fmin(sum, DBL_MAX) < tolerance;
}

static void buckets_make_monotonic(struct bucket *buckets, size_t count,
                                   struct bucket_repair *repair)
{
    double before = buckets[0].count;
    for (size_t i = 1; i < count; i++) {
        double current = buckets[i].count;
        if (current == before)
            continue;
        if (almost_equal(before, current)) {
            buckets[i].count = before;
        } else if (current < before) {
            buckets[i].count = before;
            repair->forced = true;
            repair->min_bound = fmin(repair->min_bound, buckets[i].upper_bound);
            repair->max_bound = fmax(repair->max_bound, buckets[i].upper_bound);
            repair->diff = fmax(repair->diff, before - current);
        } else {
            before = current;
        }
    }
}

double bucket_quantile(double q, struct bucket *buckets, size_t count, struct bucket_repair *repair)
{
    *repair = (struct bucket_repair){.min_bound = INFINITY, .max_bound = -INFINITY};
    if (isnan(q))
        return NAN;
    if (q < 0)
        return -INFINITY;
    if (q > 1)
        return INFINITY;
    if (count == 0)
        return NAN;
    buckets_sort(buckets, count);
    if (buckets[count - 1].upper_bound != INFINITY)
        return NAN;
    count = buckets_coalesce(buckets, count);
    buckets_make_monotonic(buckets, count, repair);
    if (count < 2)
        return NAN;
    double observations = buckets[count - 1].count;
    if (observations == 0)
        return NAN;

    double rank = q * observations;
    size_t low = 0, high = count - 1; /* the first bucket whose count reaches the rank */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (buckets[middle].count >= rank)
            high = middle;
        else
            low = middle + 1;
    }
    if (low == count - 1)
        return buckets[count - 2].upper_bound;
    if (low == 0 && buckets[0].upper_bound <= 0)
        return buckets[0].upper_bound;
    double start = 0, end = buckets[low].upper_bound, inside = buckets[low].count;
    if (low > 0) {
        start = buckets[low - 1].upper_bound;
        inside -= buckets[low - 1].count;
        rank -= buckets[low - 1].count;
    }
    return start + (end - start) * (rank / inside);
}

/* The observations up to `value`, which is inside of a bucket that begins at `lower_bound`, where
 * `before` are counted: spread evenly, but in an infinite bucket. */
static double rank_inside(double value, double before, double lower_bound,
                          const struct bucket *bucket)
{
    if (lower_bound == -INFINITY)
        return bucket->count;
    return before +
           (bucket->count - before) * (value - lower_bound) / (bucket->upper_bound - lower_bound);
}

/* The observations below a value, by walking the buckets until it is met. */
static double rank_below(double value, const struct bucket *buckets, size_t count)
{
    double before = 0, lower_bound = buckets[0].upper_bound <= 0 ? -INFINITY : 0;
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            lower_bound = buckets[i - 1].upper_bound;
        if (lower_bound >= value)
            return before;
        if (buckets[i].upper_bound > value)
            return rank_inside(value, before, lower_bound, &buckets[i]);
        before = buckets[i].count;
    }
    return buckets[count - 1].count;
}

double bucket_fraction(double lower, double upper, struct bucket *buckets, size_t count)
{
    if (count == 0)
        return NAN;
    buckets_sort(buckets, count);
    if (buckets[count - 1].upper_bound != INFINITY)
        return NAN;
    count = buckets_coalesce(buckets, count);
    double observations = buckets[count - 1].count;
    if (observations == 0 || isnan(lower) || isnan(upper))
        return NAN;
    if (lower >= upper)
        return 0;
    double lower_rank = rank_below(lower, buckets, count);
    double upper_rank = rank_below(upper, buckets, count);
    lower_rank = lower_rank > observations ? observations : lower_rank;
    upper_rank = upper_rank > observations ? observations : upper_rank;
    return (upper_rank - lower_rank) / observations;
}
