#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

_Static_assert(sizeof(XXH64_state_t) <= sizeof(struct hash_stream),
               "the state fits its opaque form");

uint64_t hash_bytes(const void *data, size_t len)
{
    return XXH64(len ? data : "", len, 0);
}

void hash_stream_init(struct hash_stream *stream)
{
    XXH64_reset((XXH64_state_t *)stream, 0);
}

void hash_stream_add(struct hash_stream *stream, const void *data, size_t len)
{
    if (len)
        XXH64_update((XXH64_state_t *)stream, data, len);
}

uint64_t hash_stream_sum(const struct hash_stream *stream)
{
    return XXH64_digest((const XXH64_state_t *)stream);
}
