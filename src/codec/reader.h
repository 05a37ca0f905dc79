/* codec/reader.h: reads numbers and byte runs from bytes that come from outside, never past their
 * end. The reader remembers its first failure: everything read after it is zero or empty, so that a
 * decoder checks once, at the end, with reader_error(), and otherwise only where a number read
 * steers a loop or an allocation. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "codec/varint.h"

struct reader {
    const uint8_t *at, *end;
    bool failed;
};

static inline struct reader reader_create(struct bytes bytes)
{
    return (struct reader){.at = bytes.data, .end = bytes.data + bytes.len};
}

/* Zero after a failure. */
static inline size_t reader_left(const struct reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

static inline void reader_fail(struct reader *reader)
{
    reader->failed = true;
    reader->at = reader->end;
}

/* A view of the next len bytes; empty, and failed, when there are fewer. */
static inline struct bytes reader_bytes(struct reader *reader, size_t len)
{
    if (len > reader_left(reader)) {
        reader_fail(reader);
        return (struct bytes){reader->end, 0};
    }
    struct bytes view = {reader->at, len};
    reader->at += len;
    return view;
}

static inline void reader_skip(struct reader *reader, size_t len)
{
    (void)reader_bytes(reader, len);
}

static inline uint8_t reader_u8(struct reader *reader)
{
    struct bytes view = reader_bytes(reader, 1);
    return view.len ? view.data[0] : 0;
}

static inline uint64_t reader_uint_be(struct reader *reader, size_t size)
{
    struct bytes view = reader_bytes(reader, size);
    uint64_t value = 0;
    for (size_t i = 0; i < view.len; i++)
        value = value << 8 | view.data[i];
    return value;
}

static inline uint64_t reader_uint_le(struct reader *reader, size_t size)
{
    struct bytes view = reader_bytes(reader, size);
    uint64_t value = 0;
    for (size_t i = view.len; i > 0; i--)
        value = value << 8 | view.data[i - 1];
    return value;
}

static inline uint16_t reader_u16_be(struct reader *reader)
{
    return (uint16_t)reader_uint_be(reader, 2);
}

static inline uint32_t reader_u32_be(struct reader *reader)
{
    return (uint32_t)reader_uint_be(reader, 4);
}

static inline uint64_t reader_u64_be(struct reader *reader)
{
    return reader_uint_be(reader, 8);
}

static inline uint16_t reader_u16_le(struct reader *reader)
{
    return (uint16_t)reader_uint_le(reader, 2);
}

static inline uint32_t reader_u32_le(struct reader *reader)
{
    return (uint32_t)reader_uint_le(reader, 4);
}

static inline uint64_t reader_u64_le(struct reader *reader)
{
    return reader_uint_le(reader, 8);
}

static inline uint64_t reader_uvarint(struct reader *reader)
{
    uint64_t value = 0;
    size_t len = varint_decode(reader->at, reader_left(reader), &value);
    if (len == 0)
        reader_fail(reader);
    reader->at += len;
    return value;
}

static inline int64_t reader_varint(struct reader *reader)
{
    return zigzag_decode(reader_uvarint(reader));
}

/* A run of bytes with its length as a varint in front. */
static inline struct bytes reader_uvarint_bytes(struct reader *reader)
{
    uint64_t len = reader_uvarint(reader);
    if (len > reader_left(reader)) {
        reader_fail(reader);
        return (struct bytes){reader->end, 0};
    }
    return reader_bytes(reader, (size_t)len);
}

/* NULL, or ERROR_CORRUPT "<what>: unexpected end or bad number". */
static inline MUST_CHECK struct error *reader_error(const struct reader *reader, const char *what)
{
    if (!reader->failed)
        return NULL;
    return error_create(ERROR_CORRUPT, "%s: unexpected end or bad number", what);
}
