/* The framed format (framing_format.txt of snappy):
 *
 *     chunk = type (1 byte), length (3 bytes, little-endian), payload
 *     0xff  stream head: "sNaPpY"; must come first, may come again
 *     0x00  masked CRC32C of the content (4 bytes), block of up to 65536 bytes of content
 *     0x01  masked CRC32C, the content as it is
 *     0x02-0x7f  reserved, must be refused;  0x80-0xfe  may be skipped (0xfe: padding) */
#include "codec/snappy.h"

#include <snappy-c.h>

#include "codec/crc32c.h"
#include "codec/reader.h"

enum {
    FRAME_COMPRESSED = 0x00,
    FRAME_PLAIN = 0x01,
    FRAME_SKIPPABLE = 0x80,
    FRAME_HEAD = 0xff,
    FRAME_CONTENT_MAX = 65536,
};

static const char stream_head[] = "\xff\x06\x00\x00sNaPpY";

void snappy_encode(struct bytes in, struct buf *out)
{
    size_t len = snappy_max_compressed_length(in.len);
    char *room = buf_reserve(out, len);
    if (room && snappy_compress((const char *)in.data, in.len, room, &len) == SNAPPY_OK)
        out->len += len;
}

struct error *snappy_decoded_length(struct bytes in, size_t *len)
{
    if (snappy_uncompressed_length((const char *)in.data, in.len, len) != SNAPPY_OK)
        return error_create(ERROR_CORRUPT, "snappy: corrupt input");
    return NULL;
}

struct error *snappy_decode(struct bytes in, size_t max, struct buf *out)
{
    size_t len = 0;
    struct error *err = snappy_decoded_length(in, &len);
    if (err)
        return err;
    if (len > max)
        return error_create(ERROR_LIMIT, "snappy: %zu bytes of content, more than %zu", len, max);
    char *room = buf_reserve(out, len);
    if (!room)
        return buf_status(out);
    if (snappy_uncompress((const char *)in.data, in.len, room, &len) != SNAPPY_OK)
        return error_create(ERROR_CORRUPT, "snappy: corrupt input");
    out->len += len;
    return NULL;
}

static uint32_t masked_crc(const void *data, size_t len)
{
    uint32_t crc = crc32c(0, data, len);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static void frame_chunk_encode(struct bytes in, struct buf *out)
{
    uint32_t crc = masked_crc(in.data, in.len);
    size_t start = out->len, len = snappy_max_compressed_length(in.len);
    char *room = buf_reserve(out, 8 + size_max(len, in.len));
    if (!room)
        return;
    int type = FRAME_COMPRESSED;
    if (snappy_compress((const char *)in.data, in.len, room + 8, &len) != SNAPPY_OK ||
        len >= in.len - in.len / 8) { /* not worth the reader's time */
        type = FRAME_PLAIN;
        len = in.len;
        memcpy(room + 8, in.data, len);
    }
    size_t payload = len + 4;
    const uint8_t head[8] = {
        (uint8_t)type, (uint8_t)payload,    (uint8_t)(payload >> 8), (uint8_t)(payload >> 16),
        (uint8_t)crc,  (uint8_t)(crc >> 8), (uint8_t)(crc >> 16),    (uint8_t)(crc >> 24)};
    memcpy(room, head, sizeof(head));
    out->len = start + sizeof(head) + len;
}

void snappy_frame_encode(struct bytes in, struct buf *out)
{
    buf_append(out, stream_head, sizeof(stream_head) - 1);
    for (size_t at = 0; at < in.len; at += FRAME_CONTENT_MAX)
        frame_chunk_encode((struct bytes){in.data + at, size_min(in.len - at, FRAME_CONTENT_MAX)},
                           out);
}

static struct error *frame_content_decode(int type, struct bytes payload, size_t max,
                                          struct buf *out)
{
    struct reader reader = reader_create(payload);
    uint32_t crc = reader_u32_le(&reader);
    struct bytes content = reader_bytes(&reader, reader_left(&reader));
    if (reader.failed)
        return error_create(ERROR_CORRUPT, "snappy stream: unexpected end");
    size_t start = out->len;
    struct error *err = NULL;
    if (type == FRAME_COMPRESSED)
        err = snappy_decode(content, size_min(max, FRAME_CONTENT_MAX), out);
    else if (content.len > size_min(max, FRAME_CONTENT_MAX))
        err = error_create(ERROR_LIMIT, "snappy stream: chunk of %zu bytes", content.len);
    else
        buf_append(out, content.data, content.len);
    if (!err)
        err = buf_status(out);
    if (!err && masked_crc(out->data ? out->data + start : "", out->len - start) != crc)
        err = error_create(ERROR_CORRUPT, "snappy stream: wrong checksum");
    return err;
}

struct error *snappy_frame_decode(struct bytes in, size_t max, struct buf *out)
{
    struct reader reader = reader_create(in);
    size_t start = out->len;
    bool has_head = false;
    while (reader_left(&reader) > 0) {
        int type = reader_u8(&reader);
        size_t len = (size_t)reader_uint_le(&reader, 3);
        struct bytes payload = reader_bytes(&reader, len);
        if (reader.failed)
            break;
        if (type == FRAME_HEAD) {
            if (!str_equal(bytes_str(payload), STR("sNaPpY")))
                return error_create(ERROR_CORRUPT, "snappy stream: wrong head");
            has_head = true;
        } else if (!has_head) {
            return error_create(ERROR_CORRUPT, "snappy stream: no head");
        } else if (type <= FRAME_PLAIN) {
            struct error *err = frame_content_decode(type, payload, max - (out->len - start), out);
            if (err)
                return err;
        } else if (type < FRAME_SKIPPABLE) {
            return error_create(ERROR_CORRUPT, "snappy stream: unknown chunk type %d", type);
        }
    }
    return reader_error(&reader, "snappy stream");
}
