/* bucket/bucket_group.h: the blocks of a bucket that have the same external labels, as one store.
 * It knows nothing of external labels, without_labels and shards: store_external_labels() goes
 * around it.
 *
 * Which blocks are read: the coarsest resolution allowed first; where it has no block, the next
 * finer one fills the gap. */
#pragma once

#include "bucket/bucket_select.h"
#include "store/store.h"

/* References the blocks (any order). env is copied. */
struct store *bucket_group_create(const struct bucket_select_env *env,
                                  struct bucket_block *const *blocks, size_t count);

/* Those of the blocks (sorted by min_time, then max_time) that a query over [min_time, max_time]
 * with that resolution reads; out has room for all of them. Gives their number. */
size_t bucket_group_choose(struct bucket_block *const *blocks, size_t count, int64_t min_time,
                           int64_t max_time, int64_t max_resolution_ms, struct bucket_block **out);
