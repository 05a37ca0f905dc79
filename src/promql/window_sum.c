/* Sums over a window and what is made of them: means, variances, areas. */
#include <math.h>

#include "base/kahan.h"
#include "promql/window_mixed.h"

/* ---- sums and means ---- */

static ALWAYS_INLINE bool sum_at(struct pass *pass, const struct window *window, double *out)
{
    double sum = 0, compensation = 0;
    for (size_t i = 0; i < window->count; i++)
        kahan_add(window->values[i], &sum, &compensation);
    *out = isinf(sum) ? sum : sum + compensation;
    return true;
}

/* The mean from `at` on when the sum of the values before it was finite but would not stay so. */
static double mean_without_overflow(const double *values, size_t count, size_t at, double sum,
                                    double compensation)
{
    double mean = sum / (double)at;
    compensation /= (double)at;
    for (; at < count; at++) {
        double n = (double)(at + 1);
        double kept = (n - 1) / n;
        double scaled = kept * mean, scaled_compensation = kept * compensation;
        kahan_add(values[at] / n, &scaled, &scaled_compensation);
        mean = scaled;
        compensation = scaled_compensation;
    }
    return mean + compensation;
}

static ALWAYS_INLINE bool avg_at(struct pass *pass, const struct window *window, double *out)
{
    double sum = window->values[0], compensation = 0;
    for (size_t i = 1; i < window->count; i++) {
        double next = sum, next_compensation = compensation;
        kahan_add(window->values[i], &next, &next_compensation);
        if (isinf(next)) {
            *out = mean_without_overflow(window->values, window->count, i, sum, compensation);
            return true;
        }
        sum = next;
        compensation = next_compensation;
    }
    double n = (double)window->count;
    *out = sum / n + compensation / n;
    return true;
}

static ALWAYS_INLINE double variance(const struct window *window)
{
    double n = 0, mean = 0, c_mean = 0, sum = 0, c_sum = 0;
    for (size_t i = 0; i < window->count; i++) {
        double value = window->values[i];
        n++;
        double delta = value - (mean + c_mean);
        kahan_add(delta / n, &mean, &c_mean);
        kahan_add(delta * (value - (mean + c_mean)), &sum, &c_sum);
    }
    return (sum + c_sum) / n;
}

static ALWAYS_INLINE bool stdvar_at(struct pass *pass, const struct window *window, double *out)
{
    *out = variance(window);
    return true;
}

static ALWAYS_INLINE bool stddev_at(struct pass *pass, const struct window *window, double *out)
{
    *out = sqrt(variance(window));
    return true;
}

static double nan_as_zero(double value)
{
    return isnan(value) ? 0 : value;
}

/* integral(): strategy 0 takes each interval at its left end, 1 at its right end, else at the mean
 * of both; anything that is not 0, 1 or 2 counts as 2. */
static ALWAYS_INLINE bool integral_at(struct pass *pass, const struct window *window, double *out)
{
    double strategy = pass->spec->params[0] ? pass->spec->params[0][window->step] : 2;
    double sum = 0, compensation = 0;
    for (size_t i = 1; i < window->count; i++) {
        double left = nan_as_zero(window->values[i - 1]), right = nan_as_zero(window->values[i]);
        double height = strategy == 0 ? left : right, c_height = 0;
        if (strategy != 0 && strategy != 1) {
            height = left;
            kahan_add(right, &height, &c_height);
            if (isinf(height) && !isinf(left) && !isinf(right)) {
                height = left / 2;
                c_height = 0;
                kahan_add(right / 2, &height, &c_height);
            } else {
                height /= 2;
                c_height /= 2;
            }
        }
        if (height == 0 && c_height == 0)
            continue;
        double width = (double)(window->times[i] - window->times[i - 1]) / 1000;
        compensation += c_height * width;
        kahan_add(height * width, &sum, &compensation);
    }
    *out = isinf(sum) ? sum : sum + compensation;
    return true;
}

WINDOW_FUNCTION(sum, NULL, HISTOGRAMS_ALONE, window_histogram_sum)
WINDOW_FUNCTION(avg, NULL, HISTOGRAMS_ALONE, window_histogram_avg)
WINDOW_FUNCTION(stdvar, NULL, HISTOGRAMS_IGNORED, NULL)
WINDOW_FUNCTION(stddev, NULL, HISTOGRAMS_IGNORED, NULL)
WINDOW_FUNCTION(integral, NULL, HISTOGRAMS_IGNORED, NULL)
