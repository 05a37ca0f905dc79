/* test/unit/rpc/rpc_server.h: a store served over loopback, and a store that asks it. */
#pragma once

#include "support/test.h"

#include "net/grpc_client.h"
#include "net/grpc_server.h"
#include "rpc/descriptors.h"
#include "rpc/grpc_store.h"
#include "rpc/info_service.h"
#include "rpc/store_service.h"
#include "runtime/context.h"
#include "runtime/event_loop.h"
#include "runtime/log.h"
#include "runtime/pool.h"
#include "support/memory_store.h"

struct rpc_server {
    struct event_loops *loops;
    struct pools *pools;
    struct log *log;
    struct store_service *stores;
    struct info_service *info;
    struct grpc_server *server;
    bool is_ready;
};

static inline bool rpc_server_is_ready(void *self)
{
    return ((struct rpc_server *)self)->is_ready;
}

/* Serves `store` at a free port, or at `address`. */
static inline void rpc_server_start(struct rpc_server *s, struct store *store, const char *address,
                                    enum grpc_code (*code_of)(enum error_kind))
{
    *s = (struct rpc_server){.loops = event_loops_create(2),
                             .pools = pools_create(4, 64),
                             .log = log_create(2, LOG_ERROR, LOG_LOGFMT, STR("")),
                             .is_ready = true};
    struct grpc_method methods[STORE_SERVICE_METHODS + 1];
    s->stores = store_service_create(&(struct store_service_config){.store = store,
                                                                    .series = s->pools->series,
                                                                    .metadata = s->pools->metadata,
                                                                    .code_of = code_of},
                                     methods);
    s->info = info_service_create(&(struct info_service_config){.type = STR("sidecar"),
                                                                .store = store,
                                                                .has_rules = true,
                                                                .has_exemplars = true,
                                                                .is_ready = rpc_server_is_ready,
                                                                .self = s,
                                                                .quick = s->pools->quick},
                                  methods + STORE_SERVICE_METHODS);
    CHECK_OK(grpc_serve(s->loops,
                        &(struct grpc_server_config){
                            .address = str_from(address ? address : "127.0.0.1:0"),
                            .methods = methods,
                            .method_count = STORE_SERVICE_METHODS + 1,
                            .descriptor_set = rpc_descriptor_set(),
                            .is_serving = rpc_server_is_ready,
                            .self = s,
                            .quick = s->pools->quick,
                            .log = s->log,
                        },
                        &s->server));
}

static inline void rpc_server_stop(struct rpc_server *s)
{
    grpc_server_stop(s->server, 5000);
    grpc_server_free(s->server);
    store_service_free(s->stores);
    info_service_free(s->info);
    event_loops_free(s->loops);
    pools_free(s->pools);
    log_free(s->log);
}
