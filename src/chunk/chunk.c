#include "chunk/chunk.h"

#include "chunk/histogram_read.h"
#include "chunk/samples.h"
#include "chunk/xor.h"
#include "chunk/xor2.h"

static struct error *xor2_to_xor(struct bytes bytes, struct arena *arena, struct bytes *out);
static struct error *histogram_st_to_plain(struct bytes bytes, struct arena *arena,
                                           struct bytes *out);
static struct error *float_histogram_st_to_plain(struct bytes bytes, struct arena *arena,
                                                 struct bytes *out);

/* One row an encoding. `append` and `transcode` see at least `head` bytes. */
static const struct chunk_codec {
    const char *name;
    size_t head;         /* bytes before the bits */
    uint16_t count_mask; /* of the first two bytes: the number of samples */
    bool histograms;
    struct error *(*append)(struct bytes bytes, struct arena *arena, struct samples *into);
    enum chunk_encoding plain; /* what it is transcoded to; itself: not needed */
    struct error *(*transcode)(struct bytes bytes, struct arena *arena, struct bytes *out);
} chunk_encodings[] = {
    [CHUNK_XOR] = {"XOR", 2, 0xffff, false, xor_append, CHUNK_XOR, NULL},
    [CHUNK_HISTOGRAM] = {"histogram", 3, 0xffff, true, histogram_append, CHUNK_HISTOGRAM, NULL},
    [CHUNK_FLOAT_HISTOGRAM] = {"float histogram", 3, 0xffff, true, float_histogram_append,
                               CHUNK_FLOAT_HISTOGRAM, NULL},
    [CHUNK_XOR2] = {"XOR2", 3, 0xffff, false, xor2_append, CHUNK_XOR, xor2_to_xor},
    [CHUNK_HISTOGRAM_ST] = {"histogram with start times", 3, 0x3fff, true, histogram_st_append,
                            CHUNK_HISTOGRAM, histogram_st_to_plain},
    [CHUNK_FLOAT_HISTOGRAM_ST] = {"float histogram with start times", 3, 0x3fff, true,
                                  float_histogram_st_append, CHUNK_FLOAT_HISTOGRAM,
                                  float_histogram_st_to_plain},
};

static const struct chunk_codec *codec_of(enum chunk_encoding encoding)
{
    if ((unsigned)encoding >= countof(chunk_encodings) || !chunk_encodings[encoding].append)
        return NULL;
    return &chunk_encodings[encoding];
}

int chunk_compare(const struct chunk *a, const struct chunk *b)
{
    if (a->min_time != b->min_time)
        return a->min_time < b->min_time ? -1 : 1;
    if (a->max_time != b->max_time)
        return a->max_time < b->max_time ? -1 : 1;
    for (size_t i = 0; i < AGGR_NUMBER; i++) {
        const struct chunk_data none = {.encoding = CHUNK_NONE};
        const struct chunk_data *x = a->aggrs ? &a->aggrs[i] : i == AGGR_RAW ? &a->raw : &none;
        const struct chunk_data *y = b->aggrs ? &b->aggrs[i] : i == AGGR_RAW ? &b->raw : &none;
        if (x->encoding != y->encoding)
            return x->encoding < y->encoding ? -1 : 1;
        int order = str_compare(bytes_str(x->bytes), bytes_str(y->bytes));
        if (order)
            return order;
    }
    return 0;
}

bool chunk_has_histograms(enum chunk_encoding encoding)
{
    const struct chunk_codec *codec = codec_of(encoding);
    return codec && codec->histograms;
}

bool chunk_has_starts(enum chunk_encoding encoding)
{
    return encoding == CHUNK_XOR2 || encoding == CHUNK_HISTOGRAM_ST ||
           encoding == CHUNK_FLOAT_HISTOGRAM_ST;
}

size_t chunk_sample_count(const struct chunk_data *data)
{
    const struct chunk_codec *codec = codec_of(data->encoding);
    if (!codec || data->bytes.len < codec->head)
        return 0;
    return ((size_t)data->bytes.data[0] << 8 | data->bytes.data[1]) & codec->count_mask;
}

static struct error *check_head(const struct chunk_data *data, const struct chunk_codec **out)
{
    *out = codec_of(data->encoding);
    if (!*out)
        return error_create(ERROR_CORRUPT, "chunk of unknown encoding %d", (int)data->encoding);
    if (data->bytes.len < (*out)->head)
        return error_create(ERROR_CORRUPT, "%s chunk of %zu bytes", (*out)->name, data->bytes.len);
    return NULL;
}

struct error *chunk_append(const struct chunk_data *data, struct arena *arena, struct samples *into)
{
    const struct chunk_codec *codec;
    struct error *err = check_head(data, &codec);
    return err ? err : codec->append(data->bytes, arena, into);
}

struct error *chunk_decode(const struct chunk_data *data, int64_t min, int64_t max,
                           struct arena *arena, struct samples *out)
{
    struct error *err =
        samples_reserve(arena, chunk_sample_count(data), chunk_has_histograms(data->encoding), out);
    if (!err)
        err = chunk_append(data, arena, out);
    if (err)
        return err;
    size_t kept = 0;
    for (size_t i = 0; i < out->count; i++) {
        if (out->times[i] < min || out->times[i] > max)
            continue;
        out->times[kept] = out->times[i];
        out->values[kept] = out->values[i];
        if (out->histograms)
            out->histograms[kept] = out->histograms[i];
        kept++;
    }
    out->count = kept;
    return NULL;
}

/* ---- transcoding ---- */

static struct error *xor2_to_xor(struct bytes bytes, struct arena *arena, struct bytes *out)
{
    struct chunk_data data = {.encoding = CHUNK_XOR2, .bytes = bytes};
    struct buf buf = BUF_INIT(arena_budget(arena));
    struct xor_encoder encoder;
    struct samples samples;
    struct error *err = chunk_decode(&data, INT64_MIN, INT64_MAX, arena, &samples);
    if (err)
        return err;
    xor_encoder_init(&encoder, &buf);
    for (size_t i = 0; i < samples.count; i++)
        xor_encoder_append(&encoder, samples.times[i], samples.values[i]);
    xor_encoder_end(&encoder);
    err = buf_status(&buf);
    if (!err)
        *out = str_bytes(arena_str(arena, buf_str(&buf)));
    buf_deinit(&buf);
    return err;
}

static struct error *histogram_st_to_plain(struct bytes bytes, struct arena *arena,
                                           struct bytes *out)
{
    return histogram_drop_starts(bytes, true, arena, out);
}

static struct error *float_histogram_st_to_plain(struct bytes bytes, struct arena *arena,
                                                 struct bytes *out)
{
    return histogram_drop_starts(bytes, false, arena, out);
}

struct error *chunk_transcode(const struct chunk_data *data, struct arena *arena,
                              struct chunk_data *out)
{
    const struct chunk_codec *codec;
    struct error *err = check_head(data, &codec);
    if (err)
        return err;
    *out = *data;
    if (!codec->transcode)
        return NULL;
    *out = (struct chunk_data){.encoding = codec->plain};
    err = codec->transcode(data->bytes, arena, &out->bytes);
    return error_wrap(err, "transcode chunk");
}
