/* net/connection.h: one stream socket on an event loop, whatever runs over it.
 *
 * A connection belongs to its loop: all calls are made there. It reads into the loop's scratch
 * memory and hands the bytes up at once, so an idle one holds no buffer; what is written waits in a
 * queue, by copy or by reference, and goes out with as few system calls as possible. No call here
 * calls back: what happens is told by the handler from the loop, later. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"
#include "net/address.h"

struct connection;
struct event_loop;
struct arena;
struct tls_client;
struct tls_server;
struct tls_subject;

/* May free the connection from any of these. */
struct connection_handler {
    /* connection_connect() or a TLS handshake has succeeded. May be NULL where connections are
     * accepted. */
    void (*connected)(void *self);
    /* Bytes have come; they live until it returns. */
    void (*data)(void *self, struct bytes data);
    /* The queue has shrunk to CONNECTION_LOW or below after having been above, by itself. */
    void (*drained)(void *self);
    /* The peer sends no more: it closed, or half-closed. Told once, also while reading is off. */
    void (*peer_closed)(void *self);
    /* It is over: a failed connect, read or write, or a write timeout. Told once, nothing comes
     * after it; err is the receiver's. */
    void (*broken)(void *self, struct error *err);
};

/* Writers stop filling the queue at HIGH and go on when drained() says so. */
enum { CONNECTION_LOW = 64 * 1024, CONNECTION_HIGH = 256 * 1024 };
enum { CONNECTION_WRITE_TIMEOUT_MS = 60 * 1000 };

/* Takes a connected, non-blocking socket. Reading is off until connection_read(). */
struct connection *connection_create(struct event_loop *loop, int fd,
                                     const struct connection_handler *handler, void *self);
/* Starts to connect; connected() or broken() follows, at the latest after timeout_ms. Fails with
 * ERROR_UNAVAILABLE when there is no descriptor left. Go's words: "dial tcp 127.0.0.1:1: connect:
 * connection refused". */
MUST_CHECK struct error *connection_connect(struct event_loop *loop, const struct address *address,
                                            int64_t timeout_ms,
                                            const struct connection_handler *handler, void *self,
                                            struct connection **out);
/* Closes; what is queued is dropped. NULL is fine. */
void connection_free(struct connection *connection);
/* Closes with care: sends what is queued, tells the peer that this was all, and throws away what it
 * still sends (for a second), so that the last words are not lost to a reset. Frees by itself;
 * nothing is told any more. */
void connection_finish(struct connection *connection);

/* Another handler from now on: protocols are told apart by the first bytes. */
void connection_set_handler(struct connection *connection, const struct connection_handler *handler,
                            void *self);
void connection_read(struct connection *connection, bool on);
void connection_set_write_timeout(struct connection *connection, int64_t ms); /* without progress */

/* TLS from now on, before anything has been read or written. The handshake goes on by itself: what
 * is written meanwhile waits; connected(), where there is one, tells that it is done; broken() that
 * it failed or took too long: "authentication handshake failed: ...". The TLS objects are referred
 * to, not taken. */
void connection_accept_tls(struct connection *connection, struct tls_server *server,
                           int64_t timeout_ms);
void connection_connect_tls(struct connection *connection, struct tls_client *client,
                            struct str host, int64_t timeout_ms);

/* Queues a copy. */
void connection_write(struct connection *connection, const void *data, size_t len);
/* Queues the bytes themselves; release(owner) comes once, when they are sent or dropped, on the
 * loop. len may be 0: release then comes when all that was queued before has gone. */
void connection_write_shared(struct connection *connection, const void *data, size_t len,
                             void (*release)(void *owner), void *owner);
/* Sends what the socket takes now, the rest follows by itself. */
void connection_flush(struct connection *connection);
size_t connection_unsent(const struct connection *connection);

/* Of the certificate that the peer has shown; none in the clear. Texts live in the arena. */
void connection_subject(const struct connection *connection, struct arena *arena,
                        struct tls_subject *out);

struct event_loop *connection_loop(const struct connection *connection);
struct str connection_peer(const struct connection *connection); /* "10.0.0.1:4242" */
