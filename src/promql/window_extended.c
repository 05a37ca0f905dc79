/* Anchored and smoothed ranges: no extrapolation; instead a value at each end of the range.
 *
 *              start                        end
 *     --o--------|--o-------o-------o--------|----o--
 *       first    |                           |   last (smoothed)
 *
 * Anchored: the value at the start is that of the last sample before it (or, without one, of the
 * first one after it), the value at the end that of the last sample before the end. Smoothed: both
 * lie on the line between the samples around them. A counter that was reset between two samples
 * comes from zero: at the time where its start time says so, else at the sample before. Samples
 * before the start and behind the end are seen up to the lookback. */
#include "promql/window_mixed.h"

struct point {
    int64_t time, start; /* start: 0 is not known */
    double value;
};

static struct point point_at(const struct window *window, size_t at)
{
    return (struct point){window->times[at], window_start(window, at), window->values[at]};
}

struct range {
    int64_t seen; /* samples at or before this time are not looked at */
    int64_t start, end;
    bool is_smoothed, is_counter;
};

static struct range range_of(const struct pass *pass, int64_t end, bool is_counter)
{
    int64_t start = int64_sub_saturating(end, pass->spec->range_ms);
    return (struct range){
        .seen = int64_sub_saturating(start, pass->spec->lookback_ms),
        .start = start,
        .end = end,
        .is_smoothed = pass->spec->extended == RANGE_SMOOTHED,
        .is_counter = is_counter,
    };
}

static bool began_after(const struct point *point, int64_t since)
{
    return window_start_is_reset_after(since, point->start, point->time);
}

static bool is_reset_between(const struct point *before, const struct point *point)
{
    return window_start_is_reset(before->start, before->time, point->start, point->time);
}

static double interpolate(const struct point *before, const struct point *after, int64_t time,
                          bool is_counter)
{
    double from = is_counter && after->value < before->value ? 0 : before->value;
    return from + (after->value - from) * (double)(time - before->time) /
                      (double)(after->time - before->time);
}

/* A counter's value at `time` before its first sample, which is all that is known of it. */
static double before_first(const struct range *range, const struct point *point, int64_t time)
{
    if (!range->is_counter || !began_after(point, range->seen))
        return point->value;
    if (!range->is_smoothed || began_after(point, time))
        return 0;
    struct point zero = {.time = point->start};
    return interpolate(&zero, point, time, true);
}

/* The counter's zero, as a point. */
static struct point zero_of(const struct point *point, int64_t start)
{
    return (struct point){.time = point->start, .start = start};
}

/* `first`: the last sample at or before the start, or the first one of all. */
static struct point left_end(const struct window *window, size_t first, const struct range *range)
{
    struct point point = point_at(window, first);
    struct point end = {range->start, point.start > range->start ? 0 : point.start, point.value};
    if (point.time == range->start) {
        end.start = point.start;
        return end;
    }
    if (point.time > range->start) {
        end.value = before_first(range, &point, range->start);
        return end;
    }
    struct point next = point_at(window, first + 1);
    if (range->is_counter && began_after(&next, range->start)) {
        next = zero_of(&next, next.start);
    } else if (range->is_counter && is_reset_between(&point, &next)) {
        end.start = next.start;
        point = zero_of(&next, next.start);
    }
    end.value = range->is_smoothed ? interpolate(&point, &next, range->start, range->is_counter)
                                   : point.value;
    return end;
}

/* `last`: the first sample at or behind the end, when there is one and it counts; else the last. */
static struct point right_end(const struct window *window, size_t last, const struct range *range)
{
    struct point point = point_at(window, last);
    struct point end = {range->end, point.start > range->end ? 0 : point.start, point.value};
    if (point.time <= range->end)
        return end;
    if (last == 0) {
        end.value = before_first(range, &point, range->end);
        return end;
    }
    struct point before = point_at(window, last - 1);
    if (range->is_counter && began_after(&point, range->end)) {
        end.start = before.start;
        point = zero_of(&point, point.start);
    } else if (range->is_counter && is_reset_between(&before, &point)) {
        before = zero_of(&point, point.start);
    }
    end.value = range->is_smoothed ? interpolate(&before, &point, range->end, range->is_counter)
                                   : before.value;
    return end;
}

/* ---- which samples count ---- */

struct extent {
    size_t first, last; /* samples that decide about the ends */
};

/* False: the range has no sample. */
static bool find_extent(const struct window *window, const struct range *range, struct extent *out)
{
    size_t last = window->count - 1;
    size_t first = window_count_until(window->times, last, range->start);
    first -= first > 0;
    if (range->is_smoothed)
        last = window_count_until(window->times, last, int64_sub_saturating(range->end, 1));
    *out = (struct extent){first, last};
    return window->times[last] > range->start;
}

/* Shrinks to the samples within the ends; first > last: none. */
static struct extent inner_extent(const struct window *window, const struct range *range,
                                  struct extent extent, bool *is_empty)
{
    extent.first += window->times[extent.first] <= range->start;
    *is_empty = extent.last == 0 && window->times[extent.last] >= range->end;
    extent.last -= !*is_empty && window->times[extent.last] >= range->end;
    *is_empty = *is_empty || extent.first > extent.last;
    return extent;
}

/* ---- rate, increase, delta ---- */

/* What is lost when the counter goes on from one point to the other. */
static double lost_between(const struct point *before, const struct point *point)
{
    bool is_reset = point->value < before->value || is_reset_between(before, point);
    return is_reset ? before->value : 0;
}

/* What is lost at each reset from one end to the other. */
static double lost_at_resets(struct pass *pass, const struct window *window,
                             const struct range *range, struct extent extent,
                             const struct point *left, const struct point *right)
{
    bool is_empty;
    extent = inner_extent(window, range, extent, &is_empty);
    if (is_empty)
        return lost_between(left, right);
    struct point first = point_at(window, extent.first), last = point_at(window, extent.last);
    double lost = lost_between(left, &first);
    size_t begin = window->from + extent.first, end = window->from + extent.last;
    while (pass->mark_at < pass->mark_count && pass->marks[pass->mark_at] <= begin)
        pass->mark_at++;
    for (size_t i = pass->mark_at; i < pass->mark_count && pass->marks[i] <= end; i++)
        lost += pass->values[pass->marks[i] - 1];
    return lost + lost_between(&last, right);
}

static bool extended(struct pass *pass, const struct window *window, bool is_counter, bool is_rate,
                     double *out)
{
    struct range range = range_of(pass, window->end, is_counter);
    struct extent extent;
    if (!find_extent(window, &range, &extent))
        return false;
    struct point first = point_at(window, extent.first);
    bool is_behind = range.is_smoothed && first.time > range.end;
    if (is_behind &&
        (!is_counter || !began_after(&first, range.seen) || began_after(&first, range.end)))
        return false;
    struct point left = left_end(window, extent.first, &range);
    struct point right = right_end(window, extent.last, &range);
    *out = right.value - left.value;
    if (is_counter)
        *out += lost_at_resets(pass, window, &range, extent, &left, &right);
    if (is_rate)
        *out /= pass->range_seconds;
    return true;
}

static bool extended_rate_at(struct pass *pass, const struct window *window, double *out)
{
    return extended(pass, window, true, true, out);
}

static bool extended_increase_at(struct pass *pass, const struct window *window, double *out)
{
    return extended(pass, window, true, false, out);
}

static bool extended_delta_at(struct pass *pass, const struct window *window, double *out)
{
    return extended(pass, window, false, false, out);
}

WINDOW_FUNCTION(extended_rate, window_find_resets, HISTOGRAMS_ALONE, window_histogram_extended_rate)
WINDOW_FUNCTION(extended_increase, window_find_resets, HISTOGRAMS_ALONE,
                window_histogram_extended_increase)
WINDOW_FUNCTION(extended_delta, NULL, HISTOGRAMS_ALONE, window_histogram_extended_delta)

/* ---- the range vector itself ---- */

struct error *window_extended_points(struct pass *pass, int64_t end, struct samples *samples)
{
    struct range range = range_of(pass, end, false);
    struct window window = {
        .times = samples->times,
        .values = samples->values,
        .starts = samples->starts,
        .count = samples->count,
    };
    struct extent extent;
    struct samples points;
    if (window_has_histograms(samples))
        return error_create(ERROR_QUERY, "%s modifier is not supported with histograms",
                            range.is_smoothed ? "smoothed" : "anchored");
    bool has_points = samples->count > 0 && find_extent(&window, &range, &extent);
    struct error *err = samples_reserve(pass->arena, samples->count + 2, false, &points);
    if (err || !has_points) {
        *samples = (struct samples){.count = 0};
        return err;
    }
    struct point left = left_end(&window, extent.first, &range);
    struct point right = right_end(&window, extent.last, &range);
    bool is_empty;
    extent = inner_extent(&window, &range, extent, &is_empty);
    points.times[0] = left.time;
    points.values[0] = left.value;
    points.count = 1;
    for (size_t i = extent.first; !is_empty && i <= extent.last; i++) {
        points.times[points.count] = samples->times[i];
        points.values[points.count++] = samples->values[i];
    }
    points.times[points.count] = right.time;
    points.values[points.count++] = right.value;
    *samples = points;
    return NULL;
}

/* ---- smoothed instant selection ---- */

/* The value at the window's end, from the samples around it. */
static bool smoothed_at(struct pass *pass, const struct window *window, double *out)
{
    size_t before = window_count_until(window->times, window->count, window->end);
    if (before == 0)
        return false;
    struct point point = point_at(window, before - 1);
    *out = point.value;
    if (point.time != window->end && before < window->count) {
        struct point next = point_at(window, before);
        *out = interpolate(&point, &next, window->end, false);
    }
    return true;
}

WINDOW_FUNCTION(smoothed, NULL, HISTOGRAMS_ALONE, window_histogram_smoothed)
