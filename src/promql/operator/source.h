/* promql/operator/source.h: the series of one selector, from the store, in slices that are read
 * together. One thread at a time; a slice may go to another thread. */
#pragma once

#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"
#include "chunk/samples.h"
#include "promql/execution.h"
#include "promql/plan.h"
#include "store/series_set.h"

/* At least one series; about 1 MiB of chunk bytes at most, but for the last one. Labels and chunks
 * live in `arena`, of which the slice holds a reference. */
struct slice {
    struct arena *arena;
    const struct series *series;
    size_t count;
};

void slice_deinit(struct slice *slice);

struct source {
    struct execution *execution;
    struct series_set *set;
    struct slice rest; /* what was taken from the set and is not given out yet */
    bool ended;
};

/* Starts the select. Half-made sources are fine for source_deinit(). */
MUST_CHECK struct error *source_open(struct source *source, struct execution *execution,
                                     const struct plan_selector *selector);
void source_deinit(struct source *source);

/* Up to rows_max series; count 0 is the end. */
MUST_CHECK struct error *source_next(struct source *source, size_t rows_max, struct slice *out);

struct sample_rules source_rules(const struct execution *execution,
                                 const struct plan_selector *selector);
