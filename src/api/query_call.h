/* api/query_call.h: what a request needs while it asks stores: a context with deadline, budget,
 * tenant and warnings, an arena, and the group of streams that may stall together. */
#pragma once

#include "api/query_api.h"
#include "base/arena.h"
#include "base/error.h"
#include "net/http_server.h"

struct budget;
struct context;
struct metric;
struct metric_family;
struct stall_group;

struct query_api {
    struct query_api_config config;
    struct http_route *routes;
    char **patterns; /* of the routes, with the prefix */
    size_t route_count;
    struct metric *range_seconds;
    struct metric *waiting_seconds, *running, *running_max, *started;
    struct metric_family *select_seconds;
};

struct query_call {
    const struct query_api *api;
    struct http_request *req;
    struct context *ctx;
    struct budget *budget;
    struct arena *arena; /* for results */
    struct stall_group *streams;
};

/* The request's own timeout (has_timeout) can only shorten --query.timeout. ERROR_INVALID for a bad
 * tenant; the call must be ended all the same. */
MUST_CHECK struct error *query_call_begin(struct query_call *call, const struct query_api *api,
                                          struct http_request *req, bool has_timeout,
                                          int64_t timeout_ms);
void query_call_end(struct query_call *call);
/* The error of a store as the API gives it: a peer's time-out or refusal is not the request's own.
 */
struct error *query_call_error(struct query_call *call, struct error *err) MUST_CHECK;

/* Handlers: self is the struct query_api. */
struct error *handle_query(void *self, struct http_request *req, struct http_response *res);
struct error *handle_query_range(void *self, struct http_request *req, struct http_response *res);
struct error *handle_query_explain(void *self, struct http_request *req, struct http_response *res);
struct error *handle_range_explain(void *self, struct http_request *req, struct http_response *res);
struct error *handle_format_query(void *self, struct http_request *req, struct http_response *res);
struct error *handle_parse_query(void *self, struct http_request *req, struct http_response *res);
struct error *handle_series(void *self, struct http_request *req, struct http_response *res);
struct error *handle_label_names(void *self, struct http_request *req, struct http_response *res);
struct error *handle_label_values(void *self, struct http_request *req, struct http_response *res);
struct error *handle_stores(void *self, struct http_request *req, struct http_response *res);
struct error *handle_build_info(void *self, struct http_request *req, struct http_response *res);
struct error *handle_runtime_info(void *self, struct http_request *req, struct http_response *res);
struct error *handle_flags(void *self, struct http_request *req, struct http_response *res);
struct error *handle_rules(void *self, struct http_request *req, struct http_response *res);
struct error *handle_alerts(void *self, struct http_request *req, struct http_response *res);
struct error *handle_targets(void *self, struct http_request *req, struct http_response *res);
struct error *handle_metadata(void *self, struct http_request *req, struct http_response *res);
struct error *handle_exemplars(void *self, struct http_request *req, struct http_response *res);
struct error *handle_tsdb_status(void *self, struct http_request *req, struct http_response *res);
