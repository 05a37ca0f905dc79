/* prometheus/remote_read_wire.h: the messages of remote read (protobuf, package prometheus). */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "codec/pb.h"
#include "model/labels.h"
#include "model/matcher.h"
#include "store/series_set.h"

/* A ReadRequest of one query, for streamed chunks and, failing that, samples. */
void read_request_encode(struct buf *out, const struct matcher *matchers, size_t count,
                         int64_t min_time, int64_t max_time);

/* One ChunkedSeries. Labels and chunk descriptors live in the arena, chunk bytes stay in the
 * message; encodings the Store API has no number for are transcoded into the arena. Labels that
 * are exactly those of `external` are left out: Prometheus adds them to what it sends.
 * ERROR_CORRUPT. */
MUST_CHECK struct error *chunked_series_decode(struct bytes message, struct labels external,
                                               struct arena *arena, struct series *out);

/* A ReadResponse with one result: its series, with samples cut into chunks in the arena, in the
 * order of the message. Series without samples are left out. ERROR_CORRUPT. */
MUST_CHECK struct error *read_response_decode(struct bytes message, struct labels external,
                                              struct arena *arena, struct series **out,
                                              size_t *count);
