#include "net/grpc_server.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "codec/pb.h"
#include "net/connection.h"
#include "net/grpc_call_in.h"
#include "net/listener.h"
#include "runtime/event_loop.h"
#include "runtime/log.h"
#include "runtime/pool.h"
#include "runtime/thread.h"
#include "runtime/time.h"

enum {
    CONNECTIONS_MAX_DEFAULT = 1024,
    STREAMS_MAX = 1000, /* of one connection at once */
    PING_INTERVAL_MIN_MS = 10 * 1000,
    PING_STRIKES_MAX = 2,
    STOP_PATIENCE_MS = 10 * 1000,
    HEALTH_REQUEST_MAX = 4096,
    HEALTH_METHODS = 2,
};

struct grpc_server {
    struct grpc_server_config config;
    struct grpc_method *methods;
    struct grpc_metrics **metrics; /* one a method */
    size_t method_count;
    struct listener *listener;
    struct mutex lock;
    pthread_cond_t changed;
    struct grpc_peer *first GUARDED_BY(lock);
    size_t peers GUARDED_BY(lock), calls GUARDED_BY(lock), stops GUARDED_BY(lock); /* posted */
};

struct grpc_peer { /* one connection */
    struct grpc_server *server;
    struct grpc_peer *next, *prev; /* under server->lock */
    struct event_loop *loop;
    int fd; /* for peer_start() */
    /* On the loop only: */
    struct http2_session *session;
    struct event_timer *age;
    int64_t last_ping_ms;
    unsigned ping_strikes;
};

/* -- health: grpc.health.v1, service "" only -- */

enum { HEALTH_SERVING = 1, HEALTH_NOT_SERVING = 2 };

static int health_of(const struct grpc_server *server)
{
    const struct grpc_server_config *config = &server->config;
    return !config->is_serving || config->is_serving(config->self) ? HEALTH_SERVING
                                                                   : HEALTH_NOT_SERVING;
}

static struct error *health_check(void *self, struct grpc_call *call, struct bytes request)
{
    struct pb_reader reader = pb_read(request);
    struct str service = {0};
    while (pb_next(&reader)) {
        if (reader.field == 1)
            service = pb_str(&reader);
        else
            pb_skip(&reader);
    }
    struct error *err = pb_error(&reader, "health check request");
    if (err)
        return error_as(err, ERROR_INVALID);
    if (service.len)
        return error_create(ERROR_NOT_FOUND, "unknown service");
    pb_put_uint64(grpc_call_response(call), 1, (uint64_t)health_of(self));
    return NULL;
}

/* map<string, HealthCheckResponse> statuses = 1 */
static struct error *health_list(void *self, struct grpc_call *call, struct bytes request UNUSED)
{
    const uint8_t entry[] = {0x0a, 6, 0x0a, 0, 0x12, 2, 0x08, (uint8_t)health_of(self)};
    buf_append(grpc_call_response(call), entry, sizeof(entry));
    return NULL;
}

/* -- peers -- */

void grpc_server_call_gone(struct grpc_server *server)
{
    mutex_lock(&server->lock);
    server->calls--;
    pthread_cond_broadcast(&server->changed);
    mutex_unlock(&server->lock);
}

static void peer_free(struct grpc_peer *peer)
{
    struct grpc_server *server = peer->server;
    http2_session_free(peer->session);
    event_timer_free(peer->age);
    mutex_lock(&server->lock);
    *(peer->prev ? &peer->prev->next : &server->first) = peer->next;
    if (peer->next)
        peer->next->prev = peer->prev;
    server->peers--;
    pthread_cond_broadcast(&server->changed);
    mutex_unlock(&server->lock);
    free(peer);
}

static const struct grpc_method *server_method(const struct grpc_server *server, struct str path,
                                               size_t *index)
{
    for (*index = 0; *index < server->method_count; ++*index)
        if (str_equal(path, str_from(server->methods[*index].path)))
            return &server->methods[*index];
    return NULL;
}

static struct str field_value(const struct http2_field *fields, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal(fields[i].name, name))
            return fields[i].value;
    return STR("");
}

/* An answer to what is not a call we know. */
static void refuse(struct http2_stream *http2, const char *http_status, const char *code,
                   struct str text)
{
    struct buf encoded = {0};
    grpc_status_encode(&encoded, text);
    const struct http2_field fields[] = {{STR(":status"), str_from(http_status)},
                                         {STR("content-type"), STR("application/grpc")},
                                         {STR("grpc-status"), str_from(code)},
                                         {STR("grpc-message"), buf_str(&encoded)}};
    http2_stream_respond(http2, fields, countof(fields), true);
    buf_deinit(&encoded);
}

static void refuse_method(struct http2_stream *http2, struct str path)
{
    struct buf text = {0};
    struct str service, method;
    str_cut(str_slice(path, 1, path.len), '/', &service, &method);
    buf_printf(&text, "unknown method %.*s for service %.*s", STR_ARG(method), STR_ARG(service));
    refuse(http2, "200", "12", buf_str(&text));
    buf_deinit(&text);
}

static void peer_headers(void *self, struct http2_stream *http2, const struct http2_field *fields,
                         size_t count, bool trailers, bool end)
{
    struct grpc_peer *peer = self;
    struct grpc_server *server = peer->server;
    size_t index;
    if (trailers || http2_stream_user(http2))
        return;
    struct str path = field_value(fields, count, STR(":path"));
    const struct grpc_method *method = server_method(server, path, &index);
    if (!str_equal(field_value(fields, count, STR(":method")), STR("POST"))) {
        refuse(http2, "405", "13", STR("http2: a call is a POST"));
    } else if (!str_starts_with(field_value(fields, count, STR("content-type")),
                                STR("application/grpc"))) {
        refuse(http2, "415", "13", STR("invalid gRPC request content-type"));
    } else if (!method) {
        refuse_method(http2, path);
    } else {
        mutex_lock(&server->lock);
        server->calls++;
        mutex_unlock(&server->lock);
        struct grpc_call *call =
            grpc_call_create(server, server->config.budget, server->config.call_memory_max, method,
                             server->metrics[index], peer->loop, fields, count);
        call->http2 = http2;
        http2_stream_set_user(http2, call);
        if (call->encoding == GRPC_UNKNOWN_ENCODING)
            grpc_call_fail(
                call,
                error_create(ERROR_INVALID,
                             "grpc: Decompressor is not installed for grpc-encoding \"%.*s\"",
                             STR_ARG(grpc_call_metadata(call, STR("grpc-encoding")))),
                GRPC_UNIMPLEMENTED);
        else if (end)
            grpc_call_fail(call, error_create(ERROR_INVALID, "a call without a request message"),
                           GRPC_INTERNAL);
    }
}

static void peer_data(void *self UNUSED, struct http2_stream *http2, struct bytes data)
{
    struct grpc_call *call = http2_stream_user(http2);
    struct grpc_message *message;
    http2_stream_consume(http2, data.len); /* requests are bounded by request_max */
    while (call && !call->got_request && data.len) {
        struct error *err = grpc_deframe(&call->deframer, &data, &message);
        if (err) {
            call->got_request = true;
            grpc_call_fail(call, err,
                           error_kind(err) == ERROR_LIMIT ? GRPC_RESOURCE_EXHAUSTED
                                                          : GRPC_INTERNAL);
        } else if (message) {
            call->got_request = true;
            call->request = message;
            grpc_call_dispatch(call);
        }
    }
}

static void peer_end(void *self UNUSED, struct http2_stream *http2)
{
    struct grpc_call *call = http2_stream_user(http2);
    if (call && !call->got_request)
        grpc_call_fail(call, error_create(ERROR_INVALID, "a call without a request message"),
                       GRPC_INTERNAL);
}

static void peer_room(void *self UNUSED, struct http2_stream *http2 UNUSED)
{
}

static void peer_stream_closed(void *self UNUSED, struct http2_stream *http2, uint32_t code UNUSED)
{
    struct grpc_call *call = http2_stream_user(http2);
    if (call)
        grpc_call_closed(call);
}

/* Clients that ping too often, or with nothing going on, are sent away as grpc-go does. */
static void peer_ping(void *self, bool ack)
{
    struct grpc_peer *peer = self;
    int64_t now_ms = event_loop_now_ms(peer->loop);
    if (ack)
        return;
    bool too_soon = peer->last_ping_ms && now_ms - peer->last_ping_ms < PING_INTERVAL_MIN_MS - 100;
    bool idle = http2_session_streams(peer->session) == 0;
    peer->ping_strikes = too_soon || idle ? peer->ping_strikes + 1 : 0;
    peer->last_ping_ms = now_ms;
    if (peer->ping_strikes > PING_STRIKES_MAX)
        http2_session_terminate(peer->session, HTTP2_ENHANCE_YOUR_CALM, "too_many_pings");
}

static void peer_goaway(void *self UNUSED, uint32_t code UNUSED, struct str debug UNUSED)
{
}

static void peer_over(void *self, struct error *err)
{
    error_free(err); /* the peer's doing, and nobody is left to be told */
    peer_free(self);
}

static const struct http2_handler peer_handler = {
    .headers = peer_headers,
    .data = peer_data,
    .end = peer_end,
    .room = peer_room,
    .closed = peer_stream_closed,
    .ping = peer_ping,
    .goaway = peer_goaway,
    .over = peer_over,
};

static void peer_is_old(void *arg)
{
    struct grpc_peer *peer = arg;
    http2_session_shutdown(peer->session);
}

/* -- accepting -- */

static bool server_admit(struct grpc_server *server, struct grpc_peer *peer)
{
    size_t limit =
        server->config.connections_max ? server->config.connections_max : CONNECTIONS_MAX_DEFAULT;
    mutex_lock(&server->lock);
    bool room = server->peers < limit;
    if (room) {
        server->peers++;
        peer->next = server->first;
        if (server->first)
            server->first->prev = peer;
        server->first = peer;
    }
    mutex_unlock(&server->lock);
    return room;
}

static void peer_start(void *arg)
{
    struct grpc_peer *peer = arg;
    static const struct connection_handler until_session = {0};
    int64_t age_ms = peer->server->config.max_connection_age_ms;
    struct connection *connection = connection_create(peer->loop, peer->fd, &until_session, peer);
    peer->session = http2_session_create(connection, true, STREAMS_MAX, &peer_handler, peer);
    if (age_ms >
        0) { /* ten per cent apart, so that connections made together do not end together */
        peer->age = event_timer_create(peer->loop, peer_is_old, peer);
        event_timer_start(peer->age,
                          age_ms - age_ms / 10 + time_now_monotonic_ns() % (age_ms / 5 + 1));
    }
}

static void server_accepted(void *self, struct event_loop *loop, int fd)
{
    struct grpc_server *server = self;
    struct grpc_peer *peer = xcalloc(1, sizeof(*peer));
    peer->server = server;
    peer->loop = loop;
    peer->fd = fd;
    if (server_admit(server, peer)) {
        event_loop_post(loop, peer_start, peer);
        return;
    }
    log_warn(server->config.log, "gRPC connection refused: too many are open");
    close(fd);
    free(peer);
}

/* -- the server -- */

static void server_add_methods(struct grpc_server *server)
{
    const struct grpc_server_config *config = &server->config;
    const struct grpc_method health[HEALTH_METHODS] = {
        {.path = "/grpc.health.v1.Health/Check",
         .handler = health_check,
         .self = server,
         .pool = config->quick,
         .request_max = HEALTH_REQUEST_MAX},
        {.path = "/grpc.health.v1.Health/List",
         .handler = health_list,
         .self = server,
         .pool = config->quick,
         .request_max = HEALTH_REQUEST_MAX},
    };
    server->method_count = config->method_count + HEALTH_METHODS;
    server->methods = xcalloc(server->method_count, sizeof(*server->methods));
    server->metrics = xcalloc(server->method_count, sizeof(struct grpc_metrics *));
    if (config->method_count)
        memcpy(server->methods, config->methods, config->method_count * sizeof(*server->methods));
    memcpy(server->methods + config->method_count, health, sizeof(health));
    for (size_t i = 0; i < server->method_count; i++)
        server->metrics[i] = grpc_metrics_register(config->metrics, &server->methods[i]);
}

struct error *grpc_serve(struct event_loops *loops, const struct grpc_server_config *config,
                         struct grpc_server **out)
{
    struct grpc_server *server = xcalloc(1, sizeof(*server));
    server->config = *config;
    mutex_init(&server->lock);
    thread_cond_init(&server->changed);
    server_add_methods(server);
    struct error *err =
        listener_create(loops, config->address, server_accepted, server, &server->listener);
    if (err) {
        grpc_server_free(server);
        return err;
    }
    *out = server;
    return NULL;
}

struct str grpc_server_address(const struct grpc_server *server)
{
    return listener_address(server->listener);
}

struct peer_task {
    struct grpc_server *server;
    struct grpc_peer *peer;
    bool now;
};

/* The peer may have gone since the task was posted. */
static bool server_has_peer(struct grpc_server *server, const struct grpc_peer *peer)
{
    mutex_lock(&server->lock);
    const struct grpc_peer *at = server->first;
    while (at && at != peer)
        at = at->next;
    mutex_unlock(&server->lock);
    return at != NULL;
}

static void peer_stop(void *arg)
{
    struct peer_task *task = arg;
    if (server_has_peer(task->server, task->peer)) {
        if (task->now || http2_session_streams(task->peer->session) == 0)
            peer_free(task->peer);
        else
            http2_session_shutdown(task->peer->session);
    }
    mutex_lock(&task->server->lock);
    task->server->stops--;
    pthread_cond_broadcast(&task->server->changed);
    mutex_unlock(&task->server->lock);
    free(task);
}

static bool server_is_empty_locked(const struct grpc_server *server) REQUIRES(server->lock)
{
    return server->peers + server->calls + server->stops == 0;
}

/* Waits until no connection and no call is left, but not beyond the monotonic time given. */
static bool server_end_peers(struct grpc_server *server, bool now, int64_t until_ms)
{
    mutex_lock(&server->lock);
    for (struct grpc_peer *peer = server->first; peer; peer = peer->next) {
        struct peer_task *task = xmalloc(sizeof(*task));
        *task = (struct peer_task){server, peer, now};
        server->stops++;
        event_loop_post(peer->loop, peer_stop, task);
    }
    while (!server_is_empty_locked(server) && time_now_monotonic_ms() < until_ms)
        thread_cond_wait_until(&server->changed, &server->lock, until_ms);
    bool all_gone = server_is_empty_locked(server);
    mutex_unlock(&server->lock);
    return all_gone;
}

void grpc_server_stop(struct grpc_server *server, int64_t grace_ms)
{
    int64_t now_ms = time_now_monotonic_ms();
    listener_free(server->listener);
    server->listener = NULL;
    if (grace_ms > 0 && server_end_peers(server, false, int64_add_saturating(now_ms, grace_ms)))
        return;
    if (!server_end_peers(server, true, time_now_monotonic_ms() + STOP_PATIENCE_MS))
        bug("gRPC calls still run %d seconds after they were cancelled", STOP_PATIENCE_MS / 1000);
}

void grpc_server_free(struct grpc_server *server)
{
    if (!server)
        return;
    listener_free(server->listener);
    pthread_cond_destroy(&server->changed);
    mutex_deinit(&server->lock);
    free(server->methods);
    free(server->metrics);
    free(server);
}
