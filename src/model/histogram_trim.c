#include <math.h>

#include "model/histogram_estimate.h"
#include "model/histogram_math.h"
#include "model/histogram_side.h"

struct cut { /* what is left of a bucket, and where its observations are taken to lie */
    double count, middle;
};

static double middle(double lower, double upper, bool positive, bool linear)
{
    if (isinf(lower)) {
        if (isinf(upper))
            return 0;
        return upper > 0 ? upper / 2 : upper;
    }
    if (isinf(upper))
        return lower;
    if (linear)
        return (lower + upper) / 2;
    double mean = sqrt(fabs(lower * upper));
    return positive ? mean : -mean;
}

static double unless_infinite(double value)
{
    return isinf(value) ? 0 : value;
}

static struct cut cut_lowest(const struct histogram_bucket *bucket, double limit, bool keep_below)
{
    double upper = bucket->upper;
    bool from_zero = upper > 0 && !isinf(upper); /* such a bucket is taken to begin at 0 */
    if (keep_below) {
        if (limit >= upper)
            return (struct cut){bucket->count, 0};
        if (limit > 0 && from_zero)
            return (struct cut){bucket->count * limit / upper, limit / 2};
        if (upper <= 0)
            return (struct cut){bucket->count, limit};
        return (struct cut){0, unless_infinite(upper)};
    }
    if (limit <= bucket->lower)
        return (struct cut){bucket->count, 0};
    if (limit >= 0 && upper > limit && !isinf(upper))
        return (struct cut){bucket->count * (1 - limit / upper), (limit + upper) / 2};
    return (struct cut){0, unless_infinite(upper)};
}

static struct cut cut_highest(const struct histogram_bucket *bucket, double limit, bool keep_below)
{
    if (!keep_below && limit >= bucket->lower)
        return (struct cut){bucket->count, limit};
    return (struct cut){0, unless_infinite(bucket->lower)};
}

static struct cut cut_within(const struct histogram_bucket *bucket, double limit, bool keep_below,
                             bool positive, bool linear)
{
    if (bucket->lower == -INFINITY)
        return cut_lowest(bucket, limit, keep_below);
    if (bucket->upper == INFINITY)
        return cut_highest(bucket, limit, keep_below);
    double below = 0;
    if (limit >= bucket->upper)
        below = bucket->count;
    else if (!(limit <= bucket->lower))
        below = bucket->count * histogram_bucket_below(bucket, limit, linear);
    if (keep_below)
        return (struct cut){below, middle(bucket->lower, limit, positive, linear)};
    return (struct cut){bucket->count - below, middle(limit, bucket->upper, positive, linear)};
}

static struct cut cut_bucket(const struct histogram_bucket *bucket, double limit, bool keep_below,
                             bool positive, bool linear)
{
    bool keeps_all = keep_below ? bucket->upper <= limit : bucket->lower >= limit;
    bool is_cut = keep_below ? bucket->lower < limit : bucket->upper > limit;
    if (keeps_all)
        return (struct cut){bucket->count, middle(bucket->lower, bucket->upper, positive, linear)};
    if (is_cut)
        return cut_within(bucket, limit, keep_below, positive, linear);
    return (struct cut){0, 0};
}

static struct cut cut_zero(double count, double lower, double upper, double limit, bool keep_below)
{
    if (limit <= lower)
        return keep_below ? (struct cut){0, 0} : (struct cut){count, (lower + upper) / 2};
    if (limit >= upper)
        return keep_below ? (struct cut){count, (lower + upper) / 2} : (struct cut){0, 0};
    if (keep_below)
        return (struct cut){count * ((limit - lower) / (upper - lower)), (lower + limit) / 2};
    return (struct cut){count * ((upper - limit) / (upper - lower)), (limit + upper) / 2};
}

struct trimming {
    struct histogram *histogram;
    double limit, count, sum;
    bool keep_below, changed;
};

/* True: a bucket counted something. */
static bool trim_side(struct trimming *trimming, struct histogram_side *side, bool positive)
{
    const struct histogram *histogram = trimming->histogram;
    bool linear = histogram->schema == HISTOGRAM_SCHEMA_CUSTOM, counts = false;
    struct side_cursor cursor = side_cursor(side, 0);
    while (side_cursor_next(&cursor)) {
        if (cursor.count == 0)
            continue;
        counts = true;
        double near = histogram_bucket_bound(histogram, cursor.index - 1);
        double far = histogram_bucket_bound(histogram, cursor.index);
        struct histogram_bucket bucket = {.lower = positive ? near : -far,
                                          .upper = positive ? far : -near,
                                          .count = cursor.count};
        struct cut cut =
            cut_bucket(&bucket, trimming->limit, trimming->keep_below, positive, linear);
        trimming->count += cut.count;
        trimming->sum += cut.middle * cut.count;
        if (cut.count != cursor.count)
            trimming->changed = true;
        side->buckets[cursor.at - 1] = cut.count;
    }
    return counts;
}

void histogram_trim(struct histogram *histogram, double limit, bool keep_below, struct arena *arena)
{
    struct trimming trimming = {.histogram = histogram, .limit = limit, .keep_below = keep_below};
    bool above = trim_side(&trimming, &histogram->positive, true);
    bool below = trim_side(&trimming, &histogram->negative, false);
    if (histogram->zero_count > 0) {
        struct cut cut =
            cut_zero(histogram->zero_count, above && !below ? 0 : -histogram->zero_threshold,
                     below && !above ? 0 : histogram->zero_threshold, limit, keep_below);
        if (cut.count != histogram->zero_count)
            trimming.changed = true;
        histogram->zero_count = cut.count;
        trimming.sum += cut.middle * cut.count;
        trimming.count += cut.count;
    }
    if (!trimming.changed)
        return;
    histogram->count = trimming.count;
    histogram->sum = trimming.sum;
    histogram_compact(histogram, arena);
}
