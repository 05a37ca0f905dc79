/* Chunks with start times, a sample each: nothing in the product writes them. */
#include "chunk/histogram_write.h"
#include "codec/varint.h"
#include "promql/script.h"

enum { HEAD = 3, FIRST_HAS_START = 0x80 };

static void put_start(struct bit_writer *bits, int64_t time, const int64_t *start)
{
    if (start)
        bits_put_uvarint(bits, zigzag_encode(time - *start));
}

static void put_float(struct buf *out, int64_t time, double value, const int64_t *start)
{
    struct bit_writer bits = {.out = out};
    uint64_t value_bits;
    memcpy(&value_bits, &value, sizeof(value_bits));
    buf_append(out, "\0\1\0", HEAD);
    bits_put_uvarint(&bits, zigzag_encode(time));
    bits_put(&bits, value_bits, 64);
    put_start(&bits, time, start);
    bits_end(&bits);
}

static void put_histogram(struct buf *out, int64_t time, const struct histogram *histogram,
                          const int64_t *start, struct arena *arena)
{
    struct histogram_encoder encoder;
    histogram_encoder_begin(&encoder, out, arena, time, histogram);
    put_start(&encoder.bits, time, start);
    histogram_encoder_end(&encoder);
    out->data[0] = (char)(out->data[0] | out->data[2]); /* the flags make room for its head */
    out->data[2] = 0;
}

struct chunk script_start_chunk(int64_t time, double value, const struct histogram *histogram,
                                const int64_t *start, struct arena *arena)
{
    struct buf bytes = {0};
    if (histogram)
        put_histogram(&bytes, time, histogram, start, arena);
    else
        put_float(&bytes, time, value, start);
    if (start)
        bytes.data[2] = (char)FIRST_HAS_START;
    struct chunk chunk = {.min_time = time, .max_time = time};
    chunk.raw.encoding = histogram ? CHUNK_FLOAT_HISTOGRAM_ST : CHUNK_XOR2;
    chunk.raw.bytes = str_bytes(arena_str(arena, buf_str(&bytes)));
    buf_deinit(&bytes);
    return chunk;
}
