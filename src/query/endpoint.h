/* query/endpoint.h: one endpoint of a query: its store and what its last checks told.
 * Reference-counted and thread-safe. */
#pragma once

#include <stdbool.h>

#include "peers/endpoint_status.h"
#include "rpc/peer_info.h"

struct endpoint;
struct event_loops;
struct grpc_channel_options;
struct log;

struct endpoint *endpoint_create(struct event_loops *loops, struct str address,
                                 const struct grpc_channel_options *options, struct log *log);
struct endpoint *endpoint_ref(struct endpoint *endpoint); /* gives endpoint back */
void endpoint_unref(void *endpoint);                      /* NULL is fine */

struct str endpoint_address(const struct endpoint *endpoint);
struct store *endpoint_store(struct endpoint *endpoint);

/* Notes the outcome of a check: takes err; info when that is NULL. A failure leaves the last info
 * in place until the last success is unhealthy_timeout_ms ago. True when it changed what queries or
 * the status page see of the endpoint. */
bool endpoint_note(struct endpoint *endpoint, struct error *err, const struct peer_info *info,
                   int64_t unhealthy_timeout_ms);

/* Its last check succeeded; and it serves the Store API. */
bool endpoint_is_healthy(struct endpoint *endpoint);
bool endpoint_is_queryable(struct endpoint *endpoint);
/* False: never reached, or unreachable for too long. Everything lives in the arena. */
bool endpoint_status(struct endpoint *endpoint, struct arena *arena, struct endpoint_status *out);
