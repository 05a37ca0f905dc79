/* promql/window_mixed.h: windows with native histograms; inside of window*.c only.
 *
 * A row with histograms is split into a column of floats and one of histograms. Results of
 * histograms are made in an arena of the step and copied where they are kept. */
#pragma once

#include "model/histogram_math.h"
#include "promql/window_pass.h"

/* The histograms of a row in the window of one step: [from, from + count) of its column; never
 * none. */
struct histogram_window {
    size_t from, count;
    const int64_t *times, *starts; /* starts: NULL when none is known or wanted */
    struct histogram *const *items;
    int64_t end;
};

/* The histograms of one row on their way through the steps. */
struct mixed_pass {
    struct pass *pass;  /* its columns hold the floats alone */
    struct arena *work; /* of a step */
    const int64_t *times, *starts;
    struct histogram **items;
    size_t count;

    /* Per histogram: how many up to it, itself included, are gauges and have custom buckets; a
     * counter was reset before it; its start time is before the histogram before it. */
    uint32_t *gauges, *customs, *resets, *overlaps;
    bool has_one_schema;
};

/* How many of the histograms [from, to) of a column a running total counts. */
static inline uint32_t mixed_count(const uint32_t *totals, size_t from, size_t to)
{
    if (from >= to)
        return 0;
    return totals[to - 1] - (from > 0 ? totals[from - 1] : 0);
}

/* b was reset since a, by its start time or by what it counts. */
bool window_histogram_is_reset(const struct histogram *a, int64_t time_a, int64_t start_a,
                               const struct histogram *b, int64_t time_b, int64_t start_b);
/* irate, idelta: items 0 and 1. */
struct histogram *window_histogram_last_difference(struct mixed_pass *mixed,
                                                   const struct histogram_window *window,
                                                   bool is_rate);

/* Results live in mixed->work; NULL: none. */
struct histogram *window_histogram_rate(struct mixed_pass *mixed,
                                        const struct histogram_window *window);
struct histogram *window_histogram_increase(struct mixed_pass *mixed,
                                            const struct histogram_window *window);
struct histogram *window_histogram_delta(struct mixed_pass *mixed,
                                         const struct histogram_window *window);
struct histogram *window_histogram_sum(struct mixed_pass *mixed,
                                       const struct histogram_window *window);
struct histogram *window_histogram_avg(struct mixed_pass *mixed,
                                       const struct histogram_window *window);
struct histogram *window_histogram_extended_rate(struct mixed_pass *mixed,
                                                 const struct histogram_window *window);
struct histogram *window_histogram_extended_increase(struct mixed_pass *mixed,
                                                     const struct histogram_window *window);
struct histogram *window_histogram_extended_delta(struct mixed_pass *mixed,
                                                  const struct histogram_window *window);
struct histogram *window_histogram_smoothed(struct mixed_pass *mixed,
                                            const struct histogram_window *window);
