/* store/chunk_lists.h: chunk lists of one series that come from several sources become one list:
 * sorted, identical chunks removed. Chunk bytes are not touched; who calls pins them. */
#pragma once

#include <stddef.h>

#include "base/arena.h"
#include "chunk/chunk.h"

/* The lists may be unsorted. When one list alone is there and in order already, it is returned as
 * it is; else the result is a new array in the arena.
 *
 * A chunk is identical when each of its parts (raw, or the aggregates present) has the bytes of a
 * part that an earlier chunk near it has: stated times do not count, for sources state them
 * differently. */
struct chunk_list chunk_lists_join(struct arena *arena, const struct chunk_list *lists,
                                   size_t count);
