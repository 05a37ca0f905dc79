/* A connection lives on one event loop and is in one of five states:
 *
 *     HEAD --whole head--> BODY --whole body--> HANDLE --response--> SEND --all sent--> HEAD, or
 *     |  ^                                                                              closed
 *     v  |
 *     ASK while a password is compared; the head stays where it is, and is looked at again
 *
 * While a handler runs nothing is read, so a peer that pipelines waits in the kernel; that it has
 * gone is told all the same, and ends the request's context. Requests and connections are counted
 * by references: the loop's, and one of the pool while a handler runs. */
#include "net/http_server.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/mutex.h"
#include "codec/url.h"
#include "net/connection.h"
#include "net/http1.h"
#include "net/http_exchange.h"
#include "net/http_metrics.h"
#include "net/http_route.h"
#include "net/listener.h"
#include "net/web_gate.h"
#include "runtime/context.h"
#include "runtime/event_loop.h"
#include "runtime/log.h"
#include "runtime/pool.h"
#include "runtime/thread.h"
#include "runtime/time.h"

enum {
    CONNECTIONS_MAX_DEFAULT = 1024,
    HEADER_TIMEOUT_MS_DEFAULT = 10 * 1000,
    IDLE_TIMEOUT_MS_DEFAULT = 2 * 60 * 1000,
    WRITE_TIMEOUT_MS_DEFAULT = 60 * 1000,
    HANDSHAKE_TIMEOUT_MS = 10 * 1000,
    BODY_TIMEOUT_MS = 60 * 1000, /* for all of it, however steadily it drips */
    BODY_SMALL = 16 * 1024,      /* always finds room */
    CONNECTIONS_EXTRA = 64,      /* beyond the maximum, while others are on their way out */
    REFUSALS_LOGGED_EVERY_MS = 10 * 1000,
    STOP_PATIENCE_MS = 10 * 1000, /* for handlers whose context has ended */
};

#define BODIES_MAX ((size_t)256 * 1024 * 1024) /* large ones, of all connections */

struct http_server {
    struct http_server_config config;
    atomic_size_t bodies; /* bytes */
    atomic_llong refusal_logged_ms;
    struct http_route *routes;
    struct listener *listener;
    const struct http_metrics *metrics;
    struct mutex lock;
    pthread_cond_t changed;
    struct http_connection *first GUARDED_BY(lock), *oldest GUARDED_BY(lock);
    size_t connections GUARDED_BY(lock);
    atomic_bool stopping;
};

enum connection_state { STATE_HEAD, STATE_ASK, STATE_BODY, STATE_HANDLE, STATE_SEND };

struct http_connection {
    struct http_server *server;
    struct http_connection *next, *prev; /* under server->lock */
    struct event_loop *loop;
    atomic_uint references;
    atomic_bool waits;                /* for a request: it may have to make room for others */
    bool evicted;                     /* under server->lock */
    int fd;                           /* for conn_start() */
    _Atomic enum web_verdict verdict; /* of whom a password was compared for; else WEB_WAIT */
    /* On the loop only: */
    struct connection *connection; /* NULL: closed */
    struct event_timer *timer;
    enum connection_state state;
    struct buf in; /* received and not used yet */
    struct http_exchange *exchange;
    struct http1_chunks chunks;
    bool is_chunked;
    bool peer_closed; /* perhaps its half only: the answer is still sent, and is the last one */
    uint64_t body_left;
    int64_t body_until_ms;
    size_t body_counted; /* in the server's bodies */
};

static void conn_advance(struct http_connection *conn);

static int64_t timeout_or(int64_t ms, int64_t standard)
{
    return ms ? ms : standard;
}

/* -- life of a connection -- */

static void http_connection_unref(struct http_connection *conn)
{
    if (atomic_fetch_sub_explicit(&conn->references, 1, memory_order_acq_rel) != 1)
        return;
    struct http_server *server = conn->server;
    buf_deinit(&conn->in);
    mutex_lock(&server->lock);
    if (conn->prev)
        conn->prev->next = conn->next;
    else
        server->first = conn->next;
    *(conn->next ? &conn->next->prev : &server->oldest) = conn->prev;
    server->connections--;
    pthread_cond_broadcast(&server->changed);
    mutex_unlock(&server->lock);
    free(conn);
}

/* Posts fn, which gives back a reference, unless the last one is gone already. */
static void conn_post(struct http_connection *conn, event_fn fn)
{
    unsigned references = atomic_load_explicit(&conn->references, memory_order_relaxed);
    while (references > 0)
        if (atomic_compare_exchange_weak(&conn->references, &references, references + 1)) {
            event_loop_post(conn->loop, fn, conn);
            return;
        }
}

static void conn_uncount_body(struct http_connection *conn)
{
    atomic_fetch_sub(&conn->server->bodies, conn->body_counted);
    conn->body_counted = 0;
}

/* Gives up the socket; `politely`: sends what is queued first. The request in work, if any, is
 * told. */
static void conn_close(struct http_connection *conn, bool politely)
{
    if (!conn->connection)
        return;
    struct connection *connection = conn->connection;
    conn->connection = NULL;
    event_timer_free(conn->timer);
    conn->timer = NULL;
    if (conn->exchange && conn->state == STATE_HANDLE) {
        context_cancel(conn->exchange->req.ctx); /* whoever runs it frees it */
    } else if (conn->exchange && conn->state == STATE_BODY) {
        conn_uncount_body(conn);
        http_exchange_free(conn->exchange);
        conn->exchange = NULL;
    }
    if (politely)
        connection_finish(connection);
    else
        connection_free(connection); /* drops the response being sent, which frees its exchange */
    http_connection_unref(conn);
}

/* A head has so long from its first byte, the first one from the accept, and a connection so long
 * between two requests. */
static void conn_start_timer(struct http_connection *conn, bool is_idle)
{
    const struct http_server_config *config = &conn->server->config;
    event_timer_start(conn->timer,
                      is_idle ? timeout_or(config->idle_timeout_ms, IDLE_TIMEOUT_MS_DEFAULT)
                              : timeout_or(config->header_timeout_ms, HEADER_TIMEOUT_MS_DEFAULT));
}

/* -- responses made on the loop -- */

/* A short answer to a request that reaches no handler; the connection is closed after it, for its
 * body is unread. */
static void conn_reply(struct http_connection *conn, int status, struct str text,
                       const struct http_header *extra)
{
    struct http_header headers[2 + WEB_HEADERS_MAX] = {
        {STR("X-Content-Type-Options"), STR("nosniff")}};
    size_t count = 1;
    struct buf out = {0};
    struct web_gate *gate = conn->server->config.gate;
    struct web_rules *rules = gate ? web_gate_rules(gate) : NULL;
    if (extra)
        headers[count++] = *extra;
    for (size_t i = 0; rules && i < rules->config.header_count; i++)
        if (!str_equal(rules->config.headers[i].name, headers[0].name))
            headers[count++] = rules->config.headers[i];
    http_write_head(&out, status, STR("text/plain; charset=utf-8"), text.len, false, headers,
                    count);
    web_rules_unref(rules);
    buf_append_str(&out, text);
    connection_write(conn->connection, out.data, out.len);
    buf_deinit(&out);
    connection_flush(conn->connection);
    conn_close(conn, true);
}

static void conn_reply_status(struct http_connection *conn, int status)
{
    struct buf text = {0};
    buf_printf(&text, "%d %s", status, http1_reason(status));
    conn_reply(conn, status, buf_str(&text), NULL);
    buf_deinit(&text);
}

static void conn_redirect(struct http_connection *conn, int status, struct str path,
                          struct str query)
{
    struct buf location = {0};
    size_t start = 0;
    for (size_t i = 0; i <= path.len; i++) /* segments are encoded one by one */
        if (i == path.len || path.data[i] == '/') {
            url_encode_path(&location, str_slice(path, start, i));
            if (i < path.len)
                buf_append_byte(&location, '/');
            start = i + 1;
        }
    if (query.len)
        buf_printf(&location, "?%.*s", STR_ARG(query));
    struct http_header header = {STR("Location"), buf_str(&location)};
    conn_reply(conn, status,
               status == 301 ? STR("Moved Permanently\n") : STR("Temporary Redirect\n"), &header);
    buf_deinit(&location);
}

/* -- a request -- */

static void conn_sent(void *arg)
{
    struct http_connection *conn = arg;
    struct http_exchange *exchange = conn->exchange;
    conn->exchange = NULL;
    conn_uncount_body(conn);
    bool keep_alive =
        exchange->keep_alive && !conn->peer_closed && !atomic_load(&conn->server->stopping);
    http_exchange_free(exchange);
    if (conn->connection && keep_alive) {
        conn->state = STATE_HEAD;
        atomic_store(&conn->waits, true);
        conn_start_timer(conn, conn->in.len == 0);
        connection_read(conn->connection, true);
        conn_advance(conn);
    } else {
        conn_close(conn, true);
    }
    http_connection_unref(conn);
}

/* The response's bytes have gone, or were dropped with the connection. May come from within a call
 * to it. */
static void conn_body_released(void *owner)
{
    struct http_connection *conn = owner;
    event_loop_post(conn->loop, conn_sent, conn); /* takes over the reference */
}

static void conn_send_response(void *arg)
{
    struct http_connection *conn = arg; /* with the reference of the pool */
    struct http_exchange *exchange = conn->exchange;
    if (!conn->connection) {
        conn_uncount_body(conn);
        conn->exchange = NULL;
        http_exchange_free(exchange);
        http_connection_unref(conn);
        return;
    }
    conn->state = STATE_SEND;
    if (atomic_load(&conn->server->stopping))
        exchange->keep_alive = false;
    connection_write(conn->connection, exchange->head_out.data, exchange->head_out.len);
    size_t len = exchange->is_head ? 0 : exchange->res.body.len;
    struct connection *connection = conn->connection;
    connection_write_shared(connection, exchange->res.body.data, len, conn_body_released, conn);
    connection_flush(connection);
}

static void conn_run_handler(void *arg)
{
    struct http_connection *conn = arg;
    http_exchange_run(conn->exchange);
    event_loop_post(conn->loop, conn_send_response, conn);
}

static void conn_dispatch(struct http_connection *conn)
{
    struct http_exchange *exchange = conn->exchange;
    conn->state = STATE_HANDLE;
    atomic_store(&conn->waits, false);
    event_timer_stop(conn->timer);
    connection_read(conn->connection, false);
    atomic_fetch_add_explicit(&conn->references, 1, memory_order_relaxed);
    struct error *err = pool_run(exchange->route->pool, conn_run_handler, conn);
    if (err) {
        http_exchange_refuse(exchange, err);
        event_loop_post(conn->loop, conn_send_response, conn);
    }
}

/* -- reading -- */

static void conn_begin_body(struct http_connection *conn, const struct http1_head *head)
{
    conn->state = STATE_BODY;
    conn->body_until_ms = event_loop_now_ms(conn->loop) + BODY_TIMEOUT_MS;
    conn->is_chunked = head->chunked;
    conn->chunks = (struct http1_chunks){0};
    conn->body_left = head->content_length;
    if (head->expects_continue && conn->in.len == 0 && (head->chunked || head->content_length)) {
        static const char proceed[] = "HTTP/1.1 100 Continue\r\n\r\n";
        connection_write(conn->connection, proceed, sizeof(proceed) - 1);
        connection_flush(conn->connection);
    }
}

static void conn_reply_no_route(struct http_connection *conn, enum route_result result,
                                struct str path)
{
    struct http_server *server = conn->server;
    struct buf methods = {0};
    if (result == ROUTE_NOT_FOUND) {
        conn_reply(conn, 404, STR("404 page not found\n"), NULL);
        return;
    }
    http_route_methods(server->routes, server->config.route_count, path, &methods);
    struct http_header allow = {STR("Allow"), buf_str(&methods)};
    conn_reply(conn, 405, STR("Method Not Allowed\n"), &allow);
    buf_deinit(&methods);
}

/* A slash behind a path of the API: the way without it is told. */
static bool conn_drop_slash(struct http_connection *conn, struct str method, struct str path,
                            struct str query)
{
    const struct http_server *server = conn->server;
    const struct http_route *route;
    struct str value;
    if (path.len < 2 || path.data[path.len - 1] != '/')
        return false;
    path.len--;
    if (http_route_find(server->routes, server->config.route_count, method, path, &route, &value) !=
            ROUTE_FOUND ||
        !route->is_api)
        return false;
    conn_redirect(conn, str_equal(method, STR("GET")) ? 301 : 307, path, query);
    return true;
}

/* Finds the route and opens the exchange; false when the request has been answered. */
static bool conn_open_exchange(struct http_connection *conn, const struct http1_head *head,
                               struct web_rules *rules, struct arena *scratch)
{
    struct http_server *server = conn->server;
    const struct http_route *route;
    struct str raw, query, path, value;
    str_cut(head->target, '?', &raw, &query);
    struct error *err = url_decode_path(scratch, raw, &path);
    if (err || path.len == 0 || path.data[0] != '/') {
        error_free(err);
        conn_reply_status(conn, 400);
        return false;
    }
    struct str clean = url_clean_path(scratch, path);
    if (!str_equal(clean, path)) {
        conn_redirect(conn, 307, clean, query);
        return false;
    }
    enum route_result result = http_route_find(server->routes, server->config.route_count,
                                               head->method, path, &route, &value);
    if (result == ROUTE_NOT_FOUND && conn_drop_slash(conn, head->method, path, query))
        return false;
    if (result != ROUTE_FOUND) {
        conn_reply_no_route(conn, result, path);
        return false;
    }
    if (head->content_length > route->body_max) {
        conn_reply_status(conn, 413);
        return false;
    }
    struct http_exchange_config config = {server->config.budget,
                                          server->config.request_memory_max,
                                          server->metrics,
                                          connection_peer(conn->connection),
                                          rules,
                                          server->config.request_log};
    conn->exchange = http_exchange_create(&config, head, route, path, value);
    connection_subject(conn->connection, conn->exchange->req.arena, &conn->exchange->req.subject);
    return true;
}

static void conn_asked(void *arg)
{
    struct http_connection *conn = arg;
    if (conn->connection) {
        conn->state = STATE_HEAD;
        conn_start_timer(conn, false);
        connection_read(conn->connection, true);
        conn_advance(conn);
    }
    http_connection_unref(conn);
}

/* From the gate's thread. */
static void conn_verdict(void *arg, enum web_verdict verdict)
{
    struct http_connection *conn = arg;
    atomic_store(&conn->verdict, verdict);
    event_loop_post(conn->loop, conn_asked, conn);
}

/* True when the request may go on. Else it has been answered, or its password is being compared. */
static bool conn_may_pass(struct http_connection *conn, const struct http1_head *head,
                          struct web_rules *rules)
{
    static const struct http_header ask = {STR_INIT("WWW-Authenticate"), STR_INIT("Basic")};
    enum web_verdict verdict = atomic_exchange(&conn->verdict, WEB_WAIT);
    if (verdict == WEB_WAIT) {
        atomic_fetch_add_explicit(&conn->references, 1, memory_order_relaxed);
        verdict = web_gate_ask(conn->server->config.gate, rules, head, conn_verdict, conn);
        if (verdict == WEB_WAIT) {
            conn->state = STATE_ASK;
            event_timer_stop(conn->timer);
            connection_read(conn->connection, false);
            return false;
        }
        http_connection_unref(conn);
    }
    if (verdict == WEB_DENY)
        conn_reply(conn, 401, STR("Unauthorized\n"), &ask);
    else if (verdict != WEB_ADMIT)
        conn_reply(conn, 429, STR("Too Many Requests\n"), NULL);
    return verdict == WEB_ADMIT;
}

static bool conn_open(struct http_connection *conn, const struct http1_head *head)
{
    struct web_gate *gate = conn->server->config.gate;
    struct web_rules *rules = gate ? web_gate_rules(gate) : NULL;
    struct arena *scratch = arena_create(NULL);
    bool opened = (!gate || conn_may_pass(conn, head, rules)) &&
                  conn_open_exchange(conn, head, rules, scratch);
    arena_unref(scratch);
    web_rules_unref(rules);
    return opened;
}

static bool conn_take_head(struct http_connection *conn)
{
    struct http1_head head;
    size_t used;
    int status;
    if (conn->in.len == 0)
        return false;
    enum http1_result result = http1_parse_head(buf_bytes(&conn->in), &head, &used, &status);
    if (result == HTTP1_BAD)
        conn_reply_status(conn, status);
    if (result != HTTP1_DONE)
        return false;
    if (!conn_open(conn, &head))
        return false;
    buf_consume(&conn->in, used);
    conn_begin_body(conn, &head);
    return true;
}

/* False when the bodies of all connections would be too many. */
static bool conn_count_body(struct http_connection *conn)
{
    size_t len = conn->exchange->body.len;
    if (len <= BODY_SMALL)
        return true;
    size_t more = len - conn->body_counted;
    conn->body_counted = len;
    return atomic_fetch_add(&conn->server->bodies, more) + more <= BODIES_MAX;
}

/* True when the body is whole. */
static bool conn_take_body(struct http_connection *conn)
{
    struct buf *body = &conn->exchange->body;
    size_t used;
    int status = 413;
    enum http1_result result;
    if (conn->is_chunked) {
        result = http1_take_chunks(&conn->chunks, buf_bytes(&conn->in),
                                   conn->exchange->route->body_max, body, &used, &status);
    } else {
        used = (size_t)(conn->in.len < conn->body_left ? conn->in.len : conn->body_left);
        buf_append(body, conn->in.data, used);
        conn->body_left -= used;
        result = conn->body_left ? HTTP1_MORE : HTTP1_DONE;
    }
    buf_consume(&conn->in, used);
    if (result != HTTP1_BAD && !conn_count_body(conn)) {
        result = HTTP1_BAD;
        status = 429;
    }
    if (body->refused) {
        result = HTTP1_BAD;
        status = 413;
    }
    if (result == HTTP1_BAD)
        conn_reply_status(conn, status);
    return result == HTTP1_DONE;
}

/* Goes as far as the received bytes lead. May close the connection and give up the loop's
 * reference. */
static void conn_advance(struct http_connection *conn)
{
    atomic_fetch_add_explicit(&conn->references, 1, memory_order_relaxed);
    bool has_head =
        conn->state == STATE_BODY || (conn->state == STATE_HEAD && conn_take_head(conn));
    if (has_head && conn_take_body(conn))
        conn_dispatch(conn);
    http_connection_unref(conn);
}

/* -- what the socket tells -- */

static void conn_data(void *self, struct bytes data)
{
    struct http_connection *conn = self;
    bool fresh = conn->in.len == 0 || conn->state == STATE_BODY;
    buf_append(&conn->in, data.data, data.len);
    if (fresh) /* a body has so long from its last piece */
        conn_start_timer(conn, false);
    if (conn->state == STATE_BODY && event_loop_now_ms(conn->loop) > conn->body_until_ms)
        conn_reply_status(conn, 408);
    else
        conn_advance(conn);
}

static void conn_drained(void *self UNUSED)
{
}

static void conn_peer_closed(void *self)
{
    struct http_connection *conn = self;
    if (conn->state == STATE_HANDLE || conn->state == STATE_SEND || conn->state == STATE_ASK) {
        conn->peer_closed = true; /* not in the exchange, which belongs to its handler */
        if (conn->state == STATE_HANDLE)
            context_cancel(conn->exchange->req.ctx);
    } else {
        conn_close(conn, false);
    }
}

static void conn_broken(void *self, struct error *err)
{
    error_free(err); /* the peer's doing, and nobody is left to be told */
    conn_close(self, false);
}

static void conn_timeout(void *arg)
{
    struct http_connection *conn = arg;
    bool is_idle = conn->state == STATE_HEAD && conn->in.len == 0;
    if (is_idle)
        conn_close(conn, true);
    else
        conn_reply_status(conn, 408);
}

static const struct connection_handler conn_handler = {
    .data = conn_data,
    .drained = conn_drained,
    .peer_closed = conn_peer_closed,
    .broken = conn_broken,
};

static void conn_evict(void *arg)
{
    struct http_connection *conn = arg;
    if (atomic_load(&conn->waits))
        conn_close(conn, false);
    http_connection_unref(conn);
}

/* The oldest one that waits for a request, or for the rest of one, makes room. */
static void server_evict_one_locked(struct http_server *server) REQUIRES(server->lock)
{
    struct http_connection *conn = server->oldest;
    while (conn && (conn->evicted || !atomic_load(&conn->waits)))
        conn = conn->prev;
    if (!conn)
        return;
    conn->evicted = true;
    conn_post(conn, conn_evict);
}

/* Puts it among the server's connections; false when there are too many. */
static bool server_admit(struct http_server *server, struct http_connection *conn)
{
    size_t limit =
        server->config.connections_max ? server->config.connections_max : CONNECTIONS_MAX_DEFAULT;
    mutex_lock(&server->lock);
    if (server->connections >= limit)
        server_evict_one_locked(server);
    bool room = server->connections < limit + CONNECTIONS_EXTRA;
    if (room) {
        server->connections++;
        conn->next = server->first;
        *(server->first ? &server->first->prev : &server->oldest) = conn;
        server->first = conn;
    }
    mutex_unlock(&server->lock);
    return room;
}

static void conn_start_tls(struct http_connection *conn)
{
    struct web_rules *rules = web_gate_rules(conn->server->config.gate);
    if (rules->tls)
        connection_accept_tls(conn->connection, rules->tls, HANDSHAKE_TIMEOUT_MS);
    web_rules_unref(rules);
}

static void conn_start(void *arg)
{
    struct http_connection *conn = arg;
    const struct http_server_config *config = &conn->server->config;
    conn->connection = connection_create(conn->loop, conn->fd, &conn_handler, conn);
    if (config->gate)
        conn_start_tls(conn);
    conn->timer = event_timer_create(conn->loop, conn_timeout, conn);
    connection_set_write_timeout(conn->connection,
                                 timeout_or(config->write_timeout_ms, WRITE_TIMEOUT_MS_DEFAULT));
    conn_start_timer(conn, false);
    connection_read(conn->connection, true);
}

/* On the listener's loop. */
static void server_accepted(void *self, struct event_loop *loop, int fd)
{
    struct http_server *server = self;
    struct http_connection *conn = xcalloc(1, sizeof(*conn));
    atomic_init(&conn->references, 1);
    atomic_init(&conn->verdict, WEB_WAIT);
    atomic_init(&conn->waits, true);
    conn->server = server;
    conn->loop = loop;
    conn->fd = fd;
    if (server_admit(server, conn)) {
        event_loop_post(loop, conn_start, conn);
        return;
    }
    int64_t now_ms = time_now_monotonic_ms();
    close(fd);
    free(conn);
    if (now_ms - atomic_load(&server->refusal_logged_ms) < REFUSALS_LOGGED_EVERY_MS)
        return;
    atomic_store(&server->refusal_logged_ms, now_ms);
    log_warn(server->config.log, "connections are refused: too many are open");
}

/* -- the server -- */

struct error *http_serve(struct event_loops *loops, const struct http_server_config *config,
                         struct http_server **out)
{
    struct http_server *server = xcalloc(1, sizeof(*server));
    server->config = *config;
    atomic_init(&server->refusal_logged_ms, -REFUSALS_LOGGED_EVERY_MS);
    server->routes = xcalloc(config->route_count, sizeof(*server->routes));
    memcpy(server->routes, config->routes, config->route_count * sizeof(*server->routes));
    server->metrics =
        http_metrics_register(config->metrics, config->tenant_header, config->default_tenant);
    mutex_init(&server->lock);
    thread_cond_init(&server->changed);
    struct error *err =
        listener_create(loops, config->address, server_accepted, server, &server->listener);
    if (err) {
        http_server_free(server);
        return err;
    }
    *out = server;
    return NULL;
}

struct str http_server_address(const struct http_server *server)
{
    return listener_address(server->listener);
}

static void conn_stop_gently(void *arg)
{
    struct http_connection *conn = arg;
    if (conn->connection && conn->state == STATE_HEAD)
        conn_close(conn, true);
    http_connection_unref(conn);
}

static void conn_stop_now(void *arg)
{
    struct http_connection *conn = arg;
    conn_close(conn, false);
    http_connection_unref(conn);
}

/* Posts fn for every connection and waits until none is left, but not beyond the monotonic time
 * given. */
static bool server_end_connections(struct http_server *server, event_fn fn, int64_t until_ms)
{
    mutex_lock(&server->lock);
    for (struct http_connection *conn = server->first; conn; conn = conn->next)
        conn_post(conn, fn);
    while (server->connections > 0 && time_now_monotonic_ms() < until_ms)
        thread_cond_wait_until(&server->changed, &server->lock, until_ms);
    bool all_gone = server->connections == 0;
    mutex_unlock(&server->lock);
    return all_gone;
}

void http_server_stop(struct http_server *server, int64_t grace_ms)
{
    int64_t now_ms = time_now_monotonic_ms();
    atomic_store(&server->stopping, true);
    listener_free(server->listener);
    server->listener = NULL;
    if (server_end_connections(server, conn_stop_gently, int64_add_saturating(now_ms, grace_ms)))
        return;
    now_ms = time_now_monotonic_ms();
    if (!server_end_connections(server, conn_stop_now, now_ms + STOP_PATIENCE_MS))
        bug("HTTP handlers still run %d seconds after their requests were cancelled",
            STOP_PATIENCE_MS / 1000);
}

void http_server_free(struct http_server *server)
{
    if (!server)
        return;
    listener_free(server->listener);
    pthread_cond_destroy(&server->changed);
    mutex_deinit(&server->lock);
    free(server->routes);
    free(server);
}
