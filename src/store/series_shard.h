/* store/series_shard.h: the part of a set that belongs to one shard. */
#pragma once

#include "store/series_set.h"
#include "store/store.h"

struct budget;

/* Takes inner; keeps the series whose labels_shard_hash() modulo shard->total is shard->index.
 * Copies the shard. With total 0 it is inner. */
struct series_set *series_set_shard(struct budget *budget, struct series_set *inner,
                                    const struct shard *shard);
