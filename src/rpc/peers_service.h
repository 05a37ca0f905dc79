/* rpc/peers_service.h: serves thanos.Rules, Targets, Metadata, Exemplars and Status. */
#pragma once

#include "net/grpc_server.h"
#include "peers/peers.h"

struct pool;

enum { PEERS_SERVICE_METHODS = PEERS_TOPICS };

struct peers_service;

/* Adds the methods to a server's table: out[PEERS_SERVICE_METHODS]. Each asks `answer(self, ...)`
 * on the pool, then sends the context's warnings and the items of the answer, a message each. */
struct peers_service *peers_service_create(peers_answer_fn answer, void *self, struct pool *pool,
                                           struct grpc_method *out);
void peers_service_free(struct peers_service *service); /* after the server */
