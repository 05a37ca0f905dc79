#include "cmd/component.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/mutex.h"
#include "cmd/version.h"
#include "net/tls.h"
#include "net/web_gate.h"
#include "net/request_log.h"
#include "rpc/descriptors.h"
#include "runtime/context.h"
#include "runtime/event_loop.h"
#include "runtime/log.h"
#include "runtime/memory_trim.h"
#include "runtime/metrics.h"
#include "runtime/pool.h"
#include "runtime/thread.h"

enum { PROBE_ROUTES = 4, SIGNAL_POLL_MS = 200, TRIM_EVERY_MS = 1000, THREADS_MAX = 4 };

struct component {
    const char *name;
    struct component_config config;
    struct log *root_log, *log;
    struct metrics *metrics;
    struct memory_trim *trim;
    struct event_loops *loops;
    struct pools *pools;
    struct budget *budget;
    struct context *ctx;
    struct http_server *http;
    struct grpc_server *grpc;
    struct request_log *http_log, *grpc_log; /* NULL: requests are not logged */
    struct tls_server *grpc_tls;             /* NULL: in the clear */
    struct web_gate *gate;                   /* NULL: HTTP is in the clear and for everybody */
    struct metric *healthy_gauge, *ready_gauge;
    pthread_t threads[THREADS_MAX];
    size_t thread_count;
    atomic_bool healthy, ready, ended;
    struct mutex lock;
    struct error *failure GUARDED_BY(lock);
};

/* -- life -- */

static sigset_t stop_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    return signals;
}

static void component_register_metrics(struct component *component)
{
    static const char *const status_labels[] = {"component", "check"};
    static const char *const build_labels[] = {"branch",   "goarch", "goos",   "goversion",
                                               "revision", "tags",   "version"};
    struct metrics *metrics = component->metrics;
    struct metric_family *status = metrics_gauge_family(
        metrics, "thanos_status",
        "Represents status (0 indicates failure, 1 indicates success) of the component.",
        status_labels, 2);
    struct str name = str_from(component->name);
    component->healthy_gauge = metric_with(status, (struct str[]){name, STR("healthy")}, 2);
    component->ready_gauge = metric_with(status, (struct str[]){name, STR("ready")}, 2);
    const struct str build[] = {str_from(TITAN_BRANCH), STR(TITAN_ARCH),          STR("linux"),
                                STR(TITAN_COMPILER),    str_from(TITAN_REVISION), STR(""),
                                STR(TITAN_VERSION)};
    struct metric_family *info = metrics_gauge_family(
        metrics, "thanos_build_info",
        "A metric with a constant '1' value labeled by version, revision, branch, goversion from "
        "which thanos was built, and the goos and goarch for the build.",
        build_labels, countof(build_labels));
    metric_set(metric_with(info, build, countof(build)), 1);
    (void)metrics_counter(
        metrics, "grpc_req_panics_recovered_total",
        "Total number of gRPC requests recovered from internal panic: none here.");
    metrics_register_process(metrics);
}

struct component *component_create(const char *name, const struct component_config *config)
{
    struct component *component = xcalloc(1, sizeof(*component));
    sigset_t signals = stop_signals();
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* component_run() fetches them */
    signal(SIGPIPE, SIG_IGN);
    mutex_init(&component->lock);
    component->name = name;
    component->config = *config;
    component->root_log = log_create(STDERR_FILENO, (enum log_level)config->log_level,
                                     (enum log_format)config->log_format, config->debug_name);
    component->log = log_with(component->root_log, "component", str_from(name));
    component->metrics = metrics_create();
    component->trim = memory_trim_create(component->metrics);
    component->budget = budget_create(NULL, "process", config->memory_max);
    component->loops = event_loops_create(EVENT_LOOP_COUNT);
    component->pools =
        pools_create(size_max(config->queries_max, 1), size_max(config->series_max, 1));
    component->ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    component_register_metrics(component);
    return component;
}

void component_free(struct component *component)
{
    http_server_free(component->http);
    grpc_server_free(component->grpc);
    request_log_free(component->http_log);
    request_log_free(component->grpc_log);
    tls_server_unref(component->grpc_tls);
    web_gate_free(component->gate);
    pools_free(component->pools);
    event_loops_free(component->loops);
    context_unref(component->ctx);
    budget_free(component->budget);
    memory_trim_free(component->trim);
    metrics_free(component->metrics);
    error_free(component->failure);
    log_free(component->log);
    log_free(component->root_log);
    mutex_deinit(&component->lock);
    free(component);
}

struct log *component_log(struct component *component)
{
    return component->log;
}

struct metrics *component_metrics(struct component *component)
{
    return component->metrics;
}

struct event_loops *component_loops(struct component *component)
{
    return component->loops;
}

const struct pools *component_pools(struct component *component)
{
    return component->pools;
}

struct budget *component_budget(struct component *component)
{
    return component->budget;
}

struct context *component_context(struct component *component)
{
    return component->ctx;
}

/* -- probes -- */

void component_set_ready(struct component *component)
{
    if (atomic_exchange(&component->ready, true))
        return;
    metric_set(component->ready_gauge, 1);
    log_info(component->log, "changing probe status", KV("status", "ready"));
}

void component_set_not_ready(struct component *component, const struct error *reason)
{
    if (!atomic_exchange(&component->ready, false))
        return;
    metric_set(component->ready_gauge, 0);
    log_warn(component->log, "changing probe status", KV("status", "not-ready"),
             KV("reason", error_text(reason)));
}

bool component_is_ready(void *component)
{
    return atomic_load(&((struct component *)component)->ready);
}

static void component_set_healthy(struct component *component, bool healthy)
{
    atomic_store(&component->healthy, healthy);
    metric_set(component->healthy_gauge, healthy);
}

static struct error *respond_probe(struct http_response *res, bool ok)
{
    if (!ok) {
        res->status = 503;
        http_response_header(res, STR("X-Content-Type-Options"), STR("nosniff"));
    }
    buf_append_cstr(&res->body, ok ? "OK" : "NOT OK\n");
    return NULL;
}

static struct error *serve_healthy(void *self, struct http_request *req UNUSED,
                                   struct http_response *res)
{
    return respond_probe(res, atomic_load(&((struct component *)self)->healthy));
}

static struct error *serve_ready(void *self, struct http_request *req UNUSED,
                                 struct http_response *res)
{
    return respond_probe(res, component_is_ready(self));
}

static struct error *serve_metrics(void *self, struct http_request *req, struct http_response *res)
{
    struct component *component = self;
    bool open_metrics =
        str_contains(http_request_header(req, STR("accept")), STR("application/openmetrics-text"));
    metrics_write(component->metrics, &res->body, open_metrics);
    res->content_type = open_metrics
                            ? STR("application/openmetrics-text; version=1.0.0; charset=utf-8; "
                                  "escaping=underscores")
                            : STR("text/plain; version=0.0.4; charset=utf-8; escaping=underscores");
    return NULL;
}

/* -- servers -- */

static struct error *component_prepare_grpc_tls(struct component *component)
{
    const struct tls_server_config *config = &component->config.grpc_tls;
    if (config->certificate.file.len == 0 && config->key.file.len == 0 &&
        config->client_ca.file.len == 0) {
        log_info(component->log, "disabled TLS, key and cert must be set to enable",
                 KV("protocol", "gRPC"));
        return NULL;
    }
    log_info(component->log, "enabling server side TLS", KV("protocol", "gRPC"));
    struct error *err = tls_server_create(config, TLS_HTTP2, component->log, &component->grpc_tls);
    if (!err && config->client_ca.file.len)
        log_info(component->log, "server TLS client verification enabled", KV("protocol", "gRPC"));
    return error_wrap(err, "setup gRPC server");
}

static struct error *component_prepare_logs(struct component *component)
{
    struct arena *arena = arena_create(NULL);
    struct str yaml = {0};
    struct error *err = flag_content_load(&component->config.request_logging,
                                          "request.logging-config", false, arena, &yaml);
    if (!err)
        err = request_log_create(component->log, REQUEST_HTTP, yaml, &component->http_log);
    if (!err)
        err = request_log_create(component->log, REQUEST_GRPC, yaml, &component->grpc_log);
    arena_unref(arena);
    return error_wrap(err, "error while parsing config for request logging");
}

struct error *component_prepare(struct component *component)
{
    if (component->config.has_tracing)
        log_warn(component->log, "flag has no effect", KV("flag", "tracing.config"),
                 KV("why", "no spans are sent yet"));
    struct error *err = component_prepare_grpc_tls(component);
    if (!err)
        err = component_prepare_logs(component);
    if (!err && component->config.http_config.len)
        err = error_wrap(
            web_gate_create(component->config.http_config, component->log, &component->gate),
            "server could not be started");
    return err;
}

/* What Go's runtime would answer under /debug/pprof and /debug/fgprof. */
static struct error *serve_no_profiles(void *self, struct http_request *req,
                                       struct http_response *res)
{
    res->status = 501;
    buf_printf(&res->body,
               "There is no Go runtime here that could be profiled. Where time and memory go:\n"
               "perf record --call-graph dwarf -p %d; titan_memory_bytes in /metrics.\n",
               (int)getpid());
    return NULL;
}

struct error *component_serve_http(struct component *component, const struct http_route *routes,
                                   size_t count)
{
    const struct component_config *config = &component->config;
    struct pool *quick = component->pools->quick;
    const struct http_route probes[PROBE_ROUTES] = {
        {.methods = "*",
         .pattern = "/-/healthy",
         .handler = serve_healthy,
         .self = component,
         .pool = quick},
        {.methods = "*",
         .pattern = "/-/ready",
         .handler = serve_ready,
         .self = component,
         .pool = quick},
        {.methods = "GET,POST", .pattern = "/debug/*", .handler = serve_no_profiles, .pool = quick},
        {.methods = "GET",
         .pattern = "/metrics",
         .handler = serve_metrics,
         .self = component,
         .pool = quick},
    };
    struct http_route *all = xcalloc(count + PROBE_ROUTES, sizeof(*all));
    memcpy(all, probes, sizeof(probes));
    if (count)
        memcpy(all + PROBE_ROUTES, routes, count * sizeof(*routes));
    const struct http_server_config server = {
        .address = config->http_address,
        .routes = all,
        .route_count = count + PROBE_ROUTES,
        .request_memory_max = config->request_memory_max,
        .budget = component->budget,
        .tenant_header = config->tenant_header,
        .default_tenant = config->default_tenant,
        .gate = component->gate,
        .request_log = component->http_log,
        .log = component->log,
        .metrics = component->metrics,
    };
    component_set_healthy(component, true);
    struct error *err = http_serve(component->loops, &server, &component->http);
    free(all);
    if (!err)
        log_info(component->log, "listening for requests and metrics", KV("service", "http/server"),
                 KV("address", http_server_address(component->http)));
    return error_wrap(err, "start HTTP server");
}

struct error *component_serve_grpc(struct component *component, const struct grpc_method *methods,
                                   size_t count)
{
    const struct grpc_server_config server = {
        .address = component->config.grpc_address,
        .methods = methods,
        .method_count = count,
        .descriptor_set = rpc_descriptor_set(),
        .is_serving = component_is_ready,
        .self = component,
        .budget = component->budget,
        .call_memory_max = component->config.request_memory_max,
        .max_connection_age_ms = component->config.max_connection_age_ms,
        .tls = component->grpc_tls,
        .quick = component->pools->quick,
        .request_log = component->grpc_log,
        .log = component->log,
        .metrics = component->metrics,
    };
    struct error *err = grpc_serve(component->loops, &server, &component->grpc);
    if (!err)
        log_info(component->log, "listening for serving gRPC", KV("service", "gRPC/server"),
                 KV("address", grpc_server_address(component->grpc)));
    return error_wrap(err, "start gRPC server");
}

/* -- running -- */

struct error *component_spawn(struct component *component, const char *name, void (*fn)(void *arg),
                              void *arg)
{
    if (component->thread_count == THREADS_MAX)
        bug("more than %d threads of a component", THREADS_MAX);
    struct error *err =
        thread_start_joinable(name, fn, arg, &component->threads[component->thread_count]);
    if (!err)
        component->thread_count++;
    return err;
}

void component_end(struct component *component, struct error *err)
{
    mutex_lock(&component->lock);
    if (atomic_exchange(&component->ended, true))
        error_free(err);
    else
        component->failure = err;
    mutex_unlock(&component->lock);
}

/* Waits for the end. Between signals it looks after memory and after component_end(). */
static void component_wait(struct component *component)
{
    sigset_t signals = stop_signals();
    const struct timespec poll = {.tv_nsec = SIGNAL_POLL_MS * 1000000L};
    for (int polls = 0; !atomic_load(&component->ended);) {
        int signal_number = sigtimedwait(&signals, NULL, &poll);
        if (signal_number == SIGHUP) {
            log_info(component->log, "caught signal. Reloading.", KV("signal", "hangup"));
        } else if (signal_number > 0) {
            log_info(component->log, "caught signal. Exiting.",
                     KV("signal", signal_number == SIGINT ? "interrupt" : "terminated"));
            return;
        }
        if (++polls % (TRIM_EVERY_MS / SIGNAL_POLL_MS) == 0)
            memory_trim_tick(component->trim);
    }
}

static void component_stop(struct component *component)
{
    struct error *reason = error_create(ERROR_CANCELLED, "shutting down");
    component_set_not_ready(component, reason);
    error_free(reason);
    context_cancel(component->ctx);
    while (component->thread_count > 0)
        pthread_join(component->threads[--component->thread_count], NULL);
    if (component->http)
        http_server_stop(component->http, component->config.http_grace_ms);
    if (component->grpc)
        grpc_server_stop(component->grpc, component->config.grpc_grace_ms);
    component_set_healthy(component, false);
}

int component_refuse(const char *name, struct error *err)
{
    err = error_wrap(err, "preparing %s command failed", name);
    struct log *log = log_create(STDERR_FILENO, LOG_INFO, LOG_LOGFMT, STR(""));
    log_error(log, "exiting", KV_ERR(err));
    log_free(log);
    error_free(err);
    return 1;
}

int component_run(struct component *component, struct error *err)
{
    bool started = err == NULL;
    if (started)
        component_wait(component);
    component_stop(component);
    if (started) {
        mutex_lock(&component->lock);
        err = component->failure;
        component->failure = NULL;
        mutex_unlock(&component->lock);
    }
    if (!err) {
        log_info(component->log, "exiting");
        return 0;
    }
    err = error_wrap(err, started ? "%s command failed" : "preparing %s command failed",
                     component->name);
    log_error(component->log, "exiting", KV_ERR(err));
    error_free(err);
    return 1;
}
