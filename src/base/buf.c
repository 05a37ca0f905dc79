#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"

void buf_deinit(struct buf *buf)
{
    budget_release(buf->budget, buf->cap);
    free(buf->data);
    *buf = (struct buf){.budget = buf->budget};
}

void buf_clear(struct buf *buf)
{
    buf->len = 0;
    buf->refused = 0;
}

char *buf_reserve(struct buf *buf, size_t len)
{
    if (buf->refused)
        return NULL;
    if (buf->data && len <= buf->cap - buf->len)
        return buf->data + buf->len;
    size_t needed;
    if (__builtin_add_overflow(buf->len, len, &needed) || needed > SIZE_MAX / 4)
        bug("buffer of %zu + %zu bytes", buf->len, len);
    size_t cap = size_max(needed, size_max(buf->cap + buf->cap / 2, 256));
    if (buf->budget && !budget_try_charge(buf->budget, cap - buf->cap)) {
        buf->refused = cap - buf->cap;
        return NULL;
    }
    buf->data = xrealloc(buf->data, cap, 1);
    buf->cap = cap;
    return buf->data + buf->len;
}

void buf_append(struct buf *buf, const void *data, size_t len)
{
    if (len == 0)
        return;
    char *room = buf_reserve(buf, len);
    if (!room)
        return;
    memcpy(room, data, len);
    buf->len += len;
}

void buf_append_str(struct buf *buf, struct str s)
{
    buf_append(buf, s.data, s.len);
}

void buf_append_cstr(struct buf *buf, const char *text)
{
    buf_append(buf, text, strlen(text));
}

void buf_append_byte(struct buf *buf, uint8_t byte)
{
    buf_append(buf, &byte, 1);
}

void buf_vprintf(struct buf *buf, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (len < 0)
        bug("a format that cannot be printed");
    char *room = buf_reserve(buf, (size_t)len + 1);
    if (!room)
        return;
    vsnprintf(room, (size_t)len + 1, format, args);
    buf->len += (size_t)len;
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    buf_vprintf(buf, format, args);
    va_end(args);
}

void buf_append_uint64(struct buf *buf, uint64_t value)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    buf_append(buf, digits + at, sizeof(digits) - at);
}

void buf_append_int64(struct buf *buf, int64_t value)
{
    if (value < 0)
        buf_append_byte(buf, '-');
    buf_append_uint64(buf, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void buf_consume(struct buf *buf, size_t len)
{
    if (len < buf->len)
        memmove(buf->data, buf->data + len, buf->len - len);
    buf->len -= len;
}

struct error *buf_status(const struct buf *buf)
{
    return buf->refused ? budget_error(buf->budget, buf->refused, "a buffer") : NULL;
}
