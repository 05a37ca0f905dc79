/* block/postings.h: sets of series references, and which of them matchers ask for.
 *
 * A plan says which lists are read: each matcher that the empty value does not satisfy gives a
 * group of lists whose union is intersected with the others', each other one gives lists that are
 * taken away. A group that is far longer than the shortest is not read: its matcher is tested on
 * the series themselves. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "block/index_format.h"
#include "block/postings_table.h"
#include "model/matcher.h"

/* Results live in the arena, or are an operand. ERROR_LIMIT when its budget refuses. */
MUST_CHECK struct error *postings_union(const struct postings *lists, size_t count,
                                        struct arena *arena, struct postings *out);
/* In place: `set` keeps what is also in `other` (or what is not, for subtract). */
void postings_intersect(struct postings *set, struct postings other);
void postings_subtract(struct postings *set, struct postings other);

struct postings_group {
    bool is_taken_away;
    struct postings_key *keys;
    size_t key_count;
    uint64_t refs; /* in all lists, an estimate from their ranges */
};

struct postings_plan {
    bool is_empty;                 /* no series matches; there are no groups */
    struct postings_group *groups; /* the first is not taken away */
    size_t group_count;
    size_t key_count;             /* of all groups */
    uint64_t bytes;               /* of all lists */
    const struct matcher *tested; /* on the series' labels */
    size_t tested_count;
};

/* Lives in the arena, like the matchers. ERROR_LIMIT over the arena's budget. */
MUST_CHECK struct error *postings_plan_make(const struct postings_table *table,
                                            const struct matcher *matchers, size_t count,
                                            struct arena *arena, struct postings_plan *out);

/* Gives the bytes of lists, which begin at each key's start and live until the arena goes. */
typedef struct error *(*postings_fetch)(void *self, const struct postings_key *const *keys,
                                        size_t count, struct arena *arena, struct bytes *lists);
/* All lists are fetched in one call. */
MUST_CHECK struct error *postings_plan_run(const struct postings_plan *plan, postings_fetch fetch,
                                           void *self, struct arena *arena, struct postings *out);
