#include "support/test.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/http_client.h"
#include "runtime/context.h"
#include "runtime/event_loop.h"
#include "runtime/time.h"

/* A server that answers each connection with given bytes, whatever it is asked. */
struct canned_server {
    int fd;
    int port;
    const char *answer;
    size_t body_bytes; /* so many 'x' follow */
    bool hold_open;    /* does not close until stopped */
    atomic_size_t sent;
    atomic_bool stop;
    atomic_bool peer_gone;
    pthread_t thread;
};

static void canned_send(struct canned_server *server, int fd)
{
    static char block[64 * 1024];
    memset(block, 'x', sizeof(block));
    send(fd, server->answer, strlen(server->answer), MSG_NOSIGNAL);
    while (atomic_load(&server->sent) < server->body_bytes && !atomic_load(&server->stop)) {
        size_t left = server->body_bytes - atomic_load(&server->sent);
        ssize_t got = send(fd, block, size_min(left, sizeof(block)), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (got > 0)
            atomic_fetch_add(&server->sent, (size_t)got);
        else
            usleep(1000);
    }
}

static void *canned_run(void *arg)
{
    struct canned_server *server = arg;
    char request[4096];
    for (;;) {
        int fd = accept(server->fd, NULL, NULL);
        if (fd < 0)
            return NULL;
        if (recv(fd, request, sizeof(request), 0) > 0)
            canned_send(server, fd);
        while (server->hold_open && !atomic_load(&server->stop) &&
               !atomic_load(&server->peer_gone)) {
            if (recv(fd, request, sizeof(request), MSG_DONTWAIT) == 0)
                atomic_store(&server->peer_gone, true);
            usleep(1000);
        }
        close(fd);
    }
}

static void canned_start(struct canned_server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    server->fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQ(bind(server->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    CHECK_EQ(listen(server->fd, 8), 0);
    getsockname(server->fd, (struct sockaddr *)&address, &len);
    server->port = ntohs(address.sin_port);
    pthread_create(&server->thread, NULL, canned_run, server);
}

static void canned_stop(struct canned_server *server)
{
    atomic_store(&server->stop, true);
    shutdown(server->fd, SHUT_RDWR);
    close(server->fd);
    pthread_join(server->thread, NULL);
}

struct fixture {
    struct event_loops *loops;
    struct http_client *client;
    struct context *ctx;
    struct budget *budget;
    char url[64];
};

static struct fixture fixture_open(struct canned_server *server, int64_t timeout_ms)
{
    struct fixture fixture = {0};
    if (server)
        canned_start(server);
    fixture.loops = event_loops_create(1);
    fixture.client = http_client_create(fixture.loops, STR("Titan/test"), 4);
    fixture.budget = budget_create(NULL, "test", 0);
    fixture.ctx = context_create(NULL, timeout_ms);
    context_set_budget(fixture.ctx, fixture.budget);
    snprintf(fixture.url, sizeof(fixture.url), "http://127.0.0.1:%d/api",
             server ? server->port : 1);
    return fixture;
}

static void fixture_close(struct fixture *fixture, struct canned_server *server)
{
    http_client_free(fixture->client);
    event_loops_free(fixture->loops);
    context_unref(fixture->ctx);
    CHECK_EQ(budget_used(fixture->budget), 0);
    budget_free(fixture->budget);
    if (server)
        canned_stop(server);
}

static struct http_client_request get_request(const char *url)
{
    return (struct http_client_request){.method = STR("GET"), .url = str_from(url)};
}

TEST(fetch_gives_status_and_body)
{
    struct canned_server server = {.answer =
                                       "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello"};
    struct fixture f = fixture_open(&server, 5000);
    struct http_client_request request = get_request(f.url);
    struct buf body = {0};
    int status = 0;
    CHECK_OK(http_fetch(f.client, f.ctx, &request, &status, &body));
    CHECK_EQ(status, 404);
    CHECK_STR(buf_str(&body), "hello");
    buf_deinit(&body);
    fixture_close(&f, &server);
}

TEST(fetch_refuses_a_longer_body)
{
    struct canned_server server = {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",
                                   .body_bytes = 1000000};
    struct fixture f = fixture_open(&server, 5000);
    struct http_client_request request = get_request(f.url);
    request.response_max = 1000;
    struct buf body = {0};
    int status;
    CHECK_ERROR_TEXT(http_fetch(f.client, f.ctx, &request, &status, &body), ERROR_LIMIT,
                     "longer than 1000 bytes");
    buf_deinit(&body);
    fixture_close(&f, &server);
}

TEST(nobody_there_is_unavailable)
{
    struct fixture f = fixture_open(NULL, 5000);
    struct http_client_request request = get_request(f.url);
    struct buf body = {0};
    int status;
    CHECK_ERROR_TEXT(http_fetch(f.client, f.ctx, &request, &status, &body), ERROR_UNAVAILABLE,
                     "GET http://127.0.0.1:1/api: ");
    buf_deinit(&body);
    fixture_close(&f, NULL);
}

TEST(a_broken_off_body_is_unavailable)
{
    struct canned_server server = {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello"};
    struct fixture f = fixture_open(&server, 5000);
    struct http_client_request request = get_request(f.url);
    struct buf body = {0};
    int status;
    CHECK_ERROR(http_fetch(f.client, f.ctx, &request, &status, &body), ERROR_UNAVAILABLE);
    CHECK_STR(buf_str(&body), "hello");
    buf_deinit(&body);
    fixture_close(&f, &server);
}

TEST(a_reader_that_stops_stops_the_socket_and_gets_every_byte_in_the_end)
{
    enum { BODY = 64 * 1024 * 1024 };
    struct canned_server server = {
        .answer = "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 67108864\r\n\r\n",
        .body_bytes = BODY};
    struct fixture f = fixture_open(&server, 30000);
    struct http_client_request request = get_request(f.url);
    struct http_stream *stream;
    CHECK_OK(http_stream_open(f.client, f.ctx, &request, &stream));
    CHECK_EQ(http_stream_status(stream), 200);
    CHECK_STR(http_stream_header(stream, STR("content-type")), "a/b");
    usleep(300 * 1000);
    size_t stalled_at = atomic_load(&server.sent);
    CHECK(stalled_at < BODY / 2); /* the kernel's buffers and ours */
    static char into[100000];
    size_t total = 0, got = 1;
    while (got > 0) {
        CHECK_OK(http_stream_read(stream, f.ctx, into, sizeof(into), &got));
        total += got;
    }
    CHECK_EQ(total, BODY);
    http_stream_free(stream);
    fixture_close(&f, &server);
}

static void *cancel_soon(void *ctx)
{
    usleep(50 * 1000);
    context_cancel(ctx);
    return NULL;
}

TEST(the_end_of_the_context_ends_a_read_and_the_connection)
{
    struct canned_server server = {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
                                   .hold_open = true};
    struct fixture f = fixture_open(&server, 30000);
    struct http_client_request request = get_request(f.url);
    struct http_stream *stream;
    char into[100];
    size_t got;
    CHECK_OK(http_stream_open(f.client, f.ctx, &request, &stream));
    CHECK_OK(http_stream_read(stream, f.ctx, into, sizeof(into), &got));
    CHECK_EQ(got, 5);
    pthread_t thread;
    pthread_create(&thread, NULL, cancel_soon, f.ctx);
    int64_t start_ms = time_now_monotonic_ms();
    CHECK_ERROR(http_stream_read(stream, f.ctx, into, sizeof(into), &got), ERROR_CANCELLED);
    CHECK(time_now_monotonic_ms() - start_ms < 2000);
    pthread_join(thread, NULL);
    for (int i = 0; i < 1000 && !atomic_load(&server.peer_gone); i++)
        usleep(1000);
    CHECK(atomic_load(&server.peer_gone)); /* before the stream is freed */
    http_stream_free(stream);
    fixture_close(&f, &server);
}

static void note_wake(void *arg)
{
    atomic_store((atomic_bool *)arg, true);
}

TEST(ready_tells_when_there_is_something_to_read)
{
    struct canned_server server = {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
                                   .hold_open = true};
    struct fixture f = fixture_open(&server, 30000);
    struct http_client_request request = get_request(f.url);
    struct http_stream *stream;
    char into[100];
    size_t got;
    atomic_bool woken = false;
    CHECK_OK(http_stream_open(f.client, f.ctx, &request, &stream));
    CHECK(http_stream_ready(stream, note_wake, &woken));
    CHECK_OK(http_stream_read(stream, f.ctx, into, sizeof(into), &got));
    CHECK(!http_stream_ready(stream, note_wake, &woken));
    atomic_store(&server.stop, true); /* closes: an answer that is broken off */
    for (int i = 0; i < 2000 && !atomic_load(&woken); i++)
        usleep(1000);
    CHECK(atomic_load(&woken));
    CHECK_ERROR(http_stream_read(stream, f.ctx, into, sizeof(into), &got), ERROR_UNAVAILABLE);
    http_stream_free(stream);
    fixture_close(&f, &server);
}

TEST_MAIN(TEST_ENTRY(fetch_gives_status_and_body), TEST_ENTRY(fetch_refuses_a_longer_body),
          TEST_ENTRY(nobody_there_is_unavailable), TEST_ENTRY(a_broken_off_body_is_unavailable),
          TEST_ENTRY(a_reader_that_stops_stops_the_socket_and_gets_every_byte_in_the_end),
          TEST_ENTRY(the_end_of_the_context_ends_a_read_and_the_connection),
          TEST_ENTRY(ready_tells_when_there_is_something_to_read))
