#include "chunk/aggregate.h"

#include "codec/reader.h"

static const enum aggr parts_in_order[] = {AGGR_COUNT, AGGR_SUM, AGGR_MIN, AGGR_MAX, AGGR_COUNTER};

struct error *aggregate_split(struct bytes bytes, struct chunk_data *out)
{
    struct reader reader = reader_create(bytes);
    for (size_t i = 0; i < AGGR_NUMBER; i++)
        out[i] = (struct chunk_data){0};
    for (size_t i = 0; i < countof(parts_in_order); i++) {
        uint64_t len = reader_uvarint(&reader);
        if (len == 0)
            continue;
        uint8_t encoding = reader_u8(&reader);
        if (len > reader_left(&reader))
            reader_fail(&reader);
        else if (encoding == CHUNK_NONE || encoding > CHUNK_FLOAT_HISTOGRAM)
            return error_create(ERROR_CORRUPT, "aggregate chunk: encoding %u is not known",
                                encoding);
        else
            out[parts_in_order[i]] = (struct chunk_data){
                .encoding = encoding, .bytes = reader_bytes(&reader, (size_t)len)};
    }
    if (!reader.failed && reader_left(&reader) > 0)
        return error_create(ERROR_CORRUPT, "aggregate chunk: bytes are left over");
    return reader_error(&reader, "aggregate chunk");
}

void aggregate_join(struct buf *out, const struct chunk_data *parts)
{
    for (size_t i = 0; i < countof(parts_in_order); i++) {
        const struct chunk_data *part = &parts[parts_in_order[i]];
        uint8_t number[VARINT_MAX];
        size_t len = part->encoding == CHUNK_NONE ? 0 : part->bytes.len;
        buf_append(out, number, varint_encode(number, len));
        if (len == 0)
            continue;
        buf_append_byte(out, (uint8_t)part->encoding);
        buf_append(out, part->bytes.data, len);
    }
}
