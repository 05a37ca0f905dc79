/* A name server on 127.0.0.1 that answers from a table that tests change; UDP, and TCP at the same
 * port. Real ones serve test/e2e; this one also fails in the ways that they do not. */
#pragma once

#include <arpa/inet.h>
#include <ctype.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mutex.h"
#include "net/dns_wire.h"

struct fake_record {
    const char *name;
    enum dns_type type;
    const char *data; /* "10.0.0.1", "fd00::1", "target", "8080 target" */
};

enum fake_mode {
    FAKE_ANSWER,
    FAKE_SERVFAIL,
    FAKE_SILENT,
    FAKE_TRUNCATE, /* over UDP: ask again by TCP */
    FAKE_GARBAGE,  /* a good header, then nonsense */
};

struct fake_dns {
    int udp, tcp, stop[2];
    char address[32]; /* 127.0.0.1:port */
    pthread_t thread;
    struct mutex lock;
    const struct fake_record *records;
    size_t count;
    enum fake_mode mode;
    const char *failing; /* a name that is SERVFAIL in any case */
    atomic_int asked, asked_by_tcp;
};

static void fake_put16(struct buf *out, unsigned value)
{
    buf_append_byte(out, (uint8_t)(value >> 8));
    buf_append_byte(out, (uint8_t)value);
}

static void fake_put_name(struct buf *out, const char *name)
{
    while (*name) {
        size_t len = strcspn(name, ".");
        buf_append_byte(out, (uint8_t)len);
        buf_append(out, name, len);
        name += len + (name[len] == '.');
    }
    buf_append_byte(out, 0);
}

static void fake_put_data(struct buf *out, const struct fake_record *record)
{
    struct buf data = BUF_INIT(NULL);
    uint8_t bytes[16];
    if (record->type == DNS_TYPE_A) {
        inet_pton(AF_INET, record->data, bytes);
        buf_append(&data, bytes, 4);
    } else if (record->type == DNS_TYPE_AAAA) {
        inet_pton(AF_INET6, record->data, bytes);
        buf_append(&data, bytes, 16);
    } else if (record->type == DNS_TYPE_SRV) {
        unsigned port = 0;
        char target[256] = "";
        sscanf(record->data, "%u %255s", &port, target);
        fake_put16(&data, 10);
        fake_put16(&data, 20);
        fake_put16(&data, port);
        fake_put_name(&data, target);
    } else {
        fake_put_name(&data, record->data);
    }
    fake_put16(out, (unsigned)data.len);
    buf_append_str(out, buf_str(&data));
    buf_deinit(&data);
}

/* The name of the question as text; gives the bytes it takes. */
static size_t fake_question(const uint8_t *at, size_t len, char *name, size_t max)
{
    size_t used = 0, out = 0;
    while (used < len && at[used]) {
        size_t label = at[used++];
        for (size_t i = 0; i < label && used < len && out + 2 < max; i++)
            name[out++] = (char)tolower(at[used++]);
        name[out++] = '.';
    }
    name[out ? out - 1 : 0] = 0;
    return used + 1;
}

static bool fake_answer(struct fake_dns *server, const uint8_t *request, size_t len, bool tcp,
                        struct buf *out)
{
    char name[300];
    size_t question = 12 + fake_question(request + 12, len - 12, name, sizeof(name));
    unsigned type = (unsigned)request[question] << 8 | request[question + 1], found = 0;
    bool exists = false;
    mutex_lock(&server->lock);
    enum fake_mode mode = server->mode;
    if (server->failing && strcasecmp(server->failing, name) == 0)
        mode = FAKE_SERVFAIL;
    struct buf records = BUF_INIT(NULL);
    for (size_t i = 0; i < server->count; i++) {
        const struct fake_record *record = &server->records[i];
        if (strcasecmp(record->name, name) != 0)
            continue;
        exists = true;
        if (record->type != type && record->type != DNS_TYPE_CNAME)
            continue;
        fake_put16(&records, 0xc00c); /* the question's name */
        fake_put16(&records, record->type);
        fake_put16(&records, 1);
        buf_append(&records, "\0\0\0\x1e", 4);
        fake_put_data(&records, record);
        found++;
    }
    mutex_unlock(&server->lock);
    bool cut = mode == FAKE_TRUNCATE && !tcp;
    unsigned code = mode == FAKE_SERVFAIL ? 2 : exists ? 0 : 3;
    buf_append(out, request, 2);
    fake_put16(out, 0x8580u | (cut ? 0x0200u : 0) | code);
    fake_put16(out, 1);
    fake_put16(out, mode == FAKE_SERVFAIL || cut ? 0 : found);
    fake_put16(out, 0);
    fake_put16(out, 0);
    buf_append(out, request + 12, question + 4 - 12);
    if (mode == FAKE_GARBAGE)
        buf_append(out, "\xc0\xff\xff\xff", 4);
    else if (mode != FAKE_SERVFAIL && !cut)
        buf_append_str(out, buf_str(&records));
    buf_deinit(&records);
    return mode != FAKE_SILENT;
}

static void fake_serve_udp(struct fake_dns *server)
{
    uint8_t request[2048];
    struct sockaddr_in peer;
    socklen_t peer_len = sizeof(peer);
    ssize_t len =
        recvfrom(server->udp, request, sizeof(request), 0, (struct sockaddr *)&peer, &peer_len);
    struct buf out = BUF_INIT(NULL);
    atomic_fetch_add(&server->asked, 1);
    if (len > 16 && fake_answer(server, request, (size_t)len, false, &out))
        sendto(server->udp, out.data, out.len, 0, (struct sockaddr *)&peer, peer_len);
    buf_deinit(&out);
}

static void fake_serve_tcp(struct fake_dns *server)
{
    uint8_t request[2048];
    int fd = accept(server->tcp, NULL, NULL);
    struct buf out = BUF_INIT(NULL);
    size_t len = 0;
    ssize_t got;
    while ((len < 2 || len < 2 + ((size_t)request[0] << 8 | request[1])) &&
           (got = recv(fd, request + len, sizeof(request) - len, 0)) > 0)
        len += (size_t)got;
    atomic_fetch_add(&server->asked_by_tcp, 1);
    if (len > 18 && fake_answer(server, request + 2, len - 2, true, &out)) {
        const uint8_t head[2] = {(uint8_t)(out.len >> 8), (uint8_t)out.len};
        send(fd, head, 2, MSG_NOSIGNAL);
        send(fd, out.data, out.len, MSG_NOSIGNAL);
    }
    buf_deinit(&out);
    close(fd);
}

static void *fake_run(void *arg)
{
    struct fake_dns *server = arg;
    for (;;) {
        struct pollfd fds[3] = {
            {server->udp, POLLIN, 0}, {server->tcp, POLLIN, 0}, {server->stop[0], POLLIN, 0}};
        poll(fds, 3, -1);
        if (fds[2].revents)
            return NULL;
        if (fds[0].revents)
            fake_serve_udp(server);
        if (fds[1].revents)
            fake_serve_tcp(server);
    }
}

static void fake_dns_start(struct fake_dns *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    memset(server, 0, sizeof(*server));
    mutex_init(&server->lock);
    server->udp = socket(AF_INET, SOCK_DGRAM, 0);
    server->tcp = socket(AF_INET, SOCK_STREAM, 0);
    bind(server->udp, (struct sockaddr *)&address, sizeof(address));
    getsockname(server->udp, (struct sockaddr *)&address, &len);
    if (bind(server->tcp, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(server->tcp, 8) != 0 || pipe(server->stop) != 0)
        perror("fake DNS server");
    snprintf(server->address, sizeof(server->address), "127.0.0.1:%d", ntohs(address.sin_port));
    pthread_create(&server->thread, NULL, fake_run, server);
}

static void fake_dns_set(struct fake_dns *server, const struct fake_record *records, size_t count,
                         enum fake_mode mode)
{
    mutex_lock(&server->lock);
    server->records = records;
    server->count = count;
    server->mode = mode;
    mutex_unlock(&server->lock);
}

static inline void fake_dns_fail(struct fake_dns *server, const char *name)
{
    mutex_lock(&server->lock);
    server->failing = name;
    mutex_unlock(&server->lock);
}

static void fake_dns_stop(struct fake_dns *server)
{
    if (write(server->stop[1], "x", 1) != 1)
        perror("fake DNS server");
    pthread_join(server->thread, NULL);
    close(server->udp);
    close(server->tcp);
    close(server->stop[0]);
    close(server->stop[1]);
    mutex_deinit(&server->lock);
}
