#include "api_fixture.h"

#include "codec/url.h"
#include "net/http_route.h"
#include "promql/engine.h"
#include "runtime/context.h"
#include "runtime/time.h"
#include "support/test.h"

void api_fixture_init(struct api_fixture *fixture)
{
    *fixture = (struct api_fixture){.store = memory_store_create()};
    memory_store_info(fixture->store)->drops_labels = true;
    memory_store_info(fixture->store)->shards = true;
    fixture->engine = engine_create(&(struct engine_config){0});
    fixture->budget = budget_create(NULL, "request", 64 << 20);
    fixture->config = (struct query_api_config){
        .engine = fixture->engine,
        .store = memory_store_base(fixture->store),
        .query_timeout_ms = 60000,
        .dynamic_lookback = true,
        .default_step_ms = 1000,
        .partial_response = true,
        .dedup = DEDUP_PENALTY,
    };
}

void api_fixture_deinit(struct api_fixture *fixture)
{
    query_api_free(fixture->api);
    engine_free(fixture->engine);
    store_free(memory_store_base(fixture->store));
    CHECK_EQ(budget_used(fixture->budget), 0);
    budget_free(fixture->budget);
    buf_deinit(&fixture->answer);
}

static void add_params(struct http_request *req, struct str form)
{
    struct url_param *params = NULL;
    size_t count = 0;
    struct error *err = url_parse_form(req->arena, form, &params, &count);
    struct http_param *all = arena_array(req->arena, req->param_count + count, sizeof(*all));
    if (req->param_count)
        memcpy(all, req->params, req->param_count * sizeof(*all));
    for (size_t i = 0; i < count; i++)
        all[req->param_count++] = (struct http_param){params[i].name, params[i].value};
    req->params = all;
    if (err)
        req->params_error = arena_str(req->arena, error_text(err));
    error_free(err);
}

static void run(struct api_fixture *fixture, struct http_request *req)
{
    struct http_response res = {.status = 200, .body = BUF_INIT(fixture->budget)};
    const struct http_route *route = NULL;
    size_t count;
    const struct http_route *routes = query_api_routes(fixture->api, &count);
    buf_clear(&fixture->answer);
    enum route_result found =
        http_route_find(routes, count, req->method, req->path, &route, &req->path_value);
    if (found != ROUTE_FOUND) {
        buf_append_cstr(&fixture->answer, found == ROUTE_NOT_FOUND ? "404 " : "405 ");
        return;
    }
    struct error *err = route->handler(route->self, req, &res);
    if (!err)
        err = buf_status(&res.body);
    if (err) {
        buf_deinit(&res.body);
        res.header_count = 0;
        route->error_respond(route->self, req, &res, err);
    }
    buf_printf(&fixture->answer, "%d %.*s", res.status, STR_ARG(buf_str(&res.body)));
    fixture->no_store = fixture->cors = false;
    for (size_t i = 0; i < res.header_count; i++) {
        fixture->no_store |= str_equal(res.headers[i].name, STR("Cache-Control"));
        fixture->cors |= str_equal(res.headers[i].name, STR("Access-Control-Allow-Origin"));
    }
    buf_deinit(&res.body);
}

struct str api_request(struct api_fixture *fixture, const char *method, const char *target,
                       const char *form)
{
    struct http_request req = {.arena = arena_create(fixture->budget),
                               .ctx = context_create(NULL, CONTEXT_NO_DEADLINE),
                               .method = str_from(method),
                               .received_ns = time_now_monotonic_ns()};
    if (!fixture->api)
        fixture->api = query_api_create(&fixture->config);
    context_set_budget(req.ctx, fixture->budget);
    struct str path;
    str_cut(str_from(target), '?', &path, &req.query);
    CHECK_OK(url_decode_path(req.arena, path, &req.path));
    if (form)
        add_params(&req, str_from(form));
    add_params(&req, req.query);
    run(fixture, &req);
    context_unref(req.ctx);
    arena_unref(req.arena);
    return buf_str(&fixture->answer);
}

struct str api_get(struct api_fixture *fixture, const char *target)
{
    return api_request(fixture, "GET", target, NULL);
}
