/* net/dns_lookup.h: what discovery asks of DNS: the addresses behind dns+, dnssrv+, dnssrvnoa+ and
 * dnsdualstack+ names. */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

struct context;
struct event_loop;

/* --store.sd-dns-resolver. Both ask the name servers for SRV records. Addresses of a host: */
enum dns_resolver {
    DNS_GOLANG,   /* /etc/hosts, then A and AAAA, all of them */
    DNS_MIEKGDNS, /* DNS alone: AAAA, and A only where there are none */
};

enum dns_kind {
    DNS_HOST,       /* the addresses of a host */
    DNS_DUAL_STACK, /* the same, AAAA and A with either resolver */
    DNS_SRV,        /* the addresses of the hosts that SRV records name */
    DNS_SRV_NAMES,  /* their names */
};

enum { DNS_ADDRESSES_MAX = 4096 }; /* of one name: ERROR_LIMIT */

struct dns_lookup {
    enum dns_kind kind;
    struct str name; /* a literal IP address is its own answer */
    struct str port; /* of the results; empty: that of the SRV record */
    /* The answer. No error and no item: there is no such name, or it has no such records. */
    struct error *err; /* the caller's */
    struct str *items; /* "host:port", sorted, each once; in the arena */
    size_t count;
};

struct dns_config {
    struct event_loop *loop;
    enum dns_resolver resolver;
    const char *servers; /* "127.0.0.1:5353", for tests; NULL: those of the system */
};

/* Looks all of them up, at once; not from a loop. What is not answered when ctx ends is an
 * ERROR_UNAVAILABLE. The arena is used on the loop meanwhile. */
void dns_lookup_all(const struct dns_config *config, struct context *ctx,
                    struct dns_lookup *lookups, size_t count, struct arena *arena);
