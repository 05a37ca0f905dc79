#include "prometheus/remote_read_wire.h"

#include "base/hash.h"
#include "base/vec.h"
#include "chunk/chunk_encoder.h"
#include "model/histogram.h"

/* ---- request ---- */

void read_request_encode(struct buf *out, const struct matcher *matchers, size_t count,
                         int64_t min_time, int64_t max_time)
{
    enum { SAMPLES, STREAMED_XOR_CHUNKS };
    size_t query = pb_begin(out, 1, 100 * (count + 1));
    pb_put_int64(out, 1, min_time);
    pb_put_int64(out, 2, max_time);
    for (size_t i = 0; i < count; i++) { /* operators have the numbers of the wire */
        size_t matcher = pb_begin(out, 3, matchers[i].name.len + matchers[i].value.len + 8);
        pb_put_int64(out, 1, (int64_t)matchers[i].op);
        pb_put_str(out, 2, matchers[i].name);
        pb_put_str(out, 3, matchers[i].value);
        pb_end(out, matcher);
    }
    pb_end(out, query);
    pb_put_packed_uint64(out, 2, (const uint64_t[]){STREAMED_XOR_CHUNKS, SAMPLES}, 2);
}

/* ---- labels ---- */

/* Writes labels one after another into a flat set. */
struct label_writer {
    uint8_t *start, *at;
    struct str last;
    struct labels_reader external; /* those that may still come */
    struct label next_external;
    bool has_external;
};

static void next_external(struct label_writer *writer)
{
    writer->has_external = labels_next(&writer->external, &writer->next_external);
}

/* Room for the labels of a message of so many bytes. */
static struct label_writer label_writer_create(struct arena *arena, size_t bytes,
                                               struct labels external)
{
    struct label_writer writer = {.last = STR(""), .external = labels_read(external)};
    writer.start = writer.at = arena_bytes(arena, bytes);
    next_external(&writer);
    return writer;
}

static struct error *write_label(struct label_writer *writer, struct str name, struct str value)
{
    if (name.len == 0)
        return error_create(ERROR_CORRUPT, "series with a label without name");
    if (str_compare(writer->last, name) >= 0)
        return error_create(ERROR_CORRUPT, "series with labels out of order: %.*s after %.*s",
                            STR_ARG(name), STR_ARG(writer->last));
    if (name.len > LABEL_LENGTH_MAX || value.len > LABEL_LENGTH_MAX)
        return error_create(ERROR_LIMIT, "series with a label of %zu bytes",
                            size_max(name.len, value.len));
    writer->last = name;
    while (writer->has_external && str_compare(writer->next_external.name, name) < 0)
        next_external(writer);
    bool is_external = writer->has_external && str_equal(writer->next_external.name, name) &&
                       str_equal(writer->next_external.value, value);
    if (value.len && !is_external)
        writer->at = labels_put_pair(writer->at, name, value);
    return NULL;
}

static struct error *decode_label(struct bytes message, struct label_writer *writer)
{
    struct pb_reader reader = pb_read(message);
    struct str name = STR_INIT(""), value = STR_INIT("");
    while (pb_next(&reader)) {
        if (reader.field == 1)
            name = pb_str(&reader);
        else if (reader.field == 2)
            value = pb_str(&reader);
        else
            pb_skip(&reader);
    }
    struct error *err = pb_error(&reader, "label");
    return err ? err : write_label(writer, name, value);
}

static struct labels written_labels(const struct label_writer *writer)
{
    return (struct labels){writer->start, (size_t)(writer->at - writer->start)};
}

/* Bytes that the labels (field 1) of a series can take at most, and how many fields there are of
 * another number. */
static struct error *measure(struct bytes message, uint32_t field, size_t *label_bytes,
                             size_t *count)
{
    struct pb_reader reader = pb_read(message);
    *label_bytes = 0;
    *count = 0;
    while (pb_next(&reader)) {
        if (reader.field == 1) {
            *label_bytes += pb_bytes(&reader).len + 4; /* lengths take at most 4 bytes more */
            continue;
        }
        *count += reader.field == field;
        pb_skip(&reader);
    }
    struct error *err = pb_error(&reader, "series");
    if (!err && *label_bytes > LABELS_BYTES_MAX)
        err = error_create(ERROR_LIMIT, "series with %zu bytes of labels", *label_bytes);
    return err;
}

/* ---- chunks ---- */

static struct error *decode_chunk(struct bytes message, struct arena *arena, struct chunk *out)
{
    struct pb_reader reader = pb_read(message);
    struct chunk_data data = {.encoding = CHUNK_NONE};
    while (pb_next(&reader)) {
        switch (reader.field) {
        case 1:
            out->min_time = pb_int64(&reader);
            break;
        case 2:
            out->max_time = pb_int64(&reader);
            break;
        case 3:
            data.encoding = (enum chunk_encoding)pb_int32(&reader);
            break;
        case 4:
            data.bytes = pb_bytes(&reader);
            break;
        default:
            pb_skip(&reader);
        }
    }
    struct error *err = pb_error(&reader, "chunk");
    if (!err && out->min_time > out->max_time)
        err = error_create(ERROR_CORRUPT, "chunk that ends before it starts");
    if (!err)
        err = chunk_transcode(&data, arena, &out->raw);
    if (!err)
        out->raw.hash = hash_bytes(out->raw.bytes.data, out->raw.bytes.len);
    return err;
}

struct error *chunked_series_decode(struct bytes message, struct labels external,
                                    struct arena *arena, struct series *out)
{
    size_t label_bytes, chunk_count;
    struct error *err = measure(message, 2, &label_bytes, &chunk_count);
    if (err)
        return err;
    struct label_writer writer = label_writer_create(arena, label_bytes, external);
    struct chunk *chunks = arena_try_alloc(arena, chunk_count * sizeof(*chunks));
    if (!chunks)
        return arena_status(arena);
    memset(chunks, 0, chunk_count * sizeof(*chunks));
    struct pb_reader reader = pb_read(message);
    size_t at = 0;
    while (!err && pb_next(&reader)) {
        if (reader.field == 1)
            err = decode_label(pb_bytes(&reader), &writer);
        else if (reader.field == 2)
            err = decode_chunk(pb_bytes(&reader), arena, &chunks[at++]);
        else
            pb_skip(&reader);
    }
    error_keep_first(&err, pb_error(&reader, "series"));
    *out = (struct series){written_labels(&writer), {chunks, chunk_count}};
    return err;
}

/* ---- samples ---- */

typedef VEC(struct histogram_span) span_vec;
typedef VEC(double) double_vec;

struct sample {
    int64_t time;
    double value;
    struct histogram *histogram; /* or NULL */
};

typedef VEC(struct sample) sample_vec;

static struct error *decode_sample(struct bytes message, sample_vec *out)
{
    struct pb_reader reader = pb_read(message);
    struct sample sample = {0};
    while (pb_next(&reader)) {
        if (reader.field == 1)
            sample.value = pb_double(&reader);
        else if (reader.field == 2)
            sample.time = pb_int64(&reader);
        else
            pb_skip(&reader);
    }
    vec_push(out, sample);
    return pb_error(&reader, "sample");
}

static void read_span(struct pb_reader *from, span_vec *out)
{
    struct pb_reader reader = pb_read(pb_bytes(from));
    struct histogram_span span = {0};
    while (pb_next(&reader)) {
        if (reader.field == 1)
            span.offset = (int32_t)pb_sint64(&reader);
        else if (reader.field == 2)
            span.length = pb_uint32(&reader);
        else
            pb_skip(&reader);
    }
    pb_join(from, &reader);
    vec_push(out, span);
}

/* Integer buckets are differences to the one before. */
static void read_deltas(struct pb_reader *from, double_vec *out, int64_t *last)
{
    struct pb_reader values = pb_repeated(from, PB_VARINT);
    while (pb_more(&values)) {
        *last = (int64_t)((uint64_t)*last + (uint64_t)pb_sint64(&values));
        vec_push(out, (double)*last);
    }
    pb_join(from, &values);
}

static void read_doubles(struct pb_reader *from, double_vec *out)
{
    struct pb_reader values = pb_repeated(from, PB_FIXED64);
    while (pb_more(&values))
        vec_push(out, pb_double(&values));
    pb_join(from, &values);
}

/* The repeated fields of a histogram while it is read. */
struct histogram_parts {
    span_vec positive_spans, negative_spans;
    double_vec positive, negative, custom;
    int64_t positive_last, negative_last;
};

static bool read_repeated(struct pb_reader *reader, struct histogram_parts *parts)
{
    switch (reader->field) {
    case 8:
        read_span(reader, &parts->negative_spans);
        return true;
    case 9:
        read_deltas(reader, &parts->negative, &parts->negative_last);
        return true;
    case 10:
        read_doubles(reader, &parts->negative);
        return true;
    case 11:
        read_span(reader, &parts->positive_spans);
        return true;
    case 12:
        read_deltas(reader, &parts->positive, &parts->positive_last);
        return true;
    case 13:
        read_doubles(reader, &parts->positive);
        return true;
    case 16:
        read_doubles(reader, &parts->custom);
        return true;
    default:
        return false;
    }
}

static void read_single(struct pb_reader *reader, struct sample *sample)
{
    struct histogram *out = sample->histogram;
    switch (reader->field) {
    case 1:
        out->count = (double)pb_uint64(reader);
        break;
    case 2:
        out->count = pb_double(reader);
        break;
    case 3:
        out->sum = pb_double(reader);
        break;
    case 4:
        out->schema = (int32_t)pb_sint64(reader);
        break;
    case 5:
        out->zero_threshold = pb_double(reader);
        break;
    case 6:
        out->zero_count = (double)pb_uint64(reader);
        break;
    case 7:
        out->zero_count = pb_double(reader);
        break;
    case 14:
        out->reset = (enum histogram_reset)(pb_uint64(reader) & 3);
        break;
    case 15:
        sample->time = pb_int64(reader);
        break;
    default:
        pb_skip(reader);
    }
}

static struct error *decode_histogram(struct bytes message, struct arena *arena, sample_vec *out)
{
    struct pb_reader reader = pb_read(message);
    struct histogram_parts parts = {0};
    struct sample sample = {.histogram = arena_zalloc(arena, sizeof(*sample.histogram))};
    while (pb_next(&reader))
        if (!read_repeated(&reader, &parts))
            read_single(&reader, &sample);
    struct error *err = pb_error(&reader, "histogram");
    struct histogram histogram = *sample.histogram;
    histogram.positive =
        (struct histogram_side){parts.positive_spans.items, parts.positive_spans.len,
                                parts.positive.items, parts.positive.len};
    histogram.negative =
        (struct histogram_side){parts.negative_spans.items, parts.negative_spans.len,
                                parts.negative.items, parts.negative.len};
    histogram.custom_values = parts.custom.items;
    histogram.custom_count = parts.custom.len;
    if (!err && !sample_is_stale(histogram.sum))
        err = histogram_check(&histogram);
    if (!err) {
        sample.histogram = histogram_copy(arena, &histogram);
        vec_push(out, sample);
    }
    vec_deinit(&parts.positive_spans);
    vec_deinit(&parts.negative_spans);
    vec_deinit(&parts.positive);
    vec_deinit(&parts.negative);
    vec_deinit(&parts.custom);
    return err;
}

/* Floats and histograms come in two lists, each in order. */
static struct error *encode_samples(const sample_vec *floats, const sample_vec *histograms,
                                    struct arena *arena, struct chunk_list *out)
{
    struct chunk_encoder encoder;
    size_t i = 0, j = 0;
    int64_t last = INT64_MIN;
    bool ordered = true;
    chunk_encoder_init(&encoder, arena);
    while (ordered && (i < floats->len || j < histograms->len)) {
        bool is_float = j == histograms->len ||
                        (i < floats->len && floats->items[i].time < histograms->items[j].time);
        const struct sample *sample = is_float ? &floats->items[i++] : &histograms->items[j++];
        ordered = (i + j == 1 || sample->time > last);
        last = sample->time;
        if (is_float)
            chunk_encoder_float(&encoder, sample->time, sample->value);
        else
            chunk_encoder_histogram(&encoder, sample->time, sample->histogram);
    }
    struct error *err = chunk_encoder_finish(&encoder, out);
    if (!err && !ordered)
        err = error_create(ERROR_CORRUPT, "series with samples out of order");
    for (size_t k = 0; !err && k < out->count; k++)
        out->items[k].raw.hash =
            hash_bytes(out->items[k].raw.bytes.data, out->items[k].raw.bytes.len);
    return err;
}

static struct error *decode_time_series(struct bytes message, struct labels external,
                                        struct arena *arena, struct series *out)
{
    size_t label_bytes, count;
    sample_vec floats = VEC_INIT(arena_budget(arena)), histograms = VEC_INIT(arena_budget(arena));
    struct error *err = measure(message, 2, &label_bytes, &count);
    if (err)
        return err;
    struct label_writer writer = label_writer_create(arena, label_bytes, external);
    struct pb_reader reader = pb_read(message);
    while (!err && pb_next(&reader)) {
        if (reader.field == 1)
            err = decode_label(pb_bytes(&reader), &writer);
        else if (reader.field == 2)
            err = decode_sample(pb_bytes(&reader), &floats);
        else if (reader.field == 4)
            err = decode_histogram(pb_bytes(&reader), arena, &histograms);
        else
            pb_skip(&reader);
    }
    error_keep_first(&err, pb_error(&reader, "series"));
    error_keep_first(&err, vec_status(&floats));
    error_keep_first(&err, vec_status(&histograms));
    out->labels = written_labels(&writer);
    if (!err)
        err = encode_samples(&floats, &histograms, arena, &out->chunks);
    vec_deinit(&floats);
    vec_deinit(&histograms);
    return err;
}

static struct error *decode_result(struct bytes message, struct labels external,
                                   struct arena *arena, struct series **out, size_t *count)
{
    size_t found = 0;
    struct pb_reader reader = pb_read(message);
    while (pb_next(&reader)) {
        found += reader.field == 1;
        pb_skip(&reader);
    }
    struct error *err = pb_error(&reader, "remote read result");
    if (err)
        return err;
    struct series *series = arena_try_alloc(arena, found * sizeof(*series));
    if (!series)
        return arena_status(arena);
    *out = series;
    *count = 0;
    reader = pb_read(message);
    while (!err && pb_next(&reader)) {
        if (reader.field != 1) {
            pb_skip(&reader);
            continue;
        }
        struct series *next = &series[*count];
        err = decode_time_series(pb_bytes(&reader), external, arena, next);
        *count += !err && next->chunks.count > 0;
    }
    return err;
}

struct error *read_response_decode(struct bytes message, struct labels external,
                                   struct arena *arena, struct series **out, size_t *count)
{
    struct pb_reader reader = pb_read(message);
    struct bytes result = {NULL, 0};
    size_t results = 0;
    while (pb_next(&reader)) {
        if (reader.field == 1) {
            result = pb_bytes(&reader);
            results++;
        } else {
            pb_skip(&reader);
        }
    }
    struct error *err = pb_error(&reader, "remote read response");
    if (!err && results != 1)
        err = error_create(ERROR_CORRUPT, "unexpected result size %zu", results);
    return err ? err : decode_result(result, external, arena, out, count);
}
