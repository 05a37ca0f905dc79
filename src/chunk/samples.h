/* chunk/samples.h: samples as columns, and how the chunks of a series become samples
 * (architecture.md, "From chunks to samples"). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "chunk/chunk.h"

struct histogram; /* model/histogram.h */

/* Two columns of equal length, times strictly increasing; NaN is a value, the stale marker too.
 * histograms is NULL while there are only floats; else histograms[i] is not NULL for a histogram
 * sample, and values[i] is then its sum (only for staleness: STALE_NAN_BITS when the sample is a
 * stale marker). */
struct samples {
    int64_t *times;
    double *values;
    struct histogram **histograms;
    size_t count;
};

enum dedup { DEDUP_OFF, DEDUP_PENALTY, DEDUP_CHAIN };
enum aggr_read { READ_RAW, READ_COUNT, READ_SUM, READ_MIN, READ_MAX, READ_AVERAGE, READ_COUNTER };

struct sample_rules {
    enum dedup dedup;
    enum aggr_read read;
    int64_t data_min, data_max; /* data range of the whole query, inclusive */
};

/* The samples of a series by the rules. out's columns live in the arena (the caller's scratch).
 * Fails with ERROR_CORRUPT on bad chunk bytes, ERROR_LIMIT over the arena's budget. */
MUST_CHECK struct error *samples_read(const struct chunk_list *chunks,
                                      const struct sample_rules *rules, struct arena *arena,
                                      struct samples *out);

#define STALE_NAN_BITS 0x7ff0000000000002u
bool sample_is_stale(double value);
