#include "runtime/context.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/thread.h"
#include "runtime/time.h"
#include "support/test.h"

static void count_call(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
}

TEST(context_without_end_has_no_error)
{
    struct context *ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    CHECK(!context_ended(ctx));
    CHECK_OK(context_error(ctx));
    CHECK_EQ(context_deadline_ms(ctx), INT64_MAX);
    CHECK_EQ(context_left_ms(ctx), INT64_MAX);
    context_unref(ctx);
}

TEST(context_cancel_reaches_grandchildren_and_keeps_the_first_reason)
{
    struct context *root = context_create(NULL, CONTEXT_NO_DEADLINE);
    struct context *child = context_create(root, CONTEXT_NO_DEADLINE);
    struct context *grandchild = context_create(child, 60000);
    context_cancel_with(root, ERROR_UNAVAILABLE, "peer went away");
    context_cancel(root);
    context_cancel(grandchild);
    CHECK_ERROR_TEXT(context_error(root), ERROR_UNAVAILABLE, "peer went away");
    CHECK_ERROR_TEXT(context_error(grandchild), ERROR_UNAVAILABLE, "peer went away");
    struct context *late = context_create(grandchild, CONTEXT_NO_DEADLINE);
    CHECK_ERROR(context_error(late), ERROR_UNAVAILABLE);
    context_unref(late);
    context_unref(root);
    context_unref(child);
    context_unref(grandchild);
}

TEST(context_cancel_does_not_reach_the_parent)
{
    struct context *root = context_create(NULL, CONTEXT_NO_DEADLINE);
    struct context *child = context_create(root, CONTEXT_NO_DEADLINE);
    context_cancel(child);
    CHECK_ERROR_TEXT(context_error(child), ERROR_CANCELLED, "context canceled");
    CHECK(!context_ended(root));
    context_unref(child);
    context_unref(root);
}

TEST(context_deadline_is_noticed_without_its_timer)
{
    struct context *ctx = context_create(NULL, -1);
    CHECK(context_ended(ctx));
    CHECK_EQ(context_left_ms(ctx), 0);
    CHECK_ERROR_TEXT(context_error(ctx), ERROR_TIMEOUT, "context deadline exceeded");
    context_cancel(ctx);
    CHECK_ERROR(context_error(ctx), ERROR_TIMEOUT);
    context_unref(ctx);
}

TEST(context_child_deadline_is_never_after_its_parents)
{
    struct context *root = context_create(NULL, 1000);
    struct context *later = context_create(root, 5000);
    struct context *sooner = context_create(root, 10);
    CHECK_EQ(context_deadline_ms(later), context_deadline_ms(root));
    CHECK(context_deadline_ms(sooner) < context_deadline_ms(root));
    context_unref(later);
    context_unref(sooner);
    context_unref(root);
}

TEST(context_hook_runs_once_at_the_end)
{
    atomic_int calls = 0, never = 0;
    struct context *ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    struct context_hook hook = {.fn = count_call, .arg = &calls};
    struct context_hook removed = {.fn = count_call, .arg = &never};
    context_on_end(ctx, &hook);
    context_on_end(ctx, &removed);
    context_off_end(ctx, &removed);
    context_cancel(ctx);
    context_cancel(ctx);
    CHECK_EQ(calls, 1);
    CHECK_EQ(never, 0);
    context_off_end(ctx, &hook);

    struct context_hook late = {.fn = count_call, .arg = &calls};
    context_on_end(ctx, &late);
    CHECK_EQ(calls, 2);
    context_off_end(ctx, &late);
    context_unref(ctx);
}

TEST(context_hook_runs_at_the_deadline)
{
    atomic_int calls = 0;
    struct context *ctx = context_create(NULL, 20);
    struct context_hook hook = {.fn = count_call, .arg = &calls};
    context_on_end(ctx, &hook);
    CHECK_ERROR(context_sleep(ctx, 60000), ERROR_TIMEOUT);
    for (int i = 0; i < 500 && !calls; i++) {
        struct context *other = context_create(NULL, CONTEXT_NO_DEADLINE);
        CHECK_OK(context_sleep(other, 2));
        context_unref(other);
    }
    CHECK_EQ(calls, 1);
    context_off_end(ctx, &hook);
    context_unref(ctx);
}

struct waiting {
    struct context *ctx;
    struct mutex mutex;
    pthread_cond_t cond;
    atomic_int inside;
    enum error_kind got;
};

static void wait_for_end(void *arg)
{
    struct waiting *waiting = arg;
    struct error *err = NULL;
    mutex_lock(&waiting->mutex);
    atomic_store(&waiting->inside, 1);
    while (!err)
        err = context_wait(waiting->ctx, &waiting->cond, &waiting->mutex);
    mutex_unlock(&waiting->mutex);
    waiting->got = error_kind(err);
    error_free(err);
}

TEST(context_wait_wakes_up_when_the_context_ends)
{
    static const int64_t timeouts_ms[] = {CONTEXT_NO_DEADLINE, 15};
    for (size_t i = 0; i < countof(timeouts_ms); i++) {
        struct waiting waiting = {.mutex = MUTEX_INIT, .cond = PTHREAD_COND_INITIALIZER};
        waiting.ctx = context_create(NULL, timeouts_ms[i]);
        pthread_t thread;
        CHECK_OK(thread_start_joinable("waiter", wait_for_end, &waiting, &thread));
        while (!atomic_load(&waiting.inside))
            ;
        if (timeouts_ms[i] == CONTEXT_NO_DEADLINE)
            context_cancel(waiting.ctx);
        pthread_join(thread, NULL);
        CHECK_EQ(waiting.got, timeouts_ms[i] ? ERROR_TIMEOUT : ERROR_CANCELLED);
        context_unref(waiting.ctx);
    }
}

TEST(context_sleep_sleeps)
{
    struct context *ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    int64_t start_ms = time_now_monotonic_ms();
    CHECK_OK(context_sleep(ctx, 20));
    CHECK(time_now_monotonic_ms() - start_ms >= 20);
    context_unref(ctx);
}

static void unref_from_hook(void *arg)
{
    context_unref(arg);
}

TEST(context_may_lose_its_last_reference_in_its_own_hook)
{
    struct context *root = context_create(NULL, CONTEXT_NO_DEADLINE);
    struct context *child = context_create(root, CONTEXT_NO_DEADLINE);
    struct context_hook *hook = calloc(1, sizeof(*hook));
    hook->fn = unref_from_hook;
    hook->arg = child;
    context_on_end(child, hook);
    context_cancel(root);
    free(hook);
    context_unref(root);
}

static void collect_text(void *arg, struct str text)
{
    char *out = arg;
    strncat(out, text.data, text.len);
    strcat(out, ";");
}

TEST(context_warnings_are_a_set_at_the_nearest_collector)
{
    struct context *root = context_create(NULL, CONTEXT_NO_DEADLINE);
    context_warn(root, STR("nobody listens"));
    CHECK(!context_has_warnings(root));
    context_collect_warnings(root);
    struct context *child = context_create(root, CONTEXT_NO_DEADLINE);
    context_warn(child, STR("one"));
    context_warn(root, STR("two"));
    context_warn(child, STR("one"));
    char got[100] = "";
    context_each_warning(child, collect_text, got);
    CHECK_STR(str_from(got), "one;two;");
    struct context *inner = context_create(child, CONTEXT_NO_DEADLINE);
    context_collect_warnings(inner);
    context_warn(inner, STR("three"));
    CHECK(context_has_warnings(inner));
    got[0] = '\0';
    context_each_warning(root, collect_text, got);
    CHECK_STR(str_from(got), "one;two;");
    context_unref(inner);
    context_unref(child);
    context_unref(root);
}

static void count_text(void *arg, struct str text)
{
    (*(size_t *)arg)++;
    CHECK(text.len <= 16 * 1024);
}

TEST(context_warnings_are_bounded)
{
    struct context *ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    context_collect_warnings(ctx);
    static char text[100000];
    for (int i = 0; i < CONTEXT_WARNINGS_MAX + 50; i++) {
        memcpy(text, &i, sizeof(i));
        context_warn(ctx, (struct str){text, i % 100 ? 100 : 80000});
    }
    size_t count = 0;
    context_each_warning(ctx, count_text, &count);
    CHECK_EQ(count, CONTEXT_WARNINGS_MAX);
    context_unref(ctx);
}

TEST(context_children_inherit_what_travels)
{
    struct context *root = context_create(NULL, CONTEXT_NO_DEADLINE);
    struct budget *budget = budget_create(NULL, "query", 0);
    CHECK_STR(context_tenant(root), "");
    context_set_budget(root, budget);
    context_set_tenant(root, STR("team-a"));
    context_set_request_id(root, STR("id-1"));
    struct context *child = context_create(root, CONTEXT_NO_DEADLINE);
    context_set_request_id(child, STR("id-2"));
    context_unref(root);
    CHECK(context_budget(child) == budget);
    CHECK_STR(context_tenant(child), "team-a");
    CHECK_STR(context_request_id(child), "id-2");
    CHECK(context_stall_group(child) == NULL);
    context_unref(child);
    budget_free(budget);
}

/* Many threads make, end, wait on and drop contexts of one tree: TSan and ASan are the judges. */
enum { STRESS_THREADS = 4, STRESS_ROUNDS = 400 };

struct stress {
    struct context *root;
    uint64_t seed;
};

static void stress_round(struct context *root, uint64_t *seed, atomic_int *calls)
{
    struct context *ctx = context_create(root, (int64_t)test_random_below(seed, 4));
    struct context *child = context_create(ctx, CONTEXT_NO_DEADLINE);
    struct context_hook hook = {.fn = count_call, .arg = calls};
    context_on_end(child, &hook);
    switch (test_random_below(seed, 4)) {
    case 0:
        context_cancel(ctx);
        break;
    case 1:
        error_free(context_sleep(child, 1));
        break;
    case 2:
        context_unref(ctx);
        ctx = NULL;
        break;
    default:
        break;
    }
    context_off_end(child, &hook);
    context_unref(child);
    context_unref(ctx);
}

static void stress_thread(void *arg)
{
    struct stress *stress = arg;
    atomic_int calls = 0;
    for (int i = 0; i < STRESS_ROUNDS; i++)
        stress_round(stress->root, &stress->seed, &calls);
}

TEST(context_survives_many_threads)
{
    uint64_t seed = test_seed();
    for (int end = 0; end < 2; end++) {
        struct context *root = context_create(NULL, end ? 20 : CONTEXT_NO_DEADLINE);
        struct stress stress[STRESS_THREADS];
        pthread_t threads[STRESS_THREADS];
        for (int i = 0; i < STRESS_THREADS; i++) {
            stress[i] = (struct stress){root, test_random(&seed)};
            CHECK_OK(thread_start_joinable("stress", stress_thread, &stress[i], &threads[i]));
        }
        for (int i = 0; i < STRESS_THREADS; i++)
            pthread_join(threads[i], NULL);
        context_unref(root);
    }
}

TEST_MAIN(TEST_ENTRY(context_without_end_has_no_error),
          TEST_ENTRY(context_cancel_reaches_grandchildren_and_keeps_the_first_reason),
          TEST_ENTRY(context_cancel_does_not_reach_the_parent),
          TEST_ENTRY(context_deadline_is_noticed_without_its_timer),
          TEST_ENTRY(context_child_deadline_is_never_after_its_parents),
          TEST_ENTRY(context_hook_runs_once_at_the_end),
          TEST_ENTRY(context_hook_runs_at_the_deadline),
          TEST_ENTRY(context_wait_wakes_up_when_the_context_ends), TEST_ENTRY(context_sleep_sleeps),
          TEST_ENTRY(context_may_lose_its_last_reference_in_its_own_hook),
          TEST_ENTRY(context_warnings_are_a_set_at_the_nearest_collector),
          TEST_ENTRY(context_warnings_are_bounded),
          TEST_ENTRY(context_children_inherit_what_travels),
          TEST_ENTRY(context_survives_many_threads))
