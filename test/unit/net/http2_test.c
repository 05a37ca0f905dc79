#include "support/test.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/memory.h"
#include "net/connection.h"
#include "net/http2.h"
#include "net/listener.h"
#include "unit/net/loop_call.h"
#include "unit/net/raw_http2.h"

/* --- the server: "/echo" sends back what came; "/flow" sends for ever; others answer 404 --- */

static atomic_int server_sessions, server_streams;
static atomic_size_t most_unsent;
static struct event_loops *loops;
static struct listener *listener;

struct answer {
    bool echo, flow;
    size_t received;
};

static uint8_t block[64 * 1024];

static void flow_on(struct http2_stream *stream)
{
    while (http2_stream_unsent(stream) < http2_stream_window(stream))
        http2_stream_send(stream, block, sizeof(block), NULL, NULL);
    if (http2_stream_unsent(stream) > atomic_load(&most_unsent))
        atomic_store(&most_unsent, http2_stream_unsent(stream));
}

static void server_headers(void *self UNUSED, struct http2_stream *stream,
                           const struct http2_field *fields, size_t count, bool trailers, bool end)
{
    if (trailers)
        return;
    struct answer *answer = xcalloc(1, sizeof(*answer));
    atomic_fetch_add(&server_streams, 1);
    http2_stream_set_user(stream, answer);
    struct str path = STR("");
    for (size_t i = 0; i < count; i++)
        if (str_equal(fields[i].name, STR(":path")))
            path = fields[i].value;
    answer->echo = str_equal(path, STR("/echo"));
    answer->flow = str_equal(path, STR("/flow"));
    struct http2_field head[] = {
        {STR(":status"), answer->echo || answer->flow ? STR("200") : STR("404")}};
    http2_stream_respond(stream, head, 1, !answer->echo && !answer->flow);
    if (answer->flow)
        flow_on(stream);
    if (end && answer->echo)
        http2_stream_end(stream, NULL, 0);
}

static void release_copy(void *owner)
{
    free(owner);
}

static void server_data(void *self UNUSED, struct http2_stream *stream, struct bytes data)
{
    struct answer *answer = http2_stream_user(stream);
    answer->received += data.len;
    http2_stream_consume(stream, data.len);
    if (!answer->echo || data.len == 0)
        return;
    void *copy = xmalloc(data.len);
    memcpy(copy, data.data, data.len);
    http2_stream_send(stream, copy, data.len, release_copy, copy);
}

static void server_end(void *self UNUSED, struct http2_stream *stream)
{
    struct answer *answer = http2_stream_user(stream);
    char text[24];
    snprintf(text, sizeof(text), "%zu", answer->received);
    struct http2_field trailers[] = {{STR("x-received"), str_from(text)}};
    if (answer->echo)
        http2_stream_end(stream, trailers, 1);
}

static void server_room(void *self UNUSED, struct http2_stream *stream)
{
    struct answer *answer = http2_stream_user(stream);
    if (answer->flow)
        flow_on(stream);
}

static void server_closed(void *self UNUSED, struct http2_stream *stream, uint32_t code UNUSED)
{
    if (http2_stream_user(stream))
        atomic_fetch_sub(&server_streams, 1);
    free(http2_stream_user(stream));
}

struct server_session {
    struct http2_session *session;
};

static void server_over(void *self, struct error *err)
{
    struct server_session *owner = self;
    error_free(err);
    http2_session_free(owner->session);
    free(owner);
    atomic_fetch_sub(&server_sessions, 1);
}

static const struct http2_handler server_handler = {.headers = server_headers,
                                                    .data = server_data,
                                                    .end = server_end,
                                                    .room = server_room,
                                                    .closed = server_closed,
                                                    .over = server_over};

struct accepted {
    struct event_loop *loop;
    int fd;
};

static void serve(void *arg)
{
    struct accepted *accepted = arg;
    struct server_session *owner = xcalloc(1, sizeof(*owner));
    struct connection *connection = connection_create(accepted->loop, accepted->fd, NULL, NULL);
    owner->session = http2_session_create(connection, true, 100, &server_handler, owner);
    free(accepted);
}

static void accept_one(void *self UNUSED, struct event_loop *loop, int fd)
{
    struct accepted *accepted = xmalloc(sizeof(*accepted));
    *accepted = (struct accepted){loop, fd};
    atomic_fetch_add(&server_sessions, 1);
    event_loop_post(loop, serve, accepted);
}

static int start(void **state UNUSED)
{
    loops = event_loops_create(2);
    CHECK_OK(listener_create(loops, STR("127.0.0.1:0"), accept_one, NULL, &listener));
    return 0;
}

static int stop(void **state UNUSED)
{
    listener_free(listener);
    for (int i = 0; i < 500 && atomic_load(&server_sessions); i++)
        usleep(10 * 1000);
    CHECK_EQ(atomic_load(&server_sessions), 0);
    CHECK_EQ(atomic_load(&server_streams), 0);
    event_loops_free(loops);
    return 0;
}

/* --- a client of the same kind --- */

struct client_stream {
    struct http2_stream *stream;
    size_t to_send, received, unread;
    bool hold; /* do not give credit back */
    bool closed;
    uint32_t code;
    int status;
    struct buf trailer;
};

struct client {
    struct event_loop *loop;
    struct address address;
    struct connection *connection;
    struct http2_session *session;
    struct mutex lock;
    pthread_cond_t cond;
    bool connected, over;
    struct buf error;
    int pings, goaways;
};

static void client_headers(void *self, struct http2_stream *stream,
                           const struct http2_field *fields, size_t count, bool trailers,
                           bool end UNUSED)
{
    struct client *client = self;
    struct client_stream *mine = http2_stream_user(stream);
    mutex_lock(&client->lock);
    for (size_t i = 0; i < count; i++) {
        int64_t status;
        if (str_equal(fields[i].name, STR(":status")) && str_to_int64(fields[i].value, &status))
            mine->status = (int)status;
        if (trailers)
            buf_append_str(&mine->trailer, fields[i].value);
    }
    mutex_unlock(&client->lock);
}

static void client_data(void *self, struct http2_stream *stream, struct bytes data)
{
    struct client *client = self;
    struct client_stream *mine = http2_stream_user(stream);
    mutex_lock(&client->lock);
    mine->received += data.len;
    if (mine->hold)
        mine->unread += data.len;
    pthread_cond_broadcast(&client->cond);
    bool hold = mine->hold;
    mutex_unlock(&client->lock);
    if (!hold)
        http2_stream_consume(stream, data.len);
}

static void client_end(void *self UNUSED, struct http2_stream *stream UNUSED)
{
}

static void client_room(void *self UNUSED, struct http2_stream *stream)
{
    struct client_stream *mine = http2_stream_user(stream);
    while (mine->to_send && http2_stream_unsent(stream) < sizeof(block)) {
        size_t len = size_min(mine->to_send, sizeof(block));
        http2_stream_send(stream, block, len, NULL, NULL);
        mine->to_send -= len;
        if (mine->to_send == 0)
            http2_stream_end(stream, NULL, 0);
    }
}

static void client_closed(void *self, struct http2_stream *stream, uint32_t code)
{
    struct client *client = self;
    struct client_stream *mine = http2_stream_user(stream);
    mutex_lock(&client->lock);
    mine->closed = true;
    mine->code = code;
    pthread_cond_broadcast(&client->cond);
    mutex_unlock(&client->lock);
}

static void client_ping(void *self, bool ack)
{
    struct client *client = self;
    mutex_lock(&client->lock);
    client->pings += ack;
    pthread_cond_broadcast(&client->cond);
    mutex_unlock(&client->lock);
}

static void client_goaway(void *self, uint32_t code UNUSED, struct str debug UNUSED)
{
    struct client *client = self;
    mutex_lock(&client->lock);
    client->goaways++;
    pthread_cond_broadcast(&client->cond);
    mutex_unlock(&client->lock);
}

static void client_over(void *self, struct error *err)
{
    struct client *client = self;
    mutex_lock(&client->lock);
    client->over = true;
    buf_append_str(&client->error, error_text(err));
    pthread_cond_broadcast(&client->cond);
    mutex_unlock(&client->lock);
    error_free(err);
}

static const struct http2_handler client_handler = {.headers = client_headers,
                                                    .data = client_data,
                                                    .end = client_end,
                                                    .room = client_room,
                                                    .closed = client_closed,
                                                    .ping = client_ping,
                                                    .goaway = client_goaway,
                                                    .over = client_over};

static void client_connected(void *self)
{
    struct client *client = self;
    client->session = http2_session_create(client->connection, false, 0, &client_handler, client);
    mutex_lock(&client->lock);
    client->connected = true;
    pthread_cond_broadcast(&client->cond);
    mutex_unlock(&client->lock);
}

static void client_broken(void *self, struct error *err)
{
    struct client *client = self;
    connection_free(client->connection);
    client_over(self, err);
}

static const struct connection_handler client_connecting = {.connected = client_connected,
                                                            .broken = client_broken};

static void client_connect(void *arg)
{
    struct client *client = arg;
    CHECK_OK(connection_connect(client->loop, &client->address, 5000, &client_connecting, client,
                                &client->connection));
}

static void client_init(struct client *client)
{
    *client = (struct client){.loop = event_loops_pick(loops),
                              .address = raw_address(listener_address(listener)),
                              .lock = MUTEX_INIT,
                              .cond = PTHREAD_COND_INITIALIZER};
    loop_call(client->loop, client_connect, client);
    mutex_lock(&client->lock);
    while (!client->connected && !client->over)
        mutex_wait(&client->lock, &client->cond);
    mutex_unlock(&client->lock);
    CHECK(client->connected);
}

static void client_free_on_loop(void *arg)
{
    struct client *client = arg;
    http2_session_free(client->session);
}

static void client_deinit(struct client *client)
{
    loop_call(client->loop, client_free_on_loop, client);
    buf_deinit(&client->error);
    pthread_cond_destroy(&client->cond);
    mutex_deinit(&client->lock);
}

struct open_args {
    struct client *client;
    struct client_stream *stream;
    const char *path;
};

static void open_on_loop(void *arg)
{
    struct open_args *args = arg;
    struct http2_field head[] = {{STR(":method"), STR("POST")},
                                 {STR(":scheme"), STR("http")},
                                 {STR(":authority"), STR("x")},
                                 {STR(":path"), str_from(args->path)}};
    args->stream->stream =
        http2_session_request(args->client->session, head, countof(head), args->stream);
    if (args->stream->stream && args->stream->to_send == 0)
        http2_stream_end(args->stream->stream, NULL, 0);
    else if (args->stream->stream)
        client_room(args->client, args->stream->stream);
}

static void open_stream(struct client *client, struct client_stream *stream, const char *path)
{
    struct open_args args = {client, stream, path};
    loop_call(client->loop, open_on_loop, &args);
    CHECK(stream->stream != NULL);
}

static void await_closed(struct client *client, struct client_stream *stream)
{
    mutex_lock(&client->lock);
    while (!stream->closed)
        mutex_wait(&client->lock, &client->cond);
    mutex_unlock(&client->lock);
}

static void await_received(struct client *client, struct client_stream *stream, size_t len)
{
    mutex_lock(&client->lock);
    while (stream->received < len && !stream->closed)
        mutex_wait(&client->lock, &client->cond);
    mutex_unlock(&client->lock);
}

static void reset_on_loop(void *arg)
{
    http2_stream_reset(arg, HTTP2_CANCEL);
}

TEST(a_body_goes_both_ways_and_trailers_follow_it)
{
    struct client client;
    client_init(&client);
    enum { BODY = 5 * 1024 * 1024 + 17 };
    struct client_stream stream = {.to_send = BODY};
    open_stream(&client, &stream, "/echo");
    await_closed(&client, &stream);
    CHECK_EQ(stream.code, HTTP2_NO_ERROR);
    CHECK_EQ(stream.status, 200);
    CHECK_EQ(stream.received, BODY);
    CHECK_STR(buf_str(&stream.trailer), "5242897");
    buf_deinit(&stream.trailer);
    struct client_stream missing = {.to_send = 0};
    open_stream(&client, &missing, "/nothing");
    await_closed(&client, &missing);
    CHECK_EQ(missing.status, 404);
    client_deinit(&client);
}

TEST(a_stalled_reader_stops_only_its_own_stream)
{
    struct client client;
    client_init(&client);
    atomic_store(&most_unsent, 0);
    struct client_stream stalled = {.hold = true};
    open_stream(&client, &stalled, "/flow");
    struct client_stream others[15] = {{0}};
    for (size_t i = 0; i < countof(others); i++)
        open_stream(&client, &others[i], "/flow");
    for (size_t i = 0; i < countof(others); i++)
        await_received(&client, &others[i], 8 * 1024 * 1024);
    for (size_t i = 0; i < countof(others); i++)
        CHECK(!others[i].closed);
    await_received(&client, &stalled, HTTP2_STREAM_WINDOW);
    CHECK_EQ(stalled.received, HTTP2_STREAM_WINDOW);
    CHECK(atomic_load(&most_unsent) <= HTTP2_STREAM_WINDOW + sizeof(block));
    for (size_t i = 0; i < countof(others); i++)
        loop_call(client.loop, reset_on_loop, others[i].stream);
    for (size_t i = 0; i < countof(others); i++)
        await_closed(&client, &others[i]);
    CHECK_EQ(others[0].code, HTTP2_CANCEL);
    CHECK(!stalled.closed);
    client_deinit(&client);
    CHECK(stalled.closed);
    CHECK_EQ(stalled.code, HTTP2_SESSION_GONE);
}

static void ping_on_loop(void *arg)
{
    http2_session_ping(((struct client *)arg)->session);
}

TEST(pings_are_answered)
{
    struct client client;
    client_init(&client);
    loop_call(client.loop, ping_on_loop, &client);
    mutex_lock(&client.lock);
    while (client.pings == 0)
        mutex_wait(&client.lock, &client.cond);
    mutex_unlock(&client.lock);
    client_deinit(&client);
}

static int unused_port_socket(struct address *address)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0); /* bound, but not listened on */
    *address =
        (struct address){.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
                         .len = sizeof(address->v4)};
    CHECK_EQ(bind(fd, &address->any, address->len), 0);
    CHECK_EQ(getsockname(fd, &address->any, &address->len), 0);
    return fd;
}

TEST(connecting_to_nobody_says_so)
{
    struct client client = {
        .loop = event_loops_pick(loops), .lock = MUTEX_INIT, .cond = PTHREAD_COND_INITIALIZER};
    int fd = unused_port_socket(&client.address);
    loop_call(client.loop, client_connect, &client);
    mutex_lock(&client.lock);
    while (!client.over)
        mutex_wait(&client.lock, &client.cond);
    mutex_unlock(&client.lock);
    CHECK(str_starts_with(buf_str(&client.error), STR("dial tcp 127.0.0.1:")));
    CHECK(str_ends_with(buf_str(&client.error), STR(": connect: connection refused")));
    buf_deinit(&client.error);
    close(fd);
}

/* --- a peer that writes its own frames --- */

static void make_rapid_resets(struct buf *out)
{
    for (uint32_t i = 0; i < 50000; i++) {
        put_request(out, 1 + 2 * i, "/flow", true);
        put_frame(out, 3, 0, 1 + 2 * i, "\0\0\0\x08", 4);
    }
}

static void make_ping_flood(struct buf *out)
{
    for (int i = 0; i < 200000; i++)
        put_frame(out, 6, 0, 0, "12345678", 8);
}

static void make_settings_flood(struct buf *out)
{
    for (int i = 0; i < 200000; i++)
        put_frame(out, 4, 0, 0, NULL, 0);
}

/* One entry of 4000 bytes in the table, then named again and again: 1 byte makes 4000. */
static void make_header_bomb(struct buf *out)
{
    struct buf block = {0};
    buf_append(&block,
               "\x83\x86\x01\x01"
               "a\x04\x01/",
               8);
    buf_append(&block, "\x40\x01x\x7f\xa1\x1e", 6); /* x: 4000 bytes, with indexing */
    for (int i = 0; i < 4000; i++)
        buf_append_byte(&block, 'y');
    for (int i = 0; i < 10000; i++)
        buf_append_byte(&block, 0xbe);
    put_frame(out, 1, 5, 1, block.data, block.len);
    buf_deinit(&block);
}

static void make_continuation_flood(struct buf *out)
{
    put_frame(out, 1, 0, 1, "\x83", 1);
    for (int i = 0; i < 100000; i++)
        put_frame(out, 9, 0, 1, "\x86", 1);
}

static void make_bad_frame(struct buf *out)
{
    put_frame(out, 0, 0, 0, "data on stream 0", 16);
}

static void make_huge_frame(struct buf *out)
{
    put_frame(out, 0, 0, 1, NULL, 0);
    out->data[out->len - 9] = '\xff';
}

static void make_truncated(struct buf *out)
{
    put_request(out, 1, "/echo", false);
    put_frame(out, 0, 0, 1, "cut", 3);
    out->len -= 2;
}

static void make_too_many_streams_then_leave(struct buf *out)
{
    for (uint32_t i = 0; i < 20000; i++)
        put_request(out, 1 + 2 * i, "/echo", false);
}

static const struct {
    const char *name;
    void (*make)(struct buf *out);
    bool leaves; /* the attacker half-closes at its end; else the server has to end it */
    uint32_t code;
} attacks[] = {
    {"rapid resets", make_rapid_resets, false, HTTP2_INTERNAL_ERROR},
    {"ping flood", make_ping_flood, false, UINT32_MAX},
    {"settings flood", make_settings_flood, false, UINT32_MAX},
    {"header bomb", make_header_bomb, false, UINT32_MAX},
    {"continuation flood", make_continuation_flood, false, UINT32_MAX},
    {"data on stream 0", make_bad_frame, false, HTTP2_PROTOCOL_ERROR},
    {"huge frame", make_huge_frame, false, 6},
    {"truncated frame", make_truncated, true, UINT32_MAX},
    {"20,000 streams", make_too_many_streams_then_leave, true, UINT32_MAX},
};

TEST(hostile_peers_are_dropped)
{
    for_each_case(c, attacks) {
        struct buf out = {0};
        put_preface(&out);
        c->make(&out);
        uint32_t code = UINT32_MAX;
        CHECK(raw_exchange(listener_address(listener), &out, c->leaves, &code));
        if (c->code != UINT32_MAX)
            CHECK_EQ(code, c->code);
        buf_deinit(&out);
        CHECK(atomic_load(&server_streams) <= 100);
    }
}

TEST(a_bad_preface_is_dropped)
{
    struct buf out = {0};
    buf_append_cstr(&out, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    uint32_t code = 0;
    CHECK(raw_exchange(listener_address(listener), &out, false, &code));
    buf_deinit(&out);
}

TEST_MAIN_WITH(start, stop, TEST_ENTRY(a_body_goes_both_ways_and_trailers_follow_it),
               TEST_ENTRY(a_stalled_reader_stops_only_its_own_stream),
               TEST_ENTRY(pings_are_answered), TEST_ENTRY(connecting_to_nobody_says_so),
               TEST_ENTRY(hostile_peers_are_dropped), TEST_ENTRY(a_bad_preface_is_dropped))
