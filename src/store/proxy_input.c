#include "store/proxy_input.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/duration.h"
#include "base/memory.h"
#include "base/mutex.h"
#include "runtime/context.h"
#include "runtime/metrics.h"

struct input_set {
    struct series_set base;
    struct series_set *inner;
    struct context *ctx;
    enum partial_response partial;
    int64_t timeout_ms;
    char *store_text;
    struct metric *empty_streams;
    bool has_given, has_ended;
    atomic_bool is_cancelled;

    struct context *timer; /* runs while a message is waited for; NULL: it does not */
    struct context_hook on_timer;

    struct mutex lock;
    struct series_wake wake GUARDED_BY(lock); /* fn NULL: nobody waits */
    bool has_arrived GUARDED_BY(lock);        /* since the timer was started */
    bool has_timed_out GUARDED_BY(lock);
};

/* -- the timer -- */

static void input_on_timer(void *arg)
{
    struct input_set *set = arg;
    if (context_ended(set->ctx))
        return; /* not the timer's own time */
    mutex_lock(&set->lock);
    bool is_late = !set->has_arrived;
    set->has_timed_out |= is_late;
    mutex_unlock(&set->lock);
    if (is_late)
        series_set_cancel(set->inner);
}

static void input_stop_timer(struct input_set *set)
{
    if (!set->timer)
        return;
    context_off_end(set->timer, &set->on_timer);
    context_unref(set->timer);
    set->timer = NULL;
}

/* A message is waited for from now on, or since the timer was started. */
static void input_start_timer(struct input_set *set)
{
    if (set->timeout_ms <= 0)
        return;
    mutex_lock(&set->lock);
    bool has_arrived = set->has_arrived;
    set->has_arrived = false;
    mutex_unlock(&set->lock);
    if (has_arrived)
        input_stop_timer(set);
    if (set->timer)
        return;
    set->timer = context_create(set->ctx, set->timeout_ms);
    set->on_timer = (struct context_hook){.fn = input_on_timer, .arg = set};
    context_on_end(set->timer, &set->on_timer);
}

/* -- failures -- */

static struct error *input_timeout_error(const struct input_set *set)
{
    struct buf text = BUF_INIT(NULL);
    duration_print_go(&text, set->timeout_ms * 1000000);
    struct error *err = error_create(
        ERROR_TIMEOUT,
        "failed to receive any data in %.*s from %s: rpc error: code = Canceled desc = context "
        "canceled",
        STR_ARG(buf_str(&text)), set->store_text);
    buf_deinit(&text);
    return err;
}

/* Takes err; NULL when the query goes on without this store. */
static struct error *input_fail(struct input_set *set, struct error *err)
{
    set->has_ended = true;
    if (context_ended(set->ctx)) {
        error_free(err);
        return context_error(set->ctx);
    }
    if (error_kind(err) == ERROR_LIMIT || atomic_load(&set->is_cancelled))
        return err;
    mutex_lock(&set->lock);
    bool has_timed_out = set->has_timed_out;
    mutex_unlock(&set->lock);
    if (has_timed_out) {
        error_free(err);
        err = input_timeout_error(set);
    }
    if (set->partial == PARTIAL_ABORT)
        return error_as(err, ERROR_UNAVAILABLE);
    context_warn(set->ctx, error_text(err));
    error_free(err);
    return NULL;
}

/* -- the set -- */

static struct error *input_next(struct series_set *base, struct arena *arena, size_t max,
                                struct series_batch *out)
{
    struct input_set *set = container_of(base, struct input_set, base);
    if (set->has_ended)
        return NULL;
    if (set->timeout_ms > 0 && !series_set_ready(set->inner, NULL))
        input_start_timer(set);
    struct error *err = series_set_next(set->inner, arena, max, out);
    input_stop_timer(set);
    if (err)
        return input_fail(set, err);
    set->has_given |= out->count > 0;
    set->has_ended = out->count == 0;
    if (set->has_ended && !set->has_given)
        metric_inc(set->empty_streams);
    return NULL;
}

static void input_wake(void *arg)
{
    struct input_set *set = arg;
    mutex_lock(&set->lock);
    struct series_wake wake = set->wake;
    set->wake = (struct series_wake){0};
    set->has_arrived = true;
    mutex_unlock(&set->lock);
    if (wake.fn)
        wake.fn(wake.arg);
}

static bool input_ready(struct series_set *base, const struct series_wake *wake)
{
    struct input_set *set = container_of(base, struct input_set, base);
    if (set->has_ended)
        return true;
    if (!wake)
        return series_set_ready(set->inner, NULL);
    input_start_timer(set); /* before the wake that tells of the arrival can come */
    mutex_lock(&set->lock);
    set->wake = *wake;
    mutex_unlock(&set->lock);
    bool is_ready = series_set_ready(set->inner, &(struct series_wake){input_wake, set});
    if (is_ready)
        input_stop_timer(set);
    return is_ready;
}

static void input_cancel(struct series_set *base)
{
    struct input_set *set = container_of(base, struct input_set, base);
    atomic_store(&set->is_cancelled, true);
    series_set_cancel(set->inner);
}

static void input_stats(struct series_set *base, struct series_set_stats *add_to)
{
    series_set_stats(container_of(base, struct input_set, base)->inner, add_to);
}

static void input_free(struct series_set *base)
{
    struct input_set *set = container_of(base, struct input_set, base);
    input_stop_timer(set);
    series_set_free(set->inner);
    context_unref(set->ctx);
    mutex_deinit(&set->lock);
    free(set->store_text);
    free(set);
}

static const struct series_set_ops input_ops = {
    .next = input_next,
    .ready = input_ready,
    .cancel = input_cancel,
    .stats = input_stats,
    .free = input_free,
};

struct series_set *proxy_input_create(struct series_set *inner,
                                      const struct proxy_input_config *config)
{
    struct input_set *set = xcalloc(1, sizeof(*set));
    set->base.ops = &input_ops;
    set->inner = inner;
    set->ctx = context_ref(config->ctx);
    set->partial = config->partial;
    set->timeout_ms = config->timeout_ms;
    set->store_text = str_dup(config->store_text);
    set->empty_streams = config->empty_streams;
    mutex_init(&set->lock);
    return &set->base;
}
