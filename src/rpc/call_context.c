#include "rpc/call_context.h"

#include "runtime/context.h"

static const struct str tenant_name = STR_INIT("thanos-tenant");
static const struct str id_name = STR_INIT("request-id");
static const struct str default_tenant = STR_INIT("default-tenant");

struct call_metadata call_metadata(struct context *ctx)
{
    struct call_metadata metadata = {.count = 1};
    struct str tenant = context_tenant(ctx), id = context_request_id(ctx);
    metadata.items[0] = (struct grpc_metadata){tenant_name, tenant.len ? tenant : default_tenant};
    if (id.len)
        metadata.items[metadata.count++] = (struct grpc_metadata){id_name, id};
    return metadata;
}

struct context *call_context_create(struct grpc_call *call)
{
    struct context *ctx = context_create(grpc_call_context(call), CONTEXT_NO_DEADLINE);
    struct str tenant = grpc_call_metadata(call, tenant_name);
    struct str id = grpc_call_metadata(call, id_name);
    context_collect_warnings(ctx);
    context_set_tenant(ctx, tenant.len ? tenant : default_tenant);
    if (id.len)
        context_set_request_id(ctx, id);
    return ctx;
}
