/* api/query_service.h: serves thanos.Query: PromQL over gRPC, for queriers in distributed mode. */
#pragma once

#include "api/query_api.h"
#include "net/grpc_server.h"

enum { QUERY_SERVICE_METHODS = 2 };

struct query_service;

/* Adds the methods to a server's table: out[QUERY_SERVICE_METHODS]. They run on config's pool of
 * queries; what config points to must outlive the service.
 *
 * The text of a request is evaluated, its plan is not read: they say the same. First comes one
 * frame with all warnings, then the series, of scalars one without labels, at last the statistics.
 * A query that fails is ABORTED or, an instant one with partial response, a warning. */
struct query_service *query_service_create(const struct query_api_config *config,
                                           struct grpc_method *out);
void query_service_free(struct query_service *service); /* after the server */
