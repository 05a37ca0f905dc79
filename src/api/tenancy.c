#include "api/tenancy.h"

#include "api/query_params.h"
#include "promql/enforce.h"
#include "promql/engine.h"
#include "promql/parse.h"
#include "promql/print.h"

struct error *tenancy_enforce_query(const struct query_api_config *config,
                                    const struct http_request *req, struct engine_query *query)
{
    struct str tenant;
    struct expr *expr;
    if (!config->enforce_tenancy)
        return NULL;
    struct error *err = query_params_tenant(config, req, &tenant);
    if (err)
        return err;
    struct parse_options options = engine_parse_options(config->engine);
    err = promql_parse(query->text, &options, req->arena, &expr);
    if (err) /* in Thanos's words */
        return error_wrap(err, "error parsing query string, when enforcing tenenacy");
    err = expr_enforce(expr, config->tenant_label, tenant, req->arena);
    if (err)
        return err;
    struct buf text = BUF_INIT(arena_budget(req->arena));
    expr_print(&text, expr);
    err = buf_status(&text);
    if (!err)
        query->text = arena_str(req->arena, buf_str(&text));
    buf_deinit(&text);
    return err;
}

struct error *tenancy_enforce_matches(const struct query_api_config *config,
                                      const struct http_request *req, struct store_match **matches,
                                      size_t *count)
{
    static const struct store_match all;
    struct str tenant;
    if (!config->enforce_tenancy)
        return NULL;
    struct error *err = query_params_tenant(config, req, &tenant);
    size_t total = size_max(*count, 1);
    struct store_match *restricted = arena_array(req->arena, total, sizeof(*restricted));
    for (size_t i = 0; i < total && !err; i++) {
        const struct store_match *from = *count ? &(*matches)[i] : &all;
        struct matcher *list = NULL;
        err = matchers_enforce(from->matchers, from->matcher_count, config->tenant_label, tenant,
                               req->arena, &list, &restricted[i].matcher_count);
        restricted[i].matchers = list;
    }
    *matches = restricted;
    *count = total;
    return err;
}
