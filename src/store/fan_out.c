#include "store/fan_out.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/mutex.h"
#include "runtime/pool.h"

/* Helpers that are still queued when the caller has finished find nothing to do; the last one out
 * frees. */
struct fan {
    size_t count;
    void (*fn)(void *arg, size_t i);
    void *arg;
    atomic_size_t next;
    atomic_uint references;
    struct mutex lock;
    size_t finished GUARDED_BY(lock);
    pthread_cond_t all_finished;
};

static void fan_unref(struct fan *fan)
{
    if (atomic_fetch_sub(&fan->references, 1) != 1)
        return;
    pthread_cond_destroy(&fan->all_finished);
    mutex_deinit(&fan->lock);
    free(fan);
}

static void fan_work(struct fan *fan)
{
    size_t done = 0;
    for (size_t i; (i = atomic_fetch_add(&fan->next, 1)) < fan->count; done++)
        fan->fn(fan->arg, i);
    mutex_lock(&fan->lock);
    fan->finished += done;
    if (fan->finished == fan->count)
        pthread_cond_signal(&fan->all_finished);
    mutex_unlock(&fan->lock);
}

static void fan_help(void *arg)
{
    struct fan *fan = arg;
    fan_work(fan);
    fan_unref(fan);
}

void fan_out(struct pool *pool, size_t count, void (*fn)(void *arg, size_t i), void *arg)
{
    struct fan *fan = xcalloc(1, sizeof(*fan));
    fan->count = count;
    fan->fn = fn;
    fan->arg = arg;
    atomic_init(&fan->next, 0);
    atomic_init(&fan->references, 1);
    mutex_init(&fan->lock);
    pthread_cond_init(&fan->all_finished, NULL);
    size_t helpers = pool && count > 1 ? count - 1 : 0;
    if (helpers > 0 && helpers > pool_threads(pool))
        helpers = pool_threads(pool);
    for (size_t i = 0; i < helpers; i++) {
        atomic_fetch_add(&fan->references, 1);
        struct error *err = pool_run(pool, fan_help, fan);
        if (err) { /* a full queue: those there are, and the caller, do it */
            error_free(err);
            fan_unref(fan);
            break;
        }
    }
    fan_work(fan);
    mutex_lock(&fan->lock);
    while (fan->finished < fan->count)
        mutex_wait(&fan->lock, &fan->all_finished);
    mutex_unlock(&fan->lock);
    fan_unref(fan);
}
