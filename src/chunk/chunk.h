/* chunk/chunk.h: compressed samples of one series over some time, as they lie in stores and on the
 * wire. Chunk bytes are borrowed: what holds them (a received message, a mapped file) is pinned by
 * the arena of the batch. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

struct samples; /* chunk/samples.h */

/* Numbers of the chunk files and of Prometheus's remote read; the Store API counts from 0 without
 * NONE. 4 to 6 carry start timestamps, which Thanos does not know: they are transcoded at its
 * border. */
enum chunk_encoding {
    CHUNK_NONE,
    CHUNK_XOR,
    CHUNK_HISTOGRAM,
    CHUNK_FLOAT_HISTOGRAM,
    CHUNK_XOR2,
    CHUNK_HISTOGRAM_ST,
    CHUNK_FLOAT_HISTOGRAM_ST,
};

enum aggr { AGGR_RAW, AGGR_COUNT, AGGR_SUM, AGGR_MIN, AGGR_MAX, AGGR_COUNTER, AGGR_NUMBER };
#define AGGR_BIT(aggr) (1u << (aggr))

struct chunk_data {
    enum chunk_encoding encoding; /* CHUNK_NONE: absent */
    struct bytes bytes;
    uint64_t hash; /* xxHash64 of bytes, 0: not known */
};

/* Raw data has only AGGR_RAW, and `aggrs` is NULL; downsampled data has no raw and AGGR_NUMBER
 * entries in aggrs. */
struct chunk {
    int64_t min_time, max_time; /* inclusive, milliseconds */
    struct chunk_data raw;
    const struct chunk_data *aggrs; /* [AGGR_NUMBER], indexed by enum aggr, or NULL */
};

/* Sorted by (min_time, max_time, bytes), identical ones removed; may overlap. */
struct chunk_list {
    struct chunk *items;
    size_t count;
};

/* Order of the list. */
int chunk_compare(const struct chunk *a, const struct chunk *b);

/* How many samples the chunk says it has, at most 65535; 0 for what is no chunk. */
size_t chunk_sample_count(const struct chunk_data *data);

/* The samples whose times are within [min, max], in the order of the chunk; columns live in the
 * arena. Times are as they were written, which a broken chunk may not have in order. Fails with
 * ERROR_CORRUPT on bad bytes or an unknown encoding, ERROR_LIMIT over the arena's budget. */
MUST_CHECK struct error *chunk_decode(const struct chunk_data *data, int64_t min, int64_t max,
                                      struct arena *arena, struct samples *out);

/* Decodes behind what `into` has; there must be room for chunk_sample_count() more, and for
 * histograms when it is a chunk of these. Start times are given when there is a column for them.
 * Nothing is added when it fails. */
MUST_CHECK struct error *chunk_append(const struct chunk_data *data, struct arena *arena,
                                      struct samples *into);
bool chunk_has_histograms(enum chunk_encoding encoding);
bool chunk_has_starts(enum chunk_encoding encoding);

/* The same samples in an encoding up to CHUNK_FLOAT_HISTOGRAM, which Thanos knows; *out is *data
 * itself when it has one. New bytes live in the arena. Fails as chunk_decode() does. */
MUST_CHECK struct error *chunk_transcode(const struct chunk_data *data, struct arena *arena,
                                         struct chunk_data *out);
