#include "prometheus/reloader.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/memory.h"
#include "codec/digest.h"
#include "codec/gzip.h"
#include "runtime/context.h"
#include "runtime/directory.h"
#include "runtime/environment.h"
#include "runtime/file.h"
#include "runtime/log.h"
#include "runtime/metrics.h"
#include "runtime/time.h"

enum {
    FILE_MAX = 64 << 20,
    FILES_MAX = 10000,
    DEPTH_MAX = 16,
    SETTLE_MS = 200, /* events within so much of each other are one change */
};

struct state { /* digests of what was applied or told last */
    uint8_t config[DIGEST_SHA256_SIZE], rules[DIGEST_SHA256_SIZE];
};

struct reloader {
    struct reloader_config config;
    struct state told;      /* what Prometheus has read */
    bool was_told, is_owed; /* ever; something failed and has to be told again */
    struct metric *applies, *apply_failures, *expansion_errors, *reloads, *reload_failures;
    struct metric *last_success, *last_success_time, *watches, *events, *watch_errors;
};

/* ---- the template ---- */

static struct error *read_template(struct str path, struct buf *out)
{
    struct buf raw = {0};
    struct error *err = file_read(path, FILE_MAX, &raw);
    if (!err && str_starts_with(buf_str(&raw), STR("\x1f\x8b\x08")))
        err = gzip_decode(buf_bytes(&raw), FILE_MAX, out);
    else if (!err)
        buf_append_str(out, buf_str(&raw));
    buf_deinit(&raw);
    return err;
}

/* Whether the output file has this content already: writing it again would be an event. */
static bool is_written(struct str path, struct str text)
{
    struct buf old = {0};
    struct error *err = file_read(path, FILE_MAX, &old);
    bool same = !err && str_equal(buf_str(&old), text);
    error_free(err);
    buf_deinit(&old);
    return same;
}

static struct error *write_output(struct reloader *reloader, struct str text)
{
    struct buf expanded = {0};
    struct error *err = environment_expand(text, &expanded);
    struct str path = reloader->config.output_file;
    metric_set(reloader->expansion_errors, err != NULL);
    if (!err && !is_written(path, buf_str(&expanded))) {
        char *name = str_dup(path);
        err = file_write_atomic(path, buf_bytes(&expanded));
        if (!err && chmod(name, 0644) != 0) /* Prometheus may run as somebody else */
            err = error_create(ERROR_INTERNAL, "chmod %s: %s", name, strerror(errno));
        free(name);
    }
    buf_deinit(&expanded);
    return err;
}

/* ---- what has changed ---- */

static void digest_file(struct buf *all, struct str path, struct str content)
{
    uint8_t digest[DIGEST_SHA256_SIZE];
    digest_sha256(str_bytes(content), digest);
    buf_append_byte(all, 0xff);
    buf_append_str(all, path);
    buf_append_byte(all, 0xff);
    buf_append(all, digest, sizeof(digest));
}

static struct error *digest_directory(struct arena *arena, struct str path, int depth,
                                      size_t *files, struct buf *all)
{
    struct directory_entry *entries;
    size_t count;
    struct error *err = directory_list(path, arena, &entries, &count);
    if (!err && depth == DEPTH_MAX)
        err = error_create(ERROR_LIMIT, "%.*s: deeper than %d levels", STR_ARG(path), DEPTH_MAX);
    for (size_t i = 0; !err && i < count; i++) {
        struct str below = path_join(arena, path, entries[i].name);
        struct buf content = {0};
        if (entries[i].is_directory) {
            err = digest_directory(arena, below, depth + 1, files, all);
            continue;
        }
        if (++*files > FILES_MAX)
            err = error_create(ERROR_LIMIT, "%.*s: more than %d files", STR_ARG(path), FILES_MAX);
        if (!err)
            err = file_read(below, FILE_MAX, &content);
        if (!err)
            digest_file(all, below, buf_str(&content));
        buf_deinit(&content);
    }
    return err;
}

static struct error *digest_rules(const struct reloader *reloader, struct state *out)
{
    struct arena *arena = arena_create(NULL);
    struct buf all = {0};
    size_t files = 0;
    struct error *err = NULL;
    for (size_t i = 0; i < reloader->config.rule_dir_count && !err; i++)
        err = digest_directory(arena, reloader->config.rule_dirs[i], 0, &files, &all);
    digest_sha256(buf_bytes(&all), out->rules);
    buf_deinit(&all);
    arena_unref(arena);
    return error_wrap(err, "read rule directories");
}

/* Reads everything, writes the output file; *out says what was read. */
static struct error *apply(struct reloader *reloader, struct state *out)
{
    struct buf text = {0}, all = {0};
    struct error *err = NULL;
    *out = (struct state){0};
    metric_inc(reloader->applies);
    if (reloader->config.config_file.len > 0) {
        err = error_wrap(read_template(reloader->config.config_file, &text), "read config file");
        if (!err) {
            digest_file(&all, reloader->config.config_file, buf_str(&text));
            digest_sha256(buf_bytes(&all), out->config);
        }
        if (!err && reloader->config.output_file.len > 0)
            err =
                error_wrap(write_output(reloader, buf_str(&text)), "expand environment variables");
    }
    if (!err)
        err = digest_rules(reloader, out);
    if (err)
        metric_inc(reloader->apply_failures);
    buf_deinit(&text);
    buf_deinit(&all);
    return err;
}

/* ---- telling Prometheus ---- */

static struct error *tell(struct reloader *reloader, struct context *ctx, const struct state *state)
{
    metric_inc(reloader->reloads);
    struct error *err = reloader->config.reload(reloader->config.self, ctx);
    metric_set(reloader->last_success, err == NULL);
    if (err) {
        metric_inc(reloader->reload_failures);
        return error_wrap(err, "trigger reload");
    }
    metric_set(reloader->last_success_time, (double)time_now_ms() / 1000);
    log_info(reloader->config.log, "Reload triggered");
    reloader->told = *state;
    reloader->was_told = true;
    return NULL;
}

/* One round: applies, and tells when something is new, again and again until the watch interval is
 * over. */
static void round_of(struct reloader *reloader, struct context *ctx)
{
    int64_t end = time_now_monotonic_ms() + reloader->config.watch_interval_ms;
    while (!context_ended(ctx)) {
        struct state state;
        struct error *err = apply(reloader, &state);
        bool is_new = !err && (reloader->is_owed || !reloader->was_told ||
                               memcmp(&state, &reloader->told, sizeof(state)) != 0);
        bool applied = !err;
        if (is_new)
            err = tell(reloader, ctx, &state);
        reloader->is_owed = applied && err != NULL;
        if (!err)
            return;
        log_error(reloader->config.log, "Failed to trigger reload. Retrying.", KV_ERR(err));
        error_free(err);
        if (!applied || time_now_monotonic_ms() + reloader->config.retry_interval_ms >= end)
            return; /* an event or the next round tries again */
        error_free(context_sleep(ctx, reloader->config.retry_interval_ms));
    }
}

/* ---- watching ---- */

static struct str directory_of(struct str path)
{
    size_t slash = path.len;
    while (slash > 0 && path.data[slash - 1] != '/')
        slash--;
    return slash == 0 ? STR(".") : slash == 1 ? STR("/") : (struct str){path.data, slash - 1};
}

static void watch(struct reloader *reloader, int fd, struct str directory, size_t *count)
{
    char *path = str_dup(directory);
    int number = inotify_add_watch(
        fd, path, IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM | IN_ATTRIB);
    if (number < 0) {
        metric_inc(reloader->watch_errors);
        log_error(reloader->config.log, "a directory cannot be watched; it is read at intervals",
                  KV("directory", directory), KV("err", (const char *)strerror(errno)));
    } else {
        ++*count;
    }
    free(path);
}

static void watch_all(struct reloader *reloader, int fd)
{
    size_t count = 0;
    if (reloader->config.config_file.len > 0)
        watch(reloader, fd, directory_of(reloader->config.config_file), &count);
    for (size_t i = 0; i < reloader->config.rule_dir_count; i++)
        watch(reloader, fd, reloader->config.rule_dirs[i], &count);
    metric_set(reloader->watches, (double)count);
}

/* Takes all events that wait; true when there was one. */
static bool take_events(struct reloader *reloader, int fd)
{
    _Alignas(struct inotify_event) char bytes[4096];
    bool any = false;
    for (ssize_t len; (len = read(fd, bytes, sizeof(bytes))) > 0;) {
        for (ssize_t at = 0; at < len;) {
            const struct inotify_event *event = (const void *)(bytes + at);
            at += (ssize_t)(sizeof(*event) + event->len);
            metric_inc(reloader->events);
            any = true;
        }
    }
    return any;
}

static void wake_up(void *arg)
{
    static const uint64_t one = 1;
    ssize_t done = write(*(const int *)arg, &one, sizeof(one)); /* cannot fail while it is open */
    (void)done;
}

/* Until something has happened and is quiet again, the interval is over, or ctx ends. */
static void wait_for_events(struct reloader *reloader, struct context *ctx, int events, int ended)
{
    struct pollfd fds[] = {{events, POLLIN, 0}, {ended, POLLIN, 0}};
    int64_t left = int64_min(reloader->config.watch_interval_ms, 24 * 3600 * 1000);
    int count = poll(fds, countof(fds), (int)left);
    while (count > 0 && !context_ended(ctx) && take_events(reloader, events))
        count = poll(fds, countof(fds), SETTLE_MS);
}

void reloader_run(struct reloader *reloader, struct context *ctx)
{
    int ended = eventfd(0, EFD_CLOEXEC), events = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    struct context_hook hook = {.fn = wake_up, .arg = &ended};
    if (reloader->config.config_file.len == 0 && reloader->config.rule_dir_count == 0)
        log_info(reloader->config.log, "nothing to be watched");
    else if (ended < 0 || events < 0)
        log_error(reloader->config.log, "nothing can be watched",
                  KV("err", (const char *)strerror(errno)));
    else if (reloader->config.watch_interval_ms > 0) {
        context_on_end(ctx, &hook);
        watch_all(reloader, events);
        while (!context_ended(ctx)) {
            round_of(reloader, ctx);
            if (!context_ended(ctx))
                wait_for_events(reloader, ctx, events, ended);
        }
        context_off_end(ctx, &hook);
    }
    if (ended >= 0)
        close(ended);
    if (events >= 0)
        close(events);
}

struct error *reloader_start(struct reloader *reloader)
{
    struct state state;
    if (reloader->config.config_file.len == 0 && reloader->config.rule_dir_count == 0)
        return NULL;
    return error_wrap(apply(reloader, &state), "initial apply");
}

/* ---- the reloader ---- */

static void register_metrics(struct reloader *reloader, struct metrics *metrics)
{
    static const char *const label[] = {"method"};
    struct str method = str_from(reloader->config.method);
    reloader->applies =
        metrics_counter(metrics, "thanos_sidecar_reloader_config_apply_operations_total",
                        "Looks at the configuration.");
    reloader->apply_failures =
        metrics_counter(metrics, "thanos_sidecar_reloader_config_apply_operations_failed_total",
                        "Looks at the configuration that failed.");
    reloader->expansion_errors = metrics_gauge(
        metrics, "thanos_sidecar_reloader_config_environment_variable_expansion_errors",
        "Variables of the template that are not set.");
    reloader->reloads = metrics_counter(metrics, "thanos_sidecar_reloader_reloads_total",
                                        "Times that Prometheus was told to reload.");
    reloader->reload_failures = metrics_counter(
        metrics, "thanos_sidecar_reloader_reloads_failed_total", "Times that it did not.");
    reloader->last_success =
        metrics_gauge(metrics, "thanos_sidecar_reloader_last_reload_successful",
                      "Whether the last reload went well.");
    reloader->last_success_time =
        metrics_gauge(metrics, "thanos_sidecar_reloader_last_reload_success_timestamp_seconds",
                      "When one last went well.");
    reloader->watches =
        metrics_gauge(metrics, "thanos_sidecar_reloader_watches", "Directories that are watched.");
    reloader->events =
        metrics_counter(metrics, "thanos_sidecar_reloader_watch_events_total", "Events of these.");
    reloader->watch_errors = metrics_counter(metrics, "thanos_sidecar_reloader_watch_errors_total",
                                             "Failures to watch.");
    metric_set(metric_with(metrics_gauge_family(metrics, "thanos_sidecar_reloader_info",
                                                "How Prometheus is told.", label, 1),
                           &method, 1),
               1);
}

struct reloader *reloader_create(const struct reloader_config *config)
{
    struct reloader *reloader = xcalloc(1, sizeof(*reloader));
    reloader->config = *config;
    if (config->metrics)
        register_metrics(reloader, config->metrics);
    return reloader;
}

void reloader_free(struct reloader *reloader)
{
    free(reloader);
}
