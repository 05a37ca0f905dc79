/* cmd/component.h: what every component of Titan has: a log, metrics, loops and pools, probes, an
 * HTTP and a gRPC server, and an orderly end.
 *
 *     struct component *component = component_create("query", &config);
 *     ... compose stores and services ...
 *     err = component_serve_http(component, routes, count);
 *     component_set_ready(component);
 *     return component_run(component, err, stop, self);           // until a signal or a failure */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "net/grpc_server.h"
#include "net/http_server.h"
#include "net/tls_config.h"
#include "runtime/flags.h"

struct component;
struct context;
struct event_loops;
struct log;
struct metrics;
struct pools;

struct component_config {      /* flags that all components have */
    int log_level, log_format; /* enum log_level, enum log_format */
    struct str debug_name;
    bool has_tracing; /* it is said once that it has no effect */
    struct str http_address, grpc_address;
    struct str http_config;              /* path; empty: none */
    struct tls_server_config grpc_tls;   /* without any file: in the clear */
    struct flag_content request_logging; /* YAML; empty: none */
    int64_t http_grace_ms, grpc_grace_ms, max_connection_age_ms;
    size_t memory_max;                        /* of the process, 0: none */
    size_t series_max;                        /* Series calls that produce a batch at once */
    size_t queries_max;                       /* threads of the pool for queries */
    size_t request_memory_max;                /* of one HTTP request, 0: the server's default */
    struct str tenant_header, default_tenant; /* of HTTP metrics; empty: no label */
};

struct component *component_create(const char *name, const struct component_config *config);
void component_free(struct component *component); /* after component_run() */

struct log *component_log(struct component *component);
struct metrics *component_metrics(struct component *component);
struct event_loops *component_loops(struct component *component);
const struct pools *component_pools(struct component *component);
struct budget *component_budget(struct component *component);
/* Ends when the component is to stop; parent of whatever runs for its whole life. */
struct context *component_context(struct component *component);

/* Reads what the servers need of files: certificates, keys, --http.config. Before they are started,
 * so that a mistake ends the component at once. */
MUST_CHECK struct error *component_prepare(struct component *component);

/* Starts the HTTP server: the routes, and /-/healthy, /-/ready, /metrics. Healthy from here on. */
MUST_CHECK struct error *component_serve_http(struct component *component,
                                              const struct http_route *routes, size_t count);
/* Starts the gRPC server; descriptors for reflection. */
MUST_CHECK struct error *component_serve_grpc(struct component *component,
                                              const struct grpc_method *methods, size_t count);

/* Probes and thanos_status. Thread-safe. reason: why it is not ready; taken over by the log. */
void component_set_ready(struct component *component);
void component_set_not_ready(struct component *component, const struct error *reason);
bool component_is_ready(void *component);

/* Runs fn(arg) on a thread of its own; it must end when the component's context does, and is waited
 * for by component_run(). */
MUST_CHECK struct error *component_spawn(struct component *component, const char *name,
                                         void (*fn)(void *arg), void *arg);

/* Ends component_run() with this error (NULL: well), from any thread; the first one counts. Takes
 * err. */
void component_end(struct component *component, struct error *err);

/* Waits for SIGINT, SIGTERM or component_end(), then stops: readiness off, its threads ended, HTTP
 * drained, gRPC drained, health off. SIGHUP is logged. err: a failure to start, then it only cleans
 * up. Gives the process's exit code. Logs the end. */
int component_run(struct component *component, struct error *err);

/* What is said of a component that cannot even be made. Takes err; gives the exit code. */
int component_refuse(const char *name, struct error *err);
