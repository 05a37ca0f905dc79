/* prometheus/remote_read_frames.h: cuts the body of a streamed remote read into frames.
 *
 *     +----------------+--------------+------------------------------+
 *     | length, varint | CRC32C, BE32 | ChunkedReadResponse (length) | ...
 *     +----------------+--------------+------------------------------+
 *
 * Bytes come in any pieces. The message lies in an arena, allocated once its length is known and
 * allowed: chunk bytes stay where they were received. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include "codec/varint.h"

enum { FRAME_BYTES_MAX = 50000000 };

struct frame_reader {
    uint8_t head[VARINT_MAX + 4];
    size_t head_len;
    bool has_length; /* head is complete: length, crc and data are known */
    size_t length, filled;
    uint32_t crc;
    uint8_t *data;
};

/* Takes bytes up to the end of a frame; *taken of them are used up. *done: the message is complete
 * and checked: frame_message(). Then frame_next() before more is put. Fails with ERROR_CORRUPT (bad
 * length, too long, wrong CRC) and ERROR_LIMIT (the arena refuses). */
MUST_CHECK struct error *frame_put(struct frame_reader *reader, struct bytes bytes,
                                   struct arena *arena, size_t *taken, bool *done);
struct bytes frame_message(const struct frame_reader *reader);
void frame_next(struct frame_reader *reader);

/* For reading a long message without a detour: where the rest of it goes, *size bytes of it; NULL
 * outside of a message. What was written there is told by frame_filled(), like frame_put(). */
uint8_t *frame_room(const struct frame_reader *reader, size_t *size);
MUST_CHECK struct error *frame_filled(struct frame_reader *reader, size_t len, bool *done);

/* False within a frame: then the stream must not end. */
bool frame_is_between(const struct frame_reader *reader);
