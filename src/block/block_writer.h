/* block/block_writer.h: writes a block to a local directory. It is made as
 * "<ULID>.tmp-for-creation", synced file by file and renamed when complete, so that "<ULID>" is
 * never seen in part. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"
#include "block/block_meta.h"
#include "store/series_set.h"

struct budget;
struct block_writer;

struct block_writer_options {
    uint64_t chunk_file_max; /* bytes of one file of chunks, 0: 512 MiB */
    struct budget *budget;   /* for the index's symbols; NULL: not charged */
};

/* parent: the directory that the block's own comes to lie in. */
MUST_CHECK struct error *block_writer_open(struct str parent, struct ulid id,
                                           const struct block_writer_options *options,
                                           struct block_writer **out);
/* Label sets must rise; a series' chunks must rise and not overlap. A series without chunks is left
 * out. */
MUST_CHECK struct error *block_writer_add(struct block_writer *writer, const struct series *series);
/* All series of a set, in batches. */
MUST_CHECK struct error *block_writer_add_all(struct block_writer *writer, struct series_set *set);
/* Completes the block. Of *meta the id and the statistics are set here, with the Thanos section's
 * index statistics; the time range is set when min_time and max_time are equal. */
MUST_CHECK struct error *block_writer_finish(struct block_writer *writer, struct block_meta *meta);
/* Removes what was not finished. NULL is fine. */
void block_writer_free(struct block_writer *writer);
