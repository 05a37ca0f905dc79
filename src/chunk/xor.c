#include "chunk/xor.h"

#include "codec/varint.h"

/* ---- single values ---- */

bool xor_value_read(struct bit_reader *bits, struct xor_value *value)
{
    bits_fill(bits);
    if (bits_peek(bits, 1) == 0) {
        bits_skip(bits, 1);
        return true;
    }
    unsigned width = value->width ? value->width : 64, shift = value->shift;
    if (bits_peek(bits, 2) == 2) {
        bits_skip(bits, 2);
    } else {
        uint64_t head = bits_take_valid(bits, 13);
        unsigned leading = (head >> 6) & 31;
        width = head & 63 ? head & 63 : 64;
        if (leading + width > 64)
            return false;
        shift = 64 - leading - width;
        value->width = (uint8_t)width;
        value->shift = (uint8_t)shift;
    }
    value->bits ^= bits_take(bits, width) << shift;
    return true;
}

void xor_value_write(struct bit_writer *bits, struct xor_value *value, double next)
{
    uint64_t change = double_bits(next) ^ value->bits;
    value->bits ^= change;
    if (change == 0) {
        bits_put(bits, 0, 1);
        return;
    }
    unsigned leading = (unsigned)__builtin_clzll(change),
             trailing = (unsigned)__builtin_ctzll(change);
    if (leading > 31)
        leading = 31; /* what five bits hold */
    unsigned window_leading = 64 - value->width - value->shift;
    if (value->width && leading >= window_leading && trailing >= value->shift) {
        bits_put(bits, 2, 2);
        bits_put(bits, change >> value->shift, value->width);
        return;
    }
    value->width = (uint8_t)(64 - leading - trailing);
    value->shift = (uint8_t)trailing;
    bits_put(bits, 3u << 11 | leading << 6 | (value->width & 63u), 13);
    bits_put(bits, change >> trailing, value->width);
}

/* ---- chunks ---- */

/* Bits of a change of step that starts with so many ones. */
static const uint8_t dod_bits[] = {0, 14, 17, 20, 64};

/* What the samples from the third on carry from one to the next. */
struct xor_state {
    uint64_t time, delta, value;
    unsigned width, shift;
};

static inline void read_dod(struct bit_reader *bits, struct xor_state *state)
{
    if (bits->word >> 63 == 0) {
        bits_skip(bits, 1);
        return;
    }
    unsigned ones = (unsigned)__builtin_clzll(~bits->word | 1);
    if (ones < 4) {
        bits_skip(bits, ones + 1);
        uint64_t change = bits_take_valid(bits, dod_bits[ones]);
        state->delta += (uint64_t)bits_signed(change, dod_bits[ones]);
    } else {
        bits_skip(bits, 4);
        state->delta += bits_take(bits, 64);
        bits_fill(bits);
    }
}

/* The bits after the value's first, a one. At least 32 bits are valid. */
static inline bool read_change(struct bit_reader *bits, struct xor_state *state)
{
    if (bits->word >> 62 == 2) {
        bits_skip(bits, 2);
    } else {
        uint64_t head = bits_take_valid(bits, 13);
        unsigned leading = (head >> 6) & 31, width = head & 63 ? head & 63 : 64;
        if (leading + width > 64)
            return false;
        state->width = width;
        state->shift = 64 - leading - width;
    }
    state->value ^= bits_take(bits, state->width) << state->shift;
    return true;
}

/* The hottest loop of all: samples from the third on. */
static bool read_samples(struct bit_reader *reader, struct xor_state state, size_t count,
                         int64_t *times, double *values)
{
    struct bit_reader bits = *reader;
    size_t i = 0;
    while (i < count) {
        bits_fill(&bits);
        if (bits.word >> 62 == 0) { /* pairs of zeros: the same step and value, often many times */
            size_t run = size_min((size_t)__builtin_clzll(bits.word | 1), bits.valid) / 2;
            run = size_min(run, count - i);
            bits_skip(&bits, (unsigned)run * 2);
            double value = double_from_bits(state.value);
            for (size_t end = i + run; i < end; i++) {
                state.time += state.delta;
                times[i] = (int64_t)state.time;
                values[i] = value;
            }
            continue;
        }
        read_dod(&bits, &state);
        state.time += state.delta;
        if (bits.word >> 63 == 0)
            bits_skip(&bits, 1);
        else if (!read_change(&bits, &state))
            return false;
        times[i] = (int64_t)state.time;
        values[i] = double_from_bits(state.value);
        i++;
    }
    *reader = bits;
    return true;
}

struct error *xor_append(struct bytes bytes, struct arena *arena, struct samples *into)
{
    (void)arena;
    size_t count = (size_t)bytes.data[0] << 8 | bytes.data[1];
    struct bit_reader bits = bits_read((struct bytes){bytes.data + 2, bytes.len - 2});
    struct xor_value value = {0};
    struct xor_state state = {0};
    if (count > bytes.len * 4) /* two bits each at least, and the first two more */
        return error_create(ERROR_CORRUPT, "XOR chunk of %zu bytes claims %zu samples", bytes.len,
                            count);
    if (count == 0)
        return NULL;
    int64_t *times = into->times + into->count;
    double *values = into->values + into->count;
    state.time = (uint64_t)zigzag_decode(bits_take_uvarint(&bits));
    value.bits = bits_take(&bits, 64);
    times[0] = (int64_t)state.time;
    values[0] = double_from_bits(value.bits);
    bool ok = true;
    if (count > 1) {
        state.delta = bits_take_uvarint(&bits);
        state.time += state.delta;
        ok = xor_value_read(&bits, &value);
        times[1] = (int64_t)state.time;
        values[1] = double_from_bits(value.bits);
        state.value = value.bits;
        state.width = value.width ? value.width : 64;
        state.shift = value.shift;
        ok = ok && read_samples(&bits, state, count - 2, times + 2, values + 2);
    }
    if (!ok || !bits_ok(&bits))
        return error_create(ERROR_CORRUPT, "XOR chunk of %zu samples is cut or broken", count);
    into->count += count;
    return NULL;
}

/* ---- encoder ---- */

void xor_encoder_init(struct xor_encoder *encoder, struct buf *out)
{
    *encoder = (struct xor_encoder){.bits = {.out = out}, .head = out->len};
    buf_append(out, "\0\0", 2);
}

static void put_dod(struct bit_writer *bits, int64_t dod)
{
    if (dod == 0)
        bits_put(bits, 0, 1);
    else if (dod >= -8191 && dod <= 8192)
        bits_put(bits, 2u << 14 | ((uint64_t)dod & 0x3fff), 16);
    else if (dod >= -65535 && dod <= 65536)
        bits_put(bits, 6u << 17 | ((uint64_t)dod & 0x1ffff), 20);
    else if (dod >= -524287 && dod <= 524288)
        bits_put(bits, 14u << 20 | ((uint64_t)dod & 0xfffff), 24);
    else {
        bits_put(bits, 15, 4);
        bits_put(bits, (uint64_t)dod, 64);
    }
}

void xor_encoder_append(struct xor_encoder *encoder, int64_t time, double value)
{
    uint64_t delta = (uint64_t)time - encoder->time;
    if (encoder->count == 0) {
        bits_put_uvarint(&encoder->bits, zigzag_encode(time));
        bits_put(&encoder->bits, double_bits(value), 64);
        encoder->value.bits = double_bits(value);
        delta = 0;
    } else {
        if (encoder->count == 1)
            bits_put_uvarint(&encoder->bits, delta);
        else
            put_dod(&encoder->bits, (int64_t)(delta - encoder->delta));
        xor_value_write(&encoder->bits, &encoder->value, value);
    }
    encoder->time = (uint64_t)time;
    encoder->delta = delta;
    encoder->count++;
}

void xor_encoder_end(struct xor_encoder *encoder)
{
    struct buf *out = encoder->bits.out;
    bits_end(&encoder->bits);
    if (encoder->head + 2 <= out->len) {
        out->data[encoder->head] = (char)(encoder->count >> 8);
        out->data[encoder->head + 1] = (char)encoder->count;
    }
}
