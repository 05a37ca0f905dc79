/* runtime/metrics.h: counters, gauges, histograms and summaries, exposed as Prometheus text and
 * OpenMetrics.
 *
 * A family is registered once and lives as long as the registry; a labelled child is looked up once
 * (metric_with) and then costs one atomic add. A NULL metric is allowed everywhere and does
 * nothing. Thread-safe. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

struct metrics; /* the registry */
struct metric;  /* one child: counter, gauge, histogram or summary */
struct metric_family;

struct metrics *metrics_create(void);
void metrics_free(struct metrics *metrics);

/* The same name twice gives the same family; with another type or other labels it is a bug and ends
 * the process. Names and texts are copied. */
struct metric_family *metrics_counter_family(struct metrics *metrics, const char *name,
                                             const char *help, const char *const *label_names,
                                             size_t label_count);
struct metric_family *metrics_gauge_family(struct metrics *metrics, const char *name,
                                           const char *help, const char *const *label_names,
                                           size_t label_count);
struct metric_family *metrics_histogram_family(struct metrics *metrics, const char *name,
                                               const char *help, const double *bounds,
                                               size_t bound_count, const char *const *label_names,
                                               size_t label_count);
/* Quantiles (ascending) of what was observed within ten minutes, of the last 1,000 at most; NaN
 * when there was nothing. For what happens some times a second: observing takes a lock. */
struct metric_family *metrics_summary_family(struct metrics *metrics, const char *name,
                                             const char *help, const double *quantiles,
                                             size_t quantile_count, const char *const *label_names,
                                             size_t label_count);
/* The child with these label values, made when new. A family has 10,000 children at most; beyond
 * them one shared child with every label "other" is given. */
struct metric *metric_with(struct metric_family *family, const struct str *values, size_t count);
/* Removes a child whose thing is gone; handles to it must not be used any more. */
void metric_remove(struct metric_family *family, const struct str *values, size_t count);

/* Families without labels. */
struct metric *metrics_counter(struct metrics *metrics, const char *name, const char *help);
struct metric *metrics_gauge(struct metrics *metrics, const char *name, const char *help);
struct metric *metrics_histogram(struct metrics *metrics, const char *name, const char *help,
                                 const double *bounds, size_t bound_count);

void metric_inc(struct metric *metric);
void metric_add(struct metric *metric, double value);
void metric_set(struct metric *metric, double value);
void metric_observe(struct metric *metric, double value);
double metric_value(struct metric *metric); /* of a counter or gauge */

/* Gauges and counters whose values are computed when asked: collect() calls metric_set() on what it
 * registered. It may run on several threads at once. */
void metrics_on_collect(struct metrics *metrics, void (*collect)(void *arg), void *arg);
/* Zeroed memory that goes with the registry, for what collect() needs. */
void *metrics_alloc(struct metrics *metrics, size_t size);
/* process_* (cpu seconds, resident memory, fds, start time, ...) and go_goroutines and its kin,
 * read from /proc at collection. */
void metrics_register_process(struct metrics *metrics);

/* Writes all of it; open_metrics chooses the format ("# EOF", _total, ...). */
void metrics_write(struct metrics *metrics, struct buf *out, bool open_metrics);
