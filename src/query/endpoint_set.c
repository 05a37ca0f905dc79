#include "query/endpoint_set.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/mutex.h"
#include "net/address.h"
#include "net/grpc_client.h"
#include "query/endpoint.h"
#include "query/endpoint_metrics.h"
#include "rpc/grpc_store.h"
#include "runtime/context.h"
#include "runtime/log.h"
#include "runtime/metrics.h"
#include "runtime/thread.h"
#include "runtime/time.h"

struct endpoint_set {
    struct endpoint **endpoints; /* does not change */
    size_t count;
    int64_t check_interval_ms, check_timeout_ms, unhealthy_timeout_ms;
    struct log *log;
    struct endpoint_metrics *metrics; /* of the checking thread */
    struct context *ctx;              /* ends with stop() */
    pthread_t thread;
    bool is_started;
    struct mutex lock;
    pthread_cond_t changed; /* a check may be ready; the first round is over */
    bool is_woken GUARDED_BY(lock);
    bool is_checked GUARDED_BY(lock);
    struct store_list *stores GUARDED_BY(lock);
    struct store_list *peers GUARDED_BY(lock); /* also without a Store API */
};

/* -- making -- */

static struct error *address_check(struct str address)
{
    struct str type, name, host, port;
    uint16_t number;
    if (str_cut(address, '+', &type, &name))
        return error_create(ERROR_INVALID,
                            "endpoint %.*s: discovery by %.*s is not supported yet; give host:port",
                            STR_ARG(address), STR_ARG(type));
    struct error *err = address_split(address, &host, &port);
    if (err)
        return error_wrap(err, "endpoint %.*s", STR_ARG(address));
    if (host.len == 0 || !address_port(port, &number) || number == 0)
        return error_create(ERROR_INVALID, "endpoint %.*s: not a host:port", STR_ARG(address));
    return NULL;
}

static bool set_has(const struct endpoint_set *set, struct str address)
{
    for (size_t i = 0; i < set->count; i++)
        if (str_equal(endpoint_address(set->endpoints[i]), address))
            return true;
    return false;
}

static void set_add(struct endpoint_set *set, const struct endpoint_set_config *config,
                    struct str address, struct metric *duplicates)
{
    if (set_has(set, address)) {
        log_warn(set->log, "Duplicate endpoint address is provided", KV("addr", address));
        metric_inc(duplicates);
        return;
    }
    const struct grpc_channel_options options = {
        .metrics = config->metrics, .compress = config->compress, .tls = config->tls};
    set->endpoints[set->count++] = endpoint_create(config->loops, address, &options, config->log);
}

struct error *endpoint_set_create(const struct endpoint_set_config *config,
                                  struct endpoint_set **out) NO_THREAD_SAFETY
{
    *out = NULL;
    for (size_t i = 0; i < config->address_count; i++) {
        struct error *err = address_check(config->addresses[i]);
        if (err)
            return err;
    }
    struct endpoint_set *set = xcalloc(1, sizeof(*set));
    struct metric *duplicates = NULL;
    if (config->metrics)
        duplicates = metrics_counter(
            config->metrics, "thanos_query_duplicated_endpoint_addresses_total",
            "The number of times a duplicated endpoint addresses is detected from the different "
            "configs in query");
    set->check_interval_ms = config->check_interval_ms;
    set->check_timeout_ms = config->check_timeout_ms;
    set->unhealthy_timeout_ms = config->unhealthy_timeout_ms;
    set->log = config->log;
    set->metrics = endpoint_metrics_create(config->metrics, config->metric_labels);
    set->ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    set->stores = store_list_create(NULL, 0);
    set->peers = store_list_create(NULL, 0);
    mutex_init(&set->lock);
    thread_cond_init(&set->changed);
    set->endpoints = xcalloc(config->address_count + 1, sizeof(struct endpoint *));
    for (size_t i = 0; i < config->address_count; i++)
        set_add(set, config, config->addresses[i], duplicates);
    *out = set;
    return NULL;
}

void endpoint_set_free(struct endpoint_set *set) NO_THREAD_SAFETY /* nobody else is left */
{
    if (!set)
        return;
    endpoint_set_stop(set);
    store_list_unref(set->stores);
    store_list_unref(set->peers);
    for (size_t i = 0; i < set->count; i++)
        endpoint_unref(set->endpoints[i]);
    endpoint_metrics_free(set->metrics);
    context_unref(set->ctx);
    pthread_cond_destroy(&set->changed);
    mutex_deinit(&set->lock);
    free(set->endpoints);
    free(set);
}

/* -- what others see -- */

struct store_list *endpoint_set_stores(void *self)
{
    struct endpoint_set *set = self;
    mutex_lock(&set->lock);
    struct store_list *stores = store_list_ref(set->stores);
    mutex_unlock(&set->lock);
    return stores;
}

struct store_list *endpoint_set_peers(struct endpoint_set *set)
{
    mutex_lock(&set->lock);
    struct store_list *peers = store_list_ref(set->peers);
    mutex_unlock(&set->lock);
    return peers;
}

static int status_compare(const void *a, const void *b)
{
    const struct endpoint_status *x = a, *y = b;
    int order = str_compare(x->type, y->type);
    return order ? order : str_compare(x->address, y->address);
}

void endpoint_set_statuses(void *self, struct arena *arena, struct endpoint_statuses *out)
{
    struct endpoint_set *set = self;
    *out = (struct endpoint_statuses){arena_array(arena, set->count, sizeof(*out->items)), 0};
    for (size_t i = 0; i < set->count; i++)
        out->count += endpoint_status(set->endpoints[i], arena, &out->items[out->count]);
    if (out->count)
        qsort(out->items, out->count, sizeof(*out->items), status_compare);
}

static bool is_producer(const struct endpoint_status *status)
{
    return str_equal(status->type, STR("sidecar")) || str_equal(status->type, STR("rule"));
}

/* Two sidecars or rulers that say they are the same. */
static void warn_of_twins(struct endpoint_set *set, const struct endpoint_status *items,
                          size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            if (is_producer(&items[i]) && is_producer(&items[j]) && items[i].label_set_count == 1 &&
                items[j].label_set_count == 1 &&
                labels_equal(items[i].label_sets[0], items[j].label_sets[0]))
                log_warn(set->log,
                         "found duplicate storeEndpoints producer (sidecar or ruler). This is not "
                         "expected as both will have the same external labels",
                         KV("address", items[i].address), KV("other", items[j].address));
}

/* A list of the endpoints that pass. */
static struct store_list *set_list(struct endpoint_set *set, struct arena *arena,
                                   bool (*passes)(struct endpoint *endpoint))
{
    struct store_member *members = arena_array(arena, set->count, sizeof(*members));
    size_t count = 0;
    for (size_t i = 0; i < set->count; i++) {
        struct endpoint *endpoint = set->endpoints[i];
        if (passes(endpoint))
            members[count++] = (struct store_member){endpoint_store(endpoint), endpoint_unref,
                                                     endpoint_ref(endpoint)};
    }
    return store_list_create(members, count);
}

/* New lists of those that can be queried. */
static void set_publish(struct endpoint_set *set)
{
    struct arena *arena = arena_create(NULL);
    struct endpoint_status *statuses = arena_array(arena, set->count, sizeof(*statuses));
    size_t count = 0;
    for (size_t i = 0; i < set->count; i++)
        if (endpoint_is_queryable(set->endpoints[i]))
            count += endpoint_status(set->endpoints[i], arena, &statuses[count]);
    warn_of_twins(set, statuses, count);
    endpoint_metrics_set(set->metrics, statuses, count);
    struct store_list *stores = set_list(set, arena, endpoint_is_queryable);
    struct store_list *peers = set_list(set, arena, endpoint_is_healthy);
    mutex_lock(&set->lock);
    struct store_list *old_stores = set->stores, *old_peers = set->peers;
    set->stores = stores;
    set->peers = peers;
    mutex_unlock(&set->lock);
    store_list_unref(old_stores);
    store_list_unref(old_peers);
    arena_unref(arena);
}

/* -- checking -- */

static void set_wake(void *arg)
{
    struct endpoint_set *set = arg;
    mutex_lock(&set->lock);
    set->is_woken = true;
    pthread_cond_broadcast(&set->changed);
    mutex_unlock(&set->lock);
}

/* Waits for a wake, or for the end of the checks' time. */
static void set_wait_wake(struct endpoint_set *set, struct context *ctx)
{
    mutex_lock(&set->lock);
    while (!set->is_woken && !context_ended(ctx))
        thread_cond_wait_until(&set->changed, &set->lock, context_deadline_ms(ctx));
    set->is_woken = false;
    mutex_unlock(&set->lock);
}

static bool check_finish(struct endpoint_set *set, struct endpoint *endpoint,
                         struct info_call *call)
{
    struct arena *arena = arena_create(NULL);
    struct peer_info info;
    struct error *err = info_call_finish(call, arena, &info);
    bool changed = endpoint_note(endpoint, err, &info, set->unhealthy_timeout_ms);
    arena_unref(arena);
    return changed;
}

/* Asks all endpoints at once and takes their answers as they come, so that a dead one holds up
 * nobody. */
static void set_check(struct endpoint_set *set)
{
    struct context *ctx = context_create(set->ctx, set->check_timeout_ms);
    struct info_call **calls = xcalloc(set->count + 1, sizeof(struct info_call *));
    const struct series_wake wake = {set_wake, set};
    size_t pending = set->count;
    for (size_t i = 0; i < set->count; i++)
        calls[i] = grpc_store_ask_info(endpoint_store(set->endpoints[i]), ctx);
    while (pending) {
        bool changed = false;
        for (size_t i = 0; i < set->count; i++) {
            if (!calls[i] || (!context_ended(ctx) && !info_call_ready(calls[i], &wake)))
                continue;
            changed |= check_finish(set, set->endpoints[i], calls[i]);
            calls[i] = NULL;
            pending--;
        }
        if (changed)
            set_publish(set);
        if (pending)
            set_wait_wake(set, ctx);
    }
    free(calls);
    context_unref(ctx);
}

static void set_run(void *arg)
{
    struct endpoint_set *set = arg;
    while (!context_ended(set->ctx)) {
        int64_t next_ms = time_now_monotonic_ms() + set->check_interval_ms;
        set_check(set);
        mutex_lock(&set->lock);
        set->is_checked = true;
        pthread_cond_broadcast(&set->changed);
        mutex_unlock(&set->lock);
        int64_t left_ms = next_ms - time_now_monotonic_ms();
        if (left_ms > 0)
            error_free(context_sleep(set->ctx, left_ms)); /* stop() cuts it short */
    }
}

struct error *endpoint_set_start(struct endpoint_set *set)
{
    struct error *err = thread_start_joinable("endpoints", set_run, set, &set->thread);
    set->is_started = !err;
    return err;
}

struct error *endpoint_set_wait_checked(struct endpoint_set *set, struct context *ctx)
{
    struct error *err = NULL;
    mutex_lock(&set->lock);
    while (!set->is_checked && !err)
        err = context_wait(ctx, &set->changed, &set->lock);
    mutex_unlock(&set->lock);
    return err;
}

void endpoint_set_stop(struct endpoint_set *set)
{
    context_cancel(set->ctx);
    set_wake(set);
    if (set->is_started)
        pthread_join(set->thread, NULL);
    set->is_started = false;
}
