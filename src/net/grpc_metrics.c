#include "net/grpc_metrics.h"

#include "base/compiler.h"
#include "runtime/metrics.h"

struct grpc_metrics {
    struct str labels[3]; /* type, service, method */
    struct metric *started, *received, *sent, *seconds;
    struct metric_family *handled;
};

static const char *const label_names[] = {"grpc_type", "grpc_service", "grpc_method", "grpc_code"};

static struct metric *method_counter(struct metrics *registry, const struct grpc_metrics *metrics,
                                     const char *name, const char *help)
{
    return metric_with(metrics_counter_family(registry, name, help, label_names, 3),
                       metrics->labels, 3);
}

struct grpc_metrics *grpc_metrics_register(struct metrics *registry,
                                           const struct grpc_method *method)
{
    static const double bounds[] = {0.001, 0.01, 0.1, 0.3, 0.6, 1,   3,   6,  9,
                                    20,    30,   60,  90,  120, 240, 360, 720};
    static const char *const types[] = {[GRPC_UNARY] = "unary",
                                        [GRPC_SERVER_STREAM] = "server_stream",
                                        [GRPC_BIDI_EXCHANGE] = "bidi_stream"};
    struct str service, name;
    if (!registry)
        return NULL;
    struct grpc_metrics *metrics = metrics_alloc(registry, sizeof(*metrics));
    str_cut(str_from(method->path + 1), '/', &service, &name);
    metrics->labels[0] = str_from(types[method->kind]);
    metrics->labels[1] = service;
    metrics->labels[2] = name;
    metrics->started = method_counter(registry, metrics, "grpc_server_started_total",
                                      "Total number of RPCs started on the server.");
    metrics->received =
        method_counter(registry, metrics, "grpc_server_msg_received_total",
                       "Total number of RPC stream messages received on the server.");
    metrics->sent = method_counter(registry, metrics, "grpc_server_msg_sent_total",
                                   "Total number of gRPC stream messages sent by the server.");
    metrics->handled = metrics_counter_family(
        registry, "grpc_server_handled_total",
        "Total number of RPCs completed on the server, regardless of success or failure.",
        label_names, 4);
    struct metric_family *seconds =
        metrics_histogram_family(registry, "grpc_server_handling_seconds",
                                 "Histogram of response latency (seconds) of gRPC that had been "
                                 "application-level handled by the server.",
                                 bounds, countof(bounds), label_names, 3);
    metrics->seconds = metric_with(seconds, metrics->labels, 3);
    return metrics;
}

void grpc_metrics_started(struct grpc_metrics *metrics)
{
    if (metrics)
        metric_inc(metrics->started);
}

void grpc_metrics_received(struct grpc_metrics *metrics)
{
    if (metrics)
        metric_inc(metrics->received);
}

void grpc_metrics_sent(struct grpc_metrics *metrics)
{
    if (metrics)
        metric_inc(metrics->sent);
}

void grpc_metrics_handled(struct grpc_metrics *metrics, enum grpc_code code, double seconds)
{
    if (!metrics)
        return;
    struct str values[] = {metrics->labels[0], metrics->labels[1], metrics->labels[2],
                           str_from(grpc_code_name(code))};
    metric_inc(metric_with(metrics->handled, values, countof(values)));
    metric_observe(metrics->seconds, seconds);
}
