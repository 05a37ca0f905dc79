#include "net/http_metrics.h"

#include "base/compiler.h"
#include "net/http_exchange.h"
#include "runtime/metrics.h"
#include "runtime/time.h"

struct http_metrics {
    struct metric_family *requests, *durations, *request_sizes, *response_sizes, *inflight;
    struct str tenant_header, default_tenant;
};

static const double duration_bounds[] = {0.001, 0.01, 0.1, 0.3, 0.6, 1,   3,   6,  9,
                                         20,    30,   60,  90,  120, 240, 360, 720};
static const double size_bounds[] = {64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768};

const struct http_metrics *http_metrics_register(struct metrics *registry, struct str tenant_header,
                                                 struct str default_tenant)
{
    static const char *const labels[] = {"code", "handler", "method", "tenant"};
    static const char *const inflight_labels[] = {"handler", "method", "tenant"};
    if (!registry)
        return NULL;
    size_t count = tenant_header.len ? 4 : 3;
    struct http_metrics *metrics = metrics_alloc(registry, sizeof(*metrics));
    metrics->tenant_header = tenant_header;
    metrics->default_tenant = default_tenant;
    metrics->requests = metrics_counter_family(
        registry, "http_requests_total", "Tracks the number of HTTP requests.", labels, count);
    metrics->durations = metrics_histogram_family(
        registry, "http_request_duration_seconds", "Tracks the latencies for HTTP requests.",
        duration_bounds, countof(duration_bounds), labels, count);
    metrics->request_sizes = metrics_histogram_family(
        registry, "http_request_size_bytes", "Tracks the size of HTTP requests.", size_bounds,
        countof(size_bounds), labels, count);
    metrics->response_sizes = metrics_histogram_family(
        registry, "http_response_size_bytes", "Tracks the size of HTTP responses.", size_bounds,
        countof(size_bounds), labels, count);
    metrics->inflight =
        metrics_gauge_family(registry, "http_inflight_requests",
                             "Current number of HTTP requests the handler is responding to.",
                             inflight_labels, count - 1);
    return metrics;
}

/* Lower-case names of the methods that servers know; others are one. */
static struct str method_label(struct str method)
{
    static const char *const known[][2] = {{"GET", "get"},   {"POST", "post"},
                                           {"HEAD", "head"}, {"OPTIONS", "options"},
                                           {"PUT", "put"},   {"DELETE", "delete"}};
    for (size_t i = 0; i < countof(known); i++)
        if (str_equal(method, str_from(known[i][0])))
            return str_from(known[i][1]);
    return STR("unknown");
}

static struct str tenant_label(const struct http_exchange *exchange)
{
    const struct http_metrics *metrics = exchange->metrics;
    if (metrics->tenant_header.len == 0)
        return STR("");
    struct str tenant = http_request_header(&exchange->req, metrics->tenant_header);
    return tenant.len ? tenant : metrics->default_tenant;
}

static struct metric *inflight_of(const struct http_exchange *exchange)
{
    const struct http_metrics *metrics = exchange->metrics;
    struct str values[] = {str_from(exchange->route->name), method_label(exchange->req.method),
                           tenant_label(exchange)};
    return metric_with(metrics->inflight, values, metrics->tenant_header.len ? 3 : 2);
}

static bool is_measured(const struct http_exchange *exchange)
{
    return exchange->metrics && exchange->route->name;
}

void http_metrics_begin(const struct http_exchange *exchange)
{
    if (is_measured(exchange))
        metric_add(inflight_of(exchange), 1);
}

void http_metrics_end(const struct http_exchange *exchange)
{
    const struct http_metrics *metrics = exchange->metrics;
    char code[12];
    if (!is_measured(exchange))
        return;
    struct buf digits = {.data = code, .cap = sizeof(code)};
    buf_append_uint64(&digits, (uint64_t)exchange->res.status);
    struct str values[] = {buf_str(&digits), str_from(exchange->route->name),
                           method_label(exchange->req.method), tenant_label(exchange)};
    size_t count = metrics->tenant_header.len ? 4 : 3;
    metric_add(inflight_of(exchange), -1);
    metric_inc(metric_with(metrics->requests, values, count));
    metric_observe(metric_with(metrics->durations, values, count),
                   (double)(time_now_monotonic_ns() - exchange->start_ns) / 1e9);
    metric_observe(metric_with(metrics->request_sizes, values, count), (double)exchange->body.len);
    metric_observe(metric_with(metrics->response_sizes, values, count),
                   (double)exchange->res.body.len);
}
