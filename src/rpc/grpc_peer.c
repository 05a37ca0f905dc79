#include "rpc/grpc_peer.h"

#include <stdlib.h>

#include "base/memory.h"
#include "codec/pb.h"
#include "rpc/call_context.h"
#include "runtime/context.h"

enum { MESSAGE_MAX = 256 << 20, FRAME_GUESS = 1000 };

/* -- frames -- */

enum { FRAME_DATA = 1, FRAME_WARNING = 2 };

struct error *peers_frame_decode(struct bytes message, struct peers_frame *out)
{
    struct pb_reader reader = pb_read(message);
    *out = (struct peers_frame){.warning = STR_INIT("")};
    while (pb_next(&reader)) {
        if (reader.field == FRAME_DATA) {
            out->data = pb_bytes(&reader);
            out->has_data = true;
        } else if (reader.field == FRAME_WARNING) {
            out->warning = pb_str(&reader);
        } else {
            pb_skip(&reader);
        }
    }
    return pb_error(&reader, "answer");
}

void peers_frame_encode(struct buf *out, const struct record_type *type, const void *record)
{
    size_t mark = pb_begin(out, FRAME_DATA, FRAME_GUESS);
    record_encode(out, type, record);
    pb_end(out, mark);
}

void peers_frame_encode_warning(struct buf *out, struct str text)
{
    pb_put_str_always(out, FRAME_WARNING, text);
}

/* -- calls -- */

struct grpc_peer_call {
    struct peers_call base;
    struct grpc_peer peer;
    struct context *ctx;
    const struct peers_topic_info *topic;
    struct grpc_stream *stream; /* NULL: `failure` came first */
    struct error *failure;
};

/* The arena pins the message: texts of the answer stay in it. */
static struct error *take_message(struct grpc_peer_call *call, struct grpc_message *message,
                                  struct arena *arena, struct peers_answer *out)
{
    struct peers_frame frame;
    arena_on_free(arena, grpc_message_unref, message);
    struct error *err = peers_frame_decode(message->bytes, &frame);
    if (!err && frame.warning.len)
        context_warn(call->ctx, frame.warning);
    if (!err && frame.has_data)
        err = record_decode(frame.data, arena, call->topic->answer,
                            records_add_sized(out, arena, call->topic->answer->size));
    return err;
}

static struct error *call_finish(struct peers_call *base, struct arena *arena,
                                 struct peers_answer *out)
{
    struct grpc_peer_call *call = container_of(base, struct grpc_peer_call, base);
    struct error *err = call->failure;
    call->failure = NULL;
    while (!err) {
        struct grpc_message *message = NULL;
        err = grpc_stream_next(call->stream, call->ctx, &message);
        if (!err && !message)
            return NULL;
        if (!err)
            err = take_message(call, message, arena, out);
    }
    if (context_ended(call->ctx))
        return err;
    return error_wrap(err, "receiving %s from %s client %.*s", call->topic->name, call->topic->name,
                      STR_ARG(call->peer.address));
}

static void call_free(struct peers_call *base)
{
    struct grpc_peer_call *call = container_of(base, struct grpc_peer_call, base);
    if (call->stream)
        grpc_stream_free(call->stream);
    error_free(call->failure);
    context_unref(call->ctx);
    atomic_fetch_sub(call->peer.running, 1);
    free(call);
}

static const struct peers_call_ops call_ops = {.finish = call_finish, .free = call_free};

struct peers_call *grpc_peer_ask(const struct grpc_peer *peer, struct context *ctx,
                                 const struct peers_question *question)
{
    struct grpc_peer_call *call = xcalloc(1, sizeof(*call));
    struct call_metadata metadata = call_metadata(ctx);
    struct buf request = BUF_INIT(context_budget(ctx));
    call->base.ops = &call_ops;
    call->peer = *peer;
    call->ctx = context_ref(ctx);
    call->topic = &peers_topics[question->topic];
    record_encode(&request, call->topic->question, question);
    if (atomic_fetch_add(peer->running, 1) >= peer->running_max)
        call->failure =
            error_create(ERROR_BUSY, "%u calls are under way already", peer->running_max);
    else
        call->failure = buf_status(&request);
    if (!call->failure)
        call->stream = grpc_stream_start(peer->channel, ctx, call->topic->path, buf_bytes(&request),
                                         metadata.items, metadata.count, MESSAGE_MAX);
    buf_deinit(&request);
    return &call->base;
}
