/* codec/snappy.h: snappy, as blocks (remote write, remote read) and as framed streams (gRPC's
 * "snappy" compressor). Thread-safe. */
#pragma once

#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

/* Appends the compressed block. */
void snappy_encode(struct bytes in, struct buf *out);
/* Appends the content. Fails with ERROR_CORRUPT, or ERROR_LIMIT when the content is longer than max
 * bytes or out's budget; both before anything is decoded. */
MUST_CHECK struct error *snappy_decode(struct bytes in, size_t max, struct buf *out);
/* Length of a block's content as its head claims it. ERROR_CORRUPT. */
MUST_CHECK struct error *snappy_decoded_length(struct bytes in, size_t *len);

/* The framed format: a stream head, then chunks of up to 64 KiB, each with its CRC. */
void snappy_frame_encode(struct bytes in, struct buf *out);
/* Appends the content of a whole stream. Errors as above; what was decoded before stays in out. */
MUST_CHECK struct error *snappy_frame_decode(struct bytes in, size_t max, struct buf *out);
