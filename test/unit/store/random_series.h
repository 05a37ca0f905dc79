/* test/unit/store/random_series.h: label sets that are hard on order: few names and values, names
 * that are beginnings of each other, sets that are beginnings of each other. */
#pragma once

#include <stdlib.h>

#include "store/series_set.h"
#include "support/memory_store.h"
#include "support/test.h"

static const char *const random_names[] = {"A",  "__name__", "a",       "aa",       "ab", "b",
                                           "le", "repl",     "replica", "replica_", "z",  "\xff"};
static const char *const random_values[] = {"", "", "", "a", "b", "ab", "0", "zz"};

static inline struct labels random_labels(struct arena *arena, uint64_t *seed)
{
    struct labels_builder builder = labels_builder_create(arena);
    for (size_t i = 0; i < countof(random_names); i++)
        labels_builder_set(
            &builder, str_from(random_names[i]),
            str_from(random_values[test_random_below(seed, countof(random_values))]));
    return labels_builder_finish(&builder);
}

static inline int random_series_compare(const void *a, const void *b)
{
    return labels_compare(((const struct series *)a)->labels, ((const struct series *)b)->labels);
}

/* Sorted and unique, with one to three chunks each. */
static inline struct series_batch random_series(struct arena *arena, uint64_t *seed, size_t most)
{
    size_t count = test_random_below(seed, most + 1), kept = 0;
    struct series *items = arena_array(arena, count, sizeof(*items));
    for (size_t i = 0; i < count; i++) {
        struct chunk_list chunks = {arena_array(arena, 3, sizeof(struct chunk)),
                                    1 + test_random_below(seed, 3)};
        for (size_t j = 0; j < chunks.count; j++)
            chunks.items[j] = memory_chunk(arena, (int64_t)(j * 100 + test_random_below(seed, 4)),
                                           (double)(j % 2));
        items[i] = (struct series){random_labels(arena, seed), chunks};
    }
    if (count)
        qsort(items, count, sizeof(*items), random_series_compare);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || !labels_equal(items[kept - 1].labels, items[i].labels))
            items[kept++] = items[i];
    return (struct series_batch){items, kept};
}
