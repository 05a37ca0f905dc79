/* promql/window_pass.h: how the functions of range vectors go through a row; inside of window*.c
 * only. A function is what it makes of one window; the walk over the steps is compiled into each of
 * them, so that what differs between functions costs nothing per step. */
#pragma once

#include "promql/window.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))

/* The floats of a row in the window of one step: [from, from + count) of its columns. */
struct window {
    size_t step, from, count;
    const int64_t *times, *starts; /* starts: NULL when none is known or wanted */
    const double *values;
    int64_t step_time, end; /* end = r: the window is (end - before_ms, end + after_ms] */
};

/* One row on its way through the steps. */
struct pass {
    const struct window_spec *spec;
    const struct step_grid *grid;
    struct arena *arena;
    struct window_notes *notes;
    int64_t before_ms, after_ms;   /* how far a window reaches on either side of its end */
    const int64_t *times, *starts; /* columns of floats without stale markers */
    const double *values;
    size_t count;
    double range_seconds;

    /* What some functions remember from step to step; set by their begin(). */
    uint32_t *marks; /* positions where a counter was reset; or, per sample, how many came before */
    size_t mark_count, mark_at;
    uint32_t *overlaps; /* positions of samples whose start time is before the sample before */
    size_t overlap_count, overlap_at;
    uint32_t *queue; /* positions of candidates for the maximum or minimum */
    size_t queue_head, queue_tail, queue_next;
    double *scratch;
    size_t scratch_cap;
};

/* Computes a step; false: no result there. */
typedef bool (*window_at)(struct pass *pass, const struct window *window, double *out);

/* What a function does about histograms in its windows. */
enum histogram_rule {
    HISTOGRAMS_ALONE,   /* floats or histograms, never both */
    HISTOGRAMS_IGNORED, /* only floats count */
    HISTOGRAMS_COUNT,   /* a sample is a sample; see window_mixed.c */
};

struct mixed_pass; /* promql/window_mixed.h */
struct histogram_window;
typedef struct histogram *(*window_histograms_at)(struct mixed_pass *pass,
                                                  const struct histogram_window *window);

struct window_function {
    void (*each)(struct pass *pass, double *out, uint64_t *present);
    window_at at;
    void (*begin)(struct pass *pass);
    enum histogram_rule rule;
    window_histograms_at histograms; /* of HISTOGRAMS_ALONE: its other half */
};

/* Ends of the window, moved to a step's place; times never go back from step to step. */
struct bounds {
    size_t from, to;
    int64_t end;
};

static ALWAYS_INLINE void bounds_move(struct bounds *bounds, const struct pass *pass,
                                      int64_t step_time, const int64_t *times, size_t count)
{
    const struct window_spec *spec = pass->spec;
    int64_t end = int64_sub_saturating(spec->has_at ? spec->at_ms : step_time, spec->offset_ms);
    int64_t start = int64_sub_saturating(end, pass->before_ms), until = end;
    if (pass->after_ms > 0)
        until = int64_add_saturating(end, pass->after_ms);
    size_t from = bounds->from, to = bounds->to;
    while (to < count && times[to] <= until)
        to++;
    while (from < to && times[from] <= start)
        from++;
    *bounds = (struct bounds){from, to, end};
}

static ALWAYS_INLINE void each_window(struct pass *pass, double *out, uint64_t *present,
                                      window_at at)
{
    const struct step_grid *grid = pass->grid;
    struct bounds bounds = {0};
    uint64_t word = 0, samples = 0;
    for (size_t step = 0; step < grid->count; step++) {
        int64_t step_time = step_grid_time(grid, step);
        bounds_move(&bounds, pass, step_time, pass->times, pass->count);
        struct window window = {
            .step = step,
            .from = bounds.from,
            .count = bounds.to - bounds.from,
            .times = pass->times + bounds.from,
            .starts = pass->starts ? pass->starts + bounds.from : NULL,
            .values = pass->values + bounds.from,
            .step_time = step_time,
            .end = bounds.end,
        };
        out[step] = 0;
        samples += window.count;
        if (window.count > 0 && at(pass, &window, &out[step]))
            word |= (uint64_t)1 << (step % 64);
        if (step % 64 == 63 || step + 1 == grid->count) {
            present[step / 64] = word;
            word = 0;
        }
    }
    pass->notes->samples += samples;
}

/* Defines window_NAME, a row of window.c's table, from NAME_at(). */
#define WINDOW_FUNCTION(name, begin, rule, histograms)                                             \
    static void name##_each(struct pass *pass, double *out, uint64_t *present)                     \
    {                                                                                              \
        each_window(pass, out, present, name##_at);                                                \
    }                                                                                              \
    const struct window_function window_##name = {name##_each, name##_at, begin, rule, histograms};

extern const struct window_function window_avg, window_changes, window_count, window_delta,
    window_deriv, window_double_exponential_smoothing, window_extended_changes,
    window_extended_delta, window_extended_increase, window_extended_rate, window_extended_resets,
    window_first, window_idelta, window_increase, window_integral, window_irate, window_last,
    window_mad, window_max, window_min, window_predict_linear, window_present, window_quantile,
    window_rate, window_resets, window_smoothed, window_stddev, window_stdvar, window_sum,
    window_ts_of_first, window_ts_of_last, window_ts_of_max, window_ts_of_min, window_xdelta,
    window_xincrease, window_xrate;

/* How many of rising times are at or before `time`. */
static inline size_t window_count_until(const int64_t *times, size_t count, int64_t time)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (times[middle] <= time)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Whether the start time of a sample tells that its counter began anew since the sample before, or
 * since `time`; starts of 0 are not known. */
bool window_start_is_reset(int64_t start_before, int64_t time_before, int64_t start, int64_t time);
bool window_start_is_reset_after(int64_t since, int64_t start, int64_t time);
static inline int64_t window_start(const struct window *window, size_t at)
{
    return window->starts ? window->starts[at] : 0;
}

/* begin() of counters: sets marks to the positions of resets. */
void window_find_resets(struct pass *pass);
/* What irate and idelta make of the samples `at` and at + 1 of a window, and changes of neighbours.
 */
double window_last_difference(const struct window *window, size_t at, bool is_rate);
bool window_is_change(double before, double value);

/* window_points() of anchored and smoothed ranges; the pass sees only the samples. */
MUST_CHECK struct error *window_extended_points(struct pass *pass, int64_t end,
                                                struct samples *samples);
/* Whether a row has histograms at all. */
bool window_has_histograms(const struct samples *samples);
/* A row with histograms; samples are all of them, without stale markers. */
MUST_CHECK struct error *window_mixed_run(struct pass *pass, const struct window_function *function,
                                          const struct samples *samples, struct arena *arena,
                                          struct step_batch *batch, size_t row);
