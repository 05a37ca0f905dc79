#include "bucket/bucket_block.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/mutex.h"
#include "runtime/context.h"
#include "runtime/directory.h"
#include "runtime/gate.h"
#include "runtime/metrics.h"
#include "runtime/time.h"

struct bucket_block_metrics {
    struct metric *loads, *load_failures, *unloads;
    struct metric *load_seconds, *lazy_seconds, *download_seconds;
};

struct bucket_block {
    atomic_size_t references;
    struct arena *arena; /* of the texts and the meta */
    struct bucket *bucket;
    struct block_meta meta;
    struct str name, index_key, directory, header_path;
    struct bucket_block_metrics *metrics;
    atomic_size_t chunk_guess;

    struct gate *loading; /* one at a time builds or opens the header */
    struct mutex lock;
    struct index_header *header GUARDED_BY(lock);
    size_t users GUARDED_BY(lock);
    int64_t last_used_ms GUARDED_BY(lock);
};

struct bucket_block_metrics *bucket_block_metrics_create(struct metrics *registry)
{
    static const double load[] = {0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1,  2,
                                  5,    15,   30,   60,  90,  120, 300};
    static const double download[] = {0.1, 0.2, 0.5, 1, 2, 5, 15, 30, 60, 90, 120, 300};
    struct bucket_block_metrics *metrics = xcalloc(1, sizeof(*metrics));
    metrics->loads =
        metrics_counter(registry, "thanos_bucket_store_indexheader_lazy_load_total",
                        "Index headers that were opened because a request needed them.");
    metrics->load_failures =
        metrics_counter(registry, "thanos_bucket_store_indexheader_lazy_load_failed_total",
                        "Index headers that could not be opened.");
    metrics->unloads =
        metrics_counter(registry, "thanos_bucket_store_indexheader_lazy_unload_total",
                        "Index headers that were closed as nobody used them.");
    metrics_counter(registry, "thanos_bucket_store_indexheader_lazy_unload_failed_total",
                    "Index headers that could not be closed.");
    metrics->lazy_seconds =
        metrics_histogram(registry, "thanos_bucket_store_indexheader_lazy_load_duration_seconds",
                          "How long requests waited for an index header.", load, countof(load));
    metrics->load_seconds =
        metrics_histogram(registry, "thanos_bucket_store_indexheader_load_duration_seconds",
                          "How long opening an index header took.", load, countof(load));
    metrics->download_seconds = metrics_histogram(
        registry, "thanos_bucket_store_indexheader_download_duration_seconds",
        "How long building an index header from the bucket took.", download, countof(download));
    return metrics;
}

void bucket_block_metrics_free(struct bucket_block_metrics *metrics)
{
    free(metrics);
}

/* ---- blocks ---- */

static void copy_meta(struct bucket_block *block, const struct block_meta *meta)
{
    struct buf text = {0};
    block_meta_print(&text, meta);
    struct error *err = block_meta_parse(buf_str(&text), block->arena, &block->meta);
    if (err)
        bug("a printed meta cannot be read: %.*s", STR_ARG(error_text(err)));
    buf_deinit(&text);
}

struct bucket_block *bucket_block_create(struct bucket *bucket, struct str data_dir,
                                         const struct block_meta *meta,
                                         struct bucket_block_metrics *metrics)
{
    enum { CHUNK_GUESS = 1024 };
    struct bucket_block *block = xcalloc(1, sizeof(*block));
    char name[ULID_TEXT_LEN];
    ulid_print(meta->id, name);
    atomic_init(&block->references, 1);
    atomic_init(&block->chunk_guess, CHUNK_GUESS);
    block->arena = arena_create(NULL);
    block->bucket = bucket;
    block->metrics = metrics;
    copy_meta(block, meta);
    block->name = arena_str(block->arena, (struct str){name, sizeof(name)});
    block->index_key = path_join(block->arena, block->name, STR("index"));
    block->directory = path_join(block->arena, data_dir, block->name);
    block->header_path = path_join(block->arena, block->directory, STR("index-header"));
    block->loading = gate_create(1);
    mutex_init(&block->lock);
    return block;
}

void bucket_block_ref(struct bucket_block *block)
{
    atomic_fetch_add(&block->references, 1);
}

static void close_header(struct index_header *header)
{
    if (header)
        index_header_close(header);
    free(header);
}

void bucket_block_unref(struct bucket_block *block)
{
    if (!block || atomic_fetch_sub(&block->references, 1) != 1)
        return;
    close_header(block->header);
    gate_free(block->loading);
    mutex_deinit(&block->lock);
    arena_unref(block->arena);
    free(block);
}

const struct block_meta *bucket_block_meta(const struct bucket_block *block)
{
    return &block->meta;
}

struct str bucket_block_name(const struct bucket_block *block)
{
    return block->name;
}

struct str bucket_block_index_key(const struct bucket_block *block)
{
    return block->index_key;
}

struct str bucket_block_chunk_key(const struct bucket_block *block, uint32_t file,
                                  struct arena *arena)
{
    return arena_printf(arena, "%.*s/chunks/%06llu", STR_ARG(block->name),
                        (unsigned long long)file + 1);
}

size_t bucket_block_chunk_guess(const struct bucket_block *block)
{
    return atomic_load(&block->chunk_guess);
}

void bucket_block_chunk_was(struct bucket_block *block, size_t len)
{
    if (len > atomic_load(&block->chunk_guess)) /* a race costs one request more */
        atomic_store(&block->chunk_guess, len);
}

/* ---- headers ---- */

/* Takes a use of the header when it is open. */
static const struct index_header *try_acquire(struct bucket_block *block)
{
    mutex_lock(&block->lock);
    const struct index_header *header = block->header;
    if (header)
        block->users++;
    mutex_unlock(&block->lock);
    return header;
}

static double seconds_since(int64_t start_ms)
{
    return (double)(time_now_monotonic_ms() - start_ms) / 1000;
}

static struct error *build(struct bucket_block *block, struct context *ctx)
{
    int64_t start = time_now_monotonic_ms();
    struct error *err = directory_create(block->directory);
    if (!err)
        err = index_header_build(block->bucket, ctx, block->index_key, block->header_path);
    if (!err)
        metric_observe(block->metrics->download_seconds, seconds_since(start));
    return err;
}

/* One that is missing or broken is built, once. */
static struct error *load(struct bucket_block *block, struct context *ctx,
                          struct index_header *header)
{
    int64_t start = time_now_monotonic_ms();
    struct error *err = index_header_open(block->header_path, header);
    if (err && (error_kind(err) == ERROR_NOT_FOUND || error_kind(err) == ERROR_CORRUPT)) {
        error_free(err);
        err = build(block, ctx);
        if (!err)
            err = index_header_open(block->header_path, header);
    }
    if (!err)
        metric_observe(block->metrics->load_seconds, seconds_since(start));
    return err;
}

static struct error *load_header(struct bucket_block *block, struct context *ctx)
{
    int64_t start = time_now_monotonic_ms();
    struct index_header *header = xcalloc(1, sizeof(*header));
    struct error *err = load(block, ctx, header);
    metric_inc(block->metrics->loads);
    if (err) {
        metric_inc(block->metrics->load_failures);
        free(header);
        return err;
    }
    metric_observe(block->metrics->lazy_seconds, seconds_since(start));
    mutex_lock(&block->lock);
    block->header = header;
    block->last_used_ms = time_now_monotonic_ms();
    mutex_unlock(&block->lock);
    return NULL;
}

struct error *bucket_block_acquire_header(struct bucket_block *block, struct context *ctx,
                                          const struct index_header **out)
{
    struct error *err = NULL;
    *out = try_acquire(block);
    while (!*out && !err) { /* one that was just opened may be dropped before it is taken */
        err = gate_enter(block->loading, ctx);
        if (err)
            break;
        *out = try_acquire(block);
        if (!*out)
            err = load_header(block, ctx);
        gate_leave(block->loading);
        if (!err && !*out)
            *out = try_acquire(block);
    }
    return err;
}

void bucket_block_release_header(struct bucket_block *block)
{
    mutex_lock(&block->lock);
    block->users--;
    block->last_used_ms = time_now_monotonic_ms();
    mutex_unlock(&block->lock);
}

void bucket_block_drop_idle(struct bucket_block *block, int64_t since_ms)
{
    struct index_header *dropped = NULL;
    mutex_lock(&block->lock);
    if (block->header && block->users == 0 && block->last_used_ms < since_ms) {
        dropped = block->header;
        block->header = NULL;
    }
    mutex_unlock(&block->lock);
    if (dropped)
        metric_inc(block->metrics->unloads);
    close_header(dropped);
}

bool bucket_block_has_header(struct bucket_block *block)
{
    mutex_lock(&block->lock);
    bool has = block->header != NULL;
    mutex_unlock(&block->lock);
    return has;
}
