/* query/endpoint.h: one endpoint of a query: its store and what its last checks told.
 * Reference-counted and thread-safe. */
#pragma once

#include <stdbool.h>

#include "peers/endpoint_status.h"
#include "rpc/peer_info.h"

struct endpoint;
struct endpoint_spec;
struct event_loops;
struct log;
struct metrics;
struct tls_client;

/* Copies the spec; tls: what spec->tls became, referred to, NULL: in the clear. */
struct endpoint *endpoint_create(struct event_loops *loops, const struct endpoint_spec *spec,
                                 struct tls_client *tls, struct log *log, struct metrics *metrics);
struct endpoint *endpoint_ref(struct endpoint *endpoint); /* gives endpoint back */
void endpoint_unref(void *endpoint);                      /* NULL is fine */

struct str endpoint_address(const struct endpoint *endpoint);
/* What it was made from; its members are those of now. */
const struct endpoint_spec *endpoint_spec(const struct endpoint *endpoint);
/* Of a group: takes the members of the spec, where they are others. One thread at a time. */
void endpoint_set_members(struct endpoint *endpoint, const struct endpoint_spec *spec);
struct tls_client *endpoint_tls_client(const struct endpoint *endpoint);
struct store *endpoint_store(struct endpoint *endpoint);

/* Notes the outcome of a check: takes err; info when that is NULL. A failure leaves the last info
 * in place; when the last success is unhealthy_timeout_ms ago, an endpoint that is not strict is
 * forgotten. True when it changed what queries or the status page see of the endpoint. */
bool endpoint_note(struct endpoint *endpoint, struct error *err, const struct peer_info *info,
                   int64_t unhealthy_timeout_ms);
/* It is not wanted any more: says so in the log. */
void endpoint_note_removed(struct endpoint *endpoint);

/* Its last check succeeded, or it is strict; and it serves the Store API, as far as is known. */
bool endpoint_is_healthy(struct endpoint *endpoint);
bool endpoint_is_queryable(struct endpoint *endpoint);
/* False: never reached, or unreachable for too long; *out then says as much as is known. Everything
 * lives in the arena. */
bool endpoint_status(struct endpoint *endpoint, struct arena *arena, struct endpoint_status *out);
