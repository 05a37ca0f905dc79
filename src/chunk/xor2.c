/* XOR2: float samples of Prometheus 3.14 on, with start times (chunk/start_times.h).
 *
 *     +-------+----+--------------------------------- bits --------------------------------------+
 *     | count | st | t0 varint, v0 64, [start] | t1 - t0 uvarint, value, [start] | joint, [start] |
 *     +-------+----+------------------------------------------------------------------------------+
 *       BE16    head of the start times
 *
 *     joint: 0 same step, same value | 10 same step, other value | 110 + 13 bits dod, value |
 *            1110 + 20 bits dod, value | 11110 + 64 bits dod, value | 11111 same step, stale
 *     value after a dod: 0 same | 10 window | 110 new window | 111 stale
 *     other value:       0 window | 1 new window
 *
 * "Same" and the XOR refer to the last value that was not a stale marker. */
#include "chunk/xor2.h"

#include "chunk/start_times.h"
#include "chunk/xor.h"
#include "codec/varint.h"

struct xor2_state {
    struct bit_reader bits;
    uint64_t time, delta;
    uint64_t base;  /* bits of the last value that was not stale */
    uint64_t value; /* bits of this one */
    unsigned width, shift;
    bool broken;
};

static void read_window(struct xor2_state *state)
{
    uint64_t change = bits_take(&state->bits, state->width) << state->shift;
    state->base ^= change;
    state->value = state->base;
}

static void read_new_window(struct xor2_state *state)
{
    uint64_t head = bits_take(&state->bits, 11);
    unsigned leading = (unsigned)(head >> 6), width = head & 63 ? head & 63 : 64;
    if (leading + width > 64) {
        state->broken = true;
        return;
    }
    state->width = width;
    state->shift = 64 - leading - width;
    read_window(state);
}

static void read_value(struct xor2_state *state)
{
    struct bit_reader *bits = &state->bits;
    bits_fill(bits);
    unsigned head = (unsigned)bits_peek(bits, 3);
    if (head < 4) {
        bits_skip(bits, 1);
        state->value = state->base;
    } else if (head < 6) {
        bits_skip(bits, 2);
        read_window(state);
    } else {
        bits_skip(bits, 3);
        if (head == 6)
            read_new_window(state);
        else
            state->value = STALE_NAN_BITS;
    }
}

/* The change of step has `size` bits in two's complement. */
static void read_dod(struct xor2_state *state, unsigned size)
{
    uint64_t dod = bits_take(&state->bits, size);
    if (size < 64 && dod >> (size - 1))
        dod -= (uint64_t)1 << size;
    state->delta += dod;
    state->time += state->delta;
    read_value(state);
}

static void read_joint(struct xor2_state *state)
{
    struct bit_reader *bits = &state->bits;
    bits_fill(bits);
    unsigned ones = (unsigned)__builtin_clzll(~bits->word | 1);
    if (ones >= 5) {
        bits_skip(bits, 5);
        state->time += state->delta;
        state->value = STALE_NAN_BITS;
        return;
    }
    bits_skip(bits, ones + 1);
    switch (ones) {
    case 0:
        state->time += state->delta;
        state->value = state->base;
        break;
    case 1:
        state->time += state->delta;
        if (bits_take(bits, 1))
            read_new_window(state);
        else
            read_window(state);
        break;
    case 2:
        read_dod(state, 13);
        break;
    case 3:
        read_dod(state, 20);
        break;
    default:
        read_dod(state, 64);
        break;
    }
}

static void read_sample(struct xor2_state *state, size_t at)
{
    if (at == 0) {
        state->time = (uint64_t)zigzag_decode(bits_take_uvarint(&state->bits));
        state->value = bits_take(&state->bits, 64);
        if (state->value != STALE_NAN_BITS)
            state->base = state->value;
    } else if (at == 1) {
        state->delta = bits_take_uvarint(&state->bits);
        state->time += state->delta;
        read_value(state);
    } else {
        read_joint(state);
    }
}

struct error *xor2_append(struct bytes bytes, struct arena *arena, struct samples *into)
{
    (void)arena;
    size_t count = (size_t)bytes.data[0] << 8 | bytes.data[1];
    struct xor2_state state = {
        .bits = bits_read((struct bytes){bytes.data + 3, bytes.len - 3}),
        .width = 64,
    };
    if (count > bytes.len * 8)
        return error_create(ERROR_CORRUPT, "XOR2 chunk of %zu bytes claims %zu samples", bytes.len,
                            count);
    struct start_reader starts = {.head = bytes.data[2]};
    for (size_t i = 0; i < count && !state.broken; i++) {
        uint64_t time_before = state.time;
        read_sample(&state, i);
        start_reader_next(&starts, &state.bits, i, state.time, time_before);
        if (into->starts)
            into->starts[into->count + i] = (int64_t)starts.start;
        into->times[into->count + i] = (int64_t)state.time;
        into->values[into->count + i] = double_from_bits(state.value);
    }
    if (state.broken || !bits_ok(&state.bits))
        return error_create(ERROR_CORRUPT, "XOR2 chunk of %zu samples is cut or broken", count);
    into->count += count;
    return NULL;
}
