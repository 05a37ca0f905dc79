#include "model/histogram_side.h"

#include <float.h>
#include <math.h>

#include "base/kahan.h"

/* ---- cursors ---- */

struct side_cursor side_cursor(const struct histogram_side *side, int shift)
{
    return (struct side_cursor){
        .side = side,
        .shift = shift,
        .next = side->span_count ? side->spans[0].offset : 0,
    };
}

struct side_cursor side_cursor_custom(const struct histogram_side *side, const double *bounds,
                                      size_t bound_count, const double *kept, size_t kept_count)
{
    struct side_cursor cursor = side_cursor(side, 0);
    cursor.bounds = bounds;
    cursor.bound_count = bound_count;
    cursor.kept = kept;
    cursor.kept_count = kept_count;
    return cursor;
}

/* Steps over spans that have ended; false at the end of the side. */
static bool settle(struct side_cursor *cursor)
{
    const struct histogram_side *side = cursor->side;
    while (cursor->span < side->span_count && cursor->in_span >= side->spans[cursor->span].length) {
        cursor->in_span = 0;
        if (++cursor->span < side->span_count)
            cursor->next += side->spans[cursor->span].offset;
    }
    return cursor->span < side->span_count && cursor->at < side->bucket_count;
}

/* Upper bounds included: bucket i of 2^n narrow ones ends where bucket ceil(i / 2^n) ends. */
static int64_t wider_index(int64_t index, int shift)
{
    int64_t width = (int64_t)1 << shift, within = (index - 1) & (width - 1);
    return (index - 1 - within) / width + 1;
}

static int64_t kept_index(struct side_cursor *cursor, int64_t index)
{
    if (index < 0 || (uint64_t)index >= cursor->bound_count)
        return (int64_t)cursor->kept_count;
    while (cursor->at_kept < cursor->kept_count &&
           cursor->kept[cursor->at_kept] < cursor->bounds[index])
        cursor->at_kept++;
    return (int64_t)cursor->at_kept;
}

static void step(struct side_cursor *cursor)
{
    cursor->at++;
    cursor->in_span++;
    cursor->next++;
}

static bool next_merged(struct side_cursor *cursor)
{
    cursor->index = wider_index(cursor->next, cursor->shift);
    cursor->count = cursor->side->buckets[cursor->at];
    cursor->count_lost = 0;
    for (step(cursor); settle(cursor) && wider_index(cursor->next, cursor->shift) == cursor->index;
         step(cursor))
        kahan_add(cursor->side->buckets[cursor->at], &cursor->count, &cursor->count_lost);
    return true;
}

bool side_cursor_next(struct side_cursor *cursor)
{
    if (!settle(cursor))
        return false;
    if (cursor->shift)
        return next_merged(cursor);
    cursor->index =
        cursor->bounds || cursor->kept ? kept_index(cursor, cursor->next) : cursor->next;
    cursor->count = cursor->side->buckets[cursor->at];
    cursor->count_lost = cursor->lost ? cursor->lost[cursor->at] : 0;
    step(cursor);
    return true;
}

void side_cursor_skip(struct side_cursor *cursor, int32_t schema, double limit)
{
    for (struct side_cursor ahead = *cursor;
         side_cursor_next(&ahead) && histogram_bound(ahead.index, schema) <= limit;)
        *cursor = ahead;
}

/* ---- layouts ---- */

/* Collects indices in their order as spans. */
struct layout {
    struct histogram_span *spans;
    size_t span_count, bucket_count;
    int64_t end;
};

static void layout_add(struct layout *layout, int64_t index)
{
    if (layout->span_count && index == layout->end)
        layout->spans[layout->span_count - 1].length++;
    else
        layout->spans[layout->span_count++] =
            (struct histogram_span){(int32_t)(index - layout->end), 1};
    layout->end = index + 1;
    layout->bucket_count++;
}

/* Finds buckets by indices that do not decrease. */
struct finder {
    const struct histogram_side *side;
    size_t span, first; /* place of the span's first bucket */
    int64_t start;      /* its index */
};

static struct finder finder(const struct histogram_side *side)
{
    return (struct finder){side, 0, 0, side->span_count ? side->spans[0].offset : 0};
}

static bool find(struct finder *finder, int64_t index, size_t *place)
{
    const struct histogram_side *side = finder->side;
    while (finder->span < side->span_count &&
           index >= finder->start + side->spans[finder->span].length) {
        finder->first += side->spans[finder->span].length;
        finder->start += side->spans[finder->span].length;
        if (++finder->span < side->span_count)
            finder->start += side->spans[finder->span].offset;
    }
    *place = finder->first + (size_t)(index - finder->start);
    return finder->span < side->span_count && index >= finder->start && *place < side->bucket_count;
}

/* Whether the cursor gives the buckets as they are. */
static bool is_plain(const struct side_cursor *cursor)
{
    return cursor->shift == 0 && !cursor->bounds && !cursor->kept && !cursor->lost;
}

/* Next buckets of a plain cursor, of which the side has all, in one piece, or none. Gives their
 * number, and passes them; `place` is that of the first one in the side, or SIZE_MAX. */
static size_t next_piece(struct finder *finder, struct side_cursor *cursor, size_t *place)
{
    const struct histogram_side *side = finder->side;
    if (!settle(cursor))
        return 0;
    int64_t length = cursor->side->spans[cursor->span].length - (int64_t)cursor->in_span;
    length = int64_min(length, (int64_t)(cursor->side->bucket_count - cursor->at));
    if (find(finder, cursor->next, place)) {
        int64_t end = finder->start + side->spans[finder->span].length;
        length = int64_min(length, end - cursor->next);
        length = int64_min(length, (int64_t)(side->bucket_count - *place));
    } else {
        *place = SIZE_MAX;
        if (finder->span < side->span_count && finder->start > cursor->next)
            length = int64_min(length, finder->start - cursor->next);
    }
    cursor->at += (size_t)length;
    cursor->in_span += (uint32_t)length;
    cursor->next += length;
    return (size_t)length;
}

static size_t count_missing_plain(const struct histogram_side *side, struct side_cursor cursor)
{
    struct finder places = finder(side);
    size_t missing = 0, place, count;
    while ((count = next_piece(&places, &cursor, &place)) > 0)
        missing += place == SIZE_MAX ? count : 0;
    return missing;
}

static size_t count_missing(const struct histogram_side *side, struct side_cursor cursor)
{
    struct finder places = finder(side);
    if (is_plain(&cursor))
        return count_missing_plain(side, cursor);
    size_t missing = 0, place;
    bool first = true;
    for (int64_t last = 0; side_cursor_next(&cursor); last = cursor.index) {
        if (!find(&places, cursor.index, &place) && (first || cursor.index != last))
            missing++;
        first = false;
    }
    return missing;
}

/* Gives the side empty buckets where the cursor has some and it has none. */
static void add_missing(struct histogram_side *side, double **lost, struct side_cursor other,
                        size_t missing, struct arena *arena)
{
    size_t total = side->bucket_count + missing;
    struct layout layout = {
        .spans = arena_array(arena, side->span_count + missing * 2, sizeof(*layout.spans))};
    double *buckets = arena_array(arena, total, sizeof(*buckets));
    double *new_lost = lost ? arena_array(arena, total, sizeof(*buckets)) : NULL;
    struct side_cursor own = side_cursor(side, 0);
    bool own_left = side_cursor_next(&own), other_left = side_cursor_next(&other);
    for (size_t at = 0; own_left || other_left; at++) {
        bool takes_own = own_left && (!other_left || own.index <= other.index);
        int64_t index = takes_own ? own.index : other.index;
        layout_add(&layout, index);
        buckets[at] = takes_own ? own.count : 0;
        if (lost)
            new_lost[at] = takes_own ? (*lost)[own.at - 1] : 0;
        while (other_left && other.index == index)
            other_left = side_cursor_next(&other);
        if (takes_own)
            own_left = side_cursor_next(&own);
    }
    *side = (struct histogram_side){layout.spans, layout.span_count, buckets, layout.bucket_count};
    if (lost)
        *lost = new_lost;
}

/* ---- sums ---- */

static bool same_layout(const struct histogram_side *total, const struct side_cursor *cursor)
{
    const struct histogram_side *side = cursor->side;
    return is_plain(cursor) && total->bucket_count == side->bucket_count &&
           total->span_count == side->span_count &&
           (total->spans == side->spans || side->span_count == 0 ||
            memcmp(total->spans, side->spans, side->span_count * sizeof(*side->spans)) == 0);
}

/* kahan_add() for a run of buckets, without branches, so that compilers make vectors of it. */
static void add_compensated(double *restrict sums, double *restrict lost,
                            const double *restrict values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        double value = values[i], sum = sums[i], total = sum + value;
        bool sum_is_larger = fabs(sum) >= fabs(value);
        double larger = sum_is_larger ? sum : value, smaller = sum_is_larger ? value : sum;
        double kept = lost[i] + ((larger - total) + smaller);
        lost[i] = fabs(total) > DBL_MAX ? 0 : kept;
        sums[i] = total;
    }
}

static void add_flat(double *buckets, double *lost, const double *counts, size_t count,
                     bool subtract)
{
    if (lost && !subtract)
        add_compensated(buckets, lost, counts, count);
    else if (lost)
        for (size_t i = 0; i < count; i++)
            kahan_add(-counts[i], &buckets[i], &lost[i]);
    else if (subtract)
        for (size_t i = 0; i < count; i++)
            buckets[i] -= counts[i];
    else
        for (size_t i = 0; i < count; i++)
            buckets[i] += counts[i];
}

static void add_at(struct histogram_side *total, double **lost, size_t place,
                   const struct side_cursor *cursor, double sign)
{
    double *bucket = &total->buckets[place];
    if (!lost) {
        *bucket += sign * cursor->count;
        return;
    }
    kahan_add(sign * cursor->count, bucket, &(*lost)[place]);
    if (cursor->count_lost != 0)
        kahan_add(sign * cursor->count_lost, bucket, &(*lost)[place]);
}

void side_add(struct histogram_side *total, double **lost, struct side_cursor *cursor,
              bool subtract, struct arena *arena)
{
    size_t place, count, at = cursor->at;
    if (cursor->side->bucket_count == 0)
        return;
    if (same_layout(total, cursor)) {
        add_flat(total->buckets + at, lost ? *lost + at : NULL, cursor->side->buckets + at,
                 total->bucket_count - at, subtract);
        return;
    }
    size_t missing = count_missing(total, *cursor);
    if (missing)
        add_missing(total, lost, *cursor, missing, arena);
    struct finder places = finder(total);
    if (is_plain(cursor)) { /* after that, no bucket is without a place */
        for (; (count = next_piece(&places, cursor, &place)) > 0; at = cursor->at)
            if (place != SIZE_MAX)
                add_flat(total->buckets + place, lost ? *lost + place : NULL,
                         cursor->side->buckets + at, count, subtract);
        return;
    }
    while (side_cursor_next(cursor))
        if (find(&places, cursor->index, &place))
            add_at(total, lost, place, cursor, subtract ? -1 : 1);
}

/* ---- in place ---- */

void side_reduce(struct histogram_side *side, double **lost, int shift, struct arena *arena)
{
    if (side->bucket_count == 0)
        return;
    struct layout layout = {.spans = arena_array(arena, side->span_count, sizeof(*layout.spans))};
    struct side_cursor cursor = side_cursor(side, 0);
    double *buckets = side->buckets;
    int64_t last = 0;
    while (side_cursor_next(&cursor)) {
        int64_t index = wider_index(cursor.index, shift);
        double count_lost = lost ? (*lost)[cursor.at - 1] : 0;
        if (layout.bucket_count == 0 || index != last) {
            layout_add(&layout, index);
            buckets[layout.bucket_count - 1] = cursor.count;
            if (lost)
                (*lost)[layout.bucket_count - 1] = count_lost;
        } else if (lost) {
            double *sum = &buckets[layout.bucket_count - 1];
            kahan_add(cursor.count, sum, &(*lost)[layout.bucket_count - 1]);
            kahan_add(count_lost, sum, &(*lost)[layout.bucket_count - 1]);
        } else {
            buckets[layout.bucket_count - 1] += cursor.count;
        }
        last = index;
    }
    *side = (struct histogram_side){layout.spans, layout.span_count, buckets, layout.bucket_count};
}

void side_compact(struct histogram_side *side, double **lost, struct arena *arena)
{
    size_t kept = 0;
    for (size_t i = 0; i < side->bucket_count; i++)
        kept += side->buckets[i] != 0 || (lost && (*lost)[i] != 0);
    if (kept == side->bucket_count)
        return;
    struct layout layout = {.spans = arena_array(arena, kept, sizeof(*layout.spans))};
    struct side_cursor cursor = side_cursor(side, 0);
    while (side_cursor_next(&cursor)) {
        double count_lost = lost ? (*lost)[cursor.at - 1] : 0;
        if (cursor.count == 0 && count_lost == 0)
            continue;
        layout_add(&layout, cursor.index);
        side->buckets[layout.bucket_count - 1] = cursor.count;
        if (lost)
            (*lost)[layout.bucket_count - 1] = count_lost;
    }
    *side = (struct histogram_side){layout.spans, layout.span_count, side->buckets,
                                    layout.bucket_count};
}
