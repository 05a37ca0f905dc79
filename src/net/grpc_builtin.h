/* net/grpc_builtin.h: the services that every gRPC server has of itself: health and reflection.
 * Private to net/grpc_*.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"
#include "net/grpc_server.h"

struct event_loops;
struct grpc_health;
struct grpc_reflection;
struct pool;

enum { GRPC_HEALTH_METHODS = 3, GRPC_REFLECTION_METHODS = 2 };

/* grpc.health.v1: Check, List and Watch of service "". */
struct grpc_health *grpc_health_create(struct event_loops *loops, bool (*is_serving)(void *self),
                                       void *self);
void grpc_health_free(struct grpc_health *health); /* no call may be left */
void grpc_health_methods(struct grpc_health *health, struct pool *pool,
                         struct grpc_method out[GRPC_HEALTH_METHODS]);

/* grpc.reflection.v1 and v1alpha. descriptor_set: a FileDescriptorSet, which must outlive it;
 * paths: of the methods served, from which the services are listed. */
struct grpc_reflection *grpc_reflection_create(struct bytes descriptor_set,
                                               const char *const *paths, size_t path_count);
void grpc_reflection_free(struct grpc_reflection *reflection);
void grpc_reflection_methods(struct grpc_reflection *reflection, struct pool *pool,
                             struct grpc_method out[GRPC_REFLECTION_METHODS]);
/* One exchange: appends the ServerReflectionResponse for a ServerReflectionRequest. ERROR_CORRUPT
 * for a request that is none. */
MUST_CHECK struct error *grpc_reflection_answer(const struct grpc_reflection *reflection,
                                                struct bytes request, struct buf *out);
