/* Functions that order the values of a window: extremes and quantiles. */
#include <math.h>
#include <string.h>

#include "promql/quantile.h"
#include "promql/window_pass.h"

/* ---- the largest, the smallest ----
 *
 * Candidates wait in a queue of positions: a value makes all smaller ones before it irrelevant for
 * good, so the queue is in falling order and its head is the maximum. NaNs count only where there
 * is nothing else. */

static void queue_begin(struct pass *pass)
{
    pass->queue = arena_array(pass->arena, pass->count + 1, sizeof(*pass->queue));
    pass->queue_head = pass->queue_tail = pass->queue_next = 0;
}

static ALWAYS_INLINE bool extreme_at(struct pass *pass, const struct window *window, bool is_max,
                                     double *out)
{
    const double *values = pass->values;
    size_t end = window->from + window->count;
    while (pass->queue_head < pass->queue_tail && pass->queue[pass->queue_head] < window->from)
        pass->queue_head++;
    for (size_t i = size_max(pass->queue_next, window->from); i < end; i++) {
        if (isnan(values[i]))
            continue;
        while (pass->queue_tail > pass->queue_head &&
               (is_max ? values[pass->queue[pass->queue_tail - 1]] < values[i]
                       : values[pass->queue[pass->queue_tail - 1]] > values[i]))
            pass->queue_tail--;
        if (pass->queue_head == pass->queue_tail)
            pass->queue_head = pass->queue_tail = 0;
        pass->queue[pass->queue_tail++] = (uint32_t)i;
    }
    pass->queue_next = size_max(pass->queue_next, end);
    *out = pass->queue_head < pass->queue_tail ? values[pass->queue[pass->queue_head]] : NAN;
    return true;
}

static ALWAYS_INLINE bool max_at(struct pass *pass, const struct window *window, double *out)
{
    return extreme_at(pass, window, true, out);
}

static ALWAYS_INLINE bool min_at(struct pass *pass, const struct window *window, double *out)
{
    return extreme_at(pass, window, false, out);
}

/* When the last of the largest or smallest values was. */
static ALWAYS_INLINE double extreme_time(const struct window *window, bool is_max)
{
    size_t best = 0;
    for (size_t i = 1; i < window->count; i++) {
        double value = window->values[i], champion = window->values[best];
        if ((is_max ? value >= champion : value <= champion) || isnan(champion))
            best = i;
    }
    return (double)window->times[best] / 1000;
}

static ALWAYS_INLINE bool ts_of_max_at(struct pass *pass, const struct window *window, double *out)
{
    *out = extreme_time(window, true);
    return true;
}

static ALWAYS_INLINE bool ts_of_min_at(struct pass *pass, const struct window *window, double *out)
{
    *out = extreme_time(window, false);
    return true;
}

/* ---- quantiles ---- */

/* A copy of the window's values that may be reordered. */
static double *values_scratch(struct pass *pass, const struct window *window)
{
    if (window->count > pass->scratch_cap) {
        pass->scratch_cap = size_min(size_max(2 * window->count, 64), pass->count);
        pass->scratch = arena_array(pass->arena, pass->scratch_cap, sizeof(*pass->scratch));
    }
    memcpy(pass->scratch, window->values, window->count * sizeof(*pass->scratch));
    return pass->scratch;
}

static ALWAYS_INLINE bool quantile_at(struct pass *pass, const struct window *window, double *out)
{
    *out = quantile_of(pass->spec->params[0][window->step], values_scratch(pass, window),
                       window->count);
    return true;
}

static ALWAYS_INLINE bool mad_at(struct pass *pass, const struct window *window, double *out)
{
    double *values = values_scratch(pass, window);
    for (size_t i = 0; i < window->count; i++) {
        if (isnan(values[i])) {
            *out = NAN;
            return true;
        }
    }
    double median = quantile_of(0.5, values, window->count);
    for (size_t i = 0; i < window->count; i++)
        values[i] = fabs(values[i] - median);
    *out = quantile_of(0.5, values, window->count);
    return true;
}

WINDOW_FUNCTION(max, queue_begin, HISTOGRAMS_IGNORED, NULL)
WINDOW_FUNCTION(min, queue_begin, HISTOGRAMS_IGNORED, NULL)
WINDOW_FUNCTION(ts_of_max, NULL, HISTOGRAMS_IGNORED, NULL)
WINDOW_FUNCTION(ts_of_min, NULL, HISTOGRAMS_IGNORED, NULL)
WINDOW_FUNCTION(quantile, NULL, HISTOGRAMS_IGNORED, NULL)
WINDOW_FUNCTION(mad, NULL, HISTOGRAMS_IGNORED, NULL)
