#include "runtime/event_loop.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "base/memory.h"
#include "base/mutex.h"

enum { POST_ROUNDS = 16 };

struct post {
    struct post *next;
    event_fn fn;
    void *arg;
};

struct event_loop {
    uv_loop_t uv;
    uv_async_t wake;
    uv_prepare_t before_wait; /* these two run what was posted by the loop itself */
    uv_check_t after_wait;
    pthread_t thread;
    struct mutex lock;
    struct post *first GUARDED_BY(lock);
    struct post **last GUARDED_BY(lock);
    bool stopping GUARDED_BY(lock);
    _Alignas(64) char scratch[EVENT_LOOP_SCRATCH_SIZE];
};

struct event_loops {
    size_t count;
    atomic_size_t next;
    struct event_loop **items;
};

struct event_watcher {
    uv_poll_t poll;
    unsigned events;
    void (*fn)(void *arg, unsigned events);
    void *arg;
};

struct event_timer {
    uv_timer_t timer;
    event_fn fn;
    void *arg;
};

static _Thread_local const struct event_loop *current_loop;

static void check(int code, const char *what)
{
    if (code < 0)
        bug("event loop: %s: %s", what, uv_strerror(code));
}

/* Runs what is queued now; false when there was nothing. */
static bool run_posts(struct event_loop *loop, bool *stopping)
{
    mutex_lock(&loop->lock);
    struct post *post = loop->first;
    loop->first = NULL;
    loop->last = &loop->first;
    *stopping = loop->stopping;
    mutex_unlock(&loop->lock);
    bool any = post != NULL;
    while (post) {
        struct post *next = post->next;
        post->fn(post->arg);
        free(post);
        post = next;
    }
    return any;
}

/* Also what those post in turn, but not for ever: sockets want their turn. */
static void run_all_posts(struct event_loop *loop)
{
    bool stopping = false;
    for (int i = 0; i < POST_ROUNDS; i++)
        if (!run_posts(loop, &stopping))
            break;
    if (stopping) /* from now on the loop ends with its other handles */
        uv_unref((uv_handle_t *)&loop->wake);
    mutex_lock(&loop->lock);
    bool more = loop->first != NULL;
    mutex_unlock(&loop->lock);
    if (more)
        uv_async_send(&loop->wake);
}

static void woken(uv_async_t *wake UNUSED)
{
    /* what was posted runs right after, in after_wait */
}

static void before_wait(uv_prepare_t *handle)
{
    run_all_posts(container_of(handle, struct event_loop, before_wait));
}

static void after_wait(uv_check_t *handle)
{
    run_all_posts(container_of(handle, struct event_loop, after_wait));
}

static void *loop_main(void *arg)
{
    struct event_loop *loop = arg;
    bool stopping;
    current_loop = loop;
    do
        uv_run(&loop->uv, UV_RUN_DEFAULT);
    while (run_posts(loop, &stopping)); /* the last handle's end may have posted */
    uv_close((uv_handle_t *)&loop->wake, NULL);
    uv_close((uv_handle_t *)&loop->before_wait, NULL);
    uv_close((uv_handle_t *)&loop->after_wait, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    check(uv_loop_close(&loop->uv), "close");
    return NULL;
}

static void loop_init_posts(struct event_loop *loop)
{
    check(uv_async_init(&loop->uv, &loop->wake, woken), "async");
    check(uv_prepare_init(&loop->uv, &loop->before_wait), "prepare");
    check(uv_prepare_start(&loop->before_wait, before_wait), "prepare");
    uv_unref((uv_handle_t *)&loop->before_wait);
    check(uv_check_init(&loop->uv, &loop->after_wait), "check");
    check(uv_check_start(&loop->after_wait, after_wait), "check");
    uv_unref((uv_handle_t *)&loop->after_wait);
}

static struct event_loop *loop_create(size_t number)
{
    struct event_loop *loop = aligned_alloc(64, (sizeof(*loop) + 63) & ~(size_t)63);
    if (!loop)
        bug("out of memory");
    memset(loop, 0, offsetof(struct event_loop, scratch));
    mutex_init(&loop->lock);
    loop->last = &loop->first;
    check(uv_loop_init(&loop->uv), "init");
    loop_init_posts(loop);
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are for the main thread */
    int code = pthread_create(&loop->thread, NULL, loop_main, loop);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    check(-code, "thread");
    char name[16];
    snprintf(name, sizeof(name), "loop-%zu", number % 1000);
    pthread_setname_np(loop->thread, name);
    return loop;
}

struct event_loops *event_loops_create(size_t count)
{
    /* libuv 1.45 to 1.48 change what they watch through io_uring, and lose events of descriptors
     * whose number was in use before. Whoever wants it all the same has set the variable. */
    setenv("UV_USE_IO_URING", "0", 0);
    struct event_loops *loops = xcalloc(1, sizeof(*loops));
    loops->count = count ? count : 1;
    loops->items = xcalloc(loops->count, sizeof(loops->items[0]));
    for (size_t i = 0; i < loops->count; i++)
        loops->items[i] = loop_create(i);
    return loops;
}

static void loop_stop(struct event_loop *loop)
{
    mutex_lock(&loop->lock);
    loop->stopping = true;
    mutex_unlock(&loop->lock);
    uv_async_send(&loop->wake);
}

void event_loops_free(struct event_loops *loops)
{
    if (!loops)
        return;
    for (size_t i = 0; i < loops->count; i++)
        loop_stop(loops->items[i]);
    for (size_t i = 0; i < loops->count; i++)
        pthread_join(loops->items[i]->thread, NULL);
    for (size_t i = 0; i < loops->count; i++) {
        mutex_deinit(&loops->items[i]->lock);
        free(loops->items[i]);
    }
    free(loops->items);
    free(loops);
}

struct event_loop *event_loops_pick(struct event_loops *loops)
{
    return loops
        ->items[atomic_fetch_add_explicit(&loops->next, 1, memory_order_relaxed) % loops->count];
}

void event_loop_post(struct event_loop *loop, event_fn fn, void *arg)
{
    struct post *post = xmalloc(sizeof(*post));
    *post = (struct post){NULL, fn, arg};
    mutex_lock(&loop->lock);
    bool was_empty = loop->first == NULL;
    *loop->last = post;
    loop->last = &post->next;
    mutex_unlock(&loop->lock);
    if (was_empty && current_loop != loop)
        uv_async_send(&loop->wake);
}

bool event_loop_is_current(const struct event_loop *loop)
{
    return current_loop == loop;
}

int64_t event_loop_now_ms(const struct event_loop *loop)
{
    return (int64_t)uv_now(&loop->uv);
}

void *event_loop_scratch(struct event_loop *loop)
{
    return loop->scratch;
}

static void free_handle(uv_handle_t *handle)
{
    free(handle->data);
}

static void watcher_ready(uv_poll_t *poll, int status, int ready)
{
    struct event_watcher *watcher = poll->data;
    unsigned events = 0;
    if (ready & UV_READABLE)
        events |= EVENT_READ;
    if (ready & UV_WRITABLE)
        events |= EVENT_WRITE;
    if (ready & UV_DISCONNECT)
        events |= EVENT_HANGUP;
    if (status < 0) { /* libuv stops such a watcher: whoever asked must look at the descriptor */
        events = watcher->events;
        watcher->events = 0;
    }
    watcher->fn(watcher->arg, events);
}

struct event_watcher *event_watcher_create(struct event_loop *loop, int fd,
                                           void (*fn)(void *arg, unsigned events), void *arg)
{
    struct event_watcher *watcher = xcalloc(1, sizeof(*watcher));
    watcher->fn = fn;
    watcher->arg = arg;
    check(uv_poll_init(&loop->uv, &watcher->poll, fd), "poll");
    watcher->poll.data = watcher;
    return watcher;
}

void event_watcher_set(struct event_watcher *watcher, unsigned events)
{
    if (events == watcher->events)
        return;
    watcher->events = events;
    int wanted = 0;
    if (events & EVENT_READ)
        wanted |= UV_READABLE;
    if (events & EVENT_WRITE)
        wanted |= UV_WRITABLE;
    if (events & EVENT_HANGUP)
        wanted |= UV_DISCONNECT;
    check(wanted ? uv_poll_start(&watcher->poll, wanted, watcher_ready)
                 : uv_poll_stop(&watcher->poll),
          "watch");
}

void event_watcher_free(struct event_watcher *watcher)
{
    if (watcher)
        uv_close((uv_handle_t *)&watcher->poll, free_handle);
}

static void timer_fired(uv_timer_t *timer)
{
    struct event_timer *owner = timer->data;
    owner->fn(owner->arg);
}

struct event_timer *event_timer_create(struct event_loop *loop, event_fn fn, void *arg)
{
    struct event_timer *timer = xcalloc(1, sizeof(*timer));
    timer->fn = fn;
    timer->arg = arg;
    check(uv_timer_init(&loop->uv, &timer->timer), "timer");
    timer->timer.data = timer;
    return timer;
}

void event_timer_start(struct event_timer *timer, int64_t ms)
{
    uv_update_time(timer->timer.loop); /* else the time this turn has taken so far is missing */
    check(uv_timer_start(&timer->timer, timer_fired, ms > 0 ? (uint64_t)ms : 0, 0), "timer");
}

void event_timer_stop(struct event_timer *timer)
{
    uv_timer_stop(&timer->timer);
}

bool event_timer_is_running(const struct event_timer *timer)
{
    return uv_is_active((const uv_handle_t *)&timer->timer) != 0;
}

void event_timer_free(struct event_timer *timer)
{
    if (timer)
        uv_close((uv_handle_t *)&timer->timer, free_handle);
}
