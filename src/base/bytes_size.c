#include "base/bytes_size.h"

static const char prefixes[] = "BKMGTPE";

/* Exponent of 1024 that the unit stands for, or -1; a prefix must carry the given suffix. */
static int unit_of(struct str name, struct str suffix)
{
    if (str_equal(name, STR("B")))
        return 0;
    for (int i = 1; i < (int)sizeof(prefixes) - 1; i++)
        if (name.len && name.data[0] == prefixes[i] &&
            str_equal(str_slice(name, 1, name.len), suffix))
            return i;
    return -1;
}

static struct error *parse_part(struct str text, struct str *rest, struct str suffix, double *sum)
{
    double value = 0, scale = 1;
    size_t at = 0, digits = 0;
    bool point = false;
    for (; at < rest->len; at++) {
        char c = rest->data[at];
        if (c == '.' && !point) {
            point = true;
        } else if (c >= '0' && c <= '9') {
            digits++;
            scale *= point ? 10 : 1;
            value = value * 10 + (c - '0');
        } else {
            break;
        }
    }
    size_t end = at;
    while (end < rest->len && rest->data[end] != '.' &&
           (rest->data[end] < '0' || rest->data[end] > '9'))
        end++;
    struct str name = str_slice(*rest, at, end);
    if (digits == 0)
        return error_create(ERROR_INVALID, "units: invalid %.*s", STR_ARG(text));
    int unit = unit_of(name, suffix);
    if (unit < 0)
        return error_create(ERROR_INVALID, "units: unknown unit %.*s in %.*s", STR_ARG(name),
                            STR_ARG(text));
    *sum += value / scale * (double)(1ull << (10 * unit));
    *rest = str_slice(*rest, end, rest->len);
    return NULL;
}

static struct error *parse_all(struct str text, struct str suffix, int64_t *bytes)
{
    struct str rest = text;
    double sum = 0;
    bool negative = text.len && text.data[0] == '-';
    if (text.len && (text.data[0] == '-' || text.data[0] == '+'))
        rest = str_slice(text, 1, text.len);
    *bytes = 0;
    if (str_equal(rest, STR("0")))
        return NULL;
    if (rest.len == 0)
        return error_create(ERROR_INVALID, "units: invalid %.*s", STR_ARG(text));
    while (rest.len) {
        struct error *err = parse_part(text, &rest, suffix, &sum);
        if (err)
            return err;
    }
    if (!(sum < 9223372036854775808.0))
        return error_create(ERROR_INVALID, "units: %.*s is too large", STR_ARG(text));
    *bytes = negative ? -(int64_t)sum : (int64_t)sum;
    return NULL;
}

struct error *bytes_size_parse(struct str text, int64_t *bytes)
{
    return parse_all(text, str_contains(text, STR("iB")) ? STR("iB") : STR("B"), bytes);
}

void bytes_size_print(struct buf *out, int64_t bytes)
{
    uint64_t left = bytes < 0 ? 0 - (uint64_t)bytes : (uint64_t)bytes;
    if (bytes < 0)
        buf_append_byte(out, '-');
    if (left == 0)
        buf_append_cstr(out, "0B");
    for (int i = (int)sizeof(prefixes) - 2; i >= 0; i--) {
        uint64_t count = left >> (10 * i);
        left &= (1ull << (10 * i)) - 1;
        if (count)
            buf_printf(out, "%llu%c%s", (unsigned long long)count, prefixes[i], i ? "iB" : "");
    }
}
