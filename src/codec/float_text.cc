// The digits come from std::to_chars and std::from_chars; how they are laid out, and which texts
// are floats at all, is Go's.
extern "C" {
#include "codec/float_text.h"
}

#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace
{

struct decimal {
    char digits[20]; // without leading or trailing zeros, but at least one
    int count;
    int exponent; // of the first digit: d.ddd x 10^exponent
};

decimal decimal_of(double magnitude)
{
    char text[32];
    auto end =
        std::to_chars(text, text + sizeof(text), magnitude, std::chars_format::scientific).ptr;
    decimal result{};
    const char *at = text;
    for (; at < end && *at != 'e'; at++)
        if (*at != '.')
            result.digits[result.count++] = *at;
    while (result.count > 1 && result.digits[result.count - 1] == '0')
        result.count--;
    if (at < end) {
        at++;
        at += *at == '+';
        std::from_chars(at, end, result.exponent);
    }
    return result;
}

char *put(char *at, const char *data, int len)
{
    std::memcpy(at, data, static_cast<size_t>(len));
    return at + len;
}

char *put_zeros(char *at, int count)
{
    std::memset(at, '0', static_cast<size_t>(count));
    return at + count;
}

char *put_plain(char *at, const decimal &d)
{
    int whole = d.exponent + 1; // digits in front of the point
    if (whole <= 0) {
        *at++ = '0';
        *at++ = '.';
        at = put_zeros(at, -whole);
        return put(at, d.digits, d.count);
    }
    if (whole >= d.count) {
        at = put(at, d.digits, d.count);
        return put_zeros(at, whole - d.count);
    }
    at = put(at, d.digits, whole);
    *at++ = '.';
    return put(at, d.digits + whole, d.count - whole);
}

char *put_exponent(char *at, const decimal &d)
{
    *at++ = d.digits[0];
    if (d.count > 1) {
        *at++ = '.';
        at = put(at, d.digits + 1, d.count - 1);
    }
    *at++ = 'e';
    *at++ = d.exponent < 0 ? '-' : '+';
    int exponent = d.exponent < 0 ? -d.exponent : d.exponent;
    if (exponent < 10)
        *at++ = '0';
    return std::to_chars(at, at + 4, exponent).ptr;
}

bool wants_exponent(const decimal &d, double magnitude, enum float_format format)
{
    switch (format) {
    case FLOAT_PLAIN:
        return false;
    case FLOAT_EXPONENT:
        return true;
    case FLOAT_GENERAL:
        return d.exponent < -4 || d.exponent >= 6;
    case FLOAT_JSON:
        return magnitude != 0 && (magnitude < 1e-6 || magnitude >= 1e21);
    }
    return false;
}

bool is_digit(char c, bool hex)
{
    char lower = static_cast<char>(c | 0x20);
    return (c >= '0' && c <= '9') || (hex && lower >= 'a' && lower <= 'f');
}

bool equals_word(struct str text, const char *word)
{
    size_t len = std::strlen(word);
    if (text.len != len)
        return false;
    for (size_t i = 0; i < len; i++)
        if ((text.data[i] | 0x20) != word[i])
            return false;
    return true;
}

// A float cut into its parts, as far as it goes by Go's grammar.
struct pieces {
    bool hex, underscores;
    const char *mantissa, *mantissa_end;
    const char *exponent, *exponent_end; // equal: none; with sign
};

const char *scan_digits(const char *at, const char *end, bool hex, bool *any, bool *underscores)
{
    for (; at < end && (*at == '_' || is_digit(*at, hex)); at++) {
        if (*at == '_')
            *underscores = true;
        else
            *any = true;
    }
    return at;
}

bool cut(struct str text, pieces *out)
{
    const char *at = text.data, *end = text.data + text.len;
    *out = {};
    if (end - at > 2 && at[0] == '0' && (at[1] | 0x20) == 'x') {
        out->hex = true;
        at += 2;
    }
    bool any = false;
    out->mantissa = at;
    at = scan_digits(at, end, out->hex, &any, &out->underscores);
    if (at < end && *at == '.')
        at = scan_digits(at + 1, end, out->hex, &any, &out->underscores);
    out->mantissa_end = out->exponent = out->exponent_end = at;
    if (!any)
        return false;
    if (at < end && (*at | 0x20) == (out->hex ? 'p' : 'e')) {
        out->exponent = ++at;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        if (at == end || !is_digit(*at, false))
            return false;
        at = scan_digits(at, end, false, &any, &out->underscores);
        out->exponent_end = at;
    } else if (out->hex) {
        return false;
    }
    return at == end;
}

// An underscore stands between two digits, or between the base prefix and a digit.
bool underscores_fit(struct str text)
{
    bool hex = text.len > 2 && text.data[0] == '0' && (text.data[1] | 0x20) == 'x';
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] != '_')
            continue;
        bool before = i > 0 && (is_digit(text.data[i - 1], hex) || (hex && i == 2));
        bool after = i + 1 < text.len && is_digit(text.data[i + 1], hex);
        if (!before || !after)
            return false;
    }
    return true;
}

// Whether a number that does not fit is too large, rather than too small: the place of its first
// digit that is not zero decides, as neither limit is near 1.
bool is_huge(const pieces &p)
{
    long place = 0, exponent = 0;
    bool point = false, found = false;
    for (const char *at = p.mantissa; at < p.mantissa_end && !(found && point); at++) {
        if (*at == '.')
            point = true;
        else if (!found && *at == '0')
            place -= point;
        else if (!found)
            found = true, place += point ? -1 : 0;
        else
            place++;
    }
    const char *at = p.exponent;
    bool negative = at < p.exponent_end && *at == '-';
    for (; at < p.exponent_end && exponent < 1000000000000; at++)
        if (*at >= '0' && *at <= '9')
            exponent = exponent * 10 + (*at - '0');
    return place * (p.hex ? 4 : 1) + (negative ? -exponent : exponent) > 0;
}

bool is_zero(const pieces &p)
{
    for (const char *at = p.mantissa; at < p.mantissa_end; at++)
        if (*at != '0' && *at != '.')
            return false;
    return true;
}

enum float_parse parse_magnitude(struct str text, double *out)
{
    pieces p;
    if (!cut(text, &p))
        return FLOAT_SYNTAX;
    if (is_zero(p)) {
        *out = 0;
        return FLOAT_OK;
    }
    auto format = p.hex ? std::chars_format::hex : std::chars_format::general;
    auto result = std::from_chars(p.mantissa, text.data + text.len, *out, format);
    if (result.ec == std::errc::result_out_of_range) {
        bool huge = is_huge(p);
        *out = huge ? std::numeric_limits<double>::infinity() : 0;
        return huge ? FLOAT_RANGE : FLOAT_OK;
    }
    if (result.ec != std::errc() || result.ptr != text.data + text.len)
        return FLOAT_SYNTAX;
    if (std::isinf(*out))
        return FLOAT_RANGE;
    return FLOAT_OK;
}

enum float_parse parse_with_underscores(struct str text, double *out)
{
    if (!underscores_fit(text))
        return FLOAT_SYNTAX;
    struct buf plain = {};
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] != '_')
            buf_append_byte(&plain, static_cast<uint8_t>(text.data[i]));
    enum float_parse result = parse_magnitude(buf_str(&plain), out);
    buf_deinit(&plain);
    return result;
}

} // namespace

size_t float_text(char out[FLOAT_TEXT_MAX], double value, enum float_format format)
{
    char *at = out;
    if (std::isnan(value))
        return static_cast<size_t>(put(at, "NaN", 3) - out);
    if (std::isinf(value))
        return static_cast<size_t>(put(at, value < 0 ? "-Inf" : "+Inf", 4) - out);
    if (std::signbit(value))
        *at++ = '-';
    double magnitude = std::fabs(value);
    decimal d = decimal_of(magnitude);
    at = wants_exponent(d, magnitude, format) ? put_exponent(at, d) : put_plain(at, d);
    return static_cast<size_t>(at - out);
}

void float_append(struct buf *out, double value, enum float_format format)
{
    char text[FLOAT_TEXT_MAX];
    buf_append(out, text, float_text(text, value, format));
}

enum float_parse float_parse(struct str text, double *out)
{
    *out = 0;
    if (equals_word(text, "nan")) {
        *out = std::numeric_limits<double>::quiet_NaN();
        return FLOAT_OK;
    }
    bool negative = text.len && text.data[0] == '-';
    if (text.len && (text.data[0] == '-' || text.data[0] == '+'))
        text = {text.data + 1, text.len - 1};
    enum float_parse result = FLOAT_OK;
    if (equals_word(text, "inf") || equals_word(text, "infinity"))
        *out = std::numeric_limits<double>::infinity();
    else if (text.len && std::memchr(text.data, '_', text.len))
        result = parse_with_underscores(text, out);
    else
        result = parse_magnitude(text, out);
    if (result == FLOAT_SYNTAX)
        *out = 0;
    else if (negative)
        *out = -*out;
    return result;
}

bool float_from_str(struct str text, double *out)
{
    return float_parse(text, out) == FLOAT_OK;
}
