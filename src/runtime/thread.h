/* runtime/thread.h: how every thread of the process is started: named, with a small stack, deaf to
 * signals (those belong to the main thread). */
#pragma once

#include <pthread.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mutex.h"

/* Starts a detached thread that runs fn(arg). The name is cut to 15 bytes. Fails with ERROR_BUSY
 * when the system gives no thread. */
MUST_CHECK struct error *thread_start(const char *name, void (*fn)(void *arg), void *arg);

/* The same for a thread that is waited for with pthread_join(*out, NULL). */
MUST_CHECK struct error *thread_start_joinable(const char *name, void (*fn)(void *arg), void *arg,
                                               pthread_t *out);

/* A condition whose timed waits count in monotonic time. */
void thread_cond_init(pthread_cond_t *cond);
/* Waits, with the mutex held, until a signal or until the monotonic clock shows deadline_ms. */
void thread_cond_wait_until(pthread_cond_t *cond, struct mutex *mutex, int64_t deadline_ms)
    REQUIRES(mutex);
