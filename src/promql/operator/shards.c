#include "promql/operator/shards.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/mutex.h"
#include "promql/operator/share.h"
#include "runtime/pool.h"

enum { SHARDS_MAX = 16 };

/* A batch on its way through the shards. Lives in the batch's arena. */
struct sorted_batch {
    struct step_batch *batch;
    struct labels *keys; /* of the rows' groups */
    uint64_t *hashes;
    uint32_t *rows;  /* shard after shard, each in the order of the batch */
    uint32_t *first; /* [shards + 1] into rows */
};

struct waiting {
    struct sorted_batch *batch;
    struct arena *arena; /* a reference */
    struct waiting *next;
};

struct fold_shard {
    struct groups groups; /* of the thread that has made it busy */
    struct mutex lock;    /* of what follows */
    uint64_t next;        /* sequence of the batch to be folded */
    bool is_busy;
    struct waiting *waiting; /* in no order: there are few */
};

void shards_init(struct shards *shards, struct execution *execution,
                 const struct plan_aggregate *aggregate, size_t group_size, row_fold fold,
                 void *self)
{
    *shards = (struct shards){
        .execution = execution,
        .arena = arena_create(execution->budget),
        .count = execution->compute ? pool_threads(execution->compute) : 1,
        .fold = fold,
        .self = self,
    };
    grouping_init(&shards->grouping, execution, aggregate, shards->arena);
    shards->count = size_max(size_min(shards->count, SHARDS_MAX), 1);
    if (grouping_is_one(&shards->grouping))
        shards->count = 1;
    shards->items = xcalloc(shards->count, sizeof(*shards->items));
    for (size_t i = 0; i < shards->count; i++) {
        groups_init(&shards->items[i].groups, execution, aggregate, group_size);
        mutex_init(&shards->items[i].lock);
    }
}

static void shard_deinit(struct fold_shard *shard)
{
    while (shard->waiting) {
        struct waiting *waiting = shard->waiting;
        shard->waiting = waiting->next;
        arena_unref(waiting->arena);
        free(waiting);
    }
    groups_deinit(&shard->groups);
    mutex_deinit(&shard->lock);
}

void shards_deinit(struct shards *shards)
{
    for (size_t i = 0; i < shards->count; i++)
        shard_deinit(&shards->items[i]);
    free(shards->items);
    arena_unref(shards->arena);
}

/* ---- sorting a batch's rows by shard ---- */

static struct sorted_batch *sort_batch(const struct shards *shards, struct step_batch *batch,
                                       struct arena *arena)
{
    size_t rows = batch->row_count;
    struct sorted_batch *sorted = arena_alloc(arena, sizeof(*sorted));
    *sorted = (struct sorted_batch){
        .batch = batch,
        .keys = arena_array(arena, rows + 1, sizeof(*sorted->keys)),
        .hashes = arena_array(arena, rows + 1, sizeof(*sorted->hashes)),
        .rows = arena_array(arena, rows + 1, sizeof(*sorted->rows)),
        .first = arena_zalloc(arena, (shards->count + 1) * sizeof(*sorted->first)),
    };
    for (size_t row = 0; row < rows; row++) {
        struct labels key = grouping_key(&shards->grouping, batch, row, arena);
        sorted->keys[row] = key;
        sorted->hashes[row] = hash_bytes(key.data, key.len);
        sorted->first[sorted->hashes[row] % shards->count + 1]++;
    }
    for (size_t i = 0; i < shards->count; i++)
        sorted->first[i + 1] += sorted->first[i];
    uint32_t at[SHARDS_MAX];
    for (size_t i = 0; i < shards->count; i++)
        at[i] = sorted->first[i];
    for (size_t row = 0; row < rows; row++)
        sorted->rows[at[sorted->hashes[row] % shards->count]++] = (uint32_t)row;
    return sorted;
}

/* ---- folding in sequence ---- */

static struct error *fold_rows(struct shards *shards, size_t number,
                               const struct sorted_batch *sorted)
{
    struct groups *groups = &shards->items[number].groups;
    struct error *err = NULL;
    for (uint32_t i = sorted->first[number]; i < sorted->first[number + 1] && !err; i++) {
        size_t row = sorted->rows[i];
        struct group *group;
        size_t known = groups->items.len;
        err = groups_get(groups, sorted->keys[row], sorted->hashes[row], &group);
        if (err)
            break;
        if (groups->items.len > known) /* new: remember where among all rows */
            group->number = sorted->batch->sequence * UINT32_MAX + row;
        err = shards->fold(shards->self, groups, group, sorted->batch, row);
    }
    return err ? err : arena_status(groups->arena);
}

/* Whether it is this batch's turn; else it is left at the shard. */
static bool shard_enter(struct fold_shard *shard, struct sorted_batch *sorted, struct arena *arena)
{
    mutex_lock(&shard->lock);
    bool is_turn = !shard->is_busy && shard->next == sorted->batch->sequence;
    if (is_turn) {
        shard->is_busy = true;
    } else {
        struct waiting *waiting = xmalloc(sizeof(*waiting));
        arena_ref(arena);
        *waiting = (struct waiting){sorted, arena, shard->waiting};
        shard->waiting = waiting;
    }
    mutex_unlock(&shard->lock);
    return is_turn;
}

/* After a batch: the one that waits for its turn now, or NULL, and the shard is free. */
static struct waiting *shard_advance(struct fold_shard *shard)
{
    mutex_lock(&shard->lock);
    struct waiting **at = &shard->waiting, *found;
    shard->next++;
    while (*at && (*at)->batch->batch->sequence != shard->next)
        at = &(*at)->next;
    found = *at;
    if (found)
        *at = found->next;
    else
        shard->is_busy = false;
    mutex_unlock(&shard->lock);
    return found;
}

static struct error *shard_take(struct shards *shards, size_t number, struct sorted_batch *sorted,
                                struct arena *arena)
{
    struct fold_shard *shard = &shards->items[number];
    if (!shard_enter(shard, sorted, arena))
        return NULL;
    struct error *err = fold_rows(shards, number, sorted);
    struct waiting *waiting = shard_advance(shard);
    while (waiting) {
        if (!err) /* after an error batches only go by */
            err = fold_rows(shards, number, waiting->batch);
        arena_unref(waiting->arena);
        free(waiting);
        waiting = shard_advance(shard);
    }
    return err;
}

/* Workers begin at different shards, so that they are seldom in each other's way. */
static struct error *shards_take(void *self, struct context *ctx, struct step_batch *batch,
                                 struct arena *arena)
{
    struct shards *shards = self;
    struct sorted_batch *sorted = sort_batch(shards, batch, arena);
    struct error *err = arena_status(arena);
    for (size_t i = 0; i < shards->count; i++) {
        size_t number = (batch->sequence + i) % shards->count;
        error_keep_first(&err, shard_take(shards, number, sorted, arena));
    }
    return err;
}

/* ---- one thread ---- */

struct plain_drain {
    struct shards *shards;
    uint64_t sequence;
};

static struct error *take_next(void *self, struct context *ctx, struct step_batch *batch,
                               struct arena *arena)
{
    struct plain_drain *drain = self;
    batch->sequence = drain->sequence++;
    return shards_take(drain->shards, ctx, batch, arena);
}

void shards_attach(struct shards *shards, struct operator* input)
{
    if (operator_is_share_end(input))
        share_end_attach(input, shards_take, shards);
}

struct error *shards_drain(struct shards *shards, struct operator* input, struct context *ctx)
{
    struct plain_drain drain = {shards, 0};
    if (operator_is_share_end(input))
        return share_end_drain(input, ctx);
    if (shards->execution->compute && operator_is_selector(input))
        return selector_drain(input, ctx, shards_take, shards);
    return operator_drain(input, shards->execution, ctx, take_next, &drain);
}

/* ---- results ---- */

static int group_order(const void *a, const void *b)
{
    const struct group *const *left = a, *const *right = b;
    return (*left)->number < (*right)->number ? -1 : (*left)->number > (*right)->number;
}

struct group **shards_groups(struct shards *shards, struct arena *arena, size_t *count)
{
    size_t total = 0, at = 0;
    for (size_t i = 0; i < shards->count; i++)
        total += shards->items[i].groups.items.len;
    struct group **groups = arena_array(arena, total + 1, sizeof(struct group *));
    for (size_t i = 0; i < shards->count; i++) {
        for (size_t j = 0; j < shards->items[i].groups.items.len; j++)
            groups[at++] = shards->items[i].groups.items.items[j];
    }
    if (shards->count > 1)
        qsort(groups, total, sizeof(struct group *), group_order);
    *count = total;
    return groups;
}
