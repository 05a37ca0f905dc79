#include "prometheus/reload_trigger.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/time_text.h"
#include "codec/json.h"
#include "net/http_client.h"
#include "prometheus/client.h"
#include "runtime/context.h"
#include "runtime/directory.h"
#include "runtime/time.h"

enum { OUTCOME_LOOK_MS = 1000, OUTCOME_MAX_MS = 60 * 1000, REQUEST_MAX_MS = 60 * 1000 };

struct error *reload_by_http(struct prometheus_client *client, struct context *ctx)
{
    struct buf url = {0}, body = {0};
    struct context *limited = context_create(ctx, REQUEST_MAX_MS);
    int status = 0;
    prometheus_url(client, STR("/-/reload"), STR(""), &url);
    const struct http_client_request request = {.method = STR("POST"), .url = buf_str(&url)};
    struct error *err =
        http_fetch(prometheus_client_http(client), limited, &request, &status, &body);
    if (!err && status != 200)
        err = error_create(ERROR_UNAVAILABLE,
                           "received non-200 response: %d; have you set `--web.enable-lifecycle` "
                           "Prometheus flag?",
                           status);
    buf_deinit(&url);
    buf_deinit(&body);
    context_unref(limited);
    return error_wrap(err, "reload request failed");
}

struct runtime_info {
    bool was_successful;
    int64_t configured_ms;
};

static struct error *ask_runtime(struct prometheus_client *client, struct context *ctx,
                                 struct runtime_info *out)
{
    struct prometheus_answer answer;
    struct arena *arena = arena_create(NULL);
    *out = (struct runtime_info){0};
    struct error *err =
        prometheus_ask(client, ctx, STR("/api/v1/status/runtimeinfo"), STR(""), &answer);
    struct json_reader json = json_read(answer.data, arena);
    struct str key;
    if (!err && json_object(&json)) {
        while (json_key(&json, &key)) {
            if (str_equal(key, STR("reloadConfigSuccess")))
                out->was_successful = json_bool(&json);
            else if (str_equal(key, STR("lastConfigTime")))
                (void)time_text_parse_ms(json_str(&json), &out->configured_ms);
            else
                json_skip(&json);
        }
    }
    if (!err)
        err = json_finish(&json, "runtime information of Prometheus");
    prometheus_answer_deinit(&answer);
    arena_unref(arena);
    return err;
}

/* 0: there is none. */
static pid_t find_process(struct str executable, struct arena *arena)
{
    struct directory_entry *entries = NULL;
    size_t count = 0;
    struct error *err = directory_list(STR("/proc"), arena, &entries, &count);
    pid_t found = 0;
    error_free(err);
    for (size_t i = 0; i < count && found == 0; i++) {
        uint64_t number;
        char target[4096];
        if (!str_to_uint64(entries[i].name, &number) || number > INT32_MAX)
            continue;
        char *path =
            arena_cstr(arena, arena_printf(arena, "/proc/%.*s/exe", STR_ARG(entries[i].name)));
        ssize_t len = readlink(path, target, sizeof(target));
        struct str name = {target, len > 0 ? (size_t)len : 0};
        while (name.len > 0 && memchr(name.data, '/', name.len))
            name = str_slice(name, str_find_char(name, '/') + 1, name.len);
        if (str_equal(name, executable))
            found = (pid_t)number;
    }
    return found;
}

static struct error *send_signal(struct str executable)
{
    struct arena *arena = arena_create(NULL);
    pid_t process = find_process(executable, arena);
    struct error *err = NULL;
    arena_unref(arena);
    if (process == 0)
        err = error_create(ERROR_NOT_FOUND, "no process of executable %.*s was found",
                           STR_ARG(executable));
    else if (kill(process, SIGHUP) != 0)
        err = error_create(ERROR_UNAVAILABLE, "send SIGHUP to process %d: %s", (int)process,
                           strerror(errno));
    return err;
}

struct error *reload_by_signal(struct prometheus_client *client, struct str executable,
                               struct context *ctx)
{
    struct runtime_info before, now;
    struct context *limited = context_create(ctx, OUTCOME_MAX_MS);
    struct error *err = ask_runtime(client, limited, &before);
    /* Prometheus tells the time of its configuration in whole seconds: it has to be another one */
    int64_t age = time_now_ms() - before.configured_ms;
    if (!err && age >= 0 && age < 1000)
        err = context_sleep(limited, 1000 - age);
    if (!err)
        err = send_signal(executable);
    for (bool is_done = false; !err && !is_done;) {
        err = context_sleep(limited, OUTCOME_LOOK_MS);
        if (!err)
            err = ask_runtime(client, limited, &now);
        is_done = !err && now.was_successful && now.configured_ms > before.configured_ms;
        if (!err && !is_done && before.was_successful && !now.was_successful)
            err = error_create(ERROR_UNAVAILABLE, "configuration reload has failed");
    }
    context_unref(limited);
    return error_wrap(err, "reload by signal");
}
