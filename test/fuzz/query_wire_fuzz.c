/* A response of thanos.Query, or, where byte 0 is 1 or 2, a request. Series that decode must decode
 * again from what they encode to. */
#include "fuzz.h"

#include "base/budget.h"
#include "rpc/query_wire.h"

static void check_series(const struct query_frame *frame, struct arena *arena)
{
    struct buf wire = BUF_INIT(NULL);
    struct query_frame again;
    size_t mark = query_batch_begin(&wire);
    for (size_t i = 0; i < frame->count; i++)
        query_series_encode(&wire, &frame->items[i], true);
    query_batch_end(&wire, mark);
    struct error *err = query_frame_decode(buf_bytes(&wire), arena, &again);
    FUZZ_CHECK(err ? error_kind(err) == ERROR_LIMIT : again.count == frame->count);
    for (size_t i = 0; !err && i < frame->count; i++) {
        FUZZ_CHECK(labels_equal(again.items[i].labels, frame->items[i].labels));
        FUZZ_CHECK(again.items[i].count == frame->items[i].count);
    }
    error_free(err);
    buf_deinit(&wire);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct budget *budget = budget_create(NULL, "fuzz", 64 << 20);
    struct arena *arena = arena_create(budget);
    const struct bytes rest = {data + 1, size - 1};
    struct query_frame frame;
    struct query_request request;
    struct error *err;
    if (data[0] == 1 || data[0] == 2) {
        err = record_decode(rest, arena, data[0] == 1 ? &query_instant_type : &query_range_type,
                            &request);
    } else {
        err = query_frame_decode(rest, arena, &frame);
        if (!err)
            check_series(&frame, arena);
    }
    error_free(err);
    arena_unref(arena);
    budget_free(budget);
    return 0;
}
