/* Lines and curves through the samples of a window. */
#include <math.h>

#include "base/kahan.h"
#include "promql/window_pass.h"

/* ---- deriv, predict_linear, double_exponential_smoothing ---- */

struct line {
    double slope, intercept;
};

/* Least squares; x in seconds from `origin`. */
static struct line linear_regression(const struct window *window, int64_t origin)
{
    double n = 0, sum_x = 0, c_x = 0, sum_y = 0, c_y = 0, sum_xy = 0, c_xy = 0, sum_xx = 0,
           c_xx = 0;
    double first = window->values[0];
    bool is_constant = true;
    for (size_t i = 0; i < window->count; i++) {
        double y = window->values[i];
        if (i > 0 && y != first)
            is_constant = false;
        n += 1.0;
        double x = (double)(window->times[i] - origin) / 1e3;
        kahan_add(x, &sum_x, &c_x);
        kahan_add(y, &sum_y, &c_y);
        kahan_add(x * y, &sum_xy, &c_xy);
        kahan_add(x * x, &sum_xx, &c_xx);
    }
    if (is_constant)
        return isinf(first) ? (struct line){NAN, NAN} : (struct line){0, first};
    sum_x += c_x;
    sum_y += c_y;
    sum_xy += c_xy;
    sum_xx += c_xx;
    double covariance = sum_xy - sum_x * sum_y / n;
    double variance = sum_xx - sum_x * sum_x / n;
    struct line line = {.slope = covariance / variance};
    line.intercept = sum_y / n - line.slope * sum_x / n;
    return line;
}

static ALWAYS_INLINE bool deriv_at(struct pass *pass, const struct window *window, double *out)
{
    if (window->count < 2)
        return false;
    *out = linear_regression(window, window->times[0]).slope;
    return true;
}

static ALWAYS_INLINE bool predict_linear_at(struct pass *pass, const struct window *window,
                                            double *out)
{
    if (window->count < 2)
        return false;
    struct line line = linear_regression(window, window->step_time);
    *out = line.slope * pass->spec->params[0][window->step] + line.intercept;
    return true;
}

static ALWAYS_INLINE bool double_exponential_smoothing_at(struct pass *pass,
                                                          const struct window *window, double *out)
{
    if (window->count < 2)
        return false;
    double smoothing = pass->spec->params[0][window->step];
    double trend = pass->spec->params[1][window->step];
    double before = 0, smoothed = window->values[0];
    double slope = window->values[1] - window->values[0];
    for (size_t i = 1; i < window->count; i++) {
        double x = smoothing * window->values[i];
        if (i > 1) {
            double up = trend * (smoothed - before), keep = (1 - trend) * slope;
            slope = up + keep;
        }
        double y = (1 - smoothing) * (smoothed + slope);
        before = smoothed;
        smoothed = x + y;
    }
    *out = smoothed;
    return true;
}

WINDOW_FUNCTION(deriv, NULL, HISTOGRAMS_IGNORED, NULL)
WINDOW_FUNCTION(predict_linear, NULL, HISTOGRAMS_IGNORED, NULL)
WINDOW_FUNCTION(double_exponential_smoothing, NULL, HISTOGRAMS_IGNORED, NULL)
