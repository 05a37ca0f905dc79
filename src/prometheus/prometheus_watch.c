#include "prometheus/prometheus_watch.h"

#include <stdlib.h>

#include "base/duration.h"
#include "base/memory.h"
#include "prometheus/client.h"
#include "prometheus/prometheus_store.h"
#include "runtime/context.h"
#include "runtime/log.h"
#include "runtime/metrics.h"
#include "store/store_external_labels.h"

enum { FLAG_RETRY_MS = 2000, TWO_HOURS_MS = 2 * 3600 * 1000 };

struct prometheus_watch {
    struct prometheus_watch_config config;
    char *meta_file;
    struct metric *up;
    struct arena *arena; /* of the facts; renewed by each refresh */
    struct prometheus_facts facts;
    char *version;
};

struct prometheus_watch *prometheus_watch_create(const struct prometheus_watch_config *config)
{
    struct prometheus_watch *watch = xcalloc(1, sizeof(*watch));
    watch->config = *config;
    watch->meta_file = str_dup(config->meta_file);
    watch->config.meta_file = str_from(watch->meta_file);
    watch->version = xstrdup("0");
    watch->arena = arena_create(NULL);
    watch->facts.min_time = INT64_MIN;
    if (config->metrics)
        watch->up = metrics_gauge(config->metrics, "thanos_sidecar_prometheus_up",
                                  "Boolean indicator whether the sidecar can reach its "
                                  "Prometheus peer.");
    return watch;
}

void prometheus_watch_free(struct prometheus_watch *watch)
{
    if (!watch)
        return;
    arena_unref(watch->arena);
    free(watch->meta_file);
    free(watch->version);
    free(watch);
}

/* ---- refreshing ---- */

static struct error *refresh_time(struct prometheus_watch *watch, struct context *ctx)
{
    int64_t lowest;
    struct error *err = prometheus_lowest_timestamp(watch->config.client, ctx, &lowest);
    if (err)
        return err;
    if (watch->config.min_time)
        lowest = int64_max(lowest, watch->config.min_time(watch->config.min_time_arg));
    watch->facts.min_time = lowest;
    return NULL;
}

/* Whether series have a label of this name of their own. When it cannot be told they may. */
static bool has_values(struct prometheus_watch *watch, struct context *ctx, struct str name)
{
    struct prometheus_answer answer;
    struct buf path = {0};
    prometheus_label_path(&path, name);
    struct error *err =
        prometheus_ask(watch->config.client, ctx, buf_str(&path), STR("limit=1"), &answer);
    bool none = !err && str_equal(answer.data, STR("[]"));
    error_free(err);
    prometheus_answer_deinit(&answer);
    buf_deinit(&path);
    return !none;
}

static struct error *refresh_labels(struct prometheus_watch *watch, struct context *ctx)
{
    struct arena *arena = arena_create(NULL);
    struct labels external;
    struct error *err = prometheus_external_labels(watch->config.client, ctx, arena, &external);
    if (err) {
        arena_unref(arena);
        return err;
    }
    struct labels_reader reader = labels_read(external);
    struct label label;
    bool overlap = false;
    while (!overlap && labels_next(&reader, &label))
        overlap = has_values(watch, ctx, label.name);
    arena_unref(watch->arena);
    watch->arena = arena;
    watch->facts.external = external;
    watch->facts.external_overlap = overlap;
    return NULL;
}

static void publish(struct prometheus_watch *watch)
{
    watch->facts.version = str_from(watch->version);
    prometheus_store_set(watch->config.prometheus, &watch->facts);
    store_external_labels_set(watch->config.external_labels, watch->facts.external);
}

static struct error *try_heartbeat(struct prometheus_watch *watch, struct context *ctx)
{
    struct context *try = context_create(ctx, watch->config.timeout_ms);
    const char *message = "updating timestamps failed";
    struct error *err = refresh_time(watch, try);
    if (!err) {
        message = "updating labels failed";
        err = refresh_labels(watch, try);
    }
    context_unref(try);
    if (err && !context_ended(ctx))
        log_warn(watch->config.log, message, KV_ERR(err));
    return err;
}

struct error *prometheus_watch_once(struct prometheus_watch *watch, struct context *ctx)
{
    struct error *err = try_heartbeat(watch, ctx);
    metric_set(watch->up, err ? 0 : 1);
    if (!err)
        publish(watch);
    return err;
}

void prometheus_watch_run(struct prometheus_watch *watch, struct context *ctx,
                          void (*report)(void *arg, const struct error *err), void *arg)
{
    for (;;) {
        struct error *err = prometheus_watch_once(watch, ctx);
        if (!context_ended(ctx))
            report(arg, err);
        error_free(err);
        err = context_sleep(ctx, watch->config.interval_ms);
        if (err) {
            error_free(err);
            return;
        }
    }
}

/* ---- start ---- */

static struct error *check_blocks(struct prometheus_watch *watch,
                                  const struct prometheus_flags *flags)
{
    if (flags->delay_compact_file.len) {
        struct buf want = {0};
        struct str file = flags->delay_compact_file;
        buf_printf(&want, "%.*s/%.*s", STR_ARG(flags->tsdb_path), STR_ARG(watch->config.meta_file));
        bool same = str_equal(buf_str(&want), file) ||
                    (str_starts_with(file, STR("./")) &&
                     str_equal(buf_str(&want), str_slice(file, 2, file.len)));
        buf_deinit(&want);
        if (same)
            return NULL;
        return error_create(ERROR_INVALID,
                            "found that Prometheus and Thanos use different paths for tracking "
                            "block uploads. Prometheus: %.*s, Thanos: %.*s/%.*s",
                            STR_ARG(file), STR_ARG(flags->tsdb_path),
                            STR_ARG(watch->config.meta_file));
    }
    if (flags->min_block_ms == flags->max_block_ms)
        return NULL;
    struct buf text = {0};
    buf_append_cstr(&text, "found that TSDB Max time is ");
    duration_print(&text, flags->max_block_ms);
    buf_append_cstr(&text, " and Min time is ");
    duration_print(&text, flags->min_block_ms);
    struct error *err =
        error_create(ERROR_INVALID,
                     "%.*s. Compaction needs to be disabled (storage.tsdb.min-block-duration = "
                     "storage.tsdb.max-block-duration)",
                     STR_ARG(buf_str(&text)));
    buf_deinit(&text);
    if (!watch->config.ignore_unequal_blocks)
        return err;
    log_warn(watch->config.log,
             "flag to ignore Prometheus min/max block duration flags differing "
             "is being used. If the upload of a 2h block fails and a "
             "Prometheus compaction happens that block may be missing from "
             "your Thanos bucket storage",
             KV_ERR(err));
    error_free(err);
    return NULL;
}

/* Inside one try the flags are asked for again and again. */
static struct error *check_flags(struct prometheus_watch *watch, struct context *ctx)
{
    struct arena *arena = arena_create(NULL);
    struct prometheus_flags flags;
    struct error *err;
    while ((err = prometheus_flags(watch->config.client, ctx, arena, &flags))) {
        struct error *ended = context_sleep(ctx, FLAG_RETRY_MS);
        if (ended) {
            error_free(ended);
            break;
        }
        error_free(err);
    }
    if (!err && flags.known) {
        err = check_blocks(watch, &flags);
        if (!err && flags.min_block_ms != TWO_HOURS_MS)
            log_warn(watch->config.log,
                     "found that TSDB block time is not 2h. Configured block "
                     "time is different",
                     KV_MS("block-time", flags.min_block_ms));
    } else if (!err) {
        log_warn(watch->config.log, "failed to check Prometheus flags, due to potentially older "
                                    "Prometheus. No extra validation is done.");
    }
    arena_unref(arena);
    return err;
}

static struct error *load_version(struct prometheus_watch *watch, struct context *ctx)
{
    struct arena *arena = arena_create(NULL);
    struct str version;
    struct error *err = prometheus_build_version(watch->config.client, ctx, arena, &version);
    if (!err) {
        free(watch->version);
        watch->version = str_dup(version);
    }
    arena_unref(arena);
    return err;
}

static struct error *load_labels(struct prometheus_watch *watch, struct context *ctx)
{
    struct error *err = refresh_time(watch, ctx);
    return err ? err : refresh_labels(watch, ctx);
}

/* One step of the start: tried every interval until it succeeds. */
struct step {
    struct error *(*fn)(struct prometheus_watch *watch, struct context *ctx);
    const char *failed, *done;
};

static struct error *run_step(struct prometheus_watch *watch, struct context *ctx,
                              const struct step *step)
{
    for (;;) {
        struct context *try = context_create(ctx, watch->config.timeout_ms);
        struct error *err = step->fn(watch, try);
        context_unref(try);
        if (!err)
            break;
        if (!context_ended(ctx))
            log_warn(watch->config.log, step->failed, KV_ERR(err));
        error_free(err);
        err = context_sleep(ctx, watch->config.interval_ms);
        if (err)
            return err;
    }
    log_info(watch->config.log, step->done);
    return NULL;
}

struct error *prometheus_watch_start(struct prometheus_watch *watch, struct context *ctx)
{
    static const struct step steps[] = {
        {check_flags, "failed to validate prometheus flags. Is Prometheus running? Retrying",
         "successfully validated prometheus flags"},
        {load_version, "failed to fetch prometheus version. Is Prometheus running? Retrying",
         "successfully loaded prometheus version"},
        {load_labels, "failed to fetch initial external labels. Is Prometheus running? Retrying",
         "successfully loaded prometheus external labels"},
    };
    metric_set(watch->up, 0);
    for (size_t i = watch->config.check_flags ? 0 : 1; i < countof(steps); i++) {
        struct error *err = run_step(watch, ctx, &steps[i]);
        if (err)
            return err;
    }
    if (watch->facts.external.len == 0)
        return error_create(
            ERROR_INVALID,
            "no external labels configured on Prometheus server, uniquely identifying external "
            "labels must be configured; see https://thanos.io/tip/thanos/storage.md"
            "#external-labels for details.");
    metric_set(watch->up, 1);
    publish(watch);
    return NULL;
}
