/* api/api_response.h: the envelope around every answer of the API:
 *
 *     {"status":"success","data":...,"warnings":["..."]}
 *     {"status":"error","errorType":"bad_data","error":"..."} */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "codec/json.h"
#include "net/http_server.h"
#include "store/str_list.h"

struct context;

/* Everything a browser on another page needs to be allowed. */
void api_set_cors(struct http_response *res);

/* Begins a success; then write the value of "data" and end it. Label sets are written with
 * JSON_PLAIN, all else as the writer is. */
struct json_writer api_begin(struct http_response *res);
/* ctx's warnings go behind the data (NULL: there are none); answers that are not whole are not to
 * be cached. */
void api_end(struct http_response *res, struct json_writer *json, struct context *ctx);
/* The same with what a query has to say, as Prometheus shows it: at most ten texts of each list,
 * and how many more there are. Infos have a list of their own. */
void api_end_query(struct http_response *res, struct json_writer *json, struct context *ctx,
                   const struct str_list *warnings, const struct str_list *infos);

/* Replaces whatever is in the response. */
void api_respond_failure(struct http_response *res, int status, const char *type, struct str text);
/* Type and status by the kind. Frees err. */
void api_respond_error(struct http_response *res, struct error *err);
