#include "runtime/log.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/duration.h"
#include "base/memory.h"
#include "base/time_text.h"
#include "codec/float_text.h"
#include "runtime/time.h"

enum { PAIRS_MAX = 48, VALUE_BYTES_MAX = 16 * 1024 };

struct log {
    struct log *parent; /* NULL: the root, which has the next four */
    int fd;
    enum log_level least;
    enum log_format format;
    char *name;

    char *key; /* of log_with() */
    struct str value;
};

struct pairs {
    struct log_value items[PAIRS_MAX];
    size_t count;
};

struct log_value log_value_str(const char *key, struct str value)
{
    return (struct log_value){.key = key, .type = LOG_VALUE_STR, .str = value};
}

struct log_value log_value_cstr(const char *key, const char *value)
{
    return log_value_str(key, str_from(value));
}

struct log_value log_value_int(const char *key, int64_t value)
{
    return (struct log_value){.key = key, .type = LOG_VALUE_INT, .integer = value};
}

struct log_value log_value_uint(const char *key, uint64_t value)
{
    return (struct log_value){.key = key, .type = LOG_VALUE_UINT, .uinteger = value};
}

struct log_value log_value_double(const char *key, double value)
{
    return (struct log_value){.key = key, .type = LOG_VALUE_DOUBLE, .real = value};
}

struct log_value log_value_bool(const char *key, bool value)
{
    return (struct log_value){.key = key, .type = LOG_VALUE_BOOL, .boolean = value};
}

struct log_value log_value_duration(const char *key, int64_t ms)
{
    return (struct log_value){.key = key, .type = LOG_VALUE_DURATION, .integer = ms};
}

struct log *log_create(int fd, enum log_level least, enum log_format format, struct str name)
{
    struct log *log = xcalloc(1, sizeof(*log));
    log->fd = fd;
    log->least = least;
    log->format = format;
    log->name = name.len ? str_dup(name) : NULL;
    return log;
}

struct log *log_with(struct log *parent, const char *key, struct str value)
{
    struct log *log = xcalloc(1, sizeof(*log));
    log->parent = parent;
    log->least = parent->least;
    log->key = xstrdup(key);
    log->value = (struct str){str_dup(value), value.len};
    return log;
}

void log_free(struct log *log)
{
    if (!log)
        return;
    free(log->name);
    free(log->key);
    free((char *)log->value.data);
    free(log);
}

bool log_enabled(const struct log *log, enum log_level level)
{
    return log && level >= log->least;
}

/* -- text -- */

static int64_t duration_ns(int64_t ms)
{
    int64_t ns;
    if (__builtin_mul_overflow(ms, 1000000, &ns))
        return ms < 0 ? INT64_MIN : INT64_MAX;
    return ns;
}

/* The inside of a JSON string. logfmt knows fewer short escapes: short_forms are the letters after
 * the backslash it may use, for the bytes at the same place in short_bytes. */
static void append_escaped(struct buf *out, struct str text, const char *short_bytes,
                           const char *short_forms)
{
    for (size_t at = 0; at < text.len;) {
        size_t start = at;
        uint32_t rune = str_next_rune(text, &at);
        const char *short_byte = rune && rune < 128 ? strchr(short_bytes, (int)rune) : NULL;
        if (short_byte) {
            buf_append_byte(out, '\\');
            buf_append_byte(out, (uint8_t)short_forms[short_byte - short_bytes]);
        } else if (rune < ' ' || rune == 0xfffd) {
            buf_printf(out, "\\u%04x", (unsigned)rune);
        } else {
            buf_append(out, text.data + start, at - start);
        }
    }
}

static bool logfmt_needs_quotes(struct str text)
{
    if (str_equal(text, STR("null")))
        return true;
    for (size_t at = 0; at < text.len;) {
        uint32_t rune = str_next_rune(text, &at);
        if (rune <= ' ' || rune == '=' || rune == '"' || rune == 0xfffd)
            return true;
    }
    return false;
}

static void append_logfmt_str(struct buf *out, struct str text)
{
    if (!logfmt_needs_quotes(text)) {
        buf_append_str(out, text);
        return;
    }
    buf_append_byte(out, '"');
    append_escaped(out, text, "\\\"\n\r\t", "\\\"nrt");
    buf_append_byte(out, '"');
}

static void append_json_str(struct buf *out, struct str text)
{
    buf_append_byte(out, '"');
    append_escaped(out, text, "\\\"\n\r\t\b\f", "\\\"nrtbf");
    buf_append_byte(out, '"');
}

static void append_value(struct buf *out, const struct log_value *value, bool json)
{
    void (*append_str)(struct buf *, struct str) = json ? append_json_str : append_logfmt_str;
    struct buf text = {0};
    switch (value->type) {
    case LOG_VALUE_STR:
        append_str(out, str_slice(value->str, 0, VALUE_BYTES_MAX));
        break;
    case LOG_VALUE_INT:
        buf_append_int64(out, value->integer);
        break;
    case LOG_VALUE_UINT:
        buf_append_uint64(out, value->uinteger);
        break;
    case LOG_VALUE_DOUBLE:
        if (json && !isfinite(value->real)) /* JSON has no number for it */
            append_str(out, isnan(value->real) ? STR("NaN")
                            : value->real > 0  ? STR("+Inf")
                                               : STR("-Inf"));
        else
            float_append(out, value->real, json ? FLOAT_JSON : FLOAT_GENERAL);
        break;
    case LOG_VALUE_BOOL:
        buf_append_cstr(out, value->boolean ? "true" : "false");
        break;
    case LOG_VALUE_DURATION:
        duration_print_go(&text, duration_ns(value->integer));
        append_str(out, buf_str(&text));
        break;
    }
    buf_deinit(&text);
}

static void append_logfmt(struct buf *out, const struct pairs *pairs)
{
    for (size_t i = 0; i < pairs->count; i++) {
        if (i)
            buf_append_byte(out, ' ');
        buf_append_cstr(out, pairs->items[i].key);
        buf_append_byte(out, '=');
        append_value(out, &pairs->items[i], false);
    }
    buf_append_byte(out, '\n');
}

/* An object with sorted keys, the later of two equal ones counting, as when it was a map. */
static void append_json(struct buf *out, const struct pairs *pairs)
{
    const struct log_value *sorted[PAIRS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < pairs->count; i++) {
        const struct log_value *pair = &pairs->items[i];
        size_t at = count;
        while (at > 0 && strcmp(sorted[at - 1]->key, pair->key) > 0)
            at--;
        if (at > 0 && strcmp(sorted[at - 1]->key, pair->key) == 0) {
            sorted[at - 1] = pair;
            continue;
        }
        memmove(&sorted[at + 1], &sorted[at], (count - at) * sizeof(sorted[0]));
        sorted[at] = pair;
        count++;
    }
    for (size_t i = 0; i < count; i++) {
        buf_append_byte(out, i ? ',' : '{');
        append_json_str(out, str_from(sorted[i]->key));
        buf_append_byte(out, ':');
        append_value(out, sorted[i], true);
    }
    buf_append_cstr(out, "}\n");
}

/* -- lines -- */

static void pairs_add(struct pairs *pairs, struct log_value value)
{
    if (pairs->count < PAIRS_MAX)
        pairs->items[pairs->count++] = value;
}

/* Outermost first. */
static void pairs_add_fixed(struct pairs *pairs, const struct log *log)
{
    if (!log->parent)
        return;
    pairs_add_fixed(pairs, log->parent);
    pairs_add(pairs, log_value_str(log->key, log->value));
}

static void write_all(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t done = write(fd, data, len);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return; /* there is nobody left to tell */
        data += done;
        len -= (size_t)done;
    }
}

void log_write(struct log *log, enum log_level level, const char *file, int line,
               const char *message, const struct log_value *values, size_t count)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    const struct log *root = log;
    while (root->parent)
        root = root->parent;
    char caller[128];
    struct buf timestamp = {0};
    int64_t now_ns = time_now_ns();
    time_text_print_ns(&timestamp, now_ns / 1000000000, (int32_t)(now_ns % 1000000000));
    const char *slash = strrchr(file, '/');
    snprintf(caller, sizeof(caller), "%s:%d", slash ? slash + 1 : file, line);

    struct pairs pairs;
    pairs.count = 0;
    pairs_add(&pairs, log_value_str("ts", buf_str(&timestamp)));
    pairs_add(&pairs, log_value_cstr("caller", caller));
    pairs_add(&pairs, log_value_cstr("level", levels[level]));
    if (root->name)
        pairs_add(&pairs, log_value_cstr("name", root->name));
    pairs_add_fixed(&pairs, log);
    pairs_add(&pairs, log_value_cstr("msg", message));
    for (size_t i = 0; i < count; i++)
        pairs_add(&pairs, values[i]);

    struct buf out = {0};
    if (root->format == LOG_JSON)
        append_json(&out, &pairs);
    else
        append_logfmt(&out, &pairs);
    write_all(root->fd, out.data, out.len);
    buf_deinit(&out);
    buf_deinit(&timestamp);
}
