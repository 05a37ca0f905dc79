#include "store/series_join.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/memory.h"
#include "base/vec.h"
#include "store/chunk_lists.h"

enum { READ_MAX = 256 };

/* The last series read is open: the next batch may begin with more of it. */
struct join_set {
    struct series_set base;
    struct series_set *inner;
    struct budget *budget;
    atomic_bool *out_of_order;
    struct series open;
    bool has_open;
    VEC(struct chunk_list) parts;   /* of the open series */
    VEC(struct arena *) old_arenas; /* where its parts of earlier batches live, referenced */
    struct arena *arena;            /* of the batch read last */
    /* Finished and not given yet. The first one's parts may live in `given_arenas` beside `arena`.
     */
    struct series *closed;
    size_t closed_count, closed_at;
    VEC(struct arena *) given_arenas;
    bool has_ended;
    struct error *failure; /* told when what came before it has been given */
};

static void arenas_drop(struct arena **arenas, size_t count)
{
    for (size_t i = 0; i < count; i++)
        arena_unref(arenas[i]);
}

static void join_close(struct join_set *set)
{
    struct series *series = &set->closed[set->closed_count++];
    *series = set->open;
    series->chunks = chunk_lists_join(set->arena, set->parts.items, set->parts.len);
    vec_clear(&set->parts);
    set->has_open = false;
    /* Only the first series of a batch can have begun in earlier ones. */
    for (size_t i = 0; i < set->old_arenas.len; i++)
        (void)vec_push(&set->given_arenas, set->old_arenas.items[i]);
    vec_clear(&set->old_arenas);
}

static struct error *join_order_error(struct join_set *set, const struct series *series)
{
    struct buf text = BUF_INIT(NULL);
    labels_print(&text, series->labels);
    buf_append_cstr(&text, " after ");
    labels_print(&text, set->open.labels);
    if (set->out_of_order)
        atomic_store(set->out_of_order, true);
    struct error *err =
        error_create(ERROR_CORRUPT, "series out of order: %.*s", STR_ARG(buf_str(&text)));
    buf_deinit(&text);
    return err;
}

static struct error *join_add(struct join_set *set, const struct series *series)
{
    int order = set->has_open ? labels_compare(series->labels, set->open.labels) : 1;
    if (order < 0)
        return join_order_error(set, series);
    if (order > 0) {
        if (set->has_open)
            join_close(set);
        set->open = *series;
        set->has_open = true;
    }
    (void)vec_push(&set->parts, series->chunks);
    return vec_status(&set->parts);
}

/* Reads one batch and closes what can be closed. */
static struct error *join_gather(struct join_set *set)
{
    if (set->has_open) {
        if (!vec_push(&set->old_arenas, set->arena))
            return vec_status(&set->old_arenas);
        set->arena = NULL;
    }
    if (!vec_reserve(&set->given_arenas, set->old_arenas.len))
        return vec_status(&set->given_arenas);
    arena_unref(set->arena);
    set->arena = arena_create(set->budget);
    struct series_batch batch;
    struct error *err = series_set_next(set->inner, set->arena, READ_MAX, &batch);
    set->closed = arena_array(set->arena, batch.count + 1, sizeof(*set->closed));
    set->closed_count = set->closed_at = 0;
    set->has_ended = batch.count == 0;
    for (size_t i = 0; i < batch.count && !err; i++)
        err = join_add(set, &batch.items[i]);
    if (set->has_ended && set->has_open)
        join_close(set);
    return err ? err : arena_status(set->arena);
}

static bool join_has_output(const struct join_set *set)
{
    return set->has_ended || set->failure || set->closed_at < set->closed_count;
}

static struct error *join_next(struct series_set *base, struct arena *arena, size_t max,
                               struct series_batch *out)
{
    struct join_set *set = container_of(base, struct join_set, base);
    while (!join_has_output(set))
        set->failure = join_gather(set);
    if (set->closed_at == set->closed_count) {
        struct error *err = set->failure;
        set->failure = NULL;
        set->has_ended = true;
        return err;
    }
    out->count = size_min(max, set->closed_count - set->closed_at);
    out->items = set->closed + set->closed_at;
    set->closed_at += out->count;
    arena_keep(arena, set->arena);
    for (size_t i = 0; i < set->given_arenas.len; i++)
        arena_keep(arena, set->given_arenas.items[i]);
    arenas_drop(set->given_arenas.items, set->given_arenas.len);
    vec_clear(&set->given_arenas);
    return arena_status(arena);
}

static bool join_ready(struct series_set *base, const struct series_wake *wake)
{
    struct join_set *set = container_of(base, struct join_set, base);
    while (!join_has_output(set)) {
        if (!series_set_ready(set->inner, wake))
            return false;
        set->failure = join_gather(set);
    }
    return true;
}

static void join_cancel(struct series_set *base)
{
    series_set_cancel(container_of(base, struct join_set, base)->inner);
}

static void join_stats(struct series_set *base, struct series_set_stats *add_to)
{
    series_set_stats(container_of(base, struct join_set, base)->inner, add_to);
}

static void join_free(struct series_set *base)
{
    struct join_set *set = container_of(base, struct join_set, base);
    series_set_free(set->inner);
    arenas_drop(set->old_arenas.items, set->old_arenas.len);
    arenas_drop(set->given_arenas.items, set->given_arenas.len);
    arena_unref(set->arena);
    vec_deinit(&set->parts);
    vec_deinit(&set->old_arenas);
    vec_deinit(&set->given_arenas);
    error_free(set->failure);
    free(set);
}

static const struct series_set_ops join_ops = {
    .next = join_next,
    .ready = join_ready,
    .cancel = join_cancel,
    .stats = join_stats,
    .free = join_free,
};

struct series_set *series_set_join(struct budget *budget, struct series_set *inner,
                                   atomic_bool *out_of_order)
{
    struct join_set *set = xcalloc(1, sizeof(*set));
    set->base.ops = &join_ops;
    set->inner = inner;
    set->budget = budget;
    set->out_of_order = out_of_order;
    set->parts.budget = budget;
    set->old_arenas.budget = budget;
    set->given_arenas.budget = budget;
    return &set->base;
}
