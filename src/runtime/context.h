/* runtime/context.h: what travels with a piece of work: its deadline, its cancellation, its memory
 * budget, the warnings it gathers, who it is for. Reference-counted and thread-safe.
 *
 * Contexts form a tree: a child ends with its parent, at the latest. Ending is for good and has a
 * reason: the first one counts. Every wait made with a context wakes up when it ends. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/budget.h"
#include "base/error.h"
#include "base/mutex.h"

struct context;
struct stall_group; /* net/grpc_client.h: the streams of one query */

enum { CONTEXT_NO_DEADLINE = 0 };

/* parent may be NULL (it gets no deadline and no budget then). timeout_ms from now;
 * CONTEXT_NO_DEADLINE: the parent's alone. The child inherits everything else. One reference;
 * children hold one on their parent. */
struct context *context_create(struct context *parent, int64_t timeout_ms);
struct context *context_ref(struct context *ctx); /* gives ctx back */
void context_unref(struct context *ctx);          /* NULL is fine; does not cancel */

/* Ends ctx and its children: ERROR_CANCELLED, or the kind and text given. Idempotent, from any
 * thread; runs the on_end callbacks before it returns. */
void context_cancel(struct context *ctx);
void context_cancel_with(struct context *ctx, enum error_kind kind, const char *reason);

/* NULL while it goes on, else a new ERROR_CANCELLED ("context canceled"), ERROR_TIMEOUT ("context
 * deadline exceeded") or the error it was ended with. */
MUST_CHECK struct error *context_error(struct context *ctx);
bool context_ended(
    struct context *ctx); /* the same without a text: one atomic load and a look at the clock */

/* Monotonic milliseconds (time_now_monotonic_ms) of the deadline, INT64_MAX: none. And what is
 * left, >= 0. */
int64_t context_deadline_ms(const struct context *ctx);
int64_t context_left_ms(const struct context *ctx);

/* fn(arg) runs once when ctx ends, on the thread that ends it (the timer thread for deadlines), at
 * once if it has ended already. It must not block. context_off_end() returns only when fn is not
 * running and never will run; not from fn itself. */
struct context_hook {
    void (*fn)(void *arg);
    void *arg;
    struct context_hook *next, *prev; /* the context's */
    int state;
};
void context_on_end(struct context *ctx, struct context_hook *hook);
void context_off_end(struct context *ctx, struct context_hook *hook);

/* Waits on cond, whose mutex is held, until a signal or the end of ctx (then its error). Spurious
 * wake-ups happen: check your condition in a loop. The cond must be broadcast, not signalled, when
 * several wait with contexts. */
MUST_CHECK struct error *context_wait(struct context *ctx, pthread_cond_t *cond,
                                      struct mutex *mutex) REQUIRES(mutex);
/* Sleeps; the context's error when it ends before. */
MUST_CHECK struct error *context_sleep(struct context *ctx, int64_t ms);

/* The budget that work for this context is charged to; NULL: none. The setter is for the creator,
 * before use; the context does not own it and it must outlive the context. */
struct budget *context_budget(const struct context *ctx);
void context_set_budget(struct context *ctx, struct budget *budget);

/* Texts for the user, as a set; at most CONTEXT_WARNINGS_MAX are kept. Children add to the nearest
 * ancestor that collects. */
enum { CONTEXT_WARNINGS_MAX = 1000 };
void context_collect_warnings(struct context *ctx); /* makes ctx a collector; for its creator */
void context_warn(struct context *ctx, struct str text);
/* Calls each(arg, text) for every warning collected so far, in the order of arrival. */
void context_each_warning(struct context *ctx, void (*each)(void *arg, struct str text), void *arg);
bool context_has_warnings(struct context *ctx);

/* Copied in; empty when unset; inherited. Setters are for the creator, before use. */
struct str context_tenant(const struct context *ctx);
void context_set_tenant(struct context *ctx, struct str tenant);
struct str context_request_id(const struct context *ctx);
void context_set_request_id(struct context *ctx, struct str id);

/* The streams opened for one query; set by who runs the query, inherited; NULL: none. Not owned. */
struct stall_group *context_stall_group(const struct context *ctx);
void context_set_stall_group(struct context *ctx, struct stall_group *group);
