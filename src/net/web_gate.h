/* net/web_gate.h: what --http.config asks of an HTTP server: TLS, headers on every answer, a limit
 * of requests, users with passwords.
 *
 * The file is looked at for every connection and request, and read again when it has changed; a
 * file that cannot be used any more leaves the last good one in place, and the log says so once.
 * Only the limit of requests, and whether there is TLS, are fixed when the server starts. Passwords
 * are compared on a thread of the gate's own, one after another; outcomes are remembered under a
 * keyed hash. Thread-safe. */
#pragma once

#include "base/error.h"
#include "net/http1.h"
#include "net/web_config.h"

struct log;
struct tls_server;
struct web_gate;

/* Reads the file. Fails with what is wrong with it or with the certificates it names. */
MUST_CHECK struct error *web_gate_create(struct str path, struct log *log, struct web_gate **out);
void web_gate_free(struct web_gate *gate); /* no request may be left; NULL is fine */

/* The file as it was at one time. */
struct web_rules {
    struct web_config config;
    struct tls_server *tls; /* NULL: in the clear */
    /* internal */
    struct arena *arena;
    _Atomic unsigned references;
};
struct web_rules *web_gate_rules(struct web_gate *gate); /* one reference for the caller */
struct web_rules *web_rules_ref(struct web_rules *rules);
void web_rules_unref(struct web_rules *rules); /* NULL is fine */

enum web_verdict {
    WEB_ADMIT,
    WEB_LIMIT, /* too many requests */
    WEB_DENY,  /* not or not well authenticated */
    WEB_BUSY,  /* too many wait to have their password compared */
    WEB_WAIT,  /* done(arg, ADMIT or DENY) comes, from another thread, perhaps before it returns */
};
enum web_verdict web_gate_ask(struct web_gate *gate, struct web_rules *rules,
                              const struct http1_head *head,
                              void (*done)(void *arg, enum web_verdict verdict), void *arg);
