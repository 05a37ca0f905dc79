/* runtime/pool.h: named threads with a bounded queue, and groups of tasks on them.
 *
 * Waiting goes downwards only: a task never waits for a task of its own pool (architecture.md,
 * Threads). */
#pragma once

#include <stddef.h>

#include "base/error.h"

struct context;
struct pool;

typedef void (*pool_fn)(void *arg);

/* Threads start when first needed and end after some idle time, so an idle process has few.
 * queue_max: tasks that wait; more are refused. name appears in thread names and errors. */
struct pool *pool_create(const char *name, size_t threads, size_t queue_max);
void pool_free(struct pool *pool); /* runs what is queued, waits for it; NULL is fine */

/* Queues fn(arg). ERROR_BUSY when the queue is full. */
MUST_CHECK struct error *pool_run(struct pool *pool, pool_fn fn, void *arg);
/* The same for work that must not get lost: grows the queue past queue_max. */
void pool_run_anyway(struct pool *pool, pool_fn fn, void *arg);
size_t pool_threads(const struct pool *pool); /* its size, not what is running now */

/* Tasks that are waited for together. The first error cancels the group's context, which is a child
 * of ctx. */
struct task_group;
typedef struct error *(*task_fn)(void *arg, struct context *ctx);

struct task_group *task_group_create(struct pool *pool, struct context *ctx);
void task_group_run(struct task_group *group, task_fn fn, void *arg);
/* Waits for all tasks, frees the group and gives the first error. When ctx ends, tasks that have
 * not begun are dropped. */
MUST_CHECK struct error *task_group_finish(struct task_group *group);

/* The pools of architecture.md's table that the whole process shares. Made once at start. */
struct pools {
    struct pool *queries, *series, *metadata, *compute, *files, *quick;
};
/* max_series: Series calls that produce a batch at once. */
struct pools *pools_create(size_t max_queries, size_t max_series);
void pools_free(struct pools *pools);
