/* A peer for tests that writes its own HTTP/2 frames, right or wrong. */
#pragma once

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "base/buf.h"
#include "net/address.h"
#include "support/test.h"

static inline struct address raw_address(struct str text)
{
    struct address address = {0};
    struct str host, port_text;
    uint16_t port;
    CHECK_OK(address_split(text, &host, &port_text));
    CHECK(address_port(port_text, &port) && address_from_literal(host, port, &address));
    return address;
}

static inline int raw_connect(struct str to)
{
    struct address address = raw_address(to);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQ(connect(fd, &address.any, address.len), 0);
    struct timeval timeout = {10, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    return fd;
}

static inline void put_frame(struct buf *out, uint8_t type, uint8_t flags, uint32_t stream,
                             const void *payload, size_t len)
{
    uint8_t head[9] = {(uint8_t)(len >> 16),
                       (uint8_t)(len >> 8),
                       (uint8_t)len,
                       type,
                       flags,
                       (uint8_t)(stream >> 24),
                       (uint8_t)(stream >> 16),
                       (uint8_t)(stream >> 8),
                       (uint8_t)stream};
    buf_append(out, head, sizeof(head));
    buf_append(out, payload, len);
}

static inline void put_preface(struct buf *out)
{
    buf_append_cstr(out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    put_frame(out, 4, 0, 0, NULL, 0);
}

/* :method POST, :scheme http, :authority a, :path p, all literal without indexing */
static inline void put_request(struct buf *out, uint32_t stream, const char *path, bool end)
{
    struct buf block = {0};
    buf_append(&block,
               "\x83\x86\x01\x01"
               "a\x04",
               6);
    buf_append_byte(&block, (uint8_t)strlen(path));
    buf_append_cstr(&block, path);
    put_frame(out, 1, end ? 5 : 4, stream, block.data, block.len);
    buf_deinit(&block);
}

/* Sends it all unless the peer closes before, and reads what comes until the peer closes (true) or
 * nothing has come for wait_ms. */
static inline bool raw_talk(int fd, const struct buf *out, bool half_close, int wait_ms,
                            struct buf *in)
{
    size_t at = 0;
    for (;;) {
        struct pollfd ready = {fd, (short)(POLLIN | (at < out->len ? POLLOUT : 0)), 0};
        if (poll(&ready, 1, wait_ms) <= 0)
            return false;
        if (ready.revents & POLLOUT) {
            ssize_t got = send(fd, out->data + at, out->len - at, MSG_NOSIGNAL | MSG_DONTWAIT);
            at = got > 0 ? at + (size_t)got : out->len;
            if (at == out->len && half_close)
                shutdown(fd, SHUT_WR);
        }
        if (ready.revents & (POLLIN | POLLHUP | POLLERR)) {
            char part[4096];
            ssize_t got = recv(fd, part, sizeof(part), MSG_DONTWAIT);
            if (got == 0 || (got < 0 && errno != EAGAIN))
                return true;
            if (got > 0)
                buf_append(in, part, (size_t)got);
        }
    }
}

/* The payload of the last whole frame of this type in what was received; empty: none. */
static inline struct bytes raw_last_frame(const struct buf *in, uint8_t type)
{
    struct bytes found = {0};
    for (size_t i = 0; i + 9 <= in->len;) {
        const uint8_t *frame = (const uint8_t *)in->data + i;
        size_t len = (size_t)frame[0] << 16 | (size_t)frame[1] << 8 | frame[2];
        if (frame[3] == type && i + 9 + len <= in->len)
            found = (struct bytes){frame + 9, len};
        i += 9 + len;
    }
    return found;
}

static inline uint32_t raw_number(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* On a connection of its own: true when the peer closed in the end, within 10 s. The last GOAWAY's
 * code goes to *code. */
static inline bool raw_exchange(struct str to, const struct buf *out, bool half_close,
                                uint32_t *code)
{
    struct buf in = {0};
    int fd = raw_connect(to);
    bool closed = raw_talk(fd, out, half_close, 10000, &in);
    struct bytes goaway = raw_last_frame(&in, 7);
    if (goaway.len >= 8)
        *code = raw_number(goaway.data + 4);
    buf_deinit(&in);
    close(fd);
    return closed;
}
