#include "store/chunk_lists.h"

#include <string.h>

/* Identical chunks of honest sources lie next to each other; a bound keeps thousands of overlapping
 * ones from costing a square. */
enum { LOOK_BACK_MAX = 64 };

static bool chunk_data_equal(const struct chunk_data *a, const struct chunk_data *b)
{
    if (a->encoding != b->encoding || a->bytes.len != b->bytes.len)
        return false;
    if (a->hash && b->hash && a->hash != b->hash)
        return false;
    return a->bytes.len == 0 || memcmp(a->bytes.data, b->bytes.data, a->bytes.len) == 0;
}

static bool chunk_has_part(const struct chunk *chunk, const struct chunk_data *part)
{
    if (!chunk->aggrs)
        return chunk_data_equal(&chunk->raw, part);
    for (size_t i = 0; i < AGGR_NUMBER; i++)
        if (chunk_data_equal(&chunk->aggrs[i], part))
            return true;
    return false;
}

/* Whether `chunk` brings nothing that `earlier` does not have. */
static bool chunk_is_within(const struct chunk *chunk, const struct chunk *earlier)
{
    if (!chunk->aggrs)
        return chunk_has_part(earlier, &chunk->raw);
    for (size_t i = 0; i < AGGR_NUMBER; i++)
        if (chunk->aggrs[i].encoding != CHUNK_NONE && !chunk_has_part(earlier, &chunk->aggrs[i]))
            return false;
    return true;
}

static size_t chunks_remove_identical(struct chunk *items, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        bool identical = false;
        size_t last = kept > LOOK_BACK_MAX ? kept - LOOK_BACK_MAX : 0;
        for (size_t j = kept; j-- > last && !identical;)
            identical =
                items[j].max_time >= items[i].min_time && chunk_is_within(&items[i], &items[j]);
        if (!identical)
            items[kept++] = items[i];
    }
    return kept;
}

/* End of the ascending run that begins at `start`. */
static size_t run_end(const struct chunk *items, size_t start, size_t count)
{
    size_t end = start + 1;
    while (end < count && chunk_compare(&items[end - 1], &items[end]) <= 0)
        end++;
    return end;
}

static void runs_merge(const struct chunk *from, size_t start, size_t middle, size_t end,
                       struct chunk *into)
{
    size_t a = start, b = middle;
    for (size_t i = start; i < end; i++) {
        bool take_a = b == end || (a < middle && chunk_compare(&from[a], &from[b]) <= 0);
        into[i] = take_a ? from[a++] : from[b++];
    }
}

/* Natural merge sort: the input is a few sorted lists one after another. */
static struct chunk *chunks_sort(struct arena *arena, struct chunk *items, size_t count)
{
    if (count < 2 || run_end(items, 0, count) == count)
        return items;
    struct chunk *other = arena_array(arena, count, sizeof(*other));
    for (;;) {
        size_t runs = 0;
        for (size_t start = 0; start < count; runs++) {
            size_t middle = run_end(items, start, count);
            size_t end = middle < count ? run_end(items, middle, count) : count;
            runs_merge(items, start, middle, end, other);
            start = end;
        }
        struct chunk *swap = items;
        items = other;
        other = swap;
        if (runs <= 1)
            return items;
    }
}

/* Strictly ascending in time, so nothing in it can be identical to anything. */
static bool chunks_are_disjoint(const struct chunk_list *list)
{
    for (size_t i = 1; i < list->count; i++)
        if (list->items[i].min_time <= list->items[i - 1].max_time)
            return false;
    return true;
}

struct chunk_list chunk_lists_join(struct arena *arena, const struct chunk_list *lists,
                                   size_t count)
{
    size_t total = 0, filled = 0, only = 0;
    for (size_t i = 0; i < count; i++) {
        total += lists[i].count;
        if (lists[i].count) {
            filled++;
            only = i;
        }
    }
    if (filled == 0)
        return (struct chunk_list){0};
    if (filled == 1 && chunks_are_disjoint(&lists[only]))
        return lists[only];
    struct chunk *items = arena_array(arena, total, sizeof(*items));
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        if (lists[i].count)
            memcpy(items + at, lists[i].items, lists[i].count * sizeof(*items));
        at += lists[i].count;
    }
    items = chunks_sort(arena, items, total);
    return (struct chunk_list){items, chunks_remove_identical(items, total)};
}
