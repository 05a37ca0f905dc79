#include "support/test.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mutex.h"
#include "runtime/event_loop.h"

/* What a test's main thread waits on until its functions have run on the loop. */
struct signal {
    struct mutex lock;
    pthread_cond_t cond;
    int count;
};

static void signal_init(struct signal *signal)
{
    mutex_init(&signal->lock);
    pthread_cond_init(&signal->cond, NULL);
    signal->count = 0;
}

static void signal_raise(struct signal *signal)
{
    mutex_lock(&signal->lock);
    signal->count++;
    pthread_cond_broadcast(&signal->cond);
    mutex_unlock(&signal->lock);
}

static void signal_await(struct signal *signal, int count)
{
    mutex_lock(&signal->lock);
    while (signal->count < count)
        mutex_wait(&signal->lock, &signal->cond);
    mutex_unlock(&signal->lock);
    pthread_cond_destroy(&signal->cond);
    mutex_deinit(&signal->lock);
}

struct order {
    struct event_loop *loop;
    int seen[1000];
    int count;
    bool wrong_thread;
};

struct order_step {
    struct order *order;
    int number;
};

static void order_note(void *arg)
{
    struct order_step *step = arg;
    step->order->wrong_thread |= !event_loop_is_current(step->order->loop);
    step->order->seen[step->order->count++] = step->number;
}

TEST(posts_run_on_the_loop_in_order_and_before_it_goes)
{
    struct event_loops *loops = event_loops_create(1);
    static struct order order;
    static struct order_step steps[1000];
    order = (struct order){.loop = event_loops_pick(loops)};
    CHECK(!event_loop_is_current(order.loop));
    for (int i = 0; i < 1000; i++) {
        steps[i] = (struct order_step){&order, i};
        event_loop_post(order.loop, order_note, &steps[i]);
    }
    event_loops_free(loops);
    CHECK_EQ(order.count, 1000);
    CHECK(!order.wrong_thread);
    for (int i = 0; i < 1000; i++)
        CHECK_EQ(order.seen[i], i);
}

struct poster {
    struct event_loop *loop;
    atomic_int *count;
};

static void count_up(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
}

static void *post_many(void *arg)
{
    struct poster *poster = arg;
    for (int i = 0; i < 5000; i++)
        event_loop_post(poster->loop, count_up, poster->count);
    return NULL;
}

TEST(posts_from_many_threads_are_all_run)
{
    struct event_loops *loops = event_loops_create(EVENT_LOOP_COUNT);
    atomic_int count = 0;
    pthread_t threads[4];
    struct poster posters[4];
    for (int i = 0; i < 4; i++) {
        posters[i] = (struct poster){event_loops_pick(loops), &count};
        pthread_create(&threads[i], NULL, post_many, &posters[i]);
    }
    CHECK(posters[0].loop == posters[2].loop && posters[0].loop != posters[1].loop);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    event_loops_free(loops);
    CHECK_EQ(atomic_load(&count), 4 * 5000);
}

struct timing {
    struct event_loop *loop;
    struct event_timer *first, *second, *never;
    int64_t started_ms, first_ms, second_ms;
    bool never_fired, was_running;
    struct signal done;
};

static void first_fired(void *arg)
{
    struct timing *timing = arg;
    timing->first_ms = event_loop_now_ms(timing->loop);
    timing->was_running = event_timer_is_running(timing->second);
    event_timer_stop(timing->never);
}

static void never_fired(void *arg)
{
    ((struct timing *)arg)->never_fired = true;
}

static void second_fired(void *arg)
{
    struct timing *timing = arg;
    timing->second_ms = event_loop_now_ms(timing->loop);
    event_timer_free(timing->first);
    event_timer_free(timing->second);
    event_timer_free(timing->never);
    signal_raise(&timing->done);
}

static void start_timing(void *arg)
{
    struct timing *timing = arg;
    timing->first = event_timer_create(timing->loop, first_fired, timing);
    timing->second = event_timer_create(timing->loop, second_fired, timing);
    timing->never = event_timer_create(timing->loop, never_fired, timing);
    event_timer_start(timing->second, 5);
    event_timer_start(timing->second, 60); /* the later start counts */
    event_timer_start(timing->never, 40);
    event_timer_start(timing->first, 20);
    timing->started_ms = event_loop_now_ms(timing->loop);
}

TEST(timers_fire_once_in_their_time)
{
    struct event_loops *loops = event_loops_create(1);
    struct timing timing = {.loop = event_loops_pick(loops)};
    signal_init(&timing.done);
    event_loop_post(timing.loop, start_timing, &timing);
    signal_await(&timing.done, 1);
    event_loops_free(loops);
    CHECK(timing.first_ms - timing.started_ms >= 19);
    CHECK(timing.second_ms - timing.started_ms >= 59);
    CHECK(timing.was_running);
    CHECK(!timing.never_fired);
}

struct watching {
    struct event_loop *loop;
    struct event_watcher *watcher;
    int fd, peer;
    unsigned all;
    char got[8];
    struct signal done;
};

static void watched_ready(void *arg, unsigned events)
{
    struct watching *watching = arg;
    watching->all |= events;
    if (events & EVENT_WRITE) { /* at once: nothing was written yet */
        event_watcher_set(watching->watcher, EVENT_READ | EVENT_HANGUP);
        CHECK_EQ(send(watching->peer, "ping", 4, 0), 4);
    }
    if ((events & EVENT_READ) && !watching->got[0]) {
        CHECK_EQ(recv(watching->fd, watching->got, 4, 0), 4);
        event_watcher_set(watching->watcher, EVENT_HANGUP);
        shutdown(watching->peer, SHUT_WR);
    }
    if (events & EVENT_HANGUP) {
        event_watcher_free(watching->watcher);
        close(watching->fd);
        close(watching->peer);
        signal_raise(&watching->done);
    }
}

static void start_watching(void *arg)
{
    struct watching *watching = arg;
    watching->watcher = event_watcher_create(watching->loop, watching->fd, watched_ready, watching);
    event_watcher_set(watching->watcher, EVENT_READ | EVENT_WRITE | EVENT_HANGUP);
}

TEST(a_watcher_sees_room_bytes_and_the_peer_leaving)
{
    struct event_loops *loops = event_loops_create(1);
    int fds[2];
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    struct watching watching = {.loop = event_loops_pick(loops), .fd = fds[0], .peer = fds[1]};
    signal_init(&watching.done);
    event_loop_post(watching.loop, start_watching, &watching);
    signal_await(&watching.done, 1);
    event_loops_free(loops);
    CHECK_EQ(watching.all, EVENT_READ | EVENT_WRITE | EVENT_HANGUP);
    CHECK_STR(str_from(watching.got), "ping");
}

TEST_MAIN(TEST_ENTRY(posts_run_on_the_loop_in_order_and_before_it_goes),
          TEST_ENTRY(posts_from_many_threads_are_all_run),
          TEST_ENTRY(timers_fire_once_in_their_time),
          TEST_ENTRY(a_watcher_sees_room_bytes_and_the_peer_leaving))
