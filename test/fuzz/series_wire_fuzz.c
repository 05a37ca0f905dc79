/* First byte: which message of the Store API; the rest is the message. Series that decode are well
 * formed, and decode again from what they encode to. */
#include "fuzz.h"

#include <stdlib.h>

#include "rpc/series_wire.h"

static void check_labels(struct labels labels)
{
    struct error *err = labels_check(labels);
    if (err)
        abort();
}

static void check_again(const struct series_frame *frame, struct arena *arena)
{
    struct buf wire = BUF_INIT(NULL);
    struct series_frame again;
    series_frame_encode(&wire, frame->items, frame->count, false);
    error_free(buf_status(&wire));
    struct error *err = series_frame_decode(buf_bytes(&wire), arena, &again);
    if (err && error_kind(err) != ERROR_LIMIT)
        abort();
    if (!err && again.count != frame->count)
        abort();
    for (size_t i = 0; i < frame->count && !err; i++)
        if (!labels_equal(frame->items[i].labels, again.items[i].labels) ||
            frame->items[i].chunks.count != again.items[i].chunks.count)
            abort();
    error_free(err);
    buf_deinit(&wire);
}

static struct error *frame(struct bytes message, struct arena *arena)
{
    struct series_frame frame;
    struct str warning;
    (void)series_frame_peek(message, &warning);
    (void)series_frame_is_batch(message);
    struct error *err = series_frame_decode(message, arena, &frame);
    if (err)
        return err;
    for (size_t i = 0; i < frame.count; i++)
        check_labels(frame.items[i].labels);
    if (frame.count)
        check_again(&frame, arena);
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct budget *budget = budget_create(NULL, "fuzz", 64 << 20);
    struct arena *arena = arena_create(budget);
    struct store_query query;
    struct label_response response;
    struct str name;
    if (size > 0) {
        struct bytes message = {data + 1, size - 1};
        struct error *err = NULL;
        switch (data[0] % 5) {
        case 0:
            err = frame(message, arena);
            break;
        case 1:
            err = series_request_decode(message, arena, &query);
            break;
        case 2:
            err = label_names_request_decode(message, arena, &query);
            break;
        case 3:
            err = label_values_request_decode(message, arena, &name, &query);
            break;
        default:
            err = label_response_decode(message, arena, &response);
        }
        error_free(err);
    }
    arena_unref(arena);
    budget_free(budget);
    return 0;
}
