/* One transfer is a struct http_stream with two users: who reads it, on any thread, and libcurl, on
 * the client's loop. They meet at a ring of received bytes. When the ring has no room for what
 * libcurl brings, the transfer is paused, which stops reading the socket; when the reader has made
 * room, the loop resumes it. Everything that touches libcurl runs on the loop. */
#include "net/http_client.h"

#include <curl/curl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/mutex.h"
#include "base/page_pool.h"
#include "codec/digest.h"
#include "runtime/context.h"
#include "runtime/event_loop.h"
#include "runtime/fault.h"
#include "runtime/thread.h"
#include "runtime/time.h"

enum {
    RING_SIZE = 256 * 1024,
    CURL_READ_SIZE = 64 * 1024, /* largest piece that libcurl brings at once */
    HEADERS_MAX = 64 * 1024,
    RESPONSE_MAX_DEFAULT = 16 * 1024 * 1024,
    CONNECT_TIMEOUT_MS_DEFAULT = 5000,
    REDIRECTS_MAX = 10,
    IDLE_CONNECTIONS_MAX = 8,
    TOKEN_LASTS_S_DEFAULT = 5 * 60,
    TOKEN_RESERVE_S = 10, /* before its end it is not used any more */
    TOKEN_SIZE_MAX = 1 << 20,
};

struct http_client {
    struct event_loop *loop;
    char *user_agent;
    size_t connections_max;
    const struct http_client_config *config;
    struct mutex token_lock;
    pthread_cond_t token_changed;
    bool fetching_token GUARDED_BY(token_lock);
    struct buf token GUARDED_BY(token_lock); /* the header's value; empty: none yet */
    int64_t token_until_ms GUARDED_BY(token_lock);
    /* On the loop only: */
    CURLM *multi; /* made for the first transfer */
    struct event_timer *timer;
};

struct http_stream {
    atomic_uint references; /* the reader, the transfer, each posted task */
    struct http_client *client;
    CURL *easy;
    struct curl_slist *request_headers, *connect_to;
    struct event_timer *response_timer; /* on the loop only */
    char *request_body;
    char *what; /* "GET http://host/path", for errors */
    char curl_error[CURL_ERROR_SIZE];
    struct context *ctx;
    struct context_hook on_end;
    struct budget *budget; /* paid for the ring */

    struct mutex lock;
    pthread_cond_t changed;
    char *ring GUARDED_BY(lock);
    size_t ring_start GUARDED_BY(lock), ring_len GUARDED_BY(lock);
    struct buf headers GUARDED_BY(lock); /* lines of the last response, as received */
    int status GUARDED_BY(lock);
    bool headers_done GUARDED_BY(lock);
    bool paused GUARDED_BY(lock);
    bool resuming GUARDED_BY(lock);
    bool ended GUARDED_BY(lock);
    bool waking GUARDED_BY(lock);
    CURLcode result GUARDED_BY(lock);
    void (*wake)(void *arg) GUARDED_BY(lock);
    void *wake_arg GUARDED_BY(lock);

    bool attached;                /* on the loop only: libcurl has it */
    struct client_socket *socket; /* on the loop only: what it is received on; NULL: nothing now */
};

struct client_socket {
    struct http_client *client;
    curl_socket_t fd;
    struct event_watcher *watcher;
    unsigned events;            /* what libcurl wants to know */
    struct http_stream *stream; /* NULL: nobody's */
};

static void curl_start_once(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        bug("libcurl does not start");
}

struct http_client *http_client_create_with(struct event_loops *loops, struct str user_agent,
                                            size_t connections_max,
                                            const struct http_client_config *config)
{
    struct http_client *client = xcalloc(1, sizeof(*client));
    client->loop = event_loops_pick(loops);
    client->user_agent = str_dup(user_agent);
    client->config = config;
    client->connections_max =
        config->connections_max ? (size_t)config->connections_max : connections_max;
    mutex_init(&client->token_lock);
    thread_cond_init(&client->token_changed);
    return client;
}

struct http_client *http_client_create(struct event_loops *loops, struct str user_agent,
                                       size_t connections_max)
{
    static const struct http_client_config nothing;
    return http_client_create_with(loops, user_agent, connections_max, &nothing);
}

/* -- life of a stream -- */

static void stream_unref(struct http_stream *stream)
{
    if (atomic_fetch_sub_explicit(&stream->references, 1, memory_order_acq_rel) != 1)
        return;
    curl_easy_cleanup(stream->easy);
    curl_slist_free_all(stream->request_headers);
    curl_slist_free_all(stream->connect_to);
    free(stream->request_body);
    free(stream->what);
    buf_deinit(&stream->headers);
    page_pool_give(stream->ring, RING_SIZE);
    context_unref(stream->ctx);
    pthread_cond_destroy(&stream->changed);
    mutex_deinit(&stream->lock);
    free(stream);
}

/* Posts fn(stream) with a reference that fn gives back. */
static void stream_post(struct http_stream *stream, event_fn fn)
{
    atomic_fetch_add_explicit(&stream->references, 1, memory_order_relaxed);
    event_loop_post(stream->client->loop, fn, stream);
}

/* Tells the reader that something has changed. Called with the lock, gives it up. */
static void stream_signal_unlock(struct http_stream *stream) RELEASES(stream->lock)
{
    void (*wake)(void *arg) = stream->wake;
    void *arg = stream->wake_arg;
    stream->wake = NULL;
    stream->waking = wake != NULL;
    pthread_cond_broadcast(&stream->changed);
    mutex_unlock(&stream->lock);
    if (!wake)
        return;
    wake(arg);
    mutex_lock(&stream->lock);
    stream->waking = false;
    pthread_cond_broadcast(&stream->changed);
    mutex_unlock(&stream->lock);
}

/* -- on the loop -- */

/* A stream has one socket at most, and a socket one stream. */
static void stream_link(struct http_stream *stream, struct client_socket *socket)
{
    if (stream->socket)
        stream->socket->stream = NULL;
    if (socket && socket->stream)
        socket->stream->socket = NULL;
    stream->socket = socket;
    if (socket)
        socket->stream = stream;
}

static void stream_end(struct http_stream *stream, CURLcode result)
{
    if (!stream->attached)
        return;
    stream->attached = false;
    event_timer_free(stream->response_timer);
    stream->response_timer = NULL;
    curl_multi_remove_handle(stream->client->multi, stream->easy);
    stream_link(stream, NULL);
    mutex_lock(&stream->lock);
    stream->ended = true;
    stream->result = result;
    stream_signal_unlock(stream);
    stream_unref(stream);
}

static void client_reap(struct http_client *client)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(client->multi, &left))) {
        struct http_stream *stream;
        CURLcode result = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &stream);
        stream_end(stream, result);
    }
}

static void client_socket_is_ready(void *arg, unsigned events);

static struct client_socket *client_socket_create(struct http_client *client, curl_socket_t fd)
{
    struct client_socket *socket = xcalloc(1, sizeof(*socket));
    socket->client = client;
    socket->fd = fd;
    socket->watcher = event_watcher_create(client->loop, fd, client_socket_is_ready, socket);
    curl_multi_assign(client->multi, fd, socket);
    return socket;
}

static void client_socket_free(struct client_socket *socket)
{
    if (!socket)
        return;
    if (socket->stream)
        stream_link(socket->stream, NULL);
    event_watcher_free(socket->watcher);
    free(socket);
}

/* While a stream is paused its socket is not looked at. Some versions of libcurl (8.5) ask to go on
 * looking, and whatever is then read they keep in memory. */
static void client_socket_listen(struct client_socket *socket)
{
    bool paused = false;
    if (socket->stream) {
        mutex_lock(&socket->stream->lock);
        paused = socket->stream->paused;
        mutex_unlock(&socket->stream->lock);
    }
    event_watcher_set(socket->watcher, paused ? socket->events & ~EVENT_READ : socket->events);
}

static int client_watch(CURL *easy, curl_socket_t fd, int what, void *self, void *assigned)
{
    struct client_socket *socket = assigned;
    struct http_stream *stream = NULL;
    if (what == CURL_POLL_REMOVE) {
        client_socket_free(socket);
        return 0;
    }
    if (!socket)
        socket = client_socket_create(self, fd);
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &stream);
    if (stream && stream->attached)
        stream_link(stream, socket);
    socket->events =
        (what & CURL_POLL_IN ? EVENT_READ : 0) | (what & CURL_POLL_OUT ? EVENT_WRITE : 0);
    client_socket_listen(socket);
    return 0;
}

static void client_socket_is_ready(void *arg, unsigned events)
{
    struct client_socket *socket = arg;
    struct http_client *client = socket->client; /* the socket may go during the call */
    int running, ready = (events & EVENT_READ ? CURL_CSELECT_IN : 0) |
                         (events & EVENT_WRITE ? CURL_CSELECT_OUT : 0);
    curl_multi_socket_action(client->multi, socket->fd, ready, &running);
    client_reap(client);
}

static void client_time_is_up(void *arg)
{
    struct http_client *client = arg;
    int running;
    curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    client_reap(client);
}

static int client_set_timer(CURLM *multi UNUSED, long timeout_ms, void *self)
{
    struct http_client *client = self;
    if (timeout_ms < 0)
        event_timer_stop(client->timer);
    else
        event_timer_start(client->timer, timeout_ms);
    return 0;
}

static void client_open_multi(struct http_client *client)
{
    client->multi = curl_multi_init();
    if (!client->multi)
        bug("libcurl gives no multi handle");
    client->timer = event_timer_create(client->loop, client_time_is_up, client);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, client_watch);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, client_set_timer);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)client->connections_max);
    long idle_max = client->config->idle_connections_max
                        ? (long)client->config->idle_connections_max
                        : IDLE_CONNECTIONS_MAX;
    curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, idle_max);
}

static void stream_response_is_late(void *arg)
{
    struct http_stream *stream = arg;
    mutex_lock(&stream->lock);
    bool late = !stream->headers_done;
    mutex_unlock(&stream->lock);
    if (!late)
        return;
    snprintf(stream->curl_error, sizeof(stream->curl_error), "timeout awaiting response headers");
    stream_end(stream, CURLE_OPERATION_TIMEDOUT);
}

static void stream_start(void *arg)
{
    struct http_stream *stream = arg;
    struct http_client *client = stream->client;
    if (!client->multi)
        client_open_multi(client);
    if (!context_ended(stream->ctx) &&
        curl_multi_add_handle(client->multi, stream->easy) == CURLM_OK) {
        stream->attached = true; /* takes over the reference of this task */
        if (client->config->response_timeout_ms) {
            stream->response_timer =
                event_timer_create(client->loop, stream_response_is_late, stream);
            event_timer_start(stream->response_timer, client->config->response_timeout_ms);
        }
        return;
    }
    mutex_lock(&stream->lock);
    stream->ended = true;
    stream->result = CURLE_ABORTED_BY_CALLBACK;
    stream_signal_unlock(stream);
    stream_unref(stream);
}

static void stream_resume(void *arg)
{
    struct http_stream *stream = arg;
    mutex_lock(&stream->lock);
    stream->paused = stream->resuming = false;
    mutex_unlock(&stream->lock);
    if (stream->attached) {
        curl_easy_pause(stream->easy, CURLPAUSE_CONT); /* may bring bytes and pause again at once */
        if (stream->socket)
            client_socket_listen(stream->socket);
        client_reap(stream->client);
    }
    stream_unref(stream);
}

static void stream_abort(void *arg)
{
    struct http_stream *stream = arg;
    stream_end(stream, CURLE_ABORTED_BY_CALLBACK);
    stream_unref(stream);
}

static void stream_context_ended(void *arg)
{
    stream_post(arg, stream_abort);
}

/* -- what libcurl brings, on the loop -- */

static size_t stream_take_header(char *data, size_t size, size_t count, void *arg)
{
    struct http_stream *stream = arg;
    struct str line = {data, size * count};
    size_t taken = line.len;
    mutex_lock(&stream->lock);
    if (!stream->headers_done && str_starts_with(line, STR("HTTP/")))
        buf_clear(&stream->headers); /* of a redirect, or 100 Continue */
    if (stream->headers.len + line.len > HEADERS_MAX)
        taken = 0;
    else if (!stream->headers_done) /* else a trailer: the reader may be looking at the headers */
        buf_append_str(&stream->headers, line);
    mutex_unlock(&stream->lock);
    return taken;
}

/* The headers that precede the first byte of the body, or the end, are those of the answer. */
static void stream_note_headers_locked(struct http_stream *stream) REQUIRES(stream->lock)
{
    long status = 0;
    if (stream->headers_done)
        return;
    curl_easy_getinfo(stream->easy, CURLINFO_RESPONSE_CODE, &status);
    stream->status = (int)status;
    stream->headers_done = true;
}

static void ring_put_locked(struct http_stream *stream, const char *data, size_t len)
    REQUIRES(stream->lock)
{
    size_t at = (stream->ring_start + stream->ring_len) % RING_SIZE;
    size_t first = size_min(len, RING_SIZE - at);
    memcpy(stream->ring + at, data, first);
    memcpy(stream->ring, data + first, len - first);
    stream->ring_len += len;
}

static size_t stream_take_body(char *data, size_t size, size_t count, void *arg)
{
    struct http_stream *stream = arg;
    size_t len = size * count;
    if (fault_io("read HTTP body"))
        return 0; /* not what was given: an error */
    mutex_lock(&stream->lock);
    stream_note_headers_locked(stream);
    if (len > RING_SIZE - stream->ring_len) {
        stream->paused = true;
        stream_signal_unlock(stream);
        if (stream->socket)
            client_socket_listen(stream->socket);
        return CURL_WRITEFUNC_PAUSE;
    }
    ring_put_locked(stream, data, len);
    stream_signal_unlock(stream);
    return len;
}

static curl_socket_t open_socket(void *arg UNUSED, curlsocktype purpose UNUSED,
                                 struct curl_sockaddr *address)
{
    if (fault_io("connect"))
        return CURL_SOCKET_BAD;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* -- the reader -- */

static void stream_add_header(struct http_stream *stream, struct str name, struct str value)
{
    struct buf line = {0};
    buf_printf(&line, "%.*s: %.*s%c", STR_ARG(name), STR_ARG(value), 0);
    stream->request_headers = curl_slist_append(stream->request_headers, line.data);
    digest_wipe(line.data, line.len); /* it may be an authorization */
    buf_deinit(&line);
}

static void set_text(CURL *easy, CURLoption option, struct str text)
{
    char *copy = str_dup(text);
    curl_easy_setopt(easy, option, copy); /* which libcurl copies */
    free(copy);
}

/* A certificate for another name than the URL's host: libcurl is given the name as the host, and
 * told to connect to the real one. */
static void stream_set_server_name(struct http_stream *stream, struct str whole, struct str name)
{
    CURLU *url = curl_url();
    char *text = str_dup(name), *given = str_dup(whole), *scheme = NULL, *host = NULL, *port = NULL,
         *own_port = NULL;
    if (curl_url_set(url, CURLUPART_URL, given, 0) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        strcmp(scheme, "https") == 0 && curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK) {
        struct buf line = {0};
        bool has_port = curl_url_get(url, CURLUPART_PORT, &own_port, 0) == CURLUE_OK;
        buf_printf(&line, "%s:%s:%s:%s%c", text, port, host, port, 0);
        stream->connect_to = curl_slist_append(stream->connect_to, line.data);
        buf_clear(&line);
        buf_printf(&line, "%s%s%s", host, has_port ? ":" : "", has_port ? port : "");
        stream_add_header(stream, STR("Host"), buf_str(&line));
        buf_deinit(&line);
        curl_url_set(url, CURLUPART_HOST, text, 0);
        curl_free(scheme);
        scheme = NULL;
        if (curl_url_get(url, CURLUPART_URL, &scheme, 0) == CURLUE_OK)
            curl_easy_setopt(stream->easy, CURLOPT_URL, scheme);
        curl_easy_setopt(stream->easy, CURLOPT_CONNECT_TO, stream->connect_to);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(own_port);
    curl_url_cleanup(url);
    free(given);
    free(text);
}

static void stream_set_tls(struct http_stream *stream, struct str url,
                           const struct http_client_config *config)
{
    CURL *easy = stream->easy;
    if (config->ca_file.len)
        set_text(easy, CURLOPT_CAINFO, config->ca_file);
#if LIBCURL_VERSION_NUM >= 0x075700
    if (config->ca_file.len)
        curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L); /* the file may change */
#endif
    if (config->cert_file.len) {
        set_text(easy, CURLOPT_SSLCERT, config->cert_file);
        set_text(easy, CURLOPT_SSLKEY, config->key_file);
        curl_easy_setopt(easy, CURLOPT_KEYPASSWD, ""); /* else OpenSSL asks on the terminal */
    }
    if (config->skip_verify) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (config->server_name.len)
        stream_set_server_name(stream, url, config->server_name);
}

static void stream_set_config(struct http_stream *stream, const struct http_client_request *request)
{
    const struct http_client_config *config = stream->client->config;
    CURL *easy = stream->easy;
    if (!config->proxy_from_environment)
        set_text(easy, CURLOPT_PROXY, config->proxy_url);
    if (config->no_proxy.len || !config->proxy_from_environment)
        set_text(easy, CURLOPT_NOPROXY, config->no_proxy);
    if (config->idle_timeout_ms)
        curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)(config->idle_timeout_ms / 1000 + 1));
    int64_t connect_ms =
        config->dial_timeout_ms ? config->dial_timeout_ms : request->connect_timeout_ms;
    if (connect_ms == 0)
        connect_ms = CONNECT_TIMEOUT_MS_DEFAULT;
    connect_ms = int64_add_saturating(connect_ms, config->handshake_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    stream_set_tls(stream, request->url, config);
}

static void stream_set_request(struct http_stream *stream,
                               const struct http_client_request *request)
{
    CURL *easy = stream->easy;
    for (size_t i = 0; i < request->header_count; i++)
        stream_add_header(stream, request->headers[i].name, request->headers[i].value);
    set_text(easy, CURLOPT_URL, request->url);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L); /* what was signed is what is sent */
    if (str_equal(request->method, STR("POST")) || str_equal(request->method, STR("PUT"))) {
        stream->request_headers = curl_slist_append(stream->request_headers, "Expect:");
        stream->request_body = str_dup(bytes_str(request->body));
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, stream->request_body);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
    }
    if (str_equal(request->method, STR("HEAD")))
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    else if (!str_equal(request->method, STR("GET")))
        set_text(easy, CURLOPT_CUSTOMREQUEST, request->method);
    stream_set_config(stream, request);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, stream->request_headers);
}

static void stream_set_transfer(struct http_stream *stream)
{
    CURL *easy = stream->easy;
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                     (long)CURL_HTTP_VERSION_1_1); /* a pause stops the socket only there */
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)CURL_READ_SIZE);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, stream->client->user_agent);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, stream->curl_error);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, stream);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, stream_take_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, stream);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, stream_take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, stream);
}

/* "GET http://host/path": a name and a password in front of the host are left out. */
static char *describe_request(const struct http_client_request *request)
{
    struct buf what = {0};
    size_t host = 0, end;
    struct str url = request->url;
    while (host + 3 < url.len && memcmp(url.data + host, "://", 3) != 0)
        host++;
    host = host + 3 < url.len ? host + 3 : 0;
    for (end = host; end < url.len && !strchr("/?#", url.data[end]); end++)
        ;
    struct str authority = str_slice(url, host, end);
    size_t at = authority.len;
    while (at && authority.data[at - 1] != '@')
        at--;
    buf_printf(&what, "%.*s %.*s%.*s%c", STR_ARG(request->method), STR_ARG(str_slice(url, 0, host)),
               STR_ARG(str_slice(url, host + at, url.len)), 0);
    return what.data;
}

/* authorization: the header's value; empty: none. */
static struct error *stream_create(struct http_client *client, struct context *ctx,
                                   const struct http_client_request *request,
                                   struct str authorization, struct http_stream **out)
{
    struct error *err = budget_charge(context_budget(ctx), RING_SIZE, "an HTTP response");
    if (err)
        return err;
    struct http_stream *stream = xcalloc(1, sizeof(*stream));
    size_t ring_size;
    atomic_init(&stream->references, 1);
    mutex_init(&stream->lock);
    pthread_cond_init(&stream->changed, NULL);
    stream->client = client;
    stream->ring = page_pool_take(RING_SIZE, &ring_size);
    stream->budget = context_budget(ctx);
    stream->ctx = context_ref(ctx);
    stream->what = describe_request(request);
    stream->easy = curl_easy_init();
    if (!stream->easy)
        bug("libcurl gives no handle");
    if (authorization.len)
        stream_add_header(stream, STR("Authorization"), authorization);
    stream_set_transfer(stream);
    stream_set_request(stream, request);
    *out = stream;
    return NULL;
}

/* Why the transfer ended; NULL for a whole answer. */
static struct error *stream_result_locked(struct http_stream *stream) REQUIRES(stream->lock)
{
    if (stream->result == CURLE_OK)
        return NULL;
    struct error *err = context_error(stream->ctx);
    if (err)
        return error_wrap(err, "%s", stream->what);
    const char *text =
        stream->curl_error[0] ? stream->curl_error : curl_easy_strerror(stream->result);
    bool callers_fault =
        stream->result == CURLE_URL_MALFORMAT || stream->result == CURLE_UNSUPPORTED_PROTOCOL;
    return error_create(callers_fault ? ERROR_INVALID : ERROR_UNAVAILABLE, "%s: %s", stream->what,
                        text);
}

struct error *http_stream_wait(struct http_stream *stream, struct context *ctx)
{
    struct error *err = NULL;
    mutex_lock(&stream->lock);
    while (!err && !stream->headers_done && !stream->ended)
        err = context_wait(ctx, &stream->changed, &stream->lock);
    if (!err && !stream->headers_done)
        err = stream_result_locked(stream);
    if (!err)
        stream_note_headers_locked(stream); /* an answer without a body */
    mutex_unlock(&stream->lock);
    return err;
}

static void wipe(struct buf *buf)
{
    digest_wipe(buf->data, buf->len);
    buf_deinit(buf);
}

/* Asks once; the client's name and secret go into the header, or into the form. */
static struct error *token_ask(struct http_client *client, struct context *ctx, bool by_header,
                               int *status, struct buf *body)
{
    const struct http_oauth2 *oauth2 = &client->config->oauth2;
    struct buf form = {0}, header = {0};
    struct error *err = http_oauth2_form(oauth2, &form, by_header ? &header : NULL);
    struct http_header headers[2] = {
        {STR("Content-Type"), STR("application/x-www-form-urlencoded")},
        {STR("Authorization"), buf_str(&header)}};
    const struct http_client_request request = {.method = STR("POST"),
                                                .url = oauth2->token_url,
                                                .headers = headers,
                                                .header_count = by_header ? 2 : 1,
                                                .body = buf_bytes(&form),
                                                .response_max = TOKEN_SIZE_MAX,
                                                .without_authorization = true};
    if (!err)
        err = http_fetch(client, ctx, &request, status, body);
    wipe(&form);
    wipe(&header);
    return err;
}

/* Servers take the one or the other. */
static struct error *token_fetch(struct http_client *client, struct context *ctx, struct buf *token,
                                 int64_t *until_ms)
{
    struct buf body = {0};
    int status = 0;
    int64_t lasts_s;
    struct error *err = token_ask(client, ctx, true, &status, &body);
    if (!err && status >= 400 && status < 500) {
        wipe(&body);
        err = token_ask(client, ctx, false, &status, &body);
    }
    if (!err)
        err = http_oauth2_answer(status, buf_str(&body), token, &lasts_s);
    if (!err) {
        if (lasts_s == 0)
            lasts_s = TOKEN_LASTS_S_DEFAULT;
        *until_ms = time_now_monotonic_ms() + int64_max(lasts_s - TOKEN_RESERVE_S, 1) * 1000;
    }
    wipe(&body);
    return err;
}

/* One asks for a new token, the others wait for it. */
static struct error *token_take(struct http_client *client, struct context *ctx, struct buf *out)
{
    struct buf token = {0};
    int64_t until_ms = 0;
    struct error *err = NULL;
    mutex_lock(&client->token_lock);
    while (!err && client->fetching_token)
        err = context_wait(ctx, &client->token_changed, &client->token_lock);
    bool is_good = client->token.len && time_now_monotonic_ms() < client->token_until_ms;
    if (!err && is_good)
        buf_append_str(out, buf_str(&client->token));
    if (!err && !is_good)
        client->fetching_token = true;
    mutex_unlock(&client->token_lock);
    if (err || is_good)
        return err;
    err = token_fetch(client, ctx, &token, &until_ms);
    mutex_lock(&client->token_lock);
    client->fetching_token = false;
    if (!err) {
        wipe(&client->token);
        buf_append_str(&client->token, buf_str(&token));
        buf_append_str(out, buf_str(&token));
        client->token_until_ms = until_ms;
    }
    pthread_cond_broadcast(&client->token_changed);
    mutex_unlock(&client->token_lock);
    wipe(&token);
    return err;
}

struct error *http_stream_start(struct http_client *client, struct context *ctx,
                                const struct http_client_request *request, struct http_stream **out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct http_stream *stream;
    struct buf authorization = {0};
    struct error *err = NULL;
    pthread_once(&once, curl_start_once);
    if (!request->without_authorization && client->config->oauth2.token_url.len)
        err = token_take(client, ctx, &authorization);
    else if (!request->without_authorization)
        err = http_client_authorization(client->config, &authorization);
    if (!err)
        err = stream_create(client, ctx, request, buf_str(&authorization), &stream);
    wipe(&authorization);
    if (err)
        return err;
    stream_post(stream, stream_start);
    stream->on_end = (struct context_hook){.fn = stream_context_ended, .arg = stream};
    context_on_end(ctx, &stream->on_end);
    *out = stream;
    return NULL;
}

struct error *http_stream_open(struct http_client *client, struct context *ctx,
                               const struct http_client_request *request, struct http_stream **out)
{
    struct error *err = http_stream_start(client, ctx, request, out);
    if (err)
        return err;
    err = http_stream_wait(*out, ctx);
    if (err)
        http_stream_free(*out);
    return err;
}

int http_stream_status(const struct http_stream *stream) NO_THREAD_SAFETY
{
    return stream->status; /* does not change any more */
}

struct str http_stream_header(const struct http_stream *stream, struct str name) NO_THREAD_SAFETY
{
    struct str rest = buf_str(&stream->headers), line, field, value;
    while (rest.len) {
        str_cut(rest, '\n', &line, &rest);
        if (str_cut(line, ':', &field, &value) && str_equal_nocase(field, name))
            return str_trim(value);
    }
    return STR("");
}

static size_t ring_get_locked(struct http_stream *stream, char *into, size_t size)
    REQUIRES(stream->lock)
{
    size_t len = size_min(size, stream->ring_len);
    size_t first = size_min(len, RING_SIZE - stream->ring_start);
    memcpy(into, stream->ring + stream->ring_start, first);
    memcpy(into + first, stream->ring, len - first);
    stream->ring_start = (stream->ring_start + len) % RING_SIZE;
    stream->ring_len -= len;
    return len;
}

struct error *http_stream_read(struct http_stream *stream, struct context *ctx, void *into,
                               size_t size, size_t *got)
{
    struct error *err = NULL;
    *got = 0;
    mutex_lock(&stream->lock);
    while (!err && stream->ring_len == 0 && !stream->ended)
        err = context_wait(ctx, &stream->changed, &stream->lock);
    if (!err && stream->ring_len == 0)
        err = stream_result_locked(stream);
    if (!err)
        *got = ring_get_locked(stream, into, size);
    bool resume = stream->paused && !stream->resuming && stream->ring_len <= RING_SIZE / 2;
    stream->resuming |= resume;
    mutex_unlock(&stream->lock);
    if (resume)
        stream_post(stream, stream_resume);
    return err;
}

bool http_stream_ready(struct http_stream *stream, void (*wake)(void *arg), void *arg)
{
    mutex_lock(&stream->lock);
    bool ready = stream->ring_len > 0 || stream->ended;
    if (!ready) {
        stream->wake = wake;
        stream->wake_arg = arg;
    }
    mutex_unlock(&stream->lock);
    return ready;
}

void http_stream_free(struct http_stream *stream)
{
    if (!stream)
        return;
    context_off_end(stream->ctx, &stream->on_end);
    mutex_lock(&stream->lock);
    stream->wake = NULL;
    while (stream->waking && !event_loop_is_current(stream->client->loop))
        mutex_wait(&stream->lock, &stream->changed);
    bool ended = stream->ended;
    mutex_unlock(&stream->lock);
    budget_release(stream->budget, RING_SIZE); /* it may go before the loop lets go of the stream */
    if (!ended)
        stream_post(stream, stream_abort);
    stream_unref(stream);
}

struct error *http_fetch(struct http_client *client, struct context *ctx,
                         const struct http_client_request *request, int *status, struct buf *body)
{
    size_t limit = request->response_max ? request->response_max : RESPONSE_MAX_DEFAULT;
    size_t start = body->len, got = 1;
    struct http_stream *stream;
    struct error *err = http_stream_open(client, ctx, request, &stream);
    if (err)
        return err;
    while (!err && got > 0) {
        char *room = buf_reserve(body, CURL_READ_SIZE / 4);
        if (!room) {
            err = buf_status(body);
            break;
        }
        err = http_stream_read(stream, ctx, room, CURL_READ_SIZE / 4, &got);
        body->len += got;
        if (!err && body->len - start > limit)
            err = error_create(ERROR_LIMIT, "%s: the response is longer than %zu bytes",
                               stream->what, limit);
    }
    *status = http_stream_status(stream);
    http_stream_free(stream);
    return err;
}

/* -- end of a client -- */

struct client_end {
    struct http_client *client;
    struct mutex lock;
    pthread_cond_t done_changed;
    bool done;
};

static void client_close(void *arg)
{
    struct client_end *end = arg;
    struct http_client *client = end->client;
    if (client->multi) {
        curl_multi_cleanup(client->multi);
        event_timer_free(client->timer);
    }
    mutex_lock(&end->lock);
    end->done = true;
    pthread_cond_signal(&end->done_changed);
    mutex_unlock(&end->lock);
}

void http_client_free(struct http_client *client)
{
    if (!client)
        return;
    struct client_end end = {
        .client = client, .lock = MUTEX_INIT, .done_changed = PTHREAD_COND_INITIALIZER};
    event_loop_post(client->loop, client_close, &end);
    mutex_lock(&end.lock);
    while (!end.done)
        mutex_wait(&end.lock, &end.done_changed);
    mutex_unlock(&end.lock);
    pthread_cond_destroy(&client->token_changed);
    mutex_deinit(&client->token_lock);
    wipe(&client->token);
    free(client->user_agent);
    free(client);
}
