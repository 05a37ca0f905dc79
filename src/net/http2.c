#include "net/http2.h"

#include <stdlib.h>

#include <nghttp2/nghttp2.h>

#include "base/buf.h"
#include "base/memory.h"
#include "base/vec.h"
#include "net/connection.h"
#include "runtime/event_loop.h"

enum {
    FIELDS_MAX = 512,
    SETTINGS_ENTRIES_MAX = 32,
    RESETS_BURST = 4000, /* honest peers that fan out cancel in bursts */
    RESETS_PER_SECOND = 200,
    CONTROL_WINDOW_MS = 10 * 1000, /* frames that cost work and carry nothing, without any data */
    CONTROL_MAX = 10000,
    PUMPS_PER_TURN = 8,
    SHUTDOWN_NOTICE_MS = 1000, /* at most so long until the peer has heard it */
};

struct piece { /* of a body, waiting */
    struct piece *next;
    const uint8_t *data;
    size_t len;
    void (*release)(void *owner);
    void *owner;
};

struct trailer_span {
    size_t name_len, value_len;
};

struct http2_stream {
    struct http2_session *session;
    struct http2_stream *prev, *next;
    int32_t id;
    void *user;
    struct piece *first, **last;
    size_t unsent;
    bool ended, deferred, touched, got_head;
    struct http2_stream *next_touched;
    struct buf trailer_text;
    VEC(struct trailer_span) trailers;
};

struct header_span {
    size_t name_at, name_len, value_at, value_len;
};

struct http2_session {
    struct connection *connection;
    nghttp2_session *ng;
    const struct http2_handler *handler;
    void *self;
    bool server;
    unsigned references, depth;
    bool begun, freed, pump_posted, ended, broken, told_over, wrote;
    struct error *error; /* why it ended */
    struct http2_stream *streams, *touched;
    size_t stream_count;
    struct buf header_text; /* the block that is being received */
    VEC(struct header_span) header_spans;
    size_t header_sum;
    struct event_timer *shutdown_timer;
    int64_t control_since_ms;
    unsigned control_count;
};

static void session_pump(struct http2_session *session);

const char *http2_code_name(uint32_t code)
{
    return code == HTTP2_SESSION_GONE ? "SESSION_GONE" : nghttp2_http2_strerror(code);
}

/* --- lifetime --- */

static void session_unref(struct http2_session *session)
{
    if (--session->references)
        return;
    nghttp2_session_del(session->ng);
    buf_deinit(&session->header_text);
    vec_deinit(&session->header_spans);
    error_free(session->error);
    free(session);
}

static void stream_drop_body(struct http2_stream *stream)
{
    for (struct piece *piece = stream->first, *next; piece; piece = next) {
        next = piece->next;
        if (piece->release) /* after the parts of it that the connection still holds */
            connection_write_shared(stream->session->connection, NULL, 0, piece->release,
                                    piece->owner);
        free(piece);
    }
    stream->first = NULL;
    stream->last = &stream->first;
    stream->unsent = 0;
}

static void untouch(struct http2_stream *stream)
{
    for (struct http2_stream **at = &stream->session->touched; *at; at = &(*at)->next_touched)
        if (*at == stream) {
            *at = stream->next_touched;
            return;
        }
}

static void stream_close(struct http2_stream *stream, uint32_t code)
{
    struct http2_session *session = stream->session;
    session->handler->closed(session->self, stream, code);
    if (stream->touched)
        untouch(stream);
    stream_drop_body(stream);
    *(stream->prev ? &stream->prev->next : &session->streams) = stream->next;
    if (stream->next)
        stream->next->prev = stream->prev;
    session->stream_count--;
    buf_deinit(&stream->trailer_text);
    vec_deinit(&stream->trailers);
    free(stream);
}

static struct http2_stream *stream_create(struct http2_session *session, void *user)
{
    struct http2_stream *stream = xcalloc(1, sizeof(*stream));
    stream->session = session;
    stream->user = user;
    stream->last = &stream->first;
    stream->next = session->streams;
    if (stream->next)
        stream->next->prev = stream;
    session->streams = stream;
    session->stream_count++;
    return stream;
}

void http2_session_free(struct http2_session *session)
{
    if (!session || session->freed)
        return;
    session->freed = true;
    while (session->streams) {
        struct http2_stream *stream = session->streams;
        nghttp2_session_set_stream_user_data(session->ng, stream->id, NULL);
        stream_close(stream, HTTP2_SESSION_GONE);
    }
    if (session->broken)
        connection_free(session->connection);
    else
        connection_finish(session->connection);
    event_timer_free(session->shutdown_timer);
    session_unref(session);
}

void http2_session_drop(struct http2_session *session)
{
    session->broken = true;
    http2_session_free(session);
}

/* Takes err. */
static void session_end(struct http2_session *session, struct error *err)
{
    if (session->ended) {
        error_free(err);
        return;
    }
    session->ended = true;
    session->error = err;
}

/* At the end of everything that the loop calls: nothing of the session is on the stack above. */
static void session_leave(struct http2_session *session)
{
    if (--session->depth == 0 && session->ended && !session->told_over && !session->freed) {
        session->told_over = true;
        connection_read(session->connection, false);
        struct error *err = session->error;
        session->error = NULL;
        session->handler->over(session->self, err);
    }
    session_unref(session);
}

static void session_enter(struct http2_session *session)
{
    session->references++;
    session->depth++;
}

static void run_pump(void *arg)
{
    struct http2_session *session = arg;
    session->pump_posted = false;
    if (!session->freed)
        session_pump(session);
    session_unref(session);
}

static void post_pump(struct http2_session *session)
{
    if (session->pump_posted || session->freed)
        return;
    session->pump_posted = true;
    session->references++;
    event_loop_post(connection_loop(session->connection), run_pump, session);
}

/* Something was submitted: whoever runs now pumps at its end, else the loop does soon. */
static void schedule(struct http2_session *session)
{
    if (session->depth == 0)
        post_pump(session);
}

static bool session_lives(const struct http2_session *session)
{
    return !session->freed && !session->ended;
}

/* --- sending --- */

static void touch(struct http2_stream *stream)
{
    if (stream->touched)
        return;
    stream->touched = true;
    stream->next_touched = stream->session->touched;
    stream->session->touched = stream;
}

static void tell_room(struct http2_session *session)
{
    while (session->touched && !session->freed) {
        struct http2_stream *stream = session->touched;
        session->touched = stream->next_touched;
        stream->touched = false;
        session->handler->room(session->self, stream);
    }
}

static void pump_frames(struct http2_session *session)
{
    while (session_lives(session) && connection_unsent(session->connection) < CONNECTION_HIGH) {
        const uint8_t *data;
        ssize_t got = nghttp2_session_mem_send(session->ng, &data);
        if (got < 0)
            session_end(session,
                        error_create(ERROR_UNAVAILABLE, "http2: %s", nghttp2_strerror((int)got)));
        if (got <= 0 || session->freed)
            return;
        connection_write(session->connection, data, (size_t)got);
        session->wrote = true;
    }
}

static void session_pump(struct http2_session *session)
{
    session_enter(session);
    session->wrote = true;
    for (int i = 0; session->wrote && session_lives(session) && i < PUMPS_PER_TURN; i++) {
        session->wrote = false;
        pump_frames(session);
        if (session_lives(session))
            connection_flush(session->connection);
        tell_room(session);
        if (session_lives(session) && connection_unsent(session->connection) >= CONNECTION_HIGH)
            session->wrote = false; /* drained() goes on */
    }
    if (session->wrote)
        post_pump(session);
    if (session_lives(session) && !nghttp2_session_want_read(session->ng) &&
        !nghttp2_session_want_write(session->ng))
        session_end(session, NULL);
    session_leave(session);
}

static ssize_t read_length(nghttp2_session *ng, uint8_t frame_type UNUSED, int32_t id,
                           int32_t session_window UNUSED, int32_t stream_window UNUSED,
                           uint32_t frame_max, void *user UNUSED)
{
    const struct http2_stream *stream = nghttp2_session_get_stream_user_data(ng, id);
    size_t wanted = size_max(stream ? stream->unsent : 0, 16 * 1024);
    return (ssize_t)size_min(size_min(wanted, HTTP2_FRAME_SIZE), frame_max);
}

static void submit_trailers(struct http2_stream *stream)
{
    nghttp2_nv *fields = xcalloc(stream->trailers.len, sizeof(*fields));
    const char *at = stream->trailer_text.data;
    for (size_t i = 0; i < stream->trailers.len; i++) {
        struct trailer_span span = stream->trailers.items[i];
        fields[i] = (nghttp2_nv){(uint8_t *)at, (uint8_t *)at + span.name_len, span.name_len,
                                 span.value_len, NGHTTP2_NV_FLAG_NONE};
        at += span.name_len + span.value_len;
    }
    nghttp2_submit_trailer(stream->session->ng, stream->id, fields, stream->trailers.len);
    free(fields);
}

static ssize_t read_body(nghttp2_session *ng UNUSED, int32_t id UNUSED, uint8_t *into UNUSED,
                         size_t length, uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct http2_session *session = user;
    struct http2_stream *stream = source->ptr;
    if (session->freed)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (stream->unsent == 0 && !stream->ended) {
        stream->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    size_t len = size_min(length, stream->unsent);
    if (len)
        *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (len == stream->unsent && stream->ended) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (stream->trailers.len) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            submit_trailers(stream);
        }
    }
    return (ssize_t)len;
}

static int send_data(nghttp2_session *ng UNUSED, nghttp2_frame *frame UNUSED,
                     const uint8_t *frame_head, size_t length, nghttp2_data_source *source,
                     void *user)
{
    struct http2_session *session = user;
    struct http2_stream *stream = source->ptr;
    if (session->freed)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (connection_unsent(session->connection) >= CONNECTION_HIGH)
        return NGHTTP2_ERR_WOULDBLOCK;
    connection_write(session->connection, frame_head, 9);
    stream->unsent -= length;
    while (length) {
        struct piece *piece = stream->first;
        size_t len = size_min(piece->len, length);
        bool whole = len == piece->len;
        connection_write_shared(session->connection, piece->data, len,
                                whole ? piece->release : NULL, piece->owner);
        length -= len;
        piece->data += len;
        piece->len -= len;
        if (whole) {
            stream->first = piece->next;
            if (!stream->first)
                stream->last = &stream->first;
            free(piece);
        }
    }
    session->control_count = 0;
    session->wrote = true;
    touch(stream);
    return 0;
}

static void resume(struct http2_stream *stream)
{
    if (stream->deferred) {
        stream->deferred = false;
        nghttp2_session_resume_data(stream->session->ng, stream->id);
    }
    schedule(stream->session);
}

void http2_stream_send(struct http2_stream *stream, const void *data, size_t len,
                       void (*release)(void *owner), void *owner)
{
    if (len == 0 || stream->ended) {
        if (release)
            release(owner);
        return;
    }
    struct piece *piece = xmalloc(sizeof(*piece));
    *piece = (struct piece){NULL, data, len, release, owner};
    *stream->last = piece;
    stream->last = &piece->next;
    stream->unsent += len;
    resume(stream);
}

void http2_stream_end(struct http2_stream *stream, const struct http2_field *trailers, size_t count)
{
    if (stream->ended)
        return;
    stream->ended = true;
    for (size_t i = 0; i < count; i++) {
        buf_append_str(&stream->trailer_text, trailers[i].name);
        buf_append_str(&stream->trailer_text, trailers[i].value);
        vec_push(&stream->trailers,
                 (struct trailer_span){trailers[i].name.len, trailers[i].value.len});
    }
    resume(stream);
}

static nghttp2_nv *to_nv(const struct http2_field *fields, size_t count)
{
    nghttp2_nv *nv = xcalloc(count ? count : 1, sizeof(*nv));
    for (size_t i = 0; i < count; i++)
        nv[i] = (nghttp2_nv){(uint8_t *)fields[i].name.data, (uint8_t *)fields[i].value.data,
                             fields[i].name.len, fields[i].value.len, NGHTTP2_NV_FLAG_NONE};
    return nv;
}

void http2_stream_respond(struct http2_stream *stream, const struct http2_field *fields,
                          size_t count, bool end)
{
    nghttp2_nv *nv = to_nv(fields, count);
    nghttp2_data_provider body = {.source.ptr = stream, .read_callback = read_body};
    int code =
        nghttp2_submit_response(stream->session->ng, stream->id, nv, count, end ? NULL : &body);
    free(nv);
    if (code) /* a header that HTTP/2 does not allow, or the stream is closing */
        nghttp2_submit_rst_stream(stream->session->ng, NGHTTP2_FLAG_NONE, stream->id,
                                  NGHTTP2_INTERNAL_ERROR);
    stream->ended |= end;
    schedule(stream->session);
}

struct http2_stream *http2_session_request(struct http2_session *session,
                                           const struct http2_field *fields, size_t count,
                                           void *user)
{
    if (session->ended || session->freed || !nghttp2_session_check_request_allowed(session->ng))
        return NULL;
    struct http2_stream *stream = stream_create(session, user);
    nghttp2_nv *nv = to_nv(fields, count);
    nghttp2_data_provider body = {.source.ptr = stream, .read_callback = read_body};
    stream->id = nghttp2_submit_request(session->ng, NULL, nv, count, &body, stream);
    free(nv);
    if (stream->id < 0) {
        session->streams = stream->next;
        if (stream->next)
            stream->next->prev = NULL;
        session->stream_count--;
        free(stream);
        return NULL;
    }
    schedule(session);
    return stream;
}

void http2_stream_reset(struct http2_stream *stream, uint32_t code)
{
    nghttp2_submit_rst_stream(stream->session->ng, NGHTTP2_FLAG_NONE, stream->id, code);
    schedule(stream->session);
}

void http2_stream_consume(struct http2_stream *stream, size_t len)
{
    nghttp2_session_consume_stream(stream->session->ng, stream->id, len);
    schedule(stream->session);
}

size_t http2_stream_unsent(const struct http2_stream *stream)
{
    return stream->unsent;
}

size_t http2_stream_window(const struct http2_stream *stream)
{
    int32_t window = nghttp2_session_get_stream_remote_window_size(stream->session->ng, stream->id);
    return window > 0 ? (size_t)window : 0;
}

void http2_stream_set_user(struct http2_stream *stream, void *user)
{
    stream->user = user;
}

void *http2_stream_user(const struct http2_stream *stream)
{
    return stream->user;
}

/* --- receiving --- */

static int begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct http2_session *session = user;
    session->header_sum = 0;
    buf_clear(&session->header_text);
    vec_clear(&session->header_spans);
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        struct http2_stream *stream = stream_create(session, NULL);
        stream->id = frame->hd.stream_id;
        nghttp2_session_set_stream_user_data(ng, stream->id, stream);
    }
    return 0;
}

static int take_header(nghttp2_session *ng UNUSED, const nghttp2_frame *frame UNUSED,
                       const uint8_t *name, size_t name_len, const uint8_t *value, size_t value_len,
                       uint8_t flags UNUSED, void *user)
{
    struct http2_session *session = user;
    session->header_sum += name_len + value_len + 32;
    if (session->header_sum > HTTP2_HEADERS_MAX || session->header_spans.len >= FIELDS_MAX)
        return NGHTTP2_ERR_CALLBACK_FAILURE; /* the library itself sums up nothing */
    struct header_span span = {session->header_text.len, name_len,
                               session->header_text.len + name_len, value_len};
    buf_append(&session->header_text, name, name_len);
    buf_append(&session->header_text, value, value_len);
    vec_push(&session->header_spans, span);
    return 0;
}

static void headers_done(struct http2_session *session, struct http2_stream *stream, bool end)
{
    size_t count = session->header_spans.len;
    struct http2_field *fields = xcalloc(count ? count : 1, sizeof(*fields));
    const char *text = session->header_text.data;
    bool informational = false;
    for (size_t i = 0; i < count; i++) {
        struct header_span span = session->header_spans.items[i];
        fields[i] = (struct http2_field){{text + span.name_at, span.name_len},
                                         {text + span.value_at, span.value_len}};
        informational |= str_equal(fields[i].name, STR(":status")) && span.value_len == 3 &&
                         fields[i].value.data[0] == '1';
    }
    if (!informational) {
        bool trailers = stream->got_head;
        stream->got_head = true;
        session->handler->headers(session->self, stream, fields, count, trailers, end);
    }
    free(fields);
    buf_deinit(&session->header_text);
    vec_deinit(&session->header_spans);
}

/* Frames that make us work and carry nothing are counted while no data flows. */
static void count_control(struct http2_session *session)
{
    int64_t now = event_loop_now_ms(connection_loop(session->connection));
    if (now - session->control_since_ms > CONTROL_WINDOW_MS) {
        session->control_since_ms = now;
        session->control_count = 0;
    }
    if (++session->control_count == CONTROL_MAX)
        http2_session_terminate(session, HTTP2_ENHANCE_YOUR_CALM, "too many control frames");
}

static void touch_all(struct http2_session *session)
{
    for (struct http2_stream *stream = session->streams; stream; stream = stream->next)
        touch(stream);
}

static void send_final_goaway(void *arg)
{
    struct http2_session *session = arg;
    event_timer_stop(session->shutdown_timer);
    nghttp2_submit_goaway(session->ng, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(session->ng), NGHTTP2_NO_ERROR,
                          NULL, 0);
    schedule(session);
}

static void control_received(struct http2_session *session, const nghttp2_frame *frame)
{
    bool ack = frame->hd.flags & NGHTTP2_FLAG_ACK;
    switch (frame->hd.type) {
    case NGHTTP2_SETTINGS:
        if (!ack)
            count_control(session);
        touch_all(session); /* windows may have grown */
        break;
    case NGHTTP2_PING:
        if (!ack)
            count_control(session);
        else if (session->shutdown_timer && event_timer_is_running(session->shutdown_timer))
            send_final_goaway(session); /* what was on its way when the notice went out is here */
        if (session->handler->ping)
            session->handler->ping(session->self, ack);
        break;
    case NGHTTP2_GOAWAY:
        if (session->handler->goaway)
            session->handler->goaway(session->self, frame->goaway.error_code,
                                     (struct str){(const char *)frame->goaway.opaque_data,
                                                  frame->goaway.opaque_data_len});
        break;
    case NGHTTP2_PRIORITY:
        count_control(session);
        break;
    default:
        break;
    }
}

static int frame_received(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct http2_session *session = user;
    session->begun = true;
    if (session->freed)
        return 0;
    bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    struct http2_stream *stream =
        frame->hd.stream_id ? nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id) : NULL;
    if (!stream) {
        control_received(session, frame);
        return 0;
    }
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        headers_done(session, stream, end);
        break;
    case NGHTTP2_DATA:
        if (end)
            session->handler->end(session->self, stream);
        else if (frame->hd.length == 0)
            count_control(session);
        break;
    case NGHTTP2_WINDOW_UPDATE:
        touch(stream);
        break;
    default:
        control_received(session, frame);
    }
    return 0;
}

/* A server that has said all does not wait for the rest of the request. */
static int frame_sent(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct http2_session *session = user;
    bool body = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    if (session->server && body && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) &&
        nghttp2_session_get_stream_remote_close(ng, frame->hd.stream_id) == 0)
        nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    return 0;
}

static int data_received(nghttp2_session *ng, uint8_t flags UNUSED, int32_t id, const uint8_t *data,
                         size_t len, void *user)
{
    struct http2_session *session = user;
    nghttp2_session_consume_connection(ng, len);
    session->control_count = 0;
    struct http2_stream *stream = nghttp2_session_get_stream_user_data(ng, id);
    if (stream && !session->freed)
        session->handler->data(session->self, stream, (struct bytes){data, len});
    else
        nghttp2_session_consume_stream(ng, id, len);
    return 0;
}

static int stream_closed(nghttp2_session *ng, int32_t id, uint32_t code, void *user UNUSED)
{
    struct http2_stream *stream = nghttp2_session_get_stream_user_data(ng, id);
    if (stream)
        stream_close(stream, code);
    return 0;
}

static const char *session_error_text(int code)
{
    return code == NGHTTP2_ERR_CALLBACK_FAILURE ? "header list too large" : nghttp2_strerror(code);
}

void http2_session_feed(struct http2_session *session, struct bytes data)
{
    session_enter(session);
    ssize_t got = session->ended ? 0 : nghttp2_session_mem_recv(session->ng, data.data, data.len);
    if (got < 0)
        session_end(session,
                    error_create(ERROR_INVALID, "http2: %s", session_error_text((int)got)));
    if (!session->freed)
        session_pump(session);
    session_leave(session);
}

static void on_data(void *self, struct bytes data)
{
    http2_session_feed(self, data);
}

static void on_drained(void *self)
{
    session_pump(self);
}

static void on_peer_closed(void *self)
{
    struct http2_session *session = self;
    session_enter(session);
    session->broken = true;
    session_end(session, error_create(ERROR_UNAVAILABLE, "EOF"));
    session_leave(session);
}

static void on_broken(void *self, struct error *err)
{
    struct http2_session *session = self;
    session_enter(session);
    session->broken = true;
    session_end(session, err);
    session_leave(session);
}

static const struct connection_handler connection_handler = {
    .data = on_data, .drained = on_drained, .peer_closed = on_peer_closed, .broken = on_broken};

/* --- sessions --- */

static nghttp2_session_callbacks *make_callbacks(void)
{
    nghttp2_session_callbacks *callbacks;
    if (nghttp2_session_callbacks_new(&callbacks))
        bug("out of memory");
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, take_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, frame_received);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, frame_sent);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, data_received);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, stream_closed);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, send_data);
    nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, read_length);
    return callbacks;
}

static nghttp2_option *make_option(void)
{
    nghttp2_option *option;
    if (nghttp2_option_new(&option))
        bug("out of memory");
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_settings(option, SETTINGS_ENTRIES_MAX);
#ifdef HAVE_NGHTTP2_RESET_RATE
    nghttp2_option_set_stream_reset_rate_limit(option, RESETS_BURST, RESETS_PER_SECOND);
#endif
    return option;
}

static void submit_settings(struct http2_session *session, uint32_t max_streams)
{
    nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HTTP2_STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, HTTP2_FRAME_SIZE},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP2_HEADERS_MAX},
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, max_streams},
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
    };
    /* the last one is the client's to say */
    nghttp2_submit_settings(session->ng, NGHTTP2_FLAG_NONE, entries,
                            countof(entries) - (session->server ? 1 : 0));
    nghttp2_session_set_local_window_size(session->ng, NGHTTP2_FLAG_NONE, 0,
                                          HTTP2_CONNECTION_WINDOW);
}

struct http2_session *http2_session_create(struct connection *connection, bool server,
                                           uint32_t max_streams,
                                           const struct http2_handler *handler, void *self)
{
    struct http2_session *session = xcalloc(1, sizeof(*session));
    session->connection = connection;
    session->handler = handler;
    session->self = self;
    session->server = server;
    session->references = 1;
    nghttp2_session_callbacks *callbacks = make_callbacks();
    nghttp2_option *option = make_option();
    int code = server ? nghttp2_session_server_new2(&session->ng, callbacks, session, option)
                      : nghttp2_session_client_new2(&session->ng, callbacks, session, option);
    if (code)
        bug("http2 session: %s", nghttp2_strerror(code));
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    submit_settings(session, max_streams);
    connection_set_handler(connection, &connection_handler, session);
    connection_read(connection, true);
    schedule(session);
    return session;
}

void http2_session_shutdown(struct http2_session *session)
{
    if (session->shutdown_timer || session->ended || session->freed)
        return;
    session->shutdown_timer =
        event_timer_create(connection_loop(session->connection), send_final_goaway, session);
    event_timer_start(session->shutdown_timer, SHUTDOWN_NOTICE_MS);
    nghttp2_submit_shutdown_notice(session->ng);
    nghttp2_submit_ping(session->ng, NGHTTP2_FLAG_NONE, NULL);
    schedule(session);
}

void http2_session_terminate(struct http2_session *session, uint32_t code, const char *debug)
{
    int32_t last = nghttp2_session_get_last_proc_stream_id(session->ng);
    nghttp2_submit_goaway(session->ng, NGHTTP2_FLAG_NONE, last, code, (const uint8_t *)debug,
                          strlen(debug));
    nghttp2_session_terminate_session(session->ng, code);
    schedule(session);
}

void http2_session_ping(struct http2_session *session)
{
    nghttp2_submit_ping(session->ng, NGHTTP2_FLAG_NONE, NULL);
    schedule(session);
}

bool http2_session_has_begun(const struct http2_session *session)
{
    return session->begun;
}

size_t http2_session_streams(const struct http2_session *session)
{
    return session->stream_count;
}

struct connection *http2_session_connection(const struct http2_session *session)
{
    return session->connection;
}
