/* promql/operator/shards.h: how workers fold batches at the same time and still in their order.
 *
 * Groups are dealt to shards by hash. A shard takes the batches strictly in sequence: one that
 * comes early is left there, and its worker goes on to other shards; the worker that closes the gap
 * folds what waits. So there is one accumulator a group, fed in the order of the series, whatever
 * the number of workers. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "promql/operator/groups.h"
#include "promql/operator/operator.h"

/* Folds one row into its group, which is the shard's own. */
typedef struct error *(*row_fold)(void *self, struct groups *groups, struct group *group,
                                  struct step_batch *batch, size_t row);

struct fold_shard;

struct shards {
    struct execution *execution;
    struct grouping grouping;
    struct arena *arena; /* of the grouping's list */
    struct fold_shard *items;
    size_t count;
    row_fold fold;
    void *self;
};

/* fold(self, ...) runs for one row of a shard at a time, for different shards at once. */
void shards_init(struct shards *shards, struct execution *execution,
                 const struct plan_aggregate *aggregate, size_t group_size, row_fold fold,
                 void *self);
void shards_deinit(struct shards *shards); /* when no worker can come any more */

/* Says where the batches of a shared input go; other inputs are fine, too. Before any drain. */
void shards_attach(struct shards *shards, struct operator* input);
/* Takes all batches of the input: a selector's on the workers that make them. */
MUST_CHECK struct error *shards_drain(struct shards *shards, struct operator* input,
                                      struct context *ctx);
/* All groups, in the order of their first rows; the array lives in the arena. */
struct group **shards_groups(struct shards *shards, struct arena *arena, size_t *count);
