/* /api/v1/format_query and /api/v1/parse_query, as Prometheus has them: nothing is evaluated. */
#include "api/api_response.h"
#include "api/ast_json.h"
#include "api/params.h"
#include "api/query_call.h"
#include "promql/engine.h"
#include "promql/parse.h"
#include "promql/pretty.h"

static struct error *parse(const struct query_api *api, const struct http_request *req,
                           struct expr **out)
{
    struct parse_options options = engine_parse_options(api->config.engine);
    struct error *err = promql_parse(param_get(req, "query"), &options, req->arena, out);
    if (error_kind(err) == ERROR_INVALID)
        err = error_wrap(err, "invalid parameter \"query\"");
    return err;
}

struct error *handle_format_query(void *self, struct http_request *req, struct http_response *res)
{
    struct expr *expr;
    struct error *err = parse(self, req, &expr);
    if (err)
        return err;
    struct buf text = BUF_INIT(res->body.budget);
    expr_print_pretty(&text, expr);
    err = buf_status(&text);
    if (!err) {
        struct json_writer json = api_begin(res);
        json_put_str(&json, buf_str(&text));
        api_end(res, &json, NULL);
    }
    buf_deinit(&text);
    return err;
}

struct error *handle_parse_query(void *self, struct http_request *req, struct http_response *res)
{
    struct expr *expr;
    struct error *err = parse(self, req, &expr);
    if (err)
        return err;
    struct json_writer json = api_begin(res);
    ast_write(&json, expr);
    api_end(res, &json, NULL);
    return NULL;
}
