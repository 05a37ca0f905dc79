/* Functions that look for resets or changes from sample to sample: rate and its kin. */
#include <math.h>

#include "promql/window_pass.h"

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

static void find_resets(struct pass *pass)
{
    pass->marks = arena_array(pass->arena, pass->count + 1, sizeof(*pass->marks));
    for (size_t i = 1; i < pass->count; i++) {
        pass->marks[pass->mark_count] = (uint32_t)i;
        pass->mark_count += is_reset(pass, i);
    }
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

/* What the increase is multiplied by, for samples that cover `sampled` seconds. */
static ALWAYS_INLINE double scale(const struct pass *pass, double sampled, double to_start,
                                  double to_end, bool is_rate)
{
    double factor = sampled == 0 ? 1 : (sampled + to_start + to_end) / sampled;
    return is_rate ? factor / pass->range_seconds : factor;
}

/* A counter that began within the window, at a time that is known, was 0 then. */
static bool from_start(struct pass *pass, const struct window *window, bool is_rate, double *out)
{
    size_t last = window->count - 1;
    int64_t began = window->starts[0], since = window->end - pass->spec->range_ms;
    if (began == 0 || began <= since || began >= window->times[0])
        return false;
    double interval = 0;
    if (last > 0)
        interval = (double)(window->times[last] - window->times[0]) / 1000 / (double)last;
    double to_end = (double)(window->end - window->times[last]) / 1000;
    if (to_end >= interval * 1.1)
        to_end = interval / 2;
    double sampled = (double)(window->times[last] - began) / 1000;
    *out = (sampled_increase(pass, window, true) + window->values[0]) *
           scale(pass, sampled, 0, to_end, is_rate);
    return true;
}

static ALWAYS_INLINE bool extrapolated(struct pass *pass, const struct window *window,
                                       bool is_counter, bool is_rate, double *out)
{
    if (is_counter && window->starts) {
        note_overlap(pass, window);
        if (from_start(pass, window, is_rate, out))
            return true;
    }
    if (window->count < 2)
        return false;
    double increase = sampled_increase(pass, window, is_counter);
    int64_t first_time = window->times[0], last_time = window->times[window->count - 1];
    double to_start = (double)(first_time - (window->end - pass->spec->range_ms)) / 1000;
    double to_end = (double)(window->end - last_time) / 1000;
    double sampled = (double)(last_time - first_time) / 1000;
    double average = sampled / (double)(window->count - 1);
    double threshold = average * 1.1;

    if (to_start >= threshold)
        to_start = average / 2;
    if (is_counter && increase > 0 && window->values[0] >= 0) {
        double to_zero = sampled * (window->values[0] / increase);
        if (to_zero < to_start)
            to_start = to_zero;
    }
    if (to_end >= threshold)
        to_end = average / 2;
    *out = increase * scale(pass, sampled, to_start, to_end, is_rate);
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

WINDOW_FUNCTION(rate, find_resets, HISTOGRAMS_ALONE, 2)
WINDOW_FUNCTION(increase, find_resets, HISTOGRAMS_ALONE, 2)
WINDOW_FUNCTION(delta, NULL, HISTOGRAMS_ALONE, 2)
WINDOW_FUNCTION(irate, NULL, HISTOGRAMS_COUNT, 2)
WINDOW_FUNCTION(idelta, NULL, HISTOGRAMS_COUNT, 2)
WINDOW_FUNCTION(resets, count_resets, HISTOGRAMS_COUNT, 1)
WINDOW_FUNCTION(changes, count_changes, HISTOGRAMS_COUNT, 1)
WINDOW_FUNCTION(extended_resets, count_resets, HISTOGRAMS_COUNT, 1)
WINDOW_FUNCTION(extended_changes, count_changes, HISTOGRAMS_COUNT, 1)
