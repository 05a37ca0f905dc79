#include "support/test.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/mutex.h"
#include "codec/pb.h"
#include "net/connection.h"
#include "net/grpc_client.h"
#include "net/grpc_server.h"
#include "net/grpc_wire.h"
#include "net/http2.h"
#include "runtime/context.h"
#include "runtime/event_loop.h"
#include "runtime/fault.h"
#include "runtime/metrics.h"
#include "runtime/pool.h"
#include "runtime/time.h"
#include "unit/net/loop_call.h"
#include "unit/net/raw_http2.h"

static struct event_loops *loops;
static struct pool *pool;
static struct metrics *metrics;
static struct grpc_server *server;
static struct grpc_channel *channel;
static atomic_int streams_alive, steps_run, late_ended;
static atomic_bool serving;
static atomic_size_t most_charged;

/* --- the services --- */

static struct error *serve_echo(void *self UNUSED, struct grpc_call *call, struct bytes request)
{
    struct str fail = grpc_call_metadata(call, STR("fail"));
    if (str_equal(fail, STR("aborted"))) {
        grpc_call_set_code(call, GRPC_ABORTED);
        return error_create(ERROR_INTERNAL, "50 %% of it\nis caf\xc3\xa9");
    }
    if (fail.len)
        return error_create(ERROR_NOT_FOUND, "no %.*s", STR_ARG(fail));
    buf_append(grpc_call_response(call), request.data, request.len);
    return NULL;
}

static struct error *serve_late(void *self UNUSED, struct grpc_call *call,
                                struct bytes request UNUSED)
{
    struct error *err = context_sleep(grpc_call_context(call), 60 * 1000);
    atomic_fetch_add(&late_ended, 1);
    return err;
}

struct flow { /* "count size": so many messages, the first with a number in front */
    size_t sent, count, size;
    uint8_t *message;
};

static enum grpc_step flow_step(void *state, struct grpc_call *call, struct error **err)
{
    struct flow *flow = state;
    atomic_fetch_add(&steps_run, 1);
    if (flow->count == 0) {
        *err = error_create(ERROR_QUERY, "nothing to send");
        return GRPC_STEP_END;
    }
    memcpy(flow->message, &flow->sent, size_min(sizeof(flow->sent), flow->size));
    grpc_call_send(call, (struct bytes){flow->message, flow->size});
    size_t charged = budget_used(context_budget(grpc_call_context(call)));
    if (charged > atomic_load(&most_charged))
        atomic_store(&most_charged, charged);
    return ++flow->sent == flow->count ? GRPC_STEP_END : GRPC_STEP_MORE;
}

static void flow_free(void *state)
{
    struct flow *flow = state;
    free(flow->message);
    free(flow);
    atomic_fetch_sub(&streams_alive, 1);
}

static const struct grpc_stream_ops flow_ops = {.step = flow_step, .free = flow_free};

static struct error *serve_flow(void *self UNUSED, struct grpc_call *call, struct bytes request)
{
    struct str count, size;
    uint64_t numbers[2];
    str_cut(bytes_str(request), ' ', &count, &size);
    if (!str_to_uint64(count, &numbers[0]) || !str_to_uint64(size, &numbers[1]))
        return error_create(ERROR_INVALID, "bad request");
    struct flow *flow = xcalloc(1, sizeof(*flow));
    flow->count = numbers[0];
    flow->size = numbers[1];
    flow->message = xcalloc(1, flow->size + 1);
    atomic_fetch_add(&streams_alive, 1);
    grpc_call_attach(call, &flow_ops, flow);
    return NULL;
}

static enum grpc_step silent_step(void *state UNUSED, struct grpc_call *call UNUSED,
                                  struct error **err UNUSED)
{
    atomic_fetch_add(&steps_run, 1);
    return GRPC_STEP_WAIT;
}

static void silent_free(void *state UNUSED)
{
    atomic_fetch_sub(&streams_alive, 1);
}

static const struct grpc_stream_ops silent_ops = {.step = silent_step, .free = silent_free};

static struct error *serve_silent(void *self, struct grpc_call *call, struct bytes request UNUSED)
{
    atomic_fetch_add(&streams_alive, 1);
    grpc_call_attach(call, &silent_ops, self);
    return NULL;
}

static bool is_serving(void *self UNUSED)
{
    return atomic_load(&serving);
}

static struct grpc_server_config make_config(struct grpc_method methods[4])
{
    methods[0] =
        (struct grpc_method){"/t.T/Echo", GRPC_UNARY, serve_echo, &pool, pool, 1024 * 1024, NULL};
    methods[1] = (struct grpc_method){"/t.T/Late", GRPC_UNARY, serve_late, &pool, pool, 1024, NULL};
    methods[2] =
        (struct grpc_method){"/t.T/Flow", GRPC_SERVER_STREAM, serve_flow, &pool, pool, 1024, NULL};
    methods[3] = (struct grpc_method){
        "/t.T/Silent", GRPC_SERVER_STREAM, serve_silent, &pool, pool, 1024, NULL};
    return (struct grpc_server_config){.address = STR("127.0.0.1:0"),
                                       .methods = methods,
                                       .method_count = 4,
                                       .is_serving = is_serving,
                                       .quick = pool,
                                       .metrics = metrics};
}

static int start(void **state UNUSED)
{
    loops = event_loops_create(EVENT_LOOP_COUNT);
    pool = pool_create("test", 4, 1000);
    metrics = metrics_create();
    struct grpc_method methods[4];
    struct grpc_server_config config = make_config(methods);
    CHECK_OK(grpc_serve(loops, &config, &server));
    channel = grpc_channel_create_with(loops, grpc_server_address(server),
                                       &(struct grpc_channel_options){.metrics = metrics});
    return 0;
}

static int stop(void **state UNUSED)
{
    grpc_channel_free(channel);
    grpc_server_stop(server, 1000);
    grpc_server_free(server);
    pool_free(pool);
    event_loops_free(loops);
    metrics_free(metrics);
    CHECK_EQ(atomic_load(&streams_alive), 0);
    return 0;
}

/* --- helpers --- */

static struct error *call_unary(struct grpc_channel *to, const char *method, struct str request,
                                int64_t timeout_ms, size_t max, struct buf *response)
{
    struct context *ctx = context_create(NULL, timeout_ms);
    struct error *err = grpc_unary(to, ctx, method, str_bytes(request), NULL, 0, max, response);
    context_unref(ctx);
    return err;
}

static struct grpc_stream *open_flow(struct context *ctx, size_t count, size_t size)
{
    char request[64];
    int len = snprintf(request, sizeof(request), "%zu %zu", count, size);
    return grpc_stream_start(channel, ctx, "/t.T/Flow",
                             (struct bytes){(uint8_t *)request, (size_t)len}, NULL, 0,
                             256 * 1024 * 1024);
}

/* Reads to the end; how many messages came, each with its number in front. */
static struct error *read_all(struct grpc_stream *stream, struct context *ctx, size_t size,
                              size_t *count)
{
    struct grpc_message *message;
    struct error *err;
    for (*count = 0; !(err = grpc_stream_next(stream, ctx, &message)) && message; ++*count) {
        size_t number = 0;
        memcpy(&number, message->bytes.data, size_min(size, sizeof(number)));
        CHECK_EQ(message->bytes.len, size);
        if (size >= sizeof(number))
            CHECK_EQ(number, *count);
        grpc_message_unref(message);
    }
    return err;
}

static void await_zero(atomic_int *value)
{
    for (int i = 0; i < 1000 && atomic_load(value); i++)
        usleep(5 * 1000);
    CHECK_EQ(atomic_load(value), 0);
}

/* --- unary --- */

TEST(a_unary_call_is_answered)
{
    struct buf response = {0};
    CHECK_OK(call_unary(channel, "/t.T/Echo", STR("hello"), 5000, 1024, &response));
    CHECK_STR(buf_str(&response), "hello");
    buf_clear(&response);
    CHECK_OK(call_unary(channel, "/t.T/Echo", STR(""), 5000, 1024, &response));
    CHECK_EQ(response.len, 0);
    buf_deinit(&response);
}

TEST(compressed_calls_are_answered_compressed)
{
    struct grpc_channel *snappy = grpc_channel_create_with(
        loops, grpc_server_address(server), &(struct grpc_channel_options){.compress = true});
    char *text = xcalloc(1, 500 * 1000);
    memset(text, 'x', 500 * 1000);
    struct buf response = {0};
    CHECK_OK(call_unary(snappy, "/t.T/Echo", (struct str){text, 500 * 1000}, 5000, 1024 * 1024,
                        &response));
    CHECK_EQ(response.len, 500 * 1000);
    CHECK(memcmp(response.data, text, response.len) == 0);
    buf_clear(&response);
    CHECK_ERROR_TEXT(
        call_unary(snappy, "/t.T/Echo", (struct str){text, 500 * 1000}, 5000, 100000, &response),
        ERROR_LIMIT, "rpc error: code = ResourceExhausted desc = ");
    buf_deinit(&response);
    free(text);
    grpc_channel_free(snappy);
}

TEST(errors_come_with_code_and_text)
{
    struct context *ctx = context_create(NULL, 5000);
    struct buf response = {0};
    struct grpc_metadata fail = {STR("fail"), STR("aborted")};
    CHECK_ERROR_TEXT(
        grpc_unary(channel, ctx, "/t.T/Echo", (struct bytes){0}, &fail, 1, 1024, &response),
        ERROR_UNAVAILABLE, "rpc error: code = Aborted desc = 50 % of it\nis caf\xc3\xa9");
    fail.value = STR("luck");
    CHECK_ERROR_TEXT(
        grpc_unary(channel, ctx, "/t.T/Echo", (struct bytes){0}, &fail, 1, 1024, &response),
        ERROR_NOT_FOUND, "rpc error: code = NotFound desc = no luck");
    CHECK_ERROR_TEXT(call_unary(channel, "/t.T/None", STR(""), 5000, 1024, &response),
                     ERROR_INVALID,
                     "rpc error: code = Unimplemented desc = unknown method None for service t.T");
    CHECK_ERROR_TEXT(call_unary(channel, "/t.U/None", STR(""), 5000, 1024, &response),
                     ERROR_INVALID, "rpc error: code = Unimplemented desc = unknown service t.U");
    CHECK_EQ(response.len, 0);
    context_unref(ctx);
}

TEST(messages_over_the_limits_are_refused)
{
    char *text = xcalloc(1, 2 * 1024 * 1024);
    struct buf response = {0};
    CHECK_ERROR_TEXT(call_unary(channel, "/t.T/Echo", (struct str){text, 2 * 1024 * 1024}, 5000,
                                4 * 1024 * 1024, &response),
                     ERROR_LIMIT,
                     "rpc error: code = ResourceExhausted desc = grpc: received message larger "
                     "than max (2097152 vs. 1048576)");
    CHECK_ERROR_TEXT(
        call_unary(channel, "/t.T/Echo", (struct str){text, 100000}, 5000, 99999, &response),
        ERROR_LIMIT, "larger than max (100000 vs. 99999)");
    buf_deinit(&response);
    free(text);
}

TEST(a_deadline_ends_both_sides)
{
    struct buf response = {0};
    int before = atomic_load(&late_ended);
    int64_t started = time_now_monotonic_ms();
    CHECK_ERROR_TEXT(call_unary(channel, "/t.T/Late", STR(""), 50, 1024, &response), ERROR_TIMEOUT,
                     "rpc error: code = DeadlineExceeded desc = context deadline exceeded");
    CHECK(time_now_monotonic_ms() - started < 2000);
    for (int i = 0; i < 400 && atomic_load(&late_ended) == before; i++)
        usleep(5000);
    CHECK_EQ(atomic_load(&late_ended), before + 1);
}

/* --- streams --- */

TEST(a_stream_gives_its_messages_in_order_and_ends)
{
    struct context *ctx = context_create(NULL, 60 * 1000);
    struct {
        size_t count, size;
    } flows[] = {{1, 0}, {1, 1}, {500, 60000}, {3, 5 * 1024 * 1024}, {2000, 100}};
    for (size_t i = 0; i < countof(flows); i++) {
        struct grpc_stream *stream = open_flow(ctx, flows[i].count, flows[i].size);
        size_t count;
        CHECK_OK(read_all(stream, ctx, flows[i].size, &count));
        CHECK_EQ(count, flows[i].count);
        CHECK_EQ(grpc_stream_code(stream), GRPC_OK);
        grpc_stream_free(stream);
    }
    struct grpc_stream *failing = open_flow(ctx, 0, 10);
    size_t count;
    CHECK_ERROR_TEXT(read_all(failing, ctx, 10, &count), ERROR_QUERY,
                     "rpc error: code = FailedPrecondition desc = nothing to send");
    CHECK_EQ(grpc_stream_code(failing), GRPC_FAILED_PRECONDITION);
    grpc_stream_free(failing);
    context_unref(ctx);
    await_zero(&streams_alive);
}

TEST(one_stalled_reader_of_sixteen_stalls_only_itself)
{
    struct context *ctx = context_create(NULL, 60 * 1000);
    struct grpc_stream *streams[16];
    atomic_store(&most_charged, 0);
    for (size_t i = 0; i < countof(streams); i++)
        streams[i] = open_flow(ctx, i ? 100 : 100000, 60000);
    for (size_t i = 1; i < countof(streams); i++) {
        size_t count;
        CHECK_OK(read_all(streams[i], ctx, 60000, &count));
        CHECK_EQ(count, 100);
        grpc_stream_free(streams[i]);
    }
    usleep(50 * 1000);
    int steps = atomic_load(&steps_run);
    usleep(50 * 1000);
    CHECK_EQ(atomic_load(&steps_run), steps); /* the stalled one holds no thread */
    CHECK(atomic_load(&most_charged) <= 600 * 1024);
    struct grpc_message *message;
    CHECK_OK(grpc_stream_next(streams[0], ctx, &message));
    CHECK_EQ(message->bytes.len, 60000);
    grpc_message_unref(message);
    grpc_stream_free(streams[0]);
    context_unref(ctx);
    await_zero(&streams_alive);
}

TEST(cancel_reaches_the_server_and_the_reader)
{
    struct context *ctx = context_create(NULL, 60 * 1000);
    struct grpc_stream *stream =
        grpc_stream_start(channel, ctx, "/t.T/Silent", (struct bytes){0}, NULL, 0, 1024);
    for (int i = 0; i < 1000 && !atomic_load(&streams_alive); i++)
        usleep(1000);
    CHECK_EQ(atomic_load(&streams_alive), 1);
    int64_t started = time_now_monotonic_ms();
    grpc_stream_cancel(stream);
    struct grpc_message *message;
    CHECK_ERROR_TEXT(grpc_stream_next(stream, ctx, &message), ERROR_CANCELLED,
                     "rpc error: code = Canceled desc = context canceled");
    await_zero(&streams_alive);
    CHECK(time_now_monotonic_ms() - started < 100);
    grpc_stream_free(stream);

    struct context *child = context_create(ctx, CONTEXT_NO_DEADLINE);
    stream = grpc_stream_start(channel, child, "/t.T/Silent", (struct bytes){0}, NULL, 0, 1024);
    context_cancel(child);
    CHECK_ERROR(grpc_stream_next(stream, ctx, &message), ERROR_CANCELLED);
    grpc_stream_free(stream);
    context_unref(child);
    context_unref(ctx);
    await_zero(&streams_alive);
}

TEST(a_deadline_ends_a_stalled_stream_on_the_server)
{
    struct context *ctx = context_create(NULL, 100);
    struct grpc_stream *stream = open_flow(ctx, 100000, 60000);
    struct grpc_message *message;
    CHECK_OK(grpc_stream_next(stream, ctx, &message));
    grpc_message_unref(message);
    await_zero(&streams_alive);
    CHECK_ERROR(grpc_stream_next(stream, ctx, &message), ERROR_TIMEOUT);
    grpc_stream_free(stream);
    context_unref(ctx);
}

static void note_wake(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
}

TEST(readiness_is_told_once)
{
    struct context *ctx = context_create(NULL, 60 * 1000);
    atomic_int wakes = 0;
    struct grpc_stream *stream = open_flow(ctx, 3, 10);
    while (!grpc_stream_ready(stream, note_wake, &wakes))
        usleep(1000);
    usleep(20 * 1000);
    CHECK(atomic_load(&wakes) <= 1);
    CHECK(grpc_stream_ready(stream, note_wake, &wakes));
    size_t count;
    CHECK_OK(read_all(stream, ctx, 10, &count));
    CHECK(grpc_stream_ready(stream, note_wake, &wakes));
    CHECK(atomic_load(&wakes) <= 1);
    grpc_stream_free(stream);
    context_unref(ctx);
}

/* --- streams of one query --- */

TEST(streams_do_not_stall_while_one_is_silent)
{
    struct budget *budget = budget_create(NULL, "query", 0);
    struct stall_group *group = stall_group_create(budget);
    struct context *ctx = context_create(NULL, 60 * 1000);
    context_set_budget(ctx, budget);
    context_set_stall_group(ctx, group);
    struct grpc_stream *full = open_flow(ctx, 200, 60000);
    struct grpc_stream *silent =
        grpc_stream_start(channel, ctx, "/t.T/Silent", (struct bytes){0}, NULL, 0, 1024);
    /* all 12 MB come, though nobody reads */
    for (int i = 0; i < 2000 && budget_used(budget) < 200 * 60000; i++)
        usleep(5000);
    CHECK(budget_used(budget) >= 200 * 60000);
    grpc_stream_cancel(silent); /* from now on others may stall */
    struct grpc_stream *stalled = open_flow(ctx, 200, 60000);
    struct grpc_message *message;
    CHECK_OK(grpc_stream_next(stalled, ctx, &message));
    grpc_message_unref(message);
    usleep(200 * 1000);
    CHECK(budget_used(budget) < 2 * 200 * 65536 - 60 * 65536);
    /* opening another ends the stall */
    struct grpc_stream *second =
        grpc_stream_start(channel, ctx, "/t.T/Silent", (struct bytes){0}, NULL, 0, 1024);
    for (int i = 0; i < 2000 && budget_used(budget) < 399 * 60000; i++)
        usleep(5000);
    CHECK(budget_used(budget) >= 399 * 60000);
    grpc_stream_free(silent);
    grpc_stream_free(second);
    grpc_stream_free(full);
    grpc_stream_free(stalled);
    CHECK_EQ(budget_used(budget), 0);
    stall_group_free(group);
    context_unref(ctx);
    budget_free(budget);
    await_zero(&streams_alive);
}

TEST(silent_streams_time_out_when_the_others_fill_half_the_budget)
{
    struct budget *budget = budget_create(NULL, "query", 8 * 1024 * 1024);
    struct stall_group *group = stall_group_create(budget);
    struct context *ctx = context_create(NULL, 60 * 1000);
    context_set_budget(ctx, budget);
    context_set_stall_group(ctx, group);
    struct grpc_stream *silent =
        grpc_stream_start(channel, ctx, "/t.T/Silent", (struct bytes){0}, NULL, 0, 1024);
    struct grpc_stream *full = open_flow(ctx, 200, 60000);
    struct grpc_message *message;
    CHECK_ERROR_TEXT(grpc_stream_next(silent, ctx, &message), ERROR_TIMEOUT,
                     "half of the query's memory");
    size_t count;
    CHECK_OK(read_all(full, ctx, 60000, &count)); /* and it goes on, within the budget */
    CHECK_EQ(count, 200);
    CHECK(budget_peak(budget) <= 8 * 1024 * 1024);
    grpc_stream_free(silent);
    grpc_stream_free(full);
    stall_group_free(group);
    context_unref(ctx);
    budget_free(budget);
    await_zero(&streams_alive);
}

TEST(a_budget_that_is_too_small_is_a_clear_error)
{
    struct budget *budget = budget_create(NULL, "query", 1024 * 1024);
    struct context *ctx = context_create(NULL, 60 * 1000);
    context_set_budget(ctx, budget);
    struct grpc_stream *stream = open_flow(ctx, 1, 3 * 1024 * 1024);
    struct grpc_message *message;
    CHECK_ERROR_TEXT(grpc_stream_next(stream, ctx, &message), ERROR_LIMIT,
                     "rpc error: code = ResourceExhausted desc = a received message needs");
    grpc_stream_free(stream);
    CHECK_EQ(budget_used(budget), 0);
    context_unref(ctx);
    budget_free(budget);
    await_zero(&streams_alive);
}

/* --- connections --- */

TEST(an_unreachable_peer_is_named_as_in_go)
{
    struct grpc_channel *dead = grpc_channel_create(loops, STR("127.0.0.1:1"));
    struct buf response = {0};
    for (int i = 0; i < 3; i++) /* the second fails at once */
        CHECK_ERROR_TEXT(
            call_unary(dead, "/t.T/Echo", STR(""), 5000, 10, &response), ERROR_UNAVAILABLE,
            "rpc error: code = Unavailable desc = connection error: desc = \"transport: Error "
            "while dialing: dial tcp 127.0.0.1:1: connect: connection refused\"");
    grpc_channel_free(dead);
    dead = grpc_channel_create(loops, STR("nowhere"));
    CHECK_ERROR_TEXT(call_unary(dead, "/t.T/Echo", STR(""), 5000, 10, &response), ERROR_UNAVAILABLE,
                     "address nowhere: missing port in address");
    grpc_channel_free(dead);
    struct context *ctx = context_create(NULL, 5000);
    dead = grpc_channel_create(loops, STR("127.0.0.1:1"));
    struct grpc_stream *stream =
        grpc_stream_start(dead, ctx, "/t.T/Flow", (struct bytes){0}, NULL, 0, 10);
    grpc_channel_free(dead);
    struct grpc_message *message;
    CHECK_ERROR(grpc_stream_next(stream, ctx, &message), ERROR_UNAVAILABLE);
    grpc_stream_free(stream);
    context_unref(ctx);
}

TEST(a_stopped_server_finishes_what_runs)
{
    struct grpc_method methods[4];
    struct grpc_server_config config = make_config(methods);
    struct grpc_server *other;
    CHECK_OK(grpc_serve(loops, &config, &other));
    struct grpc_channel *to = grpc_channel_create(loops, grpc_server_address(other));
    struct context *ctx = context_create(NULL, 20 * 1000);
    struct grpc_stream *stream =
        grpc_stream_start(to, ctx, "/t.T/Flow", str_bytes(STR("50 60000")), NULL, 0, 1024 * 1024);
    struct grpc_message *message;
    CHECK_OK(grpc_stream_next(stream, ctx, &message));
    grpc_message_unref(message);
    struct grpc_stream *silent =
        grpc_stream_start(to, ctx, "/t.T/Silent", (struct bytes){0}, NULL, 0, 1024);
    while (atomic_load(&streams_alive) < 2)
        usleep(1000);
    int64_t started = time_now_monotonic_ms();
    grpc_server_stop(other, 300); /* the silent one has to be cut off */
    CHECK(time_now_monotonic_ms() - started >= 290);
    CHECK(time_now_monotonic_ms() - started < 3000);
    struct error *err = grpc_stream_next(silent, ctx, &message); /* its status may get through */
    CHECK(error_kind(err) == ERROR_UNAVAILABLE || error_kind(err) == ERROR_CANCELLED);
    error_free(err);
    grpc_stream_free(silent);
    grpc_stream_free(stream);
    struct buf response = {0};
    CHECK_ERROR(call_unary(to, "/t.T/Echo", STR("x"), 5000, 10, &response), ERROR_UNAVAILABLE);
    grpc_channel_free(to);
    grpc_server_free(other);
    context_unref(ctx);
    await_zero(&streams_alive);
}

TEST(an_idle_server_stops_at_once)
{
    struct grpc_method methods[4];
    struct grpc_server_config config = make_config(methods);
    struct grpc_server *other;
    CHECK_OK(grpc_serve(loops, &config, &other));
    struct grpc_channel *to = grpc_channel_create(loops, grpc_server_address(other));
    struct buf response = {0};
    CHECK_OK(call_unary(to, "/t.T/Echo", STR("x"), 5000, 10, &response));
    buf_deinit(&response);
    int64_t started = time_now_monotonic_ms();
    grpc_server_stop(other, 5000);
    CHECK(time_now_monotonic_ms() - started < 500);
    grpc_server_free(other);
    grpc_channel_free(to);
}

TEST(old_connections_are_replaced_without_a_failed_call)
{
    struct grpc_method methods[4];
    struct grpc_server_config config = make_config(methods);
    config.max_connection_age_ms = 30;
    config.metrics = NULL;
    struct grpc_server *other;
    CHECK_OK(grpc_serve(loops, &config, &other));
    struct grpc_channel *to = grpc_channel_create(loops, grpc_server_address(other));
    struct buf response = {0};
    int64_t started = time_now_monotonic_ms();
    while (time_now_monotonic_ms() - started < 500) {
        CHECK_OK(call_unary(to, "/t.T/Echo", STR("x"), 5000, 10, &response));
        buf_clear(&response);
    }
    buf_deinit(&response);
    grpc_channel_free(to);
    grpc_server_free(other);
}

/* --- built-in services, metrics, faults --- */

TEST(health_is_told)
{
    struct buf response = {0};
    atomic_store(&serving, false);
    CHECK_OK(call_unary(channel, "/grpc.health.v1.Health/Check", STR(""), 5000, 10, &response));
    CHECK_STR(buf_str(&response), "\x08\x02");
    buf_clear(&response);
    CHECK_ERROR_TEXT(
        call_unary(channel, "/grpc.health.v1.Health/Check", STR("\x0a\x01x"), 5000, 10, &response),
        ERROR_NOT_FOUND, "rpc error: code = NotFound desc = unknown service");
    struct context *ctx = context_create(NULL, 10 * 1000);
    struct grpc_stream *watch = grpc_stream_start(channel, ctx, "/grpc.health.v1.Health/Watch",
                                                  (struct bytes){0}, NULL, 0, 10);
    struct grpc_message *message;
    CHECK_OK(grpc_stream_next(watch, ctx, &message));
    CHECK_STR(bytes_str(message->bytes), "\x08\x02");
    grpc_message_unref(message);
    atomic_store(&serving, true);
    CHECK_OK(grpc_stream_next(watch, ctx, &message));
    CHECK_STR(bytes_str(message->bytes), "\x08\x01");
    grpc_message_unref(message);
    grpc_stream_free(watch);
    CHECK_OK(call_unary(channel, "/grpc.health.v1.Health/List", STR(""), 5000, 100, &response));
    CHECK_EQ(response.len, 8);
    buf_deinit(&response);
    context_unref(ctx);
}

TEST(calls_are_counted)
{
    struct buf text = {0};
    metrics_write(metrics, &text, false);
    static const char *const lines[] = {
        "grpc_server_handled_total{grpc_code=\"NotFound\",grpc_method=\"Echo\","
        "grpc_service=\"t.T\",grpc_type=\"unary\"} 1",
        "grpc_server_handled_total{grpc_code=\"DataLoss\",grpc_method=\"Flow\","
        "grpc_service=\"t.T\",grpc_type=\"server_stream\"} 0",
        "grpc_client_handled_total{grpc_code=\"Aborted\",grpc_method=\"Echo\","
        "grpc_service=\"t.T\",grpc_type=\"unary\"} 1",
        "grpc_client_msg_received_total{grpc_method=\"Flow\"",
        "grpc_server_handling_seconds_bucket{grpc_method=\"Late\"",
    };
    for (size_t i = 0; i < countof(lines); i++)
        if (!str_contains(buf_str(&text), str_from(lines[i])))
            fail_msg("no line %s in\n%.*s", lines[i], STR_ARG(buf_str(&text)));
    buf_deinit(&text);
}

TEST(no_refused_charge_does_harm)
{
    struct budget *budget = budget_create(NULL, "query", 0);
    for (unsigned long n = 1; n < 100; n++) {
        struct context *ctx = context_create(NULL, 20 * 1000);
        context_set_budget(ctx, budget);
        budget_fail_nth(n);
        struct grpc_stream *stream = open_flow(ctx, 5, 60000);
        struct grpc_message *message;
        struct error *err;
        while (!(err = grpc_stream_next(stream, ctx, &message)) && message)
            grpc_message_unref(message);
        if (err)
            CHECK_EQ(error_kind(err), ERROR_LIMIT);
        error_free(err);
        grpc_stream_free(stream);
        context_unref(ctx);
        await_zero(&streams_alive);
        if (budget_charges() < n)
            break;
    }
    budget_fail_nth(0);
    CHECK_EQ(budget_used(budget), 0);
    budget_free(budget);
}

/* --- peers that write their own frames --- */

/* A POST with the headers of a gRPC call. */
static void put_call(struct buf *out, uint32_t stream, const char *path)
{
    static const char type[] = "\x00\x0c"
                               "content-type\x10"
                               "application/grpc";
    struct buf block = {0};
    buf_append(&block,
               "\x83\x86\x01\x01"
               "a\x04",
               6);
    buf_append_byte(&block, (uint8_t)strlen(path));
    buf_append_cstr(&block, path);
    buf_append(&block, type, sizeof(type) - 1);
    put_frame(out, 1, 4, stream, block.data, block.len);
    buf_deinit(&block);
}

static void put_message(struct buf *out, uint32_t stream, const char *text, bool end)
{
    struct buf frame = {0};
    grpc_frame_append(&frame, str_bytes(str_from(text)), GRPC_IDENTITY);
    put_frame(out, 0, end, stream, frame.data, frame.len);
    buf_deinit(&frame);
}

TEST(a_zero_window_gets_no_step_and_holds_nothing)
{
    struct buf out = {0}, in = {0};
    buf_append_cstr(&out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    put_frame(&out, 4, 0, 0, "\0\4\0\0\0\0", 6); /* no window at all */
    put_call(&out, 1, "/t.T/Flow");
    put_message(&out, 1, "3 70000", true);
    int before = atomic_load(&steps_run);
    int fd = raw_connect(grpc_server_address(server));
    CHECK(!raw_talk(fd, &out, false, 100, &in));
    CHECK_EQ(atomic_load(&streams_alive), 1);
    CHECK_EQ(atomic_load(&steps_run), before);
    buf_clear(&out);
    put_frame(&out, 8, 0, 1, "\0\0\x10\0", 4); /* 4096 bytes */
    CHECK(!raw_talk(fd, &out, false, 100, &in));
    CHECK_EQ(raw_last_frame(&in, 0).len, 4096);
    CHECK_EQ(atomic_load(&steps_run), before + 1);
    close(fd);
    await_zero(&streams_alive);
    buf_deinit(&out);
    buf_deinit(&in);
}

TEST(a_client_that_pings_too_often_is_sent_away)
{
    struct buf out = {0};
    put_preface(&out);
    for (int i = 0; i < 4; i++)
        put_frame(&out, 6, 0, 0, "12345678", 8);
    uint32_t code = 0;
    CHECK(raw_exchange(grpc_server_address(server), &out, false, &code));
    CHECK_EQ(code, 11); /* ENHANCE_YOUR_CALM */
    buf_deinit(&out);
}

TEST(thousands_of_calls_reset_at_once_do_no_harm)
{
    struct buf out = {0};
    put_preface(&out);
    for (uint32_t i = 0; i < 20000; i++) {
        put_call(&out, 1 + 2 * i, "/t.T/Silent");
        put_message(&out, 1 + 2 * i, "", true);
        put_frame(&out, 3, 0, 1 + 2 * i, "\0\0\0\x08", 4);
    }
    uint32_t code = 0;
    CHECK(raw_exchange(grpc_server_address(server), &out, false, &code));
    await_zero(&streams_alive);
    buf_deinit(&out);
    struct buf response = {0}; /* others are served all the same */
    CHECK_OK(call_unary(channel, "/t.T/Echo", STR("x"), 10000, 10, &response));
    buf_deinit(&response);
}

/* A call over HTTP/2 whose body is whatever the test says. */
struct raw_call {
    struct event_loop *loop;
    struct connection *connection;
    struct http2_session *session;
    const char *path;
    struct bytes body;
    struct mutex lock;
    pthread_cond_t cond;
    bool closed;
    struct buf status; /* "code text" */
};

static void raw_headers(void *self, struct http2_stream *stream UNUSED,
                        const struct http2_field *fields, size_t count, bool trailers UNUSED,
                        bool end UNUSED)
{
    struct raw_call *call = self;
    for (size_t i = 0; i < count; i++) {
        if (str_equal(fields[i].name, STR("grpc-status")))
            buf_printf(&call->status, "%.*s ", STR_ARG(fields[i].value));
        if (str_equal(fields[i].name, STR("grpc-message")))
            grpc_message_text_decode(&call->status, fields[i].value);
    }
}

static void raw_data(void *self UNUSED, struct http2_stream *stream, struct bytes data)
{
    http2_stream_consume(stream, data.len);
}

static void raw_nothing(void *self UNUSED, struct http2_stream *stream UNUSED)
{
}

static void raw_closed(void *self, struct http2_stream *stream UNUSED, uint32_t code UNUSED)
{
    struct raw_call *call = self;
    mutex_lock(&call->lock);
    call->closed = true;
    pthread_cond_broadcast(&call->cond);
    mutex_unlock(&call->lock);
}

static void raw_over(void *self UNUSED, struct error *err)
{
    error_free(err);
}

static const struct http2_handler raw_handler = {.headers = raw_headers,
                                                 .data = raw_data,
                                                 .end = raw_nothing,
                                                 .room = raw_nothing,
                                                 .closed = raw_closed,
                                                 .over = raw_over};

static void raw_connected(void *self)
{
    struct raw_call *call = self;
    const struct http2_field head[] = {{STR(":method"), STR("POST")},
                                       {STR(":scheme"), STR("http")},
                                       {STR(":path"), str_from(call->path)},
                                       {STR(":authority"), STR("a")},
                                       {STR("content-type"), STR("application/grpc")}};
    call->session = http2_session_create(call->connection, false, 0, &raw_handler, call);
    struct http2_stream *stream = http2_session_request(call->session, head, countof(head), NULL);
    http2_stream_send(stream, call->body.data, call->body.len, NULL, NULL);
    http2_stream_end(stream, NULL, 0);
}

static const struct connection_handler raw_connecting = {.connected = raw_connected};

static void raw_start(void *arg)
{
    struct raw_call *call = arg;
    struct address address = raw_address(grpc_server_address(server));
    CHECK_OK(
        connection_connect(call->loop, &address, 5000, &raw_connecting, call, &call->connection));
}

static void raw_stop(void *arg)
{
    http2_session_free(((struct raw_call *)arg)->session);
}

static void raw_call_run(struct raw_call *call)
{
    call->loop = event_loops_pick(loops);
    mutex_init(&call->lock);
    pthread_cond_init(&call->cond, NULL);
    loop_call(call->loop, raw_start, call);
    mutex_lock(&call->lock);
    while (!call->closed)
        mutex_wait(&call->lock, &call->cond);
    mutex_unlock(&call->lock);
    loop_call(call->loop, raw_stop, call);
    pthread_cond_destroy(&call->cond);
    mutex_deinit(&call->lock);
}

static const struct {
    const char *name, *path, *body;
    size_t len;
    const char *want; /* status and text begin so */
} broken_requests[] = {
    {"cut off inside a message", "/t.T/Echo",
     "\0\0\0\0\x09"
     "abc",
     8, "13 unexpected EOF"},
    {"cut off inside a prefix", "/t.T/Echo", "\0\0", 2, "13 unexpected EOF"},
    {"no message", "/t.T/Echo", "", 0, "13 a call without a request message"},
    {"two messages", "/t.T/Echo", "\0\0\0\0\0\0\0\0\0\0", 10, "8 too many messages"},
    {"unknown flag", "/t.T/Echo", "\7\0\0\0\0", 5, "13 grpc: received unexpected payload format 7"},
    {"compressed without an encoding", "/t.T/Echo", "\1\0\0\0\1x", 6,
     "13 grpc: compressed flag set with identity or empty encoding"},
    {"far too long", "/t.T/Echo", "\0\xff\xff\xff\xff", 5,
     "8 grpc: received message larger than max (4294967295 vs. 1048576)"},
    {"no such method", "/t.T/X", "", 0, "12 unknown method X for service t.T"},
    {"no method", "/x", "", 0, "12 malformed method name: \"/x\""},
    {"well", "/t.T/Echo", "\0\0\0\0\1x", 6, "0 "},
};

TEST(broken_requests_get_a_clear_status)
{
    for_each_case(c, broken_requests) {
        struct raw_call call = {.path = c->path, .body = {(const uint8_t *)c->body, c->len}};
        raw_call_run(&call);
        if (!str_starts_with(buf_str(&call.status), str_from(c->want)))
            fail_msg("%s: \"%.*s\", not \"%s\"", c->name, STR_ARG(buf_str(&call.status)), c->want);
        buf_deinit(&call.status);
    }
}

TEST(a_half_closed_connection_ends_its_calls)
{
    struct buf out = {0};
    put_preface(&out);
    put_call(&out, 1, "/t.T/Silent");
    put_message(&out, 1, "", true);
    uint32_t code = 0;
    CHECK(raw_exchange(grpc_server_address(server), &out, true, &code));
    await_zero(&streams_alive);
    buf_deinit(&out);
}

/* One call of each kind over a connection of its own. */
static struct error *call_everything(void)
{
    struct grpc_channel *to = grpc_channel_create(loops, grpc_server_address(server));
    struct buf response = {0};
    struct error *err = call_unary(to, "/t.T/Echo", STR("hello"), 10000, 1024, &response);
    CHECK(err || str_equal(buf_str(&response), STR("hello")));
    buf_deinit(&response);
    struct context *ctx = context_create(NULL, 10 * 1000);
    struct grpc_stream *stream =
        grpc_stream_start(to, ctx, "/t.T/Flow", str_bytes(STR("3 100000")), NULL, 0, 1 << 20);
    struct grpc_message *message = NULL;
    size_t count = 0;
    while (!err && !(err = grpc_stream_next(stream, ctx, &message)) && message) {
        grpc_message_unref(message);
        count++;
    }
    CHECK(err || count == 3);
    grpc_stream_free(stream);
    context_unref(ctx);
    grpc_channel_free(to);
    return err;
}

TEST(no_failed_operation_on_a_socket_does_harm)
{
    bool hit = true;
    for (unsigned long n = 1; hit && n < 200; n++) {
        fault_io_fail_nth(n);
        struct error *err = call_everything();
        hit = fault_io_failed() != NULL;
        fault_io_fail_nth(0);
        if (err)
            CHECK_EQ(error_kind(err), ERROR_UNAVAILABLE);
        CHECK(hit || !err);
        error_free(err);
        await_zero(&streams_alive);
    }
    CHECK(!hit);
}

TEST_MAIN_WITH(
    start, stop, TEST_ENTRY(a_unary_call_is_answered),
    TEST_ENTRY(compressed_calls_are_answered_compressed),
    TEST_ENTRY(errors_come_with_code_and_text), TEST_ENTRY(messages_over_the_limits_are_refused),
    TEST_ENTRY(a_deadline_ends_both_sides),
    TEST_ENTRY(a_stream_gives_its_messages_in_order_and_ends),
    TEST_ENTRY(one_stalled_reader_of_sixteen_stalls_only_itself),
    TEST_ENTRY(cancel_reaches_the_server_and_the_reader),
    TEST_ENTRY(a_deadline_ends_a_stalled_stream_on_the_server), TEST_ENTRY(readiness_is_told_once),
    TEST_ENTRY(streams_do_not_stall_while_one_is_silent),
    TEST_ENTRY(silent_streams_time_out_when_the_others_fill_half_the_budget),
    TEST_ENTRY(a_budget_that_is_too_small_is_a_clear_error),
    TEST_ENTRY(an_unreachable_peer_is_named_as_in_go),
    TEST_ENTRY(a_stopped_server_finishes_what_runs), TEST_ENTRY(an_idle_server_stops_at_once),
    TEST_ENTRY(old_connections_are_replaced_without_a_failed_call), TEST_ENTRY(health_is_told),
    TEST_ENTRY(calls_are_counted), TEST_ENTRY(a_zero_window_gets_no_step_and_holds_nothing),
    TEST_ENTRY(a_client_that_pings_too_often_is_sent_away),
    TEST_ENTRY(thousands_of_calls_reset_at_once_do_no_harm),
    TEST_ENTRY(broken_requests_get_a_clear_status),
    TEST_ENTRY(a_half_closed_connection_ends_its_calls), TEST_ENTRY(no_refused_charge_does_harm),
    TEST_ENTRY(no_failed_operation_on_a_socket_does_harm))
