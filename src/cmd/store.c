#include "cmd/store.h"

#include "api/blocks_api.h"
#include "bucket/block_fetcher.h"
#include "bucket/block_filters.h"
#include "bucket/bucket_store.h"
#include "bucket/index_cache.h"
#include "cmd/component.h"
#include "cmd/component_flags.h"
#include "model/relabel.h"
#include "objstore/bucket_config.h"
#include "rpc/info_service.h"
#include "rpc/store_service.h"
#include "runtime/context.h"
#include "runtime/gate.h"
#include "runtime/log.h"
#include "runtime/pool.h"
#include "runtime/time.h"
#include "store/store_limits.h"

enum {
    BUCKET_THREADS = 32, /* selects that wait for the bucket at once */
    INITIAL_TRY_EVERY_MS = 10 * 1000,
    INITIAL_TRIES_MS = 30 * 1000,
};

struct store_config {
    int64_t series_max, samples_max, old_series_max, old_samples_max, downloaded_bytes_max;
    struct str data_dir;
    bool cache_headers;
    int64_t index_cache_size, chunk_pool_size;
    struct flag_content index_cache, objstore, parquet, caching_bucket, selector;
    int64_t sync_interval_ms, load_concurrency, meta_concurrency;
    int discovery;
    struct flag_time min_time, max_time;
    int64_t consistency_delay_ms, deletion_delay_ms;
    bool lazy_reader, lazy_postings;
    double key_series_ratio;
    int download_strategy;
    bool web_disable, disable_cors, no_admin;
    struct str external_prefix, prefix_header, web_label;
    int64_t matcher_cache_size;
    int64_t memory_max;
    int64_t batch_size, series_guess, chunk_guess, offset_sampling, idle_ms;
};

#define STORE struct store_config

static const struct flag store_flags[] = {
    FLAG_UINT(STORE, series_max, "store.limits.request-series", "0",
              "Series that one Series call may give; 0: any number."),
    FLAG_UINT(STORE, samples_max, "store.limits.request-samples", "0",
              "Samples that one Series call may give, 120 a chunk; 0: any number."),
    FLAG_STRING(STORE, data_dir, "data-dir", "./data",
                "Directory for index headers and copies of meta.json files."),
    FLAG_BOOL_ON(STORE, cache_headers, "cache-index-header",
                 "Keep index headers in the data directory.", .later = true),
    FLAG_BYTES(STORE, index_cache_size, "index-cache-size", "250MB",
               "Size of the index cache in memory."),
    FLAG_CONTENT(STORE, index_cache, "index-cache.config", "Index cache (YAML).", .later = true),
    FLAG_BYTES(STORE, chunk_pool_size, "chunk-pool-size", "2GB",
               "No effect: memory is bounded for each request."),
    FLAG_UINT(STORE, old_series_max, "store.grpc.touched-series-limit", "0",
              "Older name of --store.limits.request-series.", .deprecated = true),
    FLAG_UINT(STORE, old_samples_max, "store.grpc.series-sample-limit", "0",
              "Older name of --store.limits.request-samples.", .deprecated = true),
    FLAG_BYTES(STORE, downloaded_bytes_max, "store.grpc.downloaded-bytes-limit", "0",
               "Bytes that one call may read from the bucket; 0: any number.", .later = true),
    FLAG_CONTENT(STORE, objstore, "objstore.config", "Object store configuration (YAML)."),
    FLAG_CONTENT(STORE, parquet, "objstore-parquet.config", "Bucket of Parquet conversions (YAML).",
                 .later = true),
    FLAG_GO_DURATION(STORE, sync_interval_ms, "sync-block-duration", "15m",
                     "How often to look for new and deleted blocks."),
    FLAG_ENUM(STORE, discovery, "block-discovery-strategy", "concurrent|recursive", "concurrent",
              "How blocks are found: a look at each (concurrent), or one list (recursive)."),
    FLAG_INT(STORE, load_concurrency, "block-sync-concurrency", "20",
             "Blocks that are taken up at once."),
    FLAG_INT(STORE, meta_concurrency, "block-meta-fetch-concurrency", "32",
             "meta.json files that are read at once."),
    FLAG_TIME(STORE, min_time, "min-time", "0000-01-01T00:00:00Z",
              "Start of the data that is served: RFC 3339, or a duration before now such as -2h."),
    FLAG_TIME(STORE, max_time, "max-time", "9999-12-31T23:59:59Z",
              "End of the data that is served, likewise."),
    FLAG_CONTENT(STORE, selector, "selector.relabel-config",
                 "Relabelling that chooses blocks by external labels (YAML)."),
    FLAG_DURATION(STORE, consistency_delay_ms, "consistency-delay", "0s",
                  "Age that a block must have to be served."),
    FLAG_DURATION(STORE, deletion_delay_ms, "ignore-deletion-marks-delay", "24h",
                  "How long a block is served after it was marked for deletion."),
    FLAG_BOOL(STORE, lazy_reader, "store.enable-index-header-lazy-reader",
              "No effect: index headers are always opened when needed."),
    FLAG_BOOL(STORE, lazy_postings, "store.enable-lazy-expanded-postings",
              "No effect: long lists are always passed over where that is cheaper."),
    FLAG_FLOAT(STORE, key_series_ratio, "store.posting-group-max-key-series-ratio", "100",
               "No effect, likewise."),
    FLAG_ENUM(STORE, download_strategy, "store.index-header-lazy-download-strategy", "eager|lazy",
              "eager", "Build index headers when blocks are found (eager) or first asked (lazy)."),
    FLAG_BOOL(STORE, web_disable, "web.disable", "No block viewer."),
    FLAG_STRING(STORE, external_prefix, "web.external-prefix", "", "Prefix of links.",
                .later = true),
    FLAG_STRING(STORE, prefix_header, "web.prefix-header", "", "Header that names a prefix.",
                .later = true),
    FLAG_BOOL(STORE, disable_cors, "web.disable-cors", "Send no CORS headers."),
    FLAG_STRING(STORE, web_label, "bucket-web-label", "",
                "External label that titles groups in the block viewer."),
    FLAG_INT(STORE, matcher_cache_size, "matcher-cache-size", "0",
             "No effect: expressions are compiled once a request."),
    FLAG_BOOL(STORE, no_admin, "disable-admin-operations", "Forbid marking of blocks."),
    FLAG_CONTENT(STORE, caching_bucket, "store.caching-bucket.config",
                 "Cache of metas, lists and ranges (YAML).", .hidden = true, .later = true),
    FLAG_BYTES(STORE, memory_max, "store.memory-limit", "0",
               "Memory that all requests and the index cache together may take; over it, a request "
               "fails. 0: what --enable-auto-gomemlimit gives. Titan's own."),
    FLAG_INT(STORE, batch_size, "debug.series-batch-size", "10000", "No effect.", .hidden = true),
    FLAG_UINT(STORE, series_guess, "debug.estimated-max-series-size", "65536", "No effect.",
              .hidden = true),
    FLAG_UINT(STORE, chunk_guess, "debug.estimated-max-chunk-size", "16000", "No effect.",
              .hidden = true),
    FLAG_INT(STORE, offset_sampling, "store.index-header-posting-offsets-in-mem-sampling", "32",
             "No effect: every 32nd is kept.", .hidden = true),
    FLAG_GO_DURATION(STORE, idle_ms, "store.index-header-lazy-reader-idle-timeout", "5m",
                     "Index headers that nobody used so long are closed; 0: never.",
                     .hidden = true),
    FLAG_END,
};

/* Everything the gateway is made of, in the order it is built; taken down in reverse. */
struct gateway {
    const struct store_config *config;
    struct component *component;
    struct arena *arena; /* of texts */
    struct pool *pool;
    struct gate *headers;
    struct bucket *bucket;
    struct index_cache *cache;
    struct relabel_rules *relabel;
    struct time_filter time_filter;
    struct label_filter label_filter;
    struct fresh_filter fresh_filter;
    struct deletion_filter deletion_filter;
    struct bucket_store *blocks; /* owned by store */
    struct store *store;
    struct store_service *store_service;
    struct info_service *info_service;
    struct grpc_method methods[STORE_SERVICE_METHODS + 1];
    struct blocks_api blocks_api;
    struct http_route routes[BLOCKS_API_ROUTES];
};

/* -- building and taking down -- */

static struct error *check_config(const struct store_config *config)
{
    int64_t now = time_now_ms();
    int64_t min_time = flag_time_ms(&config->min_time, now);
    int64_t max_time = flag_time_ms(&config->max_time, now);
    if (min_time > max_time)
        return error_create(ERROR_INVALID,
                            "invalid argument: --min-time can't be greater than --max-time");
    if (config->objstore.text.len == 0 && config->objstore.path.len == 0)
        return error_create(ERROR_INVALID,
                            "flag objstore.config or objstore.config-file is required");
    return NULL;
}

static struct error *gateway_open_bucket(struct gateway *gateway)
{
    const struct bucket_env env = {
        .files = component_pools(gateway->component)->files,
        .metrics = component_metrics(gateway->component),
        .loops = component_loops(gateway->component),
        .log = component_log(gateway->component),
    };
    struct str yaml;
    struct error *err = flag_content_load(&gateway->config->objstore, "objstore.config", true,
                                          gateway->arena, &yaml);
    return err ? err : bucket_open(yaml, &env, &gateway->bucket);
}

static struct error *gateway_read_selector(struct gateway *gateway)
{
    struct str yaml;
    struct error *err = flag_content_load(&gateway->config->selector, "selector.relabel-config",
                                          true, gateway->arena, &yaml);
    return err ? err
               : relabel_parse(yaml, RELABEL_SELECTOR, component_log(gateway->component),
                               &gateway->relabel);
}

static struct block_fetcher *gateway_fetcher(struct gateway *gateway)
{
    const struct store_config *config = gateway->config;
    gateway->time_filter = (struct time_filter){&config->min_time, &config->max_time};
    gateway->label_filter = (struct label_filter){gateway->relabel};
    gateway->fresh_filter = (struct fresh_filter){config->consistency_delay_ms};
    gateway->deletion_filter = (struct deletion_filter){
        .bucket = gateway->bucket,
        .log = component_log(gateway->component),
        .delay_ms = config->deletion_delay_ms,
        .concurrency = (size_t)int64_max(1, config->meta_concurrency),
    };
    const struct block_filter filters[] = {
        {time_filter_run, &gateway->time_filter},
        {label_filter_run, &gateway->label_filter},
        {fresh_filter_run, &gateway->fresh_filter},
        {deletion_filter_run, &gateway->deletion_filter},
        {duplicate_filter_run, NULL},
    };
    const struct block_fetcher_config fetcher = {
        .bucket = gateway->bucket,
        .data_dir = config->data_dir,
        .discovery = config->discovery == 0 ? DISCOVER_CONCURRENT : DISCOVER_RECURSIVE,
        .concurrency = (size_t)int64_max(1, config->meta_concurrency),
        .pool = gateway->pool,
        .filters = filters,
        .filter_count = countof(filters),
        .log = component_log(gateway->component),
        .metrics = component_metrics(gateway->component),
    };
    return block_fetcher_create(&fetcher);
}

/* Of a memory limit, the cache takes a third at most. */
static size_t cache_size(const struct store_config *config)
{
    size_t size = (size_t)int64_max(0, config->index_cache_size);
    return config->memory_max > 0 ? size_min(size, (size_t)config->memory_max / 3) : size;
}

static struct error *gateway_build_stores(struct gateway *gateway)
{
    const struct store_config *config = gateway->config;
    struct metrics *metrics = component_metrics(gateway->component);
    gateway->pool = pool_create("bucket", BUCKET_THREADS, 100 * 1000);
    gateway->cache = index_cache_create(cache_size(config), metrics);
    gateway->headers = gate_create((size_t)int64_max(1, config->load_concurrency));
    struct error *err = gateway_read_selector(gateway);
    if (!err)
        err = gateway_open_bucket(gateway);
    if (err)
        return err;
    const struct bucket_store_config store = {
        .fetcher = gateway_fetcher(gateway),
        .select = {gateway->bucket, gateway->cache, gateway->pool, gateway->headers},
        .data_dir = config->data_dir,
        .min_time = &config->min_time,
        .max_time = &config->max_time,
        .builds_headers = config->download_strategy == 0,
        .idle_ms = config->idle_ms,
        .load_concurrency = (size_t)int64_max(1, config->load_concurrency),
        .metadata = component_pools(gateway->component)->metadata,
        .log = component_log(gateway->component),
        .metrics = metrics,
    };
    gateway->blocks = bucket_store_create(&store);
    const struct store_limits limits = {
        (size_t)int64_max(config->series_max, config->old_series_max),
        (size_t)int64_max(config->samples_max, config->old_samples_max)};
    gateway->store = store_limits_create(bucket_store_base(gateway->blocks), &limits, metrics);
    return NULL;
}

static void gateway_build_services(struct gateway *gateway)
{
    const struct pools *pools = component_pools(gateway->component);
    const struct store_service_config store = {
        .store = gateway->store,
        .series = pools->series,
        .metadata = pools->metadata,
        .metrics = component_metrics(gateway->component),
    };
    const struct info_service_config info = {
        .type = STR("store"),
        .store = gateway->store,
        .is_ready = component_is_ready,
        .self = gateway->component,
        .quick = pools->quick,
    };
    gateway->store_service = store_service_create(&store, gateway->methods);
    gateway->info_service = info_service_create(&info, gateway->methods + STORE_SERVICE_METHODS);
    gateway->blocks_api = (struct blocks_api){
        .store = gateway->blocks,
        .bucket = gateway->bucket,
        .log = component_log(gateway->component),
        .pool = pools->metadata,
        .label = gateway->config->web_label,
        .marks_forbidden = gateway->config->no_admin,
    };
    blocks_api_routes(&gateway->blocks_api, gateway->arena, gateway->routes);
}

static void gateway_free(struct gateway *gateway)
{
    store_service_free(gateway->store_service);
    info_service_free(gateway->info_service);
    store_free(gateway->store);
    deletion_filter_deinit(&gateway->deletion_filter);
    relabel_free(gateway->relabel);
    bucket_free(gateway->bucket);
    index_cache_free(gateway->cache);
    pool_free(gateway->pool);
    gate_free(gateway->headers);
    arena_unref(gateway->arena);
}

/* -- syncs -- */

/* Until one succeeds, for half a minute. */
static struct error *first_sync(struct gateway *gateway, struct context *ctx)
{
    int64_t start = time_now_monotonic_ms();
    for (;;) {
        struct error *err = bucket_store_sync(gateway->blocks, ctx);
        if (!err)
            return NULL;
        if (context_ended(ctx) || time_now_monotonic_ms() - start >= INITIAL_TRIES_MS)
            return error_wrap(err, "bucket store initial sync: sync block");
        log_warn(component_log(gateway->component), "initial sync failed; trying again",
                 KV_ERR(err));
        error_free(err);
        err = context_sleep(ctx, INITIAL_TRY_EVERY_MS);
        if (err)
            return err;
    }
}

static void sync_on(struct gateway *gateway, struct context *ctx)
{
    int64_t interval = int64_max(1000, gateway->config->sync_interval_ms);
    int64_t look_every =
        gateway->config->idle_ms > 0 ? int64_max(gateway->config->idle_ms / 10, 1) : interval;
    int64_t next_sync = time_now_monotonic_ms() + interval;
    struct error *ended = NULL;
    while (!ended) {
        int64_t left = next_sync - time_now_monotonic_ms();
        ended = context_sleep(ctx, int64_max(1, int64_min(left, look_every)));
        bucket_store_drop_idle(gateway->blocks);
        if (ended || time_now_monotonic_ms() < next_sync)
            continue;
        struct error *err = bucket_store_sync(gateway->blocks, ctx);
        if (err && !context_ended(ctx))
            log_warn(component_log(gateway->component), "syncing blocks failed", KV_ERR(err));
        error_free(err);
        next_sync = time_now_monotonic_ms() + interval;
    }
    error_free(ended);
}

/* The gRPC port opens when the blocks are known. */
static void gateway_sync(void *arg)
{
    struct gateway *gateway = arg;
    struct context *ctx = component_context(gateway->component);
    int64_t start = time_now_monotonic_ms();
    struct error *err = first_sync(gateway, ctx);
    if (!err) {
        log_info(component_log(gateway->component), "bucket store ready",
                 KV_MS("init_duration", time_now_monotonic_ms() - start));
        component_set_ready(gateway->component);
        err = component_serve_grpc(gateway->component, gateway->methods, countof(gateway->methods));
    }
    if (err && context_ended(ctx))
        error_free(err); /* the stop came first */
    else if (err)
        component_end(gateway->component, err);
    else
        sync_on(gateway, ctx);
}

static int gateway_run(const struct store_config *config, const struct component_config *common)
{
    struct gateway gateway = {.config = config,
                              .component = component_create("store", common),
                              .arena = arena_create(NULL)};
    struct error *err = check_config(config);
    if (!err)
        err = component_prepare(gateway.component);
    if (!err)
        err = gateway_build_stores(&gateway);
    if (!err) {
        gateway_build_services(&gateway);
        err = component_serve_http(gateway.component, gateway.routes,
                                   config->web_disable ? 0 : countof(gateway.routes));
    }
    if (!err)
        err = component_spawn(gateway.component, "sync", gateway_sync, &gateway);
    int exit_code = component_run(gateway.component, err);
    gateway_free(&gateway);
    component_free(gateway.component);
    return exit_code;
}

int store_main(int argc, char **argv)
{
    struct common_flags common;
    struct store_config config;
    struct component_config component;
    const struct flag_group groups[] = {COMMON_FLAG_GROUPS(&common), {store_flags, &config}};
    struct flags *flags;
    int exit_code;
    if (!component_parse_flags("store", STORE_SUMMARY, groups, countof(groups), argc, argv, &flags,
                               &exit_code))
        return exit_code;
    struct error *err = component_config_from_flags(&common, &component);
    if (!err && config.memory_max > 0)
        component.memory_max = (size_t)config.memory_max - cache_size(&config);
    exit_code = err ? component_refuse("store", err) : gateway_run(&config, &component);
    flags_free(flags);
    return exit_code;
}
