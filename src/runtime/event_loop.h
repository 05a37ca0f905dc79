/* runtime/event_loop.h: readiness of sockets, timers and posted work, on a few threads of their
 * own.
 *
 * A loop belongs to its thread: watchers and timers are made, changed and freed there only, and
 * their functions run there, one at a time, and never block. The one way in from other threads is
 * event_loop_post(). The loop reports readiness and nothing else: who reads and writes keeps the
 * buffers. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_loop;
struct event_loops;
struct event_timer;
struct event_watcher;

typedef void (*event_fn)(void *arg);

enum { EVENT_LOOP_COUNT = 2 }; /* what a process usually asks for */

/* Starts `count` loops (at least one), each on its thread. Ends the process when the system refuses
 * threads or descriptors: it is the first thing a component does. */
struct event_loops *event_loops_create(size_t count);
/* Runs what has been posted so far, waits until all watchers and timers are gone, joins the
 * threads. Those who own watchers must have freed them (or posted their freeing) before. Not from a
 * loop. NULL is fine. */
void event_loops_free(struct event_loops *loops);
/* One after another; any thread. */
struct event_loop *event_loops_pick(struct event_loops *loops);

/* Runs fn(arg) on the loop's thread, later, in the order of posting. Any thread, the loop's own
 * too. Never blocks, never refuses. */
void event_loop_post(struct event_loop *loop, event_fn fn, void *arg);
bool event_loop_is_current(const struct event_loop *loop); /* am I on its thread? */
/* Monotonic milliseconds (CLOCK_MONOTONIC) as of this turn of the loop; on the loop only. */
int64_t event_loop_now_ms(const struct event_loop *loop);

/* Memory that whoever runs on the loop may use until it returns: one read buffer for all sockets.
 */
enum { EVENT_LOOP_SCRATCH_SIZE = 64 * 1024 };
void *event_loop_scratch(struct event_loop *loop);

enum {
    EVENT_READ = 1,
    EVENT_WRITE = 2,
    EVENT_HANGUP = 4, /* the peer has closed its side, also while unread bytes wait */
};

/* Watches a non-blocking descriptor, for nothing at first. fn(arg, events): what is ready of what
 * was asked for; an error on the descriptor reports all that was asked for. Level-triggered. */
struct event_watcher *event_watcher_create(struct event_loop *loop, int fd,
                                           void (*fn)(void *arg, unsigned events), void *arg);
void event_watcher_set(struct event_watcher *watcher, unsigned events); /* 0: nothing */
/* fn does not run any more; the descriptor may be closed afterwards, not before. NULL is fine. */
void event_watcher_free(struct event_watcher *watcher);

/* A timer at rest. start: fn(arg) once after ms, a running one begins anew. */
struct event_timer *event_timer_create(struct event_loop *loop, event_fn fn, void *arg);
void event_timer_start(struct event_timer *timer, int64_t ms);
void event_timer_stop(struct event_timer *timer);
bool event_timer_is_running(const struct event_timer *timer);
void event_timer_free(struct event_timer *timer); /* NULL is fine; also from fn */
