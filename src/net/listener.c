#include "net/listener.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/mutex.h"
#include "net/address.h"
#include "runtime/event_loop.h"
#include "runtime/fault.h"

enum {
    BACKLOG = 1024,
    ACCEPTS_PER_TURN = 64,
    PAUSE_MS = 100, /* when the process has no descriptors left */
};

struct listener {
    struct event_loops *loops;
    struct event_loop *loop;
    listener_fn accepted;
    void *self;
    int fd;
    struct event_watcher *watcher;
    struct event_timer *pause;
    char address[ADDRESS_TEXT_MAX];
    size_t address_len;
    struct mutex lock;
    pthread_cond_t stopped_cond;
    bool stopped GUARDED_BY(lock);
};

static void accept_ready(void *arg, unsigned events UNUSED)
{
    struct listener *listener = arg;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = fault_io("accept")
                     ? (errno = EMFILE, -1)
                     : accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            listener->accepted(listener->self, event_loops_pick(listener->loops), fd);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            event_watcher_set(listener->watcher, 0);
            event_timer_start(listener->pause, PAUSE_MS);
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

static void pause_over(void *arg)
{
    struct listener *listener = arg;
    event_watcher_set(listener->watcher, EVENT_READ);
}

static struct error *listen_error(const struct address *address, const char *operation, int code)
{
    char text[ADDRESS_TEXT_MAX];
    address_format(address, text);
    return error_create(ERROR_UNAVAILABLE, "listen tcp %s: %s: %s", text, operation,
                        address_errno_text(code));
}

/* *code: the errno of a failure. */
static struct error *bind_address(const struct address *address, int *out, int *code)
{
    int on = 1, off = 0;
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        *code = errno;
        return listen_error(address, "socket", *code);
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    bool wildcard =
        address->any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&address->v6.sin6_addr);
    if (wildcard)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    const char *failed = NULL;
    if (bind(fd, &address->any, address->len) != 0)
        failed = "bind";
    else if (listen(fd, BACKLOG) != 0)
        failed = "listen";
    if (failed) {
        *code = errno;
        close(fd);
        return listen_error(address, failed, *code);
    }
    *out = fd;
    return NULL;
}

/* Go's rule: a wildcard of either family listens on both where the machine has IPv6. */
static struct error *bind_wildcard(uint16_t port, int *out)
{
    struct address any6 = {.v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)},
                           .len = sizeof(any6.v6)};
    struct address any4 = {.v4 = {.sin_family = AF_INET, .sin_port = htons(port)},
                           .len = sizeof(any4.v4)};
    int code;
    struct error *err = bind_address(&any6, out, &code);
    if (!err || code == EADDRINUSE || code == EACCES)
        return err;
    error_free(err);
    return bind_address(&any4, out, &code);
}

static struct error *bind_name(struct str host, struct str port, int *out)
{
    char *name = str_dup(host), *service = str_dup(port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list = NULL;
    int code = getaddrinfo(name, service, &hints, &list);
    struct error *err = NULL;
    if (code)
        err = error_create(ERROR_INVALID, "listen tcp: lookup %s: %s", name, gai_strerror(code));
    struct address address;
    int ignored;
    const struct addrinfo *chosen = NULL;
    for (const struct addrinfo *at = list; at; at = at->ai_next) /* Go prefers IPv4 here */
        if (!chosen || (chosen->ai_family != AF_INET && at->ai_family == AF_INET))
            chosen = at;
    if (!err && !(chosen && address_from_addrinfo(chosen, &address)))
        err = error_create(ERROR_INVALID, "listen tcp: lookup %s: no suitable address", name);
    if (!err)
        err = bind_address(&address, out, &ignored);
    if (list)
        freeaddrinfo(list);
    free(name);
    free(service);
    return err;
}

static struct error *bind_text(struct str text, int *out)
{
    struct str host, port_text;
    uint16_t port;
    struct error *err = address_split(text, &host, &port_text);
    if (err)
        return error_wrap(err, "listen tcp");
    if (!address_port(port_text, &port))
        return error_create(ERROR_INVALID, "listen tcp: address %.*s: invalid port",
                            STR_ARG(port_text));
    if (host.len == 0 || str_equal(host, STR("0.0.0.0")) || str_equal(host, STR("::")))
        return bind_wildcard(port, out);
    struct address address;
    int ignored;
    if (address_from_literal(host, port, &address))
        return bind_address(&address, out, &ignored);
    return bind_name(host, port_text, out);
}

static void start_on_loop(void *arg)
{
    struct listener *listener = arg;
    listener->pause = event_timer_create(listener->loop, pause_over, listener);
    listener->watcher = event_watcher_create(listener->loop, listener->fd, accept_ready, listener);
    event_watcher_set(listener->watcher, EVENT_READ);
}

struct error *listener_create(struct event_loops *loops, struct str address, listener_fn accepted,
                              void *self, struct listener **out)
{
    int fd = -1;
    struct error *err = bind_text(address, &fd);
    if (err)
        return err;
    struct listener *listener = xcalloc(1, sizeof(*listener));
    listener->loops = loops;
    listener->loop = event_loops_pick(loops);
    listener->accepted = accepted;
    listener->self = self;
    listener->fd = fd;
    mutex_init(&listener->lock);
    pthread_cond_init(&listener->stopped_cond, NULL);
    struct address bound = {.len = sizeof(bound.v6)};
    if (getsockname(fd, &bound.any, &bound.len) == 0)
        listener->address_len = address_format(&bound, listener->address);
    event_loop_post(listener->loop, start_on_loop, listener);
    *out = listener;
    return NULL;
}

struct str listener_address(const struct listener *listener)
{
    return (struct str){listener->address, listener->address_len};
}

static void stop_on_loop(void *arg)
{
    struct listener *listener = arg;
    event_watcher_free(listener->watcher);
    event_timer_free(listener->pause);
    close(listener->fd);
    mutex_lock(&listener->lock);
    listener->stopped = true;
    pthread_cond_broadcast(&listener->stopped_cond);
    mutex_unlock(&listener->lock);
}

void listener_free(struct listener *listener)
{
    if (!listener)
        return;
    event_loop_post(listener->loop, stop_on_loop, listener);
    mutex_lock(&listener->lock);
    while (!listener->stopped)
        mutex_wait(&listener->lock, &listener->stopped_cond);
    mutex_unlock(&listener->lock);
    pthread_cond_destroy(&listener->stopped_cond);
    mutex_deinit(&listener->lock);
    free(listener);
}
