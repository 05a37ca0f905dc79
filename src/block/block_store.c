#include "block/block_store.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/vec.h"
#include "chunk/chunk_encoder.h"
#include "chunk/samples.h"
#include "runtime/context.h"
#include "store/text_set.h"

struct block_store {
    struct store base;
    struct block *block;
};

struct block_set {
    struct series_set base;
    struct block *block;
    struct arena *arena; /* of the plan, its matchers and the postings */
    struct postings_plan plan;
    struct postings postings;
    size_t at;
    int64_t min_time, max_time;
    bool skip_chunks;
    atomic_bool cancelled;
    struct series_set_stats stats;
};

/* ---- tombstones ---- */

static bool is_deleted(const struct tombstone *deleted, size_t count, int64_t time)
{
    for (size_t i = 0; i < count; i++) {
        if (time >= deleted[i].interval.min_time && time <= deleted[i].interval.max_time)
            return true;
    }
    return false;
}

/* The samples of a chunk that were not deleted, in chunks of their own. */
static struct error *encode_rest(const struct chunk *chunk, const struct tombstone *deleted,
                                 size_t count, struct arena *arena, struct chunk_list *out)
{
    struct samples samples;
    struct error *err = chunk_decode(&chunk->raw, INT64_MIN, INT64_MAX, arena, &samples);
    if (err)
        return err;
    struct chunk_encoder encoder;
    chunk_encoder_init(&encoder, arena);
    for (size_t i = 0; i < samples.count; i++) {
        if (is_deleted(deleted, count, samples.times[i]))
            continue;
        if (samples.histograms && samples.histograms[i])
            chunk_encoder_histogram(&encoder, samples.times[i], samples.histograms[i]);
        else
            chunk_encoder_float(&encoder, samples.times[i], samples.values[i]);
    }
    return chunk_encoder_finish(&encoder, out);
}

/* What is left of a chunk; *whole when nothing was deleted from it. */
static struct error *cut_chunk(const struct chunk *chunk, const struct tombstone *deleted,
                               size_t count, struct arena *arena, struct chunk_list *out)
{
    bool touched = false;
    *out = (struct chunk_list){NULL, 0};
    for (size_t i = 0; i < count; i++) {
        if (deleted[i].interval.min_time <= chunk->min_time &&
            deleted[i].interval.max_time >= chunk->max_time)
            return NULL;
        touched |= deleted[i].interval.min_time <= chunk->max_time &&
                   deleted[i].interval.max_time >= chunk->min_time;
    }
    if (touched && !chunk->aggrs)
        return encode_rest(chunk, deleted, count, arena, out);
    out->items = arena_array(arena, 1, sizeof(*chunk));
    out->items[0] = *chunk;
    out->count = 1;
    return NULL;
}

static struct error *cut_chunks(struct chunk_list *list, const struct tombstone *deleted,
                                size_t count, struct arena *arena)
{
    VEC(struct chunk) kept = VEC_INIT(NULL);
    struct error *err = NULL;
    for (size_t i = 0; i < list->count && !err; i++) {
        struct chunk_list rest;
        err = cut_chunk(&list->items[i], deleted, count, arena, &rest);
        for (size_t k = 0; k < rest.count && !err; k++)
            vec_push(&kept, rest.items[k]);
    }
    list->count = kept.len;
    list->items = arena_array(arena, kept.len + 1, sizeof(*list->items));
    if (kept.len)
        memcpy(list->items, kept.items, kept.len * sizeof(*list->items));
    vec_deinit(&kept);
    return err;
}

/* ---- a select ---- */

static struct error *read_chunks(struct block_set *set, uint32_t ref,
                                 const struct index_series *found, struct arena *arena,
                                 struct chunk_list *out)
{
    size_t deleted_count;
    const struct tombstone *deleted =
        tombstones_of(block_tombstones(set->block), ref, &deleted_count);
    struct error *err = NULL;
    out->items = arena_array(arena, found->chunk_count + 1, sizeof(*out->items));
    out->count = found->chunk_count;
    for (size_t i = 0; i < found->chunk_count && !err; i++)
        err = block_chunk(set->block, &found->chunks[i], arena, &out->items[i]);
    if (!err && deleted_count > 0)
        err = cut_chunks(out, deleted, deleted_count, arena);
    return err;
}

/* *found = false: the series does not belong to the answer. */
static struct error *read_series(struct block_set *set, uint32_t ref, struct arena *arena,
                                 struct series *out, bool *found)
{
    struct index_series entry;
    struct error *err =
        block_series(set->block, ref, set->min_time, set->max_time, false, arena, &entry);
    *found = false;
    *out = (struct series){.labels = entry.labels};
    if (err || entry.chunk_count == 0 ||
        !matchers_match(set->plan.tested, set->plan.tested_count, entry.labels))
        return err;
    *found = true;
    if (set->skip_chunks)
        return NULL;
    err = read_chunks(set, ref, &entry, arena, &out->chunks);
    *found = out->chunks.count > 0;
    return err;
}

static void count_series(struct series_set_stats *stats, const struct series *series)
{
    stats->series++;
    stats->chunks += series->chunks.count;
    for (size_t i = 0; i < series->chunks.count; i++) {
        stats->bytes += series->chunks.items[i].raw.bytes.len;
        stats->samples_estimate += chunk_sample_count(&series->chunks.items[i].raw);
    }
}

static void unref_block(void *block)
{
    block_unref(block);
}

static struct error *block_set_next(struct series_set *base, struct arena *arena, size_t max,
                                    struct series_batch *out)
{
    struct block_set *set = container_of(base, struct block_set, base);
    size_t room = size_min(max, set->postings.count - set->at);
    struct error *err = NULL;
    *out = (struct series_batch){arena_array(arena, room + 1, sizeof(*out->items)), 0};
    if (room > 0) {
        block_ref(set->block);
        arena_on_free(arena, unref_block, set->block);
    }
    while (!err && out->count < room && set->at < set->postings.count) {
        bool found;
        if (atomic_load(&set->cancelled))
            return error_create(ERROR_CANCELLED, "the select was cancelled");
        err = read_series(set, set->postings.refs[set->at], arena, &out->items[out->count], &found);
        if (err && error_kind(err) == ERROR_CORRUPT)
            return err;
        error_keep_first(&err, arena_status(arena));
        set->at++;
        if (!err && found)
            count_series(&set->stats, &out->items[out->count++]);
    }
    return err;
}

static void block_set_cancel(struct series_set *base)
{
    atomic_store(&container_of(base, struct block_set, base)->cancelled, true);
}

static void block_set_stats(struct series_set *base, struct series_set_stats *add_to)
{
    const struct block_set *set = container_of(base, struct block_set, base);
    add_to->series += set->stats.series;
    add_to->chunks += set->stats.chunks;
    add_to->samples_estimate += set->stats.samples_estimate;
    add_to->bytes += set->stats.bytes;
}

static void block_set_free(struct series_set *base)
{
    struct block_set *set = container_of(base, struct block_set, base);
    arena_unref(set->arena);
    block_unref(set->block);
    free(set);
}

static const struct series_set_ops block_set_ops = {
    .next = block_set_next,
    .cancel = block_set_cancel,
    .stats = block_set_stats,
    .free = block_set_free,
};

/* The series that matchers ask for, in the arena. */
static struct error *find_series(struct block *block, const struct store_query *query,
                                 struct arena *arena, struct postings_plan *plan,
                                 struct postings *out)
{
    struct error *err = postings_plan_make(block_postings_table(block), query->matchers,
                                           query->matcher_count, arena, plan);
    return err ? err : block_postings(block, plan, arena, out);
}

static struct error *block_select(struct store *base, struct context *ctx,
                                  const struct store_query *query, struct series_set **out)
{
    struct block_store *store = container_of(base, struct block_store, base);
    const struct block_meta *meta = block_meta(store->block);
    *out = NULL;
    if (query->max_time < meta->min_time || query->min_time >= meta->max_time) {
        *out = series_set_empty();
        return NULL;
    }
    struct block_set *set = xcalloc(1, sizeof(*set));
    set->base.ops = &block_set_ops;
    set->block = store->block;
    block_ref(set->block);
    set->arena = arena_create(context_budget(ctx));
    set->min_time = query->min_time;
    set->max_time = query->max_time;
    set->skip_chunks = query->skip_chunks;
    struct store_query copy; /* matchers are tested after the call */
    struct error *err = store_query_copy(set->arena, query, &copy);
    if (!err)
        err = find_series(set->block, &copy, set->arena, &set->plan, &set->postings);
    if (err) {
        block_set_free(&set->base);
        return err;
    }
    *out = query->limit ? series_set_limit(&set->base, query->limit) : &set->base;
    return NULL;
}

/* ---- labels ---- */

/* Goes through the series that match and collects all their label names, or values of one. */
static struct error *collect_texts(struct block *block, struct context *ctx,
                                   const struct store_query *query, const struct str *name,
                                   struct text_set *set)
{
    struct arena *arena = arena_create(context_budget(ctx));
    struct arena *scratch = arena_create(context_budget(ctx));
    struct postings_plan plan;
    struct postings found = {0};
    struct error *err = find_series(block, query, arena, &plan, &found);
    for (size_t i = 0; i < found.count && !err; i++) {
        struct index_series entry;
        struct label label;
        arena_reset(scratch);
        err = block_series(block, found.refs[i], query->min_time, query->max_time, false, scratch,
                           &entry);
        if (err || entry.chunk_count == 0 ||
            !matchers_match(plan.tested, plan.tested_count, entry.labels))
            continue;
        for (struct labels_reader reader = labels_read(entry.labels);
             !err && labels_next(&reader, &label);) {
            if (!name)
                err = text_set_add(set, label.name);
            else if (str_equal(label.name, *name))
                err = text_set_add(set, label.value);
        }
        if (!err && i % 1024 == 0)
            err = context_error(ctx);
    }
    arena_unref(scratch);
    arena_unref(arena);
    return err;
}

static struct error *block_label_names(struct store *base, struct context *ctx,
                                       const struct store_query *query, struct arena *arena,
                                       struct str_list *out)
{
    struct block *block = container_of(base, struct block_store, base)->block;
    const struct postings_table *table = block_postings_table(block);
    struct text_set set;
    struct error *err = NULL;
    text_set_init(&set, arena);
    if (query->matcher_count > 0)
        err = collect_texts(block, ctx, query, NULL, &set);
    for (size_t i = 0; query->matcher_count == 0 && i < table->name_count && !err; i++) {
        if (table->names[i].name.len > 0)
            err = text_set_add(&set, table->names[i].name);
    }
    text_set_finish(&set, query->limit, out);
    return err;
}

static struct error *block_label_values(struct store *base, struct context *ctx, struct str name,
                                        const struct store_query *query, struct arena *arena,
                                        struct str_list *out)
{
    struct block *block = container_of(base, struct block_store, base)->block;
    const struct postings_name *found = postings_table_name(block_postings_table(block), name);
    struct text_set set;
    struct error *err = NULL;
    text_set_init(&set, arena);
    if (found && query->matcher_count > 0) {
        err = collect_texts(block, ctx, query, &name, &set);
    } else if (found && name.len > 0) {
        struct postings_key key;
        struct postings_cursor cursor =
            postings_values(block_postings_table(block), found, STR(""));
        while (!err && postings_values_next(&cursor, &key))
            err = text_set_add(&set, key.value);
    }
    text_set_finish(&set, query->limit, out);
    return err;
}

/* ---- the store ---- */

static void block_store_describe(struct store *base, struct store_info *out)
{
    const struct block_meta *meta = block_meta(container_of(base, struct block_store, base)->block);
    out->min_time = meta->min_time;
    out->max_time = meta->max_time - 1;
    out->type = STR("store");
}

static void block_store_free(struct store *base)
{
    struct block_store *store = container_of(base, struct block_store, base);
    block_unref(store->block);
    free(store);
}

static const struct store_ops block_store_ops = {
    .describe = block_store_describe,
    .select = block_select,
    .label_names = block_label_names,
    .label_values = block_label_values,
    .free = block_store_free,
};

struct store *block_store_create(struct block *block)
{
    struct block_store *store = xcalloc(1, sizeof(*store));
    store->base.ops = &block_store_ops;
    store->block = block;
    block_ref(block);
    return &store->base;
}
