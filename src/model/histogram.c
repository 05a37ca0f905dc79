#include "model/histogram.h"

#include <math.h>

#include "codec/float_text.h"
#include "model/histogram_side.h"

static void *copy_array(struct arena *arena, const void *items, size_t count, size_t size)
{
    if (count == 0)
        return NULL;
    return memcpy(arena_array(arena, count, size), items, count * size);
}

static struct histogram_side copy_side(struct arena *arena, const struct histogram_side *side)
{
    return (struct histogram_side){
        .spans = copy_array(arena, side->spans, side->span_count, sizeof(*side->spans)),
        .span_count = side->span_count,
        .buckets = copy_array(arena, side->buckets, side->bucket_count, sizeof(double)),
        .bucket_count = side->bucket_count,
    };
}

struct histogram *histogram_copy(struct arena *arena, const struct histogram *histogram)
{
    struct histogram *copy = arena_alloc(arena, sizeof(*copy));
    *copy = *histogram;
    copy->positive = copy_side(arena, &histogram->positive);
    copy->negative = copy_side(arena, &histogram->negative);
    copy->custom_values =
        copy_array(arena, histogram->custom_values, histogram->custom_count, sizeof(double));
    return copy;
}

static double *copy_counts(struct histogram_side *side, double *room)
{
    if (side->bucket_count > 0)
        memcpy(room, side->buckets, side->bucket_count * sizeof(*room));
    side->buckets = room;
    return room + side->bucket_count;
}

struct histogram *histogram_copy_counts(struct arena *arena, const struct histogram *histogram)
{
    size_t count = histogram->positive.bucket_count + histogram->negative.bucket_count;
    struct histogram *copy = arena_alloc(arena, sizeof(*copy) + count * sizeof(double));
    *copy = *histogram;
    double *room = (double *)(void *)(copy + 1);
    copy_counts(&copy->negative, copy_counts(&copy->positive, room));
    return copy;
}

/* ---- equality ---- */

static bool same_bits(double a, double b)
{
    return memcmp(&a, &b, sizeof(a)) == 0;
}

static bool same_doubles(const double *a, size_t a_count, const double *b, size_t b_count)
{
    return a_count == b_count && (a_count == 0 || memcmp(a, b, a_count * sizeof(*a)) == 0);
}

/* The next run of buckets: spans that touch are joined, empty ones only widen the gap. */
static bool next_run(const struct histogram_span *spans, size_t count, size_t *at, int64_t *start,
                     int64_t *end)
{
    *start = *end;
    for (; *at < count; ++*at) {
        *start += spans[*at].offset;
        if (spans[*at].length)
            break;
    }
    if (*at == count)
        return false;
    *end = *start + spans[(*at)++].length;
    while (*at < count && spans[*at].offset == 0)
        *end += spans[(*at)++].length;
    return true;
}

bool histogram_spans_equal(const struct histogram_span *a, size_t a_count,
                           const struct histogram_span *b, size_t b_count)
{
    size_t a_at = 0, b_at = 0;
    int64_t a_end = 0, b_end = 0, a_start = 0, b_start = 0;
    for (;;) {
        bool more = next_run(a, a_count, &a_at, &a_start, &a_end);
        if (more != next_run(b, b_count, &b_at, &b_start, &b_end))
            return false;
        if (!more)
            return true;
        if (a_start != b_start || a_end != b_end)
            return false;
    }
}

static bool same_side(const struct histogram_side *a, const struct histogram_side *b)
{
    return histogram_spans_equal(a->spans, a->span_count, b->spans, b->span_count) &&
           same_doubles(a->buckets, a->bucket_count, b->buckets, b->bucket_count);
}

bool histogram_equal(const struct histogram *a, const struct histogram *b)
{
    return a->schema == b->schema && same_bits(a->count, b->count) && same_bits(a->sum, b->sum) &&
           a->zero_threshold == b->zero_threshold && same_bits(a->zero_count, b->zero_count) &&
           same_doubles(a->custom_values, a->custom_count, b->custom_values, b->custom_count) &&
           same_side(&a->negative, &b->negative) && same_side(&a->positive, &b->positive);
}

/* ---- checks ---- */

static struct error *check_side(const struct histogram_side *side, const char *name)
{
    uint64_t total = 0;
    for (size_t i = 0; i < side->span_count; i++) {
        if (i > 0 && side->spans[i].offset < 0)
            return error_create(ERROR_CORRUPT, "histogram: %s span with a negative offset", name);
        total += side->spans[i].length;
    }
    if (total != side->bucket_count)
        return error_create(ERROR_CORRUPT, "histogram: %s spans of %llu buckets, not of %zu", name,
                            (unsigned long long)total, side->bucket_count);
    return NULL;
}

static struct error *check_counts(const struct histogram_side *side, const char *name)
{
    for (size_t i = 0; i < side->bucket_count; i++)
        if (side->buckets[i] < 0)
            return error_create(ERROR_CORRUPT, "histogram: %s bucket with a negative count", name);
    return NULL;
}

static struct error *check_custom(const struct histogram *histogram)
{
    const double *bounds = histogram->custom_values;
    uint64_t reach = 0;
    for (size_t i = 0; i < histogram->custom_count; i++)
        if (isnan(bounds[i]) || (i > 0 && bounds[i] <= bounds[i - 1]))
            return error_create(ERROR_CORRUPT, "histogram: custom bounds out of order");
    if (histogram->custom_count && bounds[histogram->custom_count - 1] == INFINITY)
        return error_create(ERROR_CORRUPT, "histogram: the last custom bound is infinite");
    for (size_t i = 0; i < histogram->positive.span_count; i++) {
        if (histogram->positive.spans[i].offset < 0)
            return error_create(ERROR_CORRUPT, "histogram: custom span with a negative offset");
        reach += (uint64_t)histogram->positive.spans[i].offset;
        reach += histogram->positive.spans[i].length;
    }
    if (reach > histogram->custom_count + 1)
        return error_create(ERROR_CORRUPT, "histogram: %llu custom buckets with %zu bounds",
                            (unsigned long long)reach, histogram->custom_count);
    if (histogram->negative.span_count || histogram->negative.bucket_count ||
        histogram->zero_count != 0 || histogram->zero_threshold != 0)
        return error_create(ERROR_CORRUPT,
                            "histogram: custom buckets with zero or negative buckets");
    return NULL;
}

struct error *histogram_check_form(const struct histogram *histogram)
{
    bool custom = histogram->schema == HISTOGRAM_SCHEMA_CUSTOM;
    if (!custom && (histogram->schema < HISTOGRAM_SCHEMA_MIN_KNOWN ||
                    histogram->schema > HISTOGRAM_SCHEMA_MAX))
        return error_create(ERROR_CORRUPT, "histogram: unknown schema %d", (int)histogram->schema);
    if (!custom && histogram->custom_count)
        return error_create(ERROR_CORRUPT, "histogram: exponential schema with custom bounds");
    struct error *err = check_side(&histogram->positive, "positive");
    if (!err)
        err = check_side(&histogram->negative, "negative");
    if (!err && custom)
        err = check_custom(histogram);
    return err;
}

struct error *histogram_check(const struct histogram *histogram)
{
    struct error *err = histogram_check_form(histogram);
    if (!err && (histogram->count < 0 || histogram->zero_count < 0))
        err = error_create(ERROR_CORRUPT, "histogram: negative count");
    if (!err)
        err = check_counts(&histogram->positive, "positive");
    return err ? err : check_counts(&histogram->negative, "negative");
}

/* ---- arithmetic ---- */

void histogram_scale(struct histogram *histogram, double factor)
{
    histogram->zero_count *= factor;
    histogram->count *= factor;
    histogram->sum *= factor;
    for (size_t i = 0; i < histogram->positive.bucket_count; i++)
        histogram->positive.buckets[i] *= factor;
    for (size_t i = 0; i < histogram->negative.bucket_count; i++)
        histogram->negative.buckets[i] *= factor;
    if (factor < 0)
        histogram->reset = HISTOGRAM_GAUGE;
}

void histogram_divide(struct histogram *histogram, double divisor)
{
    const struct histogram_side none = {0};
    histogram->zero_count /= divisor;
    histogram->count /= divisor;
    histogram->sum /= divisor;
    if (divisor == 0)
        histogram->positive = histogram->negative = none;
    for (size_t i = 0; i < histogram->positive.bucket_count; i++)
        histogram->positive.buckets[i] /= divisor;
    for (size_t i = 0; i < histogram->negative.bucket_count; i++)
        histogram->negative.buckets[i] /= divisor;
    if (divisor < 0)
        histogram->reset = HISTOGRAM_GAUGE;
}

void histogram_reduce(struct histogram *histogram, int32_t schema, struct arena *arena)
{
    int shift = histogram->schema - schema;
    side_reduce(&histogram->positive, NULL, shift, arena);
    side_reduce(&histogram->negative, NULL, shift, arena);
    histogram->schema = schema;
}

/* ---- buckets ---- */

/* Sets the walk behind the last span's last bucket, for going down. */
static void walk_from_end(struct histogram_walk *walk)
{
    const struct histogram_side *side = &walk->histogram->negative;
    int64_t end = 0;
    for (size_t i = 0; i < side->span_count; i++)
        end += (int64_t)side->spans[i].offset + side->spans[i].length;
    walk->span = side->span_count;
    walk->in_span = 0;
    walk->bucket = side->bucket_count;
    walk->index = end;
}

struct histogram_walk histogram_walk(const struct histogram *histogram)
{
    struct histogram_walk walk = {.histogram = histogram, .part = WALK_NEGATIVE};
    walk_from_end(&walk);
    return walk;
}

double histogram_bucket_bound(const struct histogram *histogram, int64_t index)
{
    if (histogram->schema != HISTOGRAM_SCHEMA_CUSTOM)
        return histogram_bound(index, histogram->schema);
    if (index < 0)
        return -INFINITY;
    return (uint64_t)index < histogram->custom_count ? histogram->custom_values[index] : INFINITY;
}

static void fill_bucket(const struct histogram_walk *walk, bool negative,
                        struct histogram_bucket *out)
{
    const struct histogram *histogram = walk->histogram;
    int64_t index = walk->index;
    double near = histogram_bucket_bound(histogram, index - 1),
           far = histogram_bucket_bound(histogram, index);
    double threshold = histogram->zero_threshold;
    out->lower = negative ? -far : near;
    out->upper = negative ? -near : far;
    if (histogram->schema == HISTOGRAM_SCHEMA_CUSTOM) {
        out->lower_inclusive = index == 0;
        out->upper_inclusive = true;
        return;
    }
    out->lower_inclusive = out->lower < 0;
    out->upper_inclusive = out->upper > 0;
    if (walk->overlapping)
        return;
    if (out->upper < 0 && out->upper > -threshold)
        out->upper = -threshold;
    if (out->lower > 0 && out->lower < threshold)
        out->lower = threshold;
}

static bool walk_negative(struct histogram_walk *walk, struct histogram_bucket *out)
{
    const struct histogram_side *side = &walk->histogram->negative;
    while (walk->in_span == 0) {
        if (walk->span == 0)
            return false;
        if (walk->span < side->span_count)
            walk->index -= side->spans[walk->span].offset;
        walk->in_span = side->spans[--walk->span].length;
    }
    walk->in_span--;
    walk->index--;
    fill_bucket(walk, true, out);
    out->count = side->buckets[--walk->bucket];
    return true;
}

static bool walk_positive(struct histogram_walk *walk, struct histogram_bucket *out)
{
    const struct histogram_side *side = &walk->histogram->positive;
    while (walk->span < side->span_count && walk->in_span == side->spans[walk->span].length) {
        walk->span++;
        walk->in_span = 0;
        if (walk->span < side->span_count)
            walk->index += side->spans[walk->span].offset;
    }
    if (walk->span == side->span_count)
        return false;
    fill_bucket(walk, false, out);
    out->count = side->buckets[walk->bucket];
    walk->in_span++;
    walk->index++;
    walk->bucket++;
    return true;
}

bool histogram_walk_next(struct histogram_walk *walk, struct histogram_bucket *out)
{
    const struct histogram *histogram = walk->histogram;
    if (walk->part == WALK_NEGATIVE) {
        if (walk_negative(walk, out))
            return true;
        walk->part = WALK_ZERO;
    }
    if (walk->part == WALK_ZERO) {
        walk->part = WALK_POSITIVE;
        walk->span = walk->in_span = walk->bucket = 0;
        walk->index = histogram->positive.span_count ? histogram->positive.spans[0].offset : 0;
        /* Counts below zero, as differences have them, are printed but otherwise passed over. */
        if (histogram->zero_count > 0 || (walk->overlapping && histogram->zero_count != 0)) {
            *out = (struct histogram_bucket){-histogram->zero_threshold, histogram->zero_threshold,
                                             true, true, histogram->zero_count};
            return true;
        }
    }
    if (walk->part == WALK_POSITIVE && walk_positive(walk, out))
        return true;
    walk->part = WALK_END;
    return false;
}

/* ---- printing ---- */

static void print_bucket(struct buf *out, const struct histogram_bucket *bucket)
{
    buf_append_cstr(out, bucket->lower_inclusive ? ", [" : ", (");
    float_append(out, bucket->lower, FLOAT_GENERAL);
    buf_append_byte(out, ',');
    float_append(out, bucket->upper, FLOAT_GENERAL);
    buf_append_cstr(out, bucket->upper_inclusive ? "]:" : "):");
    float_append(out, bucket->count, FLOAT_GENERAL);
}

void histogram_print(struct buf *out, const struct histogram *histogram)
{
    struct histogram_walk walk = histogram_walk(histogram);
    struct histogram_bucket bucket;
    walk.overlapping = true;
    buf_append_cstr(out, "{count:");
    float_append(out, histogram->count, FLOAT_GENERAL);
    buf_append_cstr(out, ", sum:");
    float_append(out, histogram->sum, FLOAT_GENERAL);
    while (histogram_walk_next(&walk, &bucket))
        if (bucket.count != 0)
            print_bucket(out, &bucket);
    buf_append_byte(out, '}');
}
