#include "codec/json.h"

#include <math.h>

#include "codec/float_text.h"

struct json_reader json_read(struct str text, struct arena *arena)
{
    return (struct json_reader){
        .start = text.data, .at = text.data, .end = text.data + text.len, .arena = arena};
}

static void fail_at(struct json_reader *reader, const char *at, const char *failure)
{
    if (!reader->failure) {
        reader->failure = failure;
        reader->failed_at = (size_t)(at - reader->start);
    }
    reader->at = reader->end;
}

void json_fail(struct json_reader *reader, const char *failure)
{
    fail_at(reader, reader->at, failure);
}

static void skip_space(struct json_reader *reader)
{
    while (reader->at < reader->end && (*reader->at == ' ' || *reader->at == '\n' ||
                                        *reader->at == '\t' || *reader->at == '\r'))
        reader->at++;
}

static bool take(struct json_reader *reader, char c)
{
    skip_space(reader);
    if (reader->at >= reader->end || *reader->at != c)
        return false;
    reader->at++;
    return true;
}

enum json_type json_peek(struct json_reader *reader)
{
    skip_space(reader);
    if (reader->failure || reader->at >= reader->end)
        return JSON_NONE;
    switch (*reader->at) {
    case 'n':
        return JSON_NULL;
    case 't':
    case 'f':
        return JSON_BOOL;
    case '"':
        return JSON_STRING;
    case '[':
        return JSON_ARRAY;
    case '{':
        return JSON_OBJECT;
    default:
        return *reader->at == '-' || (*reader->at >= '0' && *reader->at <= '9') ? JSON_NUMBER
                                                                                : JSON_NONE;
    }
}

static bool take_word(struct json_reader *reader, struct str word)
{
    struct str rest = {reader->at, (size_t)(reader->end - reader->at)};
    if (!str_starts_with(rest, word)) {
        json_fail(reader, "invalid value");
        return false;
    }
    reader->at += word.len;
    return true;
}

/* True when the next value is of this type; null is consumed and is of no type. */
static bool expect(struct json_reader *reader, enum json_type type, const char *failure)
{
    enum json_type got = json_peek(reader);
    if (got == type)
        return true;
    if (got == JSON_NULL)
        (void)take_word(reader, STR("null"));
    else
        json_fail(reader, reader->at >= reader->end ? "unexpected end" : failure);
    return false;
}

static bool enter(struct json_reader *reader, enum json_type type, const char *failure)
{
    if (!expect(reader, type, failure))
        return false;
    if (reader->depth == JSON_DEPTH_MAX) {
        json_fail(reader, "nested too deep");
        return false;
    }
    reader->at++;
    reader->depth++;
    reader->first = true;
    return true;
}

bool json_object(struct json_reader *reader)
{
    return enter(reader, JSON_OBJECT, "expected an object");
}

bool json_array(struct json_reader *reader)
{
    return enter(reader, JSON_ARRAY, "expected an array");
}

/* True when another item follows: its comma, if any, has been read. */
static bool next_item(struct json_reader *reader, char close)
{
    if (reader->failure)
        return false;
    if (take(reader, close)) {
        reader->depth--;
        reader->first = false;
        return false;
    }
    if (!reader->first && !take(reader, ',')) {
        json_fail(reader, reader->at >= reader->end ? "unexpected end" : "expected a comma");
        return false;
    }
    reader->first = false;
    skip_space(reader);
    if (reader->at >= reader->end)
        json_fail(reader, "unexpected end");
    return !reader->failure;
}

bool json_item(struct json_reader *reader)
{
    return next_item(reader, ']');
}

bool json_key(struct json_reader *reader, struct str *key)
{
    *key = STR("");
    if (!next_item(reader, '}'))
        return false;
    if (json_peek(reader) != JSON_STRING) {
        json_fail(reader, "expected a key");
        return false;
    }
    *key = json_str(reader);
    if (!reader->failure && !take(reader, ':'))
        json_fail(reader, reader->at >= reader->end ? "unexpected end" : "expected a colon");
    return !reader->failure;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Four hex digits at p, or -1. */
static int32_t hex4(const char *p, const char *end)
{
    int32_t value = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_value(p[i]);
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

static char *put_rune(char *out, uint32_t rune)
{
    if (rune < 0x80) {
        *out++ = (char)rune;
    } else if (rune < 0x800) {
        *out++ = (char)(0xc0 | rune >> 6);
        *out++ = (char)(0x80 | (rune & 0x3f));
    } else if (rune < 0x10000) {
        *out++ = (char)(0xe0 | rune >> 12);
        *out++ = (char)(0x80 | (rune >> 6 & 0x3f));
        *out++ = (char)(0x80 | (rune & 0x3f));
    } else {
        *out++ = (char)(0xf0 | rune >> 18);
        *out++ = (char)(0x80 | (rune >> 12 & 0x3f));
        *out++ = (char)(0x80 | (rune >> 6 & 0x3f));
        *out++ = (char)(0x80 | (rune & 0x3f));
    }
    return out;
}

/* A \u escape at p (behind the 'u'), with its second half when it is a surrogate pair; lone halves
 * are U+FFFD. Gives where it ends. */
static const char *unicode_escape(const char *p, const char *end, uint32_t *rune)
{
    int32_t high = hex4(p, end);
    p += 4;
    *rune = (uint32_t)high;
    if (high < 0xd800 || high >= 0xe000)
        return p;
    *rune = 0xfffd;
    if (high < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
        int32_t low = hex4(p + 2, end);
        if (low >= 0xdc00 && low < 0xe000) {
            *rune = 0x10000 + ((uint32_t)(high - 0xd800) << 10) + (uint32_t)(low - 0xdc00);
            return p + 6;
        }
    }
    return p;
}

/* Finds the closing quote; checks escapes and control characters on the way. */
static const char *string_end(struct json_reader *reader, bool *plain)
{
    const char *p = reader->at + 1;
    *plain = true;
    for (; p < reader->end && *p != '"'; p++) {
        if ((unsigned char)*p < 0x20) {
            fail_at(reader, p, "control character in a string");
            return NULL;
        }
        if (*p != '\\')
            continue;
        *plain = false;
        if (++p >= reader->end)
            break;
        if (*p == 'u' ? hex4(p + 1, reader->end) < 0 : !*p || !strchr("\"\\/bfnrt", *p)) {
            fail_at(reader, p, "invalid escape in a string");
            return NULL;
        }
    }
    if (p >= reader->end) {
        fail_at(reader, reader->end, "unexpected end");
        return NULL;
    }
    return p;
}

static char unescape_char(char c)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    const char *found = strchr(from, c);
    return found ? to[found - from] : c;
}

static struct str unescape(struct json_reader *reader, struct str raw)
{
    /* A broken byte becomes three; an escape never grows. */
    char *copy = arena_try_alloc(reader->arena, raw.len * 3 + 1), *out = copy;
    if (!copy) {
        json_fail(reader, "out of memory");
        return STR("");
    }
    const char *end = raw.data + raw.len;
    for (const char *p = raw.data; p < end;) {
        uint32_t rune;
        if (*p != '\\') {
            size_t at = (size_t)(p - raw.data);
            rune = str_next_rune(raw, &at);
            p = raw.data + at;
        } else if (p[1] == 'u') {
            p = unicode_escape(p + 2, end, &rune);
        } else {
            rune = (unsigned char)unescape_char(p[1]);
            p += 2;
        }
        out = put_rune(out, rune);
    }
    return (struct str){copy, (size_t)(out - copy)};
}

struct str json_str(struct json_reader *reader)
{
    bool plain;
    if (!expect(reader, JSON_STRING, "expected a string"))
        return STR("");
    const char *end = string_end(reader, &plain);
    if (!end)
        return STR("");
    struct str raw = {reader->at + 1, (size_t)(end - reader->at - 1)};
    if (!plain || !str_is_utf8(raw))
        raw = unescape(reader, raw);
    if (!reader->failure)
        reader->at = end + 1;
    return raw;
}

bool json_bool(struct json_reader *reader)
{
    if (!expect(reader, JSON_BOOL, "expected true or false"))
        return false;
    bool value = *reader->at == 't';
    return take_word(reader, value ? STR("true") : STR("false")) && value;
}

static const char *skip_digits(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

/* The text of a number by JSON's grammar; NULL when it is none. */
static const char *number_end(const char *p, const char *end)
{
    p += p < end && *p == '-';
    const char *digits = p;
    p = skip_digits(p, end);
    if (p == digits || (*digits == '0' && p - digits > 1))
        return NULL;
    if (p < end && *p == '.') {
        digits = ++p;
        p = skip_digits(p, end);
        if (p == digits)
            return NULL;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        p += p < end && (*p == '+' || *p == '-');
        digits = p;
        p = skip_digits(p, end);
        if (p == digits)
            return NULL;
    }
    return p;
}

static struct str number_text(struct json_reader *reader)
{
    if (!expect(reader, JSON_NUMBER, "expected a number"))
        return STR("");
    const char *start = reader->at, *end = number_end(start, reader->end);
    if (!end) {
        json_fail(reader, "invalid number");
        return STR("");
    }
    reader->at = end;
    return (struct str){start, (size_t)(end - start)};
}

double json_double(struct json_reader *reader)
{
    struct str text = number_text(reader);
    double value = 0;
    if (text.len && !float_from_str(text, &value)) {
        fail_at(reader, text.data, "number out of range");
        return 0;
    }
    return value;
}

int64_t json_int64(struct json_reader *reader)
{
    struct str text = number_text(reader);
    int64_t value = 0;
    if (text.len && !str_to_int64(text, &value)) {
        fail_at(reader, text.data, "expected a whole number of 64 bits");
        return 0;
    }
    return value;
}

uint64_t json_uint64(struct json_reader *reader)
{
    struct str text = number_text(reader);
    uint64_t value = 0;
    if (text.len && !str_to_uint64(text, &value)) {
        fail_at(reader, text.data, "expected a whole number of 64 bits");
        return 0;
    }
    return value;
}

void json_skip(struct json_reader *reader)
{
    struct str key;
    bool plain;
    const char *end;
    switch (json_peek(reader)) {
    case JSON_NULL:
        (void)take_word(reader, STR("null"));
        break;
    case JSON_BOOL:
        (void)json_bool(reader);
        break;
    case JSON_NUMBER:
        (void)number_text(reader);
        break;
    case JSON_STRING:
        end = string_end(reader, &plain);
        if (end)
            reader->at = end + 1;
        break;
    case JSON_ARRAY:
        if (json_array(reader))
            while (json_item(reader))
                json_skip(reader);
        break;
    case JSON_OBJECT:
        if (json_object(reader))
            while (json_key(reader, &key))
                json_skip(reader);
        break;
    case JSON_NONE:
        json_fail(reader, reader->at >= reader->end ? "unexpected end" : "expected a value");
        break;
    }
}

struct str json_raw(struct json_reader *reader)
{
    skip_space(reader);
    const char *start = reader->at;
    json_skip(reader);
    return reader->failure ? STR("") : (struct str){start, (size_t)(reader->at - start)};
}

struct error *json_finish(struct json_reader *reader, const char *what)
{
    struct error *err = reader->arena ? arena_status(reader->arena) : NULL;
    if (err)
        return error_wrap(err, "%s", what);
    skip_space(reader);
    if (!reader->failure && reader->at < reader->end)
        json_fail(reader, "unexpected text behind the value");
    if (!reader->failure)
        return NULL;
    size_t line = 1, column = 1;
    for (size_t i = 0; i < reader->failed_at; i++) {
        column++;
        if (reader->start[i] == '\n') {
            line++;
            column = 1;
        }
    }
    return error_create(ERROR_INVALID, "%s: line %zu, column %zu: %s", what, line, column,
                        reader->failure);
}

struct json_writer json_write(struct buf *out, enum json_escape escape)
{
    return (struct json_writer){.out = out, .escape = escape};
}

static void before_value(struct json_writer *json)
{
    if (json->comma)
        buf_append_byte(json->out, ',');
    json->comma = true;
}

static void begin(struct json_writer *json, char open)
{
    before_value(json);
    buf_append_byte(json->out, (uint8_t)open);
    json->comma = false;
}

static void end(struct json_writer *json, char close)
{
    buf_append_byte(json->out, (uint8_t)close);
    json->comma = true;
}

void json_begin_object(struct json_writer *json)
{
    begin(json, '{');
}

void json_end_object(struct json_writer *json)
{
    end(json, '}');
}

void json_begin_array(struct json_writer *json)
{
    begin(json, '[');
}

void json_end_array(struct json_writer *json)
{
    end(json, ']');
}

void json_put_key_str(struct json_writer *json, struct str key)
{
    json_put_str(json, key);
    buf_append_byte(json->out, ':');
    json->comma = false;
}

void json_put_key(struct json_writer *json, const char *key)
{
    json_put_key_str(json, str_from(key));
}

void json_put_str(struct json_writer *json, struct str value)
{
    before_value(json);
    json_append_str(json->out, value, json->escape);
}

void json_put_cstr(struct json_writer *json, const char *value)
{
    json_put_str(json, str_from(value));
}

void json_put_int64(struct json_writer *json, int64_t value)
{
    before_value(json);
    buf_append_int64(json->out, value);
}

void json_put_uint64(struct json_writer *json, uint64_t value)
{
    before_value(json);
    buf_append_uint64(json->out, value);
}

void json_put_double(struct json_writer *json, double value)
{
    if (!isfinite(value)) {
        json_put_null(json);
        return;
    }
    before_value(json);
    char text[FLOAT_TEXT_MAX];
    size_t len = float_text(text, value, FLOAT_JSON);
    /* Go's json takes the zero out of a negative exponent of one digit: 1e-07 is 1e-7. */
    if (len >= 4 && text[len - 4] == 'e' && text[len - 3] == '-' && text[len - 2] == '0') {
        text[len - 2] = text[len - 1];
        len--;
    }
    buf_append(json->out, text, len);
}

void json_put_bool(struct json_writer *json, bool value)
{
    json_put_raw(json, value ? STR("true") : STR("false"));
}

void json_put_null(struct json_writer *json)
{
    json_put_raw(json, STR("null"));
}

void json_put_raw(struct json_writer *json, struct str text)
{
    before_value(json);
    buf_append_str(json->out, text);
}

static bool is_safe(unsigned char c, enum json_escape escape)
{
    if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\')
        return false;
    return escape == JSON_PLAIN || (c != '<' && c != '>' && c != '&');
}

static void escape_ascii(struct buf *out, unsigned char c)
{
    static const char from[] = "\b\f\n\r\t\"\\", to[] = "bfnrt\"\\";
    const char *found = c ? strchr(from, c) : NULL;
    if (found) {
        buf_append_byte(out, '\\');
        buf_append_byte(out, (uint8_t)to[found - from]);
    } else {
        buf_printf(out, "\\u%04x", c);
    }
}

void json_append_str(struct buf *out, struct str value, enum json_escape escape)
{
    buf_append_byte(out, '"');
    for (size_t at = 0; at < value.len;) {
        size_t start = at;
        while (at < value.len && is_safe((unsigned char)value.data[at], escape))
            at++;
        buf_append(out, value.data + start, at - start);
        if (at >= value.len)
            break;
        start = at;
        uint32_t rune = str_next_rune(value, &at);
        if (rune < 0x80)
            escape_ascii(out, (unsigned char)rune);
        else if (rune == 0xfffd && at - start == 1)
            buf_append_cstr(out, "\\ufffd");
        else if (rune == 0x2028 || rune == 0x2029)
            buf_printf(out, "\\u%04x", (unsigned)rune);
        else
            buf_append(out, value.data + start, at - start);
    }
    buf_append_byte(out, '"');
}

static void append_line(struct buf *out, size_t depth)
{
    buf_append_byte(out, '\n');
    for (; depth > 0; depth--)
        buf_append_byte(out, '\t');
}

void json_append_indented(struct buf *out, struct str json)
{
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < json.len; i++) {
        char c = json.data[i];
        bool is_empty = i + 1 < json.len && (json.data[i + 1] == '}' || json.data[i + 1] == ']');
        bool is_open = c == '{' || c == '[', is_close = c == '}' || c == ']';
        if (in_string || c == '"') {
            buf_append_byte(out, (uint8_t)c);
            if (c == '\\' && ++i < json.len)
                buf_append_byte(out, (uint8_t)json.data[i]);
            else if (c == '"')
                in_string = !in_string;
            continue;
        }
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
            continue;
        if (is_close)
            depth -= depth > 0;
        if (is_close && !(i > 0 && (json.data[i - 1] == '{' || json.data[i - 1] == '[')))
            append_line(out, depth);
        buf_append_byte(out, (uint8_t)c);
        if (c == ':')
            buf_append_byte(out, ' ');
        if (is_open)
            depth++;
        if ((is_open && !is_empty) || c == ',')
            append_line(out, depth);
    }
}
