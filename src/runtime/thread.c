#include "runtime/thread.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/mutex.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define THREAD_INSTRUMENTED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define THREAD_INSTRUMENTED 1
#endif

/* Only pages that are touched are real. A query of PROMQL_DEPTH_MAX levels takes half of it: 500
 * bytes a level, in the parser. Instrumented frames are several times as large. */
#ifdef THREAD_INSTRUMENTED
enum { STACK_BYTES = 4 * 1024 * 1024 };
#else
enum { STACK_BYTES = 1024 * 1024 };
#endif

struct thread_start {
    char name[16];
    void (*fn)(void *arg);
    void *arg;
};

static void *thread_main(void *arg)
{
    struct thread_start start = *(struct thread_start *)arg;
    free(arg);
    pthread_setname_np(pthread_self(), start.name);
    start.fn(start.arg);
    return NULL;
}

static struct error *thread_create(const char *name, void (*fn)(void *arg), void *arg, int detach,
                                   pthread_t *out)
{
    struct thread_start *start = xcalloc(1, sizeof(*start));
    snprintf(start->name, sizeof(start->name), "%s", name);
    start->fn = fn;
    start->arg = arg;

    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    pthread_attr_setdetachstate(&attr, detach);
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* a new thread inherits the mask */
    int code = pthread_create(out, &attr, thread_main, start);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    if (code == 0)
        return NULL;
    free(start);
    return error_create(ERROR_BUSY, "start thread %s: %s", name, strerror(code));
}

struct error *thread_start(const char *name, void (*fn)(void *arg), void *arg)
{
    pthread_t ignored;
    return thread_create(name, fn, arg, PTHREAD_CREATE_DETACHED, &ignored);
}

struct error *thread_start_joinable(const char *name, void (*fn)(void *arg), void *arg,
                                    pthread_t *out)
{
    return thread_create(name, fn, arg, PTHREAD_CREATE_JOINABLE, out);
}

void thread_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

void thread_cond_wait_until(pthread_cond_t *cond, struct mutex *mutex, int64_t deadline_ms)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_ms / 1000),
                             .tv_nsec = (long)(deadline_ms % 1000) * 1000000};
    pthread_cond_timedwait(cond, &mutex->inner, &until);
}
