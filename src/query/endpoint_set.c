#include "query/endpoint_set.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/mutex.h"
#include "model/relabel.h"
#include "net/tls.h"
#include "query/endpoint.h"
#include "query/endpoint_metrics.h"
#include "rpc/grpc_store.h"
#include "runtime/context.h"
#include "runtime/log.h"
#include "runtime/metrics.h"
#include "runtime/thread.h"
#include "runtime/time.h"

enum { PUBLISH_PAUSE_MS = 20 };

struct endpoint_set {
    struct endpoint_set_config config;
    struct endpoint_metrics *metrics; /* these are of the checking thread */
    struct metric *duplicates;
    uint64_t specs_hash;
    struct context *ctx; /* ends with stop() */
    pthread_t thread;
    bool is_started;
    struct mutex lock;
    pthread_cond_t changed;           /* any of the next three */
    bool is_woken GUARDED_BY(lock);   /* a check may be ready */
    bool is_stale GUARDED_BY(lock);   /* a round is wanted now */
    bool is_checked GUARDED_BY(lock); /* the first complete round is over */
    /* Changed by the checking thread only, which therefore reads them without the lock. */
    struct endpoint **endpoints;
    size_t count;
    struct store_list *stores GUARDED_BY(lock);
    struct store_list *peers GUARDED_BY(lock); /* also without a Store API */
};

/* -- making -- */

struct endpoint_set *endpoint_set_create(const struct endpoint_set_config *config) NO_THREAD_SAFETY
{
    struct endpoint_set *set = xcalloc(1, sizeof(*set));
    set->config = *config;
    if (config->metrics)
        set->duplicates = metrics_counter(
            config->metrics, "thanos_query_duplicated_endpoint_addresses_total",
            "The number of times a duplicated endpoint addresses is detected from the different "
            "configs");
    set->metrics = endpoint_metrics_create(config->metrics, config->metric_labels);
    set->ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    set->stores = store_list_create(NULL, 0);
    set->peers = store_list_create(NULL, 0);
    mutex_init(&set->lock);
    thread_cond_init(&set->changed);
    return set;
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

/* Leaves the label sets that relabelling keeps; false: it drops all there are. */
static bool status_select(const struct endpoint_set *set, struct arena *arena,
                          struct endpoint_status *status)
{
    size_t kept = 0;
    if (relabel_count(set->config.relabel) == 0 || status->label_set_count == 0)
        return true;
    struct labels *sets = arena_array(arena, status->label_set_count, sizeof(*sets)), ignored;
    for (size_t i = 0; i < status->label_set_count; i++)
        if (relabel_labels(set->config.relabel, arena, status->label_sets[i], &ignored))
            sets[kept++] = status->label_sets[i];
    status->label_sets = sets;
    status->label_set_count = kept;
    return kept > 0;
}

void endpoint_set_statuses(void *self, struct arena *arena, struct endpoint_statuses *out)
{
    struct endpoint_set *set = self;
    mutex_lock(&set->lock);
    *out = (struct endpoint_statuses){arena_array(arena, set->count, sizeof(*out->items)), 0};
    for (size_t i = 0; i < set->count; i++)
        out->count += endpoint_status(set->endpoints[i], arena, &out->items[out->count]) &&
                      status_select(set, arena, &out->items[out->count]);
    mutex_unlock(&set->lock);
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
                log_warn(set->config.log,
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
        if (endpoint_is_healthy(set->endpoints[i]))
            endpoint_status(set->endpoints[i], arena, &statuses[count++]);
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

/* -- the endpoints there are -- */

/* A round's new list of endpoints. */
struct reconciling {
    struct endpoint_set *set;
    struct endpoint_specs specs;
    bool is_news; /* the addresses are others than in the round before: complain about them */
    struct endpoint **endpoints;
    size_t count;
    bool changed;
};

static bool specs_are_news(struct endpoint_set *set, const struct endpoint_specs *specs)
{
    struct hash_stream hash;
    hash_stream_init(&hash);
    for (size_t i = 0; i < specs->count; i++) {
        hash_stream_add(&hash, specs->items[i].address.data, specs->items[i].address.len);
        hash_stream_add(&hash, "", 1);
    }
    uint64_t sum = hash_stream_sum(&hash), before = set->specs_hash;
    set->specs_hash = sum;
    return sum != before;
}

static bool is_repeated(const struct endpoint_specs *specs, size_t at)
{
    for (size_t i = at + 1; i < specs->count; i++)
        if (str_equal(specs->items[i].address, specs->items[at].address))
            return true;
    return false;
}

static struct endpoint *set_find(const struct endpoint_set *set, struct str address)
{
    for (size_t i = 0; i < set->count; i++)
        if (str_equal(endpoint_address(set->endpoints[i]), address))
            return set->endpoints[i];
    return NULL;
}

/* Endpoints with the same settings share what these became. */
static struct error *make_tls(struct reconciling *round, const struct endpoint_spec *spec,
                              struct tls_client **out)
{
    *out = NULL;
    if (!spec->tls.enabled)
        return NULL;
    for (size_t i = 0; i < round->count; i++)
        if (endpoint_tls_equal(&endpoint_spec(round->endpoints[i])->tls, &spec->tls)) {
            *out = tls_client_ref(endpoint_tls_client(round->endpoints[i]));
            return NULL;
        }
    return tls_client_create(&spec->tls.config, round->set->config.log, out);
}

static void reconcile_new(struct reconciling *round, const struct endpoint_spec *spec)
{
    const struct endpoint_set_config *config = &round->set->config;
    struct tls_client *tls = NULL;
    struct error *err = make_tls(round, spec, &tls);
    if (err) {
        if (round->is_news)
            log_error(config->log, "skipping endpoint due to TLS configuration error",
                      KV("addr", spec->address), KV_ERR(err));
        error_free(err);
        return;
    }
    round->endpoints[round->count++] =
        endpoint_create(config->loops, spec, tls, config->log, config->metrics);
    tls_client_unref(tls);
    round->changed = true;
}

static void reconcile_one(struct reconciling *round, size_t at)
{
    const struct endpoint_spec *spec = &round->specs.items[at];
    if (is_repeated(&round->specs, at)) {
        metric_inc(round->set->duplicates);
        if (round->is_news)
            log_warn(round->set->config.log, "Duplicate endpoint address is provided",
                     KV("addr", spec->address));
        return;
    }
    struct endpoint *old = set_find(round->set, spec->address);
    if (!old || !endpoint_spec_equal(endpoint_spec(old), spec)) {
        reconcile_new(round, spec);
        return;
    }
    round->endpoints[round->count++] = endpoint_ref(old);
    if (spec->is_group)
        endpoint_set_members(old, spec);
}

static bool is_kept(const struct reconciling *round, const struct endpoint *endpoint)
{
    for (size_t i = 0; i < round->count; i++)
        if (round->endpoints[i] == endpoint)
            return true;
    return false;
}

/* Makes the endpoints those that are wanted now. True when that is all there ever was to ask for.
 */
static bool set_reconcile(struct endpoint_set *set)
{
    struct arena *arena = arena_create(NULL);
    struct reconciling round = {.set = set};
    set->config.specs(set->config.specs_self, arena, &round.specs);
    round.is_news = specs_are_news(set, &round.specs);
    round.endpoints = xcalloc(round.specs.count + 1, sizeof(struct endpoint *));
    for (size_t i = 0; i < round.specs.count; i++)
        reconcile_one(&round, i);
    for (size_t i = 0; i < set->count; i++)
        if (!is_kept(&round, set->endpoints[i])) {
            endpoint_note_removed(set->endpoints[i]);
            round.changed = true;
        }
    mutex_lock(&set->lock);
    struct endpoint **old = set->endpoints;
    size_t old_count = set->count;
    set->endpoints = round.endpoints;
    set->count = round.count;
    mutex_unlock(&set->lock);
    for (size_t i = 0; i < old_count; i++)
        endpoint_unref(old[i]);
    free(old);
    arena_unref(arena);
    if (round.changed)
        set_publish(set);
    return round.specs.is_complete;
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

/* Waits for a wake, for the end of the checks' time, or until until_ms. */
static void set_wait_wake(struct endpoint_set *set, struct context *ctx, int64_t until_ms)
{
    until_ms = int64_min(until_ms, context_deadline_ms(ctx));
    mutex_lock(&set->lock);
    while (!set->is_woken && !context_ended(ctx) && time_now_monotonic_ms() < until_ms)
        thread_cond_wait_until(&set->changed, &set->lock, until_ms);
    set->is_woken = false;
    mutex_unlock(&set->lock);
}

static bool check_finish(struct endpoint_set *set, struct endpoint *endpoint,
                         struct info_call *call)
{
    struct arena *arena = arena_create(NULL);
    struct peer_info info;
    struct error *err = info_call_finish(call, arena, &info);
    bool changed = endpoint_note(endpoint, err, &info, set->config.unhealthy_timeout_ms);
    arena_unref(arena);
    return changed;
}

/* Takes the answers that have come; true when one changed something. */
static bool set_take_answers(struct endpoint_set *set, struct context *ctx,
                             struct info_call **calls, size_t *pending)
{
    const struct series_wake wake = {set_wake, set};
    bool changed = false;
    for (size_t i = 0; i < set->count; i++) {
        if (!calls[i] || (!context_ended(ctx) && !info_call_ready(calls[i], &wake)))
            continue;
        changed |= check_finish(set, set->endpoints[i], calls[i]);
        calls[i] = NULL;
        --*pending;
    }
    return changed;
}

/* Asks all endpoints at once and takes their answers as they come, so that a dead one holds up
 * nobody. Changes are published as they come, but not one by one: hundreds may come at a start. */
static void set_check(struct endpoint_set *set)
{
    struct context *ctx = context_create(set->ctx, set->config.check_timeout_ms);
    struct info_call **calls = xcalloc(set->count + 1, sizeof(struct info_call *));
    size_t pending = set->count;
    int64_t publish_ms = time_now_monotonic_ms();
    bool changed = false;
    for (size_t i = 0; i < set->count; i++)
        calls[i] = grpc_store_ask_info(endpoint_store(set->endpoints[i]), ctx);
    while (pending) {
        changed |= set_take_answers(set, ctx, calls, &pending);
        if (changed && (!pending || time_now_monotonic_ms() >= publish_ms)) {
            set_publish(set);
            changed = false;
            publish_ms = time_now_monotonic_ms() + PUBLISH_PAUSE_MS;
        }
        if (pending)
            set_wait_wake(set, ctx, changed ? publish_ms : INT64_MAX);
    }
    free(calls);
    context_unref(ctx);
}

/* Waits until the next round is due, wanted, or the end. */
static void set_wait_round(struct endpoint_set *set, int64_t next_ms)
{
    mutex_lock(&set->lock);
    while (!set->is_stale && !context_ended(set->ctx) && time_now_monotonic_ms() < next_ms)
        thread_cond_wait_until(&set->changed, &set->lock, next_ms);
    set->is_stale = false;
    mutex_unlock(&set->lock);
}

static void set_run(void *arg)
{
    struct endpoint_set *set = arg;
    while (!context_ended(set->ctx)) {
        int64_t next_ms = time_now_monotonic_ms() + set->config.check_interval_ms;
        bool is_complete = set_reconcile(set);
        set_check(set);
        mutex_lock(&set->lock);
        set->is_checked |= is_complete;
        pthread_cond_broadcast(&set->changed);
        mutex_unlock(&set->lock);
        set_wait_round(set, next_ms);
    }
}

struct error *endpoint_set_start(struct endpoint_set *set)
{
    struct error *err = thread_start_joinable("endpoints", set_run, set, &set->thread);
    set->is_started = !err;
    return err;
}

void endpoint_set_refresh(void *self)
{
    struct endpoint_set *set = self;
    mutex_lock(&set->lock);
    set->is_stale = true;
    pthread_cond_broadcast(&set->changed);
    mutex_unlock(&set->lock);
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
