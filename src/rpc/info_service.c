#include "rpc/info_service.h"

#include <stdlib.h>

#include "base/memory.h"

enum { REQUEST_MAX = 1024 };

struct info_service {
    struct info_service_config config;
};

static struct error *serve_info(void *self, struct grpc_call *call, struct bytes request)
{
    const struct info_service_config *config = &((struct info_service *)self)->config;
    (void)request; /* it has no fields */
    if (config->is_ready && !config->is_ready(config->self)) {
        grpc_call_set_code(call, GRPC_UNKNOWN);
        return error_create(ERROR_UNAVAILABLE, "Not ready");
    }
    struct arena *arena = grpc_call_arena(call);
    struct store_info store = {.arena = arena};
    struct peer_info info = {
        .type = config->type,
        .has_rules = config->has_rules,
        .has_targets = config->has_targets,
        .has_metadata = config->has_metadata,
        .has_exemplars = config->has_exemplars,
        .has_query = config->has_query,
        .has_status = config->has_status,
    };
    store_describe(config->store, &store);
    peer_info_from_store(&store, arena, &info);
    info.exemplars_min_time = info.min_time;
    info.exemplars_max_time = info.max_time;
    peer_info_encode(grpc_call_response(call), &info);
    struct error *err = arena_status(arena);
    return err ? err : buf_status(grpc_call_response(call));
}

struct info_service *info_service_create(const struct info_service_config *config,
                                         struct grpc_method *out)
{
    struct info_service *service = xcalloc(1, sizeof(*service));
    service->config = *config;
    *out = (struct grpc_method){
        .path = "/thanos.info.Info/Info",
        .kind = GRPC_UNARY,
        .handler = serve_info,
        .self = service,
        .pool = config->quick,
        .request_max = REQUEST_MAX,
    };
    return service;
}

void info_service_free(struct info_service *service)
{
    free(service);
}
