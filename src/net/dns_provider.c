#include "net/dns_provider.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/mutex.h"
#include "net/address.h"
#include "runtime/event_loop.h"
#include "runtime/log.h"
#include "runtime/metrics.h"

struct name {
    struct str address; /* as configured, with its "dns+" */
    struct str *items;
    size_t count;
};

/* What one round left behind. Immutable; all of it in its arena. */
struct names {
    struct arena *arena;
    struct name *items;
    size_t count;
};

struct dns_provider {
    struct dns_provider_config config;
    struct event_loop *loop;
    struct dns_counters {
        struct metric *lookups, *failures;
    } counters, older;
    struct metric_family *results;
    struct mutex lock;
    struct names names GUARDED_BY(lock); /* changed by resolve() only */
};

static char *metric_name(const char *prefix, const char *name)
{
    size_t len = strlen(prefix) + strlen(name) + 1;
    char *out = xmalloc(len);
    snprintf(out, len, "%s%s", prefix, name);
    return out;
}

static struct dns_counters make_counters(struct metrics *metrics, const char *prefix)
{
    char *lookups = metric_name(prefix, "dns_lookups_total");
    char *failures = metric_name(prefix, "dns_failures_total");
    struct dns_counters counters = {
        metrics_counter(metrics, lookups, "The number of DNS lookups resolutions attempts"),
        metrics_counter(metrics, failures, "The number of DNS lookup failures"),
    };
    free(lookups);
    free(failures);
    return counters;
}

static void provider_make_metrics(struct dns_provider *provider)
{
    static const char *const labels[] = {"addr"};
    const struct dns_provider_config *config = &provider->config;
    if (!config->metrics)
        return;
    provider->counters = make_counters(config->metrics, config->prefix);
    if (config->older_prefix)
        provider->older = make_counters(config->metrics, config->older_prefix);
    char *results = metric_name(config->prefix, "dns_provider_results");
    provider->results = metrics_gauge_family(
        config->metrics, results, "The number of resolved endpoints for each configured address",
        labels, 1);
    free(results);
}

struct dns_provider *dns_provider_create(const struct dns_provider_config *config) NO_THREAD_SAFETY
{
    struct dns_provider *provider = xcalloc(1, sizeof(*provider));
    provider->config = *config;
    provider->loop = event_loops_pick(config->loops);
    provider->names.arena = arena_create(NULL);
    mutex_init(&provider->lock);
    provider_make_metrics(provider);
    return provider;
}

void dns_provider_free(struct dns_provider *provider) NO_THREAD_SAFETY /* nobody else is left */
{
    if (!provider)
        return;
    arena_unref(provider->names.arena);
    mutex_deinit(&provider->lock);
    free(provider);
}

bool dns_is_dynamic(struct str address)
{
    return str_find_char(address, '+') < address.len;
}

/* -- names -- */

static bool names_find(const struct names *names, struct str address, struct name *out)
{
    for (size_t i = 0; i < names->count; i++)
        if (str_equal(names->items[i].address, address)) {
            *out = names->items[i];
            return true;
        }
    return false;
}

static void names_add(struct names *names, struct str address, const struct str *items,
                      size_t count)
{
    struct name *name = &names->items[names->count++];
    name->address = arena_str(names->arena, address);
    name->items = arena_array(names->arena, count, sizeof(*name->items));
    name->count = count;
    for (size_t i = 0; i < count; i++)
        name->items[i] = arena_str(names->arena, items[i]);
}

/* -- rounds -- */

static bool kind_of(struct str type, enum dns_kind *out)
{
    static const struct {
        struct str type;
        enum dns_kind kind;
    } kinds[] = {{STR_INIT("dns"), DNS_HOST},
                 {STR_INIT("dnsdualstack"), DNS_DUAL_STACK},
                 {STR_INIT("dnssrv"), DNS_SRV},
                 {STR_INIT("dnssrvnoa"), DNS_SRV_NAMES}};
    for (size_t i = 0; i < countof(kinds); i++)
        if (str_equal(kinds[i].type, type)) {
            *out = kinds[i].kind;
            return true;
        }
    return false;
}

/* A name to look up: a round's, with what stands in front of its results. */
struct wanted {
    struct str address, scheme; /* scheme: "http:" of "dns+http://name:80", or empty */
    struct str host;
};

static struct error *wanted_parse(struct str address, struct wanted *wanted,
                                  struct dns_lookup *lookup)
{
    struct str type, name;
    str_cut(address, '+', &type, &name);
    *wanted = (struct wanted){.address = address};
    *lookup = (struct dns_lookup){0};
    size_t slash = str_find_char(name, '/');
    if (slash + 1 < name.len && name.data[slash + 1] == '/') {
        wanted->scheme = str_slice(name, 0, slash);
        name = str_slice(name, slash + 2, name.len);
    }
    struct error *err = address_split(name, &lookup->name, &lookup->port);
    if (err)
        lookup->name = name;
    error_free(err);
    wanted->host = lookup->name;
    if (!kind_of(type, &lookup->kind))
        return error_create(ERROR_INVALID, "invalid lookup scheme \"%.*s\"", STR_ARG(type));
    bool is_host = lookup->kind == DNS_HOST || lookup->kind == DNS_DUAL_STACK;
    if (is_host && lookup->port.len == 0)
        return error_create(ERROR_INVALID, "missing port in address given for %.*s lookup: %.*s",
                            STR_ARG(type), STR_ARG(name));
    return NULL;
}

struct resolving {
    struct dns_provider *provider;
    struct names old, new;
    struct arena *arena; /* of this round only */
    struct wanted *wanted;
    struct dns_lookup *lookups;
    size_t count;
    struct error *first;
    size_t failed;
};

static void resolving_fail(struct resolving *round, struct str address, struct error *err)
{
    struct name old;
    metric_inc(round->provider->counters.failures);
    metric_inc(round->provider->older.failures);
    error_keep_first(&round->first, err);
    round->failed++;
    if (names_find(&round->old, address, &old))
        names_add(&round->new, address, old.items, old.count);
}

static void resolving_add(struct resolving *round, struct str address)
{
    struct name seen;
    if (names_find(&round->new, address, &seen))
        return;
    if (!dns_is_dynamic(address)) {
        names_add(&round->new, address, &address, 1);
        return;
    }
    for (size_t i = 0; i < round->count; i++)
        if (str_equal(round->wanted[i].address, address))
            return;
    metric_inc(round->provider->counters.lookups);
    metric_inc(round->provider->older.lookups);
    struct error *err =
        wanted_parse(address, &round->wanted[round->count], &round->lookups[round->count]);
    if (err)
        resolving_fail(round, address, err);
    else
        round->count++;
}

static void resolving_take(struct resolving *round, const struct wanted *wanted,
                           struct dns_lookup *lookup)
{
    struct name old = {0};
    bool was_known = names_find(&round->old, wanted->address, &old);
    if (lookup->err) {
        resolving_fail(round, wanted->address, lookup->err);
        return;
    }
    for (size_t i = 0; wanted->scheme.len && i < lookup->count; i++)
        lookup->items[i] = arena_printf(round->arena, "%.*s//%.*s", STR_ARG(wanted->scheme),
                                        STR_ARG(lookup->items[i]));
    if (lookup->count == 0 && (!was_known || old.count))
        log_warn(round->provider->config.log,
                 "IP address lookup yielded no results. No host found or no addresses found",
                 KV("host", wanted->host));
    names_add(&round->new, wanted->address, lookup->items, lookup->count);
}

static void provider_publish(struct dns_provider *provider, const struct names *old,
                             const struct names *new) REQUIRES(provider->lock)
{
    struct name name;
    provider->names = *new;
    if (!provider->results)
        return;
    for (size_t i = 0; i < old->count; i++)
        if (!names_find(new, old->items[i].address, &name))
            metric_remove(provider->results, &old->items[i].address, 1);
    for (size_t i = 0; i < new->count; i++)
        metric_set(metric_with(provider->results, &new->items[i].address, 1),
                   (double)new->items[i].count);
}

struct error *dns_provider_resolve(struct dns_provider *provider, struct context *ctx,
                                   const struct str *addresses, size_t count, bool forget)
{
    mutex_lock(&provider->lock);
    struct resolving round = {
        provider, provider->names, {0}, arena_create(NULL), NULL, NULL, 0, NULL, 0};
    mutex_unlock(&provider->lock);
    struct name known;
    round.new.arena = arena_create(NULL);
    round.new.items = arena_array(round.new.arena, count + round.old.count, sizeof(struct name));
    round.wanted = arena_array(round.arena, count, sizeof(*round.wanted));
    round.lookups = arena_array(round.arena, count, sizeof(*round.lookups));
    for (size_t i = 0; i < count; i++)
        resolving_add(&round, addresses[i]);
    const struct dns_config config = {provider->loop, provider->config.resolver,
                                      provider->config.servers};
    if (round.count)
        dns_lookup_all(&config, ctx, round.lookups, round.count, round.arena);
    for (size_t i = 0; i < round.count; i++)
        resolving_take(&round, &round.wanted[i], &round.lookups[i]);
    for (size_t i = 0; i < round.old.count && (!forget || round.failed); i++)
        if (!names_find(&round.new, round.old.items[i].address, &known))
            names_add(&round.new, round.old.items[i].address, round.old.items[i].items,
                      round.old.items[i].count);
    mutex_lock(&provider->lock);
    provider_publish(provider, &round.old, &round.new);
    mutex_unlock(&provider->lock);
    arena_unref(round.old.arena);
    arena_unref(round.arena);
    if (round.failed > 1)
        return error_wrap(round.first, "%zu names, the first", round.failed);
    return round.first;
}

/* -- what is known -- */

static void addresses_add(struct dns_addresses *out, struct arena *arena, const struct name *name)
{
    for (size_t i = 0; i < name->count; i++)
        out->items[out->count++] = arena_str(arena, name->items[i]);
}

struct dns_addresses dns_provider_all(struct dns_provider *provider, struct arena *arena)
{
    struct dns_addresses out = {0};
    size_t total = 0;
    mutex_lock(&provider->lock);
    for (size_t i = 0; i < provider->names.count; i++)
        total += provider->names.items[i].count;
    out.items = arena_array(arena, total, sizeof(*out.items));
    for (size_t i = 0; i < provider->names.count; i++)
        addresses_add(&out, arena, &provider->names.items[i]);
    mutex_unlock(&provider->lock);
    return out;
}

struct dns_addresses dns_provider_of(struct dns_provider *provider, struct str address,
                                     struct arena *arena)
{
    struct dns_addresses out = {0};
    struct name name;
    mutex_lock(&provider->lock);
    if (names_find(&provider->names, address, &name)) {
        out.items = arena_array(arena, name.count, sizeof(*out.items));
        addresses_add(&out, arena, &name);
    }
    mutex_unlock(&provider->lock);
    return out;
}
