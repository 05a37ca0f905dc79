/* prometheus/remote_read.h: a select by Prometheus's remote read (POST /api/v1/read). */
#pragma once

#include "base/error.h"
#include "model/labels.h"
#include "model/matcher.h"
#include "store/series_set.h"

struct context;
struct metric;
struct prometheus_client;

struct remote_read_query {
    const struct matcher *matchers;
    size_t matcher_count;
    int64_t min_time, max_time; /* inclusive, milliseconds */
    /* Labels that Prometheus adds to every series; they are left out of the answer. */
    struct labels external;
    struct metric *frames; /* observes the number of frames of an answer; may be NULL */
};

/* Only starts the call; query must live until this returns, the client until the set is freed. The
 * set is ready when a series has come whole. Series come as Prometheus sends them: in its order,
 * one series perhaps in several parts (series_join.h); from an old Prometheus, which sends samples
 * instead of chunks, sorted and in chunks of at most 120 samples.
 *
 * Errors of the set: "query Prometheus: request failed with code 500 ...; msg ..." by the status;
 * ERROR_CORRUPT for frames that are cut, too long, of a wrong checksum or unsorted labels;
 * ERROR_LIMIT over the context's budget, which all memory is charged to. */
MUST_CHECK struct error *remote_read_start(struct prometheus_client *client, struct context *ctx,
                                           const struct remote_read_query *query,
                                           struct series_set **out);
