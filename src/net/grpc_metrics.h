/* net/grpc_metrics.h: the grpc_server_* families of the gRPC ecosystem's middleware. Private to
 * net/. */
#pragma once

#include "net/grpc_server.h"

struct grpc_metrics; /* of one method */

/* All handles of one method; lives as long as the registry. NULL registry gives NULL, which all
 * calls here take. */
struct grpc_metrics *grpc_metrics_register(struct metrics *registry,
                                           const struct grpc_method *method);
void grpc_metrics_started(struct grpc_metrics *metrics);
void grpc_metrics_received(struct grpc_metrics *metrics);
void grpc_metrics_sent(struct grpc_metrics *metrics);
void grpc_metrics_handled(struct grpc_metrics *metrics, enum grpc_code code, double seconds);
