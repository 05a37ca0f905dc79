#include "runtime/context.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/memory.h"
#include "runtime/thread.h"
#include "runtime/time.h"
#include "runtime/timers.h"
#include "runtime/warnings.h"

enum { WARNING_BYTES_MAX = 16 * 1024 };
enum { HOOK_OFF, HOOK_WAITS, HOOK_RAN };

/* A context that ends runs its hooks one by one, without its lock. What runs is noted here and not
 * in the hook, since a hook's memory may go as soon as its fn has returned. */
struct context {
    atomic_int refs;
    struct context *parent;
    struct context_hook parent_hook; /* in parent */
    struct timer timer;
    int64_t deadline_ms; /* INT64_MAX: none */

    atomic_bool ended;    /* set after reason */
    struct error *reason; /* set once, under lock */

    struct mutex lock; /* of these: */
    struct context_hook *first_hook, *last_hook;
    struct context_hook *running;
    pthread_t running_on;
    pthread_cond_t hook_done;

    struct budget *budget;
    struct stall_group *stall_group;
    struct warnings *warnings; /* where they go: of this or an ancestor; NULL: nowhere */
    struct str tenant, request_id;
    bool owns_warnings, owns_tenant, owns_request_id;
};

static struct error *deadline_error(void)
{
    return error_create(ERROR_TIMEOUT, "context deadline exceeded");
}

static bool context_deadline_passed(const struct context *ctx)
{
    return ctx->deadline_ms != INT64_MAX && time_now_monotonic_ms() >= ctx->deadline_ms;
}

/* Takes a reference unless the last one is gone already. */
static bool context_pin(void *arg)
{
    struct context *ctx = arg;
    int refs = atomic_load_explicit(&ctx->refs, memory_order_relaxed);
    while (refs > 0)
        if (atomic_compare_exchange_weak(&ctx->refs, &refs, refs + 1))
            return true;
    return false;
}

/* -- hooks -- */

static void hook_append_locked(struct context *ctx, struct context_hook *hook) REQUIRES(ctx->lock)
{
    hook->state = HOOK_WAITS;
    hook->next = NULL;
    hook->prev = ctx->last_hook;
    if (ctx->last_hook)
        ctx->last_hook->next = hook;
    else
        ctx->first_hook = hook;
    ctx->last_hook = hook;
}

static void hook_remove_locked(struct context *ctx, struct context_hook *hook) REQUIRES(ctx->lock)
{
    if (hook->prev)
        hook->prev->next = hook->next;
    else
        ctx->first_hook = hook->next;
    if (hook->next)
        hook->next->prev = hook->prev;
    else
        ctx->last_hook = hook->prev;
    hook->next = hook->prev = NULL;
}

/* False, and nothing done, when ctx has ended. */
static bool context_add_hook(struct context *ctx, struct context_hook *hook)
{
    mutex_lock(&ctx->lock);
    bool added = !ctx->reason;
    if (added)
        hook_append_locked(ctx, hook);
    mutex_unlock(&ctx->lock);
    return added;
}

/* True when fn has not run and will not, or has returned; false while it runs. */
static bool context_drop_hook(struct context *ctx, struct context_hook *hook)
{
    mutex_lock(&ctx->lock);
    if (hook->state == HOOK_WAITS) {
        hook_remove_locked(ctx, hook);
        hook->state = HOOK_OFF;
    }
    bool running = ctx->running == hook && !pthread_equal(ctx->running_on, pthread_self());
    mutex_unlock(&ctx->lock);
    return !running;
}

void context_on_end(struct context *ctx, struct context_hook *hook)
{
    if (context_add_hook(ctx, hook))
        return;
    hook->state = HOOK_RAN;
    hook->fn(hook->arg);
}

void context_off_end(struct context *ctx, struct context_hook *hook)
{
    if (context_drop_hook(ctx, hook))
        return;
    mutex_lock(&ctx->lock);
    while (ctx->running == hook)
        mutex_wait(&ctx->lock, &ctx->hook_done);
    mutex_unlock(&ctx->lock);
}

static void context_run_hooks(struct context *ctx)
{
    mutex_lock(&ctx->lock);
    while (ctx->first_hook) {
        struct context_hook *hook = ctx->first_hook;
        hook_remove_locked(ctx, hook);
        hook->state = HOOK_RAN;
        ctx->running = hook;
        ctx->running_on = pthread_self();
        void (*fn)(void *arg) = hook->fn;
        void *arg = hook->arg;
        mutex_unlock(&ctx->lock);
        fn(arg);
        mutex_lock(&ctx->lock);
        ctx->running = NULL;
        pthread_cond_broadcast(&ctx->hook_done);
    }
    mutex_unlock(&ctx->lock);
}

/* -- ending -- */

static void context_end(struct context *ctx, struct error *reason)
{
    if (context_deadline_passed(ctx)) { /* that came first, though its timer did not fire yet */
        error_free(reason);
        reason = deadline_error();
    }
    mutex_lock(&ctx->lock);
    bool first = !ctx->reason;
    if (first) {
        ctx->reason = reason;
        atomic_store_explicit(&ctx->ended, true, memory_order_release);
    }
    mutex_unlock(&ctx->lock);
    if (first)
        context_run_hooks(ctx);
    else
        error_free(reason);
}

static void context_timer_fire(void *arg)
{
    struct context *ctx = arg;
    context_end(ctx, deadline_error());
    context_unref(ctx);
}

static void context_parent_ended(void *arg)
{
    struct context *ctx = arg;
    if (!context_pin(ctx))
        return; /* being freed, which waits for this function */
    context_end(ctx, error_copy(ctx->parent->reason));
    context_unref(ctx);
}

void context_cancel(struct context *ctx)
{
    context_cancel_with(ctx, ERROR_CANCELLED, "context canceled");
}

void context_cancel_with(struct context *ctx, enum error_kind kind, const char *reason)
{
    context_end(ctx, error_create(kind, "%s", reason));
}

bool context_ended(struct context *ctx)
{
    return atomic_load_explicit(&ctx->ended, memory_order_acquire) || context_deadline_passed(ctx);
}

struct error *context_error(struct context *ctx)
{
    if (atomic_load_explicit(&ctx->ended, memory_order_acquire))
        return error_copy(ctx->reason);
    return context_deadline_passed(ctx) ? deadline_error() : NULL;
}

int64_t context_deadline_ms(const struct context *ctx)
{
    return ctx->deadline_ms;
}

int64_t context_left_ms(const struct context *ctx)
{
    if (ctx->deadline_ms == INT64_MAX)
        return INT64_MAX;
    return int64_max(0, ctx->deadline_ms - time_now_monotonic_ms());
}

/* -- life -- */

static void context_inherit(struct context *ctx, struct context *parent)
{
    ctx->parent = context_ref(parent);
    ctx->budget = parent->budget;
    ctx->stall_group = parent->stall_group;
    ctx->warnings = parent->warnings;
    ctx->tenant = parent->tenant;
    ctx->request_id = parent->request_id;
    ctx->deadline_ms = parent->deadline_ms;
}

struct context *context_create(struct context *parent, int64_t timeout_ms)
{
    struct context *ctx = xcalloc(1, sizeof(*ctx));
    atomic_init(&ctx->refs, 1);
    mutex_init(&ctx->lock);
    pthread_cond_init(&ctx->hook_done, NULL);
    ctx->deadline_ms = INT64_MAX;
    if (parent)
        context_inherit(ctx, parent);
    if (timeout_ms != CONTEXT_NO_DEADLINE) {
        int64_t own_ms = int64_add_saturating(time_now_monotonic_ms(), timeout_ms);
        if (own_ms < ctx->deadline_ms) { /* else the parent's end is soon enough */
            ctx->deadline_ms = own_ms;
            ctx->timer = (struct timer){
                .at_ms = own_ms, .pin = context_pin, .fire = context_timer_fire, .owner = ctx};
            timers_add(&ctx->timer);
        }
    }
    if (parent) {
        ctx->parent_hook.fn = context_parent_ended;
        ctx->parent_hook.arg = ctx;
        context_on_end(parent, &ctx->parent_hook);
    }
    return ctx;
}

struct context *context_ref(struct context *ctx)
{
    atomic_fetch_add_explicit(&ctx->refs, 1, memory_order_relaxed);
    return ctx;
}

static void context_free(struct context *ctx)
{
    if (ctx->timer.fire)
        timers_remove(&ctx->timer);
    if (ctx->parent)
        context_off_end(ctx->parent, &ctx->parent_hook);
    if (ctx->owns_warnings)
        warnings_free(ctx->warnings);
    if (ctx->owns_tenant)
        free((char *)ctx->tenant.data);
    if (ctx->owns_request_id)
        free((char *)ctx->request_id.data);
    context_unref(ctx->parent);
    error_free(ctx->reason);
    pthread_cond_destroy(&ctx->hook_done);
    mutex_deinit(&ctx->lock);
    free(ctx);
}

void context_unref(struct context *ctx)
{
    if (ctx && atomic_fetch_sub_explicit(&ctx->refs, 1, memory_order_acq_rel) == 1)
        context_free(ctx);
}

/* -- waiting -- */

struct context_waiter {
    pthread_cond_t *cond;
    struct mutex *mutex;
};

static void context_wake_waiter(void *arg)
{
    struct context_waiter *waiter = arg;
    mutex_lock(waiter->mutex);
    pthread_cond_broadcast(waiter->cond);
    mutex_unlock(waiter->mutex);
}

struct error *context_wait(struct context *ctx, pthread_cond_t *cond, struct mutex *mutex)
{
    struct context_waiter waiter = {cond, mutex};
    struct context_hook hook = {.fn = context_wake_waiter, .arg = &waiter};
    struct error *err = context_error(ctx);
    if (err)
        return err;
    if (!context_add_hook(ctx, &hook))
        return context_error(ctx);
    mutex_wait(mutex, cond);
    if (!context_drop_hook(ctx, &hook)) { /* it may be waiting for this very mutex */
        mutex_unlock(mutex);
        context_off_end(ctx, &hook);
        mutex_lock(mutex);
    }
    return context_error(ctx);
}

struct error *context_sleep(struct context *ctx, int64_t ms)
{
    struct mutex mutex = MUTEX_INIT;
    pthread_cond_t cond;
    thread_cond_init(&cond);
    struct context_waiter waiter = {&cond, &mutex};
    struct context_hook hook = {.fn = context_wake_waiter, .arg = &waiter};
    int64_t until_ms = int64_add_saturating(time_now_monotonic_ms(), ms);
    context_on_end(ctx, &hook);
    mutex_lock(&mutex);
    while (!context_ended(ctx) && time_now_monotonic_ms() < until_ms)
        thread_cond_wait_until(&cond, &mutex, int64_min(until_ms, ctx->deadline_ms));
    mutex_unlock(&mutex);
    context_off_end(ctx, &hook);
    pthread_cond_destroy(&cond);
    mutex_deinit(&mutex);
    return context_error(ctx);
}

/* -- what travels with it -- */

struct budget *context_budget(const struct context *ctx)
{
    return ctx->budget;
}

void context_set_budget(struct context *ctx, struct budget *budget)
{
    ctx->budget = budget;
}

struct stall_group *context_stall_group(const struct context *ctx)
{
    return ctx->stall_group;
}

void context_set_stall_group(struct context *ctx, struct stall_group *group)
{
    ctx->stall_group = group;
}

void context_collect_warnings(struct context *ctx)
{
    if (ctx->owns_warnings)
        return;
    ctx->warnings = warnings_create(CONTEXT_WARNINGS_MAX, WARNING_BYTES_MAX);
    ctx->owns_warnings = true;
}

void context_warn(struct context *ctx, struct str text)
{
    if (ctx->warnings)
        warnings_add(ctx->warnings, text);
}

void context_each_warning(struct context *ctx, void (*each)(void *arg, struct str text), void *arg)
{
    size_t count = ctx->warnings ? warnings_count(ctx->warnings) : 0;
    for (size_t i = 0; i < count; i++)
        each(arg, warnings_at(ctx->warnings, i));
}

bool context_has_warnings(struct context *ctx)
{
    return ctx->warnings && warnings_count(ctx->warnings) > 0;
}

static void context_set_text(struct str *field, bool *owned, struct str value)
{
    if (*owned)
        free((char *)field->data);
    *field = (struct str){str_dup(value), value.len};
    *owned = true;
}

struct str context_tenant(const struct context *ctx)
{
    return ctx->tenant;
}

void context_set_tenant(struct context *ctx, struct str tenant)
{
    context_set_text(&ctx->tenant, &ctx->owns_tenant, tenant);
}

struct str context_request_id(const struct context *ctx)
{
    return ctx->request_id;
}

void context_set_request_id(struct context *ctx, struct str id)
{
    context_set_text(&ctx->request_id, &ctx->owns_request_id, id);
}
