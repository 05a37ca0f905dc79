#include "bucket/bucket_select.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/loser_tree.h"
#include "base/memory.h"
#include "base/mutex.h"
#include "base/vec.h"
#include "block/chunk_file.h"
#include "bucket/bucket_cursor.h"
#include "runtime/context.h"
#include "runtime/gate.h"
#include "runtime/pool.h"
#include "store/chunk_lists.h"
#include "store/fan_out.h"

enum {
    GATHER_MAX = 4096,         /* series whose chunks are fetched together */
    CHUNK_BYTES_MAX = 2 << 20, /* of these chunks, at a guess */
};

struct bucket_set {
    struct series_set base;
    struct bucket_select_env env;
    struct context *ctx; /* a child of the select's */
    struct bucket_cursors cursors;
    struct loser_tree tree;
    bool has_tree;
    struct series_set_stats stats;

    struct arena *gathered; /* holds the batch, which is given piece by piece */
    struct series_batch batch;
    size_t given;

    struct mutex lock;
    pthread_cond_t changed;
    bool is_started GUARDED_BY(lock); /* the background task has ended */
    struct error *failure GUARDED_BY(lock);
    struct series_wake wake GUARDED_BY(lock); /* fn NULL: nobody waits */
};

/* ---- beginning ---- */

struct header_load {
    struct bucket_set *set;
    struct mutex lock;
    struct error *failure GUARDED_BY(lock);
};

static void load_header(void *arg, size_t i)
{
    struct header_load *load = arg;
    struct bucket_cursor *cursor = &load->set->cursors.items[i];
    struct error *err =
        load->set->env.headers ? gate_enter(load->set->env.headers, load->set->ctx) : NULL;
    if (!err) {
        err = bucket_block_acquire_header(cursor->block, load->set->ctx, &cursor->header);
        if (load->set->env.headers)
            gate_leave(load->set->env.headers);
    }
    if (!err)
        return;
    mutex_lock(&load->lock);
    error_keep_first(&load->failure,
                     error_wrap(err, "block %.*s", STR_ARG(bucket_block_name(cursor->block))));
    mutex_unlock(&load->lock);
}

static struct error *load_headers(struct bucket_set *set)
{
    struct header_load load = {.set = set};
    mutex_init(&load.lock);
    fan_out(set->env.pool, set->cursors.count, load_header, &load);
    mutex_deinit(&load.lock);
    return load.failure;
}

static void begin(void *arg)
{
    struct bucket_set *set = arg;
    struct error *err = context_error(set->ctx);
    if (!err)
        err = load_headers(set);
    if (!err)
        err = bucket_cursors_start(&set->cursors, set->ctx);
    mutex_lock(&set->lock);
    set->failure = err;
    set->is_started = true;
    struct series_wake wake = set->wake;
    set->wake = (struct series_wake){0};
    if (wake.fn) /* under the lock: none may come after the set was freed */
        wake.fn(wake.arg);
    pthread_cond_broadcast(&set->changed);
    mutex_unlock(&set->lock);
}

static bool cursor_less(void *self, size_t a, size_t b)
{
    const struct bucket_cursors *cursors = self;
    const struct bucket_cursor *x = &cursors->items[a], *y = &cursors->items[b];
    if (!bucket_cursor_has(x) || !bucket_cursor_has(y))
        return bucket_cursor_has(x) && !bucket_cursor_has(y);
    return labels_compare(x->items[x->at].labels, y->items[y->at].labels) < 0;
}

static struct error *wait_for_start(struct bucket_set *set)
{
    struct error *err = NULL;
    mutex_lock(&set->lock);
    while (!set->is_started && !err)
        err = context_wait(set->ctx, &set->changed, &set->lock);
    if (!err) {
        err = set->failure;
        set->failure = NULL;
    }
    mutex_unlock(&set->lock);
    if (!err && !set->has_tree && set->cursors.count > 0) {
        loser_tree_init(&set->tree, set->cursors.count, cursor_less, &set->cursors);
        set->has_tree = true;
    }
    return err;
}

/* ---- chunks ---- */

struct chunk_load { /* a chunk that a batch needs */
    struct bucket_block *block;
    struct chunk_meta meta;
    struct chunk *into;
};

typedef VEC(struct chunk_load) chunk_loads;

static int load_compare(const void *a, const void *b)
{
    const struct chunk_load *x = a, *y = b;
    if (x->block != y->block)
        return (uintptr_t)x->block < (uintptr_t)y->block ? -1 : 1;
    if (x->meta.ref != y->meta.ref)
        return x->meta.ref < y->meta.ref ? -1 : 1;
    return 0;
}

/* A chunk ends where the next one begins, if that is in the batch, else at a guess. */
static void want_chunks(const chunk_loads *loads, struct range_want *wants, struct arena *arena)
{
    struct str key = {0};
    for (size_t i = 0; i < loads->len; i++) {
        const struct chunk_load *load = &loads->items[i];
        uint32_t file = chunk_ref_file(load->meta.ref);
        bool is_new = i == 0 || loads->items[i - 1].block != load->block ||
                      chunk_ref_file(loads->items[i - 1].meta.ref) != file;
        if (is_new)
            key = bucket_block_chunk_key(load->block, file, arena);
        uint64_t start = chunk_ref_place(load->meta.ref);
        uint64_t end = start + bucket_block_chunk_guess(load->block) + CHUNK_FRAME_MAX;
        if (i + 1 < loads->len && loads->items[i + 1].block == load->block &&
            chunk_ref_file(loads->items[i + 1].meta.ref) == file &&
            chunk_ref_place(loads->items[i + 1].meta.ref) < end &&
            chunk_ref_place(loads->items[i + 1].meta.ref) > start)
            end = chunk_ref_place(loads->items[i + 1].meta.ref);
        wants[i] = (struct range_want){.key = key, .start = start, .end = end};
    }
}

static struct error *load_error(const struct chunk_load *load, struct error *err)
{
    return error_wrap(err, "block %.*s, chunk file %u at %u",
                      STR_ARG(bucket_block_name(load->block)), chunk_ref_file(load->meta.ref) + 1,
                      chunk_ref_place(load->meta.ref));
}

/* Takes the chunks that came whole; the others' wants are made as long as they have to be and put
 * first, *left of them. */
static struct error *take_chunks(chunk_loads *loads, struct range_want *wants, struct arena *arena,
                                 struct series_set_stats *stats, size_t *left)
{
    struct error *err = NULL;
    *left = 0;
    for (size_t i = 0; i < loads->len && !err; i++) {
        const struct chunk_load load = loads->items[i];
        size_t need;
        err = chunk_frame_read(wants[i].bytes, &load.meta, arena, load.into, &need);
        uint64_t asked = wants[i].end - wants[i].start;
        if (err && need > asked && need <= CHUNK_DATA_MAX) {
            error_free(err);
            err = NULL;
            bucket_block_chunk_was(load.block, need);
            wants[*left] = (struct range_want){
                .key = wants[i].key, .start = wants[i].start, .end = wants[i].start + need};
            loads->items[(*left)++] = load;
        } else if (!err) {
            stats->bytes += load.into->raw.bytes.len;
            stats->samples_estimate += chunk_sample_count(&load.into->raw);
        }
        err = load_error(&load, err);
    }
    return err;
}

static struct error *load_chunks(struct bucket_set *set, chunk_loads *loads, struct arena *arena)
{
    struct error *err = vec_status(loads);
    struct range_want *wants =
        err ? NULL : arena_try_alloc(arena, (loads->len + 1) * sizeof(*wants));
    if (!err && !wants)
        err = arena_status(arena);
    if (err || loads->len == 0)
        return err;
    set->stats.chunks += loads->len;
    qsort(loads->items, loads->len, sizeof(loads->items[0]), load_compare);
    want_chunks(loads, wants, arena);
    while (loads->len > 0 && !err) { /* twice at most: the second time lengths are known */
        size_t left = 0;
        err = ranges_read(set->env.bucket, set->ctx, wants, loads->len, arena);
        if (!err)
            err = take_chunks(loads, wants, arena, &set->stats, &left);
        loads->len = left;
    }
    return err;
}

/* ---- series ---- */

/* Takes the smallest label set from all cursors that have it. False: some cursor has to be filled
 * first, or the end. */
static bool take_series(struct bucket_set *set, struct arena *arena, struct series *out,
                        chunk_loads *loads, size_t *bytes)
{
    struct bucket_cursors *cursors = &set->cursors;
    struct bucket_cursor *winner = &cursors->items[loser_tree_winner(&set->tree)];
    if (!bucket_cursor_has(winner))
        return false;
    struct labels labels = labels_copy(arena, winner->items[winner->at].labels);
    size_t count = 0, first = loads->len;
    bool used_up = false;
    *out = (struct series){.labels = labels};
    while (bucket_cursor_has(winner) && labels_equal(winner->items[winner->at].labels, labels)) {
        const struct index_series *series = &winner->items[winner->at++];
        for (size_t i = 0; i < series->chunk_count; i++)
            (void)vec_push(loads, (struct chunk_load){winner->block, series->chunks[i], NULL});
        count += series->chunk_count;
        *bytes += series->chunk_count * bucket_block_chunk_guess(winner->block);
        used_up |= !bucket_cursor_has(winner) && winner->next < winner->postings.count;
        loser_tree_replay(&set->tree);
        winner = &cursors->items[loser_tree_winner(&set->tree)];
    }
    out->chunks =
        (struct chunk_list){arena_zalloc(arena, (count + 1) * sizeof(struct chunk)), count};
    for (size_t i = 0; first + i < loads->len; i++)
        loads->items[first + i].into = &out->chunks.items[i];
    if (cursors->query.skip_chunks) {
        loads->len = first;
        out->chunks.count = 0;
    }
    set->stats.series++;
    return !used_up;
}

/* Aggregates that were not asked for are not given. */
static void drop_aggregates(const struct bucket_set *set, struct chunk_list *chunks)
{
    for (size_t i = 0; i < chunks->count; i++) {
        struct chunk_data *parts = (struct chunk_data *)chunks->items[i].aggrs; /* ours so far */
        for (int aggr = 0; parts && aggr < AGGR_NUMBER; aggr++) {
            if (!(set->cursors.query.aggrs & AGGR_BIT(aggr)))
                parts[aggr] = (struct chunk_data){0};
        }
    }
}

static struct error *gather(struct bucket_set *set, struct arena *arena, size_t max,
                            struct series_batch *out, chunk_loads *loads)
{
    size_t bytes = 0;
    bool goes_on = true;
    while (goes_on && out->count < max && bytes < CHUNK_BYTES_MAX) {
        goes_on = take_series(set, arena, &out->items[out->count], loads, &bytes);
        if (out->items[out->count].labels.data)
            out->count++;
        struct error *err = arena_status(arena);
        if (err)
            return err;
    }
    return NULL;
}

/* Series that lie together are read together, however few are asked for at a time. */
static struct error *gather_batch(struct bucket_set *set)
{
    chunk_loads loads = VEC_INIT(set->cursors.budget);
    arena_unref(set->gathered);
    struct arena *arena = set->gathered = arena_create(set->cursors.budget);
    struct series_batch batch = {arena_try_alloc(arena, (GATHER_MAX + 1) * sizeof(struct series)),
                                 0};
    struct error *err = batch.items ? NULL : arena_status(arena);
    set->batch = (struct series_batch){0};
    set->given = 0;
    if (!err) {
        memset(batch.items, 0, (GATHER_MAX + 1) * sizeof(struct series));
        err = bucket_cursors_fill(&set->cursors, set->ctx);
    }
    if (!err) {
        loser_tree_rebuild(&set->tree);
        err = gather(set, arena, GATHER_MAX, &batch, &loads);
    }
    if (!err)
        err = load_chunks(set, &loads, arena);
    for (size_t i = 0; i < batch.count && !err; i++) {
        drop_aggregates(set, &batch.items[i].chunks);
        batch.items[i].chunks = chunk_lists_join(arena, &batch.items[i].chunks, 1);
    }
    if (!err)
        err = arena_status(arena);
    if (!err)
        set->batch = batch;
    vec_deinit(&loads);
    return err;
}

static struct error *bucket_set_next(struct series_set *base, struct arena *arena, size_t max,
                                     struct series_batch *out)
{
    struct bucket_set *set = container_of(base, struct bucket_set, base);
    struct error *err = wait_for_start(set);
    *out = (struct series_batch){0};
    if (!err && set->cursors.count > 0 && set->given == set->batch.count)
        err = gather_batch(set);
    if (err || set->given == set->batch.count)
        return err;
    out->items = set->batch.items + set->given;
    out->count = size_min(max, set->batch.count - set->given);
    set->given += out->count;
    arena_keep(arena, set->gathered);
    return arena_status(arena);
}

static bool bucket_set_ready(struct series_set *base, const struct series_wake *wake)
{
    struct bucket_set *set = container_of(base, struct bucket_set, base);
    mutex_lock(&set->lock);
    bool ready = set->is_started || context_ended(set->ctx);
    if (!ready && wake)
        set->wake = *wake;
    mutex_unlock(&set->lock);
    return ready;
}

static void bucket_set_cancel(struct series_set *base)
{
    /* what the background task waits for ends with it, and the task wakes who waits for it */
    context_cancel(container_of(base, struct bucket_set, base)->ctx);
}

static void bucket_set_stats(struct series_set *base, struct series_set_stats *add_to)
{
    const struct bucket_set *set = container_of(base, struct bucket_set, base);
    add_to->series += set->stats.series;
    add_to->chunks += set->stats.chunks;
    add_to->samples_estimate += set->stats.samples_estimate;
    add_to->bytes += set->stats.bytes;
}

/* The task works with the query's budget, so nobody may be told that the set is gone before it
 * ends. */
static void bucket_set_free(struct series_set *base)
{
    struct bucket_set *set = container_of(base, struct bucket_set, base);
    context_cancel(set->ctx);
    mutex_lock(&set->lock);
    set->wake = (struct series_wake){0};
    while (!set->is_started)
        mutex_wait(&set->lock, &set->changed);
    mutex_unlock(&set->lock);
    error_free(set->failure);
    if (set->has_tree)
        loser_tree_deinit(&set->tree);
    arena_unref(set->gathered);
    bucket_cursors_deinit(&set->cursors);
    pthread_cond_destroy(&set->changed);
    mutex_deinit(&set->lock);
    context_unref(set->ctx);
    free(set);
}

static const struct series_set_ops bucket_set_ops = {
    .next = bucket_set_next,
    .ready = bucket_set_ready,
    .cancel = bucket_set_cancel,
    .stats = bucket_set_stats,
    .free = bucket_set_free,
};

struct series_set *bucket_select(const struct bucket_select_env *env,
                                 struct bucket_block *const *blocks, size_t count,
                                 const struct store_query *query, struct context *ctx)
{
    struct bucket_set *set = xcalloc(1, sizeof(*set));
    set->base.ops = &bucket_set_ops;
    set->env = *env;
    set->ctx = context_create(ctx, CONTEXT_NO_DEADLINE);
    mutex_init(&set->lock);
    pthread_cond_init(&set->changed, NULL);
    struct error *err = bucket_cursors_init(&set->cursors, env->bucket, env->cache, blocks, count,
                                            query, context_budget(ctx));
    if (err) {
        set->is_started = true;
        bucket_set_free(&set->base);
        return series_set_failed(err);
    }
    pool_run_anyway(env->pool, begin, set);
    return query->limit ? series_set_limit(&set->base, query->limit) : &set->base;
}
