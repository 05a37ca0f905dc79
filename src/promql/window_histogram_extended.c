/* Anchored and smoothed ranges of native histograms, and smoothed instant vectors of them: as
 * window_extended.c, but start times do not count. */
#include "promql/window_mixed.h"

struct extent { /* histograms that decide about the ends */
    size_t first, last;
    int64_t start, end;
    bool is_smoothed, is_counter;
};

static bool find_extent(const struct pass *pass, const struct histogram_window *window,
                        bool is_counter, struct extent *out)
{
    *out = (struct extent){
        .last = window->count - 1,
        .start = int64_sub_saturating(window->end, pass->spec->range_ms),
        .end = window->end,
        .is_smoothed = pass->spec->extended == RANGE_SMOOTHED,
        .is_counter = is_counter,
    };
    out->first = window_count_until(window->times, out->last, out->start);
    out->first -= out->first > 0;
    if (out->is_smoothed)
        out->last = window_count_until(window->times, out->last, int64_sub_saturating(out->end, 1));
    return window->times[out->last] > out->start &&
           !(out->is_smoothed && window->times[out->first] > out->end);
}

/* Whether all of them have buckets of one kind; notes gauges among counters. */
static bool check_extent(struct mixed_pass *mixed, const struct histogram_window *window,
                         const struct extent *extent)
{
    unsigned *notes = &mixed->pass->notes->notes;
    bool is_custom = window->items[extent->first]->schema == HISTOGRAM_SCHEMA_CUSTOM;
    for (size_t i = extent->first; i <= extent->last; i++) {
        const struct histogram *histogram = window->items[i];
        if ((histogram->schema == HISTOGRAM_SCHEMA_CUSTOM) != is_custom) {
            *notes |= NOTE_SCHEMAS_MIXED;
            return false;
        }
        if (extent->is_counter && histogram->reset == HISTOGRAM_GAUGE)
            *notes |= NOTE_NOT_COUNTER;
    }
    return true;
}

static void add(struct mixed_pass *mixed, struct histogram *total, const struct histogram *other)
{
    if (histogram_add(total, other, mixed->work) & HISTOGRAM_RECONCILED)
        mixed->pass->notes->notes |= NOTE_RECONCILED_ADD;
}

static void subtract(struct mixed_pass *mixed, struct histogram *total,
                     const struct histogram *other)
{
    if (histogram_subtract(total, other, mixed->work) & HISTOGRAM_RECONCILED)
        mixed->pass->notes->notes |= NOTE_RECONCILED_SUBTRACT;
}

/* On the line from item `at` to the next. */
static struct histogram *interpolate(struct mixed_pass *mixed,
                                     const struct histogram_window *window, size_t at, int64_t time,
                                     bool is_counter)
{
    const struct histogram *before = window->items[at], *after = window->items[at + 1];
    int64_t from = window->times[at], to = window->times[at + 1];
    if (time == from || time == to)
        return histogram_copy(mixed->work, time == from ? before : after);
    double part = (double)(time - from) / (double)(to - from);
    struct histogram *value = histogram_copy(mixed->work, after);
    if (is_counter && histogram_detect_reset(after, before)) {
        histogram_scale(value, part);
        return value;
    }
    subtract(mixed, value, before);
    histogram_scale(value, part);
    add(mixed, value, before);
    return value;
}

static struct histogram *left_end(struct mixed_pass *mixed, const struct histogram_window *window,
                                  const struct extent *extent)
{
    if (extent->is_smoothed && window->times[extent->first] < extent->start)
        return interpolate(mixed, window, extent->first, extent->start, extent->is_counter);
    return histogram_copy(mixed->work, window->items[extent->first]);
}

static struct histogram *right_end(struct mixed_pass *mixed, const struct histogram_window *window,
                                   const struct extent *extent)
{
    if (extent->is_smoothed && extent->last > 0 && window->times[extent->last] > extent->end)
        return interpolate(mixed, window, extent->last - 1, extent->end, extent->is_counter);
    return histogram_copy(mixed->work, window->items[extent->last]);
}

/* Adds what was lost at each reset between the ends. The one that the left end was interpolated
 * over is made good there. */
static void add_lost(struct mixed_pass *mixed, const struct histogram_window *window,
                     const struct extent *extent, const struct histogram *left,
                     const struct histogram *right, struct histogram *total)
{
    const struct histogram *before = left;
    struct histogram *lost = NULL;
    size_t first = extent->first + 1;
    if (extent->is_smoothed && window->times[extent->first] < extent->start &&
        histogram_detect_reset(window->items[first], window->items[first - 1]))
        before = window->items[first++];
    if (first > extent->last)
        return;
    for (size_t i = first; i <= extent->last; i++) {
        const struct histogram *now = i < extent->last ? window->items[i] : right;
        if (histogram_detect_reset(now, before)) {
            if (lost)
                add(mixed, lost, before);
            else
                lost = histogram_copy(mixed->work, before);
        }
        before = now;
    }
    if (lost)
        add(mixed, total, lost);
}

static struct histogram *extended(struct mixed_pass *mixed, const struct histogram_window *window,
                                  bool is_counter, bool is_rate)
{
    struct extent extent;
    if (!find_extent(mixed->pass, window, is_counter, &extent) ||
        !check_extent(mixed, window, &extent))
        return NULL;
    struct histogram *left = left_end(mixed, window, &extent);
    struct histogram *right = right_end(mixed, window, &extent);
    if (!is_counter && (left->reset != HISTOGRAM_GAUGE || right->reset != HISTOGRAM_GAUGE))
        mixed->pass->notes->notes |= NOTE_NOT_GAUGE;
    struct histogram *total = histogram_copy(mixed->work, right);
    subtract(mixed, total, left);
    if (is_counter)
        add_lost(mixed, window, &extent, left, right, total);
    if (is_rate)
        histogram_divide(total, mixed->pass->range_seconds);
    total->reset = HISTOGRAM_GAUGE;
    histogram_compact(total, mixed->work);
    return total;
}

struct histogram *window_histogram_extended_rate(struct mixed_pass *mixed,
                                                 const struct histogram_window *window)
{
    return extended(mixed, window, true, true);
}

struct histogram *window_histogram_extended_increase(struct mixed_pass *mixed,
                                                     const struct histogram_window *window)
{
    return extended(mixed, window, true, false);
}

struct histogram *window_histogram_extended_delta(struct mixed_pass *mixed,
                                                  const struct histogram_window *window)
{
    return extended(mixed, window, false, false);
}

struct histogram *window_histogram_smoothed(struct mixed_pass *mixed,
                                            const struct histogram_window *window)
{
    size_t before = window_count_until(window->times, window->count, window->end);
    if (before == 0)
        return NULL;
    const struct histogram *last = window->items[before - 1];
    if (window->times[before - 1] == window->end)
        return histogram_copy(mixed->work, last);
    if (before == window->count) {
        struct histogram *value = histogram_copy(mixed->work, last);
        value->reset = HISTOGRAM_RESET_UNKNOWN; /* it was said of the sample, not of its value */
        return value;
    }
    const struct histogram *next = window->items[before];
    if ((last->schema == HISTOGRAM_SCHEMA_CUSTOM) != (next->schema == HISTOGRAM_SCHEMA_CUSTOM)) {
        mixed->pass->notes->notes |= NOTE_SCHEMAS_MIXED;
        return NULL;
    }
    bool is_counter = last->reset != HISTOGRAM_GAUGE || next->reset != HISTOGRAM_GAUGE;
    return interpolate(mixed, window, before - 1, window->end, is_counter);
}
