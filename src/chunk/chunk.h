/* chunk/chunk.h: compressed samples of one series over some time, as they lie in stores and on the
 * wire. Chunk bytes are borrowed: what holds them (a received message, a mapped file) is pinned by
 * the arena of the batch. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

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
