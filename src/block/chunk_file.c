#include "block/chunk_file.h"

#include "chunk/aggregate.h"
#include "codec/crc32c.h"
#include "codec/reader.h"

static const uint32_t CHUNK_FILE_MAGIC = 0x85bd40dd;

struct error *chunk_file_header_read(struct bytes header)
{
    struct reader reader = reader_create(header);
    uint32_t magic = reader_u32_be(&reader);
    uint8_t version = reader_u8(&reader);
    if (reader.failed || magic != CHUNK_FILE_MAGIC)
        return error_create(ERROR_CORRUPT, "this is no file of chunks");
    return version == 1
               ? NULL
               : error_create(ERROR_CORRUPT, "chunk files of version %u are not known", version);
}

void chunk_file_header_write(struct buf *out)
{
    const uint32_t magic = __builtin_bswap32(CHUNK_FILE_MAGIC);
    buf_append(out, &magic, sizeof(magic));
    buf_append(out, "\1\0\0", 4); /* the version, three bytes for alignment */
}

static struct error *chunk_take(uint8_t encoding, struct bytes data, struct arena *arena,
                                struct chunk *out)
{
    if (encoding != CHUNK_AGGREGATE) {
        out->raw = (struct chunk_data){.encoding = encoding, .bytes = data};
        return NULL;
    }
    struct chunk_data *parts = arena_array(arena, AGGR_NUMBER, sizeof(*parts));
    out->aggrs = parts;
    return aggregate_split(data, parts);
}

struct error *chunk_frame_read(struct bytes bytes, const struct chunk_meta *meta,
                               struct arena *arena, struct chunk *out, size_t *need)
{
    struct reader reader = reader_create(bytes);
    uint64_t len = reader_uvarint(&reader);
    size_t head = bytes.len - reader_left(&reader);
    if (need)
        *need = 0;
    if (!reader.failed && (len == 0 || len > CHUNK_DATA_MAX))
        return error_create(ERROR_CORRUPT, "a chunk of %llu bytes", (unsigned long long)len);
    struct bytes checked = reader_bytes(&reader, (size_t)len + 1);
    uint32_t checksum = reader_u32_be(&reader);
    if (reader.failed) {
        if (need && len > 0)
            *need = head + (size_t)len + 5;
        return error_create(ERROR_CORRUPT, "a chunk ends too early");
    }
    if (checksum != crc32c(0, checked.data, checked.len))
        return error_create(ERROR_CORRUPT, "a chunk has a wrong checksum");
    *out = (struct chunk){.min_time = meta->min_time, .max_time = meta->max_time};
    return chunk_take(checked.data[0], (struct bytes){checked.data + 1, checked.len - 1}, arena,
                      out);
}

void chunk_frame_write(struct buf *out, const struct chunk *chunk)
{
    struct buf aggregate = {0};
    struct bytes data = chunk->raw.bytes;
    uint8_t encoding = (uint8_t)chunk->raw.encoding, head[VARINT_MAX];
    if (chunk->aggrs) {
        aggregate_join(&aggregate, chunk->aggrs);
        data = buf_bytes(&aggregate);
        encoding = CHUNK_AGGREGATE;
    }
    buf_append(out, head, varint_encode(head, data.len));
    buf_append_byte(out, encoding);
    buf_append(out, data.data, data.len);
    uint32_t checksum = __builtin_bswap32(crc32c(crc32c(0, &encoding, 1), data.data, data.len));
    buf_append(out, &checksum, sizeof(checksum));
    buf_deinit(&aggregate);
}
