/* model/histogram.h: native histograms, as floats whatever they were stored as.
 *
 * A histogram counts observations in buckets. Exponential schemas (-4..8) have buckets on both
 * sides of zero whose bounds grow by 2^(2^-schema), and a zero bucket from -zero_threshold to
 * zero_threshold; schema -53 has the upper bounds in custom_values, only positive buckets and no
 * zero bucket. Buckets are sparse: spans say where runs of them lie. The first span's offset is
 * the index of its first bucket, later ones' that of the gap before them:
 *
 *     spans {offset 1, length 2} {offset 3, length 1}   ->   buckets 1, 2, 6
 *
 * All arrays lie in an arena and are shared freely; a histogram that others see is not changed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

enum {
    HISTOGRAM_SCHEMA_MIN = -4,
    HISTOGRAM_SCHEMA_MAX = 8,
    HISTOGRAM_SCHEMA_CUSTOM = -53,
    HISTOGRAM_SCHEMA_MIN_KNOWN = -9, /* reserved ones, readable: above 8 by merging buckets */
    HISTOGRAM_SCHEMA_MAX_KNOWN = 52,
};

enum histogram_reset { /* numbers of the wire */
                       HISTOGRAM_RESET_UNKNOWN,
                       HISTOGRAM_RESET_YES, /* the counter was reset before this sample */
                       HISTOGRAM_RESET_NO,
                       HISTOGRAM_GAUGE,
};

struct histogram_span {
    int32_t offset;
    uint32_t length;
};

struct histogram_side {
    const struct histogram_span *spans;
    size_t span_count;
    double *buckets; /* counts, not cumulative; as many as the lengths of the spans say */
    size_t bucket_count;
};

struct histogram {
    enum histogram_reset reset;
    int32_t schema;
    double zero_threshold, zero_count, count, sum;
    struct histogram_side positive, negative;
    const double *custom_values; /* schema -53: upper bounds; the last bucket's is +Inf, left out */
    size_t custom_count;
};

/* A deep copy. */
struct histogram *histogram_copy(struct arena *arena, const struct histogram *histogram);
/* A copy with counts of its own that shares spans and bounds, which must live as long. */
struct histogram *histogram_copy_counts(struct arena *arena, const struct histogram *histogram);
/* Bit for bit the same contents; reset hints and the way spans are cut do not count. */
bool histogram_equal(const struct histogram *a, const struct histogram *b);
/* Same spans, but for how they are cut. */
bool histogram_spans_equal(const struct histogram_span *a, size_t a_count,
                           const struct histogram_span *b, size_t b_count);
/* ERROR_CORRUPT with what is wrong: schema, spans, negative counts, bounds. */
MUST_CHECK struct error *histogram_check(const struct histogram *histogram);
/* The same, but counts may be negative: what an expression gives, such as -x or x - y. */
MUST_CHECK struct error *histogram_check_form(const struct histogram *histogram);
/* Multiplies all counts and the sum, in place. By a negative factor it becomes a gauge. */
void histogram_scale(struct histogram *histogram, double factor);
/* Divides them, likewise; by zero, no buckets are left. */
void histogram_divide(struct histogram *histogram, double divisor);
/* Merges buckets in place until the schema is `schema`, which must be lower and exponential. */
void histogram_reduce(struct histogram *histogram, int32_t schema, struct arena *arena);

struct histogram_bucket {
    double lower, upper;
    bool lower_inclusive, upper_inclusive;
    double count;
};

/* Goes through all buckets from the lowest to the highest: negative ones, the zero bucket if it
 * counts something, positive ones; empty buckets inside spans too. Needs a checked histogram. */
struct histogram_walk {
    const struct histogram *histogram;
    enum { WALK_NEGATIVE, WALK_ZERO, WALK_POSITIVE, WALK_END } part;
    size_t span, in_span, bucket;
    int64_t index;    /* of the next bucket */
    bool overlapping; /* bounds as the schema says, even within the zero bucket */
};

struct histogram_walk histogram_walk(const struct histogram *histogram);
bool histogram_walk_next(struct histogram_walk *walk, struct histogram_bucket *out);

/* Bound of a bucket of exponential schema -9..8: the upper one of bucket `index`. */
double histogram_bound(int64_t index, int32_t schema);
/* The same of a bucket of this histogram, on the positive side; custom ones too. */
double histogram_bucket_bound(const struct histogram *histogram, int64_t index);

/* {count:5, sum:18.4, [-4,-2.8):1, ...} as Prometheus prints it. */
void histogram_print(struct buf *out, const struct histogram *histogram);
