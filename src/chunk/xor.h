/* chunk/xor.h: the XOR encoding of float samples (Gorilla, as Prometheus writes it).
 *
 *     +-------+--------------------------- bits -----------------------------+
 *     | count | t0 varint, v0 64 | t1 - t0 uvarint, value | dod, value | ... |
 *     +-------+------------------------------------------------------------- +
 *       BE16
 *
 *     dod (change of the time step): 0 | 10 + 14 bits | 110 + 17 | 1110 + 20 | 1111 + 64
 *     value: 0 same as before | 10 + the window's bits | 11 + 5 bits leading zeros + 6 bits width
 *            (0: 64) + so many bits; the bits are those of (value xor value before) */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "chunk/bits.h"
#include "chunk/samples.h"

/* A double that was written as the XOR with the one before, and the window that was used last. */
struct xor_value {
    uint64_t bits;
    uint8_t width, shift; /* width 0: no window yet, which reads as all 64 bits */
};

static inline double double_from_bits(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static inline uint64_t double_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

/* Reads the next value into *value; false for a window wider than 64 bits. */
MUST_CHECK bool xor_value_read(struct bit_reader *bits, struct xor_value *value);
void xor_value_write(struct bit_writer *bits, struct xor_value *value, double next);

/* A row of chunk_encodings[]. */
MUST_CHECK struct error *xor_append(struct bytes bytes, struct arena *arena, struct samples *into);

/* Writes a chunk into a buffer: init, append, end. */
struct xor_encoder {
    struct bit_writer bits;
    size_t head; /* where the chunk starts in the buffer */
    size_t count;
    uint64_t time, delta;
    struct xor_value value;
};

void xor_encoder_init(struct xor_encoder *encoder, struct buf *out);
/* At most 65535 of them. */
void xor_encoder_append(struct xor_encoder *encoder, int64_t time, double value);
void xor_encoder_end(struct xor_encoder *encoder);
