/* codec/pb.h: the protobuf wire format, without schemas: a reader that never leaves its bytes and
 * copies nothing, and appending writers.
 *
 *     struct pb_reader reader = pb_read(bytes);
 *     while (pb_next(&reader)) {
 *         switch (reader.field) {
 *         case 1: name = pb_str(&reader); break;
 *         case 2: err = point_decode(pb_bytes(&reader), depth + 1, ...); break;
 *         default: pb_skip(&reader);
 *         }
 *     }
 *     return pb_error(&reader, "series");
 *
 * The reader remembers its first failure; pb_next() is then false and values are zero or empty.
 * Each field must be read or skipped exactly once. A value of another wire type than its field is
 * given is a failure, as for gogo's generated code. Depth of nested messages is the caller's to
 * bound. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "codec/varint.h"

enum pb_wire {
    PB_VARINT,
    PB_FIXED64,
    PB_LENGTH,
    PB_GROUP_START, /* known only to be skipped */
    PB_GROUP_END,
    PB_FIXED32,
};

struct pb_reader {
    const uint8_t *at, *end;
    const char *failure; /* static text, NULL: none */
    uint32_t field;
    enum pb_wire wire;
};

static inline struct pb_reader pb_read(struct bytes bytes)
{
    return (struct pb_reader){.at = bytes.data, .end = bytes.data + bytes.len};
}

/* Remembers the first failure and stops the reader. */
void pb_fail(struct pb_reader *reader, const char *failure);
uint64_t pb_varint_slow(struct pb_reader *reader);

/* A varint at the reader's place, whatever its wire type. */
static inline uint64_t pb_varint_raw(struct pb_reader *reader)
{
    if (reader->at < reader->end && *reader->at < 0x80)
        return *reader->at++;
    return pb_varint_slow(reader);
}

/* Moves on to the next field; false at the end and after a failure. The usual tag is one byte. */
bool pb_next_slow(struct pb_reader *reader);
static inline bool pb_next(struct pb_reader *reader)
{
    if (reader->at >= reader->end || *reader->at >= 0x80 || *reader->at < 1 << 3 ||
        (*reader->at & 7) > PB_FIXED32)
        return pb_next_slow(reader);
    reader->field = *reader->at >> 3;
    reader->wire = (enum pb_wire)(*reader->at++ & 7);
    return true;
}

uint64_t pb_uint64(struct pb_reader *reader); /* also uint32, bool, enum, int32, int64 (cast) */
int64_t pb_int64(struct pb_reader *reader);
int32_t pb_int32(struct pb_reader *reader);   /* also enum; the low 32 bits, as protobuf says */
uint32_t pb_uint32(struct pb_reader *reader); /* the low 32 bits */
bool pb_bool(struct pb_reader *reader);
int64_t pb_sint64(struct pb_reader *reader); /* zigzag; also sint32 (cast) */
uint64_t pb_fixed64(struct pb_reader *reader);
int64_t pb_sfixed64(struct pb_reader *reader);
uint32_t pb_fixed32(struct pb_reader *reader);
double pb_double(struct pb_reader *reader);
float pb_float(struct pb_reader *reader);
struct bytes pb_bytes_slow(struct pb_reader *reader);
void pb_skip_slow(struct pb_reader *reader);

/* Whether a short value with a length in front is at hand, and whole. */
static inline bool pb_is_short(const struct pb_reader *reader)
{
    return reader->wire == PB_LENGTH && reader->at < reader->end && *reader->at < 0x80 &&
           *reader->at < reader->end - reader->at;
}

/* Also nested messages; a view. */
static inline struct bytes pb_bytes(struct pb_reader *reader)
{
    if (!pb_is_short(reader))
        return pb_bytes_slow(reader);
    struct bytes view = {reader->at + 1, *reader->at};
    reader->at += 1 + view.len;
    return view;
}

static inline struct str pb_str(struct pb_reader *reader) /* a view; UTF-8 is not checked */
{
    return bytes_str(pb_bytes(reader));
}

static inline void pb_skip(struct pb_reader *reader)
{
    if (pb_is_short(reader))
        reader->at += 1 + *reader->at;
    else
        pb_skip_slow(reader);
}

/* The values of one occurrence of a repeated number, packed or not:
 *
 *     struct pb_reader values = pb_repeated(&reader, PB_VARINT);
 *     while (pb_more(&values)) use(pb_sint64(&values));
 *     pb_join(&reader, &values);                         // takes over a failure */
struct pb_reader pb_repeated(struct pb_reader *reader, enum pb_wire element);
static inline bool pb_more(const struct pb_reader *values)
{
    return values->at < values->end;
}
void pb_join(struct pb_reader *reader, const struct pb_reader *values);
/* Upper bound of how many values follow, for reserving: bytes left over least size. */
static inline size_t pb_more_max(const struct pb_reader *values)
{
    size_t left = (size_t)(values->end - values->at);
    return values->wire == PB_FIXED64 ? left / 8 : values->wire == PB_FIXED32 ? left / 4 : left;
}

/* NULL, or ERROR_CORRUPT "<what>: <failure>". */
MUST_CHECK struct error *pb_error(const struct pb_reader *reader, const char *what);

/* Writers append one field. As proto3 asks, zero, false and empty are left out; the `_always` ones
 * write them too (oneofs, optional fields, elements of repeated ones). */
void pb_put_uint64(struct buf *out, uint32_t field, uint64_t value);
void pb_put_int64(struct buf *out, uint32_t field, int64_t value); /* also int32, enum */
void pb_put_sint64(struct buf *out, uint32_t field, int64_t value);
void pb_put_bool(struct buf *out, uint32_t field, bool value);
void pb_put_double(struct buf *out, uint32_t field, double value); /* -0 is written */
void pb_put_fixed64(struct buf *out, uint32_t field, uint64_t value);
void pb_put_fixed32(struct buf *out, uint32_t field, uint32_t value);
void pb_put_bytes(struct buf *out, uint32_t field, struct bytes value);
void pb_put_str(struct buf *out, uint32_t field, struct str value);
void pb_put_uint64_always(struct buf *out, uint32_t field, uint64_t value);
void pb_put_double_always(struct buf *out, uint32_t field, double value);
void pb_put_bytes_always(struct buf *out, uint32_t field, struct bytes value);
void pb_put_str_always(struct buf *out, uint32_t field, struct str value);
/* Packed; nothing when count is 0. */
void pb_put_packed_uint64(struct buf *out, uint32_t field, const uint64_t *values, size_t count);
void pb_put_packed_sint64(struct buf *out, uint32_t field, const int64_t *values, size_t count);
void pb_put_packed_double(struct buf *out, uint32_t field, const double *values, size_t count);

/* A nested message of unknown size: write its fields between begin and end. `expected` is a guess
 * of its size; a guess of the right magnitude (below 128, below 16384, ...) saves moving the bytes.
 * Gives a mark for pb_end(). */
size_t pb_begin(struct buf *out, uint32_t field, size_t expected);
void pb_end(struct buf *out, size_t mark);
/* A nested message of known size: only its tag and length; the caller appends the `len` bytes. */
void pb_put_length(struct buf *out, uint32_t field, size_t len);

/* Sizes of fields, tag included, for those who compute lengths in front. */
static inline size_t pb_tag_size(uint32_t field)
{
    return varint_size((uint64_t)field << 3);
}
static inline size_t pb_size_uint64(uint32_t field, uint64_t value)
{
    return pb_tag_size(field) + varint_size(value);
}
static inline size_t pb_size_length(uint32_t field, size_t len)
{
    return pb_tag_size(field) + varint_size(len) + len;
}
