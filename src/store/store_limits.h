/* store/store_limits.h: how much one select may give (--store.limits.request-series, -samples). */
#pragma once

#include "store/store.h"

struct metrics;

struct store_limits {
    size_t series, samples; /* 0: none; a chunk counts as 120 samples */
};

enum { SAMPLES_PER_CHUNK = 120 };

/* Takes inner. A select that gives more ends with ERROR_LIMIT "failed to send series: limit N
 * violated (got M)" or "failed to send samples: ..."; counted once a select in
 * thanos_store_selects_dropped_total{reason="series"|"chunks"} (metrics may be NULL). Without
 * limits it is inner. */
struct store *store_limits_create(struct store *inner, const struct store_limits *limits,
                                  struct metrics *metrics);
