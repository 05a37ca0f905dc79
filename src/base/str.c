#include "base/str.h"

#include "base/compiler.h"
#include "base/memory.h"

int str_compare(struct str a, struct str b)
{
    size_t common = size_min(a.len, b.len);
    int order = common ? memcmp(a.data, b.data, common) : 0;
    if (order)
        return order;
    return a.len < b.len ? -1 : a.len > b.len;
}

int str_compare_items(const void *a, const void *b)
{
    return str_compare(*(const struct str *)a, *(const struct str *)b);
}

bool str_starts_with(struct str s, struct str prefix)
{
    return s.len >= prefix.len && str_equal((struct str){s.data, prefix.len}, prefix);
}

bool str_ends_with(struct str s, struct str suffix)
{
    return s.len >= suffix.len &&
           str_equal((struct str){s.data + s.len - suffix.len, suffix.len}, suffix);
}

static char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool str_equal_nocase(struct str a, struct str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (ascii_lower(a.data[i]) != ascii_lower(b.data[i]))
            return false;
    return true;
}

bool str_contains(struct str s, struct str part)
{
    return part.len == 0 || (s.len >= part.len && memmem(s.data, s.len, part.data, part.len));
}

static bool ascii_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct str str_trim(struct str s)
{
    while (s.len && ascii_space(s.data[0]))
        s.data++, s.len--;
    while (s.len && ascii_space(s.data[s.len - 1]))
        s.len--;
    return s;
}

struct str str_slice(struct str s, size_t start, size_t end)
{
    start = size_min(start, s.len);
    end = size_max(start, size_min(end, s.len));
    return (struct str){s.data + start, end - start};
}

size_t str_find_char(struct str s, char c)
{
    const char *found = s.len ? memchr(s.data, c, s.len) : NULL;
    return found ? (size_t)(found - s.data) : s.len;
}

bool str_cut(struct str s, char separator, struct str *before, struct str *after)
{
    size_t at = str_find_char(s, separator);
    *before = str_slice(s, 0, at);
    *after = str_slice(s, at + 1, s.len);
    return at < s.len;
}

bool str_to_uint64(struct str s, uint64_t *out)
{
    uint64_t value = 0;
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] < '0' || s.data[i] > '9')
            return false;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(s.data[i] - '0'), &value))
            return false;
    }
    *out = value;
    return true;
}

bool str_to_int64(struct str s, int64_t *out)
{
    bool negative = s.len && s.data[0] == '-';
    if (s.len && (s.data[0] == '-' || s.data[0] == '+'))
        s.data++, s.len--;
    uint64_t magnitude;
    if (!str_to_uint64(s, &magnitude) || magnitude > (uint64_t)INT64_MAX + negative)
        return false;
    *out = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

/* Length of the valid sequence at p, and its code point; 0 when it is broken. */
static size_t utf8_sequence(const uint8_t *p, size_t left, uint32_t *rune)
{
    static const uint32_t smallest[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (p[0] < 0x80) {
        *rune = p[0];
        return 1;
    }
    size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || len > left)
        return 0;
    uint32_t value = p[0] & (0xffu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (p[i] & 0x3f);
    }
    if (value < smallest[len] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
        return 0;
    *rune = value;
    return len;
}

bool str_is_utf8(struct str s)
{
    const uint8_t *data = (const uint8_t *)s.data;
    uint32_t rune;
    for (size_t at = 0; at < s.len;) {
        size_t len = utf8_sequence(data + at, s.len - at, &rune);
        if (len == 0)
            return false;
        at += len;
    }
    return true;
}

uint32_t str_next_rune(struct str s, size_t *at)
{
    uint32_t rune;
    size_t len = utf8_sequence((const uint8_t *)s.data + *at, s.len - *at, &rune);
    *at += len ? len : 1;
    return len ? rune : 0xfffd;
}

char *str_dup(struct str s)
{
    char *copy = xmalloc(s.len + 1);
    if (s.len)
        memcpy(copy, s.data, s.len);
    copy[s.len] = 0;
    return copy;
}
