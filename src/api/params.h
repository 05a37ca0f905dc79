/* api/params.h: single parameters of requests, as Thanos reads them. An empty value counts as
 * absent. All errors are ERROR_INVALID with Thanos's text. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "net/http_server.h"
#include "store/store.h"

struct parse_options;

/* "All time" as Thanos sends it. */
#define PARAM_TIME_MIN_MS INT64_C(-9223309901257974000)
#define PARAM_TIME_MAX_MS INT64_C(9223309901257974999)

/* First value; empty when absent. */
struct str param_get(const struct http_request *req, const char *name);

/* Seconds with a fraction (rounded to milliseconds), or RFC 3339. */
MUST_CHECK struct error *param_parse_time(struct str text, int64_t *ms);
/* Seconds with a fraction and a sign, or Prometheus's units. */
MUST_CHECK struct error *param_parse_duration(struct str text, int64_t *ns);

/* Go's words for true and false; false for others. */
bool param_parse_bool(struct str text, bool *out);

/* These leave *out as it is when the parameter is absent. */
MUST_CHECK struct error *param_time(const struct http_request *req, const char *name, int64_t *ms);
MUST_CHECK struct error *param_bool(const struct http_request *req, const char *name, bool *out);
/* Errors begin with "'name' parameter: ". */
MUST_CHECK struct error *param_duration(const struct http_request *req, const char *name,
                                        int64_t *ns);
MUST_CHECK struct error *param_limit(const struct http_request *req, size_t *out); /* 0: none */

/* One parsed selector of match[] or storeMatch[]; a list of them in the request's arena. options:
 * of the parser, NULL is none. */
MUST_CHECK struct error *param_selectors(const struct http_request *req, const char *name,
                                         const struct parse_options *options,
                                         struct store_match **out, size_t *count);
/* The values of a repeated parameter, sorted and unique; false when it is absent. */
bool param_list(const struct http_request *req, const char *name, struct str_list *out);
/* {"shard_index":1,"total_shards":2,"by":true,"labels":["a"]} */
MUST_CHECK struct error *param_shard(const struct http_request *req, struct shard *out);
