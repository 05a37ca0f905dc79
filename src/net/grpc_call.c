/* The life of a call on the server.
 *
 *     request whole --> handler (pool) --> answer or error ----------------------> status sent
 *                            \--> stream attached --> step, step, ... (pool) --END--/
 *
 * A step is put into the pool when the stream has credit (less than a window waits to be sent) and
 * its input is ready; between steps nothing is held. What steps produce is framed on the pool's
 * thread and moved to the HTTP/2 stream on the loop. */
#include <stdlib.h>

#include "base/memory.h"
#include "net/grpc_call_in.h"
#include "runtime/event_loop.h"
#include "runtime/pool.h"
#include "runtime/time.h"

enum { CALL_MEMORY_DEFAULT = 256 * 1024 * 1024, STEPS_AT_ONCE = 4 };

/* -- references -- */

void grpc_call_ref(struct grpc_call *call)
{
    atomic_fetch_add_explicit(&call->references, 1, memory_order_relaxed);
}

static void call_free(struct grpc_call *call)
{
    struct grpc_server *server = call->server;
    if (call->request)
        grpc_message_unref(call->request);
    grpc_deframer_deinit(&call->deframer);
    buf_deinit(&call->response);
    buf_deinit(&call->status_text);
    context_unref(call->ctx);
    arena_unref(call->arena);
    budget_free(call->budget);
    mutex_deinit(&call->lock);
    free(call);
    grpc_server_call_gone(server);
}

void grpc_call_unref(struct grpc_call *call)
{
    if (atomic_fetch_sub_explicit(&call->references, 1, memory_order_acq_rel) == 1)
        call_free(call);
}

/* -- what handlers see -- */

struct arena *grpc_call_arena(struct grpc_call *call)
{
    return call->arena;
}

struct context *grpc_call_context(struct grpc_call *call)
{
    return call->ctx;
}

struct buf *grpc_call_response(struct grpc_call *call)
{
    return &call->response;
}

struct str grpc_call_metadata(struct grpc_call *call, struct str name)
{
    for (size_t i = 0; i < call->metadata_count; i++)
        if (str_equal(call->metadata[i].name, name))
            return call->metadata[i].value;
    return STR("");
}

void grpc_call_set_code(struct grpc_call *call, enum grpc_code code)
{
    call->code_override = code;
}

/* -- the way out -- */

static void call_flush_task(void *arg)
{
    struct grpc_call *call = arg;
    grpc_call_flush(call);
    grpc_call_unref(call);
}

static void call_post_flush(struct grpc_call *call)
{
    mutex_lock(&call->lock);
    bool post = !call->flush_posted;
    call->flush_posted = true;
    mutex_unlock(&call->lock);
    if (!post)
        return;
    grpc_call_ref(call);
    event_loop_post(call->loop, call_flush_task, call);
}

void grpc_call_send(struct grpc_call *call, struct bytes message)
{
    struct grpc_frame_out *frame = xcalloc(1, sizeof(*frame));
    grpc_frame(&frame->bytes, message, call->encoding);
    frame->call = call;
    grpc_call_ref(call);
    budget_charge_anyway(call->budget, frame->bytes.cap);
    grpc_metrics_sent(call->metrics);
    mutex_lock(&call->lock);
    call->unsent += frame->bytes.len;
    if (call->last_out)
        call->last_out->next = frame;
    else
        call->first_out = frame;
    call->last_out = frame;
    mutex_unlock(&call->lock);
    call_post_flush(call);
}

static void call_finish(struct grpc_call *call, enum grpc_code code, struct str text)
{
    mutex_lock(&call->lock);
    bool first = !call->finished;
    if (first) {
        call->finished = true;
        call->code = code;
        grpc_status_encode(&call->status_text, text);
    }
    mutex_unlock(&call->lock);
    if (!first)
        return;
    grpc_metrics_handled(call->metrics, code,
                         (double)(time_now_monotonic_ns() - call->start_ns) / 1e9);
    call_post_flush(call);
}

void grpc_call_fail(struct grpc_call *call, struct error *err, enum grpc_code code)
{
    call_finish(call, code, error_text(err));
    error_free(err);
}

/* Takes err. */
static void call_finish_with(struct grpc_call *call, struct error *err)
{
    enum grpc_code code = GRPC_OK;
    if (err) {
        enum grpc_code (*code_of)(enum error_kind) =
            call->method->code_of ? call->method->code_of : grpc_code_of;
        bool is_ours = error_kind(err) == ERROR_CANCELLED || error_kind(err) == ERROR_TIMEOUT;
        code = call->code_override != GRPC_OK ? call->code_override
               : is_ours                      ? grpc_code_of(error_kind(err))
                                              : code_of(error_kind(err));
    }
    grpc_call_fail(call, err, code);
}

/* -- steps -- */

static void call_run_steps(void *arg);

/* Puts a step into the pool when there is reason and room for one. Gives up the lock. */
static void call_schedule_unlock(struct grpc_call *call) RELEASES(call->lock)
{
    bool may_produce = !call->waiting && call->unsent < GRPC_SEND_WINDOW;
    bool run =
        call->ops && !call->running && !call->finished && (may_produce || context_ended(call->ctx));
    call->running |= run;
    mutex_unlock(&call->lock);
    if (!run)
        return;
    grpc_call_ref(call);
    pool_run_anyway(call->method->pool, call_run_steps, call);
}

void grpc_call_wake(struct grpc_call *call)
{
    mutex_lock(&call->lock);
    call->woken = call->running;
    call->waiting = false;
    call_schedule_unlock(call);
}

static void call_context_ended(void *arg)
{
    grpc_call_wake(arg);
}

static void call_end_stream(struct grpc_call *call)
{
    mutex_lock(&call->lock);
    const struct grpc_stream_ops *ops = call->ops;
    void *state = call->state;
    call->ops = NULL;
    mutex_unlock(&call->lock);
    if (!ops)
        return;
    context_off_end(call->ctx, &call->on_end);
    ops->free(state);
}

/* One step; true when the next may follow at once. */
static bool call_step(struct grpc_call *call, const struct grpc_stream_ops *ops, void *state)
{
    struct error *err = context_error(call->ctx);
    enum grpc_step step = err ? GRPC_STEP_END : ops->step(state, call, &err);
    if (step == GRPC_STEP_END || err) {
        call_finish_with(call, err);
        return false;
    }
    mutex_lock(&call->lock);
    call->waiting = step == GRPC_STEP_WAIT && !call->woken;
    call->woken = false;
    bool more = !call->waiting && call->unsent < GRPC_SEND_WINDOW;
    mutex_unlock(&call->lock);
    return more;
}

static void call_run_steps(void *arg)
{
    struct grpc_call *call = arg;
    mutex_lock(&call->lock);
    const struct grpc_stream_ops *ops = call->ops;
    void *state = call->state;
    mutex_unlock(&call->lock);
    for (int i = 0; i < STEPS_AT_ONCE && call_step(call, ops, state); i++)
        ;
    mutex_lock(&call->lock);
    call->running = false;
    bool finished = call->finished;
    call_schedule_unlock(call);
    if (finished)
        call_end_stream(call);
    grpc_call_unref(call);
}

void grpc_call_attach(struct grpc_call *call, const struct grpc_stream_ops *ops, void *state)
{
    mutex_lock(&call->lock);
    call->ops = ops;
    call->state = state;
    mutex_unlock(&call->lock);
}

/* -- the handler -- */

static void call_run_handler(void *arg)
{
    struct grpc_call *call = arg;
    struct error *err = context_error(call->ctx);
    if (!err)
        err = call->method->handler(call->method->self, call, call->request->bytes);
    if (!err)
        err = arena_status(call->arena);
    mutex_lock(&call->lock);
    bool is_stream = call->ops != NULL;
    mutex_unlock(&call->lock);
    if (!err && !is_stream)
        err = buf_status(&call->response);
    if (!err && is_stream) {
        call->on_end = (struct context_hook){.fn = call_context_ended, .arg = call};
        context_on_end(call->ctx, &call->on_end);
        mutex_lock(&call->lock);
        call_schedule_unlock(call);
    } else {
        if (!err)
            grpc_call_send(call, buf_bytes(&call->response));
        call_finish_with(call, err);
        call_end_stream(call);
    }
    grpc_call_unref(call);
}

void grpc_call_dispatch(struct grpc_call *call)
{
    grpc_metrics_received(call->metrics);
    grpc_call_ref(call);
    struct error *err = pool_run(call->method->pool, call_run_handler, call);
    if (!err)
        return;
    grpc_call_fail(call, err, GRPC_RESOURCE_EXHAUSTED);
    grpc_call_unref(call);
}

/* -- on the loop -- */

static int64_t call_timeout(const struct http2_field *fields, size_t count)
{
    int64_t ms = CONTEXT_NO_DEADLINE;
    for (size_t i = 0; i < count; i++)
        if (str_equal(fields[i].name, STR("grpc-timeout")) &&
            grpc_timeout_parse(fields[i].value, &ms))
            return int64_max(ms, 1);
    return CONTEXT_NO_DEADLINE;
}

static void call_copy_metadata(struct grpc_call *call, const struct http2_field *fields,
                               size_t count)
{
    call->metadata = arena_array(call->arena, count, sizeof(*call->metadata));
    for (size_t i = 0; i < count; i++)
        if (fields[i].name.len && fields[i].name.data[0] != ':')
            call->metadata[call->metadata_count++] = (struct grpc_metadata){
                arena_str(call->arena, fields[i].name), arena_str(call->arena, fields[i].value)};
}

struct grpc_call *grpc_call_create(struct grpc_server *server, struct budget *parent,
                                   size_t memory_max, const struct grpc_method *method,
                                   struct grpc_metrics *metrics, struct event_loop *loop,
                                   const struct http2_field *fields, size_t count)
{
    struct grpc_call *call = xcalloc(1, sizeof(*call));
    atomic_init(&call->references, 1);
    mutex_init(&call->lock);
    call->server = server;
    call->method = method;
    call->metrics = metrics;
    call->loop = loop;
    call->start_ns = time_now_monotonic_ns();
    call->budget = budget_create(parent, "call", memory_max ? memory_max : CALL_MEMORY_DEFAULT);
    call->arena = arena_create(call->budget);
    call->response.budget = call->budget;
    call->ctx = context_create(NULL, call_timeout(fields, count));
    context_set_budget(call->ctx, call->budget);
    call_copy_metadata(call, fields, count);
    call->encoding = grpc_encoding_parse(grpc_call_metadata(call, STR("grpc-encoding")));
    call->deframer = (struct grpc_deframer){
        .message_max = method->request_max, .budget = call->budget, .encoding = call->encoding};
    grpc_metrics_started(metrics);
    return call;
}

static void call_send_head(struct grpc_call *call)
{
    struct http2_field fields[3] = {{STR(":status"), STR("200")},
                                    {STR("content-type"), STR("application/grpc")}};
    size_t count = 2;
    if (call->encoding == GRPC_GZIP || call->encoding == GRPC_SNAPPY)
        fields[count++] = (struct http2_field){STR("grpc-encoding"),
                                               str_from(grpc_encoding_name(call->encoding))};
    http2_stream_respond(call->http2, fields, count, false);
    call->head_sent = true;
}

/* A frame has been sent, or dropped: its bytes are credit again. On the loop. */
static void frame_release(void *owner)
{
    struct grpc_frame_out *frame = owner;
    struct grpc_call *call = frame->call;
    budget_release(call->budget, frame->bytes.cap);
    mutex_lock(&call->lock);
    call->unsent -= frame->bytes.len;
    call_schedule_unlock(call);
    buf_deinit(&frame->bytes);
    free(frame);
    grpc_call_unref(call);
}

static void call_send_end(struct grpc_call *call, enum grpc_code code, struct str text)
{
    char number[4];
    struct buf digits = {.data = number, .cap = sizeof(number)};
    buf_append_uint64(&digits, code);
    struct http2_field fields[] = {{STR(":status"), STR("200")},
                                   {STR("content-type"), STR("application/grpc")},
                                   {STR("grpc-status"), buf_str(&digits)},
                                   {STR("grpc-message"), text}};
    size_t with_text = text.len ? 1 : 0;
    if (call->head_sent)
        http2_stream_end(call->http2, fields + 2, 1 + with_text);
    else
        http2_stream_respond(call->http2, fields, 3 + with_text, true);
    call->end_sent = true;
}

void grpc_call_flush(struct grpc_call *call)
{
    mutex_lock(&call->lock);
    struct grpc_frame_out *frame = call->first_out;
    call->first_out = call->last_out = NULL;
    call->flush_posted = false;
    bool finished = call->finished;
    enum grpc_code code = call->code;
    struct str text = buf_str(&call->status_text); /* does not change once finished */
    mutex_unlock(&call->lock);
    while (frame) {
        struct grpc_frame_out *next = frame->next;
        if (!call->http2) {
            frame_release(frame);
        } else {
            if (!call->head_sent)
                call_send_head(call);
            http2_stream_send(call->http2, frame->bytes.data, frame->bytes.len, frame_release,
                              frame);
        }
        frame = next;
    }
    if (finished && call->http2 && !call->end_sent)
        call_send_end(call, code, text);
}

void grpc_call_closed(struct grpc_call *call)
{
    call->http2 = NULL;
    context_cancel(call->ctx); /* wakes a stream, whose last step then frees it */
    grpc_call_flush(call);
    mutex_lock(&call->lock);
    bool is_known = call->finished || call->got_request;
    mutex_unlock(&call->lock);
    if (!is_known) /* reset before the request was whole */
        call_finish(call, GRPC_CANCELLED, STR("context canceled"));
    grpc_call_unref(call);
}
