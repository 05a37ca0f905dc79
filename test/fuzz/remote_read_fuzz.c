/* First byte: how long the pieces are in which the rest, a stream of frames, comes; 0: the rest is
 * a ReadResponse with samples. */
#include "fuzz.h"

#include <stdlib.h>

#include "codec/pb.h"
#include "prometheus/remote_read_frames.h"
#include "prometheus/remote_read_wire.h"

static const uint8_t external_bytes[] = "\x01"
                                        "a\x01"
                                        "1\x07replica\x01r";

static struct error *use_frame(struct bytes message, struct labels external, struct arena *arena)
{
    struct pb_reader reader = pb_read(message);
    struct error *err = NULL;
    struct series series;
    while (!err && pb_next(&reader)) {
        if (reader.field != 1) {
            pb_skip(&reader);
            continue;
        }
        struct bytes part = pb_bytes(&reader);
        err = chunked_series_decode(part, external, arena, &series);
        if (!err) {
            struct error *bad = labels_check(series.labels);
            if (bad)
                abort();
        }
    }
    return err ? err : pb_error(&reader, "frame");
}

static struct error *read_frames(struct bytes bytes, size_t piece, struct labels external,
                                 struct arena *arena)
{
    struct frame_reader reader = {0};
    struct error *err = NULL;
    size_t at = 0;
    while (!err && at < bytes.len) {
        size_t taken;
        bool done;
        struct bytes part = {bytes.data + at, size_min(piece, bytes.len - at)};
        err = frame_put(&reader, part, arena, &taken, &done);
        at += taken;
        if (!err && done) {
            err = use_frame(frame_message(&reader), external, arena);
            frame_next(&reader);
        }
    }
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct budget *budget = budget_create(NULL, "fuzz", 64 << 20);
    struct arena *arena = arena_create(budget);
    struct labels external = {external_bytes, sizeof(external_bytes) - 1};
    struct error *err = NULL;
    if (size > 1 && data[0]) {
        err = read_frames((struct bytes){data + 1, size - 1}, data[0], external, arena);
    } else if (size > 1) {
        struct series *series;
        size_t count;
        err = read_response_decode((struct bytes){data + 1, size - 1}, external, arena, &series,
                                   &count);
    }
    if (err && error_kind(err) != ERROR_CORRUPT && error_kind(err) != ERROR_LIMIT)
        abort();
    error_free(err);
    arena_unref(arena);
    budget_free(budget);
    return 0;
}
