#include "query/remote_engine.h"

#include <stdlib.h>

#include "base/memory.h"
#include "net/grpc_client.h"
#include "query/endpoint_set.h"
#include "rpc/call_context.h"
#include "rpc/grpc_store.h"
#include "rpc/query_wire.h"
#include "runtime/context.h"

enum { MESSAGE_MAX = INT32_MAX, SERIES_A_FRAME = 64, MS = 1000 };

/* -- which there are -- */

static void release_list(void *list)
{
    store_list_unref(list);
}

static struct remote_engine engine_of(struct store *store, const struct peer_info *info,
                                      struct arena *arena)
{
    struct remote_engine engine = {store, grpc_store_address(store), info->label_sets,
                                   info->label_set_count};
    if (info->range_count == 0)
        return engine;
    struct labels *sets = arena_array(arena, info->range_count, sizeof(*sets));
    for (size_t i = 0; i < info->range_count; i++)
        sets[i] = info->ranges[i].labels;
    engine.label_sets = sets;
    engine.label_set_count = info->range_count;
    return engine;
}

static bool list_engines(void *self, struct arena *arena, struct remote_engines *out)
{
    struct store_list *peers = endpoint_set_peers(self);
    size_t count = store_list_count(peers);
    arena_on_free(arena, release_list, peers);
    *out = (struct remote_engines){arena_array(arena, count, sizeof(*out->items)), 0};
    for (size_t i = 0; i < count; i++) {
        struct store *store = store_list_at(peers, i);
        struct peer_info info;
        grpc_store_get_info(store, arena, &info);
        if (info.has_store && !info.has_query)
            return false;
        if (info.has_store)
            out->items[out->count++] = engine_of(store, &info, arena);
    }
    return out->count > 0;
}

/* -- calls -- */

struct remote_call {
    struct context *ctx;
    struct grpc_stream *stream; /* NULL: `failure` came first */
    struct error *failure;
    char *address;
};

static void fill_request(struct query_request *request, const struct remote_question *question,
                         struct arena *arena)
{
    const struct engine_query *query = question->query;
    *request = (struct query_request){
        .text = question->text,
        .time_s = query->start_ms / MS,
        .start_s = query->start_ms / MS,
        .end_s = query->end_ms / MS,
        .step_s = query->step_ms / MS,
        .timeout_s = question->timeout_ms ? int64_max(question->timeout_ms / MS, 1) : 0,
        .max_resolution_s = query->max_resolution_ms / MS,
        .lookback_s = question->lookback_ms / MS,
        .dedup = query->dedup != DEDUP_OFF,
        .partial_response = query->partial == PARTIAL_WARN,
        .batch_size = SERIES_A_FRAME,
    };
    for (size_t i = 0; i < query->replica_labels.count; i++)
        *records_add(&request->replica_labels, arena) = query->replica_labels.items[i];
}

static struct remote_call *start_call(void *self UNUSED, const struct remote_engine *engine,
                                      struct context *ctx, const struct remote_question *question)
{
    struct remote_call *call = xcalloc(1, sizeof(*call));
    struct arena *arena = arena_create(context_budget(ctx));
    struct call_metadata metadata = call_metadata(ctx);
    struct buf message = BUF_INIT(context_budget(ctx));
    struct query_request request;
    bool is_instant = question->query->instant;
    call->ctx = context_ref(ctx);
    call->address = str_dup(engine->address);
    fill_request(&request, question, arena);
    record_encode(&message, is_instant ? &query_instant_type : &query_range_type, &request);
    call->failure = buf_status(&message);
    if (!call->failure)
        call->stream =
            grpc_stream_start(grpc_store_channel(engine->self), ctx,
                              is_instant ? "/thanos.Query/Query" : "/thanos.Query/QueryRange",
                              buf_bytes(&message), metadata.items, metadata.count, MESSAGE_MAX);
    buf_deinit(&message);
    arena_unref(arena);
    return call;
}

/* The kind that the peer's failure has here: what it could not evaluate, or was too much for it, is
 * the query's. */
static struct error *call_error(const struct remote_call *call, struct error *err)
{
    enum grpc_code code = call->stream ? grpc_stream_code(call->stream) : GRPC_OK;
    bool is_query = code == GRPC_ABORTED || code == GRPC_RESOURCE_EXHAUSTED || code == GRPC_UNKNOWN;
    return is_query && !context_ended(call->ctx) ? error_as(err, ERROR_QUERY) : err;
}

static void tell_warning(const struct remote_call *call, struct str text)
{
    struct buf told = {0};
    buf_printf(&told, "remote query warning (%s): %.*s", call->address, STR_ARG(text));
    context_warn(call->ctx, buf_str(&told));
    buf_deinit(&told);
}

static struct error *take_message(struct remote_call *call, struct grpc_message *message,
                                  struct arena *arena, struct remote_rows *out)
{
    struct query_frame frame;
    struct error *err = query_frame_decode(message->bytes, arena, &frame);
    if (!err && frame.kind == QUERY_WARNING)
        tell_warning(call, frame.warning);
    if (!err && frame.kind == QUERY_STATS)
        out->samples_total += frame.samples_total;
    grpc_message_unref(message);
    if (err || frame.count == 0)
        return err;
    out->items = arena_array(arena, frame.count, sizeof(*out->items));
    for (size_t i = 0; i < frame.count; i++) {
        const struct query_series *series = &frame.items[i];
        out->items[out->count++] = (struct result_series){
            series->labels,
            (int64_t *)(uintptr_t)series->times,
            (double *)(uintptr_t)series->values,
            (struct histogram **)(uintptr_t)series->histograms,
            series->count,
        };
    }
    return arena_status(arena);
}

static struct error *next_rows(struct remote_call *call, struct arena *arena,
                               struct remote_rows *out)
{
    struct error *err = call->failure;
    call->failure = NULL;
    *out = (struct remote_rows){0};
    while (!err && out->count == 0) {
        struct grpc_message *message = NULL;
        err = grpc_stream_next(call->stream, call->ctx, &message);
        if (!err && !message)
            return NULL;
        if (err)
            err = call_error(call, err);
        else
            err = take_message(call, message, arena, out);
    }
    return err;
}

static void free_call(struct remote_call *call)
{
    if (call->stream)
        grpc_stream_free(call->stream);
    error_free(call->failure);
    context_unref(call->ctx);
    free(call->address);
    free(call);
}

const struct remote_ops remote_engine_ops = {list_engines, start_call, next_rows, free_call};
