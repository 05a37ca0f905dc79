#include "base/duration.h"

enum { NS_PER_MS = 1000000 };
#define MS_MAX (INT64_MAX / NS_PER_MS) /* Go keeps the same durations in nanoseconds */

static const struct {
    struct str name;
    int64_t ms;
    bool exact; /* printed only where it divides the rest */
} units[] = {
    {STR_INIT("y"), 365 * 86400000LL, true},
    {STR_INIT("w"), 7 * 86400000LL, true},
    {STR_INIT("d"), 86400000, false},
    {STR_INIT("h"), 3600000, false},
    {STR_INIT("m"), 60000, false},
    {STR_INIT("s"), 1000, false},
    {STR_INIT("ms"), 1, false},
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static struct str take_while(struct str *rest, bool digits)
{
    size_t len = 0;
    while (len < rest->len && is_digit(rest->data[len]) == digits &&
           (digits || rest->data[len] != '.'))
        len++;
    struct str taken = str_slice(*rest, 0, len);
    *rest = str_slice(*rest, len, rest->len);
    return taken;
}

static struct error *bad_duration(struct str text)
{
    return error_create(ERROR_INVALID, "not a valid duration string: \"%.*s\"", STR_ARG(text));
}

/* Takes a dot, too: "1.5h" has the unit ".". */
static struct str take_to_digit(struct str *rest)
{
    size_t len = 0;
    while (len < rest->len && !is_digit(rest->data[len]))
        len++;
    struct str taken = str_slice(*rest, 0, len);
    *rest = str_slice(*rest, len, rest->len);
    return taken;
}

static size_t find_unit(struct str name, size_t from)
{
    while (from < countof(units) && !str_equal(units[from].name, name))
        from++;
    return from;
}

struct error *duration_parse(struct str text, int64_t *ms)
{
    struct str rest = text;
    size_t next_unit = 0;
    int64_t sum = 0;
    *ms = 0;
    if (text.len == 0)
        return error_create(ERROR_INVALID, "empty duration string");
    if (str_equal(text, STR("0")))
        return NULL;
    while (rest.len) {
        struct str digits = take_while(&rest, true), name = take_to_digit(&rest);
        uint64_t count;
        size_t unit = find_unit(name, next_unit);
        if (!str_to_uint64(digits, &count) || name.len == 0)
            return bad_duration(text);
        if (find_unit(name, 0) == countof(units))
            return error_create(ERROR_INVALID, "unknown unit \"%.*s\" in duration \"%.*s\"",
                                STR_ARG(name), STR_ARG(text));
        if (unit == countof(units))
            return bad_duration(text);
        int64_t part;
        if (count > INT64_MAX || __builtin_mul_overflow((int64_t)count, units[unit].ms, &part) ||
            __builtin_add_overflow(sum, part, &sum) || sum > MS_MAX)
            return error_create(ERROR_INVALID, "duration out of range");
        next_unit = unit + 1;
    }
    *ms = sum;
    return NULL;
}

void duration_print(struct buf *out, int64_t ms)
{
    uint64_t left = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;
    if (ms == 0)
        buf_append_cstr(out, "0s");
    if (ms < 0)
        buf_append_byte(out, '-');
    for (size_t i = 0; i < countof(units) && left; i++) {
        uint64_t unit = (uint64_t)units[i].ms;
        if (left < unit || (units[i].exact && left % unit != 0))
            continue;
        buf_append_uint64(out, left / unit);
        buf_append_str(out, units[i].name);
        left %= unit;
    }
}

static const struct {
    struct str name;
    uint64_t ns;
} go_units[] = {
    {STR_INIT("ns"), 1},           {STR_INIT("us"), 1000},
    {STR_INIT("\xc2\xb5s"), 1000}, /* micro sign */
    {STR_INIT("\xce\xbcs"), 1000}, /* Greek mu */
    {STR_INIT("ms"), 1000000},     {STR_INIT("s"), 1000000000},
    {STR_INIT("m"), 60000000000},  {STR_INIT("h"), 3600000000000},
};

static struct error *bad_go_duration(struct str text)
{
    return error_create(ERROR_INVALID, "time: invalid duration \"%.*s\"", STR_ARG(text));
}

/* The fraction's digits as nanoseconds; what does not fit 63 bits is cut off, as Go does. */
static uint64_t fraction_of(struct str digits, uint64_t unit)
{
    uint64_t fraction = 0;
    double scale = 1;
    for (size_t i = 0; i < digits.len; i++) {
        uint64_t next;
        if (__builtin_mul_overflow(fraction, 10, &next) ||
            __builtin_add_overflow(next, (uint64_t)(digits.data[i] - '0'), &next) ||
            next > (uint64_t)INT64_MAX)
            break;
        fraction = next;
        scale *= 10;
    }
    return (uint64_t)((double)fraction * ((double)unit / scale));
}

/* One number with its unit, added to *sum. */
static struct error *go_part(struct str text, struct str *rest, uint64_t *sum)
{
    struct str whole = take_while(rest, true), fraction = {"", 0};
    if (rest->len && rest->data[0] == '.') {
        *rest = str_slice(*rest, 1, rest->len);
        fraction = take_while(rest, true);
    }
    if (whole.len + fraction.len == 0)
        return bad_go_duration(text);
    struct str name = take_while(rest, false);
    if (name.len == 0)
        return error_create(ERROR_INVALID, "time: missing unit in duration \"%.*s\"",
                            STR_ARG(text));
    size_t unit = 0;
    while (unit < countof(go_units) && !str_equal(go_units[unit].name, name))
        unit++;
    if (unit == countof(go_units))
        return error_create(ERROR_INVALID, "time: unknown unit \"%.*s\" in duration \"%.*s\"",
                            STR_ARG(name), STR_ARG(text));
    uint64_t value = 0;
    if ((whole.len && !str_to_uint64(whole, &value)) ||
        __builtin_mul_overflow(value, go_units[unit].ns, &value) ||
        __builtin_add_overflow(value, fraction_of(fraction, go_units[unit].ns), &value) ||
        __builtin_add_overflow(*sum, value, sum) || *sum > (uint64_t)INT64_MAX + 1)
        return bad_go_duration(text);
    return NULL;
}

struct error *duration_parse_go(struct str text, int64_t *ns)
{
    struct str rest = text;
    bool negative = text.len && text.data[0] == '-';
    uint64_t sum = 0;
    *ns = 0;
    if (text.len && (text.data[0] == '-' || text.data[0] == '+'))
        rest = str_slice(text, 1, text.len);
    if (str_equal(rest, STR("0")))
        return NULL;
    if (rest.len == 0)
        return bad_go_duration(text);
    while (rest.len) {
        struct error *err = go_part(text, &rest, &sum);
        if (err)
            return err;
    }
    if (sum > (uint64_t)INT64_MAX && !negative)
        return bad_go_duration(text);
    *ns = (int64_t)(negative ? 0 - sum : sum);
    return NULL;
}

/* value / 10^digits without trailing zeros. */
static void print_decimal(struct buf *out, uint64_t value, unsigned digits)
{
    uint64_t scale = 1;
    for (unsigned i = 0; i < digits; i++)
        scale *= 10;
    buf_append_uint64(out, value / scale);
    value %= scale;
    if (value == 0)
        return;
    buf_append_byte(out, '.');
    while (value) {
        scale /= 10;
        buf_append_byte(out, (uint8_t)('0' + value / scale));
        value %= scale;
    }
}

void duration_print_go(struct buf *out, int64_t ns)
{
    uint64_t left = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    if (ns < 0)
        buf_append_byte(out, '-');
    if (left == 0) {
        buf_append_cstr(out, "0s");
    } else if (left < 1000000000) {
        unsigned digits = left < 1000 ? 0 : left < 1000000 ? 3 : 6;
        print_decimal(out, left, digits);
        buf_append_cstr(out, digits == 0 ? "ns" : digits == 3 ? "\xc2\xb5s" : "ms");
    } else {
        uint64_t minutes = left / 60000000000u;
        if (minutes >= 60)
            buf_printf(out, "%lluh", (unsigned long long)(minutes / 60));
        if (minutes > 0)
            buf_printf(out, "%llum", (unsigned long long)(minutes % 60));
        print_decimal(out, left % 60000000000u, 9);
        buf_append_byte(out, 's');
    }
}
