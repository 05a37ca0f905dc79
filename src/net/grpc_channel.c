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

/* One HTTP/2 connection: the current one of its target, or one that runs out. On the loop. */
struct client_connection {
    struct grpc_target *target; /* a reference */
    struct http2_session *session;
    struct client_connection *prev, *next; /* of the channel */
    struct event_timer *keepalive;
    int64_t heard_ms;
    bool pinged;
    struct buf reason; /* why its streams are lost */
};

/* An address that calls may go to: the one of a channel, or a member of a group. On the loop. */
struct grpc_target {
    unsigned references;          /* the channel's, the dialing's, the connections' */
    struct grpc_channel *channel; /* a reference */
    char *address;
    bool connecting, failed;
    bool removed; /* from its group: only what runs goes on */
    int64_t attempted_ms;
    struct buf failure; /* of the last attempt */
    struct dns_resolve *resolving;
    struct connection *dialing;
    struct address addresses[ADDRESSES_MAX];
    size_t address_count, address_at;
    struct client_connection *current;
};

struct grpc_channel {
    atomic_uint references; /* the owner's, the calls', the targets', of functions under way */
    struct event_loop *loop;
    char *address;          /* of a group: its name */
    struct tls_client *tls; /* a reference; NULL: in the clear */
    struct client_metrics metrics;
    enum grpc_encoding encoding;
    bool is_group, in_order;

    /* on the loop only */
    bool closed;
    bool starting; /* attempts begin one after another: the first to fail is not the last word */
    struct grpc_target **targets;
    size_t target_count;
    size_t turn; /* whose it is */
    struct client_connection *connections;
    struct grpc_stream *first_pending, *last_pending;
};

static void target_connect(struct grpc_target *target);

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

static struct grpc_target *target_create(struct grpc_channel *channel, struct str address)
{
    struct grpc_target *target = xcalloc(1, sizeof(*target));
    target->references = 1;
    target->channel = channel;
    grpc_channel_ref(channel);
    target->address = str_dup(address);
    return target;
}

static NO_INLINE void target_unref(struct grpc_target *target)
{
    if (--target->references)
        return;
    struct grpc_channel *channel = target->channel;
    buf_deinit(&target->failure);
    free(target->address);
    free(target);
    grpc_channel_unref(channel);
}

static struct grpc_channel *channel_create(struct event_loops *loops, struct str address,
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

struct grpc_channel *grpc_channel_create_with(struct event_loops *loops, struct str address,
                                              const struct grpc_channel_options *options)
{
    struct grpc_channel *channel = channel_create(loops, address, options);
    channel->targets = xcalloc(1, sizeof(struct grpc_target *));
    channel->targets[channel->target_count++] = target_create(channel, address);
    return channel;
}

struct grpc_channel *grpc_channel_create(struct event_loops *loops, struct str address)
{
    return grpc_channel_create_with(loops, address, &(struct grpc_channel_options){0});
}

struct grpc_channel *grpc_channel_create_group(struct event_loops *loops, struct str name,
                                               const struct grpc_channel_options *options)
{
    struct grpc_channel *channel = channel_create(loops, name, options);
    channel->is_group = true;
    channel->in_order = options->in_order;
    return channel;
}

void grpc_channel_ref(struct grpc_channel *channel)
{
    atomic_fetch_add_explicit(&channel->references, 1, memory_order_relaxed);
}

void grpc_channel_unref(struct grpc_channel *channel)
{
    if (atomic_fetch_sub_explicit(&channel->references, 1, memory_order_acq_rel) != 1)
        return;
    tls_client_unref(channel->tls);
    free(channel->targets);
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

/* --- whose turn it is --- */

static void connection_retire(struct client_connection *connection)
{
    if (connection->target->current == connection)
        connection->target->current = NULL;
}

static void keepalive_start(struct client_connection *connection);

static bool target_open(struct grpc_target *target, struct grpc_stream *stream)
{
    if (!target->current)
        return false;
    if (grpc_stream_open(stream, target->current->session)) {
        keepalive_start(target->current);
        return true;
    }
    target->current = NULL;
    return false;
}

/* Opens it on the next target that has a connection. */
static bool channel_open(struct grpc_channel *channel, struct grpc_stream *stream)
{
    for (size_t i = 0; i < channel->target_count; i++) {
        size_t at = (channel->turn + i) % channel->target_count;
        if (!target_open(channel->targets[at], stream))
            continue;
        if (!channel->in_order)
            channel->turn = at + 1;
        return true;
    }
    return false;
}

static bool target_may_connect(const struct grpc_target *target)
{
    int64_t now = event_loop_now_ms(target->channel->loop);
    return !target->current && !target->connecting &&
           !(target->failed && now - target->attempted_ms < RETRY_MS);
}

/* Connects to those that it may be tried with; true when there is one that may come. */
static bool channel_connect(struct grpc_channel *channel)
{
    bool any = false;
    channel->starting = true;
    for (size_t i = 0; i < channel->target_count; i++) {
        struct grpc_target *target = channel->targets[i];
        if (target_may_connect(target))
            target_connect(target);
        any |= target->connecting || target->current;
    }
    channel->starting = false;
    return any;
}

static struct str channel_failure(const struct grpc_channel *channel)
{
    for (size_t i = 0; i < channel->target_count; i++)
        if (channel->targets[i]->failed)
            return buf_str(&channel->targets[i]->failure);
    return STR("name resolver error: produced zero addresses");
}

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
    if (channel_open(channel, stream)) {
        if (channel->is_group) /* those that are away get their turn when they are back */
            channel_connect(channel);
        return;
    }
    /* First in the queue: an attempt may fail, and then ends it, at once. */
    pending_add(channel, stream);
    if (!channel_connect(channel))
        pending_fail(channel, channel_failure(channel));
}

/* --- connections --- */

static void connection_gone(struct client_connection *connection)
{
    struct grpc_target *target = connection->target;
    connection_retire(connection);
    *(connection->prev ? &connection->prev->next : &target->channel->connections) =
        connection->next;
    if (connection->next)
        connection->next->prev = connection->prev;
    event_timer_free(connection->keepalive);
    buf_deinit(&connection->reason);
    free(connection);
    target_unref(target);
}

static struct event_loop *connection_event_loop(const struct client_connection *connection)
{
    return connection->target->channel->loop;
}

static void session_headers(void *self, struct http2_stream *http2,
                            const struct http2_field *fields, size_t count, bool trailers, bool end)
{
    struct client_connection *connection = self;
    connection->heard_ms = event_loop_now_ms(connection_event_loop(connection));
    grpc_stream_headers(http2_stream_user(http2), fields, count, trailers, end);
}

static void session_data(void *self, struct http2_stream *http2, struct bytes data)
{
    struct client_connection *connection = self;
    connection->heard_ms = event_loop_now_ms(connection_event_loop(connection));
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

/* The peer has not touched it, or is gone and its group has others: once more, elsewhere. */
static bool may_retry(const struct client_connection *connection, const struct grpc_stream *stream,
                      uint32_t code)
{
    const struct grpc_channel *channel = connection->target->channel;
    if (stream->got_head || stream->retried)
        return false;
    return code == HTTP2_REFUSED_STREAM ||
           (code == HTTP2_SESSION_GONE && channel->is_group && !channel->closed);
}

static void session_closed(void *self, struct http2_stream *http2, uint32_t code)
{
    struct client_connection *connection = self;
    struct grpc_stream *stream = http2_stream_user(http2);
    stream->http2 = NULL;
    if (grpc_stream_has_ended(stream)) {
        grpc_stream_drop_active(stream);
    } else if (may_retry(connection, stream, code)) {
        stream->retried = true;
        if (code == HTTP2_SESSION_GONE)
            connection_retire(connection);
        grpc_channel_dispatch(connection->target->channel, stream);
    } else if (code == HTTP2_SESSION_GONE) {
        stream_refuse(stream, buf_str(&connection->reason));
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
    connection->heard_ms = event_loop_now_ms(connection_event_loop(connection));
    if (ack)
        connection->pinged = false;
}

static void session_goaway(void *self, uint32_t code UNUSED, struct str debug)
{
    struct client_connection *connection = self;
    connection_retire(connection);
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
    connection_retire(connection);
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
    int64_t quiet_ms = event_loop_now_ms(connection_event_loop(connection)) - connection->heard_ms;
    if (http2_session_streams(connection->session) == 0) {
        connection->pinged = false;
        if (connection->target->removed) {
            http2_session_free(connection->session);
            connection_gone(connection);
        }
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
        connection_retire(connection);
        http2_session_drop(connection->session);
        connection_gone(connection);
    }
}

static void keepalive_start(struct client_connection *connection)
{
    if (event_timer_is_running(connection->keepalive))
        return;
    connection->heard_ms = event_loop_now_ms(connection_event_loop(connection));
    event_timer_start(connection->keepalive, PING_AFTER_MS);
}

/* --- connecting --- */

/* Takes err. */
static void connect_failed(struct grpc_target *target, struct error *err)
{
    struct grpc_channel *channel = target->channel;
    target->connecting = false;
    target->failed = true;
    buf_clear(&target->failure);
    bool dialled = str_starts_with(error_text(err), STR("authentication handshake failed"));
    buf_printf(&target->failure, "connection error: desc = \"transport: %s%.*s\"",
               dialled ? "" : "Error while dialing: ", STR_ARG(error_text(err)));
    error_free(err);
    for (size_t i = 0; i < channel->target_count; i++)
        if (channel->starting || channel->targets[i]->connecting || channel->targets[i]->current)
            return; /* a call may still get through */
    pending_fail(channel, buf_str(&target->failure));
}

/* Calls that wait, now that there is a connection. */
static void channel_flush(struct grpc_channel *channel)
{
    struct grpc_stream *last = channel->last_pending, *stream;
    while ((stream = channel->first_pending)) {
        pending_remove(channel, stream);
        grpc_channel_dispatch(channel, stream);
        if (stream == last) /* those behind it have been dispatched before */
            return;
    }
}

static void dial_done(void *self)
{
    struct grpc_target *target = self;
    struct grpc_channel *channel = target->channel;
    struct client_connection *connection = xcalloc(1, sizeof(*connection));
    connection->target = target; /* the dialing's reference */
    connection->keepalive = event_timer_create(channel->loop, keepalive_fired, connection);
    connection->next = channel->connections;
    if (connection->next)
        connection->next->prev = connection;
    channel->connections = connection;
    connection->session =
        http2_session_create(target->dialing, false, 0, &session_handler, connection);
    target->dialing = NULL;
    target->connecting = target->failed = false;
    target->current = connection;
    channel_flush(channel);
}

static void dial_next(struct grpc_target *target, struct error *last);

static void dial_broken(void *self, struct error *err)
{
    struct grpc_target *target = self;
    connection_free(target->dialing);
    target->dialing = NULL;
    dial_next(target, err);
}

static const struct connection_handler handshake_handler = {.connected = dial_done,
                                                            .broken = dial_broken};

/* Whom the certificate has to be for: the host, or the name of the group. */
static struct str target_tls_host(const struct grpc_target *target)
{
    const struct grpc_channel *channel = target->channel;
    struct str host, port;
    error_free(address_split(str_from(target->address), &host, &port)); /* went well before */
    if (channel->is_group) {
        struct error *err = address_split(str_from(channel->address), &host, &port);
        if (err)
            host = str_from(channel->address);
        error_free(err);
    }
    return host.len ? host : STR("127.0.0.1");
}

static void dial_connected(void *self)
{
    struct grpc_target *target = self;
    if (!target->channel->tls) {
        dial_done(target);
        return;
    }
    connection_set_handler(target->dialing, &handshake_handler, target);
    connection_connect_tls(target->dialing, target->channel->tls, target_tls_host(target),
                           HANDSHAKE_TIMEOUT_MS);
}

static const struct connection_handler dial_handler = {.connected = dial_connected,
                                                       .broken = dial_broken};

/* Tries the next address, or ends with the error of the one before, which is taken. Holds a
 * reference on the target from target_connect() on. */
static void dial_next(struct grpc_target *target, struct error *last)
{
    struct grpc_channel *channel = target->channel;
    bool is_over = channel->closed || target->removed;
    while (target->address_at < target->address_count && !is_over) {
        error_free(last);
        last = connection_connect(channel->loop, &target->addresses[target->address_at++],
                                  CONNECT_TIMEOUT_MS, &dial_handler, target, &target->dialing);
        if (!last)
            return;
    }
    if (!is_over)
        connect_failed(target, last);
    else
        error_free(last);
    target_unref(target);
}

static void resolved(void *arg, struct error *err, const struct address *addresses, size_t count)
{
    struct grpc_target *target = arg;
    struct str host, port;
    target->address_count = size_min(count, ADDRESSES_MAX);
    for (size_t i = 0; i < target->address_count; i++)
        target->addresses[i] = addresses[i];
    error_free(address_split(str_from(target->address), &host, &port)); /* went well before */
    if (!err && count == 0)
        err = error_create(ERROR_UNAVAILABLE, "no such host");
    dial_next(target, error_wrap(err, "dial tcp: lookup %.*s", STR_ARG(host)));
}

static void target_connect(struct grpc_target *target)
{
    struct str host, port_text;
    uint16_t port;
    target->connecting = true;
    target->attempted_ms = event_loop_now_ms(target->channel->loop);
    target->references++;
    struct error *err = address_split(str_from(target->address), &host, &port_text);
    if (!err && !address_port(port_text, &port))
        err = error_create(ERROR_UNAVAILABLE, "dial tcp: address %.*s: invalid port",
                           STR_ARG(port_text));
    target->address_count = target->address_at = 0;
    if (err) {
        dial_next(target, err);
        return;
    }
    if (host.len == 0)
        host = STR("127.0.0.1");
    if (address_from_literal(host, port, &target->addresses[0])) {
        target->address_count = 1;
        dial_next(target, NULL);
        return;
    }
    dns_resolve(target->channel->loop, host, port, resolved, target, &target->resolving);
}

/* Ends its attempt to connect. */
static void target_stop(struct grpc_target *target)
{
    dns_resolve_cancel(target->resolving);
    if (!target->dialing)
        return;
    connection_free(target->dialing);
    target->dialing = NULL;
    target->connecting = false;
    target_unref(target);
}

/* --- the members of a group --- */

struct membership {
    struct grpc_channel *channel; /* a reference */
    struct arena *arena;
    struct str *members;
    size_t count;
};

/* Lets it finish what runs: its last connection goes when it has no streams any more. */
static void target_remove(struct grpc_target *target)
{
    struct client_connection *current = target->current;
    target->removed = true;
    target->current = NULL;
    target_stop(target);
    if (current)
        event_timer_start(current->keepalive, 0);
    target_unref(target); /* the channel's */
}

static struct grpc_target *take_target(struct grpc_channel *channel, struct str address)
{
    for (size_t i = 0; i < channel->target_count; i++) {
        struct grpc_target *target = channel->targets[i];
        if (!target || !str_equal(str_from(target->address), address))
            continue;
        channel->targets[i] = NULL;
        return target;
    }
    return target_create(channel, address);
}

static void set_members_on_loop(void *arg)
{
    struct membership *change = arg;
    struct grpc_channel *channel = change->channel;
    if (!channel->closed) {
        struct grpc_target **targets = xcalloc(change->count, sizeof(struct grpc_target *));
        for (size_t i = 0; i < change->count; i++)
            targets[i] = take_target(channel, change->members[i]);
        struct grpc_target **old = channel->targets;
        size_t old_count = channel->target_count;
        channel->targets = targets;
        channel->target_count = change->count;
        for (size_t i = 0; i < old_count; i++)
            if (old[i])
                target_remove(old[i]);
        free(old);
        if (channel->first_pending && !channel_connect(channel))
            pending_fail(channel, channel_failure(channel));
    }
    grpc_channel_unref(channel);
    arena_unref(change->arena);
    free(change);
}

void grpc_channel_set_members(struct grpc_channel *channel, const struct str *members, size_t count)
{
    if (count == 0)
        return;
    struct membership *change = xcalloc(1, sizeof(*change));
    grpc_channel_ref(channel);
    change->channel = channel;
    change->arena = arena_create(NULL);
    change->members = arena_array(change->arena, count, sizeof(*change->members));
    for (size_t i = 0; i < count; i++)
        change->members[change->count++] = arena_str(change->arena, members[i]);
    event_loop_post(channel->loop, set_members_on_loop, change);
}

/* --- the end --- */

static void close_on_loop(void *arg)
{
    struct grpc_channel *channel = arg;
    channel->closed = true;
    pending_fail(channel, STR("grpc: the client connection is closing"));
    for (size_t i = 0; i < channel->target_count; i++)
        target_stop(channel->targets[i]);
    while (channel->connections) {
        struct client_connection *connection = channel->connections;
        buf_clear(&connection->reason);
        buf_append_cstr(&connection->reason, "grpc: the client connection is closing");
        connection_retire(connection);
        http2_session_free(connection->session);
        connection_gone(connection);
    }
    while (channel->target_count)
        target_unref(channel->targets[--channel->target_count]);
    grpc_channel_unref(channel);
}

void grpc_channel_free(struct grpc_channel *channel)
{
    if (channel)
        event_loop_post(channel->loop, close_on_loop, channel);
}
