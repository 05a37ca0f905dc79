/* api/query_params.h: all parameters of /query and /query_range, checked in Thanos's order. */
#pragma once

#include "api/query_api.h"
#include "base/error.h"
#include "net/http_server.h"
#include "promql/engine.h"

struct query_params {
    struct engine_query query;
    bool has_timeout;
    int64_t timeout_ms; /* may be 0 or negative: it is over at once */
    bool shows_stats, stats_per_step, wants_analysis;
    size_t limit; /* of series in the answer, 0: none */
};

/* Strings and lists live in the request. ERROR_INVALID. */
MUST_CHECK struct error *query_params_instant(const struct query_api_config *config,
                                              const struct http_request *req, int64_t now_ms,
                                              struct query_params *out);
MUST_CHECK struct error *query_params_range(const struct query_api_config *config,
                                            const struct http_request *req,
                                            struct query_params *out);

/* Which stores are asked, and whether one that fails is a warning; also for series and labels. */
MUST_CHECK struct error *query_params_partial(const struct query_api_config *config,
                                              const struct http_request *req,
                                              enum partial_response *out);
/* The labels that tell replicas apart, empty when they are not to be joined. */
MUST_CHECK struct error *query_params_replicas(const struct query_api_config *config,
                                               const struct http_request *req,
                                               struct str_list *out);
/* Whether the request is for Thanos's engine, which is the same one. */
MUST_CHECK struct error *query_params_engine(const struct query_api_config *config,
                                             const struct http_request *req, bool *is_thanos);
/* Of the header, or of the client's certificate. ERROR_INVALID "tenant name not valid", or that the
 * certificate does not tell. */
MUST_CHECK struct error *query_params_tenant(const struct query_api_config *config,
                                             const struct http_request *req, struct str *out);
/* How far an instant selector looks back in data of that resolution; 0: as the engine does. */
int64_t query_params_lookback(const struct query_api_config *config, int64_t resolution_ms);
