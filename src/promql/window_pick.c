/* Functions that only look at which samples there are. */
#include "promql/window_pass.h"

static ALWAYS_INLINE bool count_at(struct pass *pass, const struct window *window, double *out)
{
    *out = (double)window->count;
    return true;
}

static ALWAYS_INLINE bool first_at(struct pass *pass, const struct window *window, double *out)
{
    *out = window->values[0];
    return true;
}

static ALWAYS_INLINE bool last_at(struct pass *pass, const struct window *window, double *out)
{
    *out = window->values[window->count - 1];
    return true;
}

static ALWAYS_INLINE bool ts_of_first_at(struct pass *pass, const struct window *window,
                                         double *out)
{
    *out = (double)window->times[0] / 1000;
    return true;
}

static ALWAYS_INLINE bool ts_of_last_at(struct pass *pass, const struct window *window, double *out)
{
    *out = (double)window->times[window->count - 1] / 1000;
    return true;
}

static ALWAYS_INLINE bool present_at(struct pass *pass, const struct window *window, double *out)
{
    *out = 1;
    return true;
}

WINDOW_FUNCTION(count, NULL, HISTOGRAMS_COUNT, NULL)
WINDOW_FUNCTION(first, NULL, HISTOGRAMS_COUNT, NULL)
WINDOW_FUNCTION(last, NULL, HISTOGRAMS_COUNT, NULL)
WINDOW_FUNCTION(ts_of_first, NULL, HISTOGRAMS_COUNT, NULL)
WINDOW_FUNCTION(ts_of_last, NULL, HISTOGRAMS_COUNT, NULL)
WINDOW_FUNCTION(present, NULL, HISTOGRAMS_COUNT, NULL)
