#include "net/dns_lookup.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/mutex.h"
#include "net/dns.h"
#include "runtime/context.h"
#include "runtime/event_loop.h"

enum { CNAME_DEPTH_MAX = 8 };

/* One round. The caller waits while everything below runs on the loop. */
struct round {
    atomic_uint references; /* the caller's, those of posted functions */
    struct dns_config config;
    struct dns_lookup *lookups;
    size_t count;
    struct arena *arena;
    struct dns_session *session; /* on the loop; NULL before and after */
    bool is_cancelled;           /* on the loop: before it began */
    struct mutex lock;
    pthread_cond_t cond;
    bool is_done GUARDED_BY(lock);
};

/* The addresses of one host, step by step. In the round's arena. */
struct host {
    struct round *round;
    struct dns_lookup *lookup;
    struct str name, port;
    enum dns_type type; /* asked for now */
    bool one_family;    /* only this type */
    unsigned depth;     /* of CNAMEs */
};

/* A name whose SRV records are wanted; CNAMEs lead to more of them. */
struct service {
    struct round *round;
    struct dns_lookup *lookup;
    unsigned depth;
};

/* -- results -- */

static void lookup_fail(struct dns_lookup *lookup, struct error *err)
{
    bool is_service = lookup->kind == DNS_SRV || lookup->kind == DNS_SRV_NAMES;
    error_keep_first(&lookup->err, error_wrap(err, "lookup %s \"%.*s\"",
                                              is_service ? "SRV records" : "IP addresses",
                                              STR_ARG(lookup->name)));
}

static void lookup_add(struct round *round, struct dns_lookup *lookup, struct str item)
{
    if (lookup->count == DNS_ADDRESSES_MAX) {
        lookup_fail(lookup, error_create(ERROR_LIMIT, "more than %d addresses", DNS_ADDRESSES_MAX));
        return;
    }
    if ((lookup->count & (lookup->count - 1)) == 0) { /* full at each power of two */
        struct str *more =
            arena_array(round->arena, lookup->count ? lookup->count * 2 : 1, sizeof(*more));
        for (size_t i = 0; i < lookup->count; i++)
            more[i] = lookup->items[i];
        lookup->items = more;
    }
    lookup->items[lookup->count++] = item;
}

static void lookup_add_address(struct round *round, struct dns_lookup *lookup,
                               const struct address *address, struct str port)
{
    char text[ADDRESS_TEXT_MAX];
    size_t len = address_format(address, text);
    while (len && text[len - 1] != ':') /* the port is the lookup's, whatever it looks like */
        len--;
    lookup_add(round, lookup,
               arena_printf(round->arena, "%.*s%.*s", (int)len, text, STR_ARG(port)));
}

/* -- hosts -- */

static void host_ask(struct host *host);

static void host_answered(void *arg, struct error *err, const struct dns_answer *answer)
{
    struct host *host = arg;
    struct str alias = {0};
    size_t found = 0;
    for (size_t i = 0; answer && i < answer->count; i++) {
        const struct dns_record *record = &answer->records[i];
        if (record->type == DNS_TYPE_CNAME)
            alias = record->target;
        if (record->type != DNS_TYPE_A && record->type != DNS_TYPE_AAAA)
            continue;
        lookup_add_address(host->round, host->lookup, &record->address, host->port);
        found++;
    }
    if (found)
        return;
    if (host->type == DNS_TYPE_AAAA && !host->one_family) { /* whatever came of it */
        error_free(err);
        host->type = DNS_TYPE_A;
        host_ask(host);
    } else if (err) {
        lookup_fail(host->lookup, err);
    } else if (alias.len && ++host->depth < CNAME_DEPTH_MAX) {
        host->name = arena_printf(host->round->arena, "%.*s.", STR_ARG(alias));
        host->type = host->one_family ? host->type : DNS_TYPE_AAAA;
        host_ask(host);
    } else if (alias.len) {
        lookup_fail(host->lookup, error_create(ERROR_UNAVAILABLE, "more than %d CNAMEs in a row",
                                               CNAME_DEPTH_MAX));
    }
}

static void host_resolved(void *arg, struct error *err, const struct address *addresses,
                          size_t count)
{
    struct host *host = arg;
    for (size_t i = 0; i < count; i++)
        lookup_add_address(host->round, host->lookup, &addresses[i], host->port);
    if (error_kind(err) == ERROR_NOT_FOUND)
        error_free(err);
    else if (err)
        lookup_fail(host->lookup, err);
}

static void host_ask(struct host *host)
{
    struct round *round = host->round;
    if (round->config.resolver == DNS_GOLANG)
        dns_session_host(round->session, host->name, 0, host_resolved, host);
    else
        dns_session_query(round->session, host->type, host->name, round->arena, host_answered,
                          host);
}

static void host_start(struct round *round, struct dns_lookup *lookup, struct str name,
                       struct str port)
{
    struct address literal;
    if (address_from_literal(name, 0, &literal)) {
        lookup_add_address(round, lookup, &literal, port);
        return;
    }
    bool both = lookup->kind == DNS_DUAL_STACK && round->config.resolver == DNS_MIEKGDNS;
    for (int i = 0; i < (both ? 2 : 1); i++) {
        struct host *host = arena_alloc(round->arena, sizeof(*host));
        *host = (struct host){.round = round,
                              .lookup = lookup,
                              .name = name,
                              .port = port,
                              .type = i ? DNS_TYPE_A : DNS_TYPE_AAAA,
                              .one_family = both};
        host_ask(host);
    }
}

/* -- services -- */

static void service_ask(struct round *round, struct dns_lookup *lookup, struct str name,
                        unsigned depth);

static void service_add(struct service *service, const struct dns_record *record)
{
    struct round *round = service->round;
    struct dns_lookup *lookup = service->lookup;
    struct str port = lookup->port;
    if (port.len == 0)
        port = arena_printf(round->arena, "%u", record->port);
    if (lookup->kind == DNS_SRV)
        host_start(round, lookup, arena_printf(round->arena, "%.*s.", STR_ARG(record->target)),
                   port);
    else
        lookup_add(round, lookup,
                   arena_printf(round->arena, "%.*s:%.*s", STR_ARG(record->target), STR_ARG(port)));
}

static void service_answered(void *arg, struct error *err, const struct dns_answer *answer)
{
    struct service *service = arg;
    struct str alias = {0};
    size_t found = 0;
    for (size_t i = 0; answer && i < answer->count; i++) {
        const struct dns_record *record = &answer->records[i];
        if (record->type == DNS_TYPE_CNAME)
            alias = record->target;
        if (record->type != DNS_TYPE_SRV || found == DNS_ADDRESSES_MAX)
            continue;
        service_add(service, record);
        found++;
    }
    if (err)
        lookup_fail(service->lookup, err);
    else if (!found && alias.len && service->depth < CNAME_DEPTH_MAX)
        service_ask(service->round, service->lookup,
                    arena_printf(service->round->arena, "%.*s.", STR_ARG(alias)),
                    service->depth + 1);
    else if (!found && alias.len)
        lookup_fail(service->lookup, error_create(ERROR_UNAVAILABLE, "more than %d CNAMEs in a row",
                                                  CNAME_DEPTH_MAX));
}

static void service_ask(struct round *round, struct dns_lookup *lookup, struct str name,
                        unsigned depth)
{
    struct service *service = arena_alloc(round->arena, sizeof(*service));
    *service = (struct service){round, lookup, depth};
    dns_session_query(round->session, DNS_TYPE_SRV, name, round->arena, service_answered, service);
}

/* -- rounds -- */

static void round_unref(struct round *round) NO_THREAD_SAFETY /* nobody else is left */
{
    if (atomic_fetch_sub_explicit(&round->references, 1, memory_order_acq_rel) != 1)
        return;
    pthread_cond_destroy(&round->cond);
    mutex_deinit(&round->lock);
    free(round);
}

static void round_done(void *arg)
{
    struct round *round = arg;
    round->session = NULL;
    mutex_lock(&round->lock);
    round->is_done = true;
    pthread_cond_broadcast(&round->cond);
    mutex_unlock(&round->lock);
}

static void round_begin(void *arg)
{
    struct round *round = arg;
    struct error *err = dns_session_create(round->config.loop, round->config.servers, round_done,
                                           round, &round->session);
    for (size_t i = 0; i < round->count; i++) {
        struct dns_lookup *lookup = &round->lookups[i];
        if (err)
            lookup_fail(lookup, error_copy(err));
        else if (lookup->kind == DNS_SRV || lookup->kind == DNS_SRV_NAMES)
            service_ask(round, lookup, lookup->name, 1);
        else
            host_start(round, lookup, lookup->name, lookup->port);
    }
    if (err)
        round_done(round);
    else if (round->is_cancelled)
        dns_session_cancel(round->session);
    else
        dns_session_run(round->session);
    error_free(err);
    round_unref(round);
}

static void round_cancel(void *arg)
{
    struct round *round = arg;
    round->is_cancelled = true;
    if (round->session)
        dns_session_cancel(round->session);
    round_unref(round);
}

static void round_post(struct round *round, event_fn fn)
{
    atomic_fetch_add_explicit(&round->references, 1, memory_order_relaxed);
    event_loop_post(round->config.loop, fn, round);
}

static void round_ctx_ended(void *arg)
{
    round_post(arg, round_cancel);
}

/* Several records may lead to the same address. */
static void lookup_finish(struct dns_lookup *lookup)
{
    size_t kept = 0;
    if (lookup->count)
        qsort(lookup->items, lookup->count, sizeof(*lookup->items), str_compare_items);
    for (size_t i = 0; i < lookup->count; i++)
        if (kept == 0 || !str_equal(lookup->items[kept - 1], lookup->items[i]))
            lookup->items[kept++] = lookup->items[i];
    lookup->count = kept;
    if (lookup->kind == DNS_DUAL_STACK && kept) { /* one family is enough */
        error_free(lookup->err);
        lookup->err = NULL;
    }
}

void dns_lookup_all(const struct dns_config *config, struct context *ctx,
                    struct dns_lookup *lookups, size_t count, struct arena *arena)
{
    struct round *round = xcalloc(1, sizeof(*round));
    atomic_init(&round->references, 1);
    round->config = *config;
    round->lookups = lookups;
    round->count = count;
    round->arena = arena;
    mutex_init(&round->lock);
    pthread_cond_init(&round->cond, NULL);
    for (size_t i = 0; i < count; i++) {
        lookups[i].err = NULL;
        lookups[i].items = NULL;
        lookups[i].count = 0;
    }
    round_post(round, round_begin);
    struct context_hook hook = {.fn = round_ctx_ended, .arg = round};
    context_on_end(ctx, &hook);
    mutex_lock(&round->lock);
    while (!round->is_done)
        mutex_wait(&round->lock, &round->cond);
    mutex_unlock(&round->lock);
    context_off_end(ctx, &hook);
    for (size_t i = 0; i < count; i++)
        lookup_finish(&lookups[i]);
    round_unref(round);
}
