#include "bucket/bucket_store.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/mutex.h"
#include "base/time_text.h"
#include "base/vec.h"
#include "bucket/bucket_block.h"
#include "bucket/bucket_group.h"
#include "codec/json.h"
#include "runtime/context.h"
#include "runtime/directory.h"
#include "runtime/log.h"
#include "runtime/metrics.h"
#include "runtime/time.h"
#include "store/fan_out.h"
#include "store/store_external_labels.h"
#include "store/store_list.h"
#include "store/store_proxy.h"

struct loaded { /* a block that is served */
    struct bucket_block *block;
    bool is_wanted; /* by the running sync */
};

struct bucket_store {
    struct store base;
    struct bucket_store_config config;
    struct arena *arena; /* of the texts */
    struct bucket_block_metrics *block_metrics;
    struct store *proxy;
    VEC(struct loaded) blocks; /* of the thread that syncs; by id */
    bool has_synced;

    struct mutex lock;
    struct store_list *list GUARDED_BY(lock);
    struct block_view view GUARDED_BY(lock); /* the last one that was whole */
    int64_t view_ms GUARDED_BY(lock);        /* when it was taken, 0: never */
    struct error *view_failure GUARDED_BY(lock);

    struct metric *loads, *load_failures, *drops, *drop_failures, *loaded, *last_loaded;
    struct metric *load_seconds;
};

static struct bucket_store *of(struct store *store)
{
    return container_of(store, struct bucket_store, base);
}

/* ---- what is served ---- */

struct group_blocks { /* blocks of one label set, while the list is made */
    struct labels labels;
    VEC(struct bucket_block *) blocks;
};

typedef VEC(struct group_blocks) group_list;

static struct group_blocks *find_group(group_list *groups, struct labels labels)
{
    for (size_t i = 0; i < groups->len; i++) {
        if (labels_equal(groups->items[i].labels, labels))
            return &groups->items[i];
    }
    vec_push(groups, (struct group_blocks){.labels = labels});
    return &vec_last(groups);
}

static void release_group(void *store)
{
    store_free(store);
}

/* Labels lie in the metas of blocks, which the groups hold. */
static struct store_list *make_list(struct bucket_store *store)
{
    group_list groups = VEC_INIT(NULL);
    for (size_t i = 0; i < store->blocks.len; i++) {
        struct bucket_block *block = store->blocks.items[i].block;
        vec_push(&find_group(&groups, bucket_block_meta(block)->thanos.labels)->blocks, block);
    }
    struct store_member *members = xcalloc(groups.len + 1, sizeof(*members));
    for (size_t i = 0; i < groups.len; i++) {
        struct group_blocks *group = &groups.items[i];
        struct store *served = store_external_labels_create(
            bucket_group_create(&store->config.select, group->blocks.items, group->blocks.len));
        store_external_labels_set(served, group->labels);
        store_external_labels_allow_all(served);
        members[i] = (struct store_member){served, release_group, served};
        vec_deinit(&group->blocks);
    }
    struct store_list *list = store_list_create(members, groups.len);
    free(members);
    vec_deinit(&groups);
    return list;
}

static void serve_blocks(struct bucket_store *store)
{
    struct store_list *list = make_list(store);
    mutex_lock(&store->lock);
    struct store_list *old = store->list;
    store->list = list;
    mutex_unlock(&store->lock);
    store_list_unref(old);
    metric_set(store->loaded, (double)store->blocks.len);
}

static struct store_list *current_list(void *self)
{
    struct bucket_store *store = self;
    mutex_lock(&store->lock);
    struct store_list *list = store_list_ref(store->list);
    mutex_unlock(&store->lock);
    return list;
}

/* ---- loading and dropping ---- */

struct loading {
    struct bucket_store *store;
    struct context *ctx;
    struct new_block {
        struct bucket_block *block;
        struct error *err;
    } * items;
    size_t count;
};

static void load_block(void *arg, size_t i)
{
    static const int64_t known[] = {0, 5 * 60 * 1000, 60 * 60 * 1000};
    struct loading *loading = arg;
    struct new_block *item = &loading->items[i];
    int64_t start = time_now_monotonic_ms();
    int64_t resolution = bucket_block_meta(item->block)->thanos.resolution_ms;
    const struct index_header *header;
    bool is_known = false;
    for (size_t k = 0; k < countof(known); k++)
        is_known |= resolution == known[k];
    if (!is_known)
        item->err = error_create(ERROR_INVALID, "unsupported downsampling resolution %lld",
                                 (long long)resolution);
    if (!item->err && loading->store->config.builds_headers) {
        item->err = bucket_block_acquire_header(item->block, loading->ctx, &header);
        if (!item->err)
            bucket_block_release_header(item->block);
        bucket_block_drop_idle(item->block, INT64_MAX); /* it was built; queries open it */
    }
    metric_inc(loading->store->loads);
    if (item->err)
        metric_inc(loading->store->load_failures);
    else
        metric_observe(loading->store->load_seconds,
                       (double)(time_now_monotonic_ms() - start) / 1000);
}

static struct str local_directory(const struct bucket_store *store, struct str name,
                                  struct arena *arena)
{
    return path_join(arena, store->config.data_dir, name);
}

static void remove_local(struct bucket_store *store, struct str name)
{
    struct arena *arena = arena_create(NULL);
    struct error *err = directory_remove(local_directory(store, name, arena));
    if (err)
        log_warn(store->config.log, "local files of a block cannot be removed", KV("block", name),
                 KV_ERR(err));
    error_free(err);
    arena_unref(arena);
}

static void take_loaded(struct bucket_store *store, struct new_block *item)
{
    struct str name = bucket_block_name(item->block);
    if (!item->err) {
        log_info(store->config.log, "loaded new block", KV("id", name));
        vec_push(&store->blocks, (struct loaded){item->block, true});
        metric_set(store->last_loaded, (double)time_now_ms() / 1000);
        return;
    }
    log_warn(store->config.log, "loading block failed", KV("id", name), KV_ERR(item->err));
    error_free(item->err);
    remove_local(store, name);
    bucket_block_unref(item->block);
}

static struct loaded *find_loaded(struct bucket_store *store, struct ulid id)
{
    for (size_t from = 0, to = store->blocks.len; from < to;) {
        size_t middle = from + (to - from) / 2;
        struct loaded *loaded = &store->blocks.items[middle];
        int order = ulid_compare(bucket_block_meta(loaded->block)->id, id);
        if (order == 0)
            return loaded;
        if (order < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return NULL;
}

static int loaded_compare(const void *a, const void *b)
{
    return ulid_compare(bucket_block_meta(((const struct loaded *)a)->block)->id,
                        bucket_block_meta(((const struct loaded *)b)->block)->id);
}

/* Loads the view's blocks that are new, so many at a time; in the order of their ids. */
static void load_new(struct bucket_store *store, struct context *ctx, const struct block_view *view)
{
    struct loading loading = {.store = store, .ctx = ctx};
    loading.items = xcalloc(view->count + 1, sizeof(*loading.items));
    for (size_t i = 0; i < view->count; i++) {
        const struct block_meta *meta = &view->items[i]->meta;
        struct loaded *loaded = find_loaded(store, meta->id);
        if (loaded)
            loaded->is_wanted = true;
        else
            loading.items[loading.count++].block = bucket_block_create(
                store->config.select.bucket, store->config.data_dir, meta, store->block_metrics);
    }
    struct new_block *all = loading.items;
    for (size_t at = 0; at < loading.count;) {
        struct loading part = loading;
        part.items = all + at;
        part.count = size_min(size_max(store->config.load_concurrency, 1), loading.count - at);
        fan_out(store->config.select.pool, part.count, load_block, &part);
        at += part.count;
    }
    for (size_t i = 0; i < loading.count; i++)
        take_loaded(store, &all[i]);
    if (store->blocks.len > 1)
        qsort(store->blocks.items, store->blocks.len, sizeof(struct loaded), loaded_compare);
    free(all);
}

/* Blocks that are gone; index headers on disk go with them. */
static void drop_unwanted(struct bucket_store *store)
{
    size_t kept = 0;
    for (size_t i = 0; i < store->blocks.len; i++) {
        struct loaded loaded = store->blocks.items[i];
        if (loaded.is_wanted) {
            store->blocks.items[kept++] = loaded;
            continue;
        }
        log_info(store->config.log, "dropped outdated block",
                 KV("id", bucket_block_name(loaded.block)));
        remove_local(store, bucket_block_name(loaded.block));
        bucket_block_unref(loaded.block);
        metric_inc(store->drops);
    }
    store->blocks.len = kept;
}

/* At the first sync: what an earlier process left of blocks that are not served. */
static void remove_leftovers(struct bucket_store *store)
{
    struct arena *arena = arena_create(NULL);
    struct directory_entry *entries = NULL;
    size_t count = 0;
    struct ulid id;
    struct error *err = directory_list(store->config.data_dir, arena, &entries, &count);
    for (size_t i = 0; !err && i < count; i++) {
        if (entries[i].is_directory && ulid_parse(entries[i].name, &id) && !find_loaded(store, id))
            remove_local(store, entries[i].name);
    }
    error_free(err);
    arena_unref(arena);
}

/* ---- a sync ---- */

static void keep_view(struct bucket_store *store, struct block_view *view, struct error *failure)
{
    mutex_lock(&store->lock);
    struct block_view old = {0};
    struct error *old_failure = store->view_failure;
    store->view_failure = failure;
    if (view) {
        old = store->view;
        store->view = *view;
        store->view_ms = time_now_ms();
    }
    mutex_unlock(&store->lock);
    block_view_deinit(&old);
    error_free(old_failure);
}

struct error *bucket_store_sync(struct bucket_store *store, struct context *ctx)
{
    struct block_view view;
    struct error *incomplete = NULL;
    struct error *err = block_fetcher_sync(store->config.fetcher, ctx, &view, &incomplete);
    if (err) {
        keep_view(store, NULL, error_copy(err));
        return err;
    }
    for (size_t i = 0; i < store->blocks.len; i++)
        store->blocks.items[i].is_wanted = false;
    load_new(store, ctx, &view);
    if (view.is_complete)
        drop_unwanted(store);
    serve_blocks(store);
    if (!store->has_synced)
        remove_leftovers(store);
    store->has_synced = true;
    keep_view(store, &view, error_copy(incomplete));
    return incomplete;
}

void bucket_store_drop_idle(struct bucket_store *store)
{
    struct store_list *list = current_list(store); /* keeps the blocks */
    int64_t since = time_now_monotonic_ms() - store->config.idle_ms;
    for (size_t i = 0; store->config.idle_ms > 0 && i < store->blocks.len; i++)
        bucket_block_drop_idle(store->blocks.items[i].block, since);
    store_list_unref(list);
}

/* ---- the block viewer's list ---- */

static void put_view(struct bucket_store *store, struct json_writer *json) REQUIRES(store->lock)
{
    struct buf text = {0};
    json_begin_array(json);
    for (size_t i = 0; i < store->view.count; i++) {
        buf_clear(&text);
        block_meta_print(&text, &store->view.items[i]->meta);
        json_put_raw(json, str_trim(buf_str(&text)));
    }
    json_end_array(json);
    buf_deinit(&text);
}

void bucket_store_print_blocks(struct bucket_store *store, struct str label, struct buf *out)
{
    struct json_writer json = json_write(out, JSON_HTML_SAFE);
    struct buf time = {0};
    mutex_lock(&store->lock);
    json_begin_object(&json);
    json_put_key(&json, "label");
    json_put_str(&json, label);
    json_put_key(&json, "blocks");
    put_view(store, &json);
    json_put_key(&json, "refreshedAt");
    if (store->view_ms)
        time_text_print_ms(&time, store->view_ms);
    json_put_str(&json, store->view_ms ? buf_str(&time) : STR("0001-01-01T00:00:00Z"));
    json_put_key(&json, "err");
    if (store->view_failure)
        json_put_str(&json, error_text(store->view_failure));
    else
        json_put_null(&json);
    json_end_object(&json);
    mutex_unlock(&store->lock);
    buf_deinit(&time);
}

/* ---- the store ---- */

static void clamp_range(const struct bucket_store *store, int64_t *min_time, int64_t *max_time)
{
    int64_t now = time_now_ms();
    *min_time = int64_max(*min_time, flag_time_ms(store->config.min_time, now));
    *max_time = int64_min(*max_time, flag_time_ms(store->config.max_time, now));
}

/* Without blocks the range is empty: no query matches. */
static void bucket_store_describe(struct store *base, struct store_info *out)
{
    struct bucket_store *store = of(base);
    struct store_list *list = current_list(store);
    bool is_empty = store_list_count(list) == 0;
    store_list_unref(list);
    store_describe(store->proxy, out);
    if (is_empty) {
        out->min_time = INT64_MAX;
        out->max_time = INT64_MIN;
        out->range_count = 0;
    } else {
        clamp_range(store, &out->min_time, &out->max_time);
    }
    out->drops_labels = true;
    out->shards = true;
    out->type = STR("store");
}

static struct store_query clamp_query(const struct bucket_store *store,
                                      const struct store_query *query)
{
    struct store_query clamped = *query;
    clamp_range(store, &clamped.min_time, &clamped.max_time);
    return clamped;
}

static bool has_blocks(struct bucket_store *store)
{
    struct store_list *list = current_list(store);
    bool has = store_list_count(list) > 0;
    store_list_unref(list);
    return has;
}

static struct error *bucket_store_select(struct store *base, struct context *ctx,
                                         const struct store_query *query, struct series_set **out)
{
    struct store_query clamped = clamp_query(of(base), query);
    if (clamped.min_time > clamped.max_time || !has_blocks(of(base))) {
        *out = series_set_empty();
        return NULL;
    }
    return store_select(of(base)->proxy, ctx, &clamped, out);
}

static struct error *bucket_store_label_names(struct store *base, struct context *ctx,
                                              const struct store_query *query, struct arena *arena,
                                              struct str_list *out)
{
    struct store_query clamped = clamp_query(of(base), query);
    *out = (struct str_list){0};
    return has_blocks(of(base)) ? store_label_names(of(base)->proxy, ctx, &clamped, arena, out)
                                : NULL;
}

static struct error *bucket_store_label_values(struct store *base, struct context *ctx,
                                               struct str name, const struct store_query *query,
                                               struct arena *arena, struct str_list *out)
{
    struct store_query clamped = clamp_query(of(base), query);
    *out = (struct str_list){0};
    return has_blocks(of(base))
               ? store_label_values(of(base)->proxy, ctx, name, &clamped, arena, out)
               : NULL;
}

static void bucket_store_free(struct store *base)
{
    struct bucket_store *store = of(base);
    store_free(store->proxy);
    store_list_unref(store->list);
    for (size_t i = 0; i < store->blocks.len; i++)
        bucket_block_unref(store->blocks.items[i].block);
    vec_deinit(&store->blocks);
    block_view_deinit(&store->view);
    error_free(store->view_failure);
    block_fetcher_free(store->config.fetcher);
    bucket_block_metrics_free(store->block_metrics);
    mutex_deinit(&store->lock);
    arena_unref(store->arena);
    free(store);
}

static const struct store_ops bucket_store_ops = {
    .describe = bucket_store_describe,
    .select = bucket_store_select,
    .label_names = bucket_store_label_names,
    .label_values = bucket_store_label_values,
    .free = bucket_store_free,
};

static void register_metrics(struct bucket_store *store, struct metrics *metrics)
{
    static const double bounds[] = {0.1, 0.2, 0.5, 1, 2, 5, 15, 30, 60, 90, 120, 300};
    store->loads = metrics_counter(metrics, "thanos_bucket_store_block_loads_total",
                                   "Blocks that were taken up.");
    store->load_failures = metrics_counter(metrics, "thanos_bucket_store_block_load_failures_total",
                                           "Blocks that could not be.");
    store->drops = metrics_counter(metrics, "thanos_bucket_store_block_drops_total",
                                   "Blocks that were let go.");
    store->drop_failures = metrics_counter(metrics, "thanos_bucket_store_block_drop_failures_total",
                                           "Blocks that could not be.");
    store->loaded =
        metrics_gauge(metrics, "thanos_bucket_store_blocks_loaded", "Blocks that are served.");
    store->last_loaded =
        metrics_gauge(metrics, "thanos_bucket_store_blocks_last_loaded_timestamp_seconds",
                      "When a block was last taken up.");
    store->load_seconds =
        metrics_histogram(metrics, "thanos_bucket_store_block_load_duration_seconds",
                          "How long taking up a block took.", bounds, countof(bounds));
    store->block_metrics = bucket_block_metrics_create(metrics);
}

struct bucket_store *bucket_store_create(const struct bucket_store_config *config)
{
    struct bucket_store *store = xcalloc(1, sizeof(*store));
    store->base.ops = &bucket_store_ops;
    store->config = *config;
    store->arena = arena_create(NULL);
    store->config.data_dir = arena_str(store->arena, config->data_dir);
    mutex_init(&store->lock);
    store->list = store_list_create(NULL, 0);
    register_metrics(store, config->metrics);
    const struct store_proxy_config proxy = {
        .stores = current_list,
        .self = store,
        .metadata = config->metadata,
        .log = config->log,
    };
    store->proxy = store_proxy_create(&proxy);
    return store;
}

struct store *bucket_store_base(struct bucket_store *store)
{
    return &store->base;
}
