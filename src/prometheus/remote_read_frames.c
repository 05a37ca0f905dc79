#include "prometheus/remote_read_frames.h"

#include <string.h>

#include "base/compiler.h"
#include "codec/crc32c.h"

/* Reads the head once all of it is there; *complete tells. */
static struct error *read_head(struct frame_reader *reader, struct arena *arena, bool *complete)
{
    uint64_t length;
    size_t size = varint_decode(reader->head, reader->head_len, &length);
    *complete = false;
    if (size == 0 && reader->head_len >= VARINT_MAX)
        return error_create(ERROR_CORRUPT, "remote read frame with a broken length");
    if (size && length > FRAME_BYTES_MAX)
        return error_create(ERROR_CORRUPT, "remote read frame of %llu bytes, more than %d",
                            (unsigned long long)length, FRAME_BYTES_MAX);
    if (size == 0 || reader->head_len < size + 4)
        return NULL;
    reader->length = (size_t)length;
    reader->filled = 0;
    reader->crc = (uint32_t)reader->head[size] << 24 | (uint32_t)reader->head[size + 1] << 16 |
                  (uint32_t)reader->head[size + 2] << 8 | reader->head[size + 3];
    reader->data = arena_try_alloc(arena, reader->length);
    if (!reader->data)
        return arena_status(arena);
    reader->has_length = *complete = true;
    return NULL;
}

static struct error *check_end(const struct frame_reader *reader, bool *done)
{
    *done = reader->has_length && reader->filled == reader->length;
    if (*done && crc32c(0, reader->data, reader->length) != reader->crc)
        return error_create(ERROR_CORRUPT, "remote read frame with a wrong checksum");
    return NULL;
}

struct error *frame_put(struct frame_reader *reader, struct bytes bytes, struct arena *arena,
                        size_t *taken, bool *done)
{
    struct error *err = NULL;
    bool complete = reader->has_length;
    size_t at = 0;
    while (!err && !complete && at < bytes.len) {
        reader->head[reader->head_len++] = bytes.data[at++];
        err = read_head(reader, arena, &complete);
    }
    if (!err && complete) {
        size_t len = size_min(bytes.len - at, reader->length - reader->filled);
        if (len)
            memcpy(reader->data + reader->filled, bytes.data + at, len);
        reader->filled += len;
        at += len;
    }
    *taken = at;
    return err ? err : check_end(reader, done);
}

struct bytes frame_message(const struct frame_reader *reader)
{
    return (struct bytes){reader->data, reader->length};
}

void frame_next(struct frame_reader *reader)
{
    *reader = (struct frame_reader){.head_len = 0};
}

uint8_t *frame_room(const struct frame_reader *reader, size_t *size)
{
    if (!reader->has_length)
        return NULL;
    *size = reader->length - reader->filled;
    return reader->data + reader->filled;
}

struct error *frame_filled(struct frame_reader *reader, size_t len, bool *done)
{
    reader->filled += len;
    return check_end(reader, done);
}

bool frame_is_between(const struct frame_reader *reader)
{
    return reader->head_len == 0;
}
