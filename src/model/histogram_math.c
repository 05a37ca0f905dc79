#include "model/histogram_math.h"

#include <float.h>
#include <math.h>

#include "base/kahan.h"
#include "model/histogram_side.h"

static bool is_custom(const struct histogram *histogram)
{
    return histogram->schema == HISTOGRAM_SCHEMA_CUSTOM;
}

/* ---- zero buckets ---- */

struct zero {
    double count, lost, threshold;
};

/* Takes buckets below the threshold into the zero bucket. A bucket that the threshold cuts is taken
 * whole: then the threshold moves to its end, and the answer is true. */
static bool zero_take(struct zero *zero, const struct histogram_side *side, const double *lost,
                      int32_t schema)
{
    struct side_cursor cursor = side_cursor(side, 0);
    cursor.lost = lost;
    while (side_cursor_next(&cursor)) {
        if (histogram_bound(cursor.index - 1, schema) >= zero->threshold)
            return false;
        kahan_add(cursor.count, &zero->count, &zero->lost);
        if (lost)
            kahan_add(cursor.count_lost, &zero->count, &zero->lost);
        double far = histogram_bound(cursor.index, schema);
        if (far <= zero->threshold)
            continue;
        if (cursor.count == 0)
            return false;
        zero->threshold = far;
        return true;
    }
    return false;
}

/* The zero bucket that the histogram would have with a larger threshold. */
static struct zero zero_widened(const struct histogram *histogram,
                                const struct histogram_lost *lost, double threshold)
{
    struct zero zero = {histogram->zero_count, lost ? lost->zero_count : 0, threshold};
    if (threshold == histogram->zero_threshold)
        return zero;
    do {
        zero.count = histogram->zero_count;
        zero_take(&zero, &histogram->positive, lost ? lost->positive : NULL, histogram->schema);
    } while (
        zero_take(&zero, &histogram->negative, lost ? lost->negative : NULL, histogram->schema));
    return zero;
}

static void empty_below(struct histogram_side *side, double *lost, int32_t schema, double threshold)
{
    struct side_cursor cursor = side_cursor(side, 0);
    while (side_cursor_next(&cursor) && histogram_bound(cursor.index - 1, schema) < threshold) {
        side->buckets[cursor.at - 1] = 0;
        if (lost)
            lost[cursor.at - 1] = 0;
    }
}

static void widen_zero(struct histogram *histogram, struct histogram_lost *lost, double threshold,
                       struct arena *arena)
{
    struct zero zero = zero_widened(histogram, lost, threshold);
    histogram->zero_count = zero.count;
    histogram->zero_threshold = zero.threshold;
    if (lost)
        lost->zero_count = zero.lost;
    empty_below(&histogram->positive, lost ? lost->positive : NULL, histogram->schema,
                zero.threshold);
    empty_below(&histogram->negative, lost ? lost->negative : NULL, histogram->schema,
                zero.threshold);
    side_compact(&histogram->positive, lost ? &lost->positive : NULL, arena);
    side_compact(&histogram->negative, lost ? &lost->negative : NULL, arena);
}

/* Widens the zero bucket of the total until both can share it; what the other's is then. */
static struct zero reconcile_zero(struct histogram *total, struct histogram_lost *lost,
                                  const struct histogram *other, struct arena *arena)
{
    struct zero zero = {other->zero_count, 0, other->zero_threshold};
    /* Neither side of the loop holds for a NaN: no threshold is then wide enough. */
    while (zero.threshold < total->zero_threshold || zero.threshold > total->zero_threshold) {
        if (total->zero_threshold > zero.threshold)
            zero = zero_widened(other, NULL, total->zero_threshold);
        if (zero.threshold > total->zero_threshold)
            widen_zero(total, lost, zero.threshold, arena);
    }
    return zero;
}

/* ---- sums ---- */

/* What is left of the hints of two histograms that become one; true: they contradict. */
static bool join_resets(struct histogram *total, const struct histogram *other)
{
    enum histogram_reset a = total->reset, b = other->reset;
    if (a == b || a == HISTOGRAM_GAUGE)
        return false;
    total->reset = b == HISTOGRAM_GAUGE ? HISTOGRAM_GAUGE : HISTOGRAM_RESET_UNKNOWN;
    return b != HISTOGRAM_GAUGE && a != HISTOGRAM_RESET_UNKNOWN && b != HISTOGRAM_RESET_UNKNOWN;
}

static void add_number(double value, double *total, double *lost, bool subtract)
{
    if (lost)
        kahan_add(subtract ? -value : value, total, lost);
    else if (subtract)
        *total -= value;
    else
        *total += value;
}

static bool same_bounds(const struct histogram *a, const struct histogram *b)
{
    if (a->custom_count != b->custom_count)
        return false;
    if (a->custom_values == b->custom_values)
        return true;
    for (size_t i = 0; i < a->custom_count; i++)
        if (a->custom_values[i] != b->custom_values[i])
            return false;
    return true;
}

/* Bounds that both have; `out` may be NULL to count only. */
static size_t common_bounds(const struct histogram *a, const struct histogram *b, double *out)
{
    size_t count = 0;
    for (size_t i = 0, j = 0; i < a->custom_count && j < b->custom_count;) {
        double left = a->custom_values[i], right = b->custom_values[j];
        if (left == right) {
            if (out)
                out[count] = left;
            count++;
        }
        i += left <= right;
        j += left >= right;
    }
    return count;
}

/* Drops those bounds of the total that the other has not. */
static void keep_common_bounds(struct histogram *total, double **lost,
                               const struct histogram *other, struct arena *arena)
{
    size_t count = common_bounds(total, other, NULL);
    if (count == total->custom_count)
        return;
    double *kept = count ? arena_array(arena, count, sizeof(*kept)) : NULL;
    common_bounds(total, other, kept);
    struct histogram_side side = {0};
    double *side_lost = NULL;
    struct side_cursor own = side_cursor_custom(&total->positive, total->custom_values,
                                                total->custom_count, kept, count);
    own.lost = lost ? *lost : NULL;
    side_add(&side, lost ? &side_lost : NULL, &own, false, arena);
    total->positive = side;
    total->custom_values = kept;
    total->custom_count = count;
    if (lost)
        *lost = side_lost;
}

static unsigned add_custom(struct histogram *total, double **lost, const struct histogram *other,
                           bool subtract, struct arena *arena)
{
    if (same_bounds(total, other)) {
        struct side_cursor cursor = side_cursor(&other->positive, 0);
        side_add(&total->positive, lost, &cursor, subtract, arena);
        return 0;
    }
    keep_common_bounds(total, lost, other, arena);
    struct side_cursor cursor =
        side_cursor_custom(&other->positive, other->custom_values, other->custom_count,
                           total->custom_values, total->custom_count);
    side_add(&total->positive, lost, &cursor, subtract, arena);
    return HISTOGRAM_RECONCILED;
}

static void add_exponential(struct histogram *total, struct histogram_lost *lost,
                            const struct histogram *other, bool subtract, struct arena *arena)
{
    double **positive = lost ? &lost->positive : NULL, **negative = lost ? &lost->negative : NULL;
    if (other->schema < total->schema) {
        side_reduce(&total->positive, positive, total->schema - other->schema, arena);
        side_reduce(&total->negative, negative, total->schema - other->schema, arena);
        total->schema = other->schema;
    }
    struct side_cursor above = side_cursor(&other->positive, other->schema - total->schema);
    side_cursor_skip(&above, total->schema, total->zero_threshold);
    side_add(&total->positive, positive, &above, subtract, arena);
    struct side_cursor below = side_cursor(&other->negative, other->schema - total->schema);
    side_cursor_skip(&below, total->schema, total->zero_threshold);
    side_add(&total->negative, negative, &below, subtract, arena);
}

static unsigned combine(struct histogram *total, struct histogram_lost *lost,
                        const struct histogram *other, bool subtract, struct arena *arena)
{
    if (is_custom(total) != is_custom(other))
        return HISTOGRAM_MIXED;
    unsigned notes = join_resets(total, other) ? HISTOGRAM_COLLISION : 0;
    add_number(other->count, &total->count, lost ? &lost->count : NULL, subtract);
    add_number(other->sum, &total->sum, lost ? &lost->sum : NULL, subtract);
    if (is_custom(total))
        return notes | add_custom(total, lost ? &lost->positive : NULL, other, subtract, arena);
    struct zero zero = reconcile_zero(total, lost, other, arena);
    add_number(zero.count, &total->zero_count, lost ? &lost->zero_count : NULL, subtract);
    if (lost)
        add_number(zero.lost, &total->zero_count, &lost->zero_count, subtract);
    add_exponential(total, lost, other, subtract, arena);
    return notes;
}

unsigned histogram_add(struct histogram *total, const struct histogram *other, struct arena *arena)
{
    return combine(total, NULL, other, false, arena);
}

unsigned histogram_subtract(struct histogram *total, const struct histogram *other,
                            struct arena *arena)
{
    return combine(total, NULL, other, true, arena);
}

void histogram_compact(struct histogram *histogram, struct arena *arena)
{
    side_compact(&histogram->positive, NULL, arena);
    side_compact(&histogram->negative, NULL, arena);
}

/* ---- compensated sums ---- */

static double *zeros(size_t count, struct arena *arena)
{
    double *items = count ? arena_array(arena, count, sizeof(*items)) : NULL;
    for (size_t i = 0; i < count; i++)
        items[i] = 0;
    return items;
}

void histogram_sum_start(struct histogram_sum *sum, const struct histogram *first,
                         struct arena *arena)
{
    *sum = (struct histogram_sum){.total = *histogram_copy(arena, first)};
}

unsigned histogram_sum_add(struct histogram_sum *sum, const struct histogram *other,
                           struct arena *arena)
{
    if (!sum->compensated) { /* many sums are of one histogram only */
        sum->lost.positive = zeros(sum->total.positive.bucket_count, arena);
        sum->lost.negative = zeros(sum->total.negative.bucket_count, arena);
        sum->compensated = true;
    }
    return combine(&sum->total, &sum->lost, other, false, arena);
}

void histogram_sum_finish(struct histogram_sum *sum)
{
    struct histogram *total = &sum->total;
    if (!sum->compensated)
        return;
    total->zero_count += sum->lost.zero_count;
    total->count += sum->lost.count;
    total->sum += sum->lost.sum;
    for (size_t i = 0; i < total->positive.bucket_count; i++)
        total->positive.buckets[i] += sum->lost.positive[i];
    for (size_t i = 0; i < total->negative.bucket_count; i++)
        total->negative.buckets[i] += sum->lost.negative[i];
}

static void lost_scale(struct histogram_sum *sum, double factor, double divisor)
{
    struct histogram_lost *lost = &sum->lost;
    if (!sum->compensated)
        return;
    lost->zero_count = lost->zero_count * factor / divisor;
    lost->count = lost->count * factor / divisor;
    lost->sum = lost->sum * factor / divisor;
    for (size_t i = 0; i < sum->total.positive.bucket_count; i++)
        lost->positive[i] = lost->positive[i] * factor / divisor;
    for (size_t i = 0; i < sum->total.negative.bucket_count; i++)
        lost->negative[i] = lost->negative[i] * factor / divisor;
}

static void sum_scale(struct histogram_sum *sum, double factor)
{
    histogram_scale(&sum->total, factor);
    lost_scale(sum, factor, 1);
}

static void sum_divide(struct histogram_sum *sum, double divisor)
{
    histogram_divide(&sum->total, divisor);
    lost_scale(sum, 1, divisor);
}

/* ---- means ---- */

static bool side_has_infinity(const struct histogram_side *side)
{
    for (size_t i = 0; i < side->bucket_count; i++)
        if (kahan_is_infinite(side->buckets[i]))
            return true;
    return false;
}

bool histogram_has_infinity(const struct histogram *histogram)
{
    for (size_t i = 0; i < histogram->custom_count; i++)
        if (kahan_is_infinite(histogram->custom_values[i]))
            return true;
    return kahan_is_infinite(histogram->zero_count) || kahan_is_infinite(histogram->count) ||
           kahan_is_infinite(histogram->sum) || side_has_infinity(&histogram->positive) ||
           side_has_infinity(&histogram->negative);
}

/* NaN counts for nothing: what it is added to is no infinity. */
static double finite_size(double value)
{
    return isnan(value) ? 0 : fabs(value);
}

static double reach_of(const struct histogram *histogram)
{
    double reach = finite_size(histogram->zero_count) + finite_size(histogram->count) +
                   finite_size(histogram->sum);
    for (size_t i = 0; i < histogram->positive.bucket_count; i++)
        reach += finite_size(histogram->positive.buckets[i]);
    for (size_t i = 0; i < histogram->negative.bucket_count; i++)
        reach += finite_size(histogram->negative.buckets[i]);
    for (size_t i = 0; i < histogram->custom_count; i++)
        if (isinf(histogram->custom_values[i]))
            return INFINITY;
    return reach;
}

void histogram_mean_start(struct histogram_mean *mean, const struct histogram *first,
                          struct arena *arena)
{
    *mean = (struct histogram_mean){.count = 1, .reach = reach_of(first)};
    histogram_sum_start(&mean->sum, first, arena);
}

static double *copy_doubles(const double *items, size_t count, struct arena *arena)
{
    double *copy = zeros(count, arena);
    if (count)
        memcpy(copy, items, count * sizeof(*items));
    return copy;
}

/* Adds to the sum unless it would overflow; then, the mean so far takes its place. */
static unsigned add_unless_overflow(struct histogram_mean *mean, const struct histogram *other,
                                    struct arena *arena)
{
    struct histogram_sum *sum = &mean->sum;
    struct histogram_sum trial = *sum;
    trial.total = *histogram_copy(arena, &sum->total);
    if (sum->compensated) {
        trial.lost.positive =
            copy_doubles(sum->lost.positive, sum->total.positive.bucket_count, arena);
        trial.lost.negative =
            copy_doubles(sum->lost.negative, sum->total.negative.bucket_count, arena);
    }
    unsigned notes = histogram_sum_add(&trial, other, arena);
    if (notes & HISTOGRAM_MIXED)
        return notes;
    if (histogram_has_infinity(&trial.total)) {
        mean->incremental = true;
        sum_divide(sum, mean->count - 1);
    } else {
        *sum = trial;
    }
    return notes;
}

static struct histogram_side scratch_side(const struct histogram_side *side, double *room)
{
    struct histogram_side scratch = *side;
    scratch.buckets = room;
    if (side->bucket_count)
        memcpy(room, side->buckets, side->bucket_count * sizeof(*room));
    return scratch;
}

static unsigned add_incremental(struct histogram_mean *mean, const struct histogram *other,
                                struct arena *arena)
{
    size_t needed = other->positive.bucket_count + other->negative.bucket_count;
    double *room = mean->scratch.positive.buckets;
    if (needed > mean->scratch_room) {
        room = arena_array(arena, needed, sizeof(*room));
        mean->scratch_room = needed;
    }
    mean->scratch = *other;
    mean->scratch.positive = scratch_side(&other->positive, room);
    mean->scratch.negative =
        scratch_side(&other->negative,
                     other->negative.bucket_count ? room + other->positive.bucket_count : room);
    histogram_divide(&mean->scratch, mean->count);
    sum_scale(&mean->sum, (mean->count - 1) / mean->count);
    return histogram_sum_add(&mean->sum, &mean->scratch, arena);
}

unsigned histogram_mean_add(struct histogram_mean *mean, const struct histogram *other,
                            struct arena *arena)
{
    unsigned notes = 0;
    mean->count++;
    mean->reach += reach_of(other);
    if (!mean->incremental && !isinf(mean->reach))
        return histogram_sum_add(&mean->sum, other, arena);
    if (!mean->incremental)
        notes = add_unless_overflow(mean, other, arena);
    if (!mean->incremental || (notes & HISTOGRAM_MIXED))
        return notes;
    return notes | add_incremental(mean, other, arena);
}

void histogram_mean_finish(struct histogram_mean *mean)
{
    if (!mean->incremental)
        sum_divide(&mean->sum, mean->count);
    histogram_sum_finish(&mean->sum);
}
