#include <math.h>

#include "model/histogram_math.h"
#include "model/histogram_side.h"

static bool is_custom(const struct histogram *histogram)
{
    return histogram->schema == HISTOGRAM_SCHEMA_CUSTOM;
}

/* ---- exponential buckets, and custom ones of the same bounds ---- */

/* Whether a bucket of `previous` counts less now, or is gone though it counted something. */
static bool side_fell(struct side_cursor current, struct side_cursor previous)
{
    bool more = side_cursor_next(&current);
    while (side_cursor_next(&previous)) {
        while (more && current.index < previous.index)
            more = side_cursor_next(&current);
        if (more && current.index == previous.index ? current.count < previous.count
                                                    : previous.count != 0)
            return true;
    }
    return false;
}

static bool buckets_fell(const struct histogram *current, const struct histogram_side *now,
                         const struct histogram *previous, const struct histogram_side *before)
{
    struct side_cursor a = side_cursor(now, 0);
    struct side_cursor b = side_cursor(before, previous->schema - current->schema);
    if (current->zero_threshold != 0 && !is_custom(current)) {
        side_cursor_skip(&a, current->schema, current->zero_threshold);
        side_cursor_skip(&b, current->schema, current->zero_threshold);
    }
    return side_fell(a, b);
}

/* Counts below `limit`, which must lie on a bound of what counts there: with it, true. */
static bool zero_count_below(const struct histogram_side *side, int32_t schema, double limit,
                             double *count)
{
    struct side_cursor cursor = side_cursor(side, 0);
    while (side_cursor_next(&cursor)) {
        if (histogram_bound(cursor.index - 1, schema) >= limit)
            return true;
        *count += cursor.count;
        if (!(histogram_bound(cursor.index, schema) > limit))
            continue;
        return cursor.count == 0;
    }
    return true;
}

static bool zero_bucket_fell(const struct histogram *current, const struct histogram *previous)
{
    double limit = current->zero_threshold, count = previous->zero_count;
    if (limit < previous->zero_threshold || isnan(limit))
        return true;
    if (limit != previous->zero_threshold &&
        (!zero_count_below(&previous->positive, previous->schema, limit, &count) ||
         !zero_count_below(&previous->negative, previous->schema, limit, &count)))
        return true;
    return current->zero_count < count;
}

/* ---- custom buckets of different bounds ---- */

struct rollup {
    const struct histogram *histogram;
    struct side_cursor cursor;
    bool started, more;
};

static double custom_bound(const struct histogram *histogram, size_t index)
{
    return index < histogram->custom_count ? histogram->custom_values[index] : INFINITY;
}

/* What its next buckets, up to the bound, count. */
static double roll_up(struct rollup *rollup, double bound)
{
    double sum = 0;
    if (!rollup->started)
        rollup->more = side_cursor_next(&rollup->cursor);
    rollup->started = true;
    while (rollup->more && rollup->cursor.index >= 0 &&
           custom_bound(rollup->histogram, (size_t)rollup->cursor.index) <= bound) {
        sum += rollup->cursor.count;
        rollup->more = side_cursor_next(&rollup->cursor);
    }
    return sum;
}

static bool custom_fell(const struct histogram *current, const struct histogram *previous)
{
    struct rollup now = {current, side_cursor(&current->positive, 0), false, false};
    struct rollup before = {previous, side_cursor(&previous->positive, 0), false, false};
    for (size_t i = 0, j = 0; i <= current->custom_count && j <= previous->custom_count;) {
        double left = custom_bound(current, i), right = custom_bound(previous, j);
        if (left == right) {
            double count = roll_up(&now, left);
            if (count < roll_up(&before, left))
                return true;
        }
        i += left <= right;
        j += left >= right;
    }
    return false;
}

static bool same_bounds(const struct histogram *a, const struct histogram *b)
{
    if (a->custom_count != b->custom_count)
        return false;
    for (size_t i = 0; i < a->custom_count; i++)
        if (a->custom_values[i] != b->custom_values[i])
            return false;
    return true;
}

bool histogram_detect_reset(const struct histogram *current, const struct histogram *previous)
{
    if (current->reset == HISTOGRAM_RESET_YES || current->reset == HISTOGRAM_RESET_NO)
        return current->reset == HISTOGRAM_RESET_YES;
    /* Gauges too: whoever treats one as a counter is warned elsewhere. */
    if (current->count < previous->count)
        return true;
    if (is_custom(current)) {
        if (!is_custom(previous))
            return true;
        if (!same_bounds(current, previous))
            return custom_fell(current, previous);
    }
    if (current->schema > previous->schema)
        return true;
    return zero_bucket_fell(current, previous) ||
           buckets_fell(current, &current->positive, previous, &previous->positive) ||
           buckets_fell(current, &current->negative, previous, &previous->negative);
}
