/* net/tls.h: TLS on non-blocking sockets, by OpenSSL.
 *
 * A tls_server or tls_client is what a configuration becomes: certificates, keys and CAs in
 * memory, shared by all connections made from it. Before each handshake the files are looked at
 * (time, size, inode); what has changed is read again, and connections that exist go on with what
 * they have. Files that cannot be used any more (half-written, gone) leave the last good ones in
 * place, and the log says so once per change.
 *
 * Both are reference-counted and thread-safe; a session belongs to its connection's loop. Nothing
 * here waits for a socket; files are read where a handshake begins, which is on a loop: they are
 * small and local. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/str.h"
#include "net/tls_config.h"

struct log;
struct tls_client;
struct tls_server;
struct tls_session;

enum tls_protocol { /* offered and chosen by ALPN */
                    TLS_HTTP1,
                    TLS_HTTP2, /* alone: gRPC */
};

/* Copies the configuration. Fails with ERROR_INVALID, in Thanos's words where it has some, for
 * certificates that cannot be used; the text names the file. log: of later reloads, and of
 * handshakes that fail; it must outlive the server. */
MUST_CHECK struct error *tls_server_create(const struct tls_server_config *config,
                                           enum tls_protocol protocol, struct log *log,
                                           struct tls_server **out);
struct tls_server *tls_server_ref(struct tls_server *server); /* gives it back */
void tls_server_unref(struct tls_server *server);             /* NULL is fine */

/* The same for clients, of gRPC. */
MUST_CHECK struct error *tls_client_create(const struct tls_client_config *config, struct log *log,
                                           struct tls_client **out);
struct tls_client *tls_client_ref(struct tls_client *client);
void tls_client_unref(struct tls_client *client); /* NULL is fine */

/* One side of a connection; the descriptor stays the caller's. peer: for log lines. */
struct tls_session *tls_session_accept(struct tls_server *server, int fd, struct str peer);
/* host: what was dialled, a name or an address; the certificate must be for it, or for the
 * configured name. */
struct tls_session *tls_session_connect(struct tls_client *client, int fd, struct str host);
void tls_session_free(struct tls_session *session); /* NULL is fine */

enum tls_result {
    TLS_DONE,
    TLS_WANT_READ,  /* again when the socket has bytes */
    TLS_WANT_WRITE, /* again when it takes some */
    TLS_CLOSED,     /* the peer sends no more */
    TLS_FAILED,     /* tls_session_error() */
};

enum tls_result tls_session_handshake(struct tls_session *session);
/* Reads as much as there is and fits. TLS_DONE: *got is not 0. */
enum tls_result tls_session_read(struct tls_session *session, void *into, size_t size, size_t *got);
/* Writes all of at most TLS_RECORD_MAX bytes, or nothing; then the next call must bring the same
 * ones. */
enum { TLS_RECORD_MAX = 16 * 1024 };
enum tls_result tls_session_write(struct tls_session *session, const void *data, size_t len);
/* Bytes are waiting that the socket does not tell of any more. */
bool tls_session_pending(const struct tls_session *session);
/* Reading has come to its end, good or bad, even if the socket tells of nothing. */
bool tls_session_ended(const struct tls_session *session);
/* Of the peer's certificate, after the handshake; texts live in the arena. */
void tls_session_subject(const struct tls_session *session, struct arena *arena,
                         struct tls_subject *out);
/* Tells the peer, if the socket takes it now, that no more will come. */
void tls_session_close(struct tls_session *session);
/* Of a failure that is the socket's; 0: of TLS, and tls_session_error() tells. */
int tls_session_errno(const struct tls_session *session);
/* Why it failed: "remote error: tls: unknown CA". In a handshake it has been logged already (by
 * the server). */
MUST_CHECK struct error *tls_session_error(const struct tls_session *session);
