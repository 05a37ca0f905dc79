#include "support/test.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/compiler.h"
#include "codec/gzip.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "runtime/context.h"
#include "runtime/event_loop.h"
#include "runtime/fault.h"
#include "runtime/metrics.h"
#include "runtime/pool.h"
#include "runtime/time.h"

static atomic_int handlers_running;
static _Atomic int64_t cancelled_after_ms;

static struct error *handle_echo(void *self UNUSED, struct http_request *req,
                                 struct http_response *res)
{
    for (size_t i = 0; i < req->param_count; i++)
        buf_printf(&res->body, "%.*s=%.*s;", STR_ARG(req->params[i].name),
                   STR_ARG(req->params[i].value));
    buf_printf(&res->body, "%.*s|%.*s|%.*s", STR_ARG(req->method), STR_ARG(req->path_value),
               STR_ARG(bytes_str(req->body)));
    return NULL;
}

static struct error *handle_fail(void *self UNUSED, struct http_request *req UNUSED,
                                 struct http_response *res)
{
    buf_append_cstr(&res->body, "half an ans");
    return error_create(ERROR_LIMIT, "too big");
}

static struct error *handle_large(void *self UNUSED, struct http_request *req,
                                  struct http_response *res)
{
    struct str size;
    uint64_t bytes = 0;
    if (http_request_param(req, STR("size"), &size) && str_to_uint64(size, &bytes))
        while (res->body.len < bytes && !res->body.refused)
            buf_append_cstr(&res->body, "0123456789abcdef");
    return NULL;
}

static struct error *handle_wait(void *self UNUSED, struct http_request *req,
                                 struct http_response *res UNUSED)
{
    int64_t start_ms = time_now_monotonic_ms();
    atomic_fetch_add(&handlers_running, 1);
    struct error *err = context_sleep(req->ctx, 20000);
    atomic_store(&cancelled_after_ms, time_now_monotonic_ms() - start_ms);
    atomic_fetch_sub(&handlers_running, 1);
    return err;
}

struct fixture {
    struct event_loops *loops;
    struct pool *pool;
    struct budget *budget;
    struct metrics *metrics;
    struct http_server *server;
    int port;
};

static struct fixture fixture_open(void)
{
    struct fixture f = {event_loops_create(2),
                        pool_create("test", 4, 4),
                        budget_create(NULL, "test", 0),
                        metrics_create(),
                        NULL,
                        0};
    const struct http_route routes[] = {
        {.methods = "GET,POST",
         .pattern = "/echo",
         .handler = handle_echo,
         .pool = f.pool,
         .body_max = 100,
         .name = "echo"},
        {.methods = "GET", .pattern = "/label/*/values", .handler = handle_echo, .pool = f.pool},
        {.methods = "GET", .pattern = "/static/*", .handler = handle_echo, .pool = f.pool},
        {.methods = "*", .pattern = "/fail", .handler = handle_fail, .pool = f.pool},
        {.methods = "GET", .pattern = "/large", .handler = handle_large, .pool = f.pool},
        {.methods = "GET", .pattern = "/wait", .handler = handle_wait, .pool = f.pool},
    };
    const struct http_server_config config = {
        .address = STR("127.0.0.1:0"),
        .routes = routes,
        .route_count = countof(routes),
        .connections_max = 20,
        .request_memory_max = 16 << 20,
        .budget = f.budget,
        .header_timeout_ms = 300,
        .idle_timeout_ms = 600,
        .metrics = f.metrics,
    };
    CHECK_OK(http_serve(f.loops, &config, &f.server));
    struct str address = http_server_address(f.server), host, port;
    str_cut(address, ':', &host, &port);
    uint64_t number = 0;
    CHECK(str_to_uint64(port, &number));
    f.port = (int)number;
    return f;
}

static void fixture_close(struct fixture *f)
{
    http_server_stop(f->server, 0);
    http_server_free(f->server);
    pool_free(f->pool);
    event_loops_free(f->loops);
    CHECK_EQ(budget_used(f->budget), 0);
    budget_free(f->budget);
    metrics_free(f->metrics);
}

static int dial(const struct fixture *f)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)f->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval patience = {.tv_sec = 10};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    CHECK_EQ(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void send_text(int fd, const char *text)
{
    send(fd, text, strlen(text), MSG_NOSIGNAL);
}

/* Reads to the end, or until `until` has been seen. */
static void receive(int fd, struct buf *out, const char *until)
{
    char piece[65536];
    while (!until || !str_contains(buf_str(out), str_from(until))) {
        ssize_t got = recv(fd, piece, sizeof(piece), 0);
        if (got <= 0)
            return;
        buf_append(out, piece, (size_t)got);
    }
}

static void check_has(const struct buf *out, const char *part, const char *name)
{
    if (!str_contains(buf_str(out), str_from(part)))
        print_error("%s: \"%s\" is not in \"%.*s\"\n", name, part, STR_ARG(buf_str(out)));
    CHECK(str_contains(buf_str(out), str_from(part)));
}

static const struct {
    const char *name, *request, *status, *part;
} request_cases[] = {
    {"parameters of the query", "GET /echo?a=1&b=x%20y HTTP/1.1\r\nConnection: close\r\n\r\n",
     "HTTP/1.1 200 OK", "a=1;b=x y;GET||"},
    {"form goes first",
     "POST /echo?a=1 HTTP/1.1\r\nConnection: close\r\nContent-Type: "
     "application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\na=2",
     "HTTP/1.1 200 OK", "a=2;a=1;POST||a=2"},
    {"chunked body",
     "POST /echo HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: "
     "chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
     "HTTP/1.1 200 OK", "POST||hi"},
    {"http 1.0", "GET /echo HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK", "GET||"},
    {"segment", "GET /label/a%41/values HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK", "GET|aA|"},
    {"empty segment is cleaned away", "GET /label//values?x=1 HTTP/1.0\r\n\r\n", "HTTP/1.1 307",
     "Location: /label/values?x=1"},
    {"rest", "GET /static/a/b HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK", "GET|a/b|"},
    {"dots", "GET /static/../../echo HTTP/1.0\r\n\r\n", "HTTP/1.1 307", "Location: /echo"},
    {"encoded dots", "GET /static/%2e%2e/x HTTP/1.0\r\n\r\n", "HTTP/1.1 307", "Location: /x"},
    {"unknown", "GET /nothing HTTP/1.0\r\n\r\n", "HTTP/1.1 404", "404 page not found\n"},
    {"other method", "DELETE /echo HTTP/1.0\r\n\r\n", "HTTP/1.1 405", "Allow: GET, POST"},
    {"error of a handler", "GET /fail HTTP/1.0\r\n\r\n", "HTTP/1.1 422", "\r\n\r\ntoo big\n"},
    {"body too long", "POST /echo HTTP/1.1\r\nContent-Length: 101\r\n\r\n", "HTTP/1.1 413", ""},
    {"chunks too long", "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n",
     "HTTP/1.1 413", ""},
    {"bad head", "GET\r\n\r\n", "HTTP/1.1 400", "Connection: close"},
    {"bad escape", "GET /%zz HTTP/1.1\r\n\r\n", "HTTP/1.1 400", ""},
    {"response over the budget", "GET /large?size=100000000 HTTP/1.0\r\n\r\n", "HTTP/1.1 422",
     "request budget"},
};

TEST(requests_get_their_answers)
{
    struct fixture f = fixture_open();
    for_each_case(c, request_cases) {
        struct buf out = {0};
        int fd = dial(&f);
        send_text(fd, c->request);
        receive(fd, &out, NULL);
        check_has(&out, c->status, c->name);
        check_has(&out, c->part, c->name);
        buf_deinit(&out);
        close(fd);
    }
    fixture_close(&f);
}

TEST(a_connection_is_kept_and_pipelined_requests_are_answered_in_order)
{
    struct fixture f = fixture_open();
    struct buf out = {0};
    int fd = dial(&f);
    send_text(fd, "GET /echo?n=1 HTTP/1.1\r\n\r\nGET /echo?n=2 HTTP/1.1\r\n\r\nGET /echo?n=3 "
                  "HTTP/1.1\r\nConnection: close\r\n\r\n");
    receive(fd, &out, NULL);
    const char *one = memmem(out.data, out.len, "n=1;", 4),
               *two = memmem(out.data, out.len, "n=2;", 4),
               *three = memmem(out.data, out.len, "n=3;", 4);
    CHECK(one && two && three && one < two && two < three);
    buf_deinit(&out);
    close(fd);
    fixture_close(&f);
}

TEST(a_body_is_asked_for_when_the_client_waits)
{
    struct fixture f = fixture_open();
    struct buf out = {0};
    int fd = dial(&f);
    send_text(fd, "POST /echo HTTP/1.1\r\nExpect: 100-continue\r\nConnection: "
                  "close\r\nContent-Length: 2\r\n\r\n");
    receive(fd, &out, "\r\n\r\n");
    check_has(&out, "HTTP/1.1 100 Continue", "expect");
    send_text(fd, "hi");
    receive(fd, &out, NULL);
    check_has(&out, "POST||hi", "expect");
    buf_deinit(&out);
    close(fd);
    fixture_close(&f);
}

TEST(large_responses_are_compressed_when_asked_for)
{
    struct fixture f = fixture_open();
    struct buf out = {0}, plain = {0};
    int fd = dial(&f);
    send_text(fd, "GET /large?size=1000000 HTTP/1.1\r\nAccept-Encoding: deflate, "
                  "gzip;q=0.5\r\nConnection: close\r\n\r\n");
    receive(fd, &out, NULL);
    check_has(&out, "Content-Encoding: gzip\r\n", "gzip");
    check_has(&out, "Vary: Accept-Encoding\r\n", "gzip");
    const char *body = memmem(out.data, out.len, "\r\n\r\n", 4);
    CHECK(body && out.len < 100000);
    CHECK_OK(gzip_decode(
        (struct bytes){(const uint8_t *)body + 4, out.len - (size_t)(body + 4 - out.data)}, 2000000,
        &plain));
    CHECK_EQ(plain.len, 1000000);
    buf_deinit(&out);
    buf_deinit(&plain);
    close(fd);
    fixture_close(&f);
}

TEST(a_peer_that_hangs_up_ends_the_handler_at_once)
{
    struct fixture f = fixture_open();
    int fd = dial(&f);
    send_text(fd, "GET /wait HTTP/1.1\r\n\r\n");
    while (atomic_load(&handlers_running) == 0)
        usleep(1000);
    int64_t start_ms = time_now_monotonic_ms();
    close(fd);
    while (atomic_load(&handlers_running) > 0 && time_now_monotonic_ms() - start_ms < 5000)
        usleep(1000);
    CHECK_EQ(atomic_load(&handlers_running), 0);
    fixture_close(&f);
}

TEST(slow_heads_bodies_and_idle_connections_are_closed)
{
    static const char *const beginnings[] = {"", "GET /ec", "GET /echo HTTP/1.1\r\nA: b\r\n",
                                             "POST /echo HTTP/1.1\r\nContent-Length: 5\r\n\r\nab"};
    struct fixture f = fixture_open();
    for (size_t i = 0; i < countof(beginnings); i++) {
        struct buf out = {0};
        int fd = dial(&f);
        int64_t start_ms = time_now_monotonic_ms();
        send_text(fd, beginnings[i]);
        receive(fd, &out, NULL);
        CHECK(time_now_monotonic_ms() - start_ms < 5000);
        if (i > 0)
            check_has(&out, "HTTP/1.1 408", beginnings[i]);
        buf_deinit(&out);
        close(fd);
    }
    fixture_close(&f);
}

TEST(connections_beyond_the_limit_are_closed_and_room_comes_back)
{
    struct fixture f = fixture_open();
    int fds[30];
    size_t closed = 0;
    char byte;
    for (size_t i = 0; i < countof(fds); i++)
        fds[i] = dial(&f);
    usleep(100 * 1000);
    for (size_t i = 0; i < countof(fds); i++)
        closed += recv(fds[i], &byte, 1, MSG_DONTWAIT) == 0;
    CHECK_EQ(closed, 10);
    for (size_t i = 0; i < countof(fds); i++)
        close(fds[i]);
    usleep(100 * 1000);
    struct buf out = {0};
    int fd = dial(&f);
    send_text(fd, "GET /echo HTTP/1.0\r\n\r\n");
    receive(fd, &out, NULL);
    check_has(&out, "200 OK", "after");
    buf_deinit(&out);
    close(fd);
    fixture_close(&f);
}

TEST(a_reader_that_stops_costs_only_its_response)
{
    struct fixture f = fixture_open();
    struct buf out = {0};
    int slow = dial(&f), quick = dial(&f);
    send_text(slow, "GET /large?size=3000000 HTTP/1.1\r\n\r\n");
    usleep(50 * 1000);
    send_text(quick, "GET /echo HTTP/1.0\r\n\r\n");
    receive(quick, &out, NULL);
    check_has(&out, "200 OK", "quick");
    buf_clear(&out);
    char piece[65536];
    size_t total = 0;
    while (total < 3000000) {
        ssize_t got = recv(slow, piece, sizeof(piece), 0);
        CHECK(got > 0);
        total += (size_t)got;
    }
    buf_deinit(&out);
    close(slow);
    close(quick);
    fixture_close(&f);
}

static void *stop_server(void *server)
{
    http_server_stop(server, 5000);
    return NULL;
}

TEST(stop_lets_running_requests_finish)
{
    struct fixture f = fixture_open();
    struct buf out = {0};
    pthread_t thread;
    int busy = dial(&f), idle = dial(&f);
    send_text(busy, "GET /large?size=3000000 HTTP/1.1\r\n\r\n");
    receive(busy, &out, "\r\n\r\n");
    pthread_create(&thread, NULL, stop_server, f.server);
    char byte;
    CHECK_EQ(recv(idle, &byte, 1, 0), 0);
    receive(busy, &out, NULL);
    CHECK(out.len > 3000000);
    pthread_join(thread, NULL);
    buf_deinit(&out);
    close(busy);
    close(idle);
    http_server_free(f.server);
    pool_free(f.pool);
    event_loops_free(f.loops);
    budget_free(f.budget);
    metrics_free(f.metrics);
}

TEST(stop_without_grace_ends_handlers)
{
    struct fixture f = fixture_open();
    int fd = dial(&f);
    send_text(fd, "GET /wait HTTP/1.1\r\n\r\n");
    while (atomic_load(&handlers_running) == 0)
        usleep(1000);
    fixture_close(&f);
    CHECK_EQ(atomic_load(&handlers_running), 0);
    close(fd);
}

TEST(requests_are_counted)
{
    struct fixture f = fixture_open();
    struct buf out = {0}, text = {0};
    int fd = dial(&f);
    send_text(fd, "GET /echo HTTP/1.0\r\n\r\n");
    receive(fd, &out, NULL);
    http_server_stop(f.server, 1000);
    metrics_write(f.metrics, &text, false);
    check_has(&text, "http_requests_total{code=\"200\",handler=\"echo\",method=\"get\"} 1\n",
              "metrics");
    check_has(&text, "http_inflight_requests{handler=\"echo\",method=\"get\"} 0\n", "metrics");
    buf_deinit(&out);
    buf_deinit(&text);
    close(fd);
    http_server_free(f.server);
    pool_free(f.pool);
    event_loops_free(f.loops);
    budget_free(f.budget);
    metrics_free(f.metrics);
}

/* A GET and a POST by our own client, over connections of their own. */
static struct error *fetch_both(const struct fixture *f, struct budget *budget)
{
    struct context *ctx = context_create(NULL, 10 * 1000);
    context_set_budget(ctx, budget);
    struct http_client *client = http_client_create(f->loops, STR("test"), 4);
    char large[64], echo[64];
    snprintf(large, sizeof(large), "http://127.0.0.1:%d/large?size=200000", f->port);
    snprintf(echo, sizeof(echo), "http://127.0.0.1:%d/echo", f->port);
    struct http_client_request get = {.method = STR("GET"), .url = str_from(large)};
    struct http_client_request post = {
        .method = STR("POST"), .url = str_from(echo), .body = str_bytes(STR("hello"))};
    struct buf body = BUF_INIT(budget);
    int status = 0;
    struct error *err = http_fetch(client, ctx, &get, &status, &body);
    CHECK(err || status >= 400 || body.len == 200000);
    buf_clear(&body);
    if (!err)
        err = http_fetch(client, ctx, &post, &status, &body);
    CHECK(err || status >= 400 || str_ends_with(buf_str(&body), STR("POST||hello")));
    if (!err && status >= 400)
        err = error_create(ERROR_LIMIT, "status %d", status);
    buf_deinit(&body);
    http_client_free(client);
    context_unref(ctx);
    return err;
}

TEST(no_failed_operation_on_a_socket_does_harm)
{
    struct fixture f = fixture_open();
    bool hit = true;
    for (unsigned long n = 1; hit && n < 200; n++) {
        fault_io_fail_nth(n);
        struct error *err = fetch_both(&f, NULL);
        hit = fault_io_failed() != NULL;
        fault_io_fail_nth(0);
        if (err)
            CHECK_EQ(error_kind(err), ERROR_UNAVAILABLE);
        CHECK(hit || !err);
        error_free(err);
    }
    CHECK(!hit);
    fixture_close(&f);
}

TEST(no_refused_charge_does_harm)
{
    struct fixture f = fixture_open();
    struct budget *budget = budget_create(NULL, "query", 0);
    bool hit = true;
    for (unsigned long n = 1; hit && n < 200; n++) {
        budget_fail_nth(n);
        struct error *err = fetch_both(&f, budget);
        hit = budget_charges() >= n;
        budget_fail_nth(0);
        if (err)
            CHECK_EQ(error_kind(err), ERROR_LIMIT);
        CHECK(hit || !err);
        error_free(err);
        CHECK_EQ(budget_used(budget), 0);
    }
    CHECK(!hit);
    budget_free(budget);
    fixture_close(&f);
}

TEST_MAIN(TEST_ENTRY(requests_get_their_answers),
          TEST_ENTRY(a_connection_is_kept_and_pipelined_requests_are_answered_in_order),
          TEST_ENTRY(a_body_is_asked_for_when_the_client_waits),
          TEST_ENTRY(large_responses_are_compressed_when_asked_for),
          TEST_ENTRY(a_peer_that_hangs_up_ends_the_handler_at_once),
          TEST_ENTRY(slow_heads_bodies_and_idle_connections_are_closed),
          TEST_ENTRY(connections_beyond_the_limit_are_closed_and_room_comes_back),
          TEST_ENTRY(a_reader_that_stops_costs_only_its_response),
          TEST_ENTRY(stop_lets_running_requests_finish),
          TEST_ENTRY(stop_without_grace_ends_handlers), TEST_ENTRY(requests_are_counted),
          TEST_ENTRY(no_failed_operation_on_a_socket_does_harm),
          TEST_ENTRY(no_refused_charge_does_harm))
