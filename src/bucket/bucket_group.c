#include "bucket/bucket_group.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/context.h"
#include "store/series_set.h"
#include "store/text_set.h"

struct group {
    struct store base;
    struct bucket_select_env env;
    struct bucket_block **blocks; /* sorted by time */
    size_t count;
};

static struct group *of(struct store *store)
{
    return container_of(store, struct group, base);
}

static const struct block_meta *meta_of(const struct bucket_block *block)
{
    return bucket_block_meta(block);
}

static int block_compare(const void *a, const void *b)
{
    const struct block_meta *x = meta_of(*(struct bucket_block *const *)a);
    const struct block_meta *y = meta_of(*(struct bucket_block *const *)b);
    if (x->min_time != y->min_time)
        return x->min_time < y->min_time ? -1 : 1;
    if (x->max_time != y->max_time)
        return x->max_time < y->max_time ? -1 : 1;
    return ulid_compare(x->id, y->id);
}

/* ---- choosing blocks ---- */

static const int64_t resolutions[] = {60 * 60 * 1000, 5 * 60 * 1000, 0}; /* ms, coarsest first */

struct choice {
    struct bucket_block *const *blocks;
    size_t count;
    struct bucket_block **out;
    size_t chosen;
    bool *is_chosen; /* a finer block that reaches over two gaps is found in both */
};

/* Blocks of resolutions[level] within the range; gaps between them from finer levels. */
static void choose_level(struct choice *choice, int64_t min_time, int64_t max_time, size_t level)
{
    int64_t start = min_time;
    if (min_time > max_time)
        return;
    for (size_t i = 0; i < choice->count; i++) {
        const struct block_meta *meta = meta_of(choice->blocks[i]);
        if (meta->thanos.resolution_ms != resolutions[level] || meta->max_time <= min_time)
            continue;
        if (meta->min_time > max_time)
            break;
        if (level + 1 < countof(resolutions))
            choose_level(choice, start, meta->min_time - 1, level + 1);
        if (!choice->is_chosen[i])
            choice->out[choice->chosen++] = choice->blocks[i];
        choice->is_chosen[i] = true;
        start = meta->max_time;
    }
    if (level + 1 < countof(resolutions))
        choose_level(choice, start, max_time, level + 1);
}

size_t bucket_group_choose(struct bucket_block *const *blocks, size_t count, int64_t min_time,
                           int64_t max_time, int64_t max_resolution_ms, struct bucket_block **out)
{
    struct choice choice = {blocks, count, out, 0, xcalloc(count + 1, sizeof(bool))};
    size_t level = 0;
    while (level + 1 < countof(resolutions) && resolutions[level] > max_resolution_ms)
        level++;
    choose_level(&choice, min_time, max_time, level);
    free(choice.is_chosen);
    return choice.chosen;
}

static size_t choose(const struct group *group, const struct store_query *query,
                     struct bucket_block **out)
{
    return bucket_group_choose(group->blocks, group->count, query->min_time, query->max_time,
                               query->max_resolution_ms, out);
}

/* ---- selects ---- */

static struct error *group_select(struct store *store, struct context *ctx,
                                  const struct store_query *query, struct series_set **out)
{
    const struct group *group = of(store);
    struct bucket_block **chosen = xcalloc(group->count + 1, sizeof(struct bucket_block *));
    size_t count = choose(group, query, chosen);
    *out = count > 0 ? bucket_select(&group->env, chosen, count, query, ctx) : series_set_empty();
    free(chosen);
    return NULL;
}

/* ---- labels ---- */

/* All names, or values of one, that a block's table has: nothing is read from the bucket. */
static struct error *texts_of_header(const struct index_header *header, const struct str *name,
                                     struct text_set *texts)
{
    const struct postings_table *table = &header->postings;
    struct error *err = NULL;
    if (!name) {
        for (size_t i = 0; i < table->name_count && !err; i++) {
            if (table->names[i].name.len > 0)
                err = text_set_add(texts, table->names[i].name);
        }
        return err;
    }
    const struct postings_name *found = name->len ? postings_table_name(table, *name) : NULL;
    if (!found)
        return NULL;
    struct postings_key key;
    struct postings_cursor cursor = postings_values(table, found, STR(""));
    while (!err && postings_values_next(&cursor, &key)) {
        if (key.value.len > 0)
            err = text_set_add(texts, key.value);
    }
    return err;
}

static struct error *texts_of_blocks(const struct group *group, struct context *ctx,
                                     const struct store_query *query, const struct str *name,
                                     struct text_set *texts)
{
    struct bucket_block **chosen = xcalloc(group->count + 1, sizeof(struct bucket_block *));
    size_t count = choose(group, query, chosen);
    struct error *err = NULL;
    for (size_t i = 0; i < count && !err; i++) {
        const struct index_header *header;
        err = bucket_block_acquire_header(chosen[i], ctx, &header);
        if (err)
            break;
        err = texts_of_header(header, name, texts);
        bucket_block_release_header(chosen[i]);
        error_keep_first(&err, context_error(ctx));
    }
    free(chosen);
    return err;
}

static struct error *texts_of_series(struct store *store, struct context *ctx,
                                     const struct store_query *query, const struct str *name,
                                     struct text_set *texts)
{
    enum { SERIES_AT_ONCE = 256 };
    struct store_query only_labels = *query;
    struct series_set *set = NULL;
    struct series_batch batch = {NULL, 1};
    only_labels.skip_chunks = true;
    only_labels.limit = 0; /* it is of texts */
    struct error *err = group_select(store, ctx, &only_labels, &set);
    while (!err && batch.count > 0) {
        struct arena *arena = arena_create(context_budget(ctx));
        err = series_set_next(set, arena, SERIES_AT_ONCE, &batch);
        for (size_t i = 0; i < batch.count && !err; i++) {
            struct labels_reader reader = labels_read(batch.items[i].labels);
            struct label label;
            while (!err && labels_next(&reader, &label)) {
                if (!name || str_equal(label.name, *name))
                    err = text_set_add(texts, name ? label.value : label.name);
            }
        }
        arena_unref(arena);
    }
    series_set_free(set);
    return err;
}

static struct error *collect(struct store *store, struct context *ctx,
                             const struct store_query *query, const struct str *name,
                             struct arena *arena, struct str_list *out)
{
    struct text_set texts;
    text_set_init(&texts, arena);
    struct error *err = query->matcher_count > 0
                            ? texts_of_series(store, ctx, query, name, &texts)
                            : texts_of_blocks(of(store), ctx, query, name, &texts);
    text_set_finish(&texts, query->limit, out);
    return err;
}

static struct error *group_label_names(struct store *store, struct context *ctx,
                                       const struct store_query *query, struct arena *arena,
                                       struct str_list *out)
{
    return collect(store, ctx, query, NULL, arena, out);
}

static struct error *group_label_values(struct store *store, struct context *ctx, struct str name,
                                        const struct store_query *query, struct arena *arena,
                                        struct str_list *out)
{
    return collect(store, ctx, query, &name, arena, out);
}

/* ---- the store ---- */

static void group_describe(struct store *store, struct store_info *out)
{
    const struct group *group = of(store);
    out->min_time = INT64_MAX;
    out->max_time = INT64_MIN;
    for (size_t i = 0; i < group->count; i++) {
        out->min_time = int64_min(out->min_time, meta_of(group->blocks[i])->min_time);
        out->max_time = int64_max(out->max_time, meta_of(group->blocks[i])->max_time);
    }
    out->type = STR("store");
}

static void group_free(struct store *store)
{
    struct group *group = of(store);
    for (size_t i = 0; i < group->count; i++)
        bucket_block_unref(group->blocks[i]);
    free(group->blocks);
    free(group);
}

static const struct store_ops group_ops = {
    .describe = group_describe,
    .select = group_select,
    .label_names = group_label_names,
    .label_values = group_label_values,
    .free = group_free,
};

struct store *bucket_group_create(const struct bucket_select_env *env,
                                  struct bucket_block *const *blocks, size_t count)
{
    struct group *group = xcalloc(1, sizeof(*group));
    group->base.ops = &group_ops;
    group->env = *env;
    group->blocks = xcalloc(count + 1, sizeof(struct bucket_block *));
    group->count = count;
    for (size_t i = 0; i < count; i++) {
        group->blocks[i] = blocks[i];
        bucket_block_ref(blocks[i]);
    }
    qsort(group->blocks, count, sizeof(struct bucket_block *), block_compare);
    return &group->base;
}
