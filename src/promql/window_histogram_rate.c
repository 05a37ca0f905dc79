/* rate, increase, delta, irate, idelta, sum_over_time and avg_over_time of native histograms. */
#include "promql/window_mixed.h"
#include "promql/window_scale.h"

static bool is_gauge(const struct histogram *histogram)
{
    return histogram->reset == HISTOGRAM_GAUGE;
}

static bool is_custom(const struct histogram *histogram)
{
    return histogram->schema == HISTOGRAM_SCHEMA_CUSTOM;
}

bool window_histogram_is_reset(const struct histogram *a, int64_t time_a, int64_t start_a,
                               const struct histogram *b, int64_t time_b, int64_t start_b)
{
    return window_start_is_reset(start_a, time_a, start_b, time_b) || histogram_detect_reset(b, a);
}

static int64_t start_at(const struct histogram_window *window, size_t at)
{
    return window->starts ? window->starts[at] : 0;
}

/* ---- rate, increase, delta ---- */

/* Whether the second histogram of a window says of itself that it begins anew. */
static bool second_says_reset(const struct histogram_window *window)
{
    return window->items[1]->reset == HISTOGRAM_RESET_YES ||
           window_start_is_reset(start_at(window, 0), window->times[0], start_at(window, 1),
                                 window->times[1]);
}

/* What is subtracted: the first histogram, or, when the counter was reset right after it, nothing
 * with the layout of the second: then the first one's layout does not matter. */
static struct histogram base_of(const struct mixed_pass *mixed,
                                const struct histogram_window *window, bool is_counter,
                                bool *is_reset)
{
    *is_reset = is_counter && mixed_count(mixed->resets, window->from + 1, window->from + 2) > 0;
    if (!*is_reset)
        return *window->items[0];
    const struct histogram *second = window->items[1];
    return (struct histogram){
        .schema = second->schema,
        .custom_values = second->custom_values,
        .custom_count = second->custom_count,
    };
}

/* Of the histograms that count; only counters look at those between the first and the last. */
static int32_t lowest_schema(const struct mixed_pass *mixed, const struct histogram_window *window,
                             const struct histogram *base, bool is_counter)
{
    size_t last = window->count - 1;
    int32_t lowest = base->schema;
    if (mixed->has_one_schema)
        return lowest;
    for (size_t i = is_counter ? 1 : last; i <= last; i++) {
        if (window->items[i]->schema < lowest)
            lowest = window->items[i]->schema;
    }
    return lowest;
}

/* Whether the histograms can be subtracted from one another; notes what is wrong about them. */
static bool check_window(const struct mixed_pass *mixed, const struct histogram_window *window,
                         const struct histogram *base, bool is_counter)
{
    size_t last = window->count - 1, from = window->from;
    const struct histogram *const end = window->items[last];
    unsigned *notes = &mixed->pass->notes->notes, found = 0;
    if (is_counter && (is_gauge(window->items[0]) || is_gauge(end)))
        found = NOTE_NOT_COUNTER;
    if (is_custom(end) != is_custom(base)) {
        *notes |= found | NOTE_SCHEMAS_MIXED;
        return false;
    }
    if (!is_counter)
        return true;
    uint32_t customs = mixed_count(mixed->customs, from + 1, from + last);
    if (customs != (is_custom(base) && last > 1 ? (uint32_t)(last - 1) : 0)) {
        *notes |= NOTE_SCHEMAS_MIXED;
        return false;
    }
    if (mixed_count(mixed->gauges, from + 1, from + last) > 0)
        found = NOTE_NOT_COUNTER;
    *notes |= found;
    return true;
}

static unsigned subtract(struct mixed_pass *mixed, struct histogram *total,
                         const struct histogram *other)
{
    unsigned found = histogram_subtract(total, other, mixed->work);
    return found & HISTOGRAM_RECONCILED ? NOTE_RECONCILED_SUBTRACT : 0;
}

static unsigned add(struct mixed_pass *mixed, struct histogram *total,
                    const struct histogram *other)
{
    unsigned found = histogram_add(total, other, mixed->work);
    return found & HISTOGRAM_RECONCILED ? NOTE_RECONCILED_ADD : 0;
}

/* The last minus the first, plus what was lost at each reset. */
static struct histogram *sampled_increase(struct mixed_pass *mixed,
                                          const struct histogram_window *window, bool is_counter)
{
    size_t last = window->count - 1;
    unsigned *notes = &mixed->pass->notes->notes;
    bool begins_anew;
    struct histogram base = base_of(mixed, window, is_counter, &begins_anew);
    if (!check_window(mixed, window, &base, is_counter))
        return NULL;
    struct histogram *total = histogram_copy(mixed->work, window->items[last]);
    int32_t schema = lowest_schema(mixed, window, &base, is_counter);
    if (schema < total->schema)
        histogram_reduce(total, schema, mixed->work);
    *notes |= subtract(mixed, total, &base);
    if (!is_counter && (!is_gauge(window->items[0]) || !is_gauge(window->items[last])))
        *notes |= NOTE_NOT_GAUGE;
    if (begins_anew && second_says_reset(window))
        *notes |= add(mixed, total, &base);
    bool has_more = is_counter &&
                    mixed_count(mixed->resets, window->from + 2, window->from + window->count) > 0;
    for (size_t i = 2; has_more && i < window->count; i++) {
        if (mixed_count(mixed->resets, window->from + i, window->from + i + 1))
            *notes |= add(mixed, total, window->items[i - 1]);
    }
    total->reset = HISTOGRAM_GAUGE;
    histogram_compact(total, mixed->work);
    return total;
}

static struct histogram *extrapolated(struct mixed_pass *mixed,
                                      const struct histogram_window *window, bool is_counter,
                                      bool is_rate)
{
    const struct histogram *first = window->items[0];
    struct histogram *increase = NULL;
    double factor;
    if (window->count > 1) {
        increase = sampled_increase(mixed, window, is_counter);
        if (!increase)
            return NULL;
        mixed->pass->notes->overlaps += is_counter && mixed_count(mixed->overlaps, window->from + 1,
                                                                  window->from + window->count) > 0;
    }
    if (is_counter && window->starts &&
        scale_from_start(mixed->pass, window->times, window->starts, window->count, window->end,
                         is_rate, &factor)) {
        if (!increase) {
            increase = histogram_copy(mixed->work, first);
        } else if (is_custom(increase) != is_custom(first)) {
            mixed->pass->notes->notes |= NOTE_SCHEMAS_MIXED;
            return NULL;
        } else {
            mixed->pass->notes->notes |= add(mixed, increase, first);
        }
    } else if (increase) {
        factor = scale_extrapolated(mixed->pass, window->times, window->count, window->end,
                                    is_counter, is_rate, first->count, increase->count);
    }
    if (increase)
        histogram_scale(increase, factor);
    return increase;
}

struct histogram *window_histogram_rate(struct mixed_pass *mixed,
                                        const struct histogram_window *window)
{
    return extrapolated(mixed, window, true, true);
}

struct histogram *window_histogram_increase(struct mixed_pass *mixed,
                                            const struct histogram_window *window)
{
    return extrapolated(mixed, window, true, false);
}

struct histogram *window_histogram_delta(struct mixed_pass *mixed,
                                         const struct histogram_window *window)
{
    return extrapolated(mixed, window, false, false);
}

/* ---- irate, idelta ---- */

struct histogram *window_histogram_last_difference(struct mixed_pass *mixed,
                                                   const struct histogram_window *window,
                                                   bool is_rate)
{
    const struct histogram *before = window->items[0], *last = window->items[1];
    unsigned *notes = &mixed->pass->notes->notes;
    bool all_gauges = is_gauge(before) && is_gauge(last);
    if (is_rate && (is_gauge(before) || is_gauge(last)))
        *notes |= NOTE_NOT_COUNTER;
    if (!is_rate && !all_gauges)
        *notes |= NOTE_NOT_GAUGE;
    struct histogram *total = histogram_copy(mixed->work, last);
    bool is_reset =
        is_rate && window_histogram_is_reset(before, window->times[0], start_at(window, 0), last,
                                             window->times[1], start_at(window, 1));
    if (!is_reset && is_custom(before) != is_custom(last)) {
        *notes |= NOTE_SCHEMAS_MIXED;
        return NULL;
    }
    if (!is_reset)
        *notes |= subtract(mixed, total, before);
    total->reset = HISTOGRAM_GAUGE;
    histogram_compact(total, mixed->work);
    if (is_rate)
        histogram_divide(total, (double)(window->times[1] - window->times[0]) / 1000);
    return total;
}

/* ---- sum_over_time, avg_over_time ---- */

/* What all histograms of a sum say about resets, and that it was possible. */
static bool note_sum(struct mixed_pass *mixed, const struct histogram_window *window,
                     unsigned found)
{
    bool is_reset = false, is_none = false;
    if (found & HISTOGRAM_MIXED) {
        mixed->pass->notes->notes |= NOTE_SCHEMAS_MIXED;
        return false;
    }
    for (size_t i = 0; i < window->count; i++) {
        is_reset |= window->items[i]->reset == HISTOGRAM_RESET_YES;
        is_none |= window->items[i]->reset == HISTOGRAM_RESET_NO;
    }
    if (is_reset && is_none)
        mixed->pass->notes->notes |= NOTE_COLLISION;
    if (found & HISTOGRAM_RECONCILED)
        mixed->pass->notes->notes |= NOTE_RECONCILED_SUM;
    return true;
}

struct histogram *window_histogram_sum(struct mixed_pass *mixed,
                                       const struct histogram_window *window)
{
    struct histogram_sum *sum = arena_alloc(mixed->work, sizeof(*sum));
    unsigned found = 0;
    histogram_sum_start(sum, window->items[0], mixed->work);
    for (size_t i = 1; i < window->count && !(found & HISTOGRAM_MIXED); i++)
        found |= histogram_sum_add(sum, window->items[i], mixed->work);
    histogram_sum_finish(sum);
    return note_sum(mixed, window, found) ? &sum->total : NULL;
}

struct histogram *window_histogram_avg(struct mixed_pass *mixed,
                                       const struct histogram_window *window)
{
    struct histogram_mean *mean = arena_alloc(mixed->work, sizeof(*mean));
    unsigned found = 0;
    histogram_mean_start(mean, window->items[0], mixed->work);
    for (size_t i = 1; i < window->count && !(found & HISTOGRAM_MIXED); i++)
        found |= histogram_mean_add(mean, window->items[i], mixed->work);
    histogram_mean_finish(mean);
    return note_sum(mixed, window, found) ? &mean->sum.total : NULL;
}
