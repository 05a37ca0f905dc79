#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *xmalloc(size_t size)
{
    void *memory = malloc(size ? size : 1);
    if (!memory)
        bug("out of memory: malloc of %zu bytes failed", size);
    return memory;
}

void *xcalloc(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size ? size : 1);
    if (!memory)
        bug("out of memory: calloc of %zu times %zu bytes failed", count, size);
    return memory;
}

void *xrealloc(void *old, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        bug("size overflow: %zu times %zu bytes", count, size);
    void *memory = realloc(old, total ? total : 1);
    if (!memory)
        bug("out of memory: realloc to %zu bytes failed", total);
    return memory;
}

char *xstrdup(const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(xmalloc(size), text, size);
}

void bug(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("titan: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}
