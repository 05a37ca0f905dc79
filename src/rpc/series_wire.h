/* rpc/series_wire.h: the messages of thanos.Store, by hand, as they are many and large.
 *
 * Decoders copy what is small (labels, descriptors, lists) into the arena; chunk bytes, texts and
 * hints point into the message, which the caller pins. Unknown fields are skipped. What is
 * malformed is ERROR_CORRUPT in responses and ERROR_INVALID in requests. Nothing recurses: the
 * nesting of the known messages bounds the depth. Encoders append to the buffer, whose status the
 * caller asks. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "store/series_set.h"
#include "store/store.h"

/* SeriesRequest. hints.batch_size is response_batch_size; hints.wire the bytes of the Any. */
void series_request_encode(struct buf *out, const struct store_query *query);
MUST_CHECK struct error *series_request_decode(struct bytes message, struct arena *arena,
                                               struct store_query *out);

/* SeriesResponse. */
enum series_frame_kind { FRAME_EMPTY, FRAME_SERIES, FRAME_WARNING, FRAME_HINTS };

struct series_frame {
    enum series_frame_kind kind;
    struct series *items; /* of FRAME_SERIES; as received: chunk lists may be unsorted */
    size_t count;
    struct str warning;
    struct bytes hints; /* of the Any */
};

MUST_CHECK struct error *series_frame_decode(struct bytes message, struct arena *arena,
                                             struct series_frame *out);

/* What a frame is, without decoding it. FRAME_EMPTY also for a batch without bytes; FRAME_SERIES
 * for what is malformed, so that decoding tells. *warning is a view. */
enum series_frame_kind series_frame_peek(struct bytes message, struct str *warning);
bool series_frame_is_batch(struct bytes message);

/* One frame: a batch of any number of series, or, with is_single, one series. Encodings that the
 * Store API has no number for are a bug: transcode first (chunk/chunk.h). Sizes are known in front,
 * so a frame can be written where it is sent from: size bytes at `to`. */
struct series_frame_plan {
    const struct series *items;
    size_t count;
    bool is_single;
    size_t content; /* bytes of the series in it */
    size_t size;    /* of the whole frame */
};
struct series_frame_plan series_frame_plan(const struct series *items, size_t count,
                                           bool is_single);
void series_frame_write(const struct series_frame_plan *plan, uint8_t *to);
/* The same, appended. */
void series_frame_encode(struct buf *out, const struct series *items, size_t count, bool is_single);
void series_frame_encode_warning(struct buf *out, struct str text);
/* Bytes that a series adds to a frame. */
size_t series_wire_size(const struct series *series);

/* LabelNamesRequest, LabelValuesRequest: times, matchers, without_labels, limit, partial. */
void label_names_request_encode(struct buf *out, const struct store_query *query);
void label_values_request_encode(struct buf *out, struct str name, const struct store_query *query);
MUST_CHECK struct error *label_names_request_decode(struct bytes message, struct arena *arena,
                                                    struct store_query *out);
MUST_CHECK struct error *label_values_request_decode(struct bytes message, struct arena *arena,
                                                     struct str *name, struct store_query *out);

/* LabelNamesResponse and LabelValuesResponse, which are equal on the wire. Decoded lists are sorted
 * and unique whatever the peer sent; texts point into the message. */
struct label_response {
    struct str_list list;
    struct str_list warnings; /* in the order received */
};

void label_response_encode(struct buf *out, const struct label_response *response);
MUST_CHECK struct error *label_response_decode(struct bytes message, struct arena *arena,
                                               struct label_response *out);
