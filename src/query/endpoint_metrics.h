/* query/endpoint_metrics.h: thanos_store_nodes_grpc_connections. One thread at a time. */
#pragma once

#include "peers/endpoint_status.h"

struct buf;
struct endpoint_metrics;
struct metrics;

/* Its label sets as Thanos writes them: {a="1"},{a="2"}, sorted; nothing for none. */
void endpoint_labels_text(struct buf *out, const struct endpoint_status *endpoint);

/* `labels` as in endpoint_set_config; metrics may be NULL. */
struct endpoint_metrics *endpoint_metrics_create(struct metrics *metrics, unsigned labels);
void endpoint_metrics_free(struct endpoint_metrics *metrics);
/* Sets the gauge to the number of these endpoints for each combination of labels. */
void endpoint_metrics_set(struct endpoint_metrics *metrics, const struct endpoint_status *endpoints,
                          size_t count);
