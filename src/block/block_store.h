/* block/block_store.h: the series of one block as a store. It knows nothing of external labels,
 * without_labels and shards: store_external_labels() goes around it. */
#pragma once

#include "block/block.h"
#include "store/store.h"

/* Holds a reference on the block. Chunks come as they were written; those that tombstones cut are
 * encoded anew. Aggregates not asked for, and chunks of a resolution coarser than asked for, are
 * given all the same: choosing blocks is the caller's. */
struct store *block_store_create(struct block *block);
