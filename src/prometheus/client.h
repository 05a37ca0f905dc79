/* prometheus/client.h: questions to one Prometheus by its HTTP API. Thread-safe. Every call blocks
 * until it is answered or its context ends. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "model/labels.h"
#include "model/matcher.h"

struct context;
struct http_client;
struct http_client_request;
struct prometheus_client;

/* The path of base_url goes in front of every call's path, its query is kept. The HTTP client must
 * outlive it. ERROR_INVALID for what is no http(s) URL. */
MUST_CHECK struct error *prometheus_client_create(struct http_client *http, struct str base_url,
                                                  struct prometheus_client **out);
void prometheus_client_free(struct prometheus_client *client); /* NULL is fine */
struct http_client *prometheus_client_http(struct prometheus_client *client);

/* Appends the URL of a path ("/api/v1/read") with more parameters ("a=b&c=d", may be empty). */
void prometheus_url(const struct prometheus_client *client, struct str path, struct str params,
                    struct buf *out);

/* The `data` of an answer to GET, as JSON text. */
struct prometheus_answer {
    struct buf body;
    struct str data; /* a view of body; empty for an answer without content */
};

/* Fails with INVALID for status 400, NOT_FOUND for 404, UNAVAILABLE for 503 and 429, else INTERNAL:
 * "expected 2xx response, got 500. Body: ..."; or with what the answer itself gives as its error.
 * The body is charged to the context's budget. The answer must be freed in any case. */
MUST_CHECK struct error *prometheus_ask(struct prometheus_client *client, struct context *ctx,
                                        struct str path, struct str params,
                                        struct prometheus_answer *out);
void prometheus_answer_deinit(struct prometheus_answer *answer);
/* The kind that stands for a status which is not 2xx. */
enum error_kind prometheus_error_kind(int status);

/* Version of a running Prometheus; "0" when it is too old to tell. In the arena. */
MUST_CHECK struct error *prometheus_build_version(struct prometheus_client *client,
                                                  struct context *ctx, struct arena *arena,
                                                  struct str *out);
/* global.external_labels of its configuration. In the arena. */
MUST_CHECK struct error *prometheus_external_labels(struct prometheus_client *client,
                                                    struct context *ctx, struct arena *arena,
                                                    struct labels *out);

struct prometheus_flags {
    bool known; /* false: too old to tell, all else is empty */
    struct str tsdb_path, delay_compact_file;
    int64_t min_block_ms, max_block_ms;
};
MUST_CHECK struct error *prometheus_flags(struct prometheus_client *client, struct context *ctx,
                                          struct arena *arena, struct prometheus_flags *out);

/* Time of its oldest sample in milliseconds, from its metrics; INT64_MIN while it has none, 0 when
 * it does not say. */
MUST_CHECK struct error *prometheus_lowest_timestamp(struct prometheus_client *client,
                                                     struct context *ctx, int64_t *out);
/* The same from the text of its metrics. */
int64_t prometheus_lowest_timestamp_from(struct str metrics);

/* Parameters of the calls below: matchers as one match[], times, limit (0: none). */
void prometheus_params(struct buf *out, const struct matcher *matchers, size_t count,
                       int64_t min_time, int64_t max_time, size_t limit);
/* "/api/v1/label/<name>/values"; names that are not plain are escaped as Prometheus 3 reads them.
 */
void prometheus_label_path(struct buf *out, struct str name);
