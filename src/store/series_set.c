#include "store/series_set.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

struct error *series_set_next(struct series_set *set, struct arena *arena, size_t max,
                              struct series_batch *out)
{
    *out = (struct series_batch){0};
    struct error *err = set->ops->next(set, arena, max, out);
    if (err)
        *out = (struct series_batch){0};
    return err;
}

bool series_set_ready(struct series_set *set, const struct series_wake *wake)
{
    return !set->ops->ready || set->ops->ready(set, wake);
}

void series_set_cancel(struct series_set *set)
{
    set->ops->cancel(set);
}

void series_set_stats(struct series_set *set, struct series_set_stats *add_to)
{
    if (set->ops->stats)
        set->ops->stats(set, add_to);
}

void series_set_free(struct series_set *set)
{
    if (set)
        set->ops->free(set);
}

/* A fixed answer: an array of series, or none, or an error. */
struct array_set {
    struct series_set base;
    struct arena *arena;
    struct series *items;
    size_t count, at;
    struct error *failure;
    atomic_bool is_cancelled;
};

static struct error *array_next(struct series_set *base, struct arena *arena, size_t max,
                                struct series_batch *out)
{
    struct array_set *set = container_of(base, struct array_set, base);
    if (atomic_load(&set->is_cancelled))
        return error_create(ERROR_CANCELLED, "context canceled");
    if (set->failure)
        return error_copy(set->failure);
    out->count = size_min(max, set->count - set->at);
    if (out->count == 0)
        return NULL;
    out->items = arena_array(arena, out->count, sizeof(*out->items));
    memcpy(out->items, set->items + set->at, out->count * sizeof(*out->items));
    set->at += out->count;
    arena_keep(arena, set->arena);
    return arena_status(arena);
}

static void array_cancel(struct series_set *base)
{
    struct array_set *set = container_of(base, struct array_set, base);
    atomic_store(&set->is_cancelled, true);
}

static void array_free(struct series_set *base)
{
    struct array_set *set = container_of(base, struct array_set, base);
    arena_unref(set->arena);
    error_free(set->failure);
    free(set);
}

static const struct series_set_ops array_ops = {
    .next = array_next, .cancel = array_cancel, .free = array_free};

static struct array_set *array_set_create(void)
{
    struct array_set *set = xcalloc(1, sizeof(*set));
    set->base.ops = &array_ops;
    return set;
}

struct series_set *series_set_empty(void)
{
    return &array_set_create()->base;
}

struct series_set *series_set_failed(struct error *err)
{
    struct array_set *set = array_set_create();
    set->failure = err;
    return &set->base;
}

struct series_set *series_set_from_array(struct arena *arena, struct series *items, size_t count)
{
    struct array_set *set = array_set_create();
    arena_ref(arena);
    set->arena = arena;
    set->items = items;
    set->count = count;
    return &set->base;
}

struct limited_set {
    struct series_set base;
    struct series_set *inner;
    size_t left;
};

static struct error *limited_next(struct series_set *base, struct arena *arena, size_t max,
                                  struct series_batch *out)
{
    struct limited_set *set = container_of(base, struct limited_set, base);
    if (set->left == 0)
        return NULL;
    struct error *err = series_set_next(set->inner, arena, size_min(max, set->left), out);
    if (err)
        return err;
    set->left -= out->count;
    if (set->left == 0)
        series_set_cancel(set->inner); /* nobody needs what is still on its way */
    return NULL;
}

static bool limited_ready(struct series_set *base, const struct series_wake *wake)
{
    struct limited_set *set = container_of(base, struct limited_set, base);
    return set->left == 0 || series_set_ready(set->inner, wake);
}

static void limited_cancel(struct series_set *base)
{
    series_set_cancel(container_of(base, struct limited_set, base)->inner);
}

static void limited_stats(struct series_set *base, struct series_set_stats *add_to)
{
    series_set_stats(container_of(base, struct limited_set, base)->inner, add_to);
}

static void limited_free(struct series_set *base)
{
    struct limited_set *set = container_of(base, struct limited_set, base);
    series_set_free(set->inner);
    free(set);
}

static const struct series_set_ops limited_ops = {
    .next = limited_next,
    .ready = limited_ready,
    .cancel = limited_cancel,
    .stats = limited_stats,
    .free = limited_free,
};

struct series_set *series_set_limit(struct series_set *inner, size_t limit)
{
    if (limit == 0)
        return inner;
    struct limited_set *set = xcalloc(1, sizeof(*set));
    set->base.ops = &limited_ops;
    set->inner = inner;
    set->left = limit;
    return &set->base;
}
