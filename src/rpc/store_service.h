/* rpc/store_service.h: serves a store as thanos.Store. */
#pragma once

#include "net/grpc_server.h"
#include "store/store.h"

struct metrics;
struct pool;

struct store_service_config {
    struct store *store; /* must outlive the server */
    struct pool *series, *metadata;
    /* Code of a failed call; NULL: grpc_code_of(). */
    enum grpc_code (*code_of)(enum error_kind kind);
    struct metrics *metrics; /* NULL is fine */
};

enum { STORE_SERVICE_METHODS = 3 };

struct store_service;

/* Adds the methods to a server's table: out[STORE_SERVICE_METHODS].
 *
 * Series is served as a resumable stream: frames of up to response_batch_size series and about a
 * mebibyte; what is gathered is flushed before a warning and at the end. The request's tenant and
 * request id become the context's. */
struct store_service *store_service_create(const struct store_service_config *config,
                                           struct grpc_method *out);
void store_service_free(struct store_service *service); /* after the server */

/* code_of for a proxy, as Thanos's: what a store below did wrong is ABORTED. */
enum grpc_code store_service_proxy_code(enum error_kind kind);
