/* net/http_exchange.h: one request and its response, between the connection that carries them and
 * the pool that runs the handler. Private to net/http_server.c. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "net/http1.h"
#include "net/http_server.h"

struct http_metrics;
struct request_log;
struct web_rules;

struct http_exchange {
    struct http_request req;
    struct http_response res;
    const struct http_route *route;
    const struct http_metrics *metrics;
    const struct request_log *log;
    struct budget *budget;
    struct buf body;     /* of the request, filled by the connection */
    struct buf head_out; /* status line and headers of the response, ready to be sent */
    bool keep_alive, is_http10, is_head;
    int64_t start_ns;
    struct web_rules *rules; /* a reference; NULL: none. Its headers go with the answer */
};

/* What all requests to one server share. */
struct http_exchange_config {
    struct budget *budget; /* parent */
    size_t memory_max;
    const struct http_metrics *metrics;
    struct str peer;
    struct web_rules *rules;
    const struct request_log *log;
};

/* Copies what it needs of head. path is cleaned and decoded, value what the route's "*" stands for.
 */
struct http_exchange *http_exchange_create(const struct http_exchange_config *config,
                                           const struct http1_head *head,
                                           const struct http_route *route, struct str path,
                                           struct str value);
/* On a pool's thread: parameters, handler, error, compression, head of the response. */
void http_exchange_run(struct http_exchange *exchange);
/* Instead of running it: the pool is full. Takes err. */
void http_exchange_refuse(struct http_exchange *exchange, struct error *err);
void http_exchange_free(struct http_exchange *exchange);

/* Writes the head of a response with a Content-Length; headers may be NULL. */
void http_write_head(struct buf *out, int status, struct str content_type, size_t content_length,
                     bool keep_alive, const struct http_header *headers, size_t header_count);
