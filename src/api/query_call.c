#include "api/query_call.h"

#include "api/query_params.h"
#include "base/ulid.h"
#include "net/grpc_client.h"
#include "runtime/context.h"
#include "runtime/time.h"

/* The client's request id, or a new one. */
static void set_request_id(struct context *ctx, const struct http_request *req)
{
    struct str id = http_request_header(req, STR("X-Request-ID"));
    if (id.len) {
        context_set_request_id(ctx, id);
        return;
    }
    char text[ULID_TEXT_LEN];
    ulid_print(ulid_make(time_now_ms()), text);
    context_set_request_id(ctx, (struct str){text, sizeof(text)});
}

struct error *query_call_begin(struct query_call *call, const struct query_api *api,
                               struct http_request *req, bool has_timeout, int64_t timeout_ms)
{
    const struct query_api_config *config = &api->config;
    struct str tenant;
    int64_t limit_ms =
        config->query_timeout_ms > 0 ? config->query_timeout_ms : (int64_t)CONTEXT_NO_DEADLINE;
    bool is_over = has_timeout && timeout_ms <= 0;
    if (has_timeout && !is_over && (limit_ms == CONTEXT_NO_DEADLINE || timeout_ms < limit_ms))
        limit_ms = timeout_ms;
    *call = (struct query_call){.api = api, .req = req};
    call->budget = budget_create(context_budget(req->ctx), "query", config->query_memory_max);
    call->arena = arena_create(call->budget);
    call->streams = stall_group_create(call->budget);
    call->ctx = context_create(req->ctx, limit_ms);
    context_set_budget(call->ctx, call->budget);
    context_set_stall_group(call->ctx, call->streams);
    context_collect_warnings(call->ctx);
    set_request_id(call->ctx, req);
    struct error *err = query_params_tenant(config, req, &tenant);
    if (!err)
        context_set_tenant(call->ctx, tenant);
    if (is_over)
        context_cancel_with(call->ctx, ERROR_TIMEOUT, "context deadline exceeded");
    return err;
}

void query_call_end(struct query_call *call)
{
    arena_unref(call->arena);
    stall_group_free(call->streams);
    context_cancel(call->ctx);
    context_unref(call->ctx);
    budget_free(call->budget);
}

struct error *query_call_error(struct query_call *call, struct error *err)
{
    enum error_kind kind = error_kind(err);
    bool is_end = kind == ERROR_TIMEOUT || kind == ERROR_CANCELLED;
    return is_end && !context_ended(call->ctx) ? error_as(err, ERROR_UNAVAILABLE) : err;
}
