/* block/chunk_file.h: the segment files of a block's chunks.
 *
 *     +------------------------+-------------+------------+----------+------+---------+- ...
 *     | 85BD40DD, 1, 0, 0, 0   | length (v)  | encoding   | data     | CRC32C  | next
 *     +------------------------+-------------+------------+----------+---------+------- ...
 *
 * The checksum is over encoding and data. Source: Prometheus, tsdb/docs/format/chunks.md. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include "block/index_format.h"
#include "chunk/chunk.h"

enum {
    CHUNK_FILE_HEADER_LEN = 8,
    CHUNK_FRAME_MAX = 5 + 1 + 4, /* bytes around the data */
    CHUNK_DATA_MAX = 64 << 20,   /* by us */
};

static inline uint32_t chunk_ref_file(uint64_t ref)
{
    return (uint32_t)(ref >> 32);
}

static inline uint32_t chunk_ref_place(uint64_t ref)
{
    return (uint32_t)ref;
}

MUST_CHECK struct error *chunk_file_header_read(struct bytes header);
void chunk_file_header_write(struct buf *out);

/* The chunk that `bytes` begins with, checksum checked, with the times of its meta. Data are views
 * of the bytes; the list of aggregates lives in the arena. *need, when not NULL, is set to the
 * whole length of the frame if only the bytes' end was met too early (else 0), so that the caller
 * may get more. ERROR_CORRUPT. */
MUST_CHECK struct error *chunk_frame_read(struct bytes bytes, const struct chunk_meta *meta,
                                          struct arena *arena, struct chunk *out, size_t *need);

/* Appends the frame of a chunk. */
void chunk_frame_write(struct buf *out, const struct chunk *chunk);
