/* chunk/samples.h: samples as columns, and how the chunks of a series become samples
 * (architecture.md, "From chunks to samples"). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "chunk/chunk.h"

struct histogram; /* model/histogram.h */

/* Columns of equal length, times strictly increasing; NaN is a value, the stale marker too.
 * histograms is NULL while there are only floats; else histograms[i] is not NULL for a histogram
 * sample, and values[i] is then its sum (only for staleness: STALE_NAN_BITS when the sample is a
 * stale marker). starts is NULL when no start times are known or asked for; else starts[i] is the
 * time in ms from which on the counter counts, 0 where it is not known. */
struct samples {
    int64_t *times;
    double *values;
    struct histogram **histograms;
    size_t count;
    int64_t *starts;
};

enum dedup { DEDUP_OFF, DEDUP_PENALTY, DEDUP_CHAIN };

/* Which aggregate of downsampled chunks is read; raw chunks are read in any case. */
enum aggr_read {
    READ_RAW, /* ERROR_CORRUPT on downsampled chunks */
    READ_COUNT,
    READ_SUM,
    READ_MIN,
    READ_MAX,
    READ_AVERAGE, /* sum / count */
    READ_COUNTER, /* for rate, increase, irate: counter resets are taken out where they must be */
    READ_COUNTER_UNLIFTED, /* for xrate, xincrease: the same, but dedup does not lift lanes */
    READ_RESETS,           /* for resets: taken out of downsampled lanes only, no lifting */
};

struct sample_rules {
    enum dedup dedup;
    enum aggr_read read;
    int64_t data_min, data_max; /* data range of the whole query, inclusive */
    bool start_times;           /* read the samples' start times, too */
};

/* The samples of a series by the rules. out's columns live in the arena (the caller's scratch).
 * Fails with ERROR_CORRUPT on bad chunk bytes, ERROR_LIMIT over the arena's budget. */
MUST_CHECK struct error *samples_read(const struct chunk_list *chunks,
                                      const struct sample_rules *rules, struct arena *arena,
                                      struct samples *out);

#define STALE_NAN_BITS 0x7ff0000000000002u
bool sample_is_stale(double value);

/* Room for `count` samples in empty columns in the arena, with a column of histograms when asked
 * for; ERROR_LIMIT. The second adds a column of start times, all unknown. */
MUST_CHECK struct error *samples_reserve(struct arena *arena, size_t count, bool histograms,
                                         struct samples *out);
MUST_CHECK struct error *samples_reserve_starts(struct arena *arena, size_t count,
                                                struct samples *samples);
/* Thanos's deduplication of two replicas: goes on with one of them until it has a gap, the other is
 * held back by a penalty of twice the last interval. Columns of the result lie in the arena.
 * ERROR_LIMIT. */
MUST_CHECK struct error *samples_penalty(const struct samples *a, const struct samples *b,
                                         struct arena *arena, struct samples *out);

/* A series may have that many chunks at one time; more are ERROR_LIMIT. */
enum { SAMPLES_LANES_MAX = 1000 };
