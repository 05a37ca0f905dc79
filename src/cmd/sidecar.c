#include "cmd/sidecar.h"

#include <pthread.h>

#include "base/memory.h"
#include "bucket/shipper.h"
#include "cmd/component.h"
#include "cmd/component_flags.h"
#include "cmd/version.h"
#include "net/http_client.h"
#include "objstore/bucket_config.h"
#include "prometheus/client.h"
#include "prometheus/prometheus_peer.h"
#include "prometheus/prometheus_store.h"
#include "prometheus/prometheus_watch.h"
#include "prometheus/reload_trigger.h"
#include "prometheus/reloader.h"
#include "rpc/info_service.h"
#include "rpc/peers_service.h"
#include "rpc/store_service.h"
#include "runtime/context.h"
#include "runtime/directory.h"
#include "runtime/log.h"
#include "runtime/pool.h"
#include "runtime/time.h"
#include "store/store_external_labels.h"
#include "store/store_limits.h"

enum {
    PROMETHEUS_CONNECTIONS_MAX = 64,
    SHIP_EVERY_MS = 30 * 1000,
    READY_LOOK_MS = 200,
};

struct sidecar_config {
    struct str prometheus_url;
    int64_t ready_timeout_ms, get_config_interval_ms, get_config_timeout_ms;
    struct flag_content http_client, objstore;
    struct str tsdb_path, reloader_config, reloader_output, reloader_process;
    struct flag_strings reloader_rule_dirs;
    int64_t reloader_watch_ms, reloader_retry_ms;
    int reloader_method, hash_func;
    bool upload_compacted, ignore_unequal_blocks, out_of_order_uploads, skip_corrupted_blocks;
    struct str meta_file;
    int64_t upload_concurrency, series_max, samples_max;
    struct flag_time min_time;
};

#define SIDECAR struct sidecar_config

static const struct flag sidecar_flags[] = {
    FLAG_STRING(SIDECAR, prometheus_url, "prometheus.url", "http://localhost:9090",
                "Base URL of the Prometheus."),
    FLAG_GO_DURATION(SIDECAR, ready_timeout_ms, "prometheus.ready_timeout", "10m",
                     "How long shipping waits for the external labels."),
    FLAG_GO_DURATION(SIDECAR, get_config_interval_ms, "prometheus.get_config_interval", "30s",
                     "How often Prometheus is asked for its configuration."),
    FLAG_GO_DURATION(SIDECAR, get_config_timeout_ms, "prometheus.get_config_timeout", "30s",
                     "How long it may take to answer that."),
    FLAG_CONTENT(SIDECAR, http_client, "prometheus.http-client",
                 "HTTP client configuration for Prometheus (YAML)."),
    FLAG_STRING(SIDECAR, tsdb_path, "tsdb.path", "./data",
                "Data directory of Prometheus, whose blocks are shipped."),
    FLAG_STRING(SIDECAR, reloader_config, "reloader.config-file", "",
                "Configuration file to watch."),
    FLAG_STRING(SIDECAR, reloader_output, "reloader.config-envsubst-file", "",
                "Where to write it with variables replaced."),
    FLAG_STRINGS(SIDECAR, reloader_rule_dirs, "reloader.rule-dir",
                 "Directories of rules to watch (repeated)."),
    FLAG_GO_DURATION(SIDECAR, reloader_watch_ms, "reloader.watch-interval", "3m",
                     "How often all watched files are read again."),
    FLAG_GO_DURATION(SIDECAR, reloader_retry_ms, "reloader.retry-interval", "5s",
                     "Delay between reloads that fail."),
    FLAG_ENUM(SIDECAR, reloader_method, "reloader.method", "http|signal", "http",
              "How Prometheus is told: http or signal."),
    FLAG_STRING(SIDECAR, reloader_process, "reloader.process-name", "prometheus",
                "Executable to signal."),
    FLAG_CONTENT(SIDECAR, objstore, "objstore.config", "Object store configuration (YAML)."),
    FLAG_BOOL(SIDECAR, upload_compacted, "shipper.upload-compacted",
              "Also ship blocks that Prometheus has compacted."),
    FLAG_ENUM(SIDECAR, hash_func, "hash-func", "|SHA256", "",
              "Hash of files noted in meta.json: empty or SHA256."),
    FLAG_STRING(SIDECAR, meta_file, "shipper.meta-file-name", "thanos.shipper.json",
                "Name of the shipper's state file."),
    FLAG_INT(SIDECAR, upload_concurrency, "shipper.upload-concurrency", "0",
             "Files of a block that are uploaded at once."),
    FLAG_UINT(SIDECAR, series_max, "store.limits.request-series", "0",
              "Series that one Series call may give; 0: any number."),
    FLAG_UINT(SIDECAR, samples_max, "store.limits.request-samples", "0",
              "Samples that one Series call may give, 120 a chunk; 0: any number."),
    FLAG_TIME(SIDECAR, min_time, "min-time", "0000-01-01T00:00:00Z",
              "Start of the data that is served: RFC 3339, or a duration before now such as -2h."),
    FLAG_BOOL(SIDECAR, ignore_unequal_blocks, "shipper.ignore-unequal-block-size",
              "Do not insist on equal block durations.", .hidden = true),
    FLAG_BOOL(SIDECAR, out_of_order_uploads, "shipper.allow-out-of-order-uploads",
              "Ship later blocks when one fails.", .hidden = true),
    FLAG_BOOL(SIDECAR, skip_corrupted_blocks, "shipper.skip-corrupted-blocks",
              "Pass over blocks that cannot be read.", .hidden = true),
    FLAG_END,
};

/* Everything the sidecar is made of, in the order it is built; taken down in reverse. */
struct sidecar {
    const struct sidecar_config *config;
    struct component *component;
    struct arena *arena; /* of http_config */
    struct http_client_config http_config;
    struct http_client *http;
    struct prometheus_client *client;
    struct store *prometheus;      /* owned by external_labels */
    struct store *external_labels; /* owned by store */
    struct store *store;
    struct prometheus_watch *watch;
    struct bucket *bucket;   /* NULL: nothing is shipped */
    struct shipper *shipper; /* NULL likewise */
    struct reloader *reloader;
    struct store_service *store_service;
    struct info_service *info_service;
    struct prometheus_peer peer;
    struct peers_service *peers_service;
    struct grpc_method methods[STORE_SERVICE_METHODS + PEERS_SERVICE_METHODS + 1];
};

/* -- building and taking down -- */

static int64_t sidecar_min_time(void *arg)
{
    const struct sidecar_config *config = arg;
    return flag_time_ms(&config->min_time, time_now_ms());
}

static struct labels sidecar_labels(void *self, struct arena *arena)
{
    return store_external_labels_get(((struct sidecar *)self)->external_labels, arena);
}

static struct error *sidecar_build_shipper(struct sidecar *sidecar)
{
    const struct sidecar_config *config = sidecar->config;
    const struct bucket_env env = {
        .files = component_pools(sidecar->component)->files,
        .metrics = component_metrics(sidecar->component),
        .loops = component_loops(sidecar->component),
        .log = component_log(sidecar->component),
    };
    struct str yaml;
    struct error *err =
        flag_content_load(&config->objstore, "objstore.config", true, sidecar->arena, &yaml);
    if (err)
        return err;
    if (yaml.len == 0) {
        log_info(component_log(sidecar->component),
                 "no supported bucket was configured, uploads will be disabled");
        return NULL;
    }
    if (!path_exists(config->tsdb_path))
        return error_create(ERROR_INVALID, "--tsdb.path: there is no %.*s",
                            STR_ARG(config->tsdb_path));
    err = bucket_open(yaml, &env, &sidecar->bucket);
    if (err)
        return err;
    const struct shipper_config shipper = {
        .bucket = sidecar->bucket,
        .directory = config->tsdb_path,
        .meta_file = config->meta_file,
        .source = STR("sidecar"),
        .labels = sidecar_labels,
        .self = sidecar,
        .notes_hashes = config->hash_func == 1,
        .uploads_compacted = config->upload_compacted,
        .allows_out_of_order = config->out_of_order_uploads,
        .skips_corrupt = config->skip_corrupted_blocks,
        .files_at_once = (size_t)int64_max(0, config->upload_concurrency),
        .pool = component_pools(sidecar->component)->metadata,
        .log = component_log(sidecar->component),
        .metrics = component_metrics(sidecar->component),
    };
    sidecar->shipper = shipper_create(&shipper);
    return NULL;
}

static struct error *sidecar_read_http_config(struct sidecar *sidecar)
{
    struct str text;
    struct error *err = flag_content_load(&sidecar->config->http_client, "prometheus.http-client",
                                          false, sidecar->arena, &text);
    return err ? err
               : http_client_config_parse(text, sidecar->arena, component_log(sidecar->component),
                                          &sidecar->http_config);
}

static struct error *sidecar_build_stores(struct sidecar *sidecar)
{
    const struct sidecar_config *config = sidecar->config;
    struct metrics *metrics = component_metrics(sidecar->component);
    const struct store_limits limits = {(size_t)config->series_max, (size_t)config->samples_max};
    struct error *err = sidecar_read_http_config(sidecar);
    if (err)
        return error_wrap(err, "--prometheus.http-client");
    sidecar->http =
        http_client_create_with(component_loops(sidecar->component), STR("Titan/" TITAN_VERSION),
                                PROMETHEUS_CONNECTIONS_MAX, &sidecar->http_config);
    err = prometheus_client_create(sidecar->http, config->prometheus_url, &sidecar->client);
    if (err)
        return error_wrap(err, "--prometheus.url");
    sidecar->prometheus = prometheus_store_create(sidecar->client, metrics);
    sidecar->external_labels = store_external_labels_create(sidecar->prometheus);
    sidecar->store = store_limits_create(sidecar->external_labels, &limits, metrics);
    const struct prometheus_watch_config watch = {
        .client = sidecar->client,
        .prometheus = sidecar->prometheus,
        .external_labels = sidecar->external_labels,
        .interval_ms = config->get_config_interval_ms,
        .timeout_ms = config->get_config_timeout_ms,
        .min_time = sidecar_min_time,
        .min_time_arg = (void *)(uintptr_t)config,
        .ignore_unequal_blocks = config->ignore_unequal_blocks,
        .meta_file = config->meta_file,
        .log = component_log(sidecar->component),
        .metrics = metrics,
    };
    sidecar->watch = prometheus_watch_create(&watch);
    return NULL;
}

static void sidecar_build_services(struct sidecar *sidecar)
{
    const struct pools *pools = component_pools(sidecar->component);
    const struct store_service_config store = {
        .store = sidecar->store,
        .series = pools->series,
        .metadata = pools->metadata,
        .metrics = component_metrics(sidecar->component),
    };
    const struct info_service_config info = {
        .type = STR("sidecar"),
        .store = sidecar->store,
        .has_rules = true,
        .has_targets = true,
        .has_metadata = true,
        .has_exemplars = true,
        .has_status = true,
        .is_ready = component_is_ready,
        .self = sidecar->component,
        .quick = pools->quick,
    };
    struct grpc_method *methods = sidecar->methods;
    sidecar->peer = (struct prometheus_peer){
        .client = sidecar->client,
        .external_labels = sidecar->external_labels,
        .is_ready = component_is_ready,
        .self = sidecar->component,
    };
    sidecar->store_service = store_service_create(&store, methods);
    methods += STORE_SERVICE_METHODS;
    sidecar->peers_service =
        peers_service_create(prometheus_peer_answer, &sidecar->peer, pools->metadata, methods);
    methods += PEERS_SERVICE_METHODS;
    sidecar->info_service = info_service_create(&info, methods);
}

static void sidecar_free(struct sidecar *sidecar)
{
    store_service_free(sidecar->store_service);
    peers_service_free(sidecar->peers_service);
    info_service_free(sidecar->info_service);
    prometheus_watch_free(sidecar->watch);
    shipper_free(sidecar->shipper);
    reloader_free(sidecar->reloader);
    bucket_free(sidecar->bucket);
    store_free(sidecar->store);
    prometheus_client_free(sidecar->client);
    http_client_free(sidecar->http);
    arena_unref(sidecar->arena);
}

/* -- the reloader -- */

static struct error *sidecar_reload(void *self, struct context *ctx)
{
    const struct sidecar *sidecar = self;
    return sidecar->config->reloader_method == 0
               ? reload_by_http(sidecar->client, ctx)
               : reload_by_signal(sidecar->client, sidecar->config->reloader_process, ctx);
}

static struct error *sidecar_build_reloader(struct sidecar *sidecar)
{
    const struct sidecar_config *config = sidecar->config;
    const struct reloader_config reloader = {
        .config_file = config->reloader_config,
        .output_file = config->reloader_output,
        .rule_dirs = config->reloader_rule_dirs.items,
        .rule_dir_count = config->reloader_rule_dirs.count,
        .watch_interval_ms = config->reloader_watch_ms,
        .retry_interval_ms = int64_max(1, config->reloader_retry_ms),
        .reload = sidecar_reload,
        .self = sidecar,
        .method = config->reloader_method == 0 ? "http" : "signal",
        .log = component_log(sidecar->component),
        .metrics = component_metrics(sidecar->component),
    };
    sidecar->reloader = reloader_create(&reloader);
    return reloader_start(sidecar->reloader);
}

static void sidecar_run_reloader(void *arg)
{
    struct sidecar *sidecar = arg;
    reloader_run(sidecar->reloader, component_context(sidecar->component));
}

/* -- the heartbeat -- */

static void sidecar_report(void *arg, const struct error *err)
{
    struct component *component = arg;
    if (err)
        component_set_not_ready(component, err);
    else
        component_set_ready(component);
}

/* The gRPC port opens when everything is known of Prometheus, and stays open. */
static void sidecar_watch(void *arg)
{
    struct sidecar *sidecar = arg;
    struct context *ctx = component_context(sidecar->component);
    struct error *err = prometheus_watch_start(sidecar->watch, ctx);
    if (!err) {
        component_set_ready(sidecar->component);
        err = component_serve_grpc(sidecar->component, sidecar->methods, countof(sidecar->methods));
    }
    if (err && context_ended(ctx)) {
        error_free(err); /* the stop came first */
    } else if (err) {
        component_end(sidecar->component, err);
    } else {
        prometheus_watch_run(sidecar->watch, ctx, sidecar_report, sidecar->component);
    }
}

/* -- shipping -- */

/* Until Prometheus has told its external labels; then they must be there. */
static struct error *wait_for_labels(struct sidecar *sidecar, struct context *ctx)
{
    int64_t start = time_now_monotonic_ms();
    struct error *err = NULL;
    while (!err && !component_is_ready(sidecar->component)) {
        if (time_now_monotonic_ms() - start > sidecar->config->ready_timeout_ms)
            return error_create(ERROR_TIMEOUT, "aborting as Prometheus is not ready after %lld s",
                                (long long)(sidecar->config->ready_timeout_ms / 1000));
        err = context_sleep(ctx, READY_LOOK_MS);
    }
    struct arena *arena = arena_create(NULL);
    if (!err && sidecar_labels(sidecar, arena).len == 0)
        err = error_create(ERROR_INVALID,
                           "no external labels configured on Prometheus server, uniquely "
                           "identifying external labels must be configured; see "
                           "https://thanos.io/tip/thanos/storage.md#external-labels for details");
    arena_unref(arena);
    return err;
}

static void sidecar_ship(void *arg)
{
    struct sidecar *sidecar = arg;
    struct context *ctx = component_context(sidecar->component);
    struct error *err = wait_for_labels(sidecar, ctx);
    if (err && !context_ended(ctx)) {
        component_end(sidecar->component, err);
        return;
    }
    while (!err) {
        size_t uploaded;
        struct error *failed = shipper_sync(sidecar->shipper, ctx, &uploaded);
        if (failed && !context_ended(ctx))
            log_warn(component_log(sidecar->component), "shipping blocks failed",
                     KV("uploaded", uploaded), KV_ERR(failed));
        error_free(failed);
        err = context_sleep(ctx, SHIP_EVERY_MS);
    }
    error_free(err);
}

static struct error *sidecar_spawn(struct sidecar *sidecar)
{
    struct error *err = component_spawn(sidecar->component, "watch", sidecar_watch, sidecar);
    if (!err && sidecar->shipper)
        err = component_spawn(sidecar->component, "ship", sidecar_ship, sidecar);
    if (!err)
        err = component_spawn(sidecar->component, "reload", sidecar_run_reloader, sidecar);
    return err;
}

static int sidecar_run(const struct sidecar_config *config, const struct component_config *common)
{
    struct sidecar sidecar = {.config = config,
                              .component = component_create("sidecar", common),
                              .arena = arena_create(NULL)};
    struct error *err = component_prepare(sidecar.component);
    if (!err)
        err = sidecar_build_shipper(&sidecar);
    if (!err)
        err = sidecar_build_stores(&sidecar);
    if (!err)
        err = sidecar_build_reloader(&sidecar);
    if (!err) {
        sidecar_build_services(&sidecar);
        err = component_serve_http(sidecar.component, NULL, 0);
    }
    if (!err)
        err = sidecar_spawn(&sidecar);
    int exit_code = component_run(sidecar.component, err);
    sidecar_free(&sidecar);
    component_free(sidecar.component);
    return exit_code;
}

int sidecar_main(int argc, char **argv)
{
    struct common_flags common;
    struct sidecar_config config;
    struct component_config component;
    const struct flag_group groups[] = {COMMON_FLAG_GROUPS(&common), {sidecar_flags, &config}};
    struct flags *flags;
    int exit_code;
    if (!component_parse_flags("sidecar", SIDECAR_SUMMARY, groups, countof(groups), argc, argv,
                               &flags, &exit_code))
        return exit_code;
    struct error *err = component_config_from_flags(&common, &component);
    exit_code = err ? component_refuse("sidecar", err) : sidecar_run(&config, &component);
    flags_free(flags);
    return exit_code;
}
