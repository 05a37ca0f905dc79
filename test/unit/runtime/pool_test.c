#include "runtime/pool.h"

#include <stdatomic.h>
#include <stdio.h>

#include "base/mutex.h"
#include "runtime/context.h"
#include "support/test.h"

/* Lets tasks pile up behind it until it is opened. */
struct barrier {
    struct mutex mutex;
    pthread_cond_t cond;
    int arrived;
    bool open;
};

#define BARRIER_INIT                                                                               \
    {                                                                                              \
        .mutex = MUTEX_INIT, .cond = PTHREAD_COND_INITIALIZER                                      \
    }

static void barrier_pass(void *arg)
{
    struct barrier *barrier = arg;
    mutex_lock(&barrier->mutex);
    barrier->arrived++;
    pthread_cond_broadcast(&barrier->cond);
    while (!barrier->open)
        mutex_wait(&barrier->mutex, &barrier->cond);
    mutex_unlock(&barrier->mutex);
}

static void barrier_await(struct barrier *barrier, int arrived)
{
    mutex_lock(&barrier->mutex);
    while (barrier->arrived < arrived)
        mutex_wait(&barrier->mutex, &barrier->cond);
    mutex_unlock(&barrier->mutex);
}

static void barrier_open(struct barrier *barrier)
{
    mutex_lock(&barrier->mutex);
    barrier->open = true;
    pthread_cond_broadcast(&barrier->cond);
    mutex_unlock(&barrier->mutex);
}

static void count_task(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
}

static struct error *count_group_task(void *arg, struct context *ctx UNUSED)
{
    count_task(arg);
    return NULL;
}

TEST(pool_free_runs_what_is_queued)
{
    atomic_int calls = 0;
    struct pool *pool = pool_create("test", 3, 1000);
    for (int i = 0; i < 500; i++)
        CHECK_OK(pool_run(pool, count_task, &calls));
    CHECK_EQ(pool_threads(pool), 3);
    pool_free(pool);
    CHECK_EQ(calls, 500);
    pool_free(NULL);
}

TEST(pool_run_refuses_beyond_its_queue)
{
    atomic_int calls = 0;
    struct barrier barrier = BARRIER_INIT;
    struct pool *pool = pool_create("test", 1, 2);
    CHECK_OK(pool_run(pool, barrier_pass, &barrier));
    barrier_await(&barrier, 1);
    CHECK_OK(pool_run(pool, count_task, &calls));
    CHECK_OK(pool_run(pool, count_task, &calls));
    CHECK_ERROR_TEXT(pool_run(pool, count_task, &calls), ERROR_BUSY, "2 tasks wait in the test");
    pool_run_anyway(pool, count_task, &calls);
    barrier_open(&barrier);
    pool_free(pool);
    CHECK_EQ(calls, 3);
}

TEST(task_group_waits_for_all_tasks)
{
    struct pool *pool = pool_create("test", 2, 10);
    struct context *ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    atomic_int calls = 0;
    struct task_group *group = task_group_create(pool, ctx);
    for (int i = 0; i < 1000; i++)
        task_group_run(group, count_group_task, &calls);
    CHECK_OK(task_group_finish(group));
    CHECK_EQ(calls, 1000);
    group = task_group_create(pool, ctx);
    CHECK_OK(task_group_finish(group));
    context_unref(ctx);
    pool_free(pool);
}

static struct error *fail_task(void *arg UNUSED, struct context *ctx UNUSED)
{
    return error_create(ERROR_CORRUPT, "first");
}

static struct error *wait_for_cancel_task(void *arg UNUSED, struct context *ctx)
{
    return context_sleep(ctx, 60000);
}

TEST(task_group_cancels_the_rest_at_the_first_error)
{
    struct pool *pool = pool_create("test", 2, 10);
    struct context *ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    struct task_group *group = task_group_create(pool, ctx);
    task_group_run(group, wait_for_cancel_task, NULL);
    task_group_run(group, fail_task, NULL);
    for (int i = 0; i < 10; i++)
        task_group_run(group, wait_for_cancel_task, NULL);
    CHECK_ERROR_TEXT(task_group_finish(group), ERROR_CORRUPT, "first");
    CHECK(!context_ended(ctx));
    context_unref(ctx);
    pool_free(pool);
}

TEST(task_group_drops_what_has_not_begun_when_its_context_ends)
{
    struct pool *pool = pool_create("test", 1, 10);
    struct context *ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    struct barrier barrier = BARRIER_INIT;
    atomic_int calls = 0;
    CHECK_OK(pool_run(pool, barrier_pass, &barrier));
    barrier_await(&barrier, 1);
    struct task_group *group = task_group_create(pool, ctx);
    for (int i = 0; i < 10; i++)
        task_group_run(group, count_group_task, &calls);
    context_cancel(ctx);
    task_group_run(group, count_group_task, &calls);
    CHECK_ERROR(task_group_finish(group), ERROR_CANCELLED); /* though the only thread is busy */
    CHECK_EQ(calls, 0);
    barrier_open(&barrier);
    context_unref(ctx);
    pool_free(pool);
}

struct trace {
    char text[100];
    char letter[3][2];
};

static struct trace trace;

static struct error *trace_task(void *arg, struct context *ctx UNUSED)
{
    strcat(trace.text, arg);
    return NULL;
}

TEST(pool_serves_groups_in_turn)
{
    struct pool *pool = pool_create("test", 1, 10);
    struct context *ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    struct barrier barrier = BARRIER_INIT;
    CHECK_OK(pool_run(pool, barrier_pass, &barrier));
    barrier_await(&barrier, 1);
    static const int counts[] = {4, 1, 3};
    static char letters[][2] = {"a", "b", "c"};
    struct task_group *groups[3];
    for (int i = 0; i < 3; i++) {
        groups[i] = task_group_create(pool, ctx);
        for (int j = 0; j < counts[i]; j++)
            task_group_run(groups[i], trace_task, letters[i]);
    }
    barrier_open(&barrier);
    for (int i = 0; i < 3; i++)
        CHECK_OK(task_group_finish(groups[i]));
    CHECK_STR(str_from(trace.text), "abcacaca");
    context_unref(ctx);
    pool_free(pool);
}

struct stress {
    struct pool *pool;
    struct context *ctx;
    atomic_int *calls;
    uint64_t seed;
};

static struct error *stress_task(void *arg, struct context *ctx)
{
    count_task(arg);
    return context_error(ctx);
}

static void stress_query(void *arg)
{
    struct stress *stress = arg;
    for (int round = 0; round < 50; round++) {
        struct context *ctx =
            context_create(stress->ctx, (int64_t)test_random_below(&stress->seed, 3));
        struct task_group *group = task_group_create(stress->pool, ctx);
        int count = (int)test_random_below(&stress->seed, 40);
        for (int i = 0; i < count; i++)
            task_group_run(group, stress_task, stress->calls);
        if (test_random_below(&stress->seed, 3) == 0)
            context_cancel(ctx);
        error_free(task_group_finish(group));
        context_unref(ctx);
    }
}

TEST(pool_survives_many_groups)
{
    enum { QUERIES = 6 };
    uint64_t seed = test_seed();
    atomic_int calls = 0;
    struct context *ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    struct pool *compute = pool_create("compute", 2, 10), *queries = pool_create("queries", 4, 10);
    struct stress stress[QUERIES];
    for (int i = 0; i < QUERIES; i++) {
        stress[i] = (struct stress){compute, ctx, &calls, test_random(&seed)};
        CHECK_OK(pool_run(queries, stress_query, &stress[i]));
    }
    pool_free(queries);
    pool_free(compute);
    context_unref(ctx);
}

TEST(pools_start_no_thread_before_there_is_work)
{
    struct pools *pools = pools_create(20, 20);
    CHECK_EQ(pool_threads(pools->queries), 20);
    CHECK_EQ(pool_threads(pools->quick), 2);
    pools_free(pools);
    pools_free(NULL);
}

TEST_MAIN(TEST_ENTRY(pool_free_runs_what_is_queued), TEST_ENTRY(pool_run_refuses_beyond_its_queue),
          TEST_ENTRY(task_group_waits_for_all_tasks),
          TEST_ENTRY(task_group_cancels_the_rest_at_the_first_error),
          TEST_ENTRY(task_group_drops_what_has_not_begun_when_its_context_ends),
          TEST_ENTRY(pool_serves_groups_in_turn), TEST_ENTRY(pool_survives_many_groups),
          TEST_ENTRY(pools_start_no_thread_before_there_is_work))
