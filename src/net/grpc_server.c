#include "net/grpc_server.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/mutex.h"
#include "net/connection.h"
#include "net/grpc_builtin.h"
#include "net/grpc_call.h"
#include "net/listener.h"
#include "net/tls.h"
#include "runtime/event_loop.h"
#include "runtime/log.h"
#include "runtime/metrics.h"
#include "runtime/thread.h"
#include "runtime/time.h"

enum {
    CONNECTIONS_MAX = 1024,
    STREAMS_MAX = 1000,
    HANDSHAKE_TIMEOUT_MS = 10 * 1000,
    HELLO_TIMEOUT_MS = 20 * 1000, /* for the first frames of a connection */
    CONNECTIONS_EXTRA = 64,       /* beyond the maximum, while idle ones are on their way out */
    REFUSALS_LOGGED_EVERY_MS = 10 * 1000,
    PING_LEAST_MS = 10 * 1000,
    PING_LEAST_IDLE_MS = 2 * 60 * 60 * 1000, /* without a call */
    PING_STRIKES = 2,
};
#define REQUESTS_MEMORY_MAX ((size_t)256 * 1024 * 1024)
#define CALL_MEMORY_MAX ((size_t)256 * 1024 * 1024)

struct grpc_server {
    struct event_loops *loops;
    struct grpc_server_config config;
    struct server_method *methods;
    size_t method_count;
    struct listener *listener; /* NULL: stopped */
    char *address;
    struct grpc_health *health;
    struct grpc_reflection *reflection;
    struct context *ctx; /* parent of the calls' */
    atomic_uint random;
    struct grpc_requests requests;
    atomic_llong refusal_logged_ms;
    struct mutex lock;
    pthread_cond_t changed;
    bool stopping GUARDED_BY(lock);
    struct server_connection *connections GUARDED_BY(lock), *oldest GUARDED_BY(lock);
    size_t connection_count GUARDED_BY(lock);
    size_t call_count GUARDED_BY(lock);
};

struct server_connection {
    struct grpc_server *server;
    struct event_loop *loop;
    struct server_connection *prev, *next; /* with the server's lock */
    atomic_uint references;                /* the loop's and those of posted functions */
    int fd;
    atomic_size_t calls; /* open ones: without any, it may have to make room for others */
    bool evicted;        /* with the server's lock */
    /* on the loop only */
    struct http2_session *session; /* NULL: over */
    struct event_timer *age, *hello;
    int64_t pinged_ms;
    unsigned ping_strikes;
    bool sent; /* something since the last ping */
};

/* --- connections --- */

static void conn_unref(struct server_connection *conn)
{
    if (atomic_fetch_sub(&conn->references, 1) == 1)
        free(conn);
}

static void conn_over(struct server_connection *conn)
{
    struct grpc_server *server = conn->server;
    conn->session = NULL;
    event_timer_free(conn->age);
    event_timer_free(conn->hello);
    mutex_lock(&server->lock);
    *(conn->prev ? &conn->prev->next : &server->connections) = conn->next;
    *(conn->next ? &conn->next->prev : &server->oldest) = conn->prev;
    server->connection_count--;
    pthread_cond_broadcast(&server->changed);
    mutex_unlock(&server->lock);
    conn_unref(conn);
}

static void call_gone(void *arg)
{
    struct grpc_server *server = arg;
    mutex_lock(&server->lock);
    server->call_count--;
    pthread_cond_broadcast(&server->changed);
    mutex_unlock(&server->lock);
}

static const struct server_method *find_method(const struct grpc_server *server, struct str path)
{
    for (size_t i = 0; i < server->method_count; i++)
        if (str_equal(path, str_from(server->methods[i].method.path)))
            return &server->methods[i];
    return NULL;
}

static bool service_exists(const struct grpc_server *server, struct str service)
{
    for (size_t i = 0; i < server->method_count; i++) {
        struct str path = str_from(server->methods[i].method.path + 1);
        if (str_starts_with(path, service) && path.len > service.len &&
            path.data[service.len] == '/')
            return true;
    }
    return false;
}

static void refuse_path(const struct grpc_server *server, struct http2_stream *http2,
                        struct str path)
{
    struct buf text = {0};
    struct str service, name;
    if (path.len == 0 || path.data[0] != '/' ||
        !str_cut(str_slice(path, 1, path.len), '/', &service, &name))
        buf_printf(&text, "malformed method name: \"%.*s\"", STR_ARG(path));
    else if (service_exists(server, service))
        buf_printf(&text, "unknown method %.*s for service %.*s", STR_ARG(name), STR_ARG(service));
    else
        buf_printf(&text, "unknown service %.*s", STR_ARG(service));
    grpc_respond_status(http2, GRPC_UNIMPLEMENTED, buf_str(&text));
    buf_deinit(&text);
}

struct request_head {
    struct str method, path, type, encoding, timeout;
};

static struct request_head read_head(const struct http2_field *fields, size_t count)
{
    struct request_head head = {0};
    const struct {
        struct str name;
        struct str *into;
    } known[] = {{STR(":method"), &head.method},
                 {STR(":path"), &head.path},
                 {STR("content-type"), &head.type},
                 {STR("grpc-encoding"), &head.encoding},
                 {STR("grpc-timeout"), &head.timeout}};
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < countof(known); j++)
            if (str_equal(fields[i].name, known[j].name))
                *known[j].into = fields[i].value;
    return head;
}

static void refuse_http(struct http2_stream *http2, struct str status)
{
    struct http2_field fields[] = {{STR(":status"), status}};
    http2_stream_respond(http2, fields, 1, true);
}

/* Refuses what is no call that can be served; true when it did. */
static bool refuse_head(const struct grpc_server *server, struct http2_stream *http2,
                        const struct request_head *head, enum grpc_encoding *encoding,
                        int64_t *timeout_ms)
{
    *encoding = GRPC_IDENTITY;
    *timeout_ms = CONTEXT_NO_DEADLINE;
    if (!str_equal(head->method, STR("POST"))) {
        refuse_http(http2, STR("405"));
    } else if (!str_starts_with(head->type, STR("application/grpc"))) {
        refuse_http(http2, STR("415"));
    } else if (!find_method(server, head->path)) {
        refuse_path(server, http2, head->path);
    } else if (head->encoding.len && !grpc_encoding_parse(head->encoding, encoding)) {
        struct buf text = {0};
        buf_printf(&text, "grpc: Decompressor is not installed for grpc-encoding \"%.*s\"",
                   STR_ARG(head->encoding));
        grpc_respond_status(http2, GRPC_UNIMPLEMENTED, buf_str(&text));
        buf_deinit(&text);
    } else if (head->timeout.len && !grpc_timeout_parse(head->timeout, timeout_ms)) {
        grpc_respond_status(http2, GRPC_INTERNAL, STR("malformed grpc-timeout"));
    } else {
        if (head->timeout.len && *timeout_ms == 0)
            *timeout_ms = 1;
        return false;
    }
    return true;
}

static struct grpc_call *begin_call(struct server_connection *conn, struct http2_stream *http2,
                                    const struct request_head *head, enum grpc_encoding encoding,
                                    int64_t timeout_ms)
{
    struct grpc_server *server = conn->server;
    mutex_lock(&server->lock);
    server->call_count++;
    mutex_unlock(&server->lock);
    struct grpc_call *call =
        grpc_call_create(find_method(server, head->path), conn->loop, http2, server->ctx,
                         timeout_ms, server->config.budget, server->config.call_memory_max);
    atomic_fetch_add(&conn->calls, 1);
    call->requests = &server->requests;
    call->encoding = encoding;
    call->sent_flag = &conn->sent;
    call->gone = call_gone;
    call->gone_arg = server;
    return call;
}

static void session_headers(void *self, struct http2_stream *http2,
                            const struct http2_field *fields, size_t count, bool trailers, bool end)
{
    struct server_connection *conn = self;
    struct grpc_call *call = http2_stream_user(http2);
    if (!trailers) {
        struct request_head head = read_head(fields, count);
        enum grpc_encoding encoding;
        int64_t timeout_ms;
        if (refuse_head(conn->server, http2, &head, &encoding, &timeout_ms))
            return;
        call = begin_call(conn, http2, &head, encoding, timeout_ms);
        for (size_t i = 0; i < count; i++)
            if (fields[i].name.len && fields[i].name.data[0] != ':')
                grpc_call_add_metadata(call, fields[i].name, fields[i].value);
        http2_stream_set_user(http2, call);
    }
    if (call && end)
        grpc_call_half_closed(call);
}

static void session_data(void *self UNUSED, struct http2_stream *http2, struct bytes data)
{
    struct grpc_call *call = http2_stream_user(http2);
    if (call)
        grpc_call_data(call, data);
    else
        http2_stream_consume(http2, data.len);
}

static void session_end(void *self UNUSED, struct http2_stream *http2)
{
    if (http2_stream_user(http2))
        grpc_call_half_closed(http2_stream_user(http2));
}

static void session_room(void *self UNUSED, struct http2_stream *http2)
{
    if (http2_stream_user(http2))
        grpc_call_room(http2_stream_user(http2));
}

static void session_closed(void *self, struct http2_stream *http2, uint32_t code UNUSED)
{
    struct server_connection *conn = self;
    if (!http2_stream_user(http2))
        return;
    atomic_fetch_sub(&conn->calls, 1);
    grpc_call_closed(http2_stream_user(http2));
}

/* grpc-go's rule: pings are free while we send; else they come at most every so often. */
static void session_ping(void *self, bool ack)
{
    struct server_connection *conn = self;
    int64_t now = event_loop_now_ms(conn->loop);
    if (ack)
        return;
    int64_t least = http2_session_streams(conn->session) ? PING_LEAST_MS : PING_LEAST_IDLE_MS;
    if (conn->sent)
        conn->ping_strikes = 0;
    else if (conn->pinged_ms && now - conn->pinged_ms < least)
        conn->ping_strikes++;
    conn->sent = false;
    conn->pinged_ms = now;
    if (conn->ping_strikes > PING_STRIKES)
        http2_session_terminate(conn->session, HTTP2_ENHANCE_YOUR_CALM, "too_many_pings");
}

static void session_over(void *self, struct error *err)
{
    struct server_connection *conn = self;
    if (err && error_kind(err) == ERROR_INVALID)
        log_debug(conn->server->config.log, "gRPC connection broke the protocol",
                  KV("peer", connection_peer(http2_session_connection(conn->session))),
                  KV_ERR(err));
    error_free(err);
    http2_session_free(conn->session);
    conn_over(conn);
}

static const struct http2_handler session_handler = {.headers = session_headers,
                                                     .data = session_data,
                                                     .end = session_end,
                                                     .room = session_room,
                                                     .closed = session_closed,
                                                     .ping = session_ping,
                                                     .over = session_over};

/* Nobody who speaks HTTP/2. */
static void hello_is_late(void *arg)
{
    struct server_connection *conn = arg;
    if (http2_session_has_begun(conn->session))
        return;
    http2_session_drop(conn->session);
    conn_over(conn);
}

static void age_reached(void *arg)
{
    struct server_connection *conn = arg;
    http2_session_shutdown(conn->session);
}

/* The configured age and up to a tenth more or less, so that peers do not all come back at once. */
static int64_t jittered_age_ms(struct grpc_server *server)
{
    unsigned number = atomic_fetch_add(&server->random, 2654435761u);
    int64_t tenth = server->config.max_connection_age_ms / 10;
    return server->config.max_connection_age_ms - tenth +
           (int64_t)((double)(number >> 8) / (1 << 24) * (double)(2 * tenth));
}

static void conn_start(void *arg)
{
    struct server_connection *conn = arg;
    struct grpc_server *server = conn->server;
    struct connection *connection = connection_create(conn->loop, conn->fd, NULL, NULL);
    if (server->config.tls)
        connection_accept_tls(connection, server->config.tls, HANDSHAKE_TIMEOUT_MS);
    conn->session = http2_session_create(connection, true, STREAMS_MAX, &session_handler, conn);
    conn->hello = event_timer_create(conn->loop, hello_is_late, conn);
    event_timer_start(conn->hello, HELLO_TIMEOUT_MS);
    if (server->config.max_connection_age_ms > 0) {
        conn->age = event_timer_create(conn->loop, age_reached, conn);
        event_timer_start(conn->age, jittered_age_ms(server));
    }
    mutex_lock(&server->lock);
    bool stopping = server->stopping;
    mutex_unlock(&server->lock);
    if (stopping)
        http2_session_shutdown(conn->session);
}

static void cut_on_loop(void *arg)
{
    struct server_connection *conn = arg;
    if (conn->session) {
        http2_session_free(conn->session);
        conn_over(conn);
    }
    conn_unref(conn);
}

static void evict_on_loop(void *arg)
{
    struct server_connection *conn = arg;
    if (atomic_load(&conn->calls) == 0)
        cut_on_loop(conn);
    else
        conn_unref(conn);
}

/* The one that has been without a call for longest, as far as ages tell, makes room. */
static void evict_one_locked(struct grpc_server *server) REQUIRES(server->lock)
{
    struct server_connection *conn = server->oldest;
    while (conn && (conn->evicted || atomic_load(&conn->calls)))
        conn = conn->prev;
    if (!conn)
        return;
    conn->evicted = true;
    atomic_fetch_add(&conn->references, 1);
    event_loop_post(conn->loop, evict_on_loop, conn);
}

static bool admit(struct grpc_server *server, struct event_loop *loop, int fd)
{
    mutex_lock(&server->lock);
    if (server->connection_count >= server->config.connections_max)
        evict_one_locked(server);
    bool room = server->connection_count < server->config.connections_max + CONNECTIONS_EXTRA;
    if (room) {
        struct server_connection *conn = xcalloc(1, sizeof(*conn));
        conn->server = server;
        conn->loop = loop;
        conn->fd = fd;
        atomic_init(&conn->references, 1);
        conn->next = server->connections;
        *(conn->next ? &conn->next->prev : &server->oldest) = conn;
        server->connections = conn;
        server->connection_count++;
        event_loop_post(loop, conn_start, conn);
    }
    mutex_unlock(&server->lock);
    return room;
}

static void accepted(void *self, struct event_loop *loop, int fd)
{
    struct grpc_server *server = self;
    if (admit(server, loop, fd))
        return;
    int64_t now_ms = time_now_monotonic_ms();
    close(fd);
    if (now_ms - atomic_load(&server->refusal_logged_ms) < REFUSALS_LOGGED_EVERY_MS)
        return;
    atomic_store(&server->refusal_logged_ms, now_ms);
    log_warn(server->config.log, "gRPC connections are refused: too many are open",
             KV("max", server->config.connections_max));
}

/* --- the server --- */

static struct str method_type(enum grpc_kind kind)
{
    switch (kind) {
    case GRPC_UNARY:
        return STR("unary");
    case GRPC_SERVER_STREAM:
        return STR("server_stream");
    case GRPC_BIDI_EXCHANGE:
        break;
    }
    return STR("bidi_stream");
}

struct server_families {
    struct metric_family *started, *handled, *received, *sent, *seconds;
};

static struct server_families make_families(struct metrics *metrics)
{
    static const char *const labels[] = {"grpc_method", "grpc_service", "grpc_type", "grpc_code"};
    static const double bounds[] = {0.001, 0.01, 0.1, 0.3, 0.6, 1, 3, 6, 9, 20, 30, 60, 90, 120};
    return (struct server_families){
        .started = metrics_counter_family(metrics, "grpc_server_started_total",
                                          "Total number of RPCs started on the server.", labels, 3),
        .handled = metrics_counter_family(
            metrics, "grpc_server_handled_total",
            "Total number of RPCs completed on the server, regardless of success or failure.",
            labels, 4),
        .received = metrics_counter_family(metrics, "grpc_server_msg_received_total",
                                           "Total number of RPC messages received on the server.",
                                           labels, 3),
        .sent =
            metrics_counter_family(metrics, "grpc_server_msg_sent_total",
                                   "Total number of RPC messages sent by the server.", labels, 3),
        .seconds = metrics_histogram_family(
            metrics, "grpc_server_handling_seconds",
            "Seconds from the start of an RPC on the server to its status.", bounds,
            countof(bounds), labels, 3),
    };
}

/* All children exist from the start, so that rates of rare codes are 0 and not absent. */
static void register_method(const struct server_families *families, struct server_method *method)
{
    struct str labels[4], path = str_from(method->method.path + 1);
    str_cut(path, '/', &labels[1], &labels[0]);
    labels[2] = method_type(method->method.kind);
    method->started = metric_with(families->started, labels, 3);
    method->received = metric_with(families->received, labels, 3);
    method->sent = metric_with(families->sent, labels, 3);
    method->seconds = metric_with(families->seconds, labels, 3);
    for (unsigned code = 0; code < GRPC_CODE_COUNT; code++) {
        labels[3] = str_from(grpc_code_name((enum grpc_code)code));
        method->handled[code] = metric_with(families->handled, labels, 4);
    }
}

static void collect_methods(struct grpc_server *server, const struct grpc_server_config *config)
{
    size_t count = config->method_count;
    server->method_count = count + GRPC_HEALTH_METHODS + GRPC_REFLECTION_METHODS;
    server->methods = xcalloc(server->method_count, sizeof(server->methods[0]));
    struct grpc_method builtin[GRPC_HEALTH_METHODS + GRPC_REFLECTION_METHODS];
    const char **paths = xcalloc(server->method_count, sizeof(paths[0]));
    grpc_health_methods(server->health, config->quick, builtin);
    for (size_t i = 0; i < count; i++)
        server->methods[i].method = config->methods[i];
    for (size_t i = 0; i < GRPC_HEALTH_METHODS; i++)
        server->methods[count + i].method = builtin[i];
    for (size_t i = 0; i < count + GRPC_HEALTH_METHODS; i++)
        paths[i] = server->methods[i].method.path;
    server->reflection =
        grpc_reflection_create(config->descriptor_set, paths, count + GRPC_HEALTH_METHODS);
    free(paths);
    grpc_reflection_methods(server->reflection, config->quick, builtin + GRPC_HEALTH_METHODS);
    for (size_t i = 0; i < GRPC_REFLECTION_METHODS; i++)
        server->methods[count + GRPC_HEALTH_METHODS + i].method = builtin[GRPC_HEALTH_METHODS + i];
    for (size_t i = 0; i < server->method_count; i++)
        server->methods[i].log = config->request_log;
    if (!config->metrics)
        return;
    struct server_families families = make_families(config->metrics);
    for (size_t i = 0; i < server->method_count; i++)
        register_method(&families, &server->methods[i]);
}

static void server_delete(struct grpc_server *server)
{
    grpc_health_free(server->health);
    grpc_reflection_free(server->reflection);
    context_unref(server->ctx);
    free(server->methods);
    free(server->address);
    pthread_cond_destroy(&server->changed);
    mutex_deinit(&server->lock);
    free(server);
}

struct error *grpc_serve(struct event_loops *loops, const struct grpc_server_config *config,
                         struct grpc_server **out)
{
    struct grpc_server *server = xcalloc(1, sizeof(*server));
    server->loops = loops;
    server->config = *config;
    if (!config->connections_max)
        server->config.connections_max = CONNECTIONS_MAX;
    server->requests.max = REQUESTS_MEMORY_MAX;
    atomic_init(&server->refusal_logged_ms, -REFUSALS_LOGGED_EVERY_MS);
    if (!config->call_memory_max)
        server->config.call_memory_max = CALL_MEMORY_MAX;
    mutex_init(&server->lock);
    thread_cond_init(&server->changed);
    atomic_init(&server->random, (unsigned)time_now_ns());
    server->ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    server->health = grpc_health_create(loops, config->is_serving, config->self);
    collect_methods(server, config);
    struct error *err =
        listener_create(loops, config->address, accepted, server, &server->listener);
    if (err) {
        server_delete(server);
        return err;
    }
    server->address = str_dup(listener_address(server->listener));
    *out = server;
    return NULL;
}

struct str grpc_server_address(const struct grpc_server *server)
{
    return str_from(server->address);
}

/* --- the end --- */

static void shutdown_on_loop(void *arg)
{
    struct server_connection *conn = arg;
    if (conn->session)
        http2_session_shutdown(conn->session);
    conn_unref(conn);
}

static void post_to_all_locked(struct grpc_server *server, event_fn fn) REQUIRES(server->lock)
{
    for (struct server_connection *conn = server->connections; conn; conn = conn->next) {
        atomic_fetch_add(&conn->references, 1);
        event_loop_post(conn->loop, fn, conn);
    }
}

void grpc_server_stop(struct grpc_server *server, int64_t grace_ms)
{
    mutex_lock(&server->lock);
    bool first = !server->stopping;
    server->stopping = true;
    mutex_unlock(&server->lock);
    if (!first)
        return;
    struct listener *listener = server->listener;
    server->listener = NULL;
    listener_free(listener);
    mutex_lock(&server->lock);
    if (grace_ms > 0)
        post_to_all_locked(server, shutdown_on_loop);
    int64_t until_ms = time_now_monotonic_ms() + grace_ms;
    while (server->connection_count && time_now_monotonic_ms() < until_ms)
        thread_cond_wait_until(&server->changed, &server->lock, until_ms);
    mutex_unlock(&server->lock);
    context_cancel(server->ctx);
    mutex_lock(&server->lock);
    post_to_all_locked(server, cut_on_loop);
    while (server->connection_count || server->call_count)
        mutex_wait(&server->lock, &server->changed);
    mutex_unlock(&server->lock);
}

void grpc_server_free(struct grpc_server *server)
{
    if (!server)
        return;
    grpc_server_stop(server, 0);
    server_delete(server);
}
