/* The reader's side of a call: messages wait here, and the windows they came through are given back
 * when they are taken.
 *
 * What a peer may have in flight is bounded by the stream's window, so bytes that are not given
 * back stall it. They are given back: at once while no whole message waits (else a message larger
 * than the window would never be whole), at once while a stream of the same stall group is silent
 * (architecture.md, Threads), and otherwise when the reader takes messages. */
#include "net/grpc_client.h"

#include <stdlib.h>

#include "base/memory.h"
#include "net/grpc_call_out.h"
#include "runtime/event_loop.h"

struct stall_group {
    atomic_uint references; /* the owner, each stream */
    struct mutex lock;
    struct budget *budget;
    struct grpc_stream *first GUARDED_BY(lock);
    atomic_size_t silent; /* changed under lock */
    atomic_size_t pile;   /* bytes received and not taken, of all streams */
};

/* -- references -- */

static void group_unref(struct stall_group *group);

void grpc_stream_ref(struct grpc_stream *stream)
{
    atomic_fetch_add_explicit(&stream->references, 1, memory_order_relaxed);
}

void grpc_stream_unref(void *object)
{
    struct grpc_stream *stream = object;
    if (atomic_fetch_sub_explicit(&stream->references, 1, memory_order_acq_rel) != 1)
        return;
    error_free(stream->error);
    buf_deinit(&stream->request);
    group_unref(stream->group);
    grpc_channel_unref(stream->channel);
    context_unref(stream->ctx);
    pthread_cond_destroy(&stream->changed);
    mutex_deinit(&stream->lock);
    mutex_deinit(&stream->receiving);
    arena_unref(stream->arena);
    free(stream);
}

static void stream_post(struct grpc_stream *stream, event_fn fn)
{
    grpc_stream_ref(stream);
    event_loop_post(grpc_channel_loop(stream->channel), fn, stream);
}

/* Called with the lock, gives it up; tells the reader. */
static void stream_signal_unlock(struct grpc_stream *stream) RELEASES(stream->lock)
{
    void (*wake)(void *arg) = stream->wake;
    void *arg = stream->wake_arg;
    stream->wake = NULL;
    stream->waking = wake != NULL;
    pthread_cond_broadcast(&stream->changed);
    mutex_unlock(&stream->lock);
    if (!wake)
        return;
    wake(arg);
    mutex_lock(&stream->lock);
    stream->waking = false;
    pthread_cond_broadcast(&stream->changed);
    mutex_unlock(&stream->lock);
}

/* -- windows -- */

static void stream_give_back(struct grpc_stream *stream)
{
    bool runs_free = stream->group && atomic_load(&stream->group->silent) > 0;
    mutex_lock(&stream->lock);
    size_t keep = runs_free ? 0 : stream->queued_bytes;
    stream->credit_posted = false;
    mutex_unlock(&stream->lock);
    if (!stream->http2 || stream->held <= keep)
        return;
    http2_stream_consume(stream->http2, stream->held - keep);
    stream->held = keep;
}

static void stream_credit(void *arg)
{
    stream_give_back(arg);
    grpc_stream_unref(arg);
}

/* -- stall groups -- */

struct stall_group *stall_group_create(struct budget *budget)
{
    struct stall_group *group = xcalloc(1, sizeof(*group));
    atomic_init(&group->references, 1);
    mutex_init(&group->lock);
    group->budget = budget;
    return group;
}

static void group_unref(struct stall_group *group)
{
    if (!group || atomic_fetch_sub_explicit(&group->references, 1, memory_order_acq_rel) != 1)
        return;
    mutex_deinit(&group->lock);
    free(group);
}

void stall_group_free(struct stall_group *group)
{
    group_unref(group);
}

static void group_join(struct stall_group *group, struct grpc_stream *stream)
{
    atomic_fetch_add_explicit(&group->references, 1, memory_order_relaxed);
    mutex_lock(&group->lock);
    if (atomic_fetch_add(&group->silent, 1) == 0)
        for (struct grpc_stream *other = group->first; other; other = other->group_next)
            stream_post(other, stream_credit); /* opening another ends the stalls */
    stream->is_silent = true;
    stream->group_next = group->first;
    if (group->first)
        group->first->group_prev = stream;
    group->first = stream;
    mutex_unlock(&group->lock);
}

static void group_heard_from(struct stall_group *group, struct grpc_stream *stream)
{
    mutex_lock(&group->lock);
    if (stream->is_silent) {
        stream->is_silent = false;
        atomic_fetch_sub(&group->silent, 1);
    }
    mutex_unlock(&group->lock);
}

static void group_leave(struct stall_group *group, struct grpc_stream *stream)
{
    group_heard_from(group, stream);
    mutex_lock(&group->lock);
    if (stream->group_prev)
        stream->group_prev->group_next = stream->group_next;
    else
        group->first = stream->group_next;
    if (stream->group_next)
        stream->group_next->group_prev = stream->group_prev;
    mutex_unlock(&group->lock);
}

static void stream_give_up_waiting(void *arg)
{
    struct grpc_stream *stream = arg;
    grpc_stream_settle(
        stream, GRPC_DEADLINE_EXCEEDED,
        error_create(
            ERROR_TIMEOUT,
            "no message came while those of other stores filled half of the query's memory"));
    grpc_channel_drop(stream);
    grpc_stream_unref(stream);
}

/* The pile that waits for the silent ones is too high: they are given up. */
static void group_check_pile(struct stall_group *group)
{
    size_t limit = budget_limit(group->budget);
    if (limit == 0 || atomic_load(&group->silent) == 0 || atomic_load(&group->pile) <= limit / 2)
        return;
    mutex_lock(&group->lock);
    for (struct grpc_stream *stream = group->first; stream; stream = stream->group_next)
        if (stream->is_silent) {
            stream->is_silent = false;
            atomic_fetch_sub(&group->silent, 1);
            stream_post(stream, stream_give_up_waiting);
        }
    mutex_unlock(&group->lock);
}

/* -- from the channel -- */

static void stream_push(struct grpc_stream *stream, struct grpc_message *message)
{
    size_t len = message->bytes.len;
    if (stream->group) {
        group_heard_from(stream->group, stream);
        atomic_fetch_add(&stream->group->pile, len);
    }
    mutex_lock(&stream->lock);
    if (stream->last)
        stream->last->next = message;
    else
        stream->first = message;
    stream->last = message;
    stream->queued_bytes += len + GRPC_PREFIX;
    stream_signal_unlock(stream);
    if (stream->group)
        group_check_pile(stream->group);
}

static struct error *stream_deframe_locked(struct grpc_stream *stream, struct bytes data)
    REQUIRES(stream->receiving)
{
    while (!stream->abandoned) {
        struct grpc_message *message;
        struct error *err = grpc_deframe(&stream->deframer, &data, &message);
        if (err)
            return err;
        if (!message)
            break;
        stream_push(stream, message);
    }
    return NULL;
}

struct error *grpc_stream_receive(struct grpc_stream *stream, struct bytes data)
{
    stream->held += data.len;
    mutex_lock(&stream->receiving);
    struct error *err = stream_deframe_locked(stream, data);
    mutex_unlock(&stream->receiving);
    if (!err)
        stream_give_back(stream);
    return err;
}

static void stream_stop_receiving(struct grpc_stream *stream, bool abandon)
{
    mutex_lock(&stream->receiving);
    stream->abandoned |= abandon;
    grpc_deframer_deinit(&stream->deframer);
    mutex_unlock(&stream->receiving);
}

void grpc_stream_settle(struct grpc_stream *stream, enum grpc_code code, struct error *err)
{
    mutex_lock(&stream->lock);
    if (stream->ended) {
        mutex_unlock(&stream->lock);
        error_free(err);
        return;
    }
    stream->ended = true;
    stream->code = code;
    stream->error = err;
    stream_signal_unlock(stream);
    stream_stop_receiving(stream, false);
    if (stream->group)
        group_heard_from(stream->group, stream);
}

/* -- the reader -- */

static void stream_begin(void *arg)
{
    struct grpc_stream *stream = arg;
    grpc_channel_carry(stream);
    grpc_stream_unref(stream);
}

static void stream_abort(void *arg)
{
    struct grpc_stream *stream = arg;
    struct error *err = context_error(stream->ctx);
    enum grpc_code code =
        error_kind(err) == ERROR_TIMEOUT ? GRPC_DEADLINE_EXCEEDED : GRPC_CANCELLED;
    grpc_stream_settle(stream, code, err ? err : error_create(ERROR_CANCELLED, "context canceled"));
    grpc_channel_drop(stream);
    grpc_stream_unref(stream);
}

static void stream_context_ended(void *arg)
{
    stream_post(arg, stream_abort);
}

static const struct grpc_metadata *metadata_copy(struct arena *arena,
                                                 const struct grpc_metadata *metadata, size_t count)
{
    struct grpc_metadata *copy = arena_array(arena, count, sizeof(*copy));
    for (size_t i = 0; i < count; i++)
        copy[i] = (struct grpc_metadata){arena_str(arena, metadata[i].name),
                                         arena_str(arena, metadata[i].value)};
    return copy;
}

struct grpc_stream *grpc_stream_start(struct grpc_channel *channel, struct context *ctx,
                                      const char *method, struct bytes request,
                                      const struct grpc_metadata *metadata, size_t metadata_count,
                                      size_t message_max)
{
    struct grpc_stream *stream = xcalloc(1, sizeof(*stream));
    atomic_init(&stream->references, 1);
    mutex_init(&stream->lock);
    mutex_init(&stream->receiving);
    pthread_cond_init(&stream->changed, NULL);
    stream->channel = channel;
    grpc_channel_ref(channel);
    stream->ctx = context_ref(ctx);
    stream->arena = arena_create(NULL);
    stream->method = arena_cstr(stream->arena, str_from(method));
    stream->metadata = metadata_copy(stream->arena, metadata, metadata_count);
    stream->metadata_count = metadata_count;
    grpc_frame(&stream->request, request, GRPC_IDENTITY);
    stream->deframer =
        (struct grpc_deframer){.message_max = message_max, .budget = context_budget(ctx)};
    stream->group = context_stall_group(ctx);
    if (stream->group)
        group_join(stream->group, stream);
    stream_post(stream, stream_begin);
    stream->on_end = (struct context_hook){.fn = stream_context_ended, .arg = stream};
    context_on_end(ctx, &stream->on_end);
    return stream;
}

static struct grpc_message *stream_pop_locked(struct grpc_stream *stream) REQUIRES(stream->lock)
{
    struct grpc_message *message = stream->first;
    if (!message)
        return NULL;
    stream->first = message->next;
    if (!stream->first)
        stream->last = NULL;
    message->next = NULL;
    stream->queued_bytes -= message->bytes.len + GRPC_PREFIX;
    if (stream->group)
        atomic_fetch_sub(&stream->group->pile, message->bytes.len);
    return message;
}

struct error *grpc_stream_next(struct grpc_stream *stream, struct context *ctx,
                               struct grpc_message **out)
{
    struct error *err = NULL;
    mutex_lock(&stream->lock);
    while (!err && !stream->first && !stream->ended)
        err = context_wait(ctx, &stream->changed, &stream->lock);
    *out = err ? NULL : stream_pop_locked(stream);
    if (!err && !*out)
        err = error_copy(stream->error);
    bool post = *out && !stream->credit_posted && !stream->ended;
    stream->credit_posted |= post;
    mutex_unlock(&stream->lock);
    if (post)
        stream_post(stream, stream_credit);
    return err;
}

bool grpc_stream_ready(struct grpc_stream *stream, void (*wake)(void *arg), void *arg)
{
    mutex_lock(&stream->lock);
    bool ready = stream->first || stream->ended;
    stream->wake = ready ? NULL : wake;
    stream->wake_arg = arg;
    mutex_unlock(&stream->lock);
    return ready;
}

void grpc_stream_cancel(struct grpc_stream *stream)
{
    stream_post(stream, stream_abort);
}

enum grpc_code grpc_stream_code(const struct grpc_stream *stream) NO_THREAD_SAFETY
{
    struct grpc_stream *writable = (struct grpc_stream *)(uintptr_t)stream;
    mutex_lock(&writable->lock);
    enum grpc_code code = stream->ended ? stream->code : GRPC_OK;
    mutex_unlock(&writable->lock);
    return code;
}

static void stream_drop_messages(struct grpc_stream *stream)
{
    mutex_lock(&stream->lock);
    for (struct grpc_message *message; (message = stream_pop_locked(stream));)
        grpc_message_unref(message);
    mutex_unlock(&stream->lock);
}

void grpc_stream_free(struct grpc_stream *stream)
{
    if (!stream)
        return;
    context_off_end(stream->ctx, &stream->on_end);
    mutex_lock(&stream->lock);
    stream->wake = NULL;
    while (stream->waking && !event_loop_is_current(grpc_channel_loop(stream->channel)))
        mutex_wait(&stream->lock, &stream->changed);
    bool ended = stream->ended;
    mutex_unlock(&stream->lock);
    stream_stop_receiving(stream, true);
    stream_drop_messages(stream);
    if (stream->group)
        group_leave(stream->group, stream);
    if (!ended)
        stream_post(stream, stream_abort);
    grpc_stream_unref(stream);
}

/* -- unary calls -- */

static struct error *unary_read(struct grpc_stream *stream, struct context *ctx,
                                struct buf *response)
{
    struct grpc_message *message, *more = NULL;
    struct error *err = grpc_stream_next(stream, ctx, &message);
    if (err)
        return err;
    if (!message)
        return grpc_error(GRPC_INTERNAL, STR("a unary call was answered by no message"));
    buf_append(response, message->bytes.data, message->bytes.len);
    grpc_message_unref(message);
    err = grpc_stream_next(stream, ctx, &more);
    if (!err && more)
        err = grpc_error(GRPC_INTERNAL, STR("a unary call was answered by more than one message"));
    if (more)
        grpc_message_unref(more);
    return err ? err : buf_status(response);
}

struct error *grpc_unary(struct grpc_channel *channel, struct context *ctx, const char *method,
                         struct bytes request, const struct grpc_metadata *metadata,
                         size_t metadata_count, size_t response_max, struct buf *response)
{
    struct grpc_stream *stream =
        grpc_stream_start(channel, ctx, method, request, metadata, metadata_count, response_max);
    struct error *err = unary_read(stream, ctx, response);
    grpc_stream_free(stream);
    return err;
}
