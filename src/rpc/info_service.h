/* rpc/info_service.h: serves thanos.info.Info. */
#pragma once

#include "net/grpc_server.h"
#include "rpc/peer_info.h"

struct pool;

struct info_service_config {
    struct str type; /* "sidecar", "query"; static */
    struct store *store;
    bool has_rules, has_targets, has_metadata, has_exemplars, has_query, has_status;
    bool (*is_ready)(void *self); /* while false, Info is the error "Not ready" with code UNKNOWN */
    void *self;
    struct pool *quick;
};

struct info_service;

struct info_service *info_service_create(const struct info_service_config *config,
                                         struct grpc_method *out);
void info_service_free(struct info_service *service); /* after the server */
