#include "runtime/gate.h"

#include <stdatomic.h>
#include <stdio.h>

#include "runtime/context.h"
#include "runtime/thread.h"
#include "support/test.h"

struct visitor {
    struct gate *gate;
    struct context *ctx;
    char name;
    char *trace;
    enum error_kind got;
    pthread_t thread;
};

static void visit(void *arg)
{
    struct visitor *visitor = arg;
    struct error *err = gate_enter(visitor->gate, visitor->ctx);
    visitor->got = error_kind(err);
    if (!err) {
        size_t len = strlen(visitor->trace); /* alone inside */
        visitor->trace[len] = visitor->name;
        gate_leave(visitor->gate);
    }
    error_free(err);
}

static void start_and_see_waiting(struct visitor *visitor, size_t waiting)
{
    CHECK_OK(thread_start_joinable("visitor", visit, visitor, &visitor->thread));
    while (gate_waiting(visitor->gate) < waiting)
        CHECK_OK(context_sleep(visitor->ctx, 1));
}

TEST(gate_lets_in_by_order)
{
    struct gate *gate = gate_create(1);
    struct context *ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    char trace[10] = "";
    struct visitor visitors[3];
    CHECK_OK(gate_enter(gate, ctx));
    CHECK(!gate_try_enter(gate));
    for (size_t i = 0; i < 3; i++) {
        visitors[i] = (struct visitor){.gate = gate, .ctx = ctx, .name = "abc"[i], .trace = trace};
        start_and_see_waiting(&visitors[i], i + 1);
    }
    CHECK_EQ(gate_inside(gate), 1);
    gate_leave(gate);
    for (size_t i = 0; i < 3; i++)
        pthread_join(visitors[i].thread, NULL);
    CHECK_STR(str_from(trace), "abc");
    CHECK_EQ(gate_inside(gate), 0);
    CHECK(gate_try_enter(gate));
    gate_leave(gate);
    context_unref(ctx);
    gate_free(gate);
    gate_free(NULL);
}

TEST(gate_wait_ends_with_the_context)
{
    struct gate *gate = gate_create(1);
    struct context *ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    struct context *cancelled = context_create(ctx, CONTEXT_NO_DEADLINE);
    char trace[10] = "";
    CHECK_OK(gate_enter(gate, ctx));
    struct visitor first = {.gate = gate, .ctx = cancelled, .name = 'a', .trace = trace};
    struct visitor second = {.gate = gate, .ctx = ctx, .name = 'b', .trace = trace};
    start_and_see_waiting(&first, 1);
    start_and_see_waiting(&second, 2);
    context_cancel(cancelled);
    pthread_join(first.thread, NULL);
    CHECK_EQ(first.got, ERROR_CANCELLED);
    CHECK_ERROR(gate_enter(gate, cancelled), ERROR_CANCELLED);
    gate_leave(gate);
    pthread_join(second.thread, NULL);
    CHECK_STR(str_from(trace), "b");
    struct context *late = context_create(ctx, 5);
    CHECK_OK(gate_enter(gate, ctx));
    CHECK_ERROR(gate_enter(gate, late), ERROR_TIMEOUT);
    gate_leave(gate);
    context_unref(late);
    context_unref(cancelled);
    context_unref(ctx);
    gate_free(gate);
}

struct stress {
    struct gate *gate;
    atomic_int inside, most;
    struct context *ctx;
};

static void stress_thread(void *arg)
{
    struct stress *stress = arg;
    for (int i = 0; i < 500; i++) {
        struct context *ctx = context_create(stress->ctx, i % 3 ? 50 : 1);
        struct error *err = gate_enter(stress->gate, ctx);
        if (!err) {
            int inside = atomic_fetch_add(&stress->inside, 1) + 1;
            if (inside > atomic_load(&stress->most))
                atomic_store(&stress->most, inside);
            atomic_fetch_sub(&stress->inside, 1);
            gate_leave(stress->gate);
        }
        error_free(err);
        context_unref(ctx);
    }
}

TEST(gate_never_holds_more_than_it_may)
{
    struct stress stress = {.gate = gate_create(2),
                            .ctx = context_create(NULL, CONTEXT_NO_DEADLINE)};
    pthread_t threads[5];
    for (size_t i = 0; i < countof(threads); i++)
        CHECK_OK(thread_start_joinable("stress", stress_thread, &stress, &threads[i]));
    for (size_t i = 0; i < countof(threads); i++)
        pthread_join(threads[i], NULL);
    CHECK(stress.most >= 1 && stress.most <= 2);
    CHECK_EQ(gate_inside(stress.gate), 0);
    CHECK_EQ(gate_waiting(stress.gate), 0);
    context_unref(stress.ctx);
    gate_free(stress.gate);
}

TEST_MAIN(TEST_ENTRY(gate_lets_in_by_order), TEST_ENTRY(gate_wait_ends_with_the_context),
          TEST_ENTRY(gate_never_holds_more_than_it_may))
