/* A channel is an address and the connections to it: one that takes new calls, and older ones that
 * the peer has asked to leave (GOAWAY) and that only finish what runs on them. All of it lives on
 * one event loop.
 *
 *     call --> [waiting] --connected--> [open on a link] --> settled
 *                  \--cannot connect--> settled with UNAVAILABLE                            */
#include <netdb.h>
#include <stdlib.h>

#include "base/memory.h"
#include "net/address.h"
#include "net/connection.h"
#include "net/grpc_call_out.h"
#include "runtime/event_loop.h"

enum {
    CONNECT_TIMEOUT_MS = 20 * 1000,
    RETRY_MS = 1000, /* a failed connection is not tried again sooner */
    ADDRESSES_MAX = 16,
    KEEPALIVE_AFTER_MS = 10 * 1000,
    KEEPALIVE_TIMEOUT_MS = 5 * 1000,
    FIELDS_MAX = 32,
};

struct grpc_link {
    struct grpc_channel *channel; /* a reference */
    struct grpc_link *next, *prev;
    struct http2_session *session;
    struct event_timer *keepalive;
    struct error *error; /* why it ended */
    size_t streams;
    int64_t heard_ms;
    bool is_leaving, ping_is_out;
};

struct grpc_channel {
    atomic_uint references; /* the owner, streams, links, what is under way */
    struct event_loop *loop;
    char *address;
    /* On the loop only: */
    struct grpc_link *links;
    struct grpc_stream *first_waiting, *last_waiting;
    struct connection *connecting;
    struct address candidates[ADDRESSES_MAX];
    size_t candidate_count, candidate_at;
    bool is_connecting, is_closed;
    int64_t failed_ms;        /* when the last attempt failed */
    struct error *last_error; /* of it; NULL: none has failed since the last success */
};

static void channel_connect(struct grpc_channel *channel);
static void channel_try_next(struct grpc_channel *channel);

/* -- references -- */

struct event_loop *grpc_channel_loop(const struct grpc_channel *channel)
{
    return channel->loop;
}

void grpc_channel_ref(struct grpc_channel *channel)
{
    atomic_fetch_add_explicit(&channel->references, 1, memory_order_relaxed);
}

void grpc_channel_unref(struct grpc_channel *channel)
{
    if (atomic_fetch_sub_explicit(&channel->references, 1, memory_order_acq_rel) != 1)
        return;
    error_free(channel->last_error);
    free(channel->address);
    free(channel);
}

struct grpc_channel *grpc_channel_create(struct event_loops *loops, struct str address)
{
    struct grpc_channel *channel = xcalloc(1, sizeof(*channel));
    atomic_init(&channel->references, 1);
    channel->loop = event_loops_pick(loops);
    channel->address = str_dup(address);
    return channel;
}

/* -- links -- */

static void link_free(struct grpc_link *link)
{
    struct grpc_channel *channel = link->channel;
    struct http2_session *session = link->session;
    if (!session)
        return; /* it is being freed */
    link->session = NULL;
    if (link->prev)
        link->prev->next = link->next;
    else
        channel->links = link->next;
    if (link->next)
        link->next->prev = link->prev;
    http2_session_free(session); /* closes the streams that are left */
    event_timer_free(link->keepalive);
    error_free(link->error);
    free(link);
    grpc_channel_unref(channel);
}

static struct grpc_link *channel_link(const struct grpc_channel *channel)
{
    for (struct grpc_link *link = channel->links; link; link = link->next)
        if (!link->is_leaving)
            return link;
    return NULL;
}

static void link_free_later(void *arg)
{
    link_free(arg);
}

static void link_keepalive(void *arg)
{
    struct grpc_link *link = arg;
    int64_t silent_ms = event_loop_now_ms(link->channel->loop) - link->heard_ms;
    if (link->ping_is_out && silent_ms >= KEEPALIVE_AFTER_MS + KEEPALIVE_TIMEOUT_MS) {
        link->error =
            error_create(ERROR_UNAVAILABLE, "keepalive ping failed to receive ACK within timeout");
        link_free(link);
        return;
    }
    if (!link->ping_is_out && silent_ms >= KEEPALIVE_AFTER_MS && link->streams > 0) {
        link->ping_is_out = true;
        http2_session_ping(link->session);
    }
    if (link->streams > 0)
        event_timer_start(link->keepalive,
                          link->ping_is_out ? KEEPALIVE_TIMEOUT_MS : KEEPALIVE_AFTER_MS);
}

static void link_heard(struct grpc_link *link)
{
    link->heard_ms = event_loop_now_ms(link->channel->loop);
    link->ping_is_out = false;
}

/* -- what comes from the peer -- */

static struct str field_value(const struct http2_field *fields, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal(fields[i].name, name))
            return fields[i].value;
    return STR("");
}

static void stream_fail(struct grpc_stream *stream, enum grpc_code code, struct str text)
{
    grpc_stream_settle(stream, code, grpc_error(code, text));
}

/* The status in trailers, or in a head that is also the end. */
static void stream_take_status(struct grpc_stream *stream, const struct http2_field *fields,
                               size_t count)
{
    struct str status = field_value(fields, count, STR("grpc-status"));
    uint64_t code;
    struct buf text = {0};
    if (!str_to_uint64(status, &code) || code > GRPC_UNAUTHENTICATED)
        code = GRPC_UNKNOWN;
    grpc_status_decode(&text, field_value(fields, count, STR("grpc-message")));
    if (code == GRPC_OK)
        grpc_stream_settle(stream, GRPC_OK, NULL);
    else
        stream_fail(stream, (enum grpc_code)code, buf_str(&text));
    buf_deinit(&text);
}

/* An answer that is not gRPC's: from a proxy, or another kind of server. */
static enum grpc_code code_of_http(struct str status)
{
    static const struct {
        const char *status;
        enum grpc_code code;
    } rows[] = {{"400", GRPC_INTERNAL},          {"401", GRPC_UNAUTHENTICATED},
                {"403", GRPC_PERMISSION_DENIED}, {"404", GRPC_UNIMPLEMENTED},
                {"429", GRPC_UNAVAILABLE},       {"502", GRPC_UNAVAILABLE},
                {"503", GRPC_UNAVAILABLE},       {"504", GRPC_UNAVAILABLE}};
    for (size_t i = 0; i < countof(rows); i++)
        if (str_equal(status, str_from(rows[i].status)))
            return rows[i].code;
    return GRPC_UNKNOWN;
}

static void stream_take_head(struct grpc_stream *stream, const struct http2_field *fields,
                             size_t count)
{
    struct str status = field_value(fields, count, STR(":status"));
    struct str type = field_value(fields, count, STR("content-type"));
    struct str encoding = field_value(fields, count, STR("grpc-encoding"));
    struct buf text = {0};
    if (!str_equal(status, STR("200"))) {
        buf_printf(&text, "unexpected HTTP status code received from server: %.*s",
                   STR_ARG(status));
        stream_fail(stream, code_of_http(status), buf_str(&text));
    } else if (!str_starts_with(type, STR("application/grpc"))) {
        buf_printf(&text, "unexpected content-type received from server: \"%.*s\"", STR_ARG(type));
        stream_fail(stream, GRPC_UNKNOWN, buf_str(&text));
    }
    mutex_lock(&stream->receiving);
    stream->deframer.encoding = grpc_encoding_parse(encoding);
    bool is_unknown = stream->deframer.encoding == GRPC_UNKNOWN_ENCODING;
    mutex_unlock(&stream->receiving);
    if (is_unknown) {
        buf_clear(&text);
        buf_printf(&text, "grpc: Decompressor is not installed for grpc-encoding \"%.*s\"",
                   STR_ARG(encoding));
        stream_fail(stream, GRPC_UNIMPLEMENTED, buf_str(&text));
    }
    buf_deinit(&text);
}

static void link_headers(void *self, struct http2_stream *http2, const struct http2_field *fields,
                         size_t count, bool trailers, bool end)
{
    struct grpc_stream *stream = http2_stream_user(http2);
    link_heard(self);
    if (!trailers && !stream->got_head) {
        struct str status = field_value(fields, count, STR(":status"));
        if (status.len == 3 && status.data[0] == '1' && !end)
            return; /* an interim answer */
        stream->got_head = true;
        if (!end || field_value(fields, count, STR("grpc-status")).len == 0)
            stream_take_head(stream, fields, count);
    }
    if (trailers || end)
        stream_take_status(stream, fields, count);
}

static void link_data(void *self, struct http2_stream *http2, struct bytes data)
{
    struct grpc_stream *stream = http2_stream_user(http2);
    link_heard(self);
    struct error *err = grpc_stream_receive(stream, data);
    if (!err)
        return;
    grpc_stream_settle(stream, GRPC_OK, err); /* our own finding, not a status of the peer's */
    http2_stream_reset(http2, HTTP2_CANCEL);
}

static void link_end(void *self UNUSED, struct http2_stream *http2)
{
    stream_fail(http2_stream_user(http2), GRPC_INTERNAL,
                STR("server closed the stream without sending trailers"));
}

static void link_room(void *self UNUSED, struct http2_stream *http2 UNUSED)
{
}

static enum grpc_code code_of_reset(uint32_t code)
{
    switch (code) {
    case HTTP2_CANCEL:
        return GRPC_CANCELLED;
    case HTTP2_ENHANCE_YOUR_CALM:
        return GRPC_RESOURCE_EXHAUSTED;
    case HTTP2_REFUSED_STREAM:
    case HTTP2_SESSION_GONE:
        return GRPC_UNAVAILABLE;
    default:
        return GRPC_INTERNAL;
    }
}

static void link_closed(void *self, struct http2_stream *http2, uint32_t code)
{
    struct grpc_link *link = self;
    struct grpc_stream *stream = http2_stream_user(http2);
    struct buf text = {0};
    if (code == HTTP2_SESSION_GONE)
        buf_printf(&text, "error reading from server: %s", link->error ? "" : "EOF");
    else
        buf_printf(&text, "stream terminated by RST_STREAM with error code: %s",
                   http2_code_name(code));
    if (code == HTTP2_SESSION_GONE && link->error)
        buf_append_str(&text, error_text(link->error));
    stream_fail(stream, code_of_reset(code), buf_str(&text));
    buf_deinit(&text);
    stream->http2 = NULL;
    stream->link = NULL;
    if (--link->streams == 0 && link->is_leaving && link->session)
        event_loop_post(link->channel->loop, link_free_later, link);
    grpc_stream_unref(stream);
}

static void link_ping(void *self, bool ack UNUSED)
{
    link_heard(self);
}

static void link_goaway(void *self, uint32_t code UNUSED, struct str debug UNUSED)
{
    struct grpc_link *link = self;
    bool was_leaving = link->is_leaving;
    link->is_leaving = true;
    if (!was_leaving && link->streams == 0 && link->session)
        event_loop_post(link->channel->loop, link_free_later, link);
}

static void link_over(void *self, struct error *err)
{
    struct grpc_link *link = self;
    error_keep_first(&link->error, err);
    if (!link->is_leaving || link->streams > 0)
        link_free(link);
}

static const struct http2_handler link_handler = {
    .headers = link_headers,
    .data = link_data,
    .end = link_end,
    .room = link_room,
    .closed = link_closed,
    .ping = link_ping,
    .goaway = link_goaway,
    .over = link_over,
};

/* -- calls -- */

static void waiting_remove(struct grpc_stream *stream)
{
    struct grpc_channel *channel = stream->channel;
    stream->is_waiting = false;
    *(stream->prev ? &stream->prev->next : &channel->first_waiting) = stream->next;
    *(stream->next ? &stream->next->prev : &channel->last_waiting) = stream->prev;
    stream->next = stream->prev = NULL;
}

static void waiting_add(struct grpc_stream *stream)
{
    struct grpc_channel *channel = stream->channel;
    grpc_stream_ref(stream);
    stream->is_waiting = true;
    stream->prev = channel->last_waiting;
    *(stream->prev ? &stream->prev->next : &channel->first_waiting) = stream;
    channel->last_waiting = stream;
}

static bool stream_is_settled(struct grpc_stream *stream)
{
    mutex_lock(&stream->lock);
    bool ended = stream->ended;
    mutex_unlock(&stream->lock);
    return ended;
}

static size_t request_fields(const struct grpc_stream *stream, struct http2_field *fields,
                             char timeout[16])
{
    size_t count = 0;
    int64_t left_ms = context_left_ms(stream->ctx);
    fields[count++] = (struct http2_field){STR(":method"), STR("POST")};
    fields[count++] = (struct http2_field){STR(":scheme"), STR("http")};
    fields[count++] = (struct http2_field){STR(":path"), str_from(stream->method)};
    fields[count++] = (struct http2_field){STR(":authority"), str_from(stream->channel->address)};
    fields[count++] = (struct http2_field){STR("content-type"), STR("application/grpc")};
    fields[count++] = (struct http2_field){STR("user-agent"), STR("titan")};
    fields[count++] = (struct http2_field){STR("te"), STR("trailers")};
    fields[count++] = (struct http2_field){STR("grpc-accept-encoding"), STR("snappy,gzip")};
    if (left_ms != INT64_MAX)
        fields[count++] = (struct http2_field){
            STR("grpc-timeout"), {timeout, grpc_timeout_format(int64_max(left_ms, 1), timeout)}};
    for (size_t i = 0; i < stream->metadata_count && count < FIELDS_MAX; i++)
        fields[count++] = (struct http2_field){stream->metadata[i].name, stream->metadata[i].value};
    return count;
}

static void link_carry(struct grpc_link *link, struct grpc_stream *stream)
{
    struct http2_field fields[FIELDS_MAX];
    char timeout[16];
    size_t count = request_fields(stream, fields, timeout);
    stream->http2 = http2_session_request(link->session, fields, count, stream);
    if (!stream->http2) {
        stream_fail(stream, GRPC_UNAVAILABLE, STR("the connection takes no more streams"));
        return;
    }
    grpc_stream_ref(stream); /* given back by link_closed() */
    stream->link = link;
    if (link->streams++ == 0) {
        link_heard(link);
        event_timer_start(link->keepalive, KEEPALIVE_AFTER_MS);
    }
    grpc_stream_ref(stream);
    http2_stream_send(stream->http2, stream->request.data, stream->request.len, grpc_stream_unref,
                      stream);
    http2_stream_end(stream->http2, NULL, 0);
}

void grpc_channel_carry(struct grpc_stream *stream)
{
    struct grpc_channel *channel = stream->channel;
    struct grpc_link *link = channel_link(channel);
    if (stream_is_settled(stream))
        return;
    if (channel->is_closed) {
        stream_fail(stream, GRPC_CANCELLED, STR("grpc: the client connection is closing"));
    } else if (link) {
        link_carry(link, stream);
    } else if (!channel->is_connecting && channel->last_error &&
               event_loop_now_ms(channel->loop) - channel->failed_ms < RETRY_MS) {
        stream_fail(stream, GRPC_UNAVAILABLE, error_text(channel->last_error));
    } else {
        waiting_add(stream);
        if (!channel->is_connecting)
            channel_connect(channel);
    }
}

void grpc_channel_drop(struct grpc_stream *stream)
{
    if (stream->is_waiting) {
        waiting_remove(stream);
        grpc_stream_unref(stream);
    } else if (stream->http2) {
        http2_stream_reset(stream->http2, HTTP2_CANCEL);
    }
}

static void channel_start_waiting(struct grpc_channel *channel, struct grpc_link *link)
{
    while (channel->first_waiting) {
        struct grpc_stream *stream = channel->first_waiting;
        waiting_remove(stream);
        if (!stream_is_settled(stream))
            link_carry(link, stream);
        grpc_stream_unref(stream);
    }
}

static void channel_fail_waiting(struct grpc_channel *channel, enum grpc_code code, struct str text)
{
    while (channel->first_waiting) {
        struct grpc_stream *stream = channel->first_waiting;
        waiting_remove(stream);
        stream_fail(stream, code, text);
        grpc_stream_unref(stream);
    }
}

/* -- connecting -- */

/* Takes err. */
static void channel_failed(struct grpc_channel *channel, struct error *err)
{
    channel->is_connecting = false;
    channel->failed_ms = event_loop_now_ms(channel->loop);
    error_free(channel->last_error);
    channel->last_error = error_create(
        ERROR_UNAVAILABLE, "connection error: desc = \"transport: Error while dialing: %.*s\"",
        STR_ARG(error_text(err)));
    error_free(err);
    channel_fail_waiting(channel, GRPC_UNAVAILABLE, error_text(channel->last_error));
    grpc_channel_unref(channel);
}

static void channel_connected(void *self)
{
    struct grpc_channel *channel = self;
    struct grpc_link *link = xcalloc(1, sizeof(*link));
    struct connection *connection = channel->connecting;
    channel->connecting = NULL;
    channel->is_connecting = false;
    error_free(channel->last_error);
    channel->last_error = NULL;
    link->channel = channel; /* takes over the reference of connecting */
    link->next = channel->links;
    if (link->next)
        link->next->prev = link;
    channel->links = link;
    link->keepalive = event_timer_create(channel->loop, link_keepalive, link);
    link->session = http2_session_create(connection, false, 0, &link_handler, link);
    link_heard(link);
    channel_start_waiting(channel, link);
}

static void channel_broken(void *self, struct error *err)
{
    struct grpc_channel *channel = self;
    connection_free(channel->connecting);
    channel->connecting = NULL;
    if (channel->candidate_at < channel->candidate_count) {
        error_free(err);
        channel_try_next(channel);
    } else {
        channel_failed(channel, err);
    }
}

static void channel_data(void *self UNUSED, struct bytes data UNUSED)
{
}

static void channel_drained(void *self UNUSED)
{
}

static const struct connection_handler connecting_handler = {.connected = channel_connected,
                                                             .data = channel_data,
                                                             .drained = channel_drained,
                                                             .peer_closed = channel_drained,
                                                             .broken = channel_broken};

static void channel_try_next(struct grpc_channel *channel)
{
    struct error *err = NULL;
    while (channel->candidate_at < channel->candidate_count) {
        const struct address *address = &channel->candidates[channel->candidate_at++];
        error_free(err);
        err = connection_connect(channel->loop, address, CONNECT_TIMEOUT_MS, &connecting_handler,
                                 channel, &channel->connecting);
        if (!err)
            return;
    }
    channel_failed(channel,
                   err ? err
                       : error_create(ERROR_UNAVAILABLE, "dial tcp: lookup %s: no such host",
                                      channel->address));
}

static void channel_resolved(void *self, int code UNUSED, const struct addrinfo *list)
{
    struct grpc_channel *channel = self;
    if (channel->is_closed) {
        channel_failed(channel, error_create(ERROR_CANCELLED, "the client connection is closing"));
        return;
    }
    for (const struct addrinfo *info = list; info && channel->candidate_count < ADDRESSES_MAX;
         info = info->ai_next)
        if (address_from_addrinfo(info, &channel->candidates[channel->candidate_count]))
            channel->candidate_count++;
    channel_try_next(channel);
}

/* The caller's reference on the channel is doubled for the attempt. */
static void channel_connect(struct grpc_channel *channel)
{
    struct str host, port;
    uint16_t number;
    channel->is_connecting = true;
    channel->candidate_count = channel->candidate_at = 0;
    grpc_channel_ref(channel);
    struct error *err = address_split(str_from(channel->address), &host, &port);
    if (!err && !address_port(port, &number))
        err = error_create(ERROR_INVALID, "address %s: invalid port", channel->address);
    if (err) {
        channel_failed(channel, error_wrap(err, "dial tcp"));
    } else if (address_from_literal(host, number, &channel->candidates[0])) {
        channel->candidate_count = 1;
        channel_try_next(channel);
    } else {
        char *name = str_dup(host), *service = str_dup(port);
        event_loop_resolve(channel->loop, host.len ? name : "localhost", service, channel_resolved,
                           channel);
        free(name);
        free(service);
    }
}

/* -- the end of a channel -- */

static void channel_close(void *arg)
{
    struct grpc_channel *channel = arg;
    channel->is_closed = true;
    channel_fail_waiting(channel, GRPC_CANCELLED, STR("grpc: the client connection is closing"));
    while (channel->links) {
        error_keep_first(&channel->links->error,
                         error_create(ERROR_CANCELLED, "the client connection is closing"));
        link_free(channel->links);
    }
    if (channel->connecting) {
        connection_free(channel->connecting);
        channel->connecting = NULL;
        channel_failed(channel, error_create(ERROR_CANCELLED, "the client connection is closing"));
    }
    grpc_channel_unref(channel);
}

void grpc_channel_free(struct grpc_channel *channel)
{
    if (channel)
        event_loop_post(channel->loop, channel_close, channel);
}
