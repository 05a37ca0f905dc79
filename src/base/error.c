#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"

enum { ERROR_TEXT_MAX = 64 * 1024 }; /* a text that quotes its input stays readable and bounded */

struct error {
    enum error_kind kind;
    size_t len;
    char text[];
};

static struct error *error_format(enum error_kind kind, struct str tail, const char *format,
                                  va_list args)
{
    va_list again;
    va_copy(again, args);
    int printed = vsnprintf(NULL, 0, format, again);
    va_end(again);
    size_t head_len = printed < 0 ? 0 : size_min((size_t)printed, ERROR_TEXT_MAX);
    tail.len = size_min(tail.len, ERROR_TEXT_MAX);
    size_t separator = tail.data ? 2 : 0;
    struct error *err = xmalloc(sizeof(*err) + head_len + separator + tail.len + 1);
    err->kind = kind;
    err->len = head_len + separator + tail.len;
    vsnprintf(err->text, head_len + 1, format, args);
    if (separator) {
        memcpy(err->text + head_len, ": ", 2);
        memcpy(err->text + head_len + 2, tail.data, tail.len);
    }
    err->text[err->len] = 0;
    return err;
}

struct error *error_create(enum error_kind kind, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct error *err = error_format(kind, (struct str){0}, format, args);
    va_end(args);
    return err;
}

struct error *error_wrap(struct error *err, const char *format, ...)
{
    if (!err)
        return NULL;
    va_list args;
    va_start(args, format);
    struct error *outer = error_format(err->kind, error_text(err), format, args);
    va_end(args);
    free(err);
    return outer;
}

struct error *error_as(struct error *err, enum error_kind kind)
{
    if (err)
        err->kind = kind;
    return err;
}

struct error *error_copy(const struct error *err)
{
    if (!err)
        return NULL;
    size_t size = sizeof(*err) + err->len + 1;
    return memcpy(xmalloc(size), err, size);
}

enum error_kind error_kind(const struct error *err)
{
    return err ? err->kind : ERROR_NONE;
}

struct str error_text(const struct error *err)
{
    return err ? (struct str){err->text, err->len} : STR("");
}

const char *error_kind_name(enum error_kind kind)
{
    static const char *const names[] = {
        [ERROR_NONE] = "none",           [ERROR_INVALID] = "invalid",
        [ERROR_NOT_FOUND] = "not found", [ERROR_CONFLICT] = "conflict",
        [ERROR_QUERY] = "query",         [ERROR_LIMIT] = "limit",
        [ERROR_BUSY] = "busy",           [ERROR_UNAVAILABLE] = "unavailable",
        [ERROR_TIMEOUT] = "timeout",     [ERROR_CANCELLED] = "cancelled",
        [ERROR_CORRUPT] = "corrupt",     [ERROR_INTERNAL] = "internal",
    };
    return names[kind];
}

void error_free(struct error *err)
{
    free(err);
}

void error_keep_first(struct error **first, struct error *err)
{
    if (*first)
        error_free(err);
    else
        *first = err;
}
