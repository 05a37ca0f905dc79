/* base/str.h: borrowed views of text and bytes, passed by value. No NUL at the end is promised. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *data;
    size_t len;
};

struct bytes {
    const uint8_t *data;
    size_t len;
};

/* A view of a literal; str_from() takes any NUL-terminated string, NULL being empty. */
#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
#define STR_INIT(literal)                                                                          \
    {                                                                                              \
        "" literal, sizeof(literal) - 1                                                            \
    }                                     /* for static tables */
#define STR_ARG(s) (int)(s).len, (s).data /* for "%.*s" */

static inline struct str str_from(const char *text)
{
    return text ? (struct str){text, strlen(text)} : (struct str){"", 0};
}

static inline struct bytes str_bytes(struct str s)
{
    return (struct bytes){(const uint8_t *)s.data, s.len};
}

static inline struct str bytes_str(struct bytes b)
{
    return (struct str){(const char *)b.data, b.len};
}

static inline bool str_equal(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* Byte order, the shorter first: <0, 0, >0. */
int str_compare(struct str a, struct str b);
/* qsort comparator of struct str. */
int str_compare_items(const void *a, const void *b);

bool str_starts_with(struct str s, struct str prefix);
bool str_ends_with(struct str s, struct str suffix);
bool str_equal_nocase(struct str a, struct str b); /* ASCII only */
bool str_contains(struct str s, struct str part);
struct str str_trim(struct str s);                            /* ASCII white space at both ends */
struct str str_slice(struct str s, size_t start, size_t end); /* clamped to s */
/* Position of the first such byte, or s.len. */
size_t str_find_char(struct str s, char c);
/* Cuts s at the first separator: true and both parts, or false with all of s in before. */
bool str_cut(struct str s, char separator, struct str *before, struct str *after);

/* Decimal digits only, no sign (int64: one sign); false on anything else and on overflow. */
bool str_to_uint64(struct str s, uint64_t *out);
bool str_to_int64(struct str s, int64_t *out);

/* True when s is valid UTF-8 (no surrogates, no overlong forms, up to U+10FFFF). */
bool str_is_utf8(struct str s);
/* Decodes one code point at s.data[*at] and moves *at behind it; U+FFFD for a broken byte. s must
 * have one. */
uint32_t str_next_rune(struct str s, size_t *at);

/* NUL-terminated heap copy, to be given to free(). */
char *str_dup(struct str s);
