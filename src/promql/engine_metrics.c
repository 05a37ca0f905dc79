#include "promql/engine_metrics.h"

#include <stdlib.h>

#include "base/compiler.h"
#include "base/memory.h"
#include "runtime/metrics.h"

enum slice { SLICE_INNER_EVAL, SLICE_PREPARE, SLICE_QUEUE, SLICE_SORT, SLICE_NUMBER };

struct engine_metrics {
    struct metric *queries, *samples; /* of the engine that is named prometheus */
    struct metric *durations[SLICE_NUMBER], *duration_buckets[SLICE_NUMBER];
    struct metric *thanos_queries, *thanos_total; /* of the one that is named thanos */
    struct metric *selects, *selects_total, *selects_waited;
};

static const char *const engine_labels[] = {"engine", "mode"};

static struct metric *gauge(struct metrics *metrics, const char *name, const char *help,
                            struct str engine)
{
    const struct str values[] = {engine, STR("local")};
    return metric_with(metrics_gauge_family(metrics, name, help, engine_labels, 2), values, 2);
}

static struct metric *counter(struct metrics *metrics, const char *name, const char *help,
                              struct str engine)
{
    const struct str values[] = {engine, STR("local")};
    return metric_with(metrics_counter_family(metrics, name, help, engine_labels, 2), values, 2);
}

static void register_durations(struct engine_metrics *self, struct metrics *metrics)
{
    static const double quantiles[] = {0.5, 0.9, 0.99}, bounds[] = {0.01, 0.1, 1, 10};
    static const char *const labels[] = {"engine", "mode", "slice"};
    static const struct str slices[SLICE_NUMBER] = {
        [SLICE_INNER_EVAL] = STR_INIT("inner_eval"),
        [SLICE_PREPARE] = STR_INIT("prepare_time"),
        [SLICE_QUEUE] = STR_INIT("queue_time"),
        [SLICE_SORT] = STR_INIT("result_sort"),
    };
    struct metric_family *quantile_family =
        metrics_summary_family(metrics, "prometheus_engine_query_duration_seconds", "Query timings",
                               quantiles, countof(quantiles), labels, countof(labels));
    struct metric_family *bucket_family =
        metrics_histogram_family(metrics, "prometheus_engine_query_duration_histogram_seconds",
                                 "The duration of various parts of PromQL query execution.", bounds,
                                 countof(bounds), labels, countof(labels));
    for (size_t i = 0; i < SLICE_NUMBER; i++) {
        const struct str values[] = {STR("prometheus"), STR("local"), slices[i]};
        self->durations[i] = metric_with(quantile_family, values, countof(values));
        self->duration_buckets[i] = metric_with(bucket_family, values, countof(values));
    }
}

static void register_selects(struct engine_metrics *self, struct metrics *metrics,
                             size_t selects_max)
{
    static const double waits[] = {0.01, 0.1, 0.3, 0.6, 1,   3,   6,   9,
                                   20,   30,  60,  90,  120, 240, 360, 720};
    self->selects_waited = metrics_histogram(
        metrics, "thanos_query_concurrent_selects_gate_selects_duration_seconds",
        "How many seconds it took for selects to wait at the gate.", waits, countof(waits));
    self->selects = metrics_gauge(metrics, "thanos_query_concurrent_selects_gate_selects_in_flight",
                                  "Number of selects that are currently in flight.");
    self->selects_total = metrics_counter(
        metrics, "thanos_query_concurrent_selects_gate_selects_total", "Total number of selects.");
    metric_set(metrics_gauge(metrics, "thanos_query_concurrent_selects_gate_selects_max",
                             "Maximum number of concurrent selects."),
               (double)selects_max);
}

struct engine_metrics *engine_metrics_create(struct metrics *metrics, size_t queries_max,
                                             size_t selects_max)
{
    if (!metrics)
        return NULL;
    const struct str prometheus = STR("prometheus"), thanos = STR("thanos");
    struct engine_metrics *self = xcalloc(1, sizeof(*self));
    self->queries = gauge(metrics, "prometheus_engine_queries",
                          "The current number of queries being executed or waiting.", prometheus);
    metric_set(gauge(metrics, "prometheus_engine_queries_concurrent_max",
                     "The max number of concurrent queries.", prometheus),
               (double)queries_max);
    self->samples = counter(metrics, "prometheus_engine_query_samples_total",
                            "The total number of samples loaded by all queries.", prometheus);
    (void)gauge(metrics, "prometheus_engine_query_log_enabled", "State of the query log.",
                prometheus);
    (void)counter(metrics, "prometheus_engine_query_log_failures_total",
                  "The number of query log failures.", prometheus);
    self->thanos_queries =
        gauge(metrics, "thanos_engine_queries",
              "The current number of queries being executed or waiting.", thanos);
    self->thanos_total =
        counter(metrics, "thanos_engine_queries_total", "Number of PromQL queries.", thanos);
    register_durations(self, metrics);
    register_selects(self, metrics, selects_max);
    return self;
}

void engine_metrics_free(struct engine_metrics *metrics)
{
    free(metrics);
}

void engine_metrics_begin(struct engine_metrics *metrics, const struct engine_query *query)
{
    if (!metrics)
        return;
    metric_add(query->is_thanos ? metrics->thanos_queries : metrics->queries, 1);
    if (query->is_thanos)
        metric_inc(metrics->thanos_total);
}

void engine_metrics_select(struct engine_metrics *metrics, size_t selects)
{
    if (!metrics)
        return;
    metric_add(metrics->selects, (double)selects);
    metric_add(metrics->selects_total, (double)selects);
    for (size_t i = 0; i < selects; i++)
        metric_observe(metrics->selects_waited, 0); /* all of them run at once */
}

void engine_metrics_selected(struct engine_metrics *metrics, size_t selects)
{
    if (metrics)
        metric_add(metrics->selects, -(double)selects);
}

static void observe(struct engine_metrics *metrics, enum slice slice, int64_t ns)
{
    metric_observe(metrics->durations[slice], (double)ns / 1e9);
    metric_observe(metrics->duration_buckets[slice], (double)ns / 1e9);
}

void engine_metrics_end(struct engine_metrics *metrics, const struct engine_query *query,
                        const struct engine_stats *stats)
{
    if (!metrics)
        return;
    metric_add(query->is_thanos ? metrics->thanos_queries : metrics->queries, -1);
    if (query->is_thanos)
        return;
    metric_add(metrics->samples, (double)stats->samples_total);
    observe(metrics, SLICE_QUEUE, query->queued_ns);
    observe(metrics, SLICE_PREPARE, stats->prepare_ns);
    observe(metrics, SLICE_INNER_EVAL, stats->eval_ns);
    if (!query->instant)
        observe(metrics, SLICE_SORT, stats->sort_ns);
}
