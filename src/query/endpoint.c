#include "query/endpoint.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/mutex.h"
#include "net/grpc_client.h"
#include "rpc/grpc_store.h"
#include "runtime/log.h"
#include "runtime/time.h"

struct endpoint {
    atomic_uint references;
    struct store *store;
    char *address;
    struct log *log;
    struct mutex lock;
    bool is_known GUARDED_BY(lock); /* `status` is that of a success not too long ago */
    bool is_healthy GUARDED_BY(lock);
    bool has_store GUARDED_BY(lock);
    int64_t last_success_ms GUARDED_BY(lock); /* monotonic */
    struct arena *arena GUARDED_BY(lock);     /* of the status, but for the error's text */
    struct endpoint_status status GUARDED_BY(lock);
    char *last_error GUARDED_BY(lock); /* NULL: none */
};

struct endpoint *endpoint_create(struct event_loops *loops, struct str address,
                                 const struct grpc_channel_options *options, struct log *log)
{
    struct endpoint *endpoint = xcalloc(1, sizeof(*endpoint));
    atomic_init(&endpoint->references, 1);
    endpoint->address = str_dup(address);
    endpoint->store = grpc_store_create(grpc_channel_create_with(loops, address, options), address);
    endpoint->log = log;
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
    free(endpoint->address);
    free(endpoint);
}

struct str endpoint_address(const struct endpoint *endpoint)
{
    return str_from(endpoint->address);
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
    out->min_time = info->min_time;
    out->max_time = info->max_time;
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

static bool endpoint_note_success_locked(struct endpoint *endpoint, const struct peer_info *info)
    REQUIRES(endpoint->lock)
{
    struct arena *arena = arena_create(NULL);
    struct endpoint_status status;
    status_from_info(arena, info, &status);
    bool changed = !endpoint->is_healthy || endpoint->has_store != info->has_store ||
                   !status_equal(&status, &endpoint->status);
    if (!endpoint->is_known)
        log_info(endpoint->log, "adding new endpoint", KV("address", endpoint->address),
                 KV("type", status.type));
    else if (!endpoint->is_healthy)
        log_info(endpoint->log, "endpoint is back", KV("address", endpoint->address));
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
    bool changed = endpoint->is_healthy;
    if (changed || !endpoint->last_error)
        log_warn(endpoint->log, "update of endpoint failed", KV("address", endpoint->address),
                 KV_ERR(err));
    free(endpoint->last_error);
    endpoint->last_error = str_dup(error_text(err));
    endpoint->is_healthy = false;
    int64_t silent_ms = time_now_monotonic_ms() - endpoint->last_success_ms;
    if (endpoint->is_known && silent_ms >= unhealthy_timeout_ms) {
        endpoint->is_known = false;
        log_info(endpoint->log, "removing endpoint because it's unhealthy",
                 KV("address", endpoint->address));
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
    endpoint->status.last_check_ms = time_now_ms();
    mutex_unlock(&endpoint->lock);
    error_free(err);
    return changed;
}

/* -- what it is -- */

bool endpoint_is_healthy(struct endpoint *endpoint)
{
    mutex_lock(&endpoint->lock);
    bool is_healthy = endpoint->is_healthy;
    mutex_unlock(&endpoint->lock);
    return is_healthy;
}

bool endpoint_is_queryable(struct endpoint *endpoint)
{
    mutex_lock(&endpoint->lock);
    bool is_queryable = endpoint->is_healthy && endpoint->has_store;
    mutex_unlock(&endpoint->lock);
    return is_queryable;
}

bool endpoint_status(struct endpoint *endpoint, struct arena *arena, struct endpoint_status *out)
{
    mutex_lock(&endpoint->lock);
    bool is_known = endpoint->is_known;
    if (is_known) {
        *out = endpoint->status;
        out->address = arena_str(arena, str_from(endpoint->address));
        out->last_error = arena_str(arena, str_from(endpoint->last_error));
        arena_keep(arena, endpoint->arena);
    }
    mutex_unlock(&endpoint->lock);
    return is_known;
}
