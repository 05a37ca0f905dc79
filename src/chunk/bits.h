/* chunk/bits.h: bit streams, most significant bit first, as chunks are written in.
 *
 * The reader holds up to 64 bits at the top of a word:
 *
 *     bit 63                                0
 *      [ valid bits, next one first | bits to come, or zeros ]
 *
 * bits_fill() brings it to at least 56 valid bits; what is taken without one in between must not be
 * more. Past the end of the bytes it reads zeros, and bits_ok() tells whether any of them were
 * taken, so that loops of bounded length check once, at their end. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"

struct bit_reader {
    const uint8_t *at, *end, *start;
    uint64_t word;
    unsigned valid;
    size_t beyond; /* bits past the end that were put into the word */
};

static inline struct bit_reader bits_read(struct bytes bytes)
{
    return (struct bit_reader){
        .at = bytes.data,
        .end = bytes.len ? bytes.data + bytes.len : bytes.data,
        .start = bytes.data,
    };
}

static inline void bits_fill_slowly(struct bit_reader *bits)
{
    while (bits->valid <= 56) {
        uint64_t byte = 0;
        if (bits->at < bits->end)
            byte = *bits->at++;
        else
            bits->beyond += 8;
        bits->word |= byte << (56 - bits->valid);
        bits->valid += 8;
    }
}

static inline void bits_fill(struct bit_reader *bits)
{
    if (__builtin_expect(bits->end - bits->at >= 8, 1)) {
        uint64_t next;
        memcpy(&next, bits->at, 8);
        bits->word |= __builtin_bswap64(next) >> bits->valid;
        bits->at += (63 - bits->valid) >> 3;
        bits->valid |= 56;
    } else {
        bits_fill_slowly(bits);
    }
}

/* The next bits, 1 to 56 of them, which must be valid. */
static inline uint64_t bits_peek(const struct bit_reader *bits, unsigned count)
{
    return bits->word >> (64 - count);
}

/* 0 to 63 valid bits are done with. */
static inline void bits_skip(struct bit_reader *bits, unsigned count)
{
    bits->word <<= count;
    bits->valid -= count;
}

static inline uint64_t bits_take_valid(struct bit_reader *bits, unsigned count)
{
    uint64_t value = bits_peek(bits, count);
    bits_skip(bits, count);
    return value;
}

/* 1 to 64 bits, with the filling. */
static inline uint64_t bits_take(struct bit_reader *bits, unsigned count)
{
    uint64_t high = 0;
    bits_fill(bits);
    if (count > 56) {
        high = bits_take_valid(bits, count - 32) << 32;
        bits_fill(bits);
        count = 32;
    }
    return high | bits_take_valid(bits, count);
}

/* False when more was taken than there is. */
static inline bool bits_ok(const struct bit_reader *bits)
{
    return bits->beyond <= bits->valid;
}

/* Bits that were not taken yet; 0 after too much was. */
static inline size_t bits_left(const struct bit_reader *bits)
{
    if (!bits_ok(bits))
        return 0;
    return (size_t)(bits->end - bits->at) * 8 + bits->valid - bits->beyond;
}

/* Bits taken so far. */
static inline size_t bits_position(const struct bit_reader *bits)
{
    return (size_t)(bits->at - bits->start) * 8 + bits->beyond - bits->valid;
}

/* A varint of bytes that need not lie on byte bounds; more than 64 bits make the reader fail. */
static inline uint64_t bits_take_uvarint(struct bit_reader *bits)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        uint64_t byte = bits_take(bits, 8);
        if (shift == 63 && byte > 1)
            break;
        value |= (byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    bits->beyond = SIZE_MAX / 2;
    return 0;
}

/* A number of `count` bits in which one more positive than negative number fits: the largest
 * pattern half way up stands for itself, all above are negative. */
static inline int64_t bits_signed(uint64_t value, unsigned count)
{
    uint64_t half = (uint64_t)1 << (count - 1);
    return value > half ? (int64_t)(value - half - half) : (int64_t)value;
}

struct bit_writer {
    struct buf *out;
    uint64_t word; /* bits not yet appended, at the top */
    unsigned used; /* 0 to 63 */
};

static inline void bits_flush_word(struct bit_writer *bits, uint64_t word)
{
    word = __builtin_bswap64(word);
    buf_append(bits->out, &word, 8);
}

/* The low `count` bits of value, 1 to 64. */
static inline void bits_put(struct bit_writer *bits, uint64_t value, unsigned count)
{
    if (count < 64)
        value &= ((uint64_t)1 << count) - 1;
    unsigned room = 64 - bits->used;
    if (count < room) {
        bits->word |= value << (room - count);
        bits->used += count;
        return;
    }
    bits_flush_word(bits, bits->word | value >> (count - room));
    bits->used = count - room;
    bits->word = bits->used ? value << (64 - bits->used) : 0;
}

static inline void bits_put_uvarint(struct bit_writer *bits, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        bits_put(bits, value | 0x80, 8);
    bits_put(bits, value, 8);
}

/* Appends what is left, zeros up to a whole byte. */
static inline void bits_end(struct bit_writer *bits)
{
    uint64_t word = __builtin_bswap64(bits->word);
    buf_append(bits->out, &word, (bits->used + 7) / 8);
    bits->word = 0;
    bits->used = 0;
}
