/* Functions that look for resets or changes from sample to sample: rate and its kin. */
#include <math.h>

#include "promql/window_pass.h"

/* ---- rate, increase, delta ---- */

static void find_resets(struct pass *pass)
{
    pass->marks = arena_array(pass->arena, pass->count + 1, sizeof(*pass->marks));
    pass->mark_count = pass->mark_at = 0;
    for (size_t i = 1; i < pass->count; i++) {
        pass->marks[pass->mark_count] = (uint32_t)i;
        pass->mark_count += pass->values[i] < pass->values[i - 1];
    }
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

    double factor = (sampled + to_start + to_end) / sampled;
    if (is_rate)
        factor /= pass->range_seconds;
    *out = increase * factor;
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

double window_last_difference(const int64_t *times, const double *values, bool is_rate)
{
    double difference = values[1];
    if (!is_rate || !(values[1] < values[0]))
        difference = values[1] - values[0];
    if (is_rate)
        difference /= (double)(times[1] - times[0]) / 1000;
    return difference;
}

static ALWAYS_INLINE bool irate_at(struct pass *pass, const struct window *window, double *out)
{
    if (window->count < 2)
        return false;
    size_t at = window->count - 2;
    *out = window_last_difference(window->times + at, window->values + at, true);
    return true;
}

static ALWAYS_INLINE bool idelta_at(struct pass *pass, const struct window *window, double *out)
{
    if (window->count < 2)
        return false;
    size_t at = window->count - 2;
    *out = window_last_difference(window->times + at, window->values + at, false);
    return true;
}

/* ---- resets, changes: sums over neighbours, so differences of running totals ---- */

static void count_resets(struct pass *pass)
{
    pass->marks = arena_array(pass->arena, pass->count + 1, sizeof(*pass->marks));
    uint32_t total = 0;
    for (size_t i = 0; i < pass->count; i++) {
        total += i > 0 && pass->values[i] < pass->values[i - 1];
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

WINDOW_FUNCTION(rate, find_resets, HISTOGRAMS_ALONE, 2)
WINDOW_FUNCTION(increase, find_resets, HISTOGRAMS_ALONE, 2)
WINDOW_FUNCTION(delta, NULL, HISTOGRAMS_ALONE, 2)
WINDOW_FUNCTION(irate, NULL, HISTOGRAMS_COUNT, 2)
WINDOW_FUNCTION(idelta, NULL, HISTOGRAMS_COUNT, 2)
WINDOW_FUNCTION(resets, count_resets, HISTOGRAMS_COUNT, 1)
WINDOW_FUNCTION(changes, count_changes, HISTOGRAMS_COUNT, 1)
