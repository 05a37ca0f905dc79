#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "net/address.h"
#include "net/connection.h"
#include "net/dns.h"
#include "net/grpc_stream.h"
#include "net/tls.h"
#include "runtime/event_loop.h"
#include "runtime/metrics.h"

enum {
    ADDRESSES_MAX = 16,
    CONNECT_TIMEOUT_MS = 20 * 1000,
    HANDSHAKE_TIMEOUT_MS = 20 * 1000,
    RETRY_MS = 1000, /* calls fail at once when the last attempt has failed and is younger */
    PING_AFTER_MS = 10 * 1000 + 100, /* servers punish pings that come within 10 s */
    PING_TIMEOUT_MS = 5 * 1000,
};

/* One HTTP/2 connection: the current one of its channel, or one that runs out. On the loop. */
struct client_connection {
    struct grpc_channel *channel; /* a reference */
    struct http2_session *session;
    struct client_connection *prev, *next;
    struct event_timer *keepalive;
    int64_t heard_ms;
    bool pinged;
    struct buf reason; /* why its streams are lost */
};

struct grpc_channel {
    atomic_uint references; /* the owner's, the calls', the connections', of functions under way */
    struct event_loop *loop;
    char *address;
    struct tls_client *tls; /* a reference; NULL: in the clear */
    struct client_metrics metrics;
    enum grpc_encoding encoding;

    /* on the loop only */
    bool closed, connecting, failed;
    int64_t attempted_ms;
    struct buf failure; /* of the last attempt */
    struct dns_resolve *resolving;
    struct connection *dialing;
    struct address addresses[ADDRESSES_MAX];
    size_t address_count, address_at;
    struct client_connection *current, *connections;
    struct grpc_stream *first_pending, *last_pending;
};

static void channel_connect(struct grpc_channel *channel);

/* --- the channel --- */

static struct client_metrics make_metrics(struct metrics *metrics)
{
    static const char *const labels[] = {"grpc_method", "grpc_service", "grpc_type", "grpc_code"};
    static const double bounds[] = {0.001, 0.01, 0.1, 0.3, 0.6, 1,   3,   6,  9,
                                    20,    30,   60,  90,  120, 240, 360, 720};
    if (!metrics)
        return (struct client_metrics){0};
    return (struct client_metrics){
        .started = metrics_counter_family(metrics, "grpc_client_started_total",
                                          "Total number of RPCs started on the client.", labels, 3),
        .handled = metrics_counter_family(
            metrics, "grpc_client_handled_total",
            "Total number of RPCs completed by the client, regardless of success or failure.",
            labels, 4),
        .received = metrics_counter_family(metrics, "grpc_client_msg_received_total",
                                           "Total number of RPC messages received by the client.",
                                           labels, 3),
        .sent =
            metrics_counter_family(metrics, "grpc_client_msg_sent_total",
                                   "Total number of RPC messages sent by the client.", labels, 3),
        .seconds =
            metrics_histogram_family(metrics, "grpc_client_handling_seconds",
                                     "Seconds from the start of an RPC on the client to its end.",
                                     bounds, countof(bounds), labels, 3),
    };
}

struct grpc_channel *grpc_channel_create_with(struct event_loops *loops, struct str address,
                                              const struct grpc_channel_options *options)
{
    struct grpc_channel *channel = xcalloc(1, sizeof(*channel));
    atomic_init(&channel->references, 1);
    channel->loop = event_loops_pick(loops);
    channel->address = str_dup(address);
    channel->metrics = make_metrics(options->metrics);
    channel->tls = options->tls ? tls_client_ref(options->tls) : NULL;
    channel->encoding = options->compress ? GRPC_SNAPPY : GRPC_IDENTITY;
    return channel;
}

struct grpc_channel *grpc_channel_create(struct event_loops *loops, struct str address)
{
    return grpc_channel_create_with(loops, address, &(struct grpc_channel_options){0});
}

void grpc_channel_ref(struct grpc_channel *channel)
{
    atomic_fetch_add_explicit(&channel->references, 1, memory_order_relaxed);
}

void grpc_channel_unref(struct grpc_channel *channel)
{
    if (atomic_fetch_sub_explicit(&channel->references, 1, memory_order_acq_rel) != 1)
        return;
    buf_deinit(&channel->failure);
    tls_client_unref(channel->tls);
    free(channel->address);
    free(channel);
}

struct event_loop *grpc_channel_loop(const struct grpc_channel *channel)
{
    return channel->loop;
}

struct str grpc_channel_address(const struct grpc_channel *channel)
{
    return str_from(channel->address);
}

const struct client_metrics *grpc_channel_metrics(const struct grpc_channel *channel)
{
    return &channel->metrics;
}

enum grpc_encoding grpc_channel_encoding(const struct grpc_channel *channel)
{
    return channel->encoding;
}

/* --- calls that wait for a connection --- */

static void pending_add(struct grpc_channel *channel, struct grpc_stream *stream)
{
    stream->pending = true;
    stream->next_pending = NULL;
    stream->prev_pending = channel->last_pending;
    *(channel->last_pending ? &channel->last_pending->next_pending : &channel->first_pending) =
        stream;
    channel->last_pending = stream;
}

static void pending_remove(struct grpc_channel *channel, struct grpc_stream *stream)
{
    *(stream->prev_pending ? &stream->prev_pending->next_pending : &channel->first_pending) =
        stream->next_pending;
    *(stream->next_pending ? &stream->next_pending->prev_pending : &channel->last_pending) =
        stream->prev_pending;
    stream->pending = false;
}

static void stream_refuse(struct grpc_stream *stream, struct str why)
{
    char *text = str_dup(why);
    stream->active = false;
    grpc_stream_fail(stream, GRPC_UNAVAILABLE, text);
    free(text);
    grpc_stream_unref(stream);
}

static void pending_fail(struct grpc_channel *channel, struct str why)
{
    while (channel->first_pending) {
        struct grpc_stream *stream = channel->first_pending;
        pending_remove(channel, stream);
        stream_refuse(stream, why);
    }
}

void grpc_channel_abandon(struct grpc_channel *channel, struct grpc_stream *stream)
{
    if (stream->http2) {
        http2_stream_reset(stream->http2, HTTP2_CANCEL); /* its end lets go of it */
    } else if (stream->pending) {
        pending_remove(channel, stream);
        grpc_stream_drop_active(stream);
    }
}

static void channel_retire(struct grpc_channel *channel, struct client_connection *connection)
{
    if (channel->current == connection)
        channel->current = NULL;
}

static void keepalive_start(struct client_connection *connection);

void grpc_channel_dispatch(struct grpc_channel *channel, struct grpc_stream *stream)
{
    if (grpc_stream_has_ended(stream)) {
        grpc_stream_drop_active(stream);
        return;
    }
    if (channel->closed) {
        stream_refuse(stream, STR("grpc: the client connection is closing"));
        return;
    }
    if (channel->current && grpc_stream_open(stream, channel->current->session)) {
        keepalive_start(channel->current);
        return;
    }
    channel->current = NULL;
    int64_t now = event_loop_now_ms(channel->loop);
    if (!channel->connecting && channel->failed && now - channel->attempted_ms < RETRY_MS) {
        stream_refuse(stream, buf_str(&channel->failure));
        return;
    }
    pending_add(channel, stream);
    if (!channel->connecting)
        channel_connect(channel);
}

/* --- connections --- */

static void connection_gone(struct client_connection *connection)
{
    struct grpc_channel *channel = connection->channel;
    channel_retire(channel, connection);
    *(connection->prev ? &connection->prev->next : &channel->connections) = connection->next;
    if (connection->next)
        connection->next->prev = connection->prev;
    event_timer_free(connection->keepalive);
    buf_deinit(&connection->reason);
    free(connection);
    grpc_channel_unref(channel);
}

static void session_headers(void *self, struct http2_stream *http2,
                            const struct http2_field *fields, size_t count, bool trailers, bool end)
{
    struct client_connection *connection = self;
    connection->heard_ms = event_loop_now_ms(connection->channel->loop);
    grpc_stream_headers(http2_stream_user(http2), fields, count, trailers, end);
}

static void session_data(void *self, struct http2_stream *http2, struct bytes data)
{
    struct client_connection *connection = self;
    connection->heard_ms = event_loop_now_ms(connection->channel->loop);
    grpc_stream_data(http2_stream_user(http2), data);
}

static void session_end(void *self UNUSED, struct http2_stream *http2)
{
    grpc_stream_peer_ended(http2_stream_user(http2));
}

static void session_room(void *self UNUSED, struct http2_stream *http2 UNUSED)
{
}

static void fail_reset(struct grpc_stream *stream, uint32_t code)
{
    char text[96];
    snprintf(text, sizeof(text), "stream terminated by RST_STREAM with error code: %s",
             http2_code_name(code));
    grpc_stream_fail(stream, grpc_code_of_reset(code), text);
}

static void session_closed(void *self, struct http2_stream *http2, uint32_t code)
{
    struct client_connection *connection = self;
    struct grpc_stream *stream = http2_stream_user(http2);
    stream->http2 = NULL;
    if (grpc_stream_has_ended(stream)) {
        grpc_stream_drop_active(stream);
    } else if (code == HTTP2_SESSION_GONE) {
        stream_refuse(stream, buf_str(&connection->reason));
    } else if (code == HTTP2_REFUSED_STREAM && !stream->got_head && !stream->retried) {
        stream->retried = true; /* the peer has not touched it: once more, most likely elsewhere */
        grpc_channel_dispatch(connection->channel, stream);
    } else {
        if (code == HTTP2_NO_ERROR)
            grpc_stream_peer_ended(stream);
        else
            fail_reset(stream, code);
        grpc_stream_drop_active(stream);
    }
}

static void session_ping(void *self, bool ack)
{
    struct client_connection *connection = self;
    connection->heard_ms = event_loop_now_ms(connection->channel->loop);
    if (ack)
        connection->pinged = false;
}

static void session_goaway(void *self, uint32_t code UNUSED, struct str debug)
{
    struct client_connection *connection = self;
    channel_retire(connection->channel, connection);
    buf_clear(&connection->reason);
    buf_printf(&connection->reason,
               "closing transport due to: connection error: GOAWAY, debug "
               "data: \"%.*s\"",
               STR_ARG(debug));
}

static void session_over(void *self, struct error *err)
{
    struct client_connection *connection = self;
    if (connection->reason.len == 0)
        buf_printf(&connection->reason, "error reading from server: %.*s",
                   STR_ARG(err ? error_text(err) : STR("EOF")));
    error_free(err);
    channel_retire(connection->channel, connection);
    http2_session_free(connection->session);
    connection_gone(connection);
}

static const struct http2_handler session_handler = {.headers = session_headers,
                                                     .data = session_data,
                                                     .end = session_end,
                                                     .room = session_room,
                                                     .closed = session_closed,
                                                     .ping = session_ping,
                                                     .goaway = session_goaway,
                                                     .over = session_over};

static void keepalive_fired(void *arg)
{
    struct client_connection *connection = arg;
    int64_t quiet_ms = event_loop_now_ms(connection->channel->loop) - connection->heard_ms;
    if (http2_session_streams(connection->session) == 0) {
        connection->pinged = false;
    } else if (quiet_ms < PING_AFTER_MS) {
        connection->pinged = false;
        event_timer_start(connection->keepalive, PING_AFTER_MS - quiet_ms);
    } else if (!connection->pinged) {
        connection->pinged = true;
        http2_session_ping(connection->session);
        event_timer_start(connection->keepalive, PING_TIMEOUT_MS);
    } else {
        buf_clear(&connection->reason);
        buf_append_cstr(&connection->reason, "keepalive ping failed to receive ACK within timeout");
        channel_retire(connection->channel, connection);
        http2_session_drop(connection->session);
        connection_gone(connection);
    }
}

static void keepalive_start(struct client_connection *connection)
{
    if (event_timer_is_running(connection->keepalive))
        return;
    connection->heard_ms = event_loop_now_ms(connection->channel->loop);
    event_timer_start(connection->keepalive, PING_AFTER_MS);
}

/* --- connecting --- */

/* Takes err. */
static void connect_failed(struct grpc_channel *channel, struct error *err)
{
    channel->connecting = false;
    channel->failed = true;
    buf_clear(&channel->failure);
    bool dialled = str_starts_with(error_text(err), STR("authentication handshake failed"));
    buf_printf(&channel->failure, "connection error: desc = \"transport: %s%.*s\"",
               dialled ? "" : "Error while dialing: ", STR_ARG(error_text(err)));
    error_free(err);
    pending_fail(channel, buf_str(&channel->failure));
}

static void dial_done(void *self)
{
    struct grpc_channel *channel = self;
    struct client_connection *connection = xcalloc(1, sizeof(*connection));
    grpc_channel_ref(channel);
    connection->channel = channel;
    connection->keepalive = event_timer_create(channel->loop, keepalive_fired, connection);
    connection->next = channel->connections;
    if (connection->next)
        connection->next->prev = connection;
    channel->connections = connection;
    connection->session =
        http2_session_create(channel->dialing, false, 0, &session_handler, connection);
    channel->dialing = NULL;
    channel->connecting = channel->failed = false;
    channel->current = connection;
    while (channel->current && channel->first_pending) {
        struct grpc_stream *stream = channel->first_pending;
        pending_remove(channel, stream);
        grpc_channel_dispatch(channel, stream);
    }
    grpc_channel_unref(channel); /* of the dialing */
}

static void dial_next(struct grpc_channel *channel, struct error *last);

static void dial_broken(void *self, struct error *err)
{
    struct grpc_channel *channel = self;
    connection_free(channel->dialing);
    channel->dialing = NULL;
    dial_next(channel, err);
}

static const struct connection_handler handshake_handler = {.connected = dial_done,
                                                            .broken = dial_broken};

static void dial_connected(void *self)
{
    struct grpc_channel *channel = self;
    struct str host, port;
    if (!channel->tls) {
        dial_done(channel);
        return;
    }
    error_free(address_split(str_from(channel->address), &host, &port)); /* went well before */
    connection_set_handler(channel->dialing, &handshake_handler, channel);
    connection_connect_tls(channel->dialing, channel->tls, host.len ? host : STR("127.0.0.1"),
                           HANDSHAKE_TIMEOUT_MS);
}

static const struct connection_handler dial_handler = {.connected = dial_connected,
                                                       .broken = dial_broken};

/* Tries the next address, or ends with the error of the one before, which is taken. Holds a
 * reference on the channel from channel_connect() on. */
static void dial_next(struct grpc_channel *channel, struct error *last)
{
    while (channel->address_at < channel->address_count && !channel->closed) {
        error_free(last);
        last = connection_connect(channel->loop, &channel->addresses[channel->address_at++],
                                  CONNECT_TIMEOUT_MS, &dial_handler, channel, &channel->dialing);
        if (!last)
            return;
    }
    if (!channel->closed)
        connect_failed(channel, last);
    else
        error_free(last);
    grpc_channel_unref(channel);
}

static void resolved(void *arg, struct error *err, const struct address *addresses, size_t count)
{
    struct grpc_channel *channel = arg;
    struct str host, port;
    channel->address_count = size_min(count, ADDRESSES_MAX);
    for (size_t i = 0; i < channel->address_count; i++)
        channel->addresses[i] = addresses[i];
    error_free(address_split(str_from(channel->address), &host, &port)); /* went well before */
    if (!err && count == 0)
        err = error_create(ERROR_UNAVAILABLE, "no such host");
    dial_next(channel, error_wrap(err, "dial tcp: lookup %.*s", STR_ARG(host)));
}

static void channel_connect(struct grpc_channel *channel)
{
    struct str host, port_text;
    uint16_t port;
    channel->connecting = true;
    channel->attempted_ms = event_loop_now_ms(channel->loop);
    struct error *err = address_split(str_from(channel->address), &host, &port_text);
    if (!err && !address_port(port_text, &port))
        err = error_create(ERROR_UNAVAILABLE, "dial tcp: address %.*s: invalid port",
                           STR_ARG(port_text));
    if (err) {
        connect_failed(channel, err);
        return;
    }
    grpc_channel_ref(channel);
    channel->address_count = channel->address_at = 0;
    if (host.len == 0)
        host = STR("127.0.0.1");
    if (address_from_literal(host, port, &channel->addresses[0])) {
        channel->address_count = 1;
        dial_next(channel, NULL);
        return;
    }
    dns_resolve(channel->loop, host, port, resolved, channel, &channel->resolving);
}

static void close_on_loop(void *arg)
{
    struct grpc_channel *channel = arg;
    channel->closed = true;
    pending_fail(channel, STR("grpc: the client connection is closing"));
    dns_resolve_cancel(channel->resolving);
    if (channel->dialing) {
        connection_free(channel->dialing);
        channel->dialing = NULL;
        grpc_channel_unref(channel);
    }
    while (channel->connections) {
        struct client_connection *connection = channel->connections;
        buf_clear(&connection->reason);
        buf_append_cstr(&connection->reason, "grpc: the client connection is closing");
        channel_retire(channel, connection);
        http2_session_free(connection->session);
        connection_gone(connection);
    }
    grpc_channel_unref(channel);
}

void grpc_channel_free(struct grpc_channel *channel)
{
    if (channel)
        event_loop_post(channel->loop, close_on_loop, channel);
}
