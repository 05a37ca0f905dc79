/* chunk/histogram_read.h: reads histogram chunks sample by sample.
 *
 *     +-------+-------+------------------------------- bits --------------------------------+
 *     | count | flags | layout | t, count, zero count, sum, buckets ... [start] | sample | ...  |
 *     +-------+-------+---------------------------------------------------------------------+
 *       BE16    bits 7-6: how the first sample relates to the chunk before
 *
 *     layout: zero threshold, schema varbit, positive spans, negative spans, custom bounds
 *
 * Integers: the first sample's numbers are varbits, later ones' the change of their change; buckets
 * are differences to the bucket before. Floats: 64 bits, later XOR values. A stale sample (by its
 * sum) has no buckets. With start times (3.16 on) the flags' two bits are the top of the count and
 * the third byte is their head (chunk/start_times.h). */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "chunk/bits.h"
#include "chunk/start_times.h"
#include "chunk/xor.h"
#include "model/histogram.h"

struct histogram_layout { /* the same for all samples of a chunk; arrays in the arena */
    int32_t schema;
    double zero_threshold;
    const struct histogram_span *positive_spans, *negative_spans;
    size_t positive_span_count, negative_span_count;
    size_t positive_count, negative_count; /* buckets */
    const double *custom_values;
    size_t custom_count;
};

/* A number that is written as the change of its change. */
struct histogram_counter {
    uint64_t value, delta;
};

struct histogram_reader {
    struct bit_reader bits;
    bool integers;
    uint8_t flags; /* in bits 7-6 */
    struct start_reader starts;
    size_t total, read;
    struct histogram_layout layout;
    struct histogram_counter time;
    struct xor_value sum;
    /* integers; buckets: positive, then negative ones */
    struct histogram_counter count, zero_count, *buckets;
    /* floats */
    struct xor_value float_count, float_zero_count, *float_buckets;
    size_t sample_end; /* bit position behind the last sample, its start time not included */
};

/* Reads head and layout. ERROR_CORRUPT, ERROR_LIMIT. */
MUST_CHECK struct error *histogram_reader_init(struct histogram_reader *reader, struct bytes bytes,
                                               bool integers, bool start_times,
                                               struct arena *arena);
/* The next sample; read == total at the end. ERROR_CORRUPT. */
MUST_CHECK struct error *histogram_reader_next(struct histogram_reader *reader);
bool histogram_reader_is_stale(const struct histogram_reader *reader);
/* The sample read last. Its buckets go to `counts`, which has room for the layout's; it shares the
 * layout's spans and bounds. */
void histogram_reader_sample(const struct histogram_reader *reader, double *counts,
                             struct arena *arena, struct histogram *out);

/* Rows of chunk_encodings[]. */
MUST_CHECK struct error *histogram_append(struct bytes bytes, struct arena *arena,
                                          struct samples *into);
MUST_CHECK struct error *float_histogram_append(struct bytes bytes, struct arena *arena,
                                                struct samples *into);
MUST_CHECK struct error *histogram_st_append(struct bytes bytes, struct arena *arena,
                                             struct samples *into);
MUST_CHECK struct error *float_histogram_st_append(struct bytes bytes, struct arena *arena,
                                                   struct samples *into);
/* The same chunk without its start times: all other bits are copied as they are. */
MUST_CHECK struct error *histogram_drop_starts(struct bytes bytes, bool integers,
                                               struct arena *arena, struct bytes *out);
