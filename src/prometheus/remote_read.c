#include "prometheus/remote_read.h"

#include <stdlib.h>

#include "base/memory.h"
#include "base/vec.h"
#include "codec/pb.h"
#include "codec/snappy.h"
#include "net/http1.h"
#include "net/http_client.h"
#include "prometheus/client.h"
#include "prometheus/remote_read_frames.h"
#include "prometheus/remote_read_wire.h"
#include "runtime/context.h"
#include "runtime/metrics.h"

enum {
    INPUT_SIZE = 16 * 1024,
    ARENA_SIZE = 256 * 1024,    /* frames are gathered in arenas of about this size */
    SAMPLES_BODY_MAX = 1 << 30, /* of an answer that comes as a whole; the budget ends it earlier */
    ERROR_BODY_MAX = 16 * 1024,
};

/* Frames go into an arena of the set's own, which the callers' arenas keep: so they can be gathered
 * while nobody waits for the set. */
struct remote_read {
    struct series_set base;
    struct context *ctx; /* a child of the select's; cancelling the set ends it */
    struct http_stream *stream;
    struct metric *frames;
    struct arena *arena; /* of frames, or of all series of an answer of samples */
    struct arena *external_arena;
    struct labels external;
    enum { READ_HEADERS, READ_FRAMES, READ_SAMPLES, READ_SORTED, READ_ENDED } state;
    struct error *err; /* found while gathering, not yet given */
    bool failed;       /* an error was given: the set is over */
    bool at_end;       /* of the body */

    uint8_t *input;
    size_t input_at, input_len;
    struct frame_reader frame;
    struct pb_reader message; /* the rest of the frame that is being given out */
    bool has_message;

    struct buf body;       /* READ_SAMPLES */
    struct series *sorted; /* READ_SORTED */
    size_t sorted_at, sorted_count;

    uint64_t frame_count;
    struct series_set_stats stats;
};

static struct remote_read *read_of(struct series_set *base)
{
    return container_of(base, struct remote_read, base);
}

/* ---- the head of the answer ---- */

static struct error *status_error(struct remote_read *read, int status)
{
    struct buf body = {0};
    struct error *err = NULL;
    size_t got = 1;
    while (!err && got && body.len < ERROR_BODY_MAX) {
        char *room = buf_reserve(&body, 1024);
        err = http_stream_read(read->stream, read->ctx, room, 1024, &got);
        body.len += got;
    }
    error_free(err); /* the text is the best that can be had */
    err = error_create(prometheus_error_kind(status), "request failed with code %d %s; msg %.*s",
                       status, http1_reason(status), STR_ARG(buf_str(&body)));
    buf_deinit(&body);
    return err;
}

static struct error *read_headers(struct remote_read *read)
{
    struct error *err = http_stream_wait(read->stream, read->ctx);
    if (err)
        return error_wrap(err, "send request");
    int status = http_stream_status(read->stream);
    if (status / 100 != 2)
        return status_error(read, status);
    struct str type = http_stream_header(read->stream, STR("Content-Type"));
    if (str_starts_with(type, STR("application/x-protobuf"))) {
        read->state = READ_SAMPLES;
    } else if (str_starts_with(type, STR("application/x-streamed-protobuf; "
                                         "proto=prometheus.ChunkedReadResponse"))) {
        read->state = READ_FRAMES;
        read->input = xmalloc(INPUT_SIZE);
    } else {
        return error_create(ERROR_INTERNAL, "not supported remote read content type: %.*s",
                            STR_ARG(type));
    }
    return NULL;
}

/* ---- frames ---- */

static void frame_is_done(struct remote_read *read)
{
    read->message = pb_read(frame_message(&read->frame));
    read->has_message = true;
    read->frame_count++;
    read->stats.bytes += read->frame.length;
}

static void end_frames(struct remote_read *read)
{
    if (!frame_is_between(&read->frame))
        read->err = error_create(ERROR_CORRUPT, "remote read stream ends within a frame");
    metric_observe(read->frames, (double)read->frame_count);
    read->state = READ_ENDED;
}

/* Reads what has come, or waits for something; finishes a frame at most. */
static struct error *read_more(struct remote_read *read)
{
    size_t got, size = 0;
    bool done = false;
    if (read->input_at == read->input_len) {
        uint8_t *room = frame_room(&read->frame, &size);
        bool direct = room && size >= INPUT_SIZE; /* most of a long message is not copied */
        struct error *err = http_stream_read(read->stream, read->ctx, direct ? room : read->input,
                                             direct ? size : INPUT_SIZE, &got);
        if (err || got == 0) {
            read->at_end = true;
            return err;
        }
        if (direct) {
            err = frame_filled(&read->frame, got, &done);
            if (done && !err)
                frame_is_done(read);
            return err;
        }
        read->input_at = 0;
        read->input_len = got;
    }
    struct bytes input = {read->input + read->input_at, read->input_len - read->input_at};
    struct error *err = frame_put(&read->frame, input, read->arena, &got, &done);
    read->input_at += got;
    if (done && !err)
        frame_is_done(read);
    return err;
}

/* ---- answers of samples ---- */

static int compare_series(const void *a, const void *b)
{
    const struct series *x = a, *y = b;
    return labels_compare(x->labels, y->labels);
}

static struct error *decode_samples(struct remote_read *read)
{
    struct buf message = BUF_INIT(context_budget(read->ctx));
    struct error *err = buf_status(&read->body);
    if (!err)
        err = snappy_decode(buf_bytes(&read->body), SAMPLES_BODY_MAX, &message);
    err = error_wrap(err, "decompress response");
    buf_deinit(&read->body);
    if (!err)
        err = error_wrap(read_response_decode(buf_bytes(&message), read->external, read->arena,
                                              &read->sorted, &read->sorted_count),
                         "unmarshal response");
    buf_deinit(&message);
    if (!err && read->sorted_count)
        qsort(read->sorted, read->sorted_count, sizeof(*read->sorted), compare_series);
    read->state = READ_SORTED;
    return err;
}

static struct error *read_body(struct remote_read *read)
{
    size_t got;
    char *room = buf_reserve(&read->body, INPUT_SIZE);
    if (!room)
        return buf_status(&read->body);
    struct error *err = http_stream_read(read->stream, read->ctx, room, INPUT_SIZE, &got);
    if (err)
        return err;
    read->body.len += got;
    if (read->body.len > SAMPLES_BODY_MAX)
        return error_create(ERROR_LIMIT, "remote read answer of more than %d bytes",
                            SAMPLES_BODY_MAX);
    return got ? NULL : decode_samples(read);
}

/* ---- gathering ---- */

static bool has_something(const struct remote_read *read)
{
    return read->err || read->failed || read->has_message || read->state >= READ_SORTED;
}

/* One step towards something to give; blocks when nothing has come. */
static void gather_step(struct remote_read *read)
{
    struct error *err = NULL;
    if (read->state == READ_HEADERS)
        err = read_headers(read);
    else if (read->state == READ_SAMPLES)
        err = read_body(read);
    else if (!read->at_end)
        err = read_more(read);
    if (!err && read->state == READ_FRAMES && read->at_end && !read->has_message)
        end_frames(read);
    if (err)
        read->err = err;
}

static bool remote_read_ready(struct series_set *base, const struct series_wake *wake)
{
    struct remote_read *read = read_of(base);
    while (!has_something(read)) {
        bool buffered = read->state == READ_FRAMES && read->input_at < read->input_len;
        if (!buffered &&
            !http_stream_ready(read->stream, wake ? wake->fn : NULL, wake ? wake->arg : NULL))
            return false;
        gather_step(read);
    }
    return true;
}

/* ---- giving ---- */

static void count_series(struct remote_read *read, const struct series *series)
{
    read->stats.series++;
    read->stats.chunks += series->chunks.count;
    for (size_t i = 0; i < series->chunks.count; i++)
        read->stats.samples_estimate += chunk_sample_count(&series->chunks.items[i].raw);
}

/* The next series of the frame at hand; *found false: it has no more, and is done with. */
static struct error *next_in_frame(struct remote_read *read, struct arena *arena,
                                   struct series *out, bool *found)
{
    *found = false;
    while (!*found && pb_next(&read->message)) {
        if (read->message.field == 1) {
            struct bytes message = pb_bytes(&read->message);
            struct error *err = pb_error(&read->message, "remote read frame");
            if (!err)
                err = chunked_series_decode(message, read->external, arena, out);
            if (err)
                return err;
            *found = true;
        } else {
            pb_skip(&read->message);
        }
    }
    if (*found)
        return NULL;
    struct error *err = pb_error(&read->message, "remote read frame");
    read->has_message = false;
    frame_next(&read->frame);
    return err;
}

/* Between two frames: one that is under way must stay in its arena. */
static void rotate_arena(struct remote_read *read)
{
    if (arena_size(read->arena) < ARENA_SIZE)
        return;
    arena_unref(read->arena);
    read->arena = arena_create(context_budget(read->ctx));
}

static struct error *give_frames(struct remote_read *read, struct arena *arena, size_t max,
                                 struct series_batch *out)
{
    struct error *err = NULL;
    while (!err && out->count < max && read->has_message) {
        bool found;
        arena_keep(arena, read->arena);
        err = next_in_frame(read, arena, &out->items[out->count], &found);
        if (!err && found)
            count_series(read, &out->items[out->count++]);
        if (!err && !found) {
            rotate_arena(read);
            if (remote_read_ready(&read->base, NULL))
                err = arena_status(arena);
        }
    }
    return err;
}

static void give_sorted(struct remote_read *read, struct arena *arena, size_t max,
                        struct series_batch *out)
{
    arena_keep(arena, read->arena);
    out->count = size_min(max, read->sorted_count - read->sorted_at);
    for (size_t i = 0; i < out->count; i++) {
        out->items[i] = read->sorted[read->sorted_at++];
        count_series(read, &out->items[i]);
    }
}

static struct error *take_error(struct remote_read *read)
{
    struct error *err = read->err;
    read->err = NULL;
    read->failed = true;
    return error_wrap(err, "query Prometheus");
}

static struct error *remote_read_next(struct series_set *base, struct arena *arena, size_t max,
                                      struct series_batch *out)
{
    struct remote_read *read = read_of(base);
    *out = (struct series_batch){NULL, 0};
    if (read->failed)
        return error_create(ERROR_CANCELLED, "remote read has failed");
    out->items = arena_array(arena, max, sizeof(*out->items));
    while (out->count == 0 && !read->err && read->state != READ_ENDED) {
        while (!has_something(read))
            gather_step(read);
        if (context_ended(read->ctx) && !read->err)
            read->err = context_error(read->ctx);
        if (read->err)
            break;
        if (read->state == READ_SORTED) {
            give_sorted(read, arena, max, out);
            break;
        }
        struct error *err = give_frames(read, arena, max, out);
        error_keep_first(&read->err, err);
    }
    /* what was found before an error is given first */
    return read->err && out->count == 0 ? take_error(read) : NULL;
}

static void remote_read_cancel(struct series_set *base)
{
    context_cancel(read_of(base)->ctx);
}

static void remote_read_stats(struct series_set *base, struct series_set_stats *add_to)
{
    const struct series_set_stats *stats = &read_of(base)->stats;
    add_to->series += stats->series;
    add_to->chunks += stats->chunks;
    add_to->samples_estimate += stats->samples_estimate;
    add_to->bytes += stats->bytes;
}

static void remote_read_free(struct series_set *base)
{
    struct remote_read *read = read_of(base);
    http_stream_free(read->stream);
    error_free(read->err);
    free(read->input);
    buf_deinit(&read->body);
    arena_unref(read->arena);
    arena_unref(read->external_arena);
    context_unref(read->ctx);
    free(read);
}

static const struct series_set_ops remote_read_ops = {
    .next = remote_read_next,
    .ready = remote_read_ready,
    .cancel = remote_read_cancel,
    .stats = remote_read_stats,
    .free = remote_read_free,
};

/* ---- start ---- */

static struct error *start_call(struct prometheus_client *client, struct context *ctx,
                                const struct remote_read_query *query, struct http_stream **out)
{
    static const struct http_header headers[] = {
        {STR_INIT("Content-Encoding"), STR_INIT("snappy")},
        {STR_INIT("Content-Type"), STR_INIT("application/x-protobuf")},
        {STR_INIT("X-Prometheus-Remote-Read-Version"), STR_INIT("0.1.0")},
    };
    struct buf message = {0}, body = {0}, url = {0};
    read_request_encode(&message, query->matchers, query->matcher_count, query->min_time,
                        query->max_time);
    snappy_encode(buf_bytes(&message), &body);
    prometheus_url(client, STR("/api/v1/read"), STR(""), &url);
    struct http_client_request request = {
        .method = STR("POST"),
        .url = buf_str(&url),
        .headers = headers,
        .header_count = countof(headers),
        .body = buf_bytes(&body),
    };
    struct error *err = http_stream_start(prometheus_client_http(client), ctx, &request, out);
    buf_deinit(&message);
    buf_deinit(&body);
    buf_deinit(&url);
    return err;
}

struct error *remote_read_start(struct prometheus_client *client, struct context *ctx,
                                const struct remote_read_query *query, struct series_set **out)
{
    struct http_stream *stream;
    struct context *child = context_create(ctx, CONTEXT_NO_DEADLINE);
    struct error *err = start_call(client, child, query, &stream);
    if (err) {
        context_unref(child);
        return error_wrap(err, "query Prometheus");
    }
    struct remote_read *read = xcalloc(1, sizeof(*read));
    read->base.ops = &remote_read_ops;
    read->ctx = child;
    read->stream = stream;
    read->frames = query->frames;
    read->arena = arena_create(context_budget(child));
    read->external_arena = arena_create(context_budget(child));
    read->external = labels_copy(read->external_arena, query->external);
    read->body = (struct buf)BUF_INIT(context_budget(child));
    *out = &read->base;
    return NULL;
}
