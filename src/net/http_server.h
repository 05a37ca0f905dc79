/* net/http_server.h: HTTP/1.1 on the event loops, in the clear or over TLS; handlers run on
 * pools. A handler decodes, calls one lower function, encodes. It sees no library type and returns
 * its error, which the server turns into a status by `error_respond`. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "net/tls_config.h"

struct context;
struct event_loops;
struct http_server;
struct log;
struct metrics;
struct pool;
struct request_log;
struct web_gate;

struct http_header {
    struct str name, value; /* names compared without case */
};

struct http_param {
    struct str name, value; /* decoded */
};

struct http_request { /* all of it lives in `arena`, which goes when the response has been sent */
    struct arena *arena; /* charged to the request's budget, a child of the server's */
    struct context *ctx; /* ends when the peer goes away, at the server's request timeout, or at
                            stop after the grace period */
    struct str method, path, query; /* path cleaned and decoded; query as received */
    struct http_header *headers;
    size_t header_count;
    struct bytes body; /* whole, not longer than the route allows; gzip is undone */
    struct http_param
        *params; /* URL and form body together, the body's first; malformed forms: params_error */
    size_t param_count;
    struct str params_error;    /* empty: none */
    struct str peer;            /* address:port of the client */
    struct tls_subject subject; /* of the client's certificate */
    struct str path_value;      /* what the "*" of the route's pattern matched, decoded */
    int64_t received_ns; /* time_now_monotonic_ns() when the head was there; then it waited for
                            its body and for its pool */
};

struct str http_request_header(const struct http_request *req,
                               struct str name); /* empty when absent */
/* First value; false when the parameter is absent. */
bool http_request_param(const struct http_request *req, struct str name, struct str *out);

struct http_response { /* start values: 200, text/plain, empty */
    int status;
    struct buf body; /* charged to the request's budget; gzipped by the server when asked for and
                        from 1024 bytes on */
    struct str content_type;
    struct http_header headers[16];
    size_t header_count;
};

void http_response_header(struct http_response *res, struct str name,
                          struct str value); /* strings must live in req->arena or be static */

typedef struct error *(*http_handler)(void *self, struct http_request *req,
                                      struct http_response *res);

struct http_route {
    const char *methods; /* "GET", "GET,POST", "*" */
    const char *pattern; /* "/api/v1/query"; one "*" segment: "/api/v1/label/" "*" "/values"; a
                            final "/" "*" takes the rest */
    http_handler handler;
    void *self;
    struct pool *pool; /* where the handler runs */
    size_t body_max;   /* bytes; 0: no body allowed */
    const char *name;  /* label `handler` of the request metrics */
    bool is_api; /* requests get an X-Request-ID, which goes back, and are logged as the server's
                    request_log says */
    /* Turns the handler's error into a response; NULL: plain text, status by kind. Frees err. */
    void (*error_respond)(void *self, struct http_request *req, struct http_response *res,
                          struct error *err);
};

struct http_server_config {
    struct str address;              /* "0.0.0.0:10902", "[::1]:0", ":80" */
    const struct http_route *routes; /* copied */
    size_t route_count;
    size_t connections_max;    /* 0: 1024 */
    size_t request_memory_max; /* budget of one request, 0: 64 MiB */
    struct budget *budget;     /* parent of the requests' budgets */
    int64_t header_timeout_ms, idle_timeout_ms,
        write_timeout_ms; /* 0: 10 s, 2 min, 1 min without progress */
    struct str tenant_header,
        default_tenant;    /* label `tenant` of the metrics; empty: no such label */
    struct web_gate *gate; /* referred to; NULL: in the clear, for everybody */
    struct log *log;
    const struct request_log *request_log; /* NULL: requests are not logged; outlives the server */
    struct metrics *metrics;
};

/* Binds and listens; ERROR_INVALID for a bad address, ERROR_UNAVAILABLE when it cannot be bound. */
MUST_CHECK struct error *http_serve(struct event_loops *loops,
                                    const struct http_server_config *config,
                                    struct http_server **out);
struct str http_server_address(const struct http_server *server); /* as bound, with the real port */
/* No new connections; running requests are awaited up to grace_ms, then cut off; returns when none
 * is left. */
void http_server_stop(struct http_server *server, int64_t grace_ms);
void http_server_free(struct http_server *server);

/* Status of an error kind by architecture.md's table. */
int http_status_of(enum error_kind kind);
