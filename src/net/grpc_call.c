#include "net/grpc_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/page_pool.h"
#include "net/request_log.h"
#include "runtime/event_loop.h"
#include "runtime/metrics.h"
#include "runtime/pool.h"
#include "runtime/time.h"

enum {
    REQUEST_TIMEOUT_MS = 30 * 1000,
    REQUEST_SMALL = 16 * 1024, /* always finds room */
    CREDIT_MAX = 1024 * 1024,  /* what may wait for one stream, however wide the peer's window */
    STEPS_PER_JOB = 8,         /* then others of the pool get their turn */
    OUTPUT_BATCH = 128 * 1024, /* what steps queue before the loop is woken for it */
    INBOX_MAX = 64,            /* unanswered messages of an exchange */
    PAGE_FROM = 16 * 1024,
};

struct out_message {
    struct out_message *next;
    struct grpc_call *call; /* a reference: its budget is charged until the message is sent */
    size_t charged, page;
    struct buf compressed; /* has the frame instead of `frame` */
    size_t len;
    uint8_t frame[];
};

static void call_output(void *arg);
static void call_run(void *arg);

/* --- lifetime --- */

void grpc_call_ref(struct grpc_call *call)
{
    atomic_fetch_add_explicit(&call->references, 1, memory_order_relaxed);
}

static void drop_inbox(struct grpc_message *message)
{
    while (message) {
        struct grpc_message *next = message->next;
        grpc_message_unref(message);
        message = next;
    }
}

void grpc_call_unref(struct grpc_call *call) NO_THREAD_SAFETY
{
    if (atomic_fetch_sub_explicit(&call->references, 1, memory_order_acq_rel) != 1)
        return;
    drop_inbox(call->first_in);
    grpc_message_unref(call->request);
    grpc_deframer_deinit(&call->deframer);
    arena_unref(call->arena);
    buf_deinit(&call->response);
    buf_deinit(&call->metadata);
    buf_deinit(&call->text);
    error_free(call->send_error);
    context_unref(call->ctx);
    budget_free(call->budget);
    mutex_deinit(&call->lock);
    if (call->requests)
        atomic_fetch_sub(&call->requests->bytes, call->counted);
    void (*gone)(void *arg) = call->gone;
    void *arg = call->gone_arg;
    free(call);
    if (gone)
        gone(arg);
}

static void post(struct grpc_call *call, event_fn fn)
{
    grpc_call_ref(call);
    event_loop_post(call->loop, fn, call);
}

static void call_expired(void *arg);
static void request_is_late(void *arg);

static void context_ended_hook(void *arg)
{
    post(arg, call_expired);
}

struct grpc_call *grpc_call_create(const struct server_method *method, struct event_loop *loop,
                                   struct http2_stream *http2, struct context *parent,
                                   int64_t timeout_ms, struct budget *parent_budget,
                                   size_t memory_max)
{
    struct grpc_call *call = xcalloc(1, sizeof(*call));
    atomic_init(&call->references, 1);
    call->method = method;
    call->loop = loop;
    call->http2 = http2;
    call->started_ns = time_now_monotonic_ns();
    call->budget = budget_create(parent_budget, "call", memory_max);
    call->arena = arena_create(call->budget);
    call->response = (struct buf)BUF_INIT(call->budget);
    call->deframer =
        (struct grpc_deframer){.message_max = method->method.request_max, .budget = call->budget};
    mutex_init(&call->lock);
    call->ctx = context_create(parent, timeout_ms);
    context_set_budget(call->ctx, call->budget);
    call->hook = (struct context_hook){.fn = context_ended_hook, .arg = call};
    context_on_end(call->ctx, &call->hook);
    mutex_lock(&call->lock);
    call->credit = size_min(http2_stream_window(http2), CREDIT_MAX);
    mutex_unlock(&call->lock);
    if (method->method.kind != GRPC_BIDI_EXCHANGE) {
        call->request_timer = event_timer_create(loop, request_is_late, call);
        event_timer_start(call->request_timer, REQUEST_TIMEOUT_MS);
    }
    metric_inc(method->started);
    return call;
}

/* --- what handlers see --- */

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

void grpc_call_add_metadata(struct grpc_call *call, struct str name, struct str value)
{
    buf_append_str(&call->metadata, name);
    buf_append_byte(&call->metadata, 0);
    buf_append_str(&call->metadata, value);
    buf_append_byte(&call->metadata, 0);
}

struct str grpc_call_metadata(struct grpc_call *call, struct str name)
{
    struct str rest = buf_str(&call->metadata), key, value;
    while (str_cut(rest, 0, &key, &rest) && str_cut(rest, 0, &value, &rest))
        if (str_equal(key, name))
            return value;
    return STR("");
}

void grpc_call_set_code(struct grpc_call *call, enum grpc_code code)
{
    mutex_lock(&call->lock);
    if (!call->finished) {
        call->code = code;
        call->code_set = true;
    }
    mutex_unlock(&call->lock);
}

void grpc_call_attach(struct grpc_call *call, const struct grpc_stream_ops *ops, void *state)
{
    mutex_lock(&call->lock);
    call->ops = ops;
    call->state = state;
    call->more = true;
    mutex_unlock(&call->lock);
}

/* --- messages out --- */

static void out_message_release(void *owner)
{
    struct out_message *message = owner;
    struct grpc_call *call = message->call;
    budget_release(call->budget, message->charged);
    buf_deinit(&message->compressed);
    if (message->page)
        page_pool_give(message, message->page);
    else
        free(message);
    grpc_call_unref(call);
}

/* What a message is made of: `len` bytes that fill(arg, to) writes. */
struct out_content {
    size_t len;
    void (*fill)(void *arg, uint8_t *to);
    void *arg;
};

static struct error *out_message_compress(struct out_message *message, struct grpc_call *call,
                                          const struct out_content *content)
{
    struct buf plain = BUF_INIT(call->budget);
    char *room = buf_reserve(&plain, content->len);
    if (room) {
        content->fill(content->arg, (uint8_t *)room);
        plain.len = content->len;
        grpc_frame_append(&message->compressed, buf_bytes(&plain), call->encoding);
        message->len = message->compressed.len;
    }
    struct error *err = buf_status(&plain);
    buf_deinit(&plain);
    return err ? err : buf_status(&message->compressed);
}

static struct error *out_message_create(struct grpc_call *call, const struct out_content *content,
                                        struct out_message **out)
{
    bool plain = call->encoding == GRPC_IDENTITY;
    size_t len = plain ? GRPC_PREFIX + content->len : 0;
    size_t total = sizeof(struct out_message) + len, page = 0;
    struct out_message *message = NULL;
    if (total >= PAGE_FROM)
        message = page_pool_take(total, &page);
    size_t charged = page ? page : total;
    struct error *err = budget_charge(call->budget, charged, "a message to send");
    if (err) {
        if (message)
            page_pool_give(message, page);
        return err;
    }
    if (!message)
        message = xmalloc(total);
    *message = (struct out_message){.call = call,
                                    .charged = charged,
                                    .page = page,
                                    .compressed = BUF_INIT(call->budget),
                                    .len = len};
    grpc_call_ref(call);
    if (plain) {
        grpc_prefix_write(message->frame, false, content->len);
        content->fill(content->arg, (uint8_t *)message->frame + GRPC_PREFIX);
    } else {
        err = out_message_compress(message, call, content);
    }
    if (err)
        out_message_release(message);
    else
        *out = message;
    return err;
}

static void post_output_locked(struct grpc_call *call) REQUIRES(call->lock)
{
    if (call->output_posted)
        return;
    call->output_posted = true;
    post(call, call_output);
}

static void fill_copy(void *arg, uint8_t *to)
{
    const struct bytes *bytes = arg;
    if (bytes->len)
        memcpy(to, bytes->data, bytes->len);
}

void grpc_call_send(struct grpc_call *call, struct bytes message)
{
    grpc_call_send_filled(call, message.len, fill_copy, &message);
}

void grpc_call_send_filled(struct grpc_call *call, size_t len, void (*fill)(void *arg, uint8_t *to),
                           void *arg)
{
    struct out_message *message = NULL;
    struct error *err = out_message_create(call, &(struct out_content){len, fill, arg}, &message);
    mutex_lock(&call->lock);
    bool dropped = call->over;
    if (err && !call->send_error) {
        call->send_error = err;
        err = NULL;
    } else if (message && !dropped) {
        *(call->last_out ? &call->last_out->next : &call->first_out) = message;
        call->last_out = message;
        call->waiting += message->len;
        if (call->waiting >= OUTPUT_BATCH) /* else when the job ends */
            post_output_locked(call);
        metric_inc(call->method->sent);
    }
    mutex_unlock(&call->lock);
    error_free(err);
    if (message && dropped)
        out_message_release(message);
}

static struct out_message *take_out_locked(struct grpc_call *call) REQUIRES(call->lock)
{
    struct out_message *messages = call->first_out;
    call->first_out = call->last_out = NULL;
    call->unsent += call->waiting;
    call->waiting = 0;
    return messages;
}

static void look_at_window_locked(struct grpc_call *call) REQUIRES(call->lock)
{
    call->unsent = http2_stream_unsent(call->http2);
    call->credit = size_min(http2_stream_window(call->http2), CREDIT_MAX);
}

static void send_head(struct grpc_call *call)
{
    struct http2_field fields[3] = {{STR(":status"), STR("200")},
                                    {STR("content-type"), STR("application/grpc")},
                                    {STR("grpc-encoding"), STR("")}};
    fields[2].value = str_from(grpc_encoding_name(call->encoding));
    http2_stream_respond(call->http2, fields, call->encoding == GRPC_IDENTITY ? 2 : 3, false);
    call->head_sent = true;
}

static size_t status_fields(enum grpc_code code, struct str text, char number[12],
                            struct buf *encoded, struct http2_field out[2])
{
    snprintf(number, 12, "%d", (int)code);
    grpc_message_text_encode(encoded, text);
    out[0] = (struct http2_field){STR("grpc-status"), str_from(number)};
    out[1] = (struct http2_field){STR("grpc-message"), buf_str(encoded)};
    return text.len ? 2 : 1;
}

void grpc_respond_status(struct http2_stream *http2, enum grpc_code code, struct str text)
{
    char number[12];
    struct buf encoded = {0};
    struct http2_field fields[4] = {{STR(":status"), STR("200")},
                                    {STR("content-type"), STR("application/grpc")}};
    size_t count = 2 + status_fields(code, text, number, &encoded, fields + 2);
    http2_stream_respond(http2, fields, count, true);
    buf_deinit(&encoded);
}

static void send_status(struct grpc_call *call, enum grpc_code code, struct str text)
{
    call->end_sent = true;
    if (!call->head_sent) {
        grpc_respond_status(call->http2, code, text);
        return;
    }
    char number[12];
    struct buf encoded = {0};
    struct http2_field fields[2];
    size_t count = status_fields(code, text, number, &encoded, fields);
    http2_stream_end(call->http2, fields, count);
    buf_deinit(&encoded);
}

static void release_all(struct out_message *message)
{
    while (message) {
        struct out_message *next = message->next;
        out_message_release(message);
        message = next;
    }
}

/* On the loop: hands to HTTP/2 what has been queued, and the status when there is one. */
static void call_output(void *arg)
{
    struct grpc_call *call = arg;
    mutex_lock(&call->lock);
    call->output_posted = false;
    struct out_message *messages = take_out_locked(call);
    bool finished = call->finished, over = call->over;
    enum grpc_code code = call->code;
    mutex_unlock(&call->lock);
    if (!call->http2 || call->end_sent) {
        release_all(messages);
        grpc_call_unref(call);
        return;
    }
    *call->sent_flag = true;
    if (messages && !call->head_sent)
        send_head(call);
    while (messages) {
        struct out_message *next = messages->next;
        const void *data =
            messages->compressed.data ? (void *)messages->compressed.data : (void *)messages->frame;
        http2_stream_send(call->http2, data, messages->len, out_message_release, messages);
        messages = next;
    }
    mutex_lock(&call->lock);
    look_at_window_locked(call);
    bool stuck = over && call->unsent;
    mutex_unlock(&call->lock);
    if (finished && stuck) { /* out of time, and the peer does not read */
        call->end_sent = true;
        http2_stream_reset(call->http2, HTTP2_CANCEL);
    } else if (finished) { /* nobody changes the text of a finished call */
        send_status(call, code, buf_str(&call->text));
    }
    grpc_call_unref(call);
}

/* --- running --- */

enum action {
    ACTION_REST,
    ACTION_START,
    ACTION_STEP,
    ACTION_EXCHANGE,
    ACTION_END,     /* an exchange whose client has ended */
    ACTION_GIVE_UP, /* over before it was finished */
    ACTION_FREE_STATE,
};

static enum action next_action_locked(struct grpc_call *call) REQUIRES(call->lock)
{
    bool exchange = call->method->method.kind == GRPC_BIDI_EXCHANGE;
    if (call->finished)
        return call->state ? ACTION_FREE_STATE : ACTION_REST;
    if (call->over)
        return ACTION_GIVE_UP;
    if (exchange && call->first_in)
        return ACTION_EXCHANGE;
    if (exchange)
        return call->half_closed ? ACTION_END : ACTION_REST;
    if (!call->started)
        return call->first_in && call->half_closed ? ACTION_START : ACTION_REST;
    bool credit = call->waiting + call->unsent < call->credit;
    return call->state && credit && (call->more || call->woken) ? ACTION_STEP : ACTION_REST;
}

/* Gives the call its status; takes err. */
static void call_finish(struct grpc_call *call, struct error *err)
{
    const struct grpc_method *method = &call->method->method;
    mutex_lock(&call->lock);
    bool is_first = !call->finished;
    if (is_first) {
        if (!err) {
            err = call->send_error;
            call->send_error = NULL;
        }
        call->finished = true;
        if (!err)
            call->code = GRPC_OK;
        else if (!call->code_set)
            call->code = (method->code_of ? method->code_of : grpc_code_of)(error_kind(err));
        buf_append_str(&call->text, error_text(err));
        post_output_locked(call);
        metric_inc(call->method->handled[call->code]);
        metric_observe(call->method->seconds,
                       (double)(time_now_monotonic_ns() - call->started_ns) / 1e9);
    }
    enum grpc_code code = call->code;
    mutex_unlock(&call->lock);
    if (is_first)
        request_log_grpc_end(call->method->log, method, grpc_call_metadata(call, STR("request-id")),
                             code, time_now_monotonic_ns() - call->started_ns);
    error_free(err);
}

static void give_up(struct grpc_call *call)
{
    struct error *err = context_error(call->ctx);
    call_finish(call, err ? err : error_create(ERROR_CANCELLED, "context canceled"));
}

/* Runs the next thing on the pool if there is one and nothing runs. */
static void kick(struct grpc_call *call)
{
    mutex_lock(&call->lock);
    enum action action = call->running ? ACTION_REST : next_action_locked(call);
    bool here = action == ACTION_GIVE_UP && !call->state; /* nothing to free: no job for it */
    call->running |= action != ACTION_REST && !here;
    mutex_unlock(&call->lock);
    if (here) {
        give_up(call);
    } else if (action != ACTION_REST) {
        grpc_call_ref(call);
        pool_run_anyway(call->method->method.pool, call_run, call);
    }
}

void grpc_call_wake(struct grpc_call *call)
{
    mutex_lock(&call->lock);
    call->woken = true;
    mutex_unlock(&call->lock);
    kick(call);
}

/* Ends the call for what is wrong with its messages, whatever codes the method gives its own
 * errors. Takes err. */
static void fail_frame(struct grpc_call *call, struct error *err)
{
    grpc_call_set_code(call,
                       error_kind(err) == ERROR_LIMIT ? GRPC_RESOURCE_EXHAUSTED : GRPC_INTERNAL);
    call_finish(call, err);
}

/* Undoes the compression of the message in call->request. */
static struct error *expand_request(struct grpc_call *call)
{
    struct grpc_message *message = call->request;
    if (!message->compressed)
        return NULL;
    call->request = NULL;
    return grpc_message_expand(message, call->encoding, call->method->method.request_max,
                               &call->request);
}

static void take_request(struct grpc_call *call)
{
    grpc_message_unref(call->request);
    mutex_lock(&call->lock);
    call->request = call->first_in;
    call->first_in = call->request->next;
    if (!call->first_in)
        call->last_in = NULL;
    call->inbox--;
    mutex_unlock(&call->lock);
    call->request->next = NULL;
}

static void run_handler(struct grpc_call *call)
{
    const struct grpc_method *method = &call->method->method;
    take_request(call);
    struct error *err = expand_request(call);
    if (err) {
        fail_frame(call, err);
        return;
    }
    err = method->handler(method->self, call, call->request->bytes);
    if (!err)
        err = buf_status(&call->response);
    if (!err && method->kind != GRPC_SERVER_STREAM)
        grpc_call_send(call, buf_bytes(&call->response));
    buf_deinit(&call->response);
    mutex_lock(&call->lock);
    call->started = true;
    bool goes_on = method->kind == GRPC_BIDI_EXCHANGE ||
                   (method->kind == GRPC_SERVER_STREAM && call->state != NULL);
    mutex_unlock(&call->lock);
    if (err || !goes_on)
        call_finish(call, err);
}

static void run_step(struct grpc_call *call)
{
    struct error *err = NULL;
    mutex_lock(&call->lock);
    call->woken = false;
    call->more = false;
    const struct grpc_stream_ops *ops = call->ops;
    void *state = call->state;
    mutex_unlock(&call->lock);
    enum grpc_step step = ops->step(state, call, &err);
    mutex_lock(&call->lock);
    call->more = step == GRPC_STEP_MORE;
    bool ends = err || step == GRPC_STEP_END || call->send_error;
    mutex_unlock(&call->lock);
    if (ends)
        call_finish(call, err);
}

static void free_state(struct grpc_call *call)
{
    mutex_lock(&call->lock);
    const struct grpc_stream_ops *ops = call->ops;
    void *state = call->state;
    call->state = NULL;
    mutex_unlock(&call->lock);
    ops->free(state);
}

/* True when there may be more to do. */
static bool run_action(struct grpc_call *call, enum action action)
{
    switch (action) {
    case ACTION_REST:
        return false;
    case ACTION_START:
        request_log_grpc_start(call->method->log, &call->method->method,
                               grpc_call_metadata(call, STR("request-id")));
        run_handler(call);
        break;
    case ACTION_EXCHANGE:
        run_handler(call);
        break;
    case ACTION_STEP:
        run_step(call);
        break;
    case ACTION_END:
        call_finish(call, NULL);
        break;
    case ACTION_GIVE_UP:
        give_up(call);
        break;
    case ACTION_FREE_STATE:
        free_state(call);
        break;
    }
    return true;
}

static void call_run(void *arg)
{
    struct grpc_call *call = arg;
    enum action action;
    int count = 0;
    do {
        mutex_lock(&call->lock);
        action = next_action_locked(call);
        bool stops = action == ACTION_REST || (action == ACTION_STEP && ++count > STEPS_PER_JOB);
        if (stops && call->first_out)
            post_output_locked(call);
        if (action == ACTION_REST)
            call->running = false;
        mutex_unlock(&call->lock);
        if (stops && action == ACTION_STEP) {
            pool_run_anyway(call->method->method.pool, call_run, call);
            return;
        }
    } while (run_action(call, action));
    grpc_call_unref(call);
}

/* --- from the loop --- */

static void start(struct grpc_call *call)
{
    mutex_lock(&call->lock);
    bool run = !call->running && next_action_locked(call) != ACTION_REST;
    call->running |= run;
    mutex_unlock(&call->lock);
    if (!run)
        return;
    grpc_call_ref(call);
    struct error *err = pool_run(call->method->method.pool, call_run, call);
    if (!err)
        return;
    call_finish(call, err);
    mutex_lock(&call->lock);
    call->running = false;
    mutex_unlock(&call->lock);
    grpc_call_unref(call);
}

static void call_expired(void *arg)
{
    struct grpc_call *call = arg;
    if (call->http2) {
        mutex_lock(&call->lock);
        call->over = true;
        bool finished = call->finished;
        mutex_unlock(&call->lock);
        if (finished && http2_stream_unsent(call->http2))
            http2_stream_reset(call->http2, HTTP2_CANCEL);
        kick(call);
    }
    grpc_call_unref(call);
}

/* Takes a whole message; false when it is one too many. */
static bool inbox_add(struct grpc_call *call, struct grpc_message *message)
{
    size_t max = call->method->method.kind == GRPC_BIDI_EXCHANGE ? INBOX_MAX : 1;
    mutex_lock(&call->lock);
    bool fits = call->inbox < max && !call->started;
    if (fits) {
        *(call->last_in ? &call->last_in->next : &call->first_in) = message;
        call->last_in = message;
        call->inbox++;
    }
    mutex_unlock(&call->lock);
    if (!fits)
        grpc_message_unref(message);
    return fits;
}

static bool is_exchange(const struct grpc_call *call)
{
    return call->method->method.kind == GRPC_BIDI_EXCHANGE;
}

static void stop_request_timer(struct grpc_call *call)
{
    event_timer_free(call->request_timer);
    call->request_timer = NULL;
}

static void request_is_late(void *arg)
{
    struct grpc_call *call = arg;
    stop_request_timer(call);
    grpc_call_set_code(call, GRPC_DEADLINE_EXCEEDED);
    call_finish(call, error_create(ERROR_TIMEOUT, "the request has not come whole in %d s",
                                   REQUEST_TIMEOUT_MS / 1000));
}

/* Small requests always find room. */
static struct error *count_request(struct grpc_call *call, size_t len)
{
    call->received += len;
    if (!call->requests || call->received <= REQUEST_SMALL)
        return NULL;
    size_t more = call->received - call->counted;
    size_t before = atomic_fetch_add(&call->requests->bytes, more);
    call->counted += more;
    if (before + more <= call->requests->max)
        return NULL;
    return error_create(ERROR_LIMIT, "too many large requests at once");
}

void grpc_call_data(struct grpc_call *call, struct bytes data)
{
    size_t len = data.len;
    struct error *err = count_request(call, len);
    mutex_lock(&call->lock);
    bool ignored = call->finished || call->over;
    mutex_unlock(&call->lock);
    while (!ignored && !err && data.len) {
        struct grpc_message *message = NULL;
        err = grpc_deframe(&call->deframer, &data, &message);
        if (!message)
            continue;
        metric_inc(call->method->received);
        if (!inbox_add(call, message))
            err = error_create(ERROR_LIMIT, "too many messages on one call");
        else if (is_exchange(call))
            start(call);
    }
    http2_stream_consume(call->http2, len);
    if (err)
        fail_frame(call, err);
}

void grpc_call_half_closed(struct grpc_call *call)
{
    mutex_lock(&call->lock);
    call->half_closed = true;
    bool empty = !call->first_in;
    mutex_unlock(&call->lock);
    stop_request_timer(call);
    if (!grpc_deframer_is_between(&call->deframer))
        fail_frame(call, error_create(ERROR_INTERNAL, "unexpected EOF"));
    else if (empty && !is_exchange(call))
        fail_frame(call, error_create(ERROR_INTERNAL, "a call without a request message"));
    else
        start(call);
}

void grpc_call_room(struct grpc_call *call)
{
    *call->sent_flag = true;
    mutex_lock(&call->lock);
    look_at_window_locked(call);
    mutex_unlock(&call->lock);
    kick(call);
}

void grpc_call_closed(struct grpc_call *call)
{
    call->http2 = NULL;
    stop_request_timer(call);
    context_off_end(call->ctx, &call->hook);
    mutex_lock(&call->lock);
    call->over = true;
    struct out_message *messages = take_out_locked(call);
    mutex_unlock(&call->lock);
    release_all(messages);
    context_cancel(call->ctx);
    kick(call);
    grpc_call_unref(call);
}
