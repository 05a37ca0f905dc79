#include "rpc/peers_service.h"

#include <stdlib.h>

#include "base/memory.h"
#include "rpc/call_context.h"
#include "rpc/grpc_peer.h"
#include "runtime/context.h"

enum { REQUEST_MAX = 1 << 20 };

struct peers_method { /* what a handler gets */
    struct peers_service *service;
    enum peers_topic topic;
};

struct peers_service {
    peers_answer_fn answer;
    void *self;
    struct peers_method methods[PEERS_TOPICS];
};

/* -- sending -- */

struct answer_stream { /* lives in the call's arena, as does the answer */
    struct context *ctx;
    const struct record_type *type;
    RECORDS(struct str) warnings; /* texts are the context's */
    RECORDS(char) items;          /* of `type`, as in any peers_answer */
    size_t at;                    /* of the warnings, then of the items */
    struct arena *arena;
};

static void add_warning(void *arg, struct str text)
{
    struct answer_stream *stream = arg;
    *records_add(&stream->warnings, stream->arena) = text;
}

static enum grpc_step answer_step(void *state, struct grpc_call *call, struct error **err)
{
    struct answer_stream *stream = state;
    struct buf message = BUF_INIT(arena_budget(stream->arena));
    size_t at = stream->at++;
    if (at >= stream->warnings.count + stream->items.count)
        return GRPC_STEP_END;
    if (at < stream->warnings.count)
        peers_frame_encode_warning(&message, stream->warnings.items[at]);
    else
        peers_frame_encode(&message, stream->type,
                           stream->items.items +
                               (at - stream->warnings.count) * stream->type->size);
    *err = buf_status(&message);
    if (!*err)
        grpc_call_send(call, buf_bytes(&message));
    buf_deinit(&message);
    return *err ? GRPC_STEP_END : GRPC_STEP_MORE;
}

static void answer_free(void *state)
{
    context_unref(((struct answer_stream *)state)->ctx);
}

static const struct grpc_stream_ops answer_ops = {.step = answer_step, .free = answer_free};

static void answer_attach(struct grpc_call *call, struct context *ctx,
                          const struct record_type *type, const struct peers_answer *answer)
{
    struct arena *arena = grpc_call_arena(call);
    struct answer_stream *stream = arena_zalloc(arena, sizeof(*stream));
    stream->ctx = context_ref(ctx);
    stream->type = type;
    stream->arena = arena;
    memcpy(&stream->items, answer, sizeof(stream->items));
    context_each_warning(ctx, add_warning, stream);
    grpc_call_attach(call, &answer_ops, stream);
}

/* -- answering -- */

static struct error *serve_question(void *self, struct grpc_call *call, struct bytes request)
{
    const struct peers_method *method = self;
    const struct peers_topic_info *topic = &peers_topics[method->topic];
    struct arena *arena = grpc_call_arena(call);
    struct peers_question question;
    struct peers_answer answer = {0};
    struct error *err = record_decode(request, arena, topic->question, &question);
    if (err)
        return error_kind(err) == ERROR_CORRUPT ? error_as(err, ERROR_INVALID) : err;
    question.topic = method->topic;
    struct context *ctx = call_context_create(call);
    err = method->service->answer(method->service->self, ctx, &question, arena, &answer);
    if (!err)
        err = arena_status(arena);
    if (!err)
        answer_attach(call, ctx, topic->answer, &answer);
    context_unref(ctx);
    return err;
}

struct peers_service *peers_service_create(peers_answer_fn answer, void *self, struct pool *pool,
                                           struct grpc_method *out)
{
    struct peers_service *service = xcalloc(1, sizeof(*service));
    service->answer = answer;
    service->self = self;
    for (size_t i = 0; i < PEERS_TOPICS; i++) {
        service->methods[i] = (struct peers_method){service, (enum peers_topic)i};
        out[i] = (struct grpc_method){
            .path = peers_topics[i].path,
            .kind = GRPC_SERVER_STREAM,
            .handler = serve_question,
            .self = &service->methods[i],
            .pool = pool,
            .request_max = REQUEST_MAX,
        };
    }
    return service;
}

void peers_service_free(struct peers_service *service)
{
    free(service);
}
