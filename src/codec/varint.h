/* codec/varint.h: integers in groups of seven bits, the low group first, as Go's encoding/binary
 * and protobuf write them; signed ones by zigzag (0, -1, 1, -2, ...). */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { VARINT_MAX = 10 }; /* bytes of the longest */

static inline uint64_t zigzag_encode(int64_t value)
{
    return ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
}

static inline int64_t zigzag_decode(uint64_t value)
{
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

/* Bytes that varint_encode() writes: 1 to 10. */
static inline size_t varint_size(uint64_t value)
{
    return (size_t)(9 * (63 - __builtin_clzll(value | 1)) + 73) / 64;
}

/* Writes up to VARINT_MAX bytes and gives their number. */
static inline size_t varint_encode(uint8_t *out, uint64_t value)
{
    size_t len = 0;
    while (value >= 0x80) {
        out[len++] = (uint8_t)value | 0x80;
        value >>= 7;
    }
    out[len++] = (uint8_t)value;
    return len;
}

/* Number of bytes read from the `left` bytes at p, or 0 when they end too early or hold more than
 * 64 bits. */
static inline size_t varint_decode(const uint8_t *p, size_t left, uint64_t *out)
{
    uint64_t value = 0;
    size_t most = left < VARINT_MAX ? left : VARINT_MAX;
    for (size_t i = 0; i < most; i++) {
        value |= (uint64_t)(p[i] & 0x7f) << (7 * i);
        if (p[i] < 0x80) {
            if (i == 9 && p[i] > 1)
                return 0;
            *out = value;
            return i + 1;
        }
    }
    return 0;
}
