/* net/listener.h: a bound port that hands out accepted sockets. */
#pragma once

#include "base/error.h"
#include "base/str.h"

struct event_loop;
struct event_loops;
struct listener;

/* Binds, listens and starts to accept on one of the loops; each accepted socket (non-blocking) is
 * given to accepted(self, loop, fd) there, with the loop it is meant for: another one each time. fd
 * is the receiver's. address as in "0.0.0.0:10902", ":80", "[::1]:0", "localhost:9090"; a wildcard
 * takes IPv4 and IPv6. Fails with ERROR_INVALID for a bad address, ERROR_UNAVAILABLE ("listen tcp
 * 127.0.0.1:80: bind: address already in use") when it cannot be bound. Blocks for the lookup of a
 * name; not from a loop. */
typedef void (*listener_fn)(void *self, struct event_loop *loop, int fd);
MUST_CHECK struct error *listener_create(struct event_loops *loops, struct str address,
                                         listener_fn accepted, void *self, struct listener **out);
/* As bound, with the real port. */
struct str listener_address(const struct listener *listener);
/* Stops to accept, closes the port, frees; accepted() does not run any more when it returns. Any
 * thread but a loop's. NULL is fine. */
void listener_free(struct listener *listener);
