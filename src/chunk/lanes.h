/* chunk/lanes.h: the chunks of a series dealt out to lanes in which they do not overlap. Replica
 * identity plays no part: each chunk goes to the first lane whose last chunk ends before it starts,
 * which is Thanos's rule, and its answers depend on it. */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "chunk/chunk.h"

struct lane {
    const struct chunk **chunks; /* in the order of the list */
    size_t count;
};

struct lanes {
    struct lane *items;
    size_t count; /* at least 1 */
};

/* All chunks in one lane, however they overlap. */
struct lanes lanes_single(const struct chunk_list *chunks, struct arena *arena);
/* ERROR_LIMIT beyond SAMPLES_LANES_MAX. */
MUST_CHECK struct error *lanes_split(const struct chunk_list *chunks, struct arena *arena,
                                     struct lanes *out);
