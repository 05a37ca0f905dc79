/* promql/window.h: what a selector makes of the samples of one series: at each step the sample that
 * counts there (instant vectors), or a function of all samples in a window (range vectors).
 *
 * With r = (has_at ? at_ms : the step's time) - offset_ms, an instant selection takes the last
 * sample in (r - lookback_ms, r] unless it is a stale marker; a window is (r - range_ms, r] without
 * its stale markers. Both ends only move forward from step to step, so a row costs its samples and
 * its steps; what a function then does with its window is done in Prometheus's order of operations,
 * for the same bits. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "chunk/samples.h"
#include "promql/functions.h"
#include "promql/step_batch.h"

enum { WINDOW_PARAMS_MAX = 2 };

struct window_spec {
    int64_t range_ms; /* 0: instant selection */
    int64_t offset_ms, lookback_ms;
    bool has_at;
    int64_t at_ms;
    bool read_times;           /* instant: the samples' times in seconds, not their values */
    bool keep_histograms;      /* with read_times: histograms stay what they are */
    enum function_id function; /* of windows; absent_over_time is read as present_over_time */
    const double *params[WINDOW_PARAMS_MAX]; /* scalar arguments in their order, a value per step */
};

/* What happened in a row, for annotations and statistics. Added to, never cleared. */
struct window_notes {
    bool mixed;              /* a window with floats and histograms was left out */
    bool histograms_ignored; /* histograms were left out of windows with floats */
    uint64_t samples;        /* samples of all windows */
};

/* Fills a row of the batch (values, present, first, last; histograms when there are any) from the
 * samples, whose columns it may change. arena: the batch's; scratch: for memory of the call alone.
 * A result that is a histogram is the sample's own. Fails with ERROR_QUERY where histograms meet a
 * function that does not know them, and for parameters that a function refuses. */
MUST_CHECK struct error *window_run(const struct window_spec *spec, struct samples *samples,
                                    struct arena *scratch, struct arena *arena,
                                    struct step_batch *batch, size_t row,
                                    struct window_notes *notes);

/* True for the functions that window_run() computes. */
bool window_has_function(enum function_id function);
