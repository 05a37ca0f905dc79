#include "rpc/series_wire.h"

#include <string.h>

#include "codec/pb.h"

enum { FIELD_SERIES = 1, FIELD_WARNING = 2, FIELD_HINTS = 3, FIELD_BATCH = 4 };
enum { FIELD_LABELS = 1, FIELD_CHUNKS = 2 };
enum { FIELD_MIN_TIME = 1, FIELD_MAX_TIME = 2, FIELD_RAW = 3, FIELD_COUNTER = 8 };

/* What a decoder says when the arena's budget refuses: counts come from outside, and a chunk of two
 * bytes is a descriptor of 56. */
static const char over_budget[] = "over budget";

/* -- decoding series -- */

static uint8_t *flat_put(uint8_t *to, struct str text)
{
    if (text.len < 0xff) {
        *to++ = (uint8_t)text.len;
    } else {
        *to++ = 0xff;
        *to++ = (uint8_t)text.len;
        *to++ = (uint8_t)(text.len >> 8);
        *to++ = (uint8_t)(text.len >> 16);
    }
    if (text.len)
        memcpy(to, text.data, text.len);
    return to + text.len;
}

static const char *label_decode(struct bytes message, struct label *out)
{
    struct pb_reader reader = pb_read(message);
    *out = (struct label){0};
    while (pb_next(&reader)) {
        if (reader.field == 1)
            out->name = pb_str(&reader);
        else if (reader.field == 2)
            out->value = pb_str(&reader);
        else
            pb_skip(&reader);
    }
    if (reader.failure)
        return reader.failure;
    if (out->name.len == 0)
        return "label without a name";
    if (out->name.len > LABEL_LENGTH_MAX || out->value.len > LABEL_LENGTH_MAX)
        return "label too long";
    return NULL;
}

/* For peers that do not sort: the last value of a name counts. */
static const char *labels_decode_unsorted(struct bytes message, struct arena *arena,
                                          struct labels *out)
{
    struct labels_builder builder = labels_builder_create(arena);
    struct pb_reader reader = pb_read(message);
    while (pb_next(&reader)) {
        struct label label;
        if (reader.field != FIELD_LABELS) {
            pb_skip(&reader);
            continue;
        }
        const char *failure = label_decode(pb_bytes(&reader), &label);
        if (failure)
            return failure;
        labels_builder_set(&builder, label.name, label.value);
    }
    *out = labels_builder_finish(&builder);
    return reader.failure;
}

static bool name_is_less(struct str a, struct str b)
{
    return str_compare(a, b) < 0;
}

/* The flat layout of a label is never longer than the label's field on the wire: a length of one
 * byte stands for a tag and a length there, one of four bytes for a tag and at least two. */
static const char *labels_decode(struct bytes message, size_t bound, struct arena *arena,
                                 struct labels *out)
{
    enum { SMALL = 4096 };
    uint8_t *data = bound <= SMALL ? arena_bytes(arena, bound) : arena_try_alloc(arena, bound);
    uint8_t *to = data;
    struct str previous = {0};
    if (!data)
        return over_budget;
    struct pb_reader reader = pb_read(message);
    while (pb_next(&reader)) {
        if (reader.field != FIELD_LABELS) {
            pb_skip(&reader);
            continue;
        }
        struct label label;
        const char *failure = label_decode(pb_bytes(&reader), &label);
        if (failure)
            return failure;
        if (!name_is_less(previous, label.name))
            return labels_decode_unsorted(message, arena, out);
        previous = label.name;
        if (label.value.len == 0)
            continue; /* absent and empty are the same */
        to = flat_put(flat_put(to, label.name), label.value);
    }
    *out = (struct labels){data, (size_t)(to - data)};
    return reader.failure;
}

static const char *chunk_data_decode(struct bytes message, struct chunk_data *out)
{
    struct pb_reader reader = pb_read(message);
    uint64_t type = 0;
    *out = (struct chunk_data){0};
    while (pb_next(&reader)) {
        switch (reader.field) {
        case 1:
            type = pb_uint64(&reader);
            break;
        case 2:
            out->bytes = pb_bytes(&reader);
            break;
        case 3:
            out->hash = pb_uint64(&reader);
            break;
        default:
            pb_skip(&reader);
        }
    }
    if (type > CHUNK_FLOAT_HISTOGRAM - CHUNK_XOR)
        return "unknown chunk encoding";
    out->encoding = (enum chunk_encoding)(CHUNK_XOR + type);
    return reader.failure;
}

static struct chunk_data *aggrs_alloc(struct arena *arena)
{
    struct chunk_data *aggrs = arena_try_alloc(arena, AGGR_NUMBER * sizeof(*aggrs));
    if (aggrs)
        memset(aggrs, 0, AGGR_NUMBER * sizeof(*aggrs));
    return aggrs;
}

static const char *chunk_decode_message(struct bytes message, struct arena *arena,
                                        struct chunk *out)
{
    struct pb_reader reader = pb_read(message);
    struct chunk_data *aggrs = NULL;
    const char *failure = NULL;
    *out = (struct chunk){0};
    while (!failure && pb_next(&reader)) {
        if (reader.field == FIELD_MIN_TIME) {
            out->min_time = pb_int64(&reader);
        } else if (reader.field == FIELD_MAX_TIME) {
            out->max_time = pb_int64(&reader);
        } else if (reader.field == FIELD_RAW) {
            failure = chunk_data_decode(pb_bytes(&reader), &out->raw);
        } else if (reader.field > FIELD_RAW && reader.field <= FIELD_COUNTER) {
            if (!aggrs)
                out->aggrs = aggrs = aggrs_alloc(arena);
            failure = aggrs ? chunk_data_decode(pb_bytes(&reader), &aggrs[reader.field - FIELD_RAW])
                            : over_budget;
        } else {
            pb_skip(&reader);
        }
    }
    return failure ? failure : reader.failure;
}

static const char *chunks_decode(struct bytes message, size_t count, struct arena *arena,
                                 struct chunk_list *out)
{
    out->items = arena_try_alloc(arena, (count + 1) * sizeof(*out->items)); /* never of nothing */
    out->count = 0;
    if (!out->items)
        return over_budget;
    struct pb_reader reader = pb_read(message);
    while (pb_next(&reader)) {
        if (reader.field != FIELD_CHUNKS) {
            pb_skip(&reader);
            continue;
        }
        const char *failure =
            chunk_decode_message(pb_bytes(&reader), arena, &out->items[out->count++]);
        if (failure)
            return failure;
    }
    return reader.failure;
}

/* A look at the whole message first: how much room labels and chunks need. */
static const char *series_decode(struct bytes message, struct arena *arena, struct series *out)
{
    size_t label_bytes = 0, chunks = 0;
    struct pb_reader reader = pb_read(message);
    while (pb_next(&reader)) {
        const uint8_t *start = reader.at;
        bool is_label = reader.field == FIELD_LABELS;
        chunks += reader.field == FIELD_CHUNKS;
        pb_skip(&reader);
        label_bytes += is_label ? 1 + (size_t)(reader.at - start) : 0;
    }
    if (reader.failure)
        return reader.failure;
    const char *failure = labels_decode(message, label_bytes, arena, &out->labels);
    if (!failure)
        failure = chunks_decode(message, chunks, arena, &out->chunks);
    return failure;
}

static const char *batch_decode(struct bytes message, struct arena *arena, struct series_frame *out)
{
    size_t count = 0;
    struct pb_reader reader = pb_read(message);
    while (pb_next(&reader)) {
        count += reader.field == FIELD_SERIES;
        pb_skip(&reader);
    }
    if (reader.failure)
        return reader.failure;
    out->items = arena_try_alloc(arena, (count + 1) * sizeof(*out->items)); /* never of nothing */
    if (!out->items)
        return over_budget;
    reader = pb_read(message);
    while (pb_next(&reader)) {
        if (reader.field != FIELD_SERIES) {
            pb_skip(&reader);
            continue;
        }
        const char *failure = series_decode(pb_bytes(&reader), arena, &out->items[out->count]);
        if (failure)
            return failure;
        out->count++;
    }
    return reader.failure;
}

struct error *series_frame_decode(struct bytes message, struct arena *arena,
                                  struct series_frame *out)
{
    struct pb_reader reader = pb_read(message);
    const char *failure = NULL;
    *out = (struct series_frame){.kind = FRAME_EMPTY};
    while (!failure && pb_next(&reader)) {
        switch (reader.field) { /* a oneof: the last one counts */
        case FIELD_SERIES:
            *out = (struct series_frame){.kind = FRAME_SERIES, .count = 1};
            out->items = arena_alloc(arena, sizeof(*out->items));
            failure = series_decode(pb_bytes(&reader), arena, out->items);
            break;
        case FIELD_WARNING:
            *out = (struct series_frame){.kind = FRAME_WARNING, .warning = pb_str(&reader)};
            break;
        case FIELD_HINTS:
            *out = (struct series_frame){.kind = FRAME_HINTS, .hints = pb_bytes(&reader)};
            break;
        case FIELD_BATCH:
            *out = (struct series_frame){.kind = FRAME_SERIES};
            failure = batch_decode(pb_bytes(&reader), arena, out);
            break;
        default:
            pb_skip(&reader);
        }
    }
    if (failure)
        pb_fail(&reader, failure);
    struct error *err = arena_status(arena);
    return err ? err : pb_error(&reader, "series response");
}

enum series_frame_kind series_frame_peek(struct bytes message, struct str *warning)
{
    static const enum series_frame_kind kinds[] = {
        [FIELD_SERIES] = FRAME_SERIES,
        [FIELD_WARNING] = FRAME_WARNING,
        [FIELD_HINTS] = FRAME_HINTS,
        [FIELD_BATCH] = FRAME_SERIES,
    };
    struct pb_reader reader = pb_read(message);
    enum series_frame_kind kind = FRAME_EMPTY;
    while (pb_next(&reader)) {
        if (reader.field == 0 || reader.field > FIELD_BATCH) {
            pb_skip(&reader);
            continue;
        }
        kind = kinds[reader.field];
        bool is_batch = reader.field == FIELD_BATCH;
        struct str content = pb_str(&reader);
        if (kind == FRAME_WARNING)
            *warning = content;
        if (is_batch && content.len == 0)
            kind = FRAME_EMPTY;
    }
    return reader.failure ? FRAME_SERIES : kind;
}

bool series_frame_is_batch(struct bytes message)
{
    struct pb_reader reader = pb_read(message);
    bool is_batch = false;
    while (pb_next(&reader)) {
        is_batch |= reader.field == FIELD_BATCH;
        pb_skip(&reader);
    }
    return is_batch;
}

/* -- encoding series -- */

static size_t label_size(const struct label *label)
{
    return pb_size_length(1, label->name.len) + pb_size_length(2, label->value.len);
}

static size_t chunk_data_size(const struct chunk_data *data)
{
    size_t type = (size_t)(data->encoding - CHUNK_XOR);
    size_t size = type ? pb_size_uint64(1, type) : 0;
    size += data->bytes.len ? pb_size_length(2, data->bytes.len) : 0;
    return size + (data->hash ? pb_size_uint64(3, data->hash) : 0);
}

/* The parts of a chunk in the order of their fields; NULL: absent. */
static const struct chunk_data *chunk_part(const struct chunk *chunk, enum aggr aggr)
{
    const struct chunk_data *part = aggr == AGGR_RAW ? &chunk->raw
                                    : chunk->aggrs   ? &chunk->aggrs[aggr]
                                                     : NULL;
    return part && part->encoding != CHUNK_NONE ? part : NULL;
}

static size_t chunk_size(const struct chunk *chunk)
{
    size_t size = chunk->min_time ? pb_size_uint64(FIELD_MIN_TIME, (uint64_t)chunk->min_time) : 0;
    size += chunk->max_time ? pb_size_uint64(FIELD_MAX_TIME, (uint64_t)chunk->max_time) : 0;
    for (enum aggr aggr = AGGR_RAW; aggr < AGGR_NUMBER; aggr++) {
        const struct chunk_data *part = chunk_part(chunk, aggr);
        size += part ? pb_size_length(FIELD_RAW + aggr, chunk_data_size(part)) : 0;
    }
    return size;
}

static size_t series_size(const struct series *series)
{
    struct labels_reader reader = labels_read(series->labels);
    struct label label;
    size_t size = 0;
    while (labels_next(&reader, &label))
        size += pb_size_length(FIELD_LABELS, label_size(&label));
    for (size_t i = 0; i < series->chunks.count; i++)
        size += pb_size_length(FIELD_CHUNKS, chunk_size(&series->chunks.items[i]));
    return size;
}

size_t series_wire_size(const struct series *series)
{
    return pb_size_length(FIELD_SERIES, series_size(series));
}

/* Writing behind room that has been reserved: sizes are known, so nothing is checked per field. All
 * tags are one byte. */
static uint8_t *raw_varint(uint8_t *to, uint32_t field, uint64_t value)
{
    if (value == 0)
        return to;
    *to++ = (uint8_t)(field << 3 | PB_VARINT);
    return to + varint_encode(to, value);
}

static uint8_t *raw_length(uint8_t *to, uint32_t field, size_t len)
{
    *to++ = (uint8_t)(field << 3 | PB_LENGTH);
    return to + varint_encode(to, len);
}

static uint8_t *raw_bytes(uint8_t *to, uint32_t field, const void *data, size_t len)
{
    to = raw_length(to, field, len);
    if (len)
        memcpy(to, data, len);
    return to + len;
}

static uint8_t *chunk_data_put(uint8_t *to, uint32_t field, const struct chunk_data *data)
{
    to = raw_length(to, field, chunk_data_size(data));
    to = raw_varint(to, 1, (uint64_t)(data->encoding - CHUNK_XOR));
    if (data->bytes.len)
        to = raw_bytes(to, 2, data->bytes.data, data->bytes.len);
    return raw_varint(to, 3, data->hash);
}

static uint8_t *chunk_put(uint8_t *to, const struct chunk *chunk)
{
    to = raw_length(to, FIELD_CHUNKS, chunk_size(chunk));
    to = raw_varint(to, FIELD_MIN_TIME, (uint64_t)chunk->min_time);
    to = raw_varint(to, FIELD_MAX_TIME, (uint64_t)chunk->max_time);
    for (enum aggr aggr = AGGR_RAW; aggr < AGGR_NUMBER; aggr++) {
        const struct chunk_data *part = chunk_part(chunk, aggr);
        if (part)
            to = chunk_data_put(to, FIELD_RAW + aggr, part);
    }
    return to;
}

static uint8_t *series_put(uint8_t *to, const struct series *series)
{
    to = raw_length(to, FIELD_SERIES, series_size(series));
    struct labels_reader reader = labels_read(series->labels);
    struct label label;
    while (labels_next(&reader, &label)) {
        to = raw_length(to, FIELD_LABELS, label_size(&label));
        to = raw_bytes(to, 1, label.name.data, label.name.len);
        to = raw_bytes(to, 2, label.value.data, label.value.len);
    }
    for (size_t i = 0; i < series->chunks.count; i++)
        to = chunk_put(to, &series->chunks.items[i]);
    return to;
}

struct series_frame_plan series_frame_plan(const struct series *items, size_t count, bool is_single)
{
    struct series_frame_plan plan = {items, count, is_single, 0, 0};
    for (size_t i = 0; i < count; i++)
        plan.content += series_wire_size(&items[i]);
    plan.size = is_single ? plan.content : pb_size_length(FIELD_BATCH, plan.content);
    return plan;
}

void series_frame_write(const struct series_frame_plan *plan, uint8_t *to)
{
    if (!plan->is_single)
        to = raw_length(to, FIELD_BATCH, plan->content);
    for (size_t i = 0; i < plan->count; i++)
        to = series_put(to, &plan->items[i]);
}

void series_frame_encode(struct buf *out, const struct series *items, size_t count, bool is_single)
{
    struct series_frame_plan plan = series_frame_plan(items, count, is_single);
    char *room = buf_reserve(out, plan.size);
    if (!room)
        return;
    series_frame_write(&plan, (uint8_t *)room);
    out->len += plan.size;
}

void series_frame_encode_warning(struct buf *out, struct str text)
{
    pb_put_str_always(out, FIELD_WARNING, text);
}
