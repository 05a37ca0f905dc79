#include "rpc/grpc_store.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena_small.h"
#include "base/memory.h"
#include "base/mutex.h"
#include "net/grpc_client.h"
#include "rpc/call_context.h"
#include "rpc/grpc_peer.h"
#include "rpc/series_wire.h"
#include "runtime/context.h"
#include "store/series_join.h"
#include "store/series_sort.h"
#include "store/store_choice.h"

enum {
    MESSAGE_MAX = INT_MAX, /* as Thanos; the query's budget binds before */
    LABEL_RESPONSE_MAX = 256 << 20,
    INFO_MAX = 16 << 20,
    LABEL_CALLS_MAX =
        8, /* also of questions: half of the metadata pool: one slow peer must not take all of it */
};

struct grpc_store {
    struct store base;
    struct grpc_channel *channel;
    char *address;
    atomic_bool out_of_order; /* its series must be sorted */
    atomic_uint label_calls;  /* under way, with questions */
    struct mutex lock;
    struct arena *arena GUARDED_BY(lock); /* of the info */
    struct peer_info info GUARDED_BY(lock);
};

/* -- what it says of itself -- */

static struct labels *label_sets_copy(struct arena *arena, const struct labels *sets, size_t count)
{
    struct labels *copy = arena_array(arena, count, sizeof(*copy));
    for (size_t i = 0; i < count; i++)
        copy[i] = labels_copy(arena, sets[i]);
    return copy;
}

static struct store_range *ranges_copy(struct arena *arena, const struct store_range *ranges,
                                       size_t count)
{
    struct store_range *copy = arena_array(arena, count, sizeof(*copy));
    for (size_t i = 0; i < count; i++) {
        copy[i] = ranges[i];
        copy[i].labels = labels_copy(arena, ranges[i].labels);
    }
    return copy;
}

void grpc_store_set_info(struct store *base, const struct peer_info *info)
{
    struct grpc_store *store = container_of(base, struct grpc_store, base);
    struct arena *arena = arena_create_small(NULL);
    struct peer_info copy = *info;
    copy.type = arena_str(arena, info->type);
    copy.label_sets = label_sets_copy(arena, info->label_sets, info->label_set_count);
    copy.ranges = ranges_copy(arena, info->ranges, info->range_count);
    mutex_lock(&store->lock);
    struct arena *old = store->arena;
    store->arena = arena;
    store->info = copy;
    mutex_unlock(&store->lock);
    arena_unref(old);
}

void grpc_store_get_info(struct store *base, struct arena *arena, struct peer_info *out)
{
    struct grpc_store *store = container_of(base, struct grpc_store, base);
    mutex_lock(&store->lock);
    *out = store->info;
    arena_keep(arena, store->arena);
    mutex_unlock(&store->lock);
}

static void grpc_describe(struct store *base, struct store_info *out)
{
    struct grpc_store *store = container_of(base, struct grpc_store, base);
    struct peer_info info;
    grpc_store_get_info(base, out->arena, &info);
    peer_info_to_store(&info, arena_str(out->arena, str_from(store->address)), out->arena, out);
}

/* -- calls -- */

static struct error *grpc_store_unary(struct grpc_store *store, struct context *ctx,
                                      const char *method, const struct buf *request,
                                      size_t response_max, struct buf *response)
{
    struct call_metadata metadata = call_metadata(ctx);
    struct error *err = buf_status(request);
    if (!err)
        err = grpc_unary(store->channel, ctx, method, buf_bytes(request), metadata.items,
                         metadata.count, response_max, response);
    return err ? err : buf_status(response);
}

struct str grpc_store_address(const struct store *base)
{
    return str_from(container_of(base, struct grpc_store, base)->address);
}

struct grpc_channel *grpc_store_channel(struct store *base)
{
    return container_of(base, struct grpc_store, base)->channel;
}

struct peers_call *grpc_store_ask(struct store *base, struct context *ctx,
                                  const struct peers_question *question)
{
    struct grpc_store *store = container_of(base, struct grpc_store, base);
    const struct grpc_peer peer = {store->channel, str_from(store->address), &store->label_calls,
                                   LABEL_CALLS_MAX};
    return grpc_peer_ask(&peer, ctx, question);
}

/* -- Info -- */

struct info_call {
    struct context *ctx;
    struct grpc_stream *stream;
};

struct info_call *grpc_store_ask_info(struct store *base, struct context *ctx)
{
    struct grpc_store *store = container_of(base, struct grpc_store, base);
    struct info_call *call = xcalloc(1, sizeof(*call));
    call->ctx = context_ref(ctx);
    call->stream = grpc_unary_start(store->channel, ctx, "/thanos.info.Info/Info",
                                    (struct bytes){NULL, 0}, NULL, 0, INFO_MAX);
    return call;
}

bool info_call_ready(struct info_call *call, const struct series_wake *wake)
{
    return grpc_stream_ready(call->stream, wake->fn, wake->arg);
}

struct error *info_call_finish(struct info_call *call, struct arena *arena, struct peer_info *out)
{
    struct grpc_message *message = NULL;
    struct error *err = grpc_stream_next(call->stream, call->ctx, &message);
    if (!err && message)
        err = peer_info_decode(message->bytes, arena, out);
    else if (!err)
        err = error_create(ERROR_CORRUPT, "info: an empty answer");
    else if (grpc_stream_code(call->stream) == GRPC_UNIMPLEMENTED) {
        error_free(err);
        err = error_create(ERROR_UNAVAILABLE,
                           "cannot obtain metadata: neither info nor store client found");
    }
    if (message)
        grpc_message_unref(message);
    grpc_stream_free(call->stream);
    context_unref(call->ctx);
    free(call);
    return err;
}

/* -- Series: the raw stream -- */

struct stream_set {
    struct series_set base;
    struct grpc_store *store; /* outlives its sets */
    struct context *ctx;
    struct grpc_stream *stream;
    enum partial_response partial;
    struct grpc_message *message; /* received, with series, and not decoded yet */
    bool has_received, has_ended;
    struct error *failure; /* to be told when what came before it has been given */
    /* Series of a frame that was larger than what was asked for. */
    struct series_batch left;
    struct arena *left_arena;
    struct series_set_stats stats;
};

/* Takes err and gives it the peer's name and a kind that fits. */
static struct error *stream_error(struct stream_set *set, struct error *err)
{
    set->has_ended = true;
    enum grpc_code code = grpc_stream_code(set->stream);
    if (context_ended(set->ctx) ||
        (code == GRPC_OK && (error_kind(err) == ERROR_LIMIT || error_kind(err) == ERROR_CANCELLED)))
        return err;
    if (error_kind(err) == ERROR_LIMIT)
        err = error_as(err, ERROR_QUERY);
    struct arena *arena = arena_create(NULL);
    struct store_info info = {.arena = arena};
    store_describe(&set->store->base, &info);
    struct str text = store_info_text(&info), labels = store_info_labels_text(&info);
    if (!set->has_received && error_kind(err) == ERROR_UNAVAILABLE)
        err = error_wrap(err, "fetch series for %.*s %.*s", STR_ARG(labels), STR_ARG(text));
    else
        err = error_wrap(err, "receive series from %.*s", STR_ARG(text));
    arena_unref(arena);
    return err;
}

static struct error *stream_warning(struct stream_set *set, struct str text)
{
    if (set->partial == PARTIAL_WARN) {
        context_warn(set->ctx, text);
        return NULL;
    }
    set->has_ended = true;
    return error_create(ERROR_UNAVAILABLE, "%.*s", STR_ARG(text));
}

/* Takes a message that was received: keeps it when it has series, else deals with it. */
static struct error *stream_take(struct stream_set *set, struct grpc_message *message)
{
    struct str warning;
    struct error *err = NULL;
    set->has_received = true;
    set->stats.bytes += message->bytes.len;
    switch (series_frame_peek(message->bytes, &warning)) {
    case FRAME_SERIES:
        set->message = message;
        return NULL;
    case FRAME_WARNING:
        err = stream_warning(set, warning);
        break;
    case FRAME_HINTS:
    case FRAME_EMPTY:
        break;
    }
    grpc_message_unref(message);
    return err;
}

static void wake_nobody(void *arg)
{
    (void)arg;
}

/* Goes on until there is a message with series, a failure, or the end. With may_wait off, false
 * when the stream is not ready; wake is then called. */
static bool stream_fetch(struct stream_set *set, bool may_wait, const struct series_wake *wake)
{
    static const struct series_wake nobody = {wake_nobody, NULL};
    if (!wake)
        wake = &nobody;
    while (!set->failure && !set->message && !set->has_ended) {
        struct grpc_message *message = NULL;
        if (!may_wait && !grpc_stream_ready(set->stream, wake->fn, wake->arg))
            return false;
        struct error *err = grpc_stream_next(set->stream, set->ctx, &message);
        if (err)
            set->failure = stream_error(set, err);
        else if (!message)
            set->has_ended = true;
        else
            set->failure = stream_take(set, message);
    }
    return true;
}

/* Decodes the message at hand; the arena pins it. */
static struct error *stream_decode(struct stream_set *set, struct arena *arena,
                                   struct series_frame *frame)
{
    struct grpc_message *message = set->message;
    set->message = NULL;
    arena_on_free(arena, grpc_message_unref, message);
    struct error *err = series_frame_decode(message->bytes, arena, frame);
    if (!err && frame->count == 0)
        err = error_create(ERROR_CORRUPT, "series response: a batch of nothing");
    if (err)
        return stream_error(set, err);
    set->stats.series += frame->count;
    for (size_t i = 0; i < frame->count; i++)
        set->stats.chunks += frame->items[i].chunks.count;
    return NULL;
}

/* Gives up to max of a frame's series and leaves the rest for later. */
static void stream_give(struct stream_set *set, struct arena *arena,
                        const struct series_batch *items, size_t max, struct series_batch *out)
{
    size_t count = size_min(items->count, max);
    *out = (struct series_batch){items->items, count};
    if (count == items->count)
        return;
    set->left = (struct series_batch){items->items + count, items->count - count};
    set->left_arena = arena;
    arena_ref(arena);
}

static bool stream_give_left(struct stream_set *set, struct arena *arena, size_t max,
                             struct series_batch *out)
{
    if (set->left.count == 0)
        return false;
    struct arena *from = set->left_arena;
    struct series_batch left = set->left;
    set->left = (struct series_batch){0};
    set->left_arena = NULL;
    arena_keep(arena, from);
    stream_give(set, from, &left, max, out);
    arena_unref(from);
    return true;
}

/* A peer that sends single series: gathers those that are there already. A failure is kept for the
 * next call. */
static void stream_gather(struct stream_set *set, struct arena *arena, size_t max,
                          struct series_frame *frame)
{
    struct series *first = frame->items;
    max = size_min(max, GRPC_STORE_BATCH);
    frame->items = arena_array(arena, max, sizeof(*frame->items));
    frame->items[0] = *first;
    while (frame->count < max && stream_fetch(set, false, NULL) && set->message &&
           !series_frame_is_batch(set->message->bytes)) {
        struct series_frame next;
        set->failure = stream_decode(set, arena, &next);
        if (set->failure)
            return;
        frame->items[frame->count++] = next.items[0];
    }
}

static struct error *stream_take_failure(struct stream_set *set)
{
    struct error *err = set->failure;
    set->failure = NULL;
    return err;
}

static struct error *stream_next(struct series_set *base, struct arena *arena, size_t max,
                                 struct series_batch *out)
{
    struct stream_set *set = container_of(base, struct stream_set, base);
    if (stream_give_left(set, arena, max, out))
        return NULL;
    struct series_frame frame;
    (void)stream_fetch(set, true, NULL);
    if (!set->message)
        return stream_take_failure(set);
    struct error *err = stream_decode(set, arena, &frame);
    if (err)
        return err;
    if (frame.count == 1 && max > 1)
        stream_gather(set, arena, max, &frame);
    stream_give(set, arena, &(struct series_batch){frame.items, frame.count}, max, out);
    return arena_status(arena);
}

static bool stream_ready(struct series_set *base, const struct series_wake *wake)
{
    struct stream_set *set = container_of(base, struct stream_set, base);
    return set->left.count || stream_fetch(set, false, wake);
}

static void stream_cancel(struct series_set *base)
{
    grpc_stream_cancel(container_of(base, struct stream_set, base)->stream);
}

static void stream_stats(struct series_set *base, struct series_set_stats *add_to)
{
    const struct stream_set *set = container_of(base, struct stream_set, base);
    add_to->series += set->stats.series;
    add_to->chunks += set->stats.chunks;
    add_to->bytes += set->stats.bytes;
}

static void stream_free(struct series_set *base)
{
    struct stream_set *set = container_of(base, struct stream_set, base);
    grpc_stream_free(set->stream);
    if (set->message)
        grpc_message_unref(set->message);
    arena_unref(set->left_arena);
    error_free(set->failure);
    context_unref(set->ctx);
    free(set);
}

static const struct series_set_ops stream_ops = {
    .next = stream_next,
    .ready = stream_ready,
    .cancel = stream_cancel,
    .stats = stream_stats,
    .free = stream_free,
};

static struct error *grpc_select(struct store *base, struct context *ctx,
                                 const struct store_query *query, struct series_set **out)
{
    struct grpc_store *store = container_of(base, struct grpc_store, base);
    struct buf request = BUF_INIT(NULL);
    struct store_query asked = *query;
    if (asked.hints.batch_size == 0)
        asked.hints.batch_size = GRPC_STORE_BATCH;
    series_request_encode(&request, &asked);
    struct error *err = buf_status(&request);
    if (!err) {
        struct call_metadata metadata = call_metadata(ctx);
        struct stream_set *set = xcalloc(1, sizeof(*set));
        set->base.ops = &stream_ops;
        set->store = store;
        set->ctx = context_ref(ctx);
        set->partial = query->partial;
        set->stream =
            grpc_stream_start(store->channel, ctx, "/thanos.Store/Series", buf_bytes(&request),
                              metadata.items, metadata.count, MESSAGE_MAX);
        struct budget *budget = context_budget(ctx);
        *out = atomic_load(&store->out_of_order)
                   ? series_set_sort(budget, &set->base, (struct str_list){0})
                   : series_set_join(budget, &set->base, &store->out_of_order);
    }
    buf_deinit(&request);
    return err;
}

/* -- label calls -- */

static void buf_free(void *buf)
{
    buf_deinit(buf);
}

/* The answer's texts stay in the response, which the arena owns. */
static struct error *grpc_label_call(struct grpc_store *store, struct context *ctx,
                                     const char *method, const struct buf *request,
                                     struct arena *arena, struct str_list *out)
{
    struct label_response response = {0};
    struct buf *bytes = arena_alloc(arena, sizeof(*bytes));
    *bytes = (struct buf)BUF_INIT(context_budget(ctx));
    arena_on_free(arena, buf_free, bytes);
    struct error *err = grpc_store_unary(store, ctx, method, request, LABEL_RESPONSE_MAX, bytes);
    if (!err)
        err = label_response_decode(buf_bytes(bytes), arena, &response);
    for (size_t i = 0; i < response.warnings.count && !err; i++)
        context_warn(ctx, response.warnings.items[i]);
    *out = response.list;
    return err;
}

static struct error *grpc_label_call_gated(struct grpc_store *store, struct context *ctx,
                                           const char *method, const struct buf *request,
                                           struct arena *arena, struct str_list *out)
{
    struct error *err;
    if (atomic_fetch_add(&store->label_calls, 1) < LABEL_CALLS_MAX)
        err = grpc_label_call(store, ctx, method, request, arena, out);
    else
        err = error_create(ERROR_BUSY, "%d label calls to %s are under way already",
                           LABEL_CALLS_MAX, store->address);
    atomic_fetch_sub(&store->label_calls, 1);
    return err;
}

static struct error *grpc_label_names(struct store *base, struct context *ctx,
                                      const struct store_query *query, struct arena *arena,
                                      struct str_list *out)
{
    struct grpc_store *store = container_of(base, struct grpc_store, base);
    struct buf request = BUF_INIT(NULL);
    label_names_request_encode(&request, query);
    struct error *err =
        grpc_label_call_gated(store, ctx, "/thanos.Store/LabelNames", &request, arena, out);
    buf_deinit(&request);
    return err;
}

static struct error *grpc_label_values(struct store *base, struct context *ctx, struct str name,
                                       const struct store_query *query, struct arena *arena,
                                       struct str_list *out)
{
    struct grpc_store *store = container_of(base, struct grpc_store, base);
    struct buf request = BUF_INIT(NULL);
    label_values_request_encode(&request, name, query);
    struct error *err =
        grpc_label_call_gated(store, ctx, "/thanos.Store/LabelValues", &request, arena, out);
    buf_deinit(&request);
    return err;
}

/* -- the store -- */

static void grpc_free(struct store *base) NO_THREAD_SAFETY /* nobody else is left */
{
    struct grpc_store *store = container_of(base, struct grpc_store, base);
    grpc_channel_free(store->channel);
    arena_unref(store->arena);
    mutex_deinit(&store->lock);
    free(store->address);
    free(store);
}

static const struct store_ops grpc_ops = {
    .describe = grpc_describe,
    .select = grpc_select,
    .label_names = grpc_label_names,
    .label_values = grpc_label_values,
    .free = grpc_free,
};

struct store *grpc_store_create(struct grpc_channel *channel, struct str address) NO_THREAD_SAFETY
{
    struct grpc_store *store = xcalloc(1, sizeof(*store));
    store->base.ops = &grpc_ops;
    store->channel = channel;
    store->address = str_dup(address);
    mutex_init(&store->lock);
    store->arena = arena_create_small(NULL);
    store->info = (struct peer_info){.min_time = INT64_MIN, .max_time = INT64_MAX};
    return &store->base;
}
