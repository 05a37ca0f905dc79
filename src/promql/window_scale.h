/* promql/window_scale.h: how an increase over samples becomes one over a range: it is extrapolated
 * to the range's ends where samples come close to them. Inside of window*.c only. */
#pragma once

#include "promql/window_pass.h"

/* What the increase is multiplied by, for samples that cover `sampled` seconds. */
static ALWAYS_INLINE double scale_by(const struct pass *pass, double sampled, double to_start,
                                     double to_end, bool is_rate)
{
    double factor = sampled == 0 ? 1 : (sampled + to_start + to_end) / sampled;
    return is_rate ? factor / pass->range_seconds : factor;
}

/* For at least two samples. A counter is not extrapolated below zero: first is its first value (the
 * number of observations of a histogram), increase what it grew by. */
static ALWAYS_INLINE double scale_extrapolated(const struct pass *pass, const int64_t *times,
                                               size_t count, int64_t end, bool is_counter,
                                               bool is_rate, double first, double increase)
{
    int64_t first_time = times[0], last_time = times[count - 1];
    double to_start = (double)(first_time - (end - pass->spec->range_ms)) / 1000;
    double to_end = (double)(end - last_time) / 1000;
    double sampled = (double)(last_time - first_time) / 1000;
    double average = sampled / (double)(count - 1);
    double threshold = average * 1.1;

    if (to_start >= threshold)
        to_start = average / 2;
    if (is_counter && increase > 0 && first >= 0) {
        double to_zero = sampled * (first / increase);
        if (to_zero < to_start)
            to_start = to_zero;
    }
    if (to_end >= threshold)
        to_end = average / 2;
    return scale_by(pass, sampled, to_start, to_end, is_rate);
}

/* A counter that began within the window, at a time that is known, was 0 then: its first value is
 * part of the increase. False: it did not. */
static inline bool scale_from_start(const struct pass *pass, const int64_t *times,
                                    const int64_t *starts, size_t count, int64_t end, bool is_rate,
                                    double *out)
{
    size_t last = count - 1;
    int64_t began = starts[0];
    if (began == 0 || began <= end - pass->spec->range_ms || began >= times[0])
        return false;
    double interval = last > 0 ? (double)(times[last] - times[0]) / 1000 / (double)last : 0;
    double to_end = (double)(end - times[last]) / 1000;
    if (to_end >= interval * 1.1)
        to_end = interval / 2;
    *out = scale_by(pass, (double)(times[last] - began) / 1000, 0, to_end, is_rate);
    return true;
}
