/* chunk/chunk_encoder.h: cuts the samples of one series into chunks: XOR for floats, float
 * histograms for histograms.
 *
 *     struct chunk_encoder encoder;
 *     chunk_encoder_init(&encoder, arena);
 *     chunk_encoder_float(&encoder, time, value); ...
 *     err = chunk_encoder_finish(&encoder, &list);                                          */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "chunk/chunk.h"
#include "chunk/histogram_write.h"
#include "chunk/xor.h"

enum { CHUNK_SAMPLES_MAX = 120 }; /* that the encoder puts into one chunk */

struct chunk_encoder {
    struct arena *arena; /* where chunks and the list live */
    struct buf bytes;    /* of the open chunk */
    struct chunk open;   /* encoding CHUNK_NONE: none is */
    size_t open_count;
    size_t refused; /* bytes that the budget refused first, 0: none */
    union {
        struct xor_encoder xor ;
        struct histogram_encoder histogram;
    };
    struct chunk *chunks;
    size_t count, cap;
};

void chunk_encoder_init(struct chunk_encoder *encoder, struct arena *arena);
/* Times must rise. */
void chunk_encoder_float(struct chunk_encoder *encoder, int64_t time, double value);
/* The histogram must live until the finish. */
void chunk_encoder_histogram(struct chunk_encoder *encoder, int64_t time,
                             const struct histogram *histogram);
/* Closes the last chunk and frees what the encoder held; also needed after an error elsewhere.
 * Fails with ERROR_LIMIT. */
MUST_CHECK struct error *chunk_encoder_finish(struct chunk_encoder *encoder,
                                              struct chunk_list *out);
