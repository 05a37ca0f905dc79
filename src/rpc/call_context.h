/* rpc/call_context.h: how a context travels with a call: the tenant and the request id, as
 * metadata.
 */
#pragma once

#include "net/grpc_client.h"
#include "net/grpc_server.h"

struct context;

/* What a client sends along; lives as long as ctx. */
struct call_metadata {
    struct grpc_metadata items[2];
    size_t count;
};
struct call_metadata call_metadata(struct context *ctx);

/* A server's context for one call, with what came along; gathers the call's warnings. */
struct context *call_context_create(struct grpc_call *call);
