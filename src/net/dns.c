#include "net/dns.h"

#define CARES_NO_DEPRECATED /* 1.28 marks what 1.18 has no other way for */
#include <ares.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/memory.h"
#include "runtime/event_loop.h"

enum {
    CLASS_INTERNET = 1,
    SERVER_TIMEOUT_MS = 2000, /* of the first try; the second takes twice as long */
    SERVER_TRIES = 2,
    EDNS_SIZE = 4096,
    QUERIES_MAX = 64, /* under way at once; the others wait */
    DOMAINS_MAX = 16,
    ADDRESSES_MAX = 64,
    RESOLVE_TIMEOUT_MS = 15 * 1000,
};

struct dns_socket {
    struct dns_session *session;
    ares_socket_t fd;
    struct event_watcher *watcher;
    struct dns_socket *next;
};

struct dns_session {
    struct event_loop *loop;
    ares_channel channel;
    struct event_timer *timer;
    struct dns_socket *sockets;
    char *domains[DOMAINS_MAX];
    size_t domain_count;
    int ndots;
    size_t running; /* queries that c-ares has */
    struct dns_query *first_waiting, *last_waiting;
    bool is_run, is_cancelled;
    unsigned inside; /* calls into c-ares on the stack: it must not be destroyed from within */
    void (*done)(void *arg);
    void *arg;
};

struct dns_query { /* for records of a name, or for the addresses of a host */
    struct dns_session *session;
    char *name;
    enum dns_type type;
    struct arena *arena;
    dns_answer_fn answer;
    dns_addresses_fn addresses; /* not NULL: a host */
    uint16_t port;
    void *arg;
    size_t step;       /* of the names to try */
    struct error *err; /* of the first of them that got no answer */
    struct dns_query *next;
};

static void session_settle(struct dns_session *session);

/* -- sockets and time -- */

static void socket_ready(void *arg, unsigned events)
{
    struct dns_socket *sock = arg;
    struct dns_session *session = sock->session;
    ares_socket_t fd = sock->fd; /* c-ares may close it, and then the socket here goes */
    session->inside++;
    ares_process_fd(session->channel, events & EVENT_READ ? fd : ARES_SOCKET_BAD,
                    events & EVENT_WRITE ? fd : ARES_SOCKET_BAD);
    session->inside--;
    session_settle(session);
}

static void socket_free(struct dns_session *session, struct dns_socket *sock)
{
    struct dns_socket **at = &session->sockets;
    while (*at != sock)
        at = &(*at)->next;
    *at = sock->next;
    event_watcher_free(sock->watcher);
    free(sock);
}

/* c-ares wants this socket watched; neither: it is about to be closed. */
static void socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct dns_session *session = arg;
    struct dns_socket *sock = session->sockets;
    while (sock && sock->fd != fd)
        sock = sock->next;
    if (!readable && !writable) {
        if (sock)
            socket_free(session, sock);
        return;
    }
    if (!sock) {
        sock = xcalloc(1, sizeof(*sock));
        *sock = (struct dns_socket){session, fd, NULL, session->sockets};
        sock->watcher = event_watcher_create(session->loop, fd, socket_ready, sock);
        session->sockets = sock;
    }
    event_watcher_set(sock->watcher, (readable ? EVENT_READ : 0) | (writable ? EVENT_WRITE : 0));
}

static void timer_fired(void *arg)
{
    struct dns_session *session = arg;
    session->inside++;
    ares_process_fd(session->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    session->inside--;
    session_settle(session);
}

static void timer_renew(struct dns_session *session)
{
    struct timeval left, *next = ares_timeout(session->channel, NULL, &left);
    if (next)
        event_timer_start(session->timer, (int64_t)next->tv_sec * 1000 + next->tv_usec / 1000 + 1);
    else
        event_timer_stop(session->timer);
}

/* -- sessions -- */

static void library_init(void)
{
    int code = ares_library_init(ARES_LIB_INIT_ALL);
    if (code != ARES_SUCCESS)
        bug("c-ares: %s", ares_strerror(code));
}

/* What the system's configuration says of names that are not complete. */
static void session_read_search(struct dns_session *session)
{
    struct ares_options options = {0};
    int mask = 0;
    session->ndots = 1;
    if (ares_save_options(session->channel, &options, &mask) == ARES_SUCCESS) {
        session->ndots = options.ndots;
        for (int i = 0; i < options.ndomains && i < DOMAINS_MAX; i++)
            session->domains[session->domain_count++] = xstrdup(options.domains[i]);
    }
    ares_destroy_options(&options);
}

struct error *dns_session_create(struct event_loop *loop, const char *servers,
                                 void (*done)(void *arg), void *arg, struct dns_session **out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, library_init);
    struct dns_session *session = xcalloc(1, sizeof(*session));
    struct ares_options options = {
        .flags = ARES_FLAG_EDNS,
        .timeout = SERVER_TIMEOUT_MS,
        .tries = SERVER_TRIES,
        .ednspsz = EDNS_SIZE,
        .sock_state_cb = socket_state,
        .sock_state_cb_data = session,
    };
    int code = ares_init_options(&session->channel, &options,
                                 ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
                                     ARES_OPT_EDNSPSZ | ARES_OPT_SOCK_STATE_CB);
    if (code != ARES_SUCCESS) {
        free(session);
        return error_create(ERROR_UNAVAILABLE, "DNS: %s", ares_strerror(code));
    }
    if (servers && (code = ares_set_servers_ports_csv(session->channel, servers)) != ARES_SUCCESS) {
        ares_destroy(session->channel);
        free(session);
        return error_create(ERROR_INVALID, "DNS servers %s: %s", servers, ares_strerror(code));
    }
    session->loop = loop;
    session->done = done;
    session->arg = arg;
    session->timer = event_timer_create(loop, timer_fired, session);
    session_read_search(session);
    *out = session;
    return NULL;
}

static void session_end(struct dns_session *session)
{
    void (*done)(void *arg) = session->done;
    void *arg = session->arg;
    ares_destroy(session->channel); /* gives back the sockets */
    event_timer_free(session->timer);
    for (size_t i = 0; i < session->domain_count; i++)
        free(session->domains[i]);
    free(session);
    done(arg);
}

static void query_start(struct dns_query *query);

/* Starts what may start, ends the session when there is nothing left. The last thing that every
 * entry from the loop does. */
static void session_settle(struct dns_session *session)
{
    if (session->inside || !session->is_run)
        return;
    session->inside++;
    while (session->first_waiting && session->running < QUERIES_MAX) {
        struct dns_query *query = session->first_waiting;
        session->first_waiting = query->next;
        query_start(query);
    }
    session->inside--;
    if (session->running == 0)
        session_end(session);
    else
        timer_renew(session);
}

void dns_session_run(struct dns_session *session)
{
    session->is_run = true;
    session_settle(session);
}

void dns_session_cancel(struct dns_session *session)
{
    session->is_cancelled = session->is_run = true;
    session->inside++;
    ares_cancel(session->channel);
    session->inside--;
    session_settle(session);
}

/* -- queries -- */

static struct error *failure(struct str name, int code)
{
    return error_create(ERROR_UNAVAILABLE, "could not resolve \"%.*s\": %s", STR_ARG(name),
                        code == ARES_ECANCELLED ? "timeout" : ares_strerror(code));
}

static void query_end(struct dns_query *query, struct error *err, const struct dns_answer *answer)
{
    error_free(query->err);
    query->answer(query->arg, err, answer);
    free(query->name);
    free(query);
}

/* The step-th of the names to try; false behind the last. */
static bool query_name(const struct dns_query *query, struct buf *out)
{
    const struct dns_session *session = query->session;
    struct str name = str_from(query->name);
    bool is_absolute = str_ends_with(name, STR("."));
    int dots = 0;
    for (size_t i = 0; i < name.len; i++)
        dots += name.data[i] == '.';
    size_t domains = is_absolute ? 0 : session->domain_count;
    size_t plain = is_absolute || dots >= session->ndots ? 0 : domains;
    if (query->step > domains)
        return false;
    buf_append_str(out, name);
    if (query->step != plain)
        buf_printf(out, ".%s", session->domains[query->step - (query->step > plain)]);
    buf_append_byte(out, 0);
    return true;
}

static void query_ask(struct dns_query *query);

static void query_answered(void *arg, int code, int timeouts UNUSED, unsigned char *message,
                           int len)
{
    struct dns_query *query = arg;
    struct dns_session *session = query->session;
    struct dns_answer answer = {0};
    struct error *err = NULL;
    session->running--;
    if (code == ARES_SUCCESS)
        err = dns_answer_decode((struct bytes){message, (size_t)len}, query->arena, &answer);
    else if (code != ARES_ENODATA && code != ARES_ENOTFOUND)
        err = failure(str_from(query->name), code);
    if (!err && code != ARES_ENOTFOUND) {
        query_end(query, NULL, &answer);
        return;
    }
    error_keep_first(&query->err, err);
    query->step++;
    query_ask(query);
}

static void query_ask(struct dns_query *query)
{
    struct dns_session *session = query->session;
    struct buf name = BUF_INIT(NULL);
    if (session->is_cancelled) {
        error_keep_first(&query->err, failure(str_from(query->name), ARES_ECANCELLED));
    } else if (query_name(query, &name)) {
        session->running++;
        ares_query(session->channel, name.data, CLASS_INTERNET, query->type, query_answered, query);
        buf_deinit(&name);
        return;
    }
    /* A name that some servers did not answer for may exist. */
    struct error *err = query->err;
    query->err = NULL;
    buf_deinit(&name);
    query_end(query, err, NULL);
}

/* -- hosts -- */

static void host_end(struct dns_query *query, struct error *err, const struct address *addresses,
                     size_t count)
{
    query->addresses(query->arg, err, addresses, count);
    free(query->name);
    free(query);
}

static void host_answered(void *arg, int code, int timeouts UNUSED, struct ares_addrinfo *found)
{
    struct dns_query *query = arg;
    struct address addresses[ADDRESSES_MAX];
    size_t count = 0;
    struct error *err = NULL;
    query->session->running--;
    if (code == ARES_ENOTFOUND || code == ARES_ENODATA)
        err = error_create(ERROR_NOT_FOUND, "no such host");
    else if (code != ARES_SUCCESS)
        err = failure(str_from(query->name), code);
    for (struct ares_addrinfo_node *node = err ? NULL : found->nodes; node && count < ADDRESSES_MAX;
         node = node->ai_next) {
        const struct addrinfo info = {
            .ai_family = node->ai_family, .ai_addr = node->ai_addr, .ai_addrlen = node->ai_addrlen};
        count += address_from_addrinfo(&info, &addresses[count]);
    }
    if (found)
        ares_freeaddrinfo(found);
    host_end(query, err, addresses, count);
}

static void host_ask(struct dns_query *query)
{
    const struct ares_addrinfo_hints hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = ARES_AI_NUMERICSERV};
    char service[8];
    if (query->session->is_cancelled) {
        host_end(query, failure(str_from(query->name), ARES_ECANCELLED), NULL, 0);
        return;
    }
    snprintf(service, sizeof(service), "%u", query->port);
    query->session->running++;
    /* Port 0 is none to c-ares, and an error. */
    ares_getaddrinfo(query->session->channel, query->name, query->port ? service : NULL, &hints,
                     host_answered, query);
}

/* -- asking -- */

static void query_start(struct dns_query *query)
{
    if (query->addresses)
        host_ask(query);
    else
        query_ask(query);
}

static void session_add(struct dns_session *session, struct dns_query *query)
{
    query->session = session;
    if (session->first_waiting)
        session->last_waiting->next = query;
    else
        session->first_waiting = query;
    session->last_waiting = query;
}

void dns_session_query(struct dns_session *session, enum dns_type type, struct str name,
                       struct arena *arena, dns_answer_fn answer, void *arg)
{
    struct dns_query *query = xcalloc(1, sizeof(*query));
    query->name = str_dup(name);
    query->type = type;
    query->arena = arena;
    query->answer = answer;
    query->arg = arg;
    session_add(session, query);
}

void dns_session_host(struct dns_session *session, struct str host, uint16_t port,
                      dns_addresses_fn fn, void *arg)
{
    struct dns_query *query = xcalloc(1, sizeof(*query));
    query->name = str_dup(host);
    query->port = port;
    query->addresses = fn;
    query->arg = arg;
    session_add(session, query);
}

/* -- connecting -- */

struct dns_resolve {
    struct dns_session *session;
    struct event_timer *timer;
    struct dns_resolve **handle;
    dns_addresses_fn fn;
    void *arg;
};

static void resolve_timed_out(void *arg)
{
    struct dns_resolve *resolve = arg;
    dns_session_cancel(resolve->session);
}

static void resolve_answered(void *arg, struct error *err, const struct address *addresses,
                             size_t count)
{
    struct dns_resolve *resolve = arg;
    *resolve->handle = NULL;
    resolve->fn(resolve->arg, err, addresses, count);
}

static void resolve_done(void *arg)
{
    struct dns_resolve *resolve = arg;
    event_timer_free(resolve->timer);
    free(resolve);
}

void dns_resolve(struct event_loop *loop, struct str host, uint16_t port, dns_addresses_fn fn,
                 void *arg, struct dns_resolve **handle)
{
    struct dns_resolve *resolve = xcalloc(1, sizeof(*resolve));
    *resolve = (struct dns_resolve){.handle = handle, .fn = fn, .arg = arg};
    struct error *err = dns_session_create(loop, NULL, resolve_done, resolve, &resolve->session);
    if (err) {
        *handle = NULL;
        free(resolve);
        fn(arg, err, NULL, 0);
        return;
    }
    *handle = resolve;
    resolve->timer = event_timer_create(loop, resolve_timed_out, resolve);
    event_timer_start(resolve->timer, RESOLVE_TIMEOUT_MS);
    dns_session_host(resolve->session, host, port, resolve_answered, resolve);
    dns_session_run(resolve->session);
}

void dns_resolve_cancel(struct dns_resolve *resolve)
{
    if (resolve)
        dns_session_cancel(resolve->session);
}
