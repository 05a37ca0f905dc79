/* net/dns_provider.h: the addresses behind a list of names, as they were last found: "host:port"
 * stands for itself, "dns+", "dnsdualstack+", "dnssrv+" and "dnssrvnoa+" names are looked up. */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "net/dns_lookup.h"

struct dns_provider;
struct event_loops;
struct log;
struct metrics;

struct dns_provider_config {
    struct event_loops *loops;
    enum dns_resolver resolver;
    const char *servers; /* as in dns_config */
    struct log *log;     /* tells of names without any address */
    struct metrics *metrics;
    const char *prefix;       /* of the metrics: "thanos_query_endpoints_" dns_lookups_total */
    const char *older_prefix; /* of the two counters once more; NULL: nothing */
};

struct dns_provider *dns_provider_create(const struct dns_provider_config *config);
void dns_provider_free(struct dns_provider *provider); /* NULL is fine */

bool dns_is_dynamic(struct str address); /* it has a '+' */

/* One round: looks all of them up at once, as long as ctx allows. A name without any address is
 * none; one whose lookup fails keeps what it had. Names not in the list any more are forgotten when
 * `forget`, but only in a round without a failure. Gives the failures as one error. One caller at a
 * time. */
MUST_CHECK struct error *dns_provider_resolve(struct dns_provider *provider, struct context *ctx,
                                              const struct str *addresses, size_t count,
                                              bool forget);

struct dns_addresses {
    struct str *items; /* of one name each once */
    size_t count;
};

/* What is known now; the texts live in the arena. Any thread. */
struct dns_addresses dns_provider_all(struct dns_provider *provider, struct arena *arena);
struct dns_addresses dns_provider_of(struct dns_provider *provider, struct str address,
                                     struct arena *arena);
