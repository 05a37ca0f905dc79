#include "store/series_shard.h"

#include <stdlib.h>

#include "base/memory.h"

enum { READ_MAX = 256 };

struct shard_set {
    struct series_set base;
    struct series_set *inner;
    struct budget *budget;
    struct arena *own; /* of the shard's labels */
    struct shard shard;
    struct arena *arena; /* of the batch */
    struct series_batch batch;
    size_t at;
    bool has_ended;
    struct error *failure;
};

static bool shard_has(const struct shard *shard, struct labels labels)
{
    uint64_t hash = labels_shard_hash(labels, shard->by, shard->labels.items, shard->labels.count);
    return hash % shard->total == shard->index;
}

static struct error *shard_gather(struct shard_set *set)
{
    arena_unref(set->arena);
    set->arena = arena_create(set->budget);
    set->at = 0;
    struct error *err = series_set_next(set->inner, set->arena, READ_MAX, &set->batch);
    if (err)
        return err;
    set->has_ended = set->batch.count == 0;
    size_t kept = 0;
    for (size_t i = 0; i < set->batch.count; i++)
        if (shard_has(&set->shard, set->batch.items[i].labels))
            set->batch.items[kept++] = set->batch.items[i];
    set->batch.count = kept;
    return NULL;
}

static bool shard_has_output(const struct shard_set *set)
{
    return set->has_ended || set->at < set->batch.count;
}

static struct error *shard_next(struct series_set *base, struct arena *arena, size_t max,
                                struct series_batch *out)
{
    struct shard_set *set = container_of(base, struct shard_set, base);
    struct error *err = set->failure;
    set->failure = NULL;
    while (!err && !shard_has_output(set))
        err = shard_gather(set);
    if (err || set->at == set->batch.count)
        return err;
    out->count = size_min(max, set->batch.count - set->at);
    out->items = set->batch.items + set->at;
    set->at += out->count;
    arena_keep(arena, set->arena);
    return arena_status(arena);
}

static bool shard_ready(struct series_set *base, const struct series_wake *wake)
{
    struct shard_set *set = container_of(base, struct shard_set, base);
    while (!set->failure && !shard_has_output(set)) {
        if (!series_set_ready(set->inner, wake))
            return false;
        set->failure = shard_gather(set);
    }
    return true;
}

static void shard_cancel(struct series_set *base)
{
    series_set_cancel(container_of(base, struct shard_set, base)->inner);
}

static void shard_stats(struct series_set *base, struct series_set_stats *add_to)
{
    series_set_stats(container_of(base, struct shard_set, base)->inner, add_to);
}

static void shard_free(struct series_set *base)
{
    struct shard_set *set = container_of(base, struct shard_set, base);
    series_set_free(set->inner);
    arena_unref(set->arena);
    arena_unref(set->own);
    error_free(set->failure);
    free(set);
}

static const struct series_set_ops shard_ops = {
    .next = shard_next,
    .ready = shard_ready,
    .cancel = shard_cancel,
    .stats = shard_stats,
    .free = shard_free,
};

struct series_set *series_set_shard(struct budget *budget, struct series_set *inner,
                                    const struct shard *shard)
{
    if (shard->total == 0)
        return inner;
    struct shard_set *set = xcalloc(1, sizeof(*set));
    set->base.ops = &shard_ops;
    set->inner = inner;
    set->budget = budget;
    set->own = arena_create(NULL);
    set->shard = *shard;
    set->shard.labels = str_list_copy(set->own, shard->labels);
    return &set->base;
}
