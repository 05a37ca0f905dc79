/* promql/operator/groups.h: which group of an aggregation a row belongs to. One thread at a time,
 * but for grouping_key(). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/hash_index.h"
#include "base/vec.h"
#include "promql/execution.h"

/* Embedded first in what the aggregation keeps for a group. */
struct group {
    struct labels labels;
    bool drop_name;
    size_t number; /* in the order of first rows */
};

/* What of a row's labels makes its group. */
struct grouping {
    struct execution *execution;
    bool without, names_matter;
    struct str_list labels; /* to keep, or to take away */
};

struct groups {
    struct grouping grouping;
    size_t group_size;
    struct arena *arena;   /* of groups, and of what is kept for them */
    struct arena *scratch; /* of one lookup */
    struct hash_index index;
    VEC(struct group *) items;
};

/* The list of a `without` lives in the arena. */
void grouping_init(struct grouping *grouping, struct execution *execution,
                   const struct plan_aggregate *aggregate, struct arena *arena);
/* Whether all rows are in one group. */
bool grouping_is_one(const struct grouping *grouping);
/* The labels of a row's group, in the arena or as they are. Any thread. */
struct labels grouping_key(const struct grouping *grouping, const struct step_batch *batch,
                           size_t row, struct arena *arena);

/* group_size: of the struct that begins with a struct group. */
void groups_init(struct groups *groups, struct execution *execution,
                 const struct plan_aggregate *aggregate, size_t group_size);
void groups_deinit(struct groups *groups);

/* The group of a row, made (zeroed) when new. */
MUST_CHECK struct error *groups_find(struct groups *groups, const struct step_batch *batch,
                                     size_t row, struct group **out);
/* The same for labels that are no row's. */
MUST_CHECK struct error *groups_find_labels(struct groups *groups, struct labels labels,
                                            struct group **out);
/* The same for a key, and its hash_bytes(). */
MUST_CHECK struct error *groups_get(struct groups *groups, struct labels key, uint64_t hash,
                                    struct group **out);
