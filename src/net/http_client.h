/* net/http_client.h: HTTP requests to others; libcurl on the event loops. Blocking calls for
 * straight-line code, and a streamed body that is read piece by piece with back pressure: a reader
 * that stops, stops the socket. Thread-safe. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "net/http_client_config.h"
#include "net/http_server.h" /* struct http_header */

struct context;
struct event_loops;
struct http_client;
struct http_stream;

struct http_client_request {
    struct str method; /* "GET", "HEAD", "POST", "PUT", "DELETE" */
    struct str url;
    const struct http_header *headers;
    size_t header_count;
    struct bytes body;          /* of POST and PUT; copied */
    size_t response_max;        /* http_fetch: a longer body is ERROR_LIMIT; 0: 16 MiB */
    int64_t connect_timeout_ms; /* 0: 5 s */
    bool without_authorization; /* that of the client's configuration is left out */
};

/* connections_max to one host; user_agent as in "Thanos/0.42.5". */
struct http_client *http_client_create(struct event_loops *loops, struct str user_agent,
                                       size_t connections_max);
/* The same with authentication, TLS, a proxy and limits of a configuration, which is referred to.
 * Of OAuth2, the first request and those after the end of a token wait for a new one. */
struct http_client *http_client_create_with(struct event_loops *loops, struct str user_agent,
                                            size_t connections_max,
                                            const struct http_client_config *config);
void http_client_free(struct http_client *client); /* nothing under way may be left */

/* The whole answer: body appended to `body`, status in *status (also 4xx and 5xx: not an error
 * here). Fails with ERROR_UNAVAILABLE (no connection, broken off), ERROR_LIMIT, or the context's
 * error. */
MUST_CHECK struct error *http_fetch(struct http_client *client, struct context *ctx,
                                    const struct http_client_request *request, int *status,
                                    struct buf *body);

/* Only starts a request. Before anything else is asked of the stream, http_stream_wait() or, with
 * true, http_stream_ready(). */
MUST_CHECK struct error *http_stream_start(struct http_client *client, struct context *ctx,
                                           const struct http_client_request *request,
                                           struct http_stream **out);
/* Waits for status and headers; fails when there come none. */
MUST_CHECK struct error *http_stream_wait(struct http_stream *stream, struct context *ctx);
/* Both; the stream is freed when it fails. */
MUST_CHECK struct error *http_stream_open(struct http_client *client, struct context *ctx,
                                          const struct http_client_request *request,
                                          struct http_stream **out);
int http_stream_status(const struct http_stream *stream);
struct str http_stream_header(const struct http_stream *stream,
                              struct str name); /* empty when absent */
/* Reads up to `size` bytes, at least one; *got 0 is the end. */
MUST_CHECK struct error *http_stream_read(struct http_stream *stream, struct context *ctx,
                                          void *into, size_t size, size_t *got);
/* True when a read would not wait; else wake(arg) is called once, later, from a loop's thread. */
bool http_stream_ready(struct http_stream *stream, void (*wake)(void *arg), void *arg);
void http_stream_free(
    struct http_stream *stream); /* also before the end: the transfer is cut off */
