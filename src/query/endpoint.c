#include "query/endpoint.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/arena_small.h"
#include "base/memory.h"
#include "base/mutex.h"
#include "net/grpc_client.h"
#include "net/tls.h"
#include "query/endpoint_metrics.h"
#include "query/endpoint_spec.h"
#include "rpc/grpc_store.h"
#include "runtime/log.h"
#include "runtime/time.h"

struct endpoint {
    atomic_uint references;
    struct store *store;
    struct grpc_channel *channel; /* the store's */
    struct arena *spec_arena; /* these change with the members, on the checking thread, locked */
    struct endpoint_spec spec;
    struct tls_client *tls;
    struct log *log;
    int64_t created_ms; /* monotonic */
    struct mutex lock;
    bool is_known GUARDED_BY(lock); /* `status` is that of a success not too long ago */
    bool is_healthy GUARDED_BY(lock);
    bool has_store GUARDED_BY(lock);
    int64_t last_success_ms GUARDED_BY(lock); /* monotonic */
    struct arena *arena GUARDED_BY(lock);     /* of the status, but for the error's text */
    struct endpoint_status status GUARDED_BY(lock);
    char *last_error GUARDED_BY(lock); /* NULL: none */
};

/* "sidecars.test:10901" of "thanos:///dns+sidecars.test:10901". */
static struct str group_name(struct str address)
{
    struct str prefix, name;
    str_cut(str_slice(address, STR("thanos:///").len, address.len), '+', &prefix, &name);
    return name.len ? name : prefix;
}

struct endpoint *endpoint_create(struct event_loops *loops, const struct endpoint_spec *spec,
                                 struct tls_client *tls, struct log *log, struct metrics *metrics)
    NO_THREAD_SAFETY /* nobody else has it yet */
{
    struct endpoint *endpoint = xcalloc(1, sizeof(*endpoint));
    const struct grpc_channel_options options = {
        .metrics = metrics, .compress = spec->compress, .tls = tls, .in_order = spec->in_order};
    atomic_init(&endpoint->references, 1);
    endpoint->spec_arena = arena_create_small(NULL);
    endpoint->spec = endpoint_spec_copy(endpoint->spec_arena, spec);
    endpoint->tls = tls ? tls_client_ref(tls) : NULL;
    if (spec->is_group) {
        endpoint->channel = grpc_channel_create_group(loops, group_name(spec->address), &options);
        grpc_channel_set_members(endpoint->channel, spec->members, spec->member_count);
    } else {
        endpoint->channel = grpc_channel_create_with(loops, spec->address, &options);
    }
    endpoint->store = grpc_store_create(endpoint->channel, spec->address);
    endpoint->log = log;
    endpoint->created_ms = time_now_monotonic_ms();
    endpoint->has_store = true; /* until it says otherwise */
    mutex_init(&endpoint->lock);
    return endpoint;
}

struct endpoint *endpoint_ref(struct endpoint *endpoint)
{
    atomic_fetch_add_explicit(&endpoint->references, 1, memory_order_relaxed);
    return endpoint;
}

void endpoint_unref(void *arg) NO_THREAD_SAFETY /* nobody else is left when it frees */
{
    struct endpoint *endpoint = arg;
    if (!endpoint || atomic_fetch_sub_explicit(&endpoint->references, 1, memory_order_acq_rel) != 1)
        return;
    store_free(endpoint->store);
    arena_unref(endpoint->arena);
    mutex_deinit(&endpoint->lock);
    free(endpoint->last_error);
    tls_client_unref(endpoint->tls);
    arena_unref(endpoint->spec_arena);
    free(endpoint);
}

struct str endpoint_address(const struct endpoint *endpoint)
{
    return endpoint->spec.address;
}

const struct endpoint_spec *endpoint_spec(const struct endpoint *endpoint)
{
    return &endpoint->spec;
}

void endpoint_set_members(struct endpoint *endpoint, const struct endpoint_spec *spec)
{
    struct endpoint_spec *mine = &endpoint->spec;
    bool same = spec->member_count == mine->member_count;
    for (size_t i = 0; i < spec->member_count && same; i++)
        same = str_equal(spec->members[i], mine->members[i]);
    if (same || spec->member_count == 0) /* a name without addresses keeps those it had */
        return;
    struct arena *arena = arena_create_small(NULL), *old = endpoint->spec_arena;
    struct endpoint_spec copy = endpoint_spec_copy(arena, spec);
    mutex_lock(&endpoint->lock);
    endpoint->spec_arena = arena;
    *mine = copy;
    mutex_unlock(&endpoint->lock);
    arena_unref(old);
    grpc_channel_set_members(endpoint->channel, spec->members, spec->member_count);
}

struct tls_client *endpoint_tls_client(const struct endpoint *endpoint)
{
    return endpoint->tls;
}

struct store *endpoint_store(struct endpoint *endpoint)
{
    return endpoint->store;
}

/* -- checks -- */

static struct str known_type(struct str type)
{
    static const struct str types[] = {STR_INIT("sidecar"), STR_INIT("query"), STR_INIT("rule"),
                                       STR_INIT("store"), STR_INIT("receive")};
    for (size_t i = 0; i < countof(types); i++)
        if (str_equal(types[i], type))
            return types[i];
    return STR("unknown-store-api");
}

static void status_from_info(struct arena *arena, const struct peer_info *info,
                             struct endpoint_status *out)
{
    out->type = known_type(info->type);
    out->min_time = info->has_store ? info->min_time : INT64_MIN;
    out->max_time = info->has_store ? info->max_time : INT64_MAX;
    out->label_sets = arena_array(arena, info->label_set_count, sizeof(*out->label_sets));
    out->label_set_count = 0;
    for (size_t i = 0; i < info->label_set_count; i++)
        if (info->label_sets[i].len)
            out->label_sets[out->label_set_count++] = labels_copy(arena, info->label_sets[i]);
}

static bool status_equal(const struct endpoint_status *a, const struct endpoint_status *b)
{
    if (!str_equal(a->type, b->type) || a->label_set_count != b->label_set_count)
        return false;
    for (size_t i = 0; i < a->label_set_count; i++)
        if (!labels_equal(a->label_sets[i], b->label_sets[i]))
            return false;
    return true;
}

/* "adding new sidecar with [storeEndpoints rulesAPI]", as Thanos says it. */
static void log_added(struct endpoint *endpoint, const struct peer_info *info,
                      const struct endpoint_status *status)
{
    const struct {
        bool has;
        const char *name;
    } apis[] = {{info->has_store, "storeEndpoints"},       {info->has_rules, "rulesAPI"},
                {info->has_exemplars, "exemplarsAPI"},     {info->has_targets, "targetsAPI"},
                {info->has_metadata, "MetricMetadataAPI"}, {info->has_query, "QueryAPI"}};
    struct buf message = BUF_INIT(NULL), labels = BUF_INIT(NULL);
    buf_printf(&message, "adding new %.*s with [", STR_ARG(status->type));
    for (size_t i = 0, named = 0; i < countof(apis); i++)
        if (apis[i].has)
            buf_printf(&message, "%s%s", named++ ? " " : "", apis[i].name);
    buf_append(&message, "]", 2);
    endpoint_labels_text(&labels, status);
    log_info(endpoint->log, message.data, KV("address", endpoint->spec.address),
             KV("extLset", buf_str(&labels)));
    buf_deinit(&labels);
    buf_deinit(&message);
}

static void log_removed(struct endpoint *endpoint, const struct endpoint_status *status)
{
    struct buf labels = BUF_INIT(NULL);
    endpoint_labels_text(&labels, status);
    log_info(endpoint->log, "removing endpoint because it's unhealthy or does not exist",
             KV("address", endpoint->spec.address), KV("extLset", buf_str(&labels)));
    buf_deinit(&labels);
}

static bool endpoint_note_success_locked(struct endpoint *endpoint, const struct peer_info *info)
    REQUIRES(endpoint->lock)
{
    struct arena *arena = arena_create_small(NULL);
    struct endpoint_status status;
    status_from_info(arena, info, &status);
    bool changed = !endpoint->is_healthy || endpoint->has_store != info->has_store ||
                   !status_equal(&status, &endpoint->status);
    if (!endpoint->is_known)
        log_added(endpoint, info, &status);
    else if (!endpoint->is_healthy)
        log_info(endpoint->log, "endpoint is back", KV("address", endpoint->spec.address));
    arena_unref(endpoint->arena);
    free(endpoint->last_error);
    endpoint->arena = arena;
    endpoint->status = status;
    endpoint->last_error = NULL;
    endpoint->is_known = endpoint->is_healthy = true;
    endpoint->has_store = info->has_store;
    endpoint->last_success_ms = time_now_monotonic_ms();
    return changed;
}

static bool endpoint_note_failure_locked(struct endpoint *endpoint, const struct error *err,
                                         int64_t unhealthy_timeout_ms) REQUIRES(endpoint->lock)
{
    int64_t now_ms = time_now_monotonic_ms();
    bool changed = endpoint->is_healthy || (endpoint->spec.is_strict && !endpoint->last_error);
    if (changed || !endpoint->last_error)
        log_warn(endpoint->log, "update of endpoint failed", KV("address", endpoint->spec.address),
                 KV_ERR(err));
    free(endpoint->last_error);
    endpoint->last_error = str_dup(error_text(err));
    endpoint->is_healthy = false;
    if (endpoint->is_known && !endpoint->spec.is_strict &&
        now_ms - endpoint->last_success_ms >= unhealthy_timeout_ms &&
        now_ms - endpoint->created_ms >= unhealthy_timeout_ms) {
        endpoint->is_known = false;
        log_removed(endpoint, &endpoint->status);
    }
    return changed;
}

bool endpoint_note(struct endpoint *endpoint, struct error *err, const struct peer_info *info,
                   int64_t unhealthy_timeout_ms)
{
    if (!err)
        grpc_store_set_info(endpoint->store, info);
    mutex_lock(&endpoint->lock);
    bool changed = err ? endpoint_note_failure_locked(endpoint, err, unhealthy_timeout_ms)
                       : endpoint_note_success_locked(endpoint, info);
    if (!err)
        endpoint->status.last_check_ms = time_now_ms();
    mutex_unlock(&endpoint->lock);
    error_free(err);
    return changed;
}

void endpoint_note_removed(struct endpoint *endpoint)
{
    mutex_lock(&endpoint->lock);
    if (endpoint->is_known || endpoint->spec.is_strict)
        log_removed(endpoint, &endpoint->status);
    mutex_unlock(&endpoint->lock);
}

/* -- what it is -- */

bool endpoint_is_healthy(struct endpoint *endpoint)
{
    mutex_lock(&endpoint->lock);
    bool is_healthy = endpoint->is_healthy || endpoint->spec.is_strict;
    mutex_unlock(&endpoint->lock);
    return is_healthy;
}

bool endpoint_is_queryable(struct endpoint *endpoint)
{
    mutex_lock(&endpoint->lock);
    bool is_queryable = (endpoint->is_healthy || endpoint->spec.is_strict) && endpoint->has_store;
    mutex_unlock(&endpoint->lock);
    return is_queryable;
}

bool endpoint_status(struct endpoint *endpoint, struct arena *arena, struct endpoint_status *out)
{
    mutex_lock(&endpoint->lock);
    bool is_known = endpoint->is_known;
    if (is_known)
        *out = endpoint->status;
    else
        *out = (struct endpoint_status){
            .type = known_type(STR("")), .min_time = INT64_MIN, .max_time = INT64_MAX};
    if (is_known)
        arena_keep(arena, endpoint->arena);
    out->address = arena_str(arena, endpoint->spec.address);
    out->last_error = arena_str(arena, str_from(endpoint->last_error));
    mutex_unlock(&endpoint->lock);
    return is_known;
}
