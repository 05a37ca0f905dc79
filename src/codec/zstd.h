/* codec/zstd.h: zstd frames of a whole text. Thread-safe. */
#pragma once

#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

void zstd_encode(struct bytes in, int level, struct buf *out);
/* Appends the content of all frames. ERROR_CORRUPT; ERROR_LIMIT when it is longer than max bytes,
 * needs a window over 8 MiB, or out's budget refuses. */
MUST_CHECK struct error *zstd_decode(struct bytes in, size_t max, struct buf *out);
