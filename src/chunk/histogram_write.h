/* chunk/histogram_write.h: writes float histogram chunks (histogram_read.h has the picture). */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "chunk/bits.h"
#include "chunk/xor.h"
#include "model/histogram.h"

struct histogram_encoder {
    struct bit_writer bits;
    size_t head; /* where the chunk starts in the buffer */
    size_t count;
    struct histogram first; /* its layout is the chunk's; arrays are the caller's */
    bool stale;             /* the last sample was */
    uint64_t time, delta;
    struct xor_value total, zero_count, sum, *buckets; /* positive, then negative ones */
};

/* Begins a chunk in `out` with its first sample; arrays of the histogram and `arena` must live
 * until the end. */
void histogram_encoder_begin(struct histogram_encoder *encoder, struct buf *out,
                             struct arena *arena, int64_t time, const struct histogram *histogram);
/* Whether it may follow in the same chunk: same layout, no counter reset, nothing after a stale
 * sample but stale ones. */
bool histogram_encoder_takes(const struct histogram_encoder *encoder,
                             const struct histogram *histogram);
/* Only what it takes; at most 65535 samples. */
void histogram_encoder_append(struct histogram_encoder *encoder, int64_t time,
                              const struct histogram *histogram);
void histogram_encoder_end(struct histogram_encoder *encoder);
