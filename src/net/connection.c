#include "net/connection.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/memory.h"
#include "net/tls.h"
#include "runtime/event_loop.h"
#include "runtime/fault.h"

enum {
    READS_PER_TURN = 4, /* then others get their turn */
    CHUNK_SIZE = 4096 - 16,
    IOVECS_MAX = 64,
    LINGER_MS = 1000,
};
#define HANDSHAKE_FAILED "authentication handshake failed"

/* How bytes get through the socket: in the clear, or by TLS. Both return what recv() and sendmsg()
 * do, with errno; EPROTO means that the session knows why. */
struct transport_ops {
    ssize_t (*read)(struct connection *connection, void *into, size_t size);
    ssize_t (*write)(struct connection *connection, const struct iovec *parts, int count);
};

struct segment {
    const uint8_t *data;
    size_t len;
    void (*release)(void *owner);
    void *owner;
};

struct chunk { /* copied bytes; segments point into it */
    unsigned references;
    size_t used, cap;
    uint8_t data[];
};

struct connection {
    struct event_loop *loop;
    const struct transport_ops *transport;
    const struct connection_handler *handler; /* NULL: finishing, nobody listens */
    void *self;
    struct event_watcher *watcher;
    struct event_timer *timer; /* connect, write progress, linger */
    int fd;
    unsigned references; /* the owner's and those of the loop's functions under way */
    bool connecting, handshaking, closed, reading, peer_closed, told_peer_closed, was_high,
        finishing;
    struct tls_session *tls; /* NULL: in the clear */
    size_t tls_retry;        /* bytes that the next write has to begin with */
    bool read_wants_write, write_wants_read, poked;
    struct error *error; /* to be told */
    bool telling;
    int64_t write_timeout_ms, progress_ms;
    struct segment *segments; /* a ring */
    size_t first, count, capacity;
    size_t unsent;
    struct chunk *chunk; /* with room for more; one reference */
    struct address address;
    char peer[ADDRESS_TEXT_MAX];
    size_t peer_len;
};

static void chunk_unref(void *owner)
{
    struct chunk *chunk = owner;
    if (--chunk->references == 0)
        free(chunk);
}

/* --- the queue --- */

static void segment_done(struct connection *connection)
{
    struct segment *segment = &connection->segments[connection->first];
    if (segment->release)
        segment->release(segment->owner);
    connection->first = (connection->first + 1) & (connection->capacity - 1);
    connection->count--;
}

static void queue_grow(struct connection *connection)
{
    size_t capacity = connection->capacity ? connection->capacity * 2 : 16;
    struct segment *segments = xcalloc(capacity, sizeof(*segments));
    for (size_t i = 0; i < connection->count; i++)
        segments[i] = connection->segments[(connection->first + i) & (connection->capacity - 1)];
    free(connection->segments);
    connection->segments = segments;
    connection->capacity = capacity;
    connection->first = 0;
}

static void queue_drop(struct connection *connection)
{
    while (connection->count)
        segment_done(connection);
    connection->unsent = 0;
    free(connection->segments);
    connection->segments = NULL;
    connection->capacity = connection->first = 0;
    if (connection->chunk)
        chunk_unref(connection->chunk);
    connection->chunk = NULL;
}

static struct segment *queue_last(struct connection *connection)
{
    if (connection->count == 0)
        return NULL;
    size_t at = (connection->first + connection->count - 1) & (connection->capacity - 1);
    return &connection->segments[at];
}

void connection_write_shared(struct connection *connection, const void *data, size_t len,
                             void (*release)(void *owner), void *owner)
{
    if (connection->closed || (len == 0 && connection->count == 0)) {
        if (release)
            release(owner);
        return;
    }
    if (connection->count == connection->capacity)
        queue_grow(connection);
    connection->count++;
    *queue_last(connection) = (struct segment){data, len, release, owner};
    if (connection->unsent == 0 && len)
        connection->progress_ms = event_loop_now_ms(connection->loop);
    connection->unsent += len;
}

static struct chunk *chunk_with_room(struct connection *connection, size_t len)
{
    struct chunk *chunk = connection->chunk;
    if (chunk && chunk->cap - chunk->used >= len)
        return chunk;
    if (chunk)
        chunk_unref(chunk);
    size_t cap = size_max(len, CHUNK_SIZE);
    chunk = xmalloc(sizeof(*chunk) + cap);
    *chunk = (struct chunk){.references = 1, .cap = cap};
    return connection->chunk = chunk;
}

void connection_write(struct connection *connection, const void *data, size_t len)
{
    if (connection->closed || len == 0)
        return;
    struct chunk *chunk = chunk_with_room(connection, len);
    uint8_t *at = chunk->data + chunk->used;
    memcpy(at, data, len);
    chunk->used += len;
    struct segment *last = queue_last(connection);
    if (last && last->owner == chunk && last->data + last->len == at) {
        last->len += len;
        connection->unsent += len;
        return;
    }
    chunk->references++;
    connection_write_shared(connection, at, len, chunk_unref, chunk);
}

size_t connection_unsent(const struct connection *connection)
{
    return connection->unsent;
}

/* --- sockets --- */

static ssize_t plain_read(struct connection *connection, void *into, size_t size)
{
    return recv(connection->fd, into, size, 0);
}

static ssize_t plain_write(struct connection *connection, const struct iovec *parts, int count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)count};
    return sendmsg(connection->fd, &message, MSG_NOSIGNAL);
}

static const struct transport_ops plain_transport = {plain_read, plain_write};

static int tls_errno(const struct connection *connection)
{
    int code = tls_session_errno(connection->tls);
    return code ? code : EPROTO;
}

static ssize_t tls_read(struct connection *connection, void *into, size_t size)
{
    size_t got;
    enum tls_result result = tls_session_read(connection->tls, into, size, &got);
    connection->read_wants_write = result == TLS_WANT_WRITE;
    if (result == TLS_DONE || result == TLS_CLOSED)
        return (ssize_t)got;
    errno = result == TLS_FAILED ? tls_errno(connection) : EAGAIN;
    return -1;
}

/* One record, of as many parts as it takes. What the socket did not take must come again as it
 * was, however much has been queued behind it. */
static ssize_t tls_write(struct connection *connection, const struct iovec *parts, int count)
{
    uint8_t record[TLS_RECORD_MAX];
    size_t max = connection->tls_retry ? connection->tls_retry : sizeof(record), len = 0;
    const void *data = parts[0].iov_base;
    if (parts[0].iov_len >= max) {
        len = max;
    } else {
        data = record;
        for (int i = 0; i < count && len < max; i++) {
            size_t part = size_min(parts[i].iov_len, max - len);
            memcpy(record + len, parts[i].iov_base, part);
            len += part;
        }
    }
    enum tls_result result = tls_session_write(connection->tls, data, len);
    connection->write_wants_read = result == TLS_WANT_READ;
    connection->tls_retry = result == TLS_DONE ? 0 : len;
    if (result == TLS_DONE)
        return (ssize_t)len;
    errno = result == TLS_FAILED ? tls_errno(connection) : EAGAIN;
    if (result == TLS_CLOSED)
        errno = EPIPE;
    return -1;
}

static const struct transport_ops tls_transport = {tls_read, tls_write};

static NO_INLINE void connection_unref(struct connection *connection)
{
    if (--connection->references == 0)
        free(connection);
}

static void connection_close(struct connection *connection)
{
    if (connection->closed)
        return;
    connection->closed = true;
    event_watcher_free(connection->watcher);
    event_timer_free(connection->timer);
    tls_session_free(connection->tls);
    connection->tls = NULL;
    close(connection->fd);
    queue_drop(connection);
    error_free(connection->error);
    connection->error = NULL;
}

void connection_free(struct connection *connection)
{
    if (!connection)
        return;
    connection_close(connection);
    connection_unref(connection);
}

static void connection_watch(struct connection *connection)
{
    unsigned events = 0;
    if (connection->error) {
        event_watcher_set(connection->watcher, 0);
        return;
    }
    if (connection->handshaking) {
        event_watcher_set(connection->watcher,
                          connection->read_wants_write ? EVENT_WRITE : EVENT_READ);
        return;
    }
    if (connection->connecting || (connection->unsent && !connection->write_wants_read) ||
        (connection->reading && connection->read_wants_write))
        events |= EVENT_WRITE;
    if (!connection->connecting && !connection->peer_closed)
        events |= connection->reading || connection->write_wants_read ? EVENT_READ : EVENT_HANGUP;
    event_watcher_set(connection->watcher, events);
}

static void tell_error(void *arg)
{
    struct connection *connection = arg;
    struct error *err = connection->error;
    connection->error = NULL;
    connection->telling = false;
    if (!connection->closed && err) {
        if (connection->handler) {
            connection->handler->broken(connection->self, err);
            err = NULL;
        } else {
            connection_free(connection);
        }
    }
    error_free(err);
    connection_unref(connection);
}

/* Remembers what went wrong and tells it from the loop, so that no call here calls back. Takes err.
 */
static void connection_fail(struct connection *connection, struct error *err)
{
    if (connection->closed || connection->telling) {
        error_free(err);
        return;
    }
    connection->error = err;
    connection->telling = true;
    connection->references++;
    connection_watch(connection);
    if (connection->timer)
        event_timer_stop(connection->timer);
    event_loop_post(connection->loop, tell_error, connection);
}

static struct error *socket_error(struct connection *connection, const char *operation, int code)
{
    if (connection->connecting)
        return error_create(ERROR_UNAVAILABLE, "dial tcp %s: connect: %s", connection->peer,
                            address_errno_text(code));
    if (connection->tls && code == EPROTO)
        return tls_session_error(connection->tls);
    struct address local = {.len = sizeof(local.v6)};
    char text[ADDRESS_TEXT_MAX] = "?";
    if (getsockname(connection->fd, &local.any, &local.len) == 0)
        address_format(&local, text);
    return error_create(ERROR_UNAVAILABLE, "%s tcp %s->%s: %s: %s", operation, text,
                        connection->peer, operation, address_errno_text(code));
}

static void timer_fired(void *arg)
{
    struct connection *connection = arg;
    if (connection->connecting) {
        connection_fail(connection, error_create(ERROR_UNAVAILABLE, "dial tcp %s: i/o timeout",
                                                 connection->peer));
    } else if (connection->handshaking) {
        connection_fail(connection, error_create(ERROR_UNAVAILABLE,
                                                 HANDSHAKE_FAILED ": tls: handshake timeout"));
    } else if (connection->unsent) {
        int64_t left = connection->progress_ms + connection->write_timeout_ms -
                       event_loop_now_ms(connection->loop);
        if (left > 0)
            event_timer_start(connection->timer, left);
        else
            connection_fail(connection, error_create(ERROR_TIMEOUT, "write tcp %s: i/o timeout",
                                                     connection->peer));
    } else if (connection->finishing) {
        connection_free(connection);
    }
}

static void start_timer(struct connection *connection, int64_t ms)
{
    if (!connection->timer)
        connection->timer = event_timer_create(connection->loop, timer_fired, connection);
    event_timer_start(connection->timer, ms);
}

static int gather(struct connection *connection, struct iovec parts[IOVECS_MAX])
{
    int used = 0;
    for (size_t i = 0; i < connection->count && used < IOVECS_MAX; i++) {
        struct segment *segment =
            &connection->segments[(connection->first + i) & (connection->capacity - 1)];
        if (segment->len)
            parts[used++] = (struct iovec){(void *)segment->data, segment->len};
    }
    return used;
}

static void sent(struct connection *connection, size_t len)
{
    connection->unsent -= len;
    connection->progress_ms = event_loop_now_ms(connection->loop);
    while (connection->count) {
        struct segment *segment = &connection->segments[connection->first];
        if (segment->len > len) {
            segment->data += len;
            segment->len -= len;
            return;
        }
        len -= segment->len;
        segment_done(connection);
    }
}

/* False when the connection has failed. */
static bool connection_send(struct connection *connection)
{
    struct iovec parts[IOVECS_MAX];
    while (connection->unsent) {
        int count = gather(connection, parts);
        ssize_t got = fault_io("write socket")
                          ? (errno = EIO, -1)
                          : connection->transport->write(connection, parts, count);
        if (got >= 0) {
            sent(connection, (size_t)got);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            break;
        } else if (errno != EINTR) {
            connection_fail(connection, socket_error(connection, "write", errno));
            return false;
        }
    }
    if (connection->unsent == 0 && connection->chunk) {
        chunk_unref(connection->chunk);
        connection->chunk = NULL;
    }
    connection->was_high |= connection->unsent > CONNECTION_LOW;
    return true;
}

void connection_flush(struct connection *connection)
{
    if (connection->closed || connection->connecting || connection->handshaking ||
        connection->error)
        return;
    if (!connection_send(connection))
        return;
    if (connection->unsent && !(connection->timer && event_timer_is_running(connection->timer)))
        start_timer(connection, connection->write_timeout_ms);
    connection_watch(connection);
}

static void finish_writing(struct connection *connection)
{
    if (connection->tls)
        tls_session_close(connection->tls);
    shutdown(connection->fd, SHUT_WR);
    start_timer(connection, LINGER_MS);
    connection->reading = true;
    connection_watch(connection);
    if (connection->peer_closed)
        connection_free(connection);
}

static void handle_writable(struct connection *connection)
{
    connection_flush(connection);
    if (connection->error || connection->closed)
        return;
    if (connection->finishing) {
        if (connection->unsent == 0)
            finish_writing(connection);
    } else if (connection->was_high && connection->unsent <= CONNECTION_LOW) {
        connection->was_high = false;
        connection->handler->drained(connection->self);
    }
}

static void handle_connected(struct connection *connection)
{
    int code = 0;
    socklen_t len = sizeof(code);
    if (getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &code, &len) != 0)
        code = errno;
    if (code) {
        connection_fail(connection, socket_error(connection, "connect", code));
        return;
    }
    connection->connecting = false;
    event_timer_stop(connection->timer);
    connection_watch(connection);
    connection->handler->connected(connection->self);
}

static void handle_end(struct connection *connection)
{
    connection->peer_closed = true;
    connection_watch(connection);
    if (connection->finishing) {
        if (connection->unsent == 0)
            connection_free(connection);
    } else if (!connection->told_peer_closed) {
        connection->told_peer_closed = true;
        connection->handler->peer_closed(connection->self);
    }
}

static bool read_has_ended(const struct connection *connection)
{
    return connection->tls && !connection->closed && tls_session_ended(connection->tls);
}

static void read_the_rest_later(struct connection *connection);

static void handle_readable(struct connection *connection)
{
    void *scratch = event_loop_scratch(connection->loop);
    for (int i = 0; i < READS_PER_TURN && connection->reading && !connection->closed; i++) {
        ssize_t got =
            fault_io("read socket")
                ? (errno = EIO, -1)
                : connection->transport->read(connection, scratch, EVENT_LOOP_SCRATCH_SIZE);
        if (got == 0) {
            handle_end(connection);
            return;
        }
        if (got < 0) {
            if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
                connection_fail(connection, socket_error(connection, "read", errno));
            return;
        }
        if (connection->handler)
            connection->handler->data(connection->self, (struct bytes){scratch, (size_t)got});
        if (got < EVENT_LOOP_SCRATCH_SIZE && !read_has_ended(connection))
            return; /* most likely all: the loop tells if it was not */
    }
    read_the_rest_later(connection);
}

static void poke(void *arg)
{
    struct connection *connection = arg;
    connection->poked = false;
    if (!connection->closed && !connection->error && connection->reading)
        handle_readable(connection);
    if (!connection->closed)
        connection_watch(connection);
    connection_unref(connection);
}

static void read_the_rest_later(struct connection *connection)
{
    if (!connection->tls || connection->poked || connection->closed || connection->error ||
        connection->handshaking || !connection->reading || !tls_session_pending(connection->tls))
        return;
    connection->poked = true;
    connection->references++;
    event_loop_post(connection->loop, poke, connection);
}

/* The caller holds a reference. */
static void handle_handshake(struct connection *connection)
{
    enum tls_result result = tls_session_handshake(connection->tls);
    connection->read_wants_write = result == TLS_WANT_WRITE;
    if (result == TLS_WANT_READ || result == TLS_WANT_WRITE)
        return;
    if (result != TLS_DONE) {
        connection_fail(connection,
                        error_wrap(tls_session_error(connection->tls), "%s", HANDSHAKE_FAILED));
        return;
    }
    connection->handshaking = false;
    event_timer_stop(connection->timer);
    if (connection->handler->connected)
        connection->handler->connected(connection->self);
    connection_flush(connection);
    read_the_rest_later(connection); /* what came along with the handshake's last bytes */
}

static void socket_ready(void *arg, unsigned events)
{
    struct connection *connection = arg;
    bool writable =
        (events & EVENT_WRITE) || (connection->write_wants_read && (events & EVENT_READ));
    bool readable =
        (events & EVENT_READ) || (connection->read_wants_write && (events & EVENT_WRITE));
    connection->references++;
    if (connection->connecting) {
        handle_connected(connection);
    } else if (connection->handshaking) {
        handle_handshake(connection);
    } else {
        if (writable)
            handle_writable(connection);
        if (readable && !connection->closed && !connection->error)
            handle_readable(connection);
        if ((events & EVENT_HANGUP) && !connection->closed && !connection->error &&
            !connection->reading)
            handle_end(connection);
    }
    if (!connection->closed)
        connection_watch(connection);
    connection_unref(connection);
}

static struct connection *connection_new(struct event_loop *loop, int fd,
                                         const struct connection_handler *handler, void *self)
{
    struct connection *connection = xcalloc(1, sizeof(*connection));
    connection->loop = loop;
    connection->transport = &plain_transport;
    connection->handler = handler;
    connection->self = self;
    connection->fd = fd;
    connection->references = 1;
    connection->write_timeout_ms = CONNECTION_WRITE_TIMEOUT_MS;
    connection->watcher = event_watcher_create(loop, fd, socket_ready, connection);
    return connection;
}

static void set_option(int fd, int level, int option, int value)
{
    setsockopt(fd, level, option, &value, sizeof(value)); /* no TCP (a test's pair): no harm */
}

/* A peer that vanished without a word is noticed in some minutes even when nothing is sent. */
static void set_socket_options(int fd)
{
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 15);
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 15);
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 9);
}

struct connection *connection_create(struct event_loop *loop, int fd,
                                     const struct connection_handler *handler, void *self)
{
    struct connection *connection = connection_new(loop, fd, handler, self);
    set_socket_options(fd);
    connection->address.len = sizeof(connection->address.v6);
    if (getpeername(fd, &connection->address.any, &connection->address.len) == 0)
        connection->peer_len = address_format(&connection->address, connection->peer);
    connection_watch(connection);
    return connection;
}

struct error *connection_connect(struct event_loop *loop, const struct address *address,
                                 int64_t timeout_ms, const struct connection_handler *handler,
                                 void *self, struct connection **out)
{
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_create(ERROR_UNAVAILABLE, "dial tcp: socket: %s", address_errno_text(errno));
    struct connection *connection = connection_new(loop, fd, handler, self);
    connection->connecting = true;
    connection->address = *address;
    connection->peer_len = address_format(address, connection->peer);
    set_socket_options(fd);
    start_timer(connection, timeout_ms);
    int code = fault_io("connect") ? (errno = EIO, -1) : connect(fd, &address->any, address->len);
    if (code != 0 && errno != EINPROGRESS)
        connection_fail(connection, socket_error(connection, "connect", errno));
    else
        connection_watch(connection);
    *out = connection;
    return NULL;
}

static void start_tls(struct connection *connection, struct tls_session *session, bool speaks_first,
                      int64_t timeout_ms)
{
    connection->tls = session;
    connection->transport = &tls_transport;
    connection->handshaking = true;
    connection->read_wants_write = speaks_first;
    start_timer(connection, timeout_ms);
    connection_watch(connection);
}

void connection_accept_tls(struct connection *connection, struct tls_server *server,
                           int64_t timeout_ms)
{
    start_tls(connection, tls_session_accept(server, connection->fd, connection_peer(connection)),
              false, timeout_ms);
}

void connection_connect_tls(struct connection *connection, struct tls_client *client,
                            struct str host, int64_t timeout_ms)
{
    start_tls(connection, tls_session_connect(client, connection->fd, host), true, timeout_ms);
}

static void finish_on_loop(void *arg)
{
    struct connection *connection = arg;
    if (!connection->closed && connection->unsent == 0)
        finish_writing(connection);
    connection_unref(connection);
}

void connection_finish(struct connection *connection)
{
    connection->handler = NULL;
    connection->finishing = true;
    if (connection->error || connection->connecting || connection->handshaking) {
        connection_free(connection);
        return;
    }
    connection_flush(connection);
    connection->references++;
    event_loop_post(connection->loop, finish_on_loop, connection);
}

void connection_set_handler(struct connection *connection, const struct connection_handler *handler,
                            void *self)
{
    connection->handler = handler;
    connection->self = self;
}

void connection_read(struct connection *connection, bool on)
{
    if (connection->closed || connection->reading == on)
        return;
    connection->reading = on;
    connection_watch(connection);
    read_the_rest_later(connection);
}

void connection_set_write_timeout(struct connection *connection, int64_t ms)
{
    connection->write_timeout_ms = ms;
}

void connection_subject(const struct connection *connection, struct arena *arena,
                        struct tls_subject *out)
{
    *out = (struct tls_subject){0};
    if (connection->tls && !connection->handshaking)
        tls_session_subject(connection->tls, arena, out);
}

struct event_loop *connection_loop(const struct connection *connection)
{
    return connection->loop;
}

struct str connection_peer(const struct connection *connection)
{
    return (struct str){connection->peer, connection->peer_len};
}
