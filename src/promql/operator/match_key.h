/* promql/operator/match_key.h: which rows of two vectors belong together: those that agree in the
 * labels of on(), or in all but those of ignoring() and the name. One thread at a time. */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/hash_index.h"
#include "promql/execution.h"

struct stored_row;

/* Embedded first in what the owner keeps for a key. */
struct match_key {
    struct labels labels;
};

struct match_keys {
    bool on, names_matter;
    struct str_list labels; /* to keep, or to take away */
    struct execution *execution;
    size_t key_size;
    struct arena *arena, *scratch;
    struct hash_index index;
};

/* key_size: of the struct that begins with a struct match_key. */
void match_keys_init(struct match_keys *keys, struct execution *execution,
                     const struct vector_matching *matching, size_t key_size);
void match_keys_deinit(struct match_keys *keys);

/* The key of a row; *out = NULL when there is none yet and `add` is off, else it is made (zeroed).
 */
MUST_CHECK struct error *match_keys_find(struct match_keys *keys, const struct step_batch *batch,
                                         size_t row, bool add, struct match_key **out);
/* What of a label set the key is made of. In the arena, or as it is. */
struct labels match_keys_labels(const struct match_keys *keys, struct labels labels,
                                struct arena *arena);
