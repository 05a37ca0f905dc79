#include "query/endpoint_discovery.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/mutex.h"
#include "net/dns_provider.h"
#include "query/file_sd.h"
#include "runtime/context.h"
#include "runtime/file.h"
#include "runtime/file_watch.h"
#include "runtime/log.h"
#include "runtime/thread.h"
#include "runtime/time.h"

enum {
    CONFIG_MAX = 16 << 20,
    FIRST_RETRY_MS = 500, /* of lookups that failed, until the first round is over */
    FIRST_ROUND_MAX_MS = 5000,
    FIRST_LOOKUP_MAX_MS = 5000,
};

struct endpoint_discovery {
    struct endpoint_discovery_config config;
    struct dns_provider *names, *groups;
    struct file_sd *files; /* of the thread; NULL: none */
    struct file_watch *watch;
    struct context *ctx;
    void (*changed)(void *arg);
    void *arg;
    pthread_t thread;
    bool is_started;
    /* Of the thread: monotonic times at which something is due. */
    int64_t config_due_ms, files_due_ms, names_due_ms, first_until_ms;
    uint64_t config_hash, found_hash;

    struct mutex lock;
    struct arena *arena GUARDED_BY(lock); /* of the two below */
    struct endpoint_config entries GUARDED_BY(lock);
    struct arena *file_arena GUARDED_BY(lock);
    struct str *file_addresses GUARDED_BY(lock);
    size_t file_address_count GUARDED_BY(lock);
    bool is_complete GUARDED_BY(lock);
};

/* -- the file of the configuration -- */

static struct error *config_text(struct endpoint_discovery *discovery, struct arena *arena,
                                 struct str *out)
{
    struct buf text = BUF_INIT(NULL);
    *out = discovery->config.sd_config;
    if (discovery->config.sd_config_path.len == 0)
        return NULL;
    struct error *err = file_read(discovery->config.sd_config_path, CONFIG_MAX, &text);
    if (!err)
        *out = arena_str(arena, buf_str(&text));
    buf_deinit(&text);
    return err;
}

/* Reads it; true when it is another one than before and takes its place. */
static struct error *config_load(struct endpoint_discovery *discovery, bool *changed)
{
    struct arena *arena = arena_create(NULL);
    struct endpoint_config entries;
    struct str text = STR("");
    *changed = false;
    struct error *err = config_text(discovery, arena, &text);
    uint64_t hash = hash_str(text);
    if (!err && discovery->arena && hash == discovery->config_hash) {
        arena_unref(arena);
        return NULL;
    }
    if (!err) {
        discovery->config_hash = hash; /* bad text is complained about once */
        err = endpoint_config_parse(text, &discovery->config.flags, discovery->config.log, arena,
                                    &entries);
    }
    if (err) {
        arena_unref(arena);
        return err;
    }
    mutex_lock(&discovery->lock);
    struct arena *old = discovery->arena;
    discovery->arena = arena;
    discovery->entries = entries;
    mutex_unlock(&discovery->lock);
    arena_unref(old);
    *changed = true;
    return NULL;
}

static bool config_reload(struct endpoint_discovery *discovery)
{
    struct log *log = discovery->config.log;
    bool changed;
    struct error *err = config_load(discovery, &changed);
    if (err)
        log_error(log, "failed to reload endpoint config", KV_ERR(err));
    else if (changed)
        log_info(log, "reloading endpoint config", KV("path", discovery->config.sd_config_path));
    error_free(err);
    return changed;
}

/* -- files with addresses -- */

static bool files_reload(struct endpoint_discovery *discovery)
{
    if (!file_sd_refresh(discovery->files))
        return false;
    size_t count, kept = 0;
    const struct str *found = file_sd_addresses(discovery->files, &count);
    struct arena *arena = arena_create(NULL);
    struct str *addresses = arena_array(arena, count, sizeof(*addresses));
    for (size_t i = 0; i < count; i++) {
        struct error *err = endpoint_address_check(found[i]);
        if (err)
            log_warn(discovery->config.log, "target of a file is passed over", KV_ERR(err));
        else
            addresses[kept++] = arena_str(arena, found[i]);
        error_free(err);
    }
    mutex_lock(&discovery->lock);
    struct arena *old = discovery->file_arena;
    discovery->file_arena = arena;
    discovery->file_addresses = addresses;
    discovery->file_address_count = kept;
    mutex_unlock(&discovery->lock);
    arena_unref(old);
    return true;
}

/* -- names -- */

/* What has to be looked up: dns+ names and files' addresses, or groups. In the arena. */
static struct str *wanted_names(struct endpoint_discovery *discovery, bool groups,
                                struct arena *arena, size_t *count)
{
    mutex_lock(&discovery->lock);
    const struct endpoint_config *entries = &discovery->entries;
    struct str *names =
        arena_array(arena, entries->count + discovery->file_address_count, sizeof(*names));
    *count = 0;
    for (size_t i = 0; i < entries->count; i++)
        if (entries->items[i].is_group == groups && (groups || entries->items[i].is_dynamic))
            names[(*count)++] = arena_str(arena, entries->items[i].address);
    for (size_t i = 0; i < discovery->file_address_count && !groups; i++)
        names[(*count)++] = arena_str(arena, discovery->file_addresses[i]);
    mutex_unlock(&discovery->lock);
    return names;
}

/* False when some lookup failed. *any: a name needs DNS, so a next round is needed too. */
static bool names_resolve_one(struct endpoint_discovery *discovery, bool groups,
                              struct context *ctx, bool *any)
{
    struct arena *arena = arena_create(NULL);
    size_t count;
    struct str *names = wanted_names(discovery, groups, arena, &count);
    struct error *err = dns_provider_resolve(groups ? discovery->groups : discovery->names, ctx,
                                             names, count, true);
    for (size_t i = 0; i < count; i++)
        *any |= dns_is_dynamic(names[i]);
    bool is_good = !err;
    if (err && !context_ended(discovery->ctx))
        log_error(discovery->config.log, "failed to resolve addresses for endpoints", KV_ERR(err));
    error_free(err);
    arena_unref(arena);
    return is_good;
}

static bool names_resolve(struct endpoint_discovery *discovery)
{
    bool any = false;
    int64_t timeout_ms = discovery->config.dns_interval_ms;
    if (discovery->first_until_ms)
        timeout_ms = int64_min(timeout_ms, FIRST_LOOKUP_MAX_MS);
    struct context *ctx = context_create(discovery->ctx, timeout_ms);
    bool is_good = names_resolve_one(discovery, false, ctx, &any);
    is_good &= names_resolve_one(discovery, true, ctx, &any);
    context_unref(ctx);
    discovery->names_due_ms =
        any ? time_now_monotonic_ms() + discovery->config.dns_interval_ms : INT64_MAX;
    return is_good;
}

/* -- the thread -- */

/* Whether the endpoints are others than at the last call. */
static bool specs_changed(struct endpoint_discovery *discovery)
{
    struct arena *arena = arena_create(NULL);
    struct endpoint_specs specs;
    struct hash_stream hash;
    endpoint_discovery_specs(discovery, arena, &specs);
    hash_stream_init(&hash);
    for (size_t i = 0; i < specs.count; i++) {
        const struct endpoint_spec *spec = &specs.items[i];
        hash_stream_add(&hash, spec->address.data, spec->address.len);
        for (size_t j = 0; j < spec->member_count; j++) {
            hash_stream_add(&hash, "\0", 1);
            hash_stream_add(&hash, spec->members[j].data, spec->members[j].len);
        }
        hash_stream_add(&hash, "\n", 1);
    }
    arena_unref(arena);
    uint64_t sum = hash_stream_sum(&hash);
    bool changed = sum != discovery->found_hash;
    discovery->found_hash = sum;
    return changed;
}

/* What is due; true when something may be new. */
static bool discovery_step(struct endpoint_discovery *discovery, bool touched)
{
    const struct endpoint_discovery_config *config = &discovery->config;
    int64_t now_ms = time_now_monotonic_ms();
    bool changed = false;
    if (config->sd_config_path.len && (touched || now_ms >= discovery->config_due_ms)) {
        changed |= config_reload(discovery);
        discovery->config_due_ms = now_ms + config->sd_config_reload_ms;
        file_watch_add(discovery->watch, config->sd_config_path);
    }
    if (discovery->files && (touched || now_ms >= discovery->files_due_ms)) {
        changed |= files_reload(discovery);
        discovery->files_due_ms = now_ms + config->sd_files_interval_ms;
        file_sd_watch(discovery->files, discovery->watch);
    }
    if (!changed && now_ms < discovery->names_due_ms)
        return false;
    bool is_good = names_resolve(discovery);
    changed |= specs_changed(discovery);
    if (!discovery->first_until_ms)
        return changed;
    if (!is_good && time_now_monotonic_ms() < discovery->first_until_ms) {
        discovery->names_due_ms = time_now_monotonic_ms() + FIRST_RETRY_MS;
        return changed;
    }
    discovery->first_until_ms = 0;
    mutex_lock(&discovery->lock);
    discovery->is_complete = true;
    mutex_unlock(&discovery->lock);
    return true;
}

static int64_t discovery_pause(const struct endpoint_discovery *discovery)
{
    int64_t due_ms = int64_min(discovery->names_due_ms,
                               int64_min(discovery->config_due_ms, discovery->files_due_ms));
    if (due_ms == INT64_MAX)
        return -1;
    int64_t left_ms = due_ms - time_now_monotonic_ms();
    return left_ms > 0 ? left_ms : 0;
}

static void discovery_run(void *arg)
{
    struct endpoint_discovery *discovery = arg;
    bool touched = false;
    while (!context_ended(discovery->ctx)) {
        if (discovery_step(discovery, touched))
            discovery->changed(discovery->arg);
        touched = file_watch_wait(discovery->watch, discovery->ctx, discovery_pause(discovery));
    }
}

/* -- making -- */

static struct dns_provider *provider_create(const struct endpoint_discovery_config *config,
                                            const char *prefix, const char *older_prefix)
{
    return dns_provider_create(&(struct dns_provider_config){.loops = config->loops,
                                                             .resolver = config->resolver,
                                                             .servers = config->dns_servers,
                                                             .log = config->log,
                                                             .metrics = config->metrics,
                                                             .prefix = prefix,
                                                             .older_prefix = older_prefix});
}

struct error *endpoint_discovery_create(const struct endpoint_discovery_config *config,
                                        struct endpoint_discovery **out) NO_THREAD_SAFETY
{
    struct endpoint_discovery *discovery = xcalloc(1, sizeof(*discovery));
    bool changed;
    *out = NULL;
    discovery->config = *config;
    mutex_init(&discovery->lock);
    discovery->ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    discovery->file_arena = arena_create(NULL);
    discovery->watch = file_watch_create();
    /* Thanos's mixin still asks for the older names. */
    discovery->names =
        provider_create(config, "thanos_query_endpoints_", "thanos_query_store_apis_");
    discovery->groups = provider_create(config, "thanos_query_endpoint_groups_", NULL);
    discovery->config_due_ms = discovery->files_due_ms = INT64_MAX;
    struct error *err = config_load(discovery, &changed);
    if (!err && config->sd_file_count)
        err =
            file_sd_create(config->sd_files, config->sd_file_count, config->log, &discovery->files);
    if (err) {
        endpoint_discovery_free(discovery);
        return err;
    }
    if (config->sd_config_path.len) {
        file_watch_add(discovery->watch, config->sd_config_path);
        discovery->config_due_ms = time_now_monotonic_ms() + config->sd_config_reload_ms;
    }
    if (discovery->files)
        discovery->files_due_ms = 0;
    *out = discovery;
    return NULL;
}

struct error *endpoint_discovery_start(struct endpoint_discovery *discovery,
                                       void (*changed)(void *arg), void *arg)
{
    discovery->changed = changed;
    discovery->arg = arg;
    discovery->first_until_ms = time_now_monotonic_ms() + FIRST_ROUND_MAX_MS;
    struct error *err =
        thread_start_joinable("discovery", discovery_run, discovery, &discovery->thread);
    discovery->is_started = !err;
    return err;
}

void endpoint_discovery_stop(struct endpoint_discovery *discovery)
{
    context_cancel(discovery->ctx);
    if (discovery->is_started)
        pthread_join(discovery->thread, NULL);
    discovery->is_started = false;
}

void endpoint_discovery_free(struct endpoint_discovery *discovery) NO_THREAD_SAFETY
{
    if (!discovery)
        return;
    endpoint_discovery_stop(discovery);
    dns_provider_free(discovery->names);
    dns_provider_free(discovery->groups);
    file_sd_free(discovery->files);
    file_watch_free(discovery->watch);
    arena_unref(discovery->arena);
    arena_unref(discovery->file_arena);
    context_unref(discovery->ctx);
    mutex_deinit(&discovery->lock);
    free(discovery);
}

/* -- what there is -- */

struct specs_out {
    struct endpoint_discovery *discovery;
    struct arena *arena;
    struct endpoint_spec *items;
    size_t count, cap;
};

static struct endpoint_spec *specs_add(struct specs_out *out, struct str address)
{
    if (out->count == out->cap) {
        size_t cap = out->cap ? out->cap * 2 : 16;
        struct endpoint_spec *items = arena_array(out->arena, cap, sizeof(*items));
        for (size_t i = 0; i < out->count; i++)
            items[i] = out->items[i];
        out->items = items;
        out->cap = cap;
    }
    struct endpoint_spec *spec = &out->items[out->count++];
    *spec = (struct endpoint_spec){.address = address};
    return spec;
}

static void specs_add_group(struct specs_out *out, const struct endpoint_entry *entry)
{
    const struct endpoint_discovery_config *config = &out->discovery->config;
    struct str address = arena_printf(out->arena, "thanos:///%.*s", STR_ARG(entry->address));
    struct endpoint_spec *spec = specs_add(out, address);
    spec->is_group = true;
    spec->is_strict = entry->is_strict;
    spec->compress = entry->compress;
    spec->in_order = entry->in_order;
    spec->tls = endpoint_tls_copy(out->arena, &entry->tls);
    struct dns_addresses members =
        dns_provider_of(out->discovery->groups, entry->address, out->arena);
    spec->members = members.items;
    spec->member_count = members.count;
    if (config->test_member_count) {
        spec->members = arena_array(out->arena, config->test_member_count, sizeof(struct str));
        for (size_t i = 0; i < config->test_member_count; i++)
            spec->members[i] = config->test_members[i];
        spec->member_count = config->test_member_count;
    }
}

static void specs_add_found(struct specs_out *out, struct str name, bool compress,
                            const struct endpoint_tls *tls)
{
    struct dns_addresses found = dns_provider_of(out->discovery->names, name, out->arena);
    for (size_t i = 0; i < found.count; i++) {
        struct endpoint_spec *spec = specs_add(out, found.items[i]);
        spec->compress = compress;
        spec->tls = endpoint_tls_copy(out->arena, tls);
    }
}

static void specs_add_fixed(struct specs_out *out, const struct endpoint_entry *entry)
{
    struct endpoint_spec *spec = specs_add(out, arena_str(out->arena, entry->address));
    spec->is_strict = entry->is_strict;
    spec->compress = entry->compress;
    spec->tls = endpoint_tls_copy(out->arena, &entry->tls);
}

void endpoint_discovery_specs(void *self, struct arena *arena, struct endpoint_specs *out)
{
    struct endpoint_discovery *discovery = self;
    struct specs_out specs = {discovery, arena, NULL, 0, 0};
    mutex_lock(&discovery->lock);
    const struct endpoint_config *entries = &discovery->entries;
    for (size_t i = 0; i < entries->count; i++)
        if (entries->items[i].is_group)
            specs_add_group(&specs, &entries->items[i]);
        else if (!entries->items[i].is_dynamic)
            specs_add_fixed(&specs, &entries->items[i]);
    for (size_t i = 0; i < entries->count; i++)
        if (entries->items[i].is_dynamic && !entries->items[i].is_group)
            specs_add_found(&specs, entries->items[i].address, entries->items[i].compress,
                            &entries->items[i].tls);
    for (size_t i = 0; i < discovery->file_address_count; i++)
        specs_add_found(&specs, discovery->file_addresses[i], entries->compress, &entries->tls);
    *out = (struct endpoint_specs){specs.items, specs.count, discovery->is_complete};
    mutex_unlock(&discovery->lock);
}
