/* An InfoResponse. What decodes must decode again from what it encodes to. */
#include "fuzz.h"

#include <stdlib.h>

#include "rpc/peer_info.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct budget *budget = budget_create(NULL, "fuzz", 64 << 20);
    struct arena *arena = arena_create(budget);
    struct peer_info info, again;
    struct buf wire = BUF_INIT(NULL);
    struct error *err = peer_info_decode((struct bytes){data, size}, arena, &info);
    if (!err) {
        peer_info_encode(&wire, &info);
        err = peer_info_decode(buf_bytes(&wire), arena, &again);
        if (err ? error_kind(err) != ERROR_LIMIT
                : again.range_count != info.range_count || again.has_store != info.has_store)
            abort();
    }
    error_free(err);
    buf_deinit(&wire);
    arena_unref(arena);
    budget_free(budget);
    return 0;
}
