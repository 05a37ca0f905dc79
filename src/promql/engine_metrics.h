/* promql/engine_metrics.h: what the engine tells of its queries, under the names of Prometheus's
 * and Thanos's engines. Thread-safe. */
#pragma once

#include "promql/engine.h"

struct engine_metrics;
struct metrics;

/* metrics may be NULL. Handles belong to the registry. */
struct engine_metrics *engine_metrics_create(struct metrics *metrics, size_t queries_max,
                                             size_t selects_max);
void engine_metrics_free(struct engine_metrics *metrics); /* NULL is fine */

/* Around a query. */
void engine_metrics_begin(struct engine_metrics *metrics, const struct engine_query *query);
void engine_metrics_end(struct engine_metrics *metrics, const struct engine_query *query,
                        const struct engine_stats *stats);
/* Around its selects. */
void engine_metrics_select(struct engine_metrics *metrics, size_t selects);
void engine_metrics_selected(struct engine_metrics *metrics, size_t selects);
