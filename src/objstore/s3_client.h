/* objstore/s3_client.h: one request to S3 after another: where it goes, its signature, trying
 * again. Thread-safe. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "net/http_client.h"
#include "objstore/s3_config.h"
#include "objstore/s3_sign.h"

struct context;
struct event_loops;
struct log;
struct s3_client;

/* Copies nothing: config and its arena must outlive the client. */
MUST_CHECK struct error *s3_client_create(const struct s3_config *config, struct event_loops *loops,
                                          struct log *log, struct s3_client **out);
void s3_client_free(struct s3_client *client); /* NULL is fine */

/* A request for an object; key empty: for the bucket. */
struct s3_request s3_client_request(struct s3_client *client, struct arena *arena,
                                    const char *method, struct str key);
/* Headers of server-side encryption: for writes, and (SSE-C) for reads and parts. */
MUST_CHECK struct error *s3_client_encrypt(struct s3_client *client, struct s3_request *request,
                                           bool is_write);

/* Signs a copy of the request and starts it. */
MUST_CHECK struct error *s3_client_start(struct s3_client *client, struct context *ctx,
                                         const struct s3_request *request,
                                         struct http_stream **out);

struct s3_answer { /* texts in the request's arena */
    int status;
    struct buf body; /* the caller's */
    struct str etag, length, modified;
};

/* The whole of it: tries again, with growing pauses, while that may help. Any status is an answer;
 * those that stand for errors are made one by s3_error(). The body is bounded by response_max. */
MUST_CHECK struct error *s3_client_call(struct s3_client *client, struct context *ctx,
                                        const struct s3_request *request, size_t response_max,
                                        struct s3_answer *answer);
/* Waits before try number `attempt` (from 1); false when there may be none. */
bool s3_client_pause(struct s3_client *client, struct context *ctx, int attempt);
