#include "chunk/chunk_encoder.h"

void chunk_encoder_init(struct chunk_encoder *encoder, struct arena *arena)
{
    *encoder = (struct chunk_encoder){
        .arena = arena,
        .bytes = BUF_INIT(arena_budget(arena)),
    };
}

static void close_chunk(struct chunk_encoder *encoder)
{
    if (encoder->open.raw.encoding == CHUNK_NONE)
        return;
    if (encoder->open.raw.encoding == CHUNK_XOR)
        xor_encoder_end(&encoder->xor);
    else
        histogram_encoder_end(&encoder->histogram);
    if (encoder->refused == 0)
        encoder->refused = encoder->bytes.refused;
    encoder->open.raw.bytes = str_bytes(arena_str(encoder->arena, buf_str(&encoder->bytes)));
    if (encoder->count == encoder->cap) {
        size_t cap = size_max(4, encoder->cap * 2);
        struct chunk *chunks = arena_array(encoder->arena, cap, sizeof(*chunks));
        if (encoder->count)
            memcpy(chunks, encoder->chunks, encoder->count * sizeof(*chunks));
        encoder->chunks = chunks;
        encoder->cap = cap;
    }
    encoder->chunks[encoder->count++] = encoder->open;
    encoder->open = (struct chunk){.raw = {.encoding = CHUNK_NONE}};
}

/* Makes room for one more sample of an encoding; true when a new chunk has to be begun. */
static bool open_chunk(struct chunk_encoder *encoder, enum chunk_encoding encoding, int64_t time,
                       bool fits)
{
    bool fresh =
        encoder->open.raw.encoding != encoding || !fits || encoder->open_count == CHUNK_SAMPLES_MAX;
    if (fresh) {
        close_chunk(encoder);
        buf_clear(&encoder->bytes);
        encoder->open = (struct chunk){.min_time = time, .raw = {.encoding = encoding}};
        encoder->open_count = 0;
    }
    encoder->open.max_time = time;
    encoder->open_count++;
    return fresh;
}

void chunk_encoder_float(struct chunk_encoder *encoder, int64_t time, double value)
{
    if (open_chunk(encoder, CHUNK_XOR, time, true))
        xor_encoder_init(&encoder->xor, &encoder->bytes);
    xor_encoder_append(&encoder->xor, time, value);
}

void chunk_encoder_histogram(struct chunk_encoder *encoder, int64_t time,
                             const struct histogram *histogram)
{
    bool fits = encoder->open.raw.encoding == CHUNK_FLOAT_HISTOGRAM &&
                histogram_encoder_takes(&encoder->histogram, histogram);
    if (open_chunk(encoder, CHUNK_FLOAT_HISTOGRAM, time, fits))
        histogram_encoder_begin(&encoder->histogram, &encoder->bytes, encoder->arena, time,
                                histogram);
    else
        histogram_encoder_append(&encoder->histogram, time, histogram);
}

struct error *chunk_encoder_finish(struct chunk_encoder *encoder, struct chunk_list *out)
{
    close_chunk(encoder);
    struct error *err = arena_status(encoder->arena);
    if (!err && encoder->refused)
        err = budget_error(encoder->bytes.budget, encoder->refused, "a chunk");
    buf_deinit(&encoder->bytes);
    *out = (struct chunk_list){encoder->chunks, encoder->count};
    return err;
}
