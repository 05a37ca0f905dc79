/* Thanos's xrate, xincrease and xdelta: the last sample before the window counts, too, so that
 * what happened between it and the first one of the window is in. */
#include "promql/window_pass.h"

/* The samples that count: those of the window, and the last one before it. */
static struct window widen(const struct pass *pass, const struct window *window)
{
    int64_t start = int64_sub_saturating(window->end, pass->spec->range_ms);
    size_t first = window_count_until(window->times, window->count, start);
    struct window wide = *window;
    first -= first > 0;
    wide.from += first;
    wide.times += first;
    wide.values += first;
    wide.count -= first;
    return wide;
}

static bool is_constant(const struct window *window)
{
    for (size_t i = 1; i < window->count; i++) {
        if (window->values[i] != window->values[i - 1])
            return false;
    }
    return true;
}

static double difference(const struct window *window, size_t first, bool is_counter)
{
    double lost = 0, before = 0;
    for (size_t i = first; i < window->count && is_counter; i++) {
        lost += window->values[i] < before ? before : 0;
        before = window->values[i];
    }
    return window->values[window->count - 1] - window->values[first] + lost;
}

static double covered_ms(const struct window *window, size_t first)
{
    return (double)(window->times[window->count - 1] - window->times[first]);
}

static bool is_new(const struct pass *pass, const struct window *window)
{
    /* pass->times[0]: when the series appeared, as far as the query's data tell */
    return window->end <= int64_add_saturating(pass->spec->range_ms, pass->times[0]);
}

/* increase: nothing is adjusted, and a series that has just appeared counts from zero. */
static bool xincrease_at(struct pass *pass, const struct window *window, double *out)
{
    struct window wide = widen(pass, window);
    *out = is_constant(&wide) && is_new(pass, &wide) ? wide.values[0] : difference(&wide, 0, true);
    return true;
}

/* The difference, adjusted to the range's length where the samples cover it. */
static double adjusted(const struct pass *pass, const struct window *window, bool is_counter,
                       bool is_rate)
{
    int64_t start = int64_sub_saturating(window->end, pass->spec->range_ms);
    double seconds = (double)(pass->spec->range_ms / 1000);
    size_t first = 0, last = window->count - 1;
    double covered = covered_ms(window, 0), interval = covered / (double)last;
    if ((double)int64_sub_saturating(start, window->times[0]) > interval) {
        if (window->count < 3)
            return 0;
        first = 1;
        covered = covered_ms(window, first);
        interval = covered / (double)(last - 1);
    }
    double value = difference(window, first, is_counter);
    if (window->times[first] <= start && (double)(window->end - window->times[last]) < interval)
        value *= seconds / (covered / 1000);
    return is_rate ? value / seconds : value;
}

static bool xrate_at(struct pass *pass, const struct window *window, double *out)
{
    struct window wide = widen(pass, window);
    *out = adjusted(pass, &wide, true, true);
    return true;
}

static bool xdelta_at(struct pass *pass, const struct window *window, double *out)
{
    struct window wide = widen(pass, window);
    *out = adjusted(pass, &wide, false, false);
    return true;
}

WINDOW_FUNCTION(xrate, NULL, HISTOGRAMS_IGNORED, NULL)
WINDOW_FUNCTION(xincrease, NULL, HISTOGRAMS_IGNORED, NULL)
WINDOW_FUNCTION(xdelta, NULL, HISTOGRAMS_IGNORED, NULL)
