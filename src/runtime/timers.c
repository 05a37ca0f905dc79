#include "runtime/timers.h"

#include "base/memory.h"
#include "base/mutex.h"
#include "base/vec.h"
#include "runtime/thread.h"
#include "runtime/time.h"

static struct mutex timers_lock = MUTEX_INIT;
static pthread_cond_t timers_changed;
static bool timers_running GUARDED_BY(timers_lock);
static VEC(struct timer *) heap GUARDED_BY(timers_lock) = VEC_INIT(NULL);

static void heap_put(size_t place, struct timer *timer) REQUIRES(timers_lock)
{
    heap.items[place - 1] = timer;
    timer->place = place;
}

static void heap_rise(struct timer *timer) REQUIRES(timers_lock)
{
    size_t place = timer->place;
    while (place > 1 && timer->at_ms < heap.items[place / 2 - 1]->at_ms) {
        heap_put(place, heap.items[place / 2 - 1]);
        place /= 2;
    }
    heap_put(place, timer);
}

static void heap_sink(struct timer *timer) REQUIRES(timers_lock)
{
    size_t place = timer->place;
    for (;;) {
        size_t child = place * 2;
        if (child > heap.len)
            break;
        if (child < heap.len && heap.items[child]->at_ms < heap.items[child - 1]->at_ms)
            child++;
        if (timer->at_ms <= heap.items[child - 1]->at_ms)
            break;
        heap_put(place, heap.items[child - 1]);
        place = child;
    }
    heap_put(place, timer);
}

static void heap_remove(struct timer *timer) REQUIRES(timers_lock)
{
    struct timer *last = vec_pop(&heap);
    if (last != timer) {
        heap_put(timer->place, last);
        heap_rise(last);
        heap_sink(last);
    }
    timer->place = 0;
}

static void timers_thread(void *arg UNUSED)
{
    mutex_lock(&timers_lock);
    for (;;) {
        if (heap.len == 0) {
            mutex_wait(&timers_lock, &timers_changed);
            continue;
        }
        struct timer *next = heap.items[0];
        if (time_now_monotonic_ms() < next->at_ms) {
            thread_cond_wait_until(&timers_changed, &timers_lock, next->at_ms);
            continue;
        }
        heap_remove(next);
        void (*fire)(void *owner) = next->fire;
        void *owner = next->owner;
        if (!next->pin(owner))
            continue;
        mutex_unlock(&timers_lock);
        fire(owner);
        mutex_lock(&timers_lock);
    }
}

static void timers_start_locked(void) REQUIRES(timers_lock)
{
    thread_cond_init(&timers_changed);
    struct error *err = thread_start("timers", timers_thread, NULL);
    if (err)
        bug("%.*s", STR_ARG(error_text(err)));
    timers_running = true;
}

void timers_add(struct timer *timer)
{
    mutex_lock(&timers_lock);
    if (!timers_running)
        timers_start_locked();
    if (!vec_push(&heap, timer))
        bug("the heap of timers has no budget, yet it refused");
    timer->place = heap.len;
    heap_rise(timer);
    if (timer->place == 1)
        pthread_cond_signal(&timers_changed);
    mutex_unlock(&timers_lock);
}

void timers_remove(struct timer *timer)
{
    mutex_lock(&timers_lock);
    if (timer->place)
        heap_remove(timer);
    mutex_unlock(&timers_lock);
}
