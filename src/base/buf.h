/* base/buf.h: bytes that are owned and grow; encoders append to the caller's.
 *
 * Start with BUF_INIT(budget) or {0}. Growth is charged to the budget when there is one; what it
 * refuses is not appended, buf_status() then has the error and everything after it is dropped too.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"
#include "base/str.h"

struct buf {
    char *data;
    size_t len, cap;
    struct budget *budget; /* NULL: not charged */
    size_t refused;        /* bytes of the first refused growth, 0: none */
};

#define BUF_INIT(charged_budget)                                                                   \
    {                                                                                              \
        .budget = (charged_budget)                                                                 \
    }

void buf_deinit(struct buf *buf); /* frees the content; buf may be used again */
void buf_clear(struct buf *buf);  /* len 0, keeps the memory */

void buf_append(struct buf *buf, const void *data, size_t len);
void buf_append_str(struct buf *buf, struct str s);
void buf_append_cstr(struct buf *buf, const char *text);
void buf_append_byte(struct buf *buf, uint8_t byte);
void buf_printf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);
void buf_vprintf(struct buf *buf, const char *format, va_list args) PRINTF_LIKE(2, 0);
void buf_append_uint64(struct buf *buf, uint64_t value); /* decimal */
void buf_append_int64(struct buf *buf, int64_t value);

/* Room for `len` more bytes, to be written at data + len, which the caller then raises; NULL when
 * refused. */
MUST_CHECK char *buf_reserve(struct buf *buf, size_t len);
/* Drops the first len bytes. */
void buf_consume(struct buf *buf, size_t len);

static inline struct str buf_str(const struct buf *buf)
{
    return (struct str){buf->data ? buf->data : "", buf->len};
}

static inline struct bytes buf_bytes(const struct buf *buf)
{
    return (struct bytes){(const uint8_t *)buf->data, buf->len};
}

/* NULL, or the ERROR_LIMIT of the first refused growth. */
MUST_CHECK struct error *buf_status(const struct buf *buf);
