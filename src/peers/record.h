/* peers/record.h: plain structs that know their own form. One table a struct names each field once:
 * its number in protobuf, its key in JSON, its type and its place. From it come the message, the
 * JSON that Prometheus gives, and the JSON of the API, which is equal to that.
 *
 *     struct meta { struct str type, help, unit; };
 *     static const struct field meta_fields[] = {
 *         {1, "type", FIELD_STR, offsetof(struct meta, type)}, ...
 *     };
 *     const struct record_type meta_type = RECORD_TYPE(struct meta, meta_fields);
 *
 * Decoded texts are views of the bytes they come from, which must live as long as the record; all
 * else lives in the arena. Nesting is that of the tables, so it is bounded. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/error.h"
#include "codec/json.h"
#include "model/labels.h"

/* The member's C type; how it stands on the wire; in JSON. */
enum field_type {
    FIELD_STR,         /* struct str */
    FIELD_INT,         /* int64_t; on the wire also int32 */
    FIELD_UINT,        /* uint64_t */
    FIELD_BOOL,        /* bool */
    FIELD_DOUBLE,      /* double */
    FIELD_DOUBLE_TEXT, /* double; a string in JSON */
    FIELD_TIME,        /* struct instant; google.protobuf.Timestamp; RFC 3339 */
    FIELD_TIME_MS,     /* int64_t; int64; seconds with a fraction */
    FIELD_ENUM,        /* int; `of` is its struct enum_names */
    FIELD_LABELS,      /* struct labels; ZLabelSet; an object */
    FIELD_STRS,        /* RECORDS(struct str); repeated string */
    FIELD_RECORD,      /* another struct; `of` is its record_type */
    FIELD_RECORDS,     /* RECORDS(T); `of` is the record_type of T */
    FIELD_VARIANT, /* int: when it is `value`, there is this field, a message of the same struct by
                      the record_type `of`; in JSON its fields stand in the place of this one */
};

struct field {
    uint32_t number; /* 0: only in JSON */
    const char *key; /* NULL: only on the wire */
    enum field_type type;
    size_t offset;
    const void *of;
    int value;
    bool is_optional; /* in JSON and, for FIELD_TIME, on the wire: left out when empty */
};

struct record_type {
    size_t size;
    const struct field *fields;
    size_t field_count;
};

#define RECORD_TYPE(struct_type, table)                                                            \
    {                                                                                              \
        sizeof(struct_type), (table), countof(table)                                               \
    }

struct enum_names {
    const char *const *names; /* of 0, 1, ...; read in any case */
    int count;
};

/* A list that grows in an arena; starts as {0}. */
#define RECORDS(item_type)                                                                         \
    struct {                                                                                       \
        item_type *items;                                                                          \
        size_t count, cap;                                                                         \
    }
/* Room for one more zeroed item, counted already: *records_add(&list, arena) = x. */
#define records_add(list, arena)                                                                   \
    ((__typeof__((list)->items))records_add_sized((list), (arena), sizeof((list)->items[0])))
void *records_add_sized(void *list, struct arena *arena, size_t item_size);

/* A point in time as a Timestamp has it; as in Go, "never" is the beginning of the year 1. */
struct instant {
    int64_t seconds;
    int32_t ns;
};
#define INSTANT_NEVER ((struct instant){INT64_C(-62135596800), 0})
int instant_compare(struct instant a, struct instant b);

/* Empty: all zero, times never. */
void record_init(const struct record_type *type, void *record);

void record_encode(struct buf *out, const struct record_type *type, const void *record);
/* Initialises the record. Unknown fields are skipped. ERROR_CORRUPT for what is malformed,
 * ERROR_LIMIT when the arena refuses. */
MUST_CHECK struct error *record_decode(struct bytes message, struct arena *arena,
                                       const struct record_type *type, void *record);

/* The fields of a ZLabelSet, repeated Label 1 and others that are skipped. */
void label_set_encode(struct buf *out, struct labels labels);
MUST_CHECK struct error *label_set_decode(struct bytes message, struct arena *arena,
                                          struct labels *out);

/* One JSON value. Label sets are written like all else: safe within HTML where the writer is. */
void record_write_json(struct json_writer *json, const struct record_type *type,
                       const void *record);
/* Initialises the record. Unknown keys are skipped; failures stay in the reader. */
void record_read_json(struct json_reader *reader, const struct record_type *type, void *record);
