/* net/dns.h: DNS on the event loops, by c-ares: no thread waits for a name server. Servers and
 * search domains are those of /etc/resolv.conf, read anew by each session. Truncated answers are
 * asked for again by TCP. Everything here is on the loop. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"
#include "net/address.h"
#include "net/dns_wire.h"

struct dns_resolve;
struct dns_session;
struct event_loop;

/* The addresses of a host to connect to, as getaddrinfo() gives them: /etc/hosts, then DNS, sorted
 * by reachability. fn comes once, later or at once; err is fn's to free: "no such host", or why the
 * servers gave no answer. The addresses live until fn returns. *handle is set while fn is to come,
 * and NULL when it does. */
typedef void (*dns_addresses_fn)(void *arg, struct error *err, const struct address *addresses,
                                 size_t count);
void dns_resolve(struct event_loop *loop, struct str host, uint16_t port, dns_addresses_fn fn,
                 void *arg, struct dns_resolve **handle);
/* Ends it: fn comes from within, with an error. NULL is fine. */
void dns_resolve_cancel(struct dns_resolve *resolve);

/* Some queries that belong together. `servers` as in "127.0.0.1:5353", NULL: those of the system.
 * done(arg) comes when, after dns_session_run(), nothing is asked any more: once, the session is
 * gone then. ERROR_UNAVAILABLE when c-ares can't begin. */
MUST_CHECK struct error *dns_session_create(struct event_loop *loop, const char *servers,
                                            void (*done)(void *arg), void *arg,
                                            struct dns_session **out);
/* Asks for records of a name, with the search domains where it has fewer dots than ndots. answer()
 * comes once, later or at once: with an err, which is its to free, when no server gave an answer
 * that can be believed; with NULL for a name that does not exist; else with records, maybe none.
 * They live in the arena. */
typedef void (*dns_answer_fn)(void *arg, struct error *err, const struct dns_answer *answer);
void dns_session_query(struct dns_session *session, enum dns_type type, struct str name,
                       struct arena *arena, dns_answer_fn answer, void *arg);
/* As dns_resolve() does it. A host that does not exist is ERROR_NOT_FOUND. */
void dns_session_host(struct dns_session *session, struct str host, uint16_t port,
                      dns_addresses_fn fn, void *arg);
/* To be called once, after the first queries: done() may come from within. */
void dns_session_run(struct dns_session *session);
/* Ends what is still asked, with errors; done() comes from within. Also before run(). */
void dns_session_cancel(struct dns_session *session);
