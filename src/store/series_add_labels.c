#include "store/series_add_labels.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/vec.h"
#include "store/chunk_lists.h"

enum { READ_MAX = 256, GIVE_MAX = 256 };

struct held {
    struct series series; /* with the added labels */
    struct arena *arena;  /* where it lives, referenced */
};

/* The held series that wait for the input to leave the same group: the series that begin with the
 * first `prefix_len` bytes of the last one read. Their place is known when it has. */
struct level {
    size_t prefix_len;
    bool is_own;        /* all of them are a series that is the prefix itself, see `largest_name` */
    struct labels last; /* the largest of them; in `arena`, referenced */
    struct arena *arena;
};

struct add_set {
    struct series_set base;
    struct series_set *inner;
    struct budget *budget;
    struct arena *own; /* of `added` */
    struct labels added;
    struct str largest_name; /* of the added ones */

    struct arena *arena; /* of the batch read last */
    struct series_batch batch;
    size_t at;
    struct labels previous; /* last series read, as read; in `arena` or previous_arena */
    struct arena *previous_arena;

    VEC(struct held) heap;      /* smallest first */
    VEC(struct level) levels;   /* by prefix_len, ascending */
    VEC(struct level) released; /* at most one: what of the heap can go, up to `last` */
    VEC(struct chunk_list) lists;
    bool has_ended;
    struct error *failure;
};

/* -- the heap -- */

static bool held_less(const struct held *a, const struct held *b)
{
    return labels_compare(a->series.labels, b->series.labels) < 0;
}

static void heap_sift_up(struct held *items, size_t at)
{
    struct held moved = items[at];
    while (at > 0 && held_less(&moved, &items[(at - 1) / 2])) {
        items[at] = items[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    items[at] = moved;
}

static void heap_sift_down(struct held *items, size_t count)
{
    struct held moved = items[0];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && held_less(&items[child + 1], &items[child]))
            child++;
        if (!held_less(&items[child], &moved))
            break;
        items[at] = items[child];
    }
    items[at] = moved;
}

static struct held heap_pop(struct add_set *set)
{
    struct held top = set->heap.items[0];
    struct held last = vec_pop(&set->heap);
    if (set->heap.len) {
        set->heap.items[0] = last;
        heap_sift_down(set->heap.items, set->heap.len);
    }
    return top;
}

/* -- levels -- */

static void level_set_last(struct level *level, struct labels last, struct arena *arena)
{
    arena_ref(arena);
    arena_unref(level->arena);
    level->arena = arena;
    level->last = last;
}

/* Notes that `out` is held until the input leaves the group of prefix_len. */
static void level_note(struct add_set *set, size_t prefix_len, bool is_own, struct labels out)
{
    size_t at = set->levels.len;
    while (at > 0 && set->levels.items[at - 1].prefix_len > prefix_len)
        at--;
    struct level *same = at > 0 ? &set->levels.items[at - 1] : NULL;
    if (same && same->prefix_len == prefix_len) {
        same->is_own &= is_own;
        if (labels_compare(same->last, out) < 0)
            level_set_last(same, out, set->arena);
        return;
    }
    if (!vec_reserve(&set->levels, 1))
        return; /* vec_status() of add_read() */
    memmove(set->levels.items + at + 1, set->levels.items + at,
            (set->levels.len - at) * sizeof(*set->levels.items));
    set->levels.len++;
    set->levels.items[at] = (struct level){.prefix_len = prefix_len, .is_own = is_own};
    level_set_last(&set->levels.items[at], out, set->arena);
}

static size_t common_prefix(struct labels a, struct labels b)
{
    size_t at = 0, len = size_min(a.len, b.len);
    while (at < len && a.data[at] == b.data[at])
        at++;
    return at;
}

/* Whether a series that begins with the level's prefix may still come before the level's series. */
static bool level_goes_on(const struct add_set *set, const struct level *level,
                          struct labels labels)
{
    if (!level->is_own)
        return true;
    struct labels_reader reader = {labels.data + level->prefix_len, labels.data + labels.len};
    struct label next;
    return labels_next(&reader, &next) && str_compare(next.name, set->largest_name) <= 0;
}

static void level_release(struct add_set *set, struct level *level)
{
    if (set->released.len == 0) {
        if (!vec_push(&set->released, *level)) /* vec_status() follows */
            arena_unref(level->arena);
        return;
    }
    struct level *released = &set->released.items[0];
    if (labels_compare(released->last, level->last) < 0)
        level_set_last(released, level->last, level->arena);
    arena_unref(level->arena);
}

/* The input has come to `labels`: lets go what no later series can come before. */
static void levels_update(struct add_set *set, struct labels labels)
{
    if (set->levels.len == 0)
        return;
    size_t common = common_prefix(set->previous, labels);
    while (set->levels.len) {
        struct level *level = &vec_last(&set->levels);
        if (level->prefix_len <= common && level_goes_on(set, level, labels))
            break;
        level_release(set, level);
        set->levels.len--;
    }
}

/* -- reading -- */

/* Merges `added` over `labels` into the arena. *prefix_len is the length of what comes before the
 * first name that both have, or labels.len when there is none. */
static struct labels labels_add(struct arena *arena, struct labels labels, struct labels added,
                                size_t *prefix_len)
{
    uint8_t *data = arena_bytes(arena, labels.len + added.len), *to = data;
    struct labels_reader reader = labels_read(labels), other = labels_read(added);
    const uint8_t *from = reader.at, *other_from = other.at;
    struct label label, extra;
    bool has_extra = labels_next(&other, &extra);
    *prefix_len = labels.len;
    for (const uint8_t *start = from; has_extra && labels_next(&reader, &label);
         start = reader.at) {
        int order = -1;
        while (has_extra && (order = str_compare(extra.name, label.name)) <= 0) {
            if (start > from) /* the run of the series' own labels that comes before */
                memcpy(to, from, (size_t)(start - from));
            to += start - from;
            memcpy(to, other_from, (size_t)(other.at - other_from));
            to += other.at - other_from;
            other_from = other.at;
            has_extra = labels_next(&other, &extra);
            from = start;
            if (order == 0)
                break;
        }
        if (from == start && order == 0) { /* its own value is replaced */
            *prefix_len = size_min(*prefix_len, (size_t)(start - labels.data));
            from = reader.at;
        }
    }
    size_t rest = (size_t)(labels.data + labels.len - from);
    if (rest)
        memcpy(to, from, rest);
    to += rest;
    size_t other_rest = (size_t)(added.data + added.len - other_from);
    if (other_rest)
        memcpy(to, other_from, other_rest);
    return (struct labels){data, (size_t)(to - data) + other_rest};
}

static struct error *add_refill(struct add_set *set)
{
    arena_unref(set->previous_arena);
    set->previous_arena = set->arena; /* `previous` lives there */
    set->arena = arena_create(set->budget);
    set->at = 0;
    struct error *err = series_set_next(set->inner, set->arena, READ_MAX, &set->batch);
    if (err)
        return err;
    if (set->batch.count)
        return NULL;
    set->has_ended = true;
    while (set->levels.len) {
        level_release(set, &vec_last(&set->levels));
        set->levels.len--;
    }
    return vec_status(&set->released);
}

/* Takes one series of the batch into the heap. */
static struct error *add_read(struct add_set *set)
{
    const struct series *series = &set->batch.items[set->at++];
    levels_update(set, series->labels);
    size_t prefix_len;
    struct held held = {.series = *series, .arena = set->arena};
    held.series.labels = labels_add(set->arena, series->labels, set->added, &prefix_len);
    if (vec_push(&set->heap, held)) {
        arena_ref(set->arena);
        heap_sift_up(set->heap.items, set->heap.len - 1);
    }
    level_note(set, prefix_len, prefix_len == series->labels.len, held.series.labels);
    set->previous = series->labels;
    struct error *err = vec_status(&set->heap);
    if (!err)
        err = vec_status(&set->levels);
    if (!err)
        err = vec_status(&set->released);
    return err ? err : arena_status(set->arena);
}

static bool add_is_settled(const struct add_set *set)
{
    return set->released.len || (set->has_ended && set->at == set->batch.count);
}

/* -- giving -- */

static struct error *add_give(struct add_set *set, struct arena *arena, struct series *out)
{
    struct held held = heap_pop(set);
    *out = held.series;
    arena_keep(arena, held.arena);
    arena_unref(held.arena);
    vec_clear(&set->lists);
    while (set->heap.len && labels_equal(set->heap.items[0].series.labels, out->labels)) {
        if (set->lists.len == 0)
            (void)vec_push(&set->lists, out->chunks);
        held = heap_pop(set);
        (void)vec_push(&set->lists, held.series.chunks);
        arena_keep(arena, held.arena);
        arena_unref(held.arena);
    }
    if (set->lists.len)
        out->chunks = chunk_lists_join(arena, set->lists.items, set->lists.len);
    struct level *released = &set->released.items[0];
    if (labels_compare(out->labels, released->last) >= 0) {
        arena_unref(released->arena);
        set->released.len = 0;
    }
    return vec_status(&set->lists);
}

/* Goes on until something can be given. With may_wait off, false when the input is not ready; wake
 * is then called. */
static bool add_gather(struct add_set *set, bool may_wait, const struct series_wake *wake,
                       struct error **err)
{
    while (!*err && !add_is_settled(set)) {
        if (set->at < set->batch.count) {
            *err = add_read(set);
            continue;
        }
        if (!may_wait && !series_set_ready(set->inner, wake))
            return false;
        *err = add_refill(set);
    }
    return true;
}

static struct error *add_next(struct series_set *base, struct arena *arena, size_t max,
                              struct series_batch *out)
{
    struct add_set *set = container_of(base, struct add_set, base);
    struct error *err = set->failure;
    set->failure = NULL;
    max = size_min(max, GIVE_MAX);
    while (!err && out->count < max && add_gather(set, out->count == 0, NULL, &err)) {
        if (err || set->released.len == 0)
            break;
        if (!out->items)
            out->items = arena_array(arena, max, sizeof(*out->items));
        err = add_give(set, arena, &out->items[out->count++]);
    }
    return err ? err : arena_status(arena);
}

static bool add_ready(struct series_set *base, const struct series_wake *wake)
{
    struct add_set *set = container_of(base, struct add_set, base);
    return set->failure || add_gather(set, false, wake, &set->failure);
}

static void add_cancel(struct series_set *base)
{
    series_set_cancel(container_of(base, struct add_set, base)->inner);
}

static void add_stats(struct series_set *base, struct series_set_stats *add_to)
{
    series_set_stats(container_of(base, struct add_set, base)->inner, add_to);
}

static void add_free(struct series_set *base)
{
    struct add_set *set = container_of(base, struct add_set, base);
    series_set_free(set->inner);
    for (size_t i = 0; i < set->heap.len; i++)
        arena_unref(set->heap.items[i].arena);
    for (size_t i = 0; i < set->levels.len; i++)
        arena_unref(set->levels.items[i].arena);
    for (size_t i = 0; i < set->released.len; i++)
        arena_unref(set->released.items[i].arena);
    vec_deinit(&set->heap);
    vec_deinit(&set->levels);
    vec_deinit(&set->released);
    vec_deinit(&set->lists);
    arena_unref(set->arena);
    arena_unref(set->previous_arena);
    arena_unref(set->own);
    error_free(set->failure);
    free(set);
}

static const struct series_set_ops add_ops = {
    .next = add_next,
    .ready = add_ready,
    .cancel = add_cancel,
    .stats = add_stats,
    .free = add_free,
};

struct series_set *series_set_add_labels(struct budget *budget, struct series_set *inner,
                                         struct labels added)
{
    if (added.len == 0)
        return inner;
    struct add_set *set = xcalloc(1, sizeof(*set));
    set->base.ops = &add_ops;
    set->inner = inner;
    set->budget = budget;
    set->own = arena_create(NULL);
    set->added = labels_copy(set->own, added);
    struct labels_reader reader = labels_read(set->added);
    struct label label;
    while (labels_next(&reader, &label))
        set->largest_name = label.name;
    set->heap.budget = budget;
    set->levels.budget = budget;
    set->released.budget = budget;
    set->lists.budget = budget;
    return &set->base;
}
