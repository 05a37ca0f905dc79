#include "api/query_api.h"

#include <stdlib.h>

#include "api/api_response.h"
#include "api/query_call.h"
#include "base/memory.h"
#include "runtime/metrics.h"
#include "runtime/pool.h"

enum { FORM_MAX = 10 << 20 };

/* What every handler does around its own work. */
#define WITH_CORS(name, handler)                                                                   \
    static struct error *name(void *self, struct http_request *req, struct http_response *res)     \
    {                                                                                              \
        if (!((const struct query_api *)self)->config.disable_cors)                                \
            api_set_cors(res);                                                                     \
        return handler(self, req, res);                                                            \
    }

static struct error *options(void *self, struct http_request *req, struct http_response *res)
{
    res->status = 204;
    return NULL;
}

static struct error *redirect_to_graph(void *self, struct http_request *req,
                                       struct http_response *res)
{
    const struct query_api *api = self;
    struct str to = arena_printf(req->arena, "%.*s/graph", STR_ARG(api->config.route_prefix));
    res->status = 302;
    http_response_header(res, STR("Location"), to);
    return NULL;
}

static struct error *page(void *self, struct http_request *req, struct http_response *res)
{
    const struct query_api *api = self;
    res->status = 404;
    res->content_type = STR("text/plain; charset=utf-8");
    buf_printf(&res->body, "There is no web UI. The API is at %.*s/api/v1.\n",
               STR_ARG(api->config.route_prefix));
    return NULL;
}

WITH_CORS(route_query, handle_query)
WITH_CORS(route_query_range, handle_query_range)
WITH_CORS(route_query_explain, handle_query_explain)
WITH_CORS(route_range_explain, handle_range_explain)
WITH_CORS(route_format_query, handle_format_query)
WITH_CORS(route_parse_query, handle_parse_query)
WITH_CORS(route_series, handle_series)
WITH_CORS(route_label_names, handle_label_names)
WITH_CORS(route_label_values, handle_label_values)
WITH_CORS(route_stores, handle_stores)
WITH_CORS(route_build_info, handle_build_info)
WITH_CORS(route_runtime_info, handle_runtime_info)
WITH_CORS(route_flags, handle_flags)
WITH_CORS(route_rules, handle_rules)
WITH_CORS(route_alerts, handle_alerts)
WITH_CORS(route_targets, handle_targets)
WITH_CORS(route_metadata, handle_metadata)
WITH_CORS(route_exemplars, handle_exemplars)
WITH_CORS(route_tsdb_status, handle_tsdb_status)
WITH_CORS(route_options, options)

static void error_respond(void *self, struct http_request *req, struct http_response *res,
                          struct error *err)
{
    if (!((const struct query_api *)self)->config.disable_cors)
        api_set_cors(res);
    api_respond_error(res, err);
}

enum pool_choice { POOL_QUERIES, POOL_METADATA, POOL_QUICK };

static const struct {
    const char *methods, *path, *name;
    http_handler handler;
    enum pool_choice pool;
} endpoints[] = {
    {"GET,POST", "query", "query", route_query, POOL_QUERIES},
    {"GET,POST", "query_range", "query_range", route_query_range, POOL_QUERIES},
    {"GET,POST", "format_query", "format_query", route_format_query, POOL_METADATA},
    {"GET,POST", "parse_query", "parse_query", route_parse_query, POOL_METADATA},
    {"GET,POST", "series", "series", route_series, POOL_METADATA},
    {"GET,POST", "labels", "label_names", route_label_names, POOL_METADATA},
    {"GET", "label/*/values", "label_values", route_label_values, POOL_METADATA},
    {"GET", "stores", "stores", route_stores, POOL_QUICK},
    {"GET", "status/buildinfo", "status_build", route_build_info, POOL_QUICK},
    {"GET", "status/runtimeinfo", "status_runtime", route_runtime_info, POOL_QUICK},
    {"GET", "status/flags", "status_flags", route_flags, POOL_QUICK},
    {"GET", "status/tsdb", "status_tsdb", route_tsdb_status, POOL_METADATA},
    {"GET,POST", "query_explain", "query", route_query_explain, POOL_METADATA},
    {"GET,POST", "query_range_explain", "query", route_range_explain, POOL_METADATA},
    {"GET", "rules", "rules", route_rules, POOL_METADATA},
    {"GET", "alerts", "alerts", route_alerts, POOL_METADATA},
    {"GET", "targets", "targets", route_targets, POOL_METADATA},
    {"GET", "metadata", "metadata", route_metadata, POOL_METADATA},
    {"GET,POST", "query_exemplars", "exemplars", route_exemplars, POOL_METADATA},
    {"OPTIONS", "*", "options", route_options, POOL_QUICK},
};

static void register_metrics(struct query_api *api)
{
    static const double spans[] = {900,   1800,   3600,   7200,   14400,  28800,
                                   57600, 115200, 230400, 460800, 921600, 1843200};
    static const double waits[] = {0.01, 0.1, 0.3, 0.6, 1,   3,   6,   9,
                                   20,   30,  60,  90,  120, 240, 360, 720};
    struct metrics *metrics = api->config.metrics;
    if (!metrics)
        return;
    api->range_seconds = metrics_histogram(
        metrics, "thanos_query_range_requested_timespan_duration_seconds",
        "A histogram of the query range window in seconds.", spans, countof(spans));
    api->waiting_seconds = metrics_histogram(
        metrics, "thanos_query_concurrent_gate_queries_duration_seconds",
        "How many seconds it took for queries to wait at the gate.", waits, countof(waits));
    api->running = metrics_gauge(metrics, "thanos_query_concurrent_gate_queries_in_flight",
                                 "Number of queries that are currently in flight.");
    api->running_max = metrics_gauge(metrics, "thanos_query_concurrent_gate_queries_max",
                                     "Maximum number of concurrent queries.");
    api->started = metrics_counter(metrics, "thanos_query_concurrent_gate_queries_total",
                                   "Total number of queries that passed the gate.");
    static const char *const select_labels[] = {"series_le", "samples_le", "tenant"};
    api->select_seconds = metrics_histogram_family(
        metrics, "thanos_store_api_query_duration_seconds",
        "Duration of the Thanos Store API select phase for a query.",
        api->config.duration_bounds.items, api->config.duration_bounds.count, select_labels,
        countof(select_labels));
    if (api->config.queries)
        metric_set(api->running_max, (double)pool_threads(api->config.queries));
}

static struct pool *pool_of(const struct query_api_config *config, enum pool_choice choice)
{
    return choice == POOL_QUERIES    ? config->queries
           : choice == POOL_METADATA ? config->metadata
                                     : config->quick;
}

/* What Thanos's web UI lives on: with a prefix, the way to it; there is none here. */
static const struct {
    const char *pattern; /* "%s": the prefix */
    http_handler handler;
    bool needs_prefix;
} pages[] = {
    {"/", redirect_to_graph, true},
    {"%s", redirect_to_graph, true},
    {"%s/", page, false},
    {"%s/graph", page, false},
};

static void add_route(struct query_api *api, char *pattern, const struct http_route *route)
{
    size_t at = api->route_count++;
    api->patterns[at] = pattern;
    api->routes[at] = *route;
    api->routes[at].pattern = pattern;
    api->routes[at].self = api;
}

static char *pattern_of(const struct query_api_config *config, const char *folder, const char *path)
{
    struct buf text = {0};
    buf_printf(&text, "%.*s%s%s", STR_ARG(config->route_prefix), folder, path);
    char *pattern = str_dup(buf_str(&text));
    buf_deinit(&text);
    return pattern;
}

static void add_endpoints(struct query_api *api)
{
    for (size_t i = 0; i < countof(endpoints); i++) {
        const struct http_route route = {.methods = endpoints[i].methods,
                                         .handler = endpoints[i].handler,
                                         .pool = pool_of(&api->config, endpoints[i].pool),
                                         .body_max = FORM_MAX,
                                         .name = endpoints[i].name,
                                         .is_api = true,
                                         .error_respond = error_respond};
        add_route(api, pattern_of(&api->config, "/api/v1/", endpoints[i].path), &route);
    }
}

static void add_pages(struct query_api *api)
{
    bool has_prefix = api->config.route_prefix.len > 0;
    for (size_t i = 0; i < countof(pages); i++) {
        bool is_prefixed = strncmp(pages[i].pattern, "%s", 2) == 0;
        const char *path = pages[i].pattern + (is_prefixed ? 2 : 0);
        const struct http_route route = {.methods = "GET",
                                         .handler = pages[i].handler,
                                         .pool = api->config.quick,
                                         .name = "react-static"};
        if (has_prefix || !pages[i].needs_prefix)
            add_route(api, is_prefixed ? pattern_of(&api->config, "", path) : xstrdup(path),
                      &route);
    }
}

struct query_api *query_api_create(const struct query_api_config *config)
{
    struct query_api *api = xcalloc(1, sizeof(*api));
    api->config = *config;
    api->routes = xcalloc(countof(endpoints) + countof(pages), sizeof(*api->routes));
    api->patterns = xcalloc(countof(endpoints) + countof(pages), sizeof(*api->patterns));
    add_endpoints(api);
    add_pages(api);
    register_metrics(api);
    return api;
}

void query_api_free(struct query_api *api)
{
    if (!api)
        return;
    for (size_t i = 0; i < api->route_count; i++)
        free(api->patterns[i]);
    free(api->patterns);
    free(api->routes);
    free(api);
}

const struct http_route *query_api_routes(const struct query_api *api, size_t *count)
{
    *count = api->route_count;
    return api->routes;
}
