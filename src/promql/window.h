/* promql/window.h: what a selector makes of the samples of one series: at each step the sample that
 * counts there (instant vectors), or a function of all samples in a window (range vectors).
 *
 * With r = (has_at ? at_ms : the step's time) - offset_ms, an instant selection takes the last
 * sample in (r - lookback_ms, r] unless it is a stale marker; a window is (r - range_ms, r] without
 * its stale markers. Anchored and smoothed ones and those of xrate and its kin see samples up to
 * before_ms before that, smoothed ones also up to lookback_ms behind it. Both ends only move
 * forward from step to step, so a row costs its samples and its steps; what a function then does
 * with its window is done in Prometheus's order of operations, for the same bits. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "chunk/samples.h"
#include "promql/ast.h"
#include "promql/step_batch.h"

enum { WINDOW_PARAMS_MAX = 2 };

/* What an instant selection gives of the sample that counts. */
enum window_read {
    WINDOW_READ_VALUES,
    WINDOW_READ_TIMES,  /* in seconds */
    WINDOW_READ_STARTS, /* start times in seconds, 0 where there is none */
};

struct window_spec {
    int64_t range_ms; /* 0: instant selection */
    int64_t offset_ms, lookback_ms;
    int64_t before_ms; /* how far before its range an extended window sees */
    bool has_at;
    int64_t at_ms;
    enum extended_range extended;
    enum window_read read;     /* of instant selections */
    bool keep_histograms;      /* with another read: histograms stay what they are */
    enum function_id function; /* of windows; absent_over_time is read as present_over_time */
    const double *params[WINDOW_PARAMS_MAX]; /* scalar arguments in their order, a value per step */
};

/* What there is to tell the user about a row. */
enum window_note {
    NOTE_MIXED = 1 << 0,              /* a window with floats and histograms was left out */
    NOTE_HISTOGRAMS_IGNORED = 1 << 1, /* histograms were left out of windows with floats */
    NOTE_SCHEMAS_MIXED = 1 << 2,      /* exponential and custom buckets: left out */
    NOTE_NOT_COUNTER = 1 << 3,        /* a gauge histogram where a counter is expected */
    NOTE_NOT_GAUGE = 1 << 4,          /* or the other way round */
    NOTE_COLLISION = 1 << 5,          /* histograms of a sum contradict each other about resets */
    NOTE_RECONCILED_SUM = 1 << 6,     /* custom bounds differed, in sums over time, */
    NOTE_RECONCILED_ADD = 1 << 7,     /* when resets were made good, */
    NOTE_RECONCILED_SUBTRACT = 1 << 8 /* or for a difference */
};

/* What happened in a row, for annotations and statistics. Added to, never cleared. */
struct window_notes {
    unsigned notes;    /* enum window_note */
    uint64_t overlaps; /* windows in which a sample's start time is before the sample before it */
    uint64_t samples;  /* samples of all windows */
};

/* Fills a row of the batch (values, present, first, last; histograms when there are any) from the
 * samples, whose columns it may change. arena: the batch's; scratch: for memory of the call alone.
 * Histograms of instant selections, first_over_time and last_over_time are the samples' own, others
 * live in the batch's arena. Fails with ERROR_QUERY where histograms meet a
 * function that does not know them, and for parameters that a function refuses. */
MUST_CHECK struct error *window_run(const struct window_spec *spec, struct samples *samples,
                                    struct arena *scratch, struct arena *arena,
                                    struct step_batch *batch, size_t row,
                                    struct window_notes *notes);

/* The range vector itself at a step's time: its samples without stale markers; of extended ones
 * those strictly between its ends and an estimate at either. Columns may be changed in place or be
 * made anew in the arena. Fails with ERROR_QUERY for extended ones of histograms. */
MUST_CHECK struct error *window_points(const struct window_spec *spec, int64_t step_time,
                                       struct samples *samples, struct arena *arena);

/* True for the functions that window_run() computes. */
bool window_has_function(enum function_id function);
