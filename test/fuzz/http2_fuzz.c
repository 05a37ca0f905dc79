/* A whole HTTP/2 session fed with raw bytes. Bits of byte 0: 1 the session is a client's with a
 * request open, 2 the peer's preface is put in front, 4 the bytes come in pieces of 7. */
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "net/connection.h"
#include "net/http2.h"
#include "unit/net/loop_call.h"

enum { CLIENT = 1, PREFACE = 2, PIECES = 4 };

struct run {
    struct event_loop *loop;
    const uint8_t *data;
    size_t size;
    unsigned flags;
    struct http2_session *session;
    int open;
    bool over;
};

static void on_headers(void *self, struct http2_stream *stream, const struct http2_field *fields,
                       size_t count, bool trailers, bool end UNUSED)
{
    struct run *run = self;
    size_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += fields[i].name.len + fields[i].value.len + 32;
    FUZZ_CHECK(sum <= HTTP2_HEADERS_MAX);
    if (run->flags & CLIENT || trailers)
        return;
    run->open++;
    static const struct http2_field head[] = {{STR_INIT(":status"), STR_INIT("200")}};
    http2_stream_set_user(stream, run);
    http2_stream_respond(stream, head, 1, false);
    http2_stream_send(stream, "hello", 5, NULL, NULL);
}

static void on_data(void *self UNUSED, struct http2_stream *stream, struct bytes data)
{
    http2_stream_consume(stream, data.len);
}

static void on_end(void *self UNUSED, struct http2_stream *stream)
{
    static const struct http2_field trailers[] = {{STR_INIT("x-end"), STR_INIT("1")}};
    http2_stream_end(stream, trailers, 1);
}

static void on_room(void *self UNUSED, struct http2_stream *stream UNUSED)
{
}

static void on_closed(void *self, struct http2_stream *stream, uint32_t code UNUSED)
{
    struct run *run = self;
    run->open -= http2_stream_user(stream) != NULL;
}

static void on_ping(void *self UNUSED, bool ack UNUSED)
{
}

static void on_goaway(void *self UNUSED, uint32_t code UNUSED, struct str debug)
{
    FUZZ_CHECK(debug.len == 0 || debug.data);
}

static void on_over(void *self, struct error *err)
{
    struct run *run = self;
    error_free(err);
    http2_session_free(run->session);
    run->over = true;
}

static const struct http2_handler handler = {.headers = on_headers,
                                             .data = on_data,
                                             .end = on_end,
                                             .room = on_room,
                                             .closed = on_closed,
                                             .ping = on_ping,
                                             .goaway = on_goaway,
                                             .over = on_over};

static void feed(struct run *run, const void *data, size_t size, size_t piece)
{
    for (size_t at = 0; at < size && !run->over; at += piece)
        http2_session_feed(run->session,
                           (struct bytes){(const uint8_t *)data + at, size_min(piece, size - at)});
}

static void run_session(void *arg)
{
    static const char settings[] = "\0\0\0\4\0\0\0\0";
    static const struct http2_field request[] = {{STR_INIT(":method"), STR_INIT("POST")},
                                                 {STR_INIT(":scheme"), STR_INIT("http")},
                                                 {STR_INIT(":path"), STR_INIT("/")},
                                                 {STR_INIT(":authority"), STR_INIT("a")}};
    struct run *run = arg;
    int fds[2];
    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    struct connection *connection = connection_create(run->loop, fds[0], NULL, NULL);
    bool client = run->flags & CLIENT;
    run->session = http2_session_create(connection, !client, 10, &handler, run);
    if (client) {
        run->open++;
        FUZZ_CHECK(http2_session_request(run->session, request, 4, run) != NULL);
    }
    if (run->flags & PREFACE && !client)
        feed(run, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24, SIZE_MAX / 2);
    if (run->flags & PREFACE)
        feed(run, settings, 9, SIZE_MAX / 2);
    feed(run, run->data, run->size, run->flags & PIECES ? 7 : SIZE_MAX / 2);
    if (!run->over)
        http2_session_drop(run->session);
    FUZZ_CHECK(run->open == 0);
    close(fds[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct event_loops *loops;
    if (!loops)
        loops = event_loops_create(1);
    if (size < 1)
        return 0;
    struct run run = {
        .loop = event_loops_pick(loops), .data = data + 1, .size = size - 1, .flags = data[0]};
    loop_call(run.loop, run_session, &run);
    return 0;
}
