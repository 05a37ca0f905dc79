#include "rpc/series_stream.h"

#include <stdlib.h>

#include "base/memory.h"
#include "base/vec.h"
#include "rpc/series_wire.h"
#include "runtime/context.h"
#include "runtime/metrics.h"

enum {
    STEP_SERIES = 256,     /* most that one step gives */
    FRAME_BYTES = 1 << 20, /* a frame ends when it has this much */
    HOLD_BYTES = 1 << 18,  /* what is held back for a fuller frame goes when it has this much */
};

struct series_stream {
    struct grpc_call *call; /* a reference, for wakes */
    struct series_set *set;
    struct context *ctx;
    size_t batch_size;
    size_t warnings_sent;
    uint64_t series, chunks;
    /* Held back until a frame is full: a set that gets its series in drops would otherwise be sent
     * in drops. Nothing is held before the first frame, which tells the client that we live. */
    VEC(struct series) held;
    struct arena *arena; /* of what is held; NULL: nothing */
    size_t held_bytes;
    bool has_sent;
    struct series_stream_config config;
};

static void stream_wake(void *arg)
{
    struct series_stream *stream = arg;
    grpc_call_wake(stream->call);
}

/* -- warnings -- */

struct warning_walk {
    struct series_stream *stream;
    size_t at;
    struct error *err;
};

static void send_warning(void *arg, struct str text)
{
    struct warning_walk *walk = arg;
    if (walk->at++ < walk->stream->warnings_sent || walk->err)
        return;
    struct buf message = BUF_INIT(context_budget(walk->stream->ctx));
    series_frame_encode_warning(&message, text);
    walk->err = buf_status(&message);
    if (!walk->err)
        grpc_call_send(walk->stream->call, buf_bytes(&message));
    buf_deinit(&message);
}

static void count_warning(void *arg, struct str text)
{
    (void)text;
    ++*(size_t *)arg;
}

static bool stream_has_warnings(struct series_stream *stream)
{
    size_t count = 0;
    if (context_has_warnings(stream->ctx))
        context_each_warning(stream->ctx, count_warning, &count);
    return count > stream->warnings_sent;
}

static struct error *stream_send_warnings(struct series_stream *stream)
{
    struct warning_walk walk = {.stream = stream};
    context_each_warning(stream->ctx, send_warning, &walk);
    stream->warnings_sent = walk.at;
    return walk.err;
}

/* -- series -- */

static struct error *data_transcode(struct chunk_data *data, struct arena *arena)
{
    return data->encoding <= CHUNK_FLOAT_HISTOGRAM ? NULL : chunk_transcode(data, arena, data);
}

/* Encodings that the Store API has no number for are written anew. */
static struct error *series_transcode(struct series *series, struct arena *arena)
{
    struct error *err = NULL;
    for (size_t i = 0; i < series->chunks.count && !err; i++)
        err = data_transcode(&series->chunks.items[i].raw, arena);
    return err;
}

/* The next frame: what of the series fits. */
static struct series_frame_plan frame_plan(const struct series_stream *stream,
                                           const struct series *items, size_t left)
{
    size_t count = 0, bytes = 0;
    left = size_min(left, size_max(stream->batch_size, 1));
    while (count < left && bytes < FRAME_BYTES)
        bytes += series_wire_size(&items[count++]);
    return series_frame_plan(items, count, stream->batch_size <= 1);
}

static void fill_frame(void *arg, uint8_t *to)
{
    series_frame_write(arg, to);
}

/* Sends what is held. */
static void stream_flush(struct series_stream *stream)
{
    for (size_t at = 0; at < stream->held.len;) {
        struct series_frame_plan plan =
            frame_plan(stream, stream->held.items + at, stream->held.len - at);
        grpc_call_send_filled(stream->call, plan.size, fill_frame, &plan);
        at += plan.count;
        stream->has_sent = true;
    }
    vec_clear(&stream->held);
    stream->held_bytes = 0;
    arena_unref(stream->arena);
    stream->arena = NULL;
}

static struct error *stream_hold(struct series_stream *stream, const struct series_batch *batch)
{
    struct error *err = NULL;
    stream->series += batch->count;
    for (size_t i = 0; i < batch->count && !err; i++) {
        stream->chunks += batch->items[i].chunks.count;
        err = series_transcode(&batch->items[i], stream->arena);
        stream->held_bytes += series_wire_size(&batch->items[i]);
        (void)vec_push(&stream->held, batch->items[i]);
    }
    return err ? err : vec_status(&stream->held);
}

static bool stream_is_full(const struct series_stream *stream)
{
    return !stream->has_sent || stream->held.len >= stream->batch_size ||
           stream->held_bytes >= HOLD_BYTES;
}

/* -- the stream -- */

static enum grpc_step stream_step(void *state, struct grpc_call *call, struct error **err)
{
    struct series_stream *stream = state;
    (void)call;
    if (!series_set_ready(stream->set, &(struct series_wake){stream_wake, stream}))
        return GRPC_STEP_WAIT;
    struct series_batch batch;
    if (!stream->arena)
        stream->arena = arena_create(context_budget(stream->ctx));
    *err = series_set_next(stream->set, stream->arena, STEP_SERIES, &batch);
    bool has_ended = *err || batch.count == 0;
    if (!*err)
        *err = stream_hold(stream, &batch);
    bool has_warnings = stream_has_warnings(stream);
    if (has_ended || has_warnings || stream_is_full(stream))
        stream_flush(stream);
    if (!*err && has_warnings)
        *err = stream_send_warnings(stream);
    return *err || has_ended ? GRPC_STEP_END : GRPC_STEP_MORE;
}

static void stream_state_free(void *state)
{
    struct series_stream *stream = state;
    metric_observe(stream->config.series_count, (double)stream->series);
    metric_observe(stream->config.chunk_count, (double)stream->chunks);
    metric_add(stream->config.open_streams, -1);
    series_set_free(stream->set);
    vec_deinit(&stream->held);
    arena_unref(stream->arena);
    context_unref(stream->ctx);
    grpc_call_unref(stream->call);
    free(stream);
}

static const struct grpc_stream_ops stream_ops = {.step = stream_step, .free = stream_state_free};

void series_stream_attach(struct grpc_call *call, struct series_set *set,
                          const struct series_stream_config *config)
{
    struct series_stream *stream = xcalloc(1, sizeof(*stream));
    grpc_call_ref(call);
    stream->call = call;
    stream->set = set;
    stream->ctx = context_ref(config->ctx);
    stream->batch_size = config->batch_size;
    stream->held.budget = context_budget(config->ctx);
    stream->config = *config;
    metric_add(config->open_streams, 1);
    grpc_call_attach(call, &stream_ops, stream);
}
