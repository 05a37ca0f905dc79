/* base/mutex.h: a pthread mutex that clang's thread-safety analysis knows (GUARDED_BY, REQUIRES).
 */
#pragma once

#include <pthread.h>

#include "base/compiler.h"

#if defined(__clang__)
#define CAPABILITY(name) __attribute__((capability(name)))
#define ACQUIRES(...) __attribute__((acquire_capability(__VA_ARGS__)))
#define RELEASES(...) __attribute__((release_capability(__VA_ARGS__)))
#define NO_THREAD_SAFETY __attribute__((no_thread_safety_analysis))
#else
#define CAPABILITY(name)
#define ACQUIRES(...)
#define RELEASES(...)
#define NO_THREAD_SAFETY
#endif

struct CAPABILITY("mutex") mutex {
    pthread_mutex_t inner;
};

#define MUTEX_INIT                                                                                 \
    {                                                                                              \
        .inner = PTHREAD_MUTEX_INITIALIZER                                                         \
    }

static inline void mutex_init(struct mutex *mutex)
{
    pthread_mutex_init(&mutex->inner, NULL);
}

static inline void mutex_deinit(struct mutex *mutex)
{
    pthread_mutex_destroy(&mutex->inner);
}

static inline void mutex_lock(struct mutex *mutex) ACQUIRES(mutex) NO_THREAD_SAFETY
{
    pthread_mutex_lock(&mutex->inner);
}

static inline void mutex_unlock(struct mutex *mutex) RELEASES(mutex) NO_THREAD_SAFETY
{
    pthread_mutex_unlock(&mutex->inner);
}

/* A condition waits with the mutex held, as pthread_cond_wait does. */
static inline void mutex_wait(struct mutex *mutex, pthread_cond_t *cond) REQUIRES(mutex)
{
    pthread_cond_wait(cond, &mutex->inner);
}
