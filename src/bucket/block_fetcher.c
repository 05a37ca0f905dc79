#include "bucket/block_fetcher.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/hash_index.h"
#include "base/memory.h"
#include "base/vec.h"
#include "runtime/context.h"
#include "runtime/directory.h"
#include "runtime/file.h"
#include "runtime/log.h"
#include "runtime/metrics.h"
#include "runtime/time.h"
#include "store/fan_out.h"

static const char *const state_names[BLOCK_STATES] = {
    [BLOCK_CORRUPT_META] = "corrupted-meta-json",
    [BLOCK_NO_META] = "no-meta-json",
    [BLOCK_LOADED] = "loaded",
    [BLOCK_FAILED] = "failed",
    [BLOCK_LABEL_EXCLUDED] = "label-excluded",
    [BLOCK_TIME_EXCLUDED] = "time-excluded",
    [BLOCK_TOO_FRESH] = "too-fresh",
    [BLOCK_DUPLICATE] = "duplicate",
    [BLOCK_MARKED_FOR_DELETION] = "marked-for-deletion",
    [BLOCK_MARKED_NO_COMPACT] = "marked-for-no-compact",
    [BLOCK_MARKED_NO_DOWNSAMPLE] = "marked-for-no-downsample",
};

struct block_fetcher {
    struct block_fetcher_config config;
    struct block_filter *filters;
    struct str cache_dir;    /* empty: none */
    struct arena *arena;     /* of the texts */
    struct hash_index known; /* struct fetched_block by id, a reference each */
    struct metric *syncs, *failures, *seconds, *base_syncs, *cache_busts;
    struct metric *states[BLOCK_STATES];
};

/* A block directory that the listing found. */
struct found {
    struct ulid id;
    bool has_meta;
    int64_t modified_ms;
    struct error *err; /* the look for its meta.json failed */
};

typedef VEC(struct found) found_list;

static uint64_t id_hash(struct ulid id)
{
    return hash_bytes(id.bytes, sizeof(id.bytes));
}

static void block_release(struct fetched_block *block)
{
    arena_unref(block->arena);
}

static struct fetched_block *find_known(const struct block_fetcher *fetcher, struct ulid id)
{
    size_t at;
    for (struct fetched_block *block = hash_index_first(&fetcher->known, id_hash(id), &at); block;
         block = hash_index_next(&fetcher->known, id_hash(id), &at)) {
        if (ulid_compare(block->meta.id, id) == 0)
            return block;
    }
    return NULL;
}

/* ---- discovery ---- */

struct discovery {
    struct block_fetcher *fetcher;
    struct context *ctx;
    found_list found;
};

static struct found *found_block(struct discovery *discovery, struct ulid id)
{
    if (discovery->found.len == 0 || ulid_compare(vec_last(&discovery->found).id, id) != 0)
        vec_push(&discovery->found, (struct found){.id = id});
    return &vec_last(&discovery->found);
}

/* Keys come in order, so those of a block stand together. */
static struct error *note_entry(void *self, const struct bucket_entry *entry)
{
    struct discovery *discovery = self;
    struct ulid id;
    struct str name, rest;
    if (!str_cut(entry->key, '/', &name, &rest) || !ulid_parse(name, &id))
        return NULL;
    struct found *found = found_block(discovery, id);
    if (str_equal(rest, STR("meta.json"))) {
        found->has_meta = true;
        found->modified_ms = entry->modified_ms;
    }
    return NULL;
}

static struct str meta_key(struct ulid id, struct arena *arena)
{
    char name[ULID_TEXT_LEN];
    ulid_print(id, name);
    return arena_printf(arena, "%.*s/meta.json", ULID_TEXT_LEN, name);
}

static void look_for_meta(void *arg, size_t i)
{
    struct discovery *discovery = arg;
    struct found *found = &discovery->found.items[i];
    struct arena *arena = arena_create(NULL);
    found->err = bucket_exists(discovery->fetcher->config.bucket, discovery->ctx,
                               meta_key(found->id, arena), &found->has_meta);
    arena_unref(arena);
}

static struct error *discover(struct discovery *discovery)
{
    const struct block_fetcher_config *config = &discovery->fetcher->config;
    bool recursive = config->discovery == DISCOVER_RECURSIVE;
    struct error *err = bucket_list(config->bucket, discovery->ctx, STR(""),
                                    recursive ? LIST_ALL : LIST_ONE_LEVEL, note_entry, discovery);
    if (err || recursive)
        return error_wrap(err, "BaseFetcher: iter bucket");
    if (discovery->found.len > 0)
        fan_out(config->pool, discovery->found.len, look_for_meta, discovery);
    for (size_t i = 0; i < discovery->found.len; i++)
        error_keep_first(&err, discovery->found.items[i].err);
    return error_wrap(err, "BaseFetcher: look for meta.json");
}

/* ---- metas ---- */

static struct error *parse_block(struct str text, struct ulid id, struct fetched_block **out)
{
    struct arena *arena = arena_create(NULL);
    struct fetched_block *block = arena_zalloc(arena, sizeof(*block));
    block->arena = arena;
    struct error *err = block_meta_parse(text, arena, &block->meta);
    if (!err && ulid_compare(block->meta.id, id) != 0)
        err = error_create(ERROR_CORRUPT, "meta.json: it names another block");
    if (err)
        arena_unref(arena);
    else
        *out = block;
    return err;
}

static struct str cache_path(const struct block_fetcher *fetcher, struct ulid id,
                             struct arena *arena)
{
    return path_join(arena, fetcher->cache_dir, meta_key(id, arena));
}

/* From the disk; NULL when it is not there or broken, which is repaired. */
static struct fetched_block *read_cached(const struct block_fetcher *fetcher, struct ulid id)
{
    struct arena *arena = arena_create(NULL);
    struct buf text = {0};
    struct fetched_block *block = NULL;
    if (fetcher->cache_dir.len > 0) {
        struct str path = cache_path(fetcher, id, arena);
        struct error *err = file_read(path, BLOCK_META_MAX, &text);
        if (!err)
            err = parse_block(buf_str(&text), id, &block);
        if (err && error_kind(err) != ERROR_NOT_FOUND)
            error_free(file_remove(path));
        error_free(err);
    }
    buf_deinit(&text);
    arena_unref(arena);
    return block;
}

/* A cache that cannot be written costs reads, nothing else. */
static void write_cached(const struct block_fetcher *fetcher, struct ulid id, struct str text)
{
    if (fetcher->cache_dir.len == 0)
        return;
    struct arena *arena = arena_create(NULL);
    struct str path = cache_path(fetcher, id, arena);
    struct error *err = directory_create(str_slice(path, 0, path.len - STR("/meta.json").len));
    if (!err)
        err = file_write_atomic(path, str_bytes(text));
    if (err)
        log_warn(fetcher->config.log, "best effort save of the meta.json to local dir failed",
                 KV("path", path), KV_ERR(err));
    error_free(err);
    arena_unref(arena);
}

static void add_known(struct block_fetcher *fetcher, struct fetched_block *block,
                      int64_t modified_ms)
{
    block->modified_ms = modified_ms;
    struct error *err = hash_index_add(&fetcher->known, id_hash(block->meta.id), block);
    error_free(err); /* not charged to any budget */
}

struct reading { /* of metas from the bucket */
    struct block_fetcher *fetcher;
    struct block_view *view;
    VEC(struct found) wanted;
    struct error *incomplete;
};

/* What a read of a meta.json came to. */
static void take_meta(struct reading *reading, const struct found *found, struct bucket_read *read)
{
    struct fetched_block *block = NULL;
    struct error *err = read->err;
    if (!err)
        err = parse_block(buf_str(&read->out), found->id, &block);
    if (!err) {
        write_cached(reading->fetcher, found->id, buf_str(&read->out));
        add_known(reading->fetcher, block, found->modified_ms);
        return;
    }
    if (error_kind(err) == ERROR_NOT_FOUND) {
        reading->view->states[BLOCK_NO_META]++;
    } else if (error_kind(err) == ERROR_CORRUPT) {
        reading->view->states[BLOCK_CORRUPT_META]++;
    } else {
        reading->view->states[BLOCK_FAILED]++;
        error_keep_first(&reading->incomplete, err);
        return;
    }
    error_free(err);
}

static void read_metas(struct reading *reading, struct context *ctx)
{
    const struct block_fetcher_config *config = &reading->fetcher->config;
    for (size_t at = 0; at < reading->wanted.len;) {
        size_t count = size_min(size_max(config->concurrency, 1), reading->wanted.len - at);
        struct arena *arena = arena_create(NULL);
        struct bucket_read *reads = arena_zalloc(arena, count * sizeof(*reads));
        for (size_t i = 0; i < count; i++)
            reads[i] = (struct bucket_read){
                .key = meta_key(reading->wanted.items[at + i].id, arena),
                .length = BUCKET_TO_END,
            };
        bucket_read_each(config->bucket, ctx, reads, count);
        for (size_t i = 0; i < count; i++) {
            take_meta(reading, &reading->wanted.items[at + i], &reads[i]);
            buf_deinit(&reads[i].out);
        }
        arena_unref(arena);
        at += count;
    }
}

/* Drops a known meta whose object has changed since. */
static void check_modified(struct block_fetcher *fetcher, const struct found *found)
{
    struct fetched_block *block = find_known(fetcher, found->id);
    if (!block || found->modified_ms == 0 || block->modified_ms == found->modified_ms)
        return;
    struct arena *arena = arena_create(NULL);
    hash_index_remove(&fetcher->known, id_hash(found->id), block);
    block_release(block);
    metric_inc(fetcher->cache_busts);
    if (fetcher->cache_dir.len > 0)
        error_free(file_remove(cache_path(fetcher, found->id, arena)));
    arena_unref(arena);
}

static void load_metas(struct reading *reading, struct context *ctx, const found_list *found)
{
    for (size_t i = 0; i < found->len; i++) {
        const struct found *block = &found->items[i];
        if (!block->has_meta) {
            reading->view->states[BLOCK_NO_META]++;
            continue;
        }
        check_modified(reading->fetcher, block);
        if (find_known(reading->fetcher, block->id))
            continue;
        /* with times, a copy on disk may be older than the object */
        struct fetched_block *cached =
            block->modified_ms == 0 ? read_cached(reading->fetcher, block->id) : NULL;
        if (cached)
            add_known(reading->fetcher, cached, block->modified_ms);
        else
            vec_push(&reading->wanted, *block);
    }
    read_metas(reading, ctx);
}

/* ---- a sync ---- */

static void fill_view(struct block_fetcher *fetcher, const found_list *found,
                      struct block_view *view)
{
    view->items = xcalloc(found->len + 1, sizeof(struct fetched_block *));
    for (size_t i = 0; i < found->len; i++) {
        struct fetched_block *block = find_known(fetcher, found->items[i].id);
        if (!block || !found->items[i].has_meta)
            continue;
        arena_ref(block->arena);
        view->items[view->count++] = block;
    }
}

static int found_compare(const void *a, const void *b)
{
    return ulid_compare(((const struct found *)a)->id, ((const struct found *)b)->id);
}

static bool was_found(const found_list *found, struct ulid id)
{
    struct found key = {.id = id};
    return bsearch(&key, found->items, found->len, sizeof(key), found_compare) != NULL;
}

/* Metas of blocks that are gone are forgotten, in memory and on disk. */
static void forget_gone(struct block_fetcher *fetcher, const found_list *found)
{
    VEC(struct fetched_block *) gone = VEC_INIT(NULL);
    size_t at = 0;
    for (struct fetched_block *block; (block = hash_index_each(&fetcher->known, &at));) {
        if (found->len == 0 || !was_found(found, block->meta.id))
            vec_push(&gone, block);
    }
    for (size_t i = 0; i < gone.len; i++) {
        hash_index_remove(&fetcher->known, id_hash(gone.items[i]->meta.id), gone.items[i]);
        block_release(gone.items[i]);
    }
    vec_deinit(&gone);
    if (fetcher->cache_dir.len == 0)
        return;
    struct arena *arena = arena_create(NULL);
    struct directory_entry *entries = NULL;
    size_t count = 0;
    struct error *err = directory_list(fetcher->cache_dir, arena, &entries, &count);
    for (size_t i = 0; !err && i < count; i++) {
        struct ulid id;
        if (ulid_parse(entries[i].name, &id) && (found->len == 0 || !was_found(found, id)))
            err = directory_remove(path_join(arena, fetcher->cache_dir, entries[i].name));
    }
    if (err && error_kind(err) != ERROR_NOT_FOUND)
        log_warn(fetcher->config.log, "removing old local metas failed", KV_ERR(err));
    error_free(err);
    arena_unref(arena);
}

static struct error *run_filters(struct block_fetcher *fetcher, struct context *ctx,
                                 struct block_view *view)
{
    struct error *err = NULL;
    for (size_t i = 0; i < fetcher->config.filter_count && !err; i++)
        err = fetcher->filters[i].run(fetcher->filters[i].self, ctx, view);
    view->states[BLOCK_LOADED] = view->count;
    for (int i = 0; i < BLOCK_STATES; i++)
        metric_set(fetcher->states[i], (double)view->states[i]);
    return error_wrap(err, "filter metas");
}

static struct error *sync_view(struct block_fetcher *fetcher, struct context *ctx,
                               struct block_view *view, struct error **incomplete)
{
    struct discovery discovery = {fetcher, ctx, VEC_INIT(NULL)};
    struct reading reading = {.fetcher = fetcher, .view = view};
    struct error *err = discover(&discovery);
    if (!err) {
        if (discovery.found.len > 1)
            qsort(discovery.found.items, discovery.found.len, sizeof(struct found), found_compare);
        load_metas(&reading, ctx, &discovery.found);
        fill_view(fetcher, &discovery.found, view);
        view->is_complete = !reading.incomplete;
        if (view->is_complete)
            forget_gone(fetcher, &discovery.found);
        err = run_filters(fetcher, ctx, view);
    }
    if (err)
        error_free(reading.incomplete);
    else
        *incomplete = error_wrap(reading.incomplete, "incomplete view");
    vec_deinit(&reading.wanted);
    vec_deinit(&discovery.found);
    return err;
}

struct error *block_fetcher_sync(struct block_fetcher *fetcher, struct context *ctx,
                                 struct block_view *view, struct error **incomplete)
{
    int64_t start = time_now_monotonic_ms();
    *view = (struct block_view){0};
    *incomplete = NULL;
    metric_inc(fetcher->syncs);
    metric_inc(fetcher->base_syncs);
    struct error *err = sync_view(fetcher, ctx, view, incomplete);
    metric_observe(fetcher->seconds, (double)(time_now_monotonic_ms() - start) / 1000);
    if (err || *incomplete)
        metric_inc(fetcher->failures);
    if (err)
        block_view_deinit(view);
    return err;
}

void block_view_deinit(struct block_view *view)
{
    for (size_t i = 0; i < view->count; i++)
        block_release(view->items[i]);
    free(view->items);
    *view = (struct block_view){0};
}

void block_view_remove(struct block_view *view, size_t i, enum block_state state)
{
    block_release(view->items[i]);
    memmove(&view->items[i], &view->items[i + 1],
            (view->count - i - 1) * sizeof(struct fetched_block *));
    view->count--;
    view->states[state]++;
}

/* ---- the fetcher ---- */

static void register_metrics(struct block_fetcher *fetcher, struct metrics *metrics)
{
    static const double bounds[] = {0.01, 1, 10, 100, 300, 600, 1000};
    static const char *const state_label[] = {"state"};
    fetcher->syncs = metrics_counter(metrics, "thanos_blocks_meta_syncs_total",
                                     "Looks at which blocks there are.");
    fetcher->base_syncs = metrics_counter(metrics, "thanos_blocks_meta_base_syncs_total",
                                          "Looks at the bucket itself.");
    fetcher->cache_busts =
        metrics_counter(metrics, "thanos_blocks_meta_base_cache_busts_total",
                        "Metas that were read again because their object had changed.");
    fetcher->failures = metrics_counter(metrics, "thanos_blocks_meta_sync_failures_total",
                                        "Looks that failed or did not see everything.");
    fetcher->seconds = metrics_histogram(metrics, "thanos_blocks_meta_sync_duration_seconds",
                                         "How long a look took.", bounds, countof(bounds));
    struct metric_family *family =
        metrics_gauge_family(metrics, "thanos_blocks_meta_synced",
                             "Blocks of the last look, by what became of them.", state_label, 1);
    for (int i = 0; i < BLOCK_STATES; i++) {
        struct str name = str_from(state_names[i]);
        fetcher->states[i] = metric_with(family, &name, 1);
    }
}

struct block_fetcher *block_fetcher_create(const struct block_fetcher_config *config)
{
    struct block_fetcher *fetcher = xcalloc(1, sizeof(*fetcher));
    fetcher->config = *config;
    fetcher->arena = arena_create(NULL);
    fetcher->filters = xcalloc(config->filter_count + 1, sizeof(*fetcher->filters));
    if (config->filter_count > 0)
        memcpy(fetcher->filters, config->filters, config->filter_count * sizeof(*fetcher->filters));
    if (config->data_dir.len > 0)
        fetcher->cache_dir = path_join(fetcher->arena, config->data_dir, STR("meta-syncer"));
    if (config->metrics)
        register_metrics(fetcher, config->metrics);
    return fetcher;
}

void block_fetcher_free(struct block_fetcher *fetcher)
{
    size_t at = 0;
    if (!fetcher)
        return;
    for (struct fetched_block *block; (block = hash_index_each(&fetcher->known, &at));)
        block_release(block);
    hash_index_deinit(&fetcher->known);
    free(fetcher->filters);
    arena_unref(fetcher->arena);
    free(fetcher);
}
