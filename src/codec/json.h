/* codec/json.h: reads JSON by pulling and writes it by appending.
 *
 *     struct json_reader reader = json_read(text, arena);
 *     struct str key;
 *     if (json_object(&reader))
 *         while (json_key(&reader, &key)) {
 *             if (str_equal(key, STR("status"))) status = json_str(&reader);
 *             else if (str_equal(key, STR("data")) && json_array(&reader))
 *                 while (json_item(&reader)) list_add(json_str(&reader));
 *             else json_skip(&reader);
 *         }
 *     err = json_finish(&reader, "answer of Prometheus");
 *
 * The reader remembers its first failure; everything read after it is zero or empty, and loops end.
 * Each value must be read or skipped once. null reads as zero, as empty, and as no object or array.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

enum { JSON_DEPTH_MAX = 128 };

enum json_type {
    JSON_NONE, /* no value here: the end or a failure */
    JSON_NULL,
    JSON_BOOL,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

struct json_reader {
    const char *start, *at, *end;
    struct arena *arena;
    const char *failure; /* static text, NULL: none */
    size_t failed_at;
    unsigned depth;
    bool first; /* no item of the innermost array or object was read yet */
};

/* text must live as long as what is read: strings without escapes are views of it; others live in
 * the arena. */
struct json_reader json_read(struct str text, struct arena *arena);

enum json_type json_peek(struct json_reader *reader);
/* True when an object or array was entered: then its keys or items must be read to the end. */
bool json_object(struct json_reader *reader);
bool json_array(struct json_reader *reader);
/* The next key, whose value must then be read; false behind the last. */
bool json_key(struct json_reader *reader, struct str *key);
bool json_item(struct json_reader *reader);

struct str json_str(struct json_reader *reader); /* valid UTF-8: bad bytes become U+FFFD */
bool json_bool(struct json_reader *reader);
double json_double(struct json_reader *reader);
int64_t json_int64(struct json_reader *reader); /* no fraction, no exponent */
uint64_t json_uint64(struct json_reader *reader);
void json_skip(struct json_reader *reader);
/* The text of a value, checked like json_skip(). */
struct str json_raw(struct json_reader *reader);

/* For decoders that find a value wrong: fails at the value just read. Static text. */
void json_fail(struct json_reader *reader, const char *failure);
/* NULL, or ERROR_INVALID "<what>: line 3, column 7: <failure>"; ERROR_LIMIT when the arena refused.
 * Anything but white space behind the value is a failure as well. */
MUST_CHECK struct error *json_finish(struct json_reader *reader, const char *what);

/* Writes commas by itself:
 *
 *     struct json_writer json = json_write(out, JSON_HTML_SAFE);
 *     json_begin_object(&json);
 *     json_put_key(&json, "status"); json_put_cstr(&json, "success");
 *     json_end_object(&json);                                                                    */
enum json_escape {
    JSON_PLAIN,     /* as Go with SetEscapeHTML(false) */
    JSON_HTML_SAFE, /* as Go's json.Marshal: also < > & */
};

struct json_writer {
    struct buf *out;
    enum json_escape escape;
    bool comma; /* a value stands in front */
};

struct json_writer json_write(struct buf *out, enum json_escape escape);
void json_begin_object(struct json_writer *json);
void json_end_object(struct json_writer *json);
void json_begin_array(struct json_writer *json);
void json_end_array(struct json_writer *json);
void json_put_key(struct json_writer *json, const char *key);
void json_put_key_str(struct json_writer *json, struct str key);
void json_put_str(struct json_writer *json, struct str value);
void json_put_cstr(struct json_writer *json, const char *value);
void json_put_int64(struct json_writer *json, int64_t value);
void json_put_uint64(struct json_writer *json, uint64_t value);
/* As Go's json.Marshal prints a float64; NaN and infinities, which JSON lacks, as null. */
void json_put_double(struct json_writer *json, double value);
void json_put_bool(struct json_writer *json, bool value);
void json_put_null(struct json_writer *json);
/* Text that is JSON already. */
void json_put_raw(struct json_writer *json, struct str text);

/* One string with its quotes, without a writer. Bytes that are not UTF-8 become \ufffd. */
void json_append_str(struct buf *out, struct str value, enum json_escape escape);
/* JSON again, as Go's encoder lays it out with one tab a level; empty objects and arrays on one
 * line. The text must be valid. */
void json_append_indented(struct buf *out, struct str json);
