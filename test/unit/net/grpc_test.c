#include "support/test.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/compiler.h"
#include "net/grpc_client.h"
#include "net/grpc_server.h"
#include "runtime/context.h"
#include "runtime/event_loop.h"
#include "runtime/metrics.h"
#include "runtime/pool.h"
#include "runtime/time.h"

enum { MESSAGE_MAX = 64 << 20 };

static atomic_int streams_alive;
static atomic_size_t messages_made;

/* -- the services of the server under test -- */

static struct error *unary_echo(void *self UNUSED, struct grpc_call *call, struct bytes request)
{
    struct str tenant = grpc_call_metadata(call, STR("thanos-tenant"));
    buf_append(grpc_call_response(call), request.data, request.len);
    buf_append_str(grpc_call_response(call), tenant);
    return NULL;
}

static struct error *unary_fail(void *self UNUSED, struct grpc_call *call UNUSED,
                                struct bytes request UNUSED)
{
    return error_create(ERROR_QUERY, "100%% wrong: \xc3\xa4");
}

static struct error *unary_wait(void *self UNUSED, struct grpc_call *call,
                                struct bytes request UNUSED)
{
    atomic_fetch_add(&streams_alive, 1);
    struct error *err = context_sleep(grpc_call_context(call), 20000);
    atomic_fetch_sub(&streams_alive, 1);
    return err;
}

struct test_stream {
    size_t left, size;
    bool fail_at_end, wait_forever;
};

static enum grpc_step test_step(void *state, struct grpc_call *call, struct error **err)
{
    struct test_stream *stream = state;
    if (stream->wait_forever)
        return GRPC_STEP_WAIT;
    if (stream->left == 0) {
        if (stream->fail_at_end)
            *err = error_create(ERROR_LIMIT, "it was enough");
        return GRPC_STEP_END;
    }
    struct buf message = {0};
    for (size_t i = 0; i < stream->size; i++)
        buf_append_byte(&message, (uint8_t)(stream->left + i));
    stream->left--;
    atomic_fetch_add(&messages_made, 1);
    grpc_call_send(call, buf_bytes(&message));
    buf_deinit(&message);
    return GRPC_STEP_MORE;
}

static void test_stream_free(void *state)
{
    free(state);
    atomic_fetch_sub(&streams_alive, 1);
}

static const struct grpc_stream_ops test_stream_ops = {test_step, test_stream_free};

/* Request: "count size", with "!" behind it to fail, "?" to say nothing. */
static struct error *serve_numbers(void *self UNUSED, struct grpc_call *call, struct bytes request)
{
    struct str count, rest, text = bytes_str(request);
    uint64_t messages, size;
    struct test_stream *stream = calloc(1, sizeof(*stream));
    stream->fail_at_end = str_ends_with(text, STR("!"));
    stream->wait_forever = str_ends_with(text, STR("?"));
    if (stream->fail_at_end || stream->wait_forever)
        text.len--;
    str_cut(text, ' ', &count, &rest);
    if (!str_to_uint64(count, &messages) || !str_to_uint64(rest, &size)) {
        free(stream);
        return error_create(ERROR_INVALID, "not two numbers");
    }
    stream->left = messages;
    stream->size = size;
    atomic_fetch_add(&streams_alive, 1);
    grpc_call_attach(call, &test_stream_ops, stream);
    return NULL;
}

struct fixture {
    struct event_loops *loops;
    struct pool *pool;
    struct budget *server_budget, *budget;
    struct metrics *metrics;
    struct grpc_server *server;
    struct grpc_channel *channel;
    struct context *ctx;
};

static struct fixture fixture_open(int64_t timeout_ms)
{
    struct fixture f = {.loops = event_loops_create(2),
                        .pool = pool_create("test", 4, 100),
                        .server_budget = budget_create(NULL, "server", 0),
                        .budget = budget_create(NULL, "query", 0),
                        .metrics = metrics_create()};
    const struct grpc_method methods[] = {
        {"/test.T/Echo", GRPC_UNARY, unary_echo, NULL, f.pool, 1 << 20, NULL},
        {"/test.T/Fail", GRPC_UNARY, unary_fail, NULL, f.pool, 1 << 20, NULL},
        {"/test.T/Wait", GRPC_UNARY, unary_wait, NULL, f.pool, 1 << 20, NULL},
        {"/test.T/Numbers", GRPC_SERVER_STREAM, serve_numbers, NULL, f.pool, 1 << 20, NULL},
    };
    const struct grpc_server_config config = {.address = STR("127.0.0.1:0"),
                                              .methods = methods,
                                              .method_count = countof(methods),
                                              .budget = f.server_budget,
                                              .quick = f.pool,
                                              .metrics = f.metrics};
    CHECK_OK(grpc_serve(f.loops, &config, &f.server));
    f.channel = grpc_channel_create(f.loops, grpc_server_address(f.server));
    f.ctx = context_create(NULL, timeout_ms);
    context_set_budget(f.ctx, f.budget);
    return f;
}

static void fixture_close(struct fixture *f)
{
    grpc_channel_free(f->channel);
    grpc_server_stop(f->server, 0);
    grpc_server_free(f->server);
    context_unref(f->ctx);
    event_loops_free(f->loops);
    pool_free(f->pool);
    CHECK_EQ(atomic_load(&streams_alive), 0);
    CHECK_EQ(budget_used(f->server_budget), 0);
    CHECK_EQ(budget_used(f->budget), 0);
    budget_free(f->server_budget);
    budget_free(f->budget);
    metrics_free(f->metrics);
}

static struct error *unary(struct fixture *f, const char *method, const char *request,
                           struct buf *response)
{
    const struct grpc_metadata tenant = {STR("thanos-tenant"), STR("-t")};
    return grpc_unary(f->channel, f->ctx, method, str_bytes(str_from(request)), &tenant, 1, 1 << 20,
                      response);
}

static struct grpc_stream *numbers(struct fixture *f, struct context *ctx, const char *request)
{
    return grpc_stream_start(f->channel, ctx, "/test.T/Numbers", str_bytes(str_from(request)), NULL,
                             0, MESSAGE_MAX);
}

/* Reads to the end; checks every message. */
static struct error *read_all(struct grpc_stream *stream, struct context *ctx, size_t size,
                              size_t *count)
{
    for (*count = 0;; ++*count) {
        struct grpc_message *message;
        struct error *err = grpc_stream_next(stream, ctx, &message);
        if (err || !message)
            return err;
        CHECK_EQ(message->bytes.len, size);
        for (size_t i = 1; i < size; i += 997)
            CHECK_EQ(message->bytes.data[i], (uint8_t)(message->bytes.data[0] + i));
        grpc_message_unref(message);
    }
}

TEST(unary_calls_are_answered)
{
    struct fixture f = fixture_open(10000);
    struct buf response = {0};
    CHECK_OK(unary(&f, "/test.T/Echo", "hello", &response));
    CHECK_STR(buf_str(&response), "hello-t");
    buf_clear(&response);
    CHECK_OK(unary(&f, "/grpc.health.v1.Health/Check", "", &response));
    CHECK_STR(buf_str(&response), "\x08\x01");
    CHECK_ERROR_TEXT(unary(&f, "/test.T/Fail", "", &response), ERROR_QUERY,
                     "rpc error: code = FailedPrecondition desc = 100% wrong: \xc3\xa4");
    CHECK_ERROR_TEXT(unary(&f, "/test.T/Nothing", "", &response), ERROR_UNAVAILABLE,
                     "code = Unimplemented desc = unknown method Nothing for service test.T");
    CHECK_ERROR_TEXT(unary(&f, "/grpc.health.v1.Health/Check", "\x0a\x01x", &response),
                     ERROR_NOT_FOUND, "unknown service");
    buf_deinit(&response);
    fixture_close(&f);
}

TEST(messages_larger_than_allowed_are_refused_by_both_sides)
{
    struct fixture f = fixture_open(10000);
    struct buf big = {0}, response = {0};
    while (big.len < (2 << 20))
        buf_append_cstr(&big, "0123456789abcdef");
    CHECK_ERROR_TEXT(
        grpc_unary(f.channel, f.ctx, "/test.T/Echo", buf_bytes(&big), NULL, 0, 1 << 20, &response),
        ERROR_LIMIT,
        "code = ResourceExhausted desc = grpc: received message larger than max (2097152 vs. "
        "1048576)");
    big.len = 1 << 19;
    CHECK_ERROR_TEXT(
        grpc_unary(f.channel, f.ctx, "/test.T/Echo", buf_bytes(&big), NULL, 0, 1000, &response),
        ERROR_LIMIT, "larger than max (524288 vs. 1000)");
    buf_deinit(&big);
    buf_deinit(&response);
    fixture_close(&f);
}

TEST(streams_give_all_messages_then_their_status)
{
    struct fixture f = fixture_open(30000);
    size_t count;
    struct grpc_stream *stream = numbers(&f, f.ctx, "1000 3000");
    CHECK_OK(read_all(stream, f.ctx, 3000, &count));
    CHECK_EQ(count, 1000);
    CHECK_EQ(grpc_stream_code(stream), GRPC_OK);
    grpc_stream_free(stream);
    stream = numbers(&f, f.ctx, "3 2000000"); /* larger than the window */
    CHECK_OK(read_all(stream, f.ctx, 2000000, &count));
    CHECK_EQ(count, 3);
    grpc_stream_free(stream);
    stream = numbers(&f, f.ctx, "5 10!");
    CHECK_ERROR_TEXT(read_all(stream, f.ctx, 10, &count), ERROR_LIMIT,
                     "code = ResourceExhausted desc = it was enough");
    CHECK_EQ(count, 5);
    CHECK_EQ(grpc_stream_code(stream), GRPC_RESOURCE_EXHAUSTED);
    grpc_stream_free(stream);
    stream = numbers(&f, f.ctx, "0 0");
    CHECK_OK(read_all(stream, f.ctx, 0, &count));
    CHECK_EQ(count, 0);
    grpc_stream_free(stream);
    fixture_close(&f);
}

TEST(a_reader_that_stops_stalls_its_own_stream_only)
{
    enum { STREAMS = 16 };
    struct fixture f = fixture_open(30000);
    struct grpc_stream *streams[STREAMS];
    size_t count;
    for (size_t i = 0; i < STREAMS; i++)
        streams[i] = numbers(&f, f.ctx, "200 60000");
    for (size_t i = 1; i < STREAMS; i++) {
        CHECK_OK(read_all(streams[i], f.ctx, 60000, &count));
        CHECK_EQ(count, 200);
        grpc_stream_free(streams[i]);
    }
    CHECK(budget_used(f.budget) < (2 << 20));
    CHECK(budget_used(f.server_budget) < (2 << 20));
    CHECK_OK(read_all(streams[0], f.ctx, 60000, &count));
    CHECK_EQ(count, 200);
    grpc_stream_free(streams[0]);
    fixture_close(&f);
}

TEST(while_one_stream_of_a_query_is_silent_the_others_run_on)
{
    struct fixture f = fixture_open(30000);
    struct stall_group *group = stall_group_create(f.budget);
    struct context *ctx = context_create(f.ctx, CONTEXT_NO_DEADLINE);
    context_set_stall_group(ctx, group);
    atomic_store(&messages_made, 0);
    struct grpc_stream *talking = numbers(&f, ctx, "100 60000");
    struct grpc_stream *silent = numbers(&f, ctx, "1 1?");
    for (int i = 0; i < 5000 && atomic_load(&messages_made) < 100; i++)
        usleep(1000);
    CHECK_EQ(atomic_load(&messages_made), 100); /* though nobody reads */
    grpc_stream_free(silent);
    size_t count;
    CHECK_OK(read_all(talking, ctx, 60000, &count));
    CHECK_EQ(count, 100);
    grpc_stream_free(talking);
    context_unref(ctx);
    stall_group_free(group);
    fixture_close(&f);
}

TEST(silent_streams_are_given_up_at_half_of_the_budget)
{
    struct fixture f = fixture_open(30000);
    struct budget *query = budget_create(f.budget, "query", 8 << 20);
    struct stall_group *group = stall_group_create(query);
    struct context *ctx = context_create(f.ctx, CONTEXT_NO_DEADLINE);
    context_set_budget(ctx, query);
    context_set_stall_group(ctx, group);
    struct grpc_stream *talking = numbers(&f, ctx, "500 60000");
    struct grpc_stream *silent = numbers(&f, ctx, "1 1?");
    struct grpc_message *message;
    CHECK_ERROR(grpc_stream_next(silent, ctx, &message), ERROR_TIMEOUT);
    size_t count;
    CHECK_OK(read_all(talking, ctx, 60000, &count));
    CHECK_EQ(count, 500);
    grpc_stream_free(silent);
    grpc_stream_free(talking);
    context_unref(ctx);
    stall_group_free(group);
    CHECK_EQ(budget_used(query), 0);
    budget_free(query);
    fixture_close(&f);
}

TEST(a_message_over_the_budget_ends_its_stream)
{
    struct fixture f = fixture_open(30000);
    struct budget *query = budget_create(f.budget, "query", 1 << 20);
    struct context *ctx = context_create(f.ctx, CONTEXT_NO_DEADLINE);
    context_set_budget(ctx, query);
    struct grpc_stream *stream = numbers(&f, ctx, "2 4000000");
    struct grpc_message *message;
    CHECK_ERROR_TEXT(grpc_stream_next(stream, ctx, &message), ERROR_LIMIT, "query budget");
    grpc_stream_free(stream);
    context_unref(ctx);
    CHECK_EQ(budget_used(query), 0);
    budget_free(query);
    fixture_close(&f);
}

TEST(cancelling_ends_both_sides_at_once)
{
    struct fixture f = fixture_open(30000);
    struct context *ctx = context_create(f.ctx, CONTEXT_NO_DEADLINE);
    struct grpc_stream *stream = numbers(&f, ctx, "1 1?"),
                       *freed = numbers(&f, ctx, "1000000 1000"),
                       *cancelled = numbers(&f, ctx, "1 1?");
    struct grpc_message *message;
    for (int i = 0; i < 5000 && atomic_load(&streams_alive) < 3; i++)
        usleep(1000);
    CHECK_OK(grpc_stream_next(freed, ctx, &message));
    grpc_message_unref(message);
    grpc_stream_free(freed);
    grpc_stream_cancel(cancelled);
    CHECK_ERROR(grpc_stream_next(cancelled, f.ctx, &message), ERROR_CANCELLED);
    grpc_stream_free(cancelled);
    int64_t start_ms = time_now_monotonic_ms();
    context_cancel(ctx);
    CHECK_ERROR(grpc_stream_next(stream, f.ctx, &message), ERROR_CANCELLED);
    for (int i = 0; i < 5000 && atomic_load(&streams_alive) > 0; i++)
        usleep(1000);
    CHECK(time_now_monotonic_ms() - start_ms < 2000);
    CHECK_EQ(atomic_load(&streams_alive), 0);
    grpc_stream_free(stream);
    context_unref(ctx);
    fixture_close(&f);
}

TEST(deadlines_reach_the_server)
{
    struct fixture f = fixture_open(300);
    struct buf response = {0};
    CHECK_ERROR(unary(&f, "/test.T/Wait", "", &response), ERROR_TIMEOUT);
    for (int i = 0; i < 5000 && atomic_load(&streams_alive) > 0; i++)
        usleep(1000);
    CHECK_EQ(atomic_load(&streams_alive), 0);
    buf_deinit(&response);
    fixture_close(&f);
}

TEST(nobody_there_is_unavailable_and_fails_fast)
{
    struct fixture f = fixture_open(10000);
    struct grpc_channel *dead = grpc_channel_create(f.loops, STR("127.0.0.1:1"));
    struct buf response = {0};
    for (int i = 0; i < 3; i++)
        CHECK_ERROR_TEXT(
            grpc_unary(dead, f.ctx, "/a/b", (struct bytes){0}, NULL, 0, 100, &response),
            ERROR_UNAVAILABLE,
            "rpc error: code = Unavailable desc = connection error: desc = \"transport: Error "
            "while dialing: dial tcp 127.0.0.1:1: connect: connection refused\"");
    grpc_channel_free(dead);
    buf_deinit(&response);
    fixture_close(&f);
}

TEST(a_server_that_stops_ends_calls_and_a_new_one_is_found_again)
{
    struct fixture f = fixture_open(20000);
    struct grpc_stream *stream = numbers(&f, f.ctx, "1 1?");
    struct grpc_message *message;
    struct buf response = {0};
    char address[64];
    struct str text = grpc_server_address(f.server);
    memcpy(address, text.data, text.len);
    for (int i = 0; i < 5000 && atomic_load(&streams_alive) < 1; i++)
        usleep(1000);
    grpc_server_stop(f.server, 0);
    grpc_server_free(f.server);
    CHECK_ERROR(grpc_stream_next(stream, f.ctx, &message), ERROR_UNAVAILABLE);
    grpc_stream_free(stream);
    const struct grpc_method echo = {"/test.T/Echo", GRPC_UNARY, unary_echo, NULL,
                                     f.pool,         1 << 20,    NULL};
    const struct grpc_server_config config = {.address = {address, text.len},
                                              .methods = &echo,
                                              .method_count = 1,
                                              .budget = f.server_budget,
                                              .quick = f.pool};
    CHECK_OK(grpc_serve(f.loops, &config, &f.server));
    struct error *err = unary(&f, "/test.T/Echo", "back", &response);
    if (err) { /* it may have been tried while nobody was there */
        error_free(err);
        usleep(1100 * 1000);
        CHECK_OK(unary(&f, "/test.T/Echo", "back", &response));
    }
    buf_deinit(&response);
    fixture_close(&f);
}

TEST_MAIN(TEST_ENTRY(unary_calls_are_answered),
          TEST_ENTRY(messages_larger_than_allowed_are_refused_by_both_sides),
          TEST_ENTRY(streams_give_all_messages_then_their_status),
          TEST_ENTRY(a_reader_that_stops_stalls_its_own_stream_only),
          TEST_ENTRY(while_one_stream_of_a_query_is_silent_the_others_run_on),
          TEST_ENTRY(silent_streams_are_given_up_at_half_of_the_budget),
          TEST_ENTRY(a_message_over_the_budget_ends_its_stream),
          TEST_ENTRY(cancelling_ends_both_sides_at_once), TEST_ENTRY(deadlines_reach_the_server),
          TEST_ENTRY(nobody_there_is_unavailable_and_fails_fast),
          TEST_ENTRY(a_server_that_stops_ends_calls_and_a_new_one_is_found_again))
