/* Functions that look for resets or changes from sample to sample: rate and its kin. */
#include <math.h>

#include "promql/window_mixed.h"
#include "promql/window_scale.h"

/* ---- rate, increase, delta ---- */

bool window_start_is_reset(int64_t start_before, int64_t time_before, int64_t start, int64_t time)
{
    bool is_unknown = start == 0 || start >= time;
    if (is_unknown || start == start_before || start < time_before)
        return false;
    if (start > time_before)
        return true;
    /* It began with the sample before: so it is with increments, each of which counts from zero,
     * but also with totals whose beginning is not known and that say so in their first sample. */
    return start_before != 0 && start_before < time_before;
}

bool window_start_is_reset_after(int64_t since, int64_t start, int64_t time)
{
    return start > since && time > since && window_start_is_reset(since, since, start, time);
}

static bool is_reset(const struct pass *pass, size_t at)
{
    if (pass->values[at] < pass->values[at - 1])
        return true;
    return pass->starts && window_start_is_reset(pass->starts[at - 1], pass->times[at - 1],
                                                 pass->starts[at], pass->times[at]);
}

static void find_overlaps(struct pass *pass)
{
    pass->overlaps = arena_array(pass->arena, pass->count + 1, sizeof(*pass->overlaps));
    for (size_t i = 1; i < pass->count; i++) {
        int64_t start = pass->starts[i];
        pass->overlaps[pass->overlap_count] = (uint32_t)i;
        pass->overlap_count +=
            start != 0 && start < pass->times[i - 1] && start != pass->starts[i - 1];
    }
}

void window_find_resets(struct pass *pass)
{
    const double *values = pass->values;
    size_t count = pass->count, found = 0;
    uint32_t *marks = arena_array(pass->arena, count + 1, sizeof(*marks));
    for (size_t i = 1; i < count && !pass->starts; i++) { /* no branch on values */
        marks[found] = (uint32_t)i;
        found += values[i] < values[i - 1];
    }
    for (size_t i = 1; i < count && pass->starts; i++) {
        marks[found] = (uint32_t)i;
        found += is_reset(pass, i);
    }
    pass->marks = marks;
    pass->mark_count = found;
    if (pass->starts)
        find_overlaps(pass);
}

static void note_overlap(struct pass *pass, const struct window *window)
{
    while (pass->overlap_at < pass->overlap_count &&
           pass->overlaps[pass->overlap_at] <= window->from)
        pass->overlap_at++;
    pass->notes->overlaps += pass->overlap_at < pass->overlap_count &&
                             pass->overlaps[pass->overlap_at] < window->from + window->count;
}

/* The increase over the samples themselves: last - first, plus what each reset lost. */
static ALWAYS_INLINE double sampled_increase(struct pass *pass, const struct window *window,
                                             bool is_counter)
{
    double increase = window->values[window->count - 1] - window->values[0];
    if (!is_counter)
        return increase;
    while (pass->mark_at < pass->mark_count && pass->marks[pass->mark_at] <= window->from)
        pass->mark_at++;
    size_t end = window->from + window->count;
    for (size_t i = pass->mark_at; i < pass->mark_count && pass->marks[i] < end; i++)
        increase += pass->values[pass->marks[i] - 1];
    return increase;
}

static ALWAYS_INLINE bool extrapolated(struct pass *pass, const struct window *window,
                                       bool is_counter, bool is_rate, double *out)
{
    double factor;
    if (is_counter && window->starts) {
        note_overlap(pass, window);
        if (scale_from_start(pass, window->times, window->starts, window->count, window->end,
                             is_rate, &factor)) {
            *out = (sampled_increase(pass, window, true) + window->values[0]) * factor;
            return true;
        }
    }
    if (window->count < 2)
        return false;
    double increase = sampled_increase(pass, window, is_counter);
    *out = increase * scale_extrapolated(pass, window->times, window->count, window->end,
                                         is_counter, is_rate, window->values[0], increase);
    return true;
}

static ALWAYS_INLINE bool rate_at(struct pass *pass, const struct window *window, double *out)
{
    return extrapolated(pass, window, true, true, out);
}

static ALWAYS_INLINE bool increase_at(struct pass *pass, const struct window *window, double *out)
{
    return extrapolated(pass, window, true, false, out);
}

static ALWAYS_INLINE bool delta_at(struct pass *pass, const struct window *window, double *out)
{
    return extrapolated(pass, window, false, false, out);
}

/* ---- irate, idelta ---- */

double window_last_difference(const struct window *window, size_t at, bool is_rate)
{
    const int64_t *times = window->times + at;
    const double *values = window->values + at;
    double difference = values[1];
    bool is_reset =
        values[1] < values[0] || window_start_is_reset(window_start(window, at), times[0],
                                                       window_start(window, at + 1), times[1]);
    if (!is_rate || !is_reset)
        difference = values[1] - values[0];
    if (is_rate)
        difference /= (double)(times[1] - times[0]) / 1000;
    return difference;
}

static ALWAYS_INLINE bool irate_at(struct pass *pass, const struct window *window, double *out)
{
    if (window->count < 2)
        return false;
    *out = window_last_difference(window, window->count - 2, true);
    return true;
}

static ALWAYS_INLINE bool idelta_at(struct pass *pass, const struct window *window, double *out)
{
    if (window->count < 2)
        return false;
    *out = window_last_difference(window, window->count - 2, false);
    return true;
}

/* ---- resets, changes: sums over neighbours, so differences of running totals ---- */

static void count_resets(struct pass *pass)
{
    pass->marks = arena_array(pass->arena, pass->count + 1, sizeof(*pass->marks));
    uint32_t total = 0;
    for (size_t i = 0; i < pass->count; i++) {
        total += i > 0 && is_reset(pass, i);
        pass->marks[i] = total;
    }
}

bool window_is_change(double before, double value)
{
    return value != before && !(isnan(value) && isnan(before));
}

static void count_changes(struct pass *pass)
{
    pass->marks = arena_array(pass->arena, pass->count + 1, sizeof(*pass->marks));
    uint32_t total = 0;
    for (size_t i = 0; i < pass->count; i++) {
        total += i > 0 && window_is_change(pass->values[i - 1], pass->values[i]);
        pass->marks[i] = total;
    }
}

static ALWAYS_INLINE bool resets_at(struct pass *pass, const struct window *window, double *out)
{
    *out = (double)(pass->marks[window->from + window->count - 1] - pass->marks[window->from]);
    return true;
}

static ALWAYS_INLINE bool changes_at(struct pass *pass, const struct window *window, double *out)
{
    return resets_at(pass, window, out);
}

/* From the last sample at or before the window's start on. */
static bool extended_resets_at(struct pass *pass, const struct window *window, double *out)
{
    size_t first = window_count_until(window->times, window->count,
                                      int64_sub_saturating(window->end, pass->spec->range_ms));
    if (first == window->count)
        return false;
    first -= first > 0;
    *out =
        (double)(pass->marks[window->from + window->count - 1] - pass->marks[window->from + first]);
    return true;
}

static bool extended_changes_at(struct pass *pass, const struct window *window, double *out)
{
    return extended_resets_at(pass, window, out);
}

WINDOW_FUNCTION(rate, window_find_resets, HISTOGRAMS_ALONE, window_histogram_rate)
WINDOW_FUNCTION(increase, window_find_resets, HISTOGRAMS_ALONE, window_histogram_increase)
WINDOW_FUNCTION(delta, NULL, HISTOGRAMS_ALONE, window_histogram_delta)
WINDOW_FUNCTION(irate, NULL, HISTOGRAMS_COUNT, NULL)
WINDOW_FUNCTION(idelta, NULL, HISTOGRAMS_COUNT, NULL)
WINDOW_FUNCTION(resets, count_resets, HISTOGRAMS_COUNT, NULL)
WINDOW_FUNCTION(changes, count_changes, HISTOGRAMS_COUNT, NULL)
WINDOW_FUNCTION(extended_resets, count_resets, HISTOGRAMS_COUNT, NULL)
WINDOW_FUNCTION(extended_changes, count_changes, HISTOGRAMS_COUNT, NULL)
