/* base/hash.h: xxHash64 with seed 0, the hash that Prometheus and Thanos write down. */
#pragma once

#include <stdint.h>

#include "base/str.h"

uint64_t hash_bytes(const void *data, size_t len);

static inline uint64_t hash_str(struct str s)
{
    return hash_bytes(s.data, s.len);
}

/* The same hash over pieces. Lives on the stack, needs no deinit. */
struct hash_stream {
    uint64_t state[12];
};

void hash_stream_init(struct hash_stream *stream);
void hash_stream_add(struct hash_stream *stream, const void *data, size_t len);
uint64_t hash_stream_sum(const struct hash_stream *stream);
