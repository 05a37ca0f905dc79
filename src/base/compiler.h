/* base/compiler.h: what the compiler is told, and the arithmetic of sizes that everything needs. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(at, first) __attribute__((format(printf, at, first)))
#define NO_RETURN __attribute__((noreturn))
#define UNUSED __attribute__((unused))
/* For the freeing end of a reference count that gcc 12 would take, inlined, for a use after free.
 */
#define NO_INLINE __attribute__((noinline))

#define countof(array) (sizeof(array) / sizeof((array)[0]))
#define container_of(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* Lock annotations, checked by clang -Wthread-safety. In C, clang resolves the lock of a field as
 * if it stood outside the struct (late parsing came with 20, behind a flag), so GUARDED_BY is for
 * the reader; what functions REQUIRE is checked. */
#define GUARDED_BY(lock)
#if defined(__clang__)
#define REQUIRES(lock) __attribute__((requires_capability(lock)))
#else
#define REQUIRES(lock)
#endif

static inline size_t size_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t size_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

static inline int64_t int64_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t int64_max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* a + b and a - b that stop at the ends of the range, for times near "for ever". */
static inline int64_t int64_add_saturating(int64_t a, int64_t b)
{
    int64_t sum;
    if (!__builtin_add_overflow(a, b, &sum))
        return sum;
    return b > 0 ? INT64_MAX : INT64_MIN;
}

static inline int64_t int64_sub_saturating(int64_t a, int64_t b)
{
    int64_t difference;
    if (!__builtin_sub_overflow(a, b, &difference))
        return difference;
    return b > 0 ? INT64_MIN : INT64_MAX;
}
