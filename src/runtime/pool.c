#include "runtime/pool.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/mutex.h"
#include "runtime/context.h"
#include "runtime/thread.h"
#include "runtime/time.h"

enum { IDLE_MS = 5000 };

/* Work waits in queues, one for pool_run() and one for each task group. Queues that have work stand
 * in a ring and are served in turn, so that a query with a thousand tasks does not hold up one with
 * a single task. */
struct task {
    struct task *next;
    pool_fn fn; /* of pool_run(), or NULL */
    task_fn group_fn;
    struct task_group *group;
    void *arg;
};

struct task_queue {
    struct task *first, *last;
    struct task_queue *next, *prev; /* in the ring; NULL: empty, not in it */
};

/* An idle thread. The one that went idle last is woken first, so that the others can end. */
struct sleeper {
    struct sleeper *below;
    pthread_cond_t wake;
    bool woken;
};

struct pool {
    const char *name;
    size_t max_threads, queue_max;
    struct mutex lock; /* of all below, and of the groups' queues and counts */
    struct task_queue direct;
    struct task_queue *turn; /* whose turn it is; NULL: no work */
    size_t queued;
    size_t threads;
    struct sleeper *sleepers;
    bool stopping;
    pthread_cond_t thread_ended;
};

struct task_group {
    struct pool *pool;
    struct context *ctx;
    struct context_hook on_end;
    /* The rest under pool->lock. */
    struct task_queue queue;
    size_t pending;
    struct error *first_error;
    bool dropped; /* some task did not begin */
    pthread_cond_t done;
};

static _Thread_local struct pool *current_pool;

/* -- queues -- */

static void queue_enter_ring_locked(struct pool *pool, struct task_queue *queue)
    REQUIRES(pool->lock)
{
    if (!pool->turn) {
        queue->next = queue->prev = queue;
        pool->turn = queue;
        return;
    }
    queue->next = pool->turn; /* the last to have its turn */
    queue->prev = pool->turn->prev;
    queue->prev->next = queue;
    queue->next->prev = queue;
}

static void queue_leave_ring_locked(struct pool *pool, struct task_queue *queue)
    REQUIRES(pool->lock)
{
    if (queue->next == queue) {
        pool->turn = NULL;
    } else {
        queue->prev->next = queue->next;
        queue->next->prev = queue->prev;
        if (pool->turn == queue)
            pool->turn = queue->next;
    }
    queue->next = queue->prev = NULL;
}

static struct task *pool_take_locked(struct pool *pool) REQUIRES(pool->lock)
{
    struct task_queue *queue = pool->turn;
    struct task *task = queue->first;
    queue->first = task->next;
    pool->queued--;
    if (queue->first)
        pool->turn = queue->next;
    else
        queue_leave_ring_locked(pool, queue);
    return task;
}

/* -- threads -- */

static void task_group_done_locked(struct task_group *group)
{
    if (--group->pending == 0)
        pthread_cond_signal(&group->done);
}

static void pool_perform(struct pool *pool, struct task *task)
{
    struct task_group *group = task->group;
    if (!group) {
        task->fn(task->arg);
        return;
    }
    bool drop = context_ended(group->ctx);
    struct error *err = drop ? NULL : task->group_fn(task->arg, group->ctx);
    bool cancel = err != NULL;
    mutex_lock(&pool->lock);
    group->dropped |= drop;
    error_keep_first(&group->first_error, err);
    mutex_unlock(&pool->lock);
    if (cancel)
        context_cancel(group->ctx);
    mutex_lock(&pool->lock);
    task_group_done_locked(group);
    mutex_unlock(&pool->lock);
}

/* False when nothing came within IDLE_MS, or the pool stops. */
static bool pool_idle_locked(struct pool *pool) REQUIRES(pool->lock)
{
    struct sleeper self = {.below = pool->sleepers};
    thread_cond_init(&self.wake);
    pool->sleepers = &self;
    int64_t until_ms = time_now_monotonic_ms() + IDLE_MS;
    while (!self.woken && time_now_monotonic_ms() < until_ms)
        thread_cond_wait_until(&self.wake, &pool->lock, until_ms);
    if (!self.woken) {
        struct sleeper **at = &pool->sleepers;
        while (*at != &self)
            at = &(*at)->below;
        *at = self.below;
    }
    pthread_cond_destroy(&self.wake);
    return self.woken;
}

static void pool_thread(void *arg)
{
    struct pool *pool = arg;
    current_pool = pool;
    mutex_lock(&pool->lock);
    for (;;) {
        if (pool->turn) {
            struct task *task = pool_take_locked(pool);
            mutex_unlock(&pool->lock);
            pool_perform(pool, task);
            free(task);
            mutex_lock(&pool->lock);
        } else if (pool->stopping || !pool_idle_locked(pool)) {
            break;
        }
    }
    pool->threads--;
    pthread_cond_signal(&pool->thread_ended);
    mutex_unlock(&pool->lock);
}

static void pool_wake_one_locked(struct pool *pool) REQUIRES(pool->lock)
{
    struct sleeper *sleeper = pool->sleepers;
    pool->sleepers = sleeper->below;
    sleeper->woken = true;
    pthread_cond_signal(&sleeper->wake);
}

/* Sees to it that a thread will look at the queues. */
static void pool_call_thread_locked(struct pool *pool) REQUIRES(pool->lock)
{
    if (pool->sleepers) {
        pool_wake_one_locked(pool);
        return;
    }
    if (pool->threads == pool->max_threads)
        return;
    struct error *err = thread_start(pool->name, pool_thread, pool);
    if (!err)
        pool->threads++;
    else if (pool->threads == 0)
        bug("%.*s", STR_ARG(error_text(err)));
    error_free(err); /* the threads there are will do it, later */
}

static void pool_queue_locked(struct pool *pool, struct task_queue *queue, struct task *task)
    REQUIRES(pool->lock)
{
    if (queue->first)
        queue->last->next = task;
    else
        queue->first = task;
    queue->last = task;
    if (!queue->next)
        queue_enter_ring_locked(pool, queue);
    pool->queued++;
    pool_call_thread_locked(pool);
}

struct pool *pool_create(const char *name, size_t threads, size_t queue_max)
{
    struct pool *pool = xcalloc(1, sizeof(*pool));
    pool->name = name;
    pool->max_threads = size_max(threads, 1);
    pool->queue_max = queue_max;
    mutex_init(&pool->lock);
    pthread_cond_init(&pool->thread_ended, NULL);
    return pool;
}

void pool_free(struct pool *pool)
{
    if (!pool)
        return;
    mutex_lock(&pool->lock);
    pool->stopping = true;
    while (pool->sleepers)
        pool_wake_one_locked(pool);
    while (pool->threads > 0)
        mutex_wait(&pool->lock, &pool->thread_ended);
    mutex_unlock(&pool->lock);
    pthread_cond_destroy(&pool->thread_ended);
    mutex_deinit(&pool->lock);
    free(pool);
}

static struct task *task_create(pool_fn fn, void *arg)
{
    struct task *task = xcalloc(1, sizeof(*task));
    task->fn = fn;
    task->arg = arg;
    return task;
}

struct error *pool_run(struct pool *pool, pool_fn fn, void *arg)
{
    struct task *task = task_create(fn, arg);
    mutex_lock(&pool->lock);
    bool room =
        pool->queued < pool->queue_max || pool->sleepers || pool->threads < pool->max_threads;
    if (room)
        pool_queue_locked(pool, &pool->direct, task);
    mutex_unlock(&pool->lock);
    if (room)
        return NULL;
    free(task);
    return error_create(ERROR_BUSY, "too much at once: %zu tasks wait in the %s pool",
                        pool->queue_max, pool->name);
}

void pool_run_anyway(struct pool *pool, pool_fn fn, void *arg)
{
    struct task *task = task_create(fn, arg);
    mutex_lock(&pool->lock);
    pool_queue_locked(pool, &pool->direct, task);
    mutex_unlock(&pool->lock);
}

size_t pool_threads(const struct pool *pool)
{
    return pool->max_threads;
}

/* -- groups -- */

/* Runs when the group's context ends: what has not begun never will. */
static void task_group_drop_queued(void *arg)
{
    struct task_group *group = arg;
    struct pool *pool = group->pool;
    mutex_lock(&pool->lock);
    struct task *task = group->queue.first;
    group->queue.first = NULL;
    if (task) {
        queue_leave_ring_locked(pool, &group->queue);
        group->dropped = true;
    }
    while (task) {
        struct task *next = task->next;
        free(task);
        pool->queued--;
        task_group_done_locked(group);
        task = next;
    }
    mutex_unlock(&pool->lock);
}

struct task_group *task_group_create(struct pool *pool, struct context *ctx)
{
    struct task_group *group = xcalloc(1, sizeof(*group));
    group->pool = pool;
    group->ctx = context_create(ctx, CONTEXT_NO_DEADLINE);
    pthread_cond_init(&group->done, NULL);
    group->on_end.fn = task_group_drop_queued;
    group->on_end.arg = group;
    context_on_end(group->ctx, &group->on_end);
    return group;
}

void task_group_run(struct task_group *group, task_fn fn, void *arg)
{
    struct pool *pool = group->pool;
    struct task *task = task_create(NULL, arg);
    task->group_fn = fn;
    task->group = group;
    mutex_lock(&pool->lock);
    if (context_ended(group->ctx)) {
        group->dropped = true;
        free(task);
    } else {
        group->pending++;
        pool_queue_locked(pool, &group->queue, task);
    }
    mutex_unlock(&pool->lock);
}

struct error *task_group_finish(struct task_group *group)
{
    struct pool *pool = group->pool;
    if (current_pool == pool)
        bug("a task of the %s pool waits for its own pool", pool->name);
    mutex_lock(&pool->lock);
    while (group->pending > 0)
        mutex_wait(&pool->lock, &group->done);
    mutex_unlock(&pool->lock);
    context_off_end(group->ctx, &group->on_end);
    struct error *err = group->first_error;
    if (!err && group->dropped)
        err = context_error(group->ctx);
    context_unref(group->ctx);
    pthread_cond_destroy(&group->done);
    free(group);
    return err;
}

/* -- the process's pools -- */

struct pools *pools_create(size_t max_queries, size_t max_series)
{
    enum { METADATA_THREADS = 16, FILE_THREADS = 16, QUICK_THREADS = 2 };
    enum { WAITING_MAX = 1024 };
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct pools *pools = xcalloc(1, sizeof(*pools));
    pools->queries = pool_create("queries", max_queries, WAITING_MAX);
    pools->series = pool_create("series", max_series, WAITING_MAX);
    pools->metadata = pool_create("metadata", METADATA_THREADS, WAITING_MAX);
    pools->compute = pool_create("compute", cores > 0 ? (size_t)cores : 1, WAITING_MAX);
    pools->files = pool_create("files", FILE_THREADS, WAITING_MAX);
    pools->quick = pool_create("quick", QUICK_THREADS, WAITING_MAX);
    return pools;
}

void pools_free(struct pools *pools)
{
    if (!pools)
        return;
    pool_free(pools->queries);
    pool_free(pools->series);
    pool_free(pools->metadata);
    pool_free(pools->compute);
    pool_free(pools->files);
    pool_free(pools->quick);
    free(pools);
}
