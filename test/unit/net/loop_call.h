/* Runs a function on a loop and waits for it; for tests, whose main thread is on no loop. */
#pragma once

#include "base/mutex.h"
#include "runtime/event_loop.h"

struct loop_call {
    void (*fn)(void *arg);
    void *arg;
    struct mutex lock;
    pthread_cond_t cond;
    bool done;
};

static inline void loop_call_run(void *arg)
{
    struct loop_call *call = arg;
    call->fn(call->arg);
    mutex_lock(&call->lock);
    call->done = true;
    pthread_cond_broadcast(&call->cond);
    mutex_unlock(&call->lock);
}

static inline void loop_call(struct event_loop *loop, void (*fn)(void *arg), void *arg)
{
    struct loop_call call = {
        .fn = fn, .arg = arg, .lock = MUTEX_INIT, .cond = PTHREAD_COND_INITIALIZER};
    event_loop_post(loop, loop_call_run, &call);
    mutex_lock(&call.lock);
    while (!call.done)
        mutex_wait(&call.lock, &call.cond);
    mutex_unlock(&call.lock);
    pthread_cond_destroy(&call.cond);
    mutex_deinit(&call.lock);
}
