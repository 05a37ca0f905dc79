#include "net/grpc_stream.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/event_loop.h"
#include "runtime/metrics.h"
#include "runtime/time.h"

enum { CREDIT_BATCH = HTTP2_STREAM_WINDOW / 4 }; /* what is handed back at once, to save wake-ups */

static void release_on_loop(void *arg);
static void abandon_on_loop(void *arg);

/* --- lifetime --- */

void grpc_stream_ref(struct grpc_stream *stream)
{
    atomic_fetch_add_explicit(&stream->references, 1, memory_order_relaxed);
}

void grpc_stream_unref(struct grpc_stream *stream) NO_THREAD_SAFETY
{
    if (atomic_fetch_sub_explicit(&stream->references, 1, memory_order_acq_rel) != 1)
        return;
    error_free(stream->err);
    buf_deinit(&stream->text);
    buf_deinit(&stream->request);
    free(stream->fields);
    stall_group_forget(&stream->member);
    context_unref(stream->ctx);
    grpc_channel_unref(stream->channel);
    pthread_cond_destroy(&stream->cond);
    mutex_deinit(&stream->lock);
    mutex_deinit(&stream->receiving);
    free(stream);
}

static void post(struct grpc_stream *stream, event_fn fn)
{
    grpc_stream_ref(stream);
    event_loop_post(grpc_channel_loop(stream->channel), fn, stream);
}

/* --- metrics --- */

static size_t split_method(struct str method, struct str out[2])
{
    struct str rest = str_slice(method, 1, method.len);
    out[0] = out[1] = STR("");
    str_cut(rest, '/', &out[0], &out[1]);
    return 2;
}

/* Label values in the order of the families: method, service, type and, for some, code. */
static void metric_labels(const struct grpc_stream *stream, struct str out[4], enum grpc_code code)
{
    struct str parts[2];
    split_method(stream->method, parts);
    out[0] = parts[1];
    out[1] = parts[0];
    out[2] = stream->unary ? STR("unary") : STR("server_stream");
    out[3] = str_from(grpc_code_name(code));
}

static void count_start(struct grpc_stream *stream)
{
    const struct client_metrics *metrics = grpc_channel_metrics(stream->channel);
    if (!metrics->started)
        return;
    struct str labels[4];
    metric_labels(stream, labels, GRPC_OK);
    metric_inc(metric_with(metrics->started, labels, 3));
    metric_inc(metric_with(metrics->sent, labels, 3));
    stream->received = metric_with(metrics->received, labels, 3);
}

static void count_end(struct grpc_stream *stream, enum grpc_code code)
{
    const struct client_metrics *metrics = grpc_channel_metrics(stream->channel);
    if (!metrics->started)
        return;
    struct str labels[4];
    metric_labels(stream, labels, code);
    metric_inc(metric_with(metrics->handled, labels, 4));
    metric_observe(metric_with(metrics->seconds, labels, 3),
                   (double)(time_now_monotonic_ns() - stream->started_ns) / 1e9);
}

/* --- ending and waking --- */

/* What is to be told once no lock is held. */
struct news {
    void (*wake)(void *arg); /* NULL: nobody has asked */
    void *arg;
};

static struct news take_news_locked(struct grpc_stream *stream) REQUIRES(stream->lock)
{
    struct news news = {stream->wake, stream->wake_arg};
    if (!news.wake || (stream->unary && !stream->ended))
        return (struct news){NULL, NULL};
    stream->wake = NULL;
    stream->waking = true;
    stream->waking_thread = pthread_self();
    return news;
}

static void tell_news(struct grpc_stream *stream, struct news news)
{
    pthread_cond_broadcast(&stream->cond);
    if (!news.wake)
        return;
    news.wake(news.arg);
    mutex_lock(&stream->lock);
    stream->waking = false;
    mutex_unlock(&stream->lock);
    pthread_cond_broadcast(&stream->cond);
}

static struct grpc_message *take_queue_locked(struct grpc_stream *stream) REQUIRES(stream->lock)
{
    struct grpc_message *messages = stream->first;
    stream->first = stream->last = NULL;
    return messages;
}

static void drop_messages(struct grpc_stream *stream, struct grpc_message *messages)
{
    while (messages) {
        struct grpc_message *next = messages->next;
        stall_group_piled(&stream->member, -(long)messages->charged);
        grpc_message_unref(messages);
        messages = next;
    }
}

/* The one way a stream ends. err is NULL for OK; taken. True when it was this that ended it. */
static bool stream_end(struct grpc_stream *stream, enum grpc_code code, struct error *err,
                       bool drop)
{
    mutex_lock(&stream->lock);
    if (stream->ended) {
        mutex_unlock(&stream->lock);
        error_free(err);
        return false;
    }
    stream->ended = true;
    stream->err = err;
    stream->code = code;
    struct grpc_message *dropped = drop ? take_queue_locked(stream) : NULL;
    struct news news = take_news_locked(stream);
    mutex_unlock(&stream->lock);
    tell_news(stream, news);
    drop_messages(stream, dropped);
    stall_group_spoke(&stream->member);
    count_end(stream, code);
    return true;
}

void grpc_stream_fail(struct grpc_stream *stream, enum grpc_code code, const char *text)
{
    if (stream_end(stream, code, grpc_status_error(code, str_from(text)), true))
        post(stream, abandon_on_loop);
}

static void context_ended_hook(void *arg)
{
    struct grpc_stream *stream = arg;
    struct error *why = context_error(stream->ctx);
    enum grpc_code code = grpc_code_of(error_kind(why));
    struct error *err = error_as(grpc_status_error(code, error_text(why)), error_kind(why));
    error_free(why);
    if (stream_end(stream, code, err, true))
        post(stream, abandon_on_loop);
}

static void abandon_on_loop(void *arg)
{
    struct grpc_stream *stream = arg;
    if (stream->active)
        grpc_channel_abandon(stream->channel, stream);
    grpc_stream_unref(stream);
}

bool grpc_stream_has_ended(struct grpc_stream *stream)
{
    mutex_lock(&stream->lock);
    bool ended = stream->ended;
    mutex_unlock(&stream->lock);
    return ended;
}

void grpc_stream_drop_active(struct grpc_stream *stream)
{
    stream->active = false;
    grpc_stream_unref(stream);
}

/* --- the reader's side --- */

static void add_field(struct grpc_stream *stream, struct str name, struct str value)
{
    stream->fields[stream->field_count++] = (struct http2_field){name, value};
    buf_append_str(&stream->text, name);
    buf_append_str(&stream->text, value);
}

/* The fields outlive the caller's strings: they move to the copy, which has stopped growing. */
static void own_fields(struct grpc_stream *stream)
{
    const char *at = stream->text.data;
    for (size_t i = 0; i < stream->field_count; i++) {
        stream->fields[i].name.data = at;
        at += stream->fields[i].name.len;
        stream->fields[i].value.data = at;
        at += stream->fields[i].value.len;
    }
}

enum { FIXED_FIELDS = 10, TIMEOUT_TEXT = 16 }; /* the timeout's field too */

static void make_fields(struct grpc_stream *stream, struct str method,
                        const struct grpc_metadata *metadata, size_t count)
{
    enum grpc_encoding encoding = grpc_channel_encoding(stream->channel);
    stream->fields = xcalloc(FIXED_FIELDS + count, sizeof(stream->fields[0]));
    add_field(stream, STR(":method"), STR("POST"));
    add_field(stream, STR(":scheme"), STR("http"));
    add_field(stream, STR(":path"), method);
    add_field(stream, STR(":authority"), grpc_channel_address(stream->channel));
    add_field(stream, STR("content-type"), STR("application/grpc"));
    add_field(stream, STR("user-agent"), STR("titan"));
    add_field(stream, STR("te"), STR("trailers"));
    add_field(stream, STR("grpc-accept-encoding"), STR("snappy,gzip"));
    if (encoding != GRPC_IDENTITY)
        add_field(stream, STR("grpc-encoding"), str_from(grpc_encoding_name(encoding)));
    for (size_t i = 0; i < count; i++)
        add_field(stream, metadata[i].name, metadata[i].value);
    own_fields(stream);
    stream->method = stream->fields[2].value;
}

static void start_on_loop(void *arg)
{
    struct grpc_stream *stream = arg; /* its reference becomes the loop's */
    stream->active = true;
    grpc_channel_dispatch(stream->channel, stream);
}

static struct grpc_stream *stream_start(struct grpc_channel *channel, struct context *ctx,
                                        const char *method, struct bytes request,
                                        const struct grpc_metadata *metadata, size_t count,
                                        size_t message_max, bool unary) NO_THREAD_SAFETY
{
    struct grpc_stream *stream = xcalloc(1, sizeof(*stream));
    atomic_init(&stream->references, 1);
    grpc_channel_ref(channel);
    stream->channel = channel;
    stream->ctx = context_ref(ctx);
    stream->unary = unary;
    stream->started_ns = time_now_monotonic_ns();
    stream->message_max = size_min(message_max, INT32_MAX);
    stream->deframer =
        (struct grpc_deframer){.message_max = stream->message_max, .budget = context_budget(ctx)};
    mutex_init(&stream->receiving);
    mutex_init(&stream->lock);
    pthread_cond_init(&stream->cond, NULL);
    make_fields(stream, str_from(method), metadata, count);
    grpc_frame_append(&stream->request, request, grpc_channel_encoding(channel));
    count_start(stream);
    stall_group_join(unary ? NULL : context_stall_group(ctx), &stream->member, stream);
    stream->hook = (struct context_hook){.fn = context_ended_hook, .arg = stream};
    context_on_end(ctx, &stream->hook);
    post(stream, start_on_loop);
    return stream;
}

struct grpc_stream *grpc_stream_start(struct grpc_channel *channel, struct context *ctx,
                                      const char *method, struct bytes request,
                                      const struct grpc_metadata *metadata, size_t metadata_count,
                                      size_t message_max)
{
    return stream_start(channel, ctx, method, request, metadata, metadata_count, message_max,
                        false);
}

static struct grpc_message *pop_locked(struct grpc_stream *stream) REQUIRES(stream->lock)
{
    struct grpc_message *message = stream->first;
    if (!message || (stream->unary && stream->err))
        return NULL;
    stream->first = message->next;
    if (!stream->first)
        stream->last = NULL;
    message->next = NULL;
    stream->credit += message->owed;
    message->owed = 0;
    if (!stream->first && stream->holding) { /* the reader is hungry: what is half there goes on */
        stream->release_all = true;
        stream->holding = false;
    }
    bool due =
        stream->release_all || stream->credit >= CREDIT_BATCH || (stream->credit && !stream->first);
    if (due && !stream->credit_posted && !stream->ended) {
        stream->credit_posted = true;
        post(stream, release_on_loop);
    }
    return message;
}

/* The answer of a unary call counts only once its status is known. */
static bool has_news_locked(struct grpc_stream *stream) REQUIRES(stream->lock)
{
    return stream->ended || (stream->first && !stream->unary);
}

static struct error *context_status_error(struct context *ctx)
{
    struct error *why = context_error(ctx);
    enum error_kind kind = error_kind(why);
    struct error *err = error_as(grpc_status_error(grpc_code_of(kind), error_text(why)), kind);
    error_free(why);
    return err;
}

struct error *grpc_stream_next(struct grpc_stream *stream, struct context *ctx,
                               struct grpc_message **out)
{
    struct error *err = NULL;
    *out = NULL;
    mutex_lock(&stream->lock);
    while (!has_news_locked(stream) && !err)
        err = context_wait(ctx, &stream->cond, &stream->lock);
    struct grpc_message *message = has_news_locked(stream) ? pop_locked(stream) : NULL;
    if (!message && stream->ended) {
        error_free(err);
        err = error_copy(stream->err);
    } else if (err && !message) {
        error_free(err);
        err = context_status_error(ctx);
    } else {
        error_free(err);
        err = NULL;
    }
    mutex_unlock(&stream->lock);
    if (!message)
        return err;
    stall_group_piled(&stream->member, -(long)message->charged);
    if (message->compressed) {
        err = grpc_message_expand(message, stream->encoding, stream->message_max, out);
        if (err) {
            enum grpc_code code = grpc_code_of(error_kind(err));
            struct error *status = grpc_status_error(code, error_text(err));
            grpc_stream_fail(stream, code, "grpc: failed to decompress the received message");
            error_free(err);
            return status;
        }
        return NULL;
    }
    *out = message;
    return NULL;
}

bool grpc_stream_ready(struct grpc_stream *stream, void (*wake)(void *arg), void *arg)
{
    mutex_lock(&stream->lock);
    bool ready = has_news_locked(stream);
    stream->wake = ready ? NULL : wake;
    stream->wake_arg = arg;
    mutex_unlock(&stream->lock);
    return ready;
}

void grpc_stream_cancel(struct grpc_stream *stream)
{
    grpc_stream_fail(stream, GRPC_CANCELLED, "context canceled");
}

enum grpc_code grpc_stream_code(const struct grpc_stream *stream)
{
    struct grpc_stream *self = (struct grpc_stream *)stream;
    mutex_lock(&self->lock);
    enum grpc_code code = self->code;
    mutex_unlock(&self->lock);
    return code;
}

void grpc_stream_free(struct grpc_stream *stream)
{
    if (!stream)
        return;
    context_off_end(stream->ctx, &stream->hook);
    mutex_lock(&stream->lock);
    stream->wake = NULL;
    mutex_unlock(&stream->lock);
    grpc_stream_cancel(stream);
    mutex_lock(&stream->receiving);
    stream->abandoned = true;
    grpc_deframer_deinit(&stream->deframer);
    mutex_unlock(&stream->receiving);
    mutex_lock(&stream->lock);
    while (stream->waking && !pthread_equal(stream->waking_thread, pthread_self()))
        mutex_wait(&stream->lock, &stream->cond);
    struct grpc_message *left = take_queue_locked(stream);
    mutex_unlock(&stream->lock);
    drop_messages(stream, left);
    stall_group_leave(&stream->member);
    grpc_stream_unref(stream);
}

struct grpc_stream *grpc_unary_start(struct grpc_channel *channel, struct context *ctx,
                                     const char *method, struct bytes request,
                                     const struct grpc_metadata *metadata, size_t metadata_count,
                                     size_t response_max)
{
    return stream_start(channel, ctx, method, request, metadata, metadata_count, response_max,
                        true);
}

struct error *grpc_unary(struct grpc_channel *channel, struct context *ctx, const char *method,
                         struct bytes request, const struct grpc_metadata *metadata,
                         size_t metadata_count, size_t response_max, struct buf *response)
{
    struct grpc_stream *stream =
        stream_start(channel, ctx, method, request, metadata, metadata_count, response_max, true);
    struct grpc_message *message = NULL, *second = NULL;
    struct error *err = grpc_stream_next(stream, ctx, &message);
    if (!err && message)
        err = grpc_stream_next(stream, ctx, &second);
    if (!err && (!message || second))
        err = grpc_status_error(GRPC_INTERNAL,
                                message ? STR("cardinality violation: received two messages")
                                        : STR("cardinality violation: received no message"));
    if (!err) {
        buf_append(response, message->bytes.data, message->bytes.len);
        err = buf_status(response);
    }
    grpc_message_unref(message);
    grpc_message_unref(second);
    grpc_stream_free(stream);
    return err;
}

/* --- the loop's side --- */

void grpc_stream_release_window(struct grpc_stream *stream)
{
    mutex_lock(&stream->lock);
    stream->release_all = true;
    bool posted = stream->credit_posted;
    stream->credit_posted = true;
    if (!posted)
        post(stream, release_on_loop);
    mutex_unlock(&stream->lock);
}

static void release_on_loop(void *arg)
{
    struct grpc_stream *stream = arg;
    mutex_lock(&stream->lock);
    size_t credit = stream->credit;
    stream->credit = 0;
    stream->credit_posted = false;
    bool all = stream->release_all && (!stream->first || !stall_group_may_stall(&stream->member));
    stream->release_all = false;
    if (all) {
        credit += stream->partial_owed;
        stream->partial_owed = 0;
        for (struct grpc_message *message = stream->first; message; message = message->next) {
            credit += message->owed;
            message->owed = 0;
        }
    }
    mutex_unlock(&stream->lock);
    if (stream->http2 && credit)
        http2_stream_consume(stream->http2, credit);
    grpc_stream_unref(stream);
}

static void release_request(void *owner)
{
    grpc_stream_unref(owner);
}

bool grpc_stream_open(struct grpc_stream *stream, struct http2_session *session)
{
    size_t count = stream->field_count;
    char timeout[TIMEOUT_TEXT];
    if (context_deadline_ms(stream->ctx) != INT64_MAX) {
        grpc_timeout_format(context_left_ms(stream->ctx), timeout);
        stream->fields[count++] = (struct http2_field){STR("grpc-timeout"), str_from(timeout)};
    }
    stream->http2 = http2_session_request(session, stream->fields, count, stream);
    if (!stream->http2)
        return false;
    grpc_stream_ref(stream);
    http2_stream_send(stream->http2, stream->request.data, stream->request.len, release_request,
                      stream);
    http2_stream_end(stream->http2, NULL, 0);
    return true;
}

static void finish(struct grpc_stream *stream, enum grpc_code code, struct str text)
{
    stream_end(stream, code, code == GRPC_OK ? NULL : grpc_status_error(code, text), false);
    if (stream->http2 && http2_stream_unsent(stream->http2)) /* it does not read our request */
        http2_stream_reset(stream->http2, HTTP2_CANCEL);
}

/* The end by the peer's status; false: the block has none. */
static bool take_status(struct grpc_stream *stream, const struct http2_field *fields, size_t count)
{
    enum grpc_code code = GRPC_UNKNOWN;
    bool found = false;
    struct buf text = {0};
    for (size_t i = 0; i < count; i++) {
        if (str_equal(fields[i].name, STR("grpc-status"))) {
            found = true;
            if (!grpc_code_parse(fields[i].value, &code))
                buf_append_cstr(&text, "malformed grpc-status");
        } else if (str_equal(fields[i].name, STR("grpc-message"))) {
            grpc_message_text_decode(&text, fields[i].value);
        }
    }
    mutex_lock(&stream->receiving);
    bool cut_off = !stream->abandoned && !grpc_deframer_is_between(&stream->deframer);
    mutex_unlock(&stream->receiving);
    if (found && code == GRPC_OK && cut_off)
        finish(stream, GRPC_INTERNAL, STR("unexpected EOF"));
    else if (found)
        finish(stream, code, buf_str(&text));
    buf_deinit(&text);
    return found;
}

static void fail_printf(struct grpc_stream *stream, enum grpc_code code, const char *format, ...)
    PRINTF_LIKE(3, 4);

static void fail_printf(struct grpc_stream *stream, enum grpc_code code, const char *format, ...)
{
    struct buf text = {0};
    va_list args;
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    buf_append_byte(&text, 0);
    grpc_stream_fail(stream, code, text.data);
    buf_deinit(&text);
}

static struct str field_of(const struct http2_field *fields, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal(fields[i].name, name))
            return fields[i].value;
    return STR("");
}

/* The head of the response: gRPC, or the words of something else on the way. */
static void take_head(struct grpc_stream *stream, const struct http2_field *fields, size_t count)
{
    struct str status = field_of(fields, count, STR(":status"));
    struct str type = field_of(fields, count, STR("content-type"));
    struct str encoding = field_of(fields, count, STR("grpc-encoding"));
    if (!str_starts_with(type, STR("application/grpc"))) {
        uint64_t number = 0;
        (void)str_to_uint64(status, &number);
        if (str_equal(status, STR("200")))
            fail_printf(stream, GRPC_UNKNOWN, "unexpected content-type \"%.*s\"", STR_ARG(type));
        else
            fail_printf(stream, grpc_code_of_http((int)number),
                        "unexpected HTTP status code received from server: %.*s", STR_ARG(status));
    } else if (encoding.len && !grpc_encoding_parse(encoding, &stream->encoding)) {
        fail_printf(stream, GRPC_INTERNAL,
                    "grpc: Decompressor is not installed for grpc-encoding \"%.*s\"",
                    STR_ARG(encoding));
    }
}

void grpc_stream_headers(struct grpc_stream *stream, const struct http2_field *fields, size_t count,
                         bool trailers, bool end)
{
    stream->got_head = true;
    if (end && take_status(stream, fields, count))
        return;
    if (trailers || end)
        finish(stream, GRPC_INTERNAL, STR("server closed the stream without sending trailers"));
    else
        take_head(stream, fields, count);
}

/* Puts a whole message where the reader finds it; false, and gone, when nobody reads any more. */
static bool enqueue(struct grpc_stream *stream, struct grpc_message *message, struct news *news)
{
    message->owed = stream->partial_owed;
    stream->partial_owed = 0;
    mutex_lock(&stream->lock);
    bool ended = stream->ended;
    if (!ended) {
        *(stream->last ? &stream->last->next : &stream->first) = message;
        stream->last = message;
        *news = take_news_locked(stream);
    }
    mutex_unlock(&stream->lock);
    if (ended)
        grpc_message_unref(message);
    return !ended;
}

/* A message of this many charged bytes was queued. */
static void tell_message(struct grpc_stream *stream, size_t charged, struct news news)
{
    tell_news(stream, news);
    metric_inc(stream->received);
    if (!stream->got_message)
        stall_group_spoke(&stream->member);
    stream->got_message = true;
    stall_group_piled(&stream->member, (long)charged);
}

/* Takes off *data what makes a message, or all; the size of a message that was queued, or 0. */
static struct error *receive(struct grpc_stream *stream, struct bytes *data, bool hold,
                             size_t *given_back, size_t *charged, struct news *news)
{
    size_t before = data->len;
    struct grpc_message *message = NULL;
    *charged = 0;
    mutex_lock(&stream->receiving);
    struct error *err = NULL;
    if (stream->abandoned)
        data->len = 0;
    else
        err = grpc_deframe(&stream->deframer, data, &message);
    *(hold ? &stream->partial_owed : given_back) += before - data->len;
    size_t size = message ? message->charged : 0;
    if (message && enqueue(stream, message, news))
        *charged = size;
    mutex_unlock(&stream->receiving);
    return err;
}

void grpc_stream_data(struct grpc_stream *stream, struct bytes data)
{
    size_t given_back = 0;
    while (data.len) {
        mutex_lock(&stream->lock);
        bool ended = stream->ended;
        bool hold = !ended && stream->first && stall_group_may_stall(&stream->member);
        stream->holding |= hold;
        mutex_unlock(&stream->lock);
        if (ended) {
            given_back += data.len;
            break;
        }
        size_t charged;
        struct news news;
        struct error *err = receive(stream, &data, hold, &given_back, &charged, &news);
        if (charged)
            tell_message(stream, charged, news);
        if (err) {
            enum grpc_code code =
                error_kind(err) == ERROR_LIMIT ? GRPC_RESOURCE_EXHAUSTED : GRPC_INTERNAL;
            fail_printf(stream, code, "%.*s", STR_ARG(error_text(err)));
            error_free(err);
        }
    }
    if (given_back)
        http2_stream_consume(stream->http2, given_back);
}

void grpc_stream_peer_ended(struct grpc_stream *stream)
{
    finish(stream, GRPC_INTERNAL, STR("server closed the stream without sending trailers"));
}
