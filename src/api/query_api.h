/* api/query_api.h: the HTTP API of `titan query`: /api/v1/query, query_range, series, labels,
 * label values, rules, targets and their kin, stores, status. Requests are read as Thanos reads
 * them and answered in its words; what Thanos serves and Titan does not know yet is answered with
 * 501. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "chunk/samples.h"
#include "peers/endpoint_status.h"
#include "peers/peers.h"
#include "store/str_list.h"

struct engine;
struct metrics;
struct pool;
struct query_api;
struct store;

struct api_flag { /* as it stands; secrets already taken out */
    struct str name, value;
};

struct api_build_info {
    struct str version, revision, branch, user, date, toolchain;
};

struct api_bounds {
    const double *items;
    size_t count;
};

/* Everything that it points to must outlive the API. */
struct query_api_config {
    struct engine *engine;
    struct store *store;
    struct pool *queries;  /* its size is --query.max-concurrent: requests wait in its queue */
    struct pool *metadata; /* series, labels, label values */
    struct pool *quick;    /* stores, status */

    int64_t query_timeout_ms;       /* --query.timeout; 0: none */
    int64_t lookback_ms;            /* --query.lookback-delta; 0: not set */
    bool dynamic_lookback;          /* --query.dynamic-lookback-delta */
    int64_t default_step_ms;        /* --query.default-step */
    int64_t instant_resolution_ms;  /* --query.instant.default.max_source_resolution */
    bool auto_downsampling;         /* --query.auto-downsampling */
    bool partial_response;          /* --query.partial-response */
    enum dedup dedup;               /* --deduplication.func: penalty or chain */
    struct str_list replica_labels; /* --query.replica-label */
    int64_t metadata_range_ms;      /* --query.metadata.default-time-range; 0: all time */
    size_t query_memory_max; /* bytes of one request, within the server's own limit; 0: that */
    struct str tenant_header, default_tenant; /* empty: Thanos's own */
    enum {
        TENANT_OF_HEADER,
        TENANT_OF_ORGANIZATION,
        TENANT_OF_ORGANIZATIONAL_UNIT,
        TENANT_OF_COMMON_NAME,
    } tenant_field;          /* --query.tenant-certificate-field */
    bool enforce_tenancy;    /* --query.enforce-tenancy: only the tenant's series */
    struct str tenant_label; /* --query.tenant-label-name */
    struct str engine_name;  /* --query.promql-engine; empty: prometheus */
    bool disable_cors;
    struct str route_prefix; /* "" or "/foo" */

    endpoint_statuses_fn endpoints; /* for /api/v1/stores; NULL: none are listed */
    void *endpoints_self;
    /* For rules, alerts, targets, metadata, exemplars, the TSDB status; NULL: nobody is asked. */
    peers_answer_fn peers;
    void *peers_self;
    /* Of each of these: answer with warnings when a peer fails. */
    bool rule_partial_response, target_partial_response, metadata_partial_response;
    bool exemplar_partial_response, status_partial_response;
    const struct api_flag *flags; /* sorted by name */
    size_t flag_count;
    struct api_build_info build;
    int64_t start_time_ms; /* of the process, since 1970 */
    struct metrics *metrics;
    /* Of thanos_store_api_query_duration_seconds: its buckets, and the classes of queries by their
     * series and samples; ascending. */
    struct api_bounds duration_bounds, series_bounds, sample_bounds;
};

struct query_api *query_api_create(const struct query_api_config *config);
void query_api_free(struct query_api *api); /* after the server that has its routes */

struct http_route;
/* For http_serve(); lives as long as the API. */
const struct http_route *query_api_routes(const struct query_api *api, size_t *count);
