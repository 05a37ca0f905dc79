/* block/block.h: a block in a local directory, open for reading: files are mapped, nothing is
 * copied. Immutable and reference-counted; safe to use from any thread.
 *
 * The index's frame (table of contents, symbols, offset table) is checked when the block is opened;
 * series entries, postings lists and chunks when they are read. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include "block/block_meta.h"
#include "block/index_format.h"
#include "block/postings.h"
#include "block/postings_table.h"
#include "block/tombstones.h"
#include "chunk/chunk.h"

struct block;

/* ERROR_NOT_FOUND without a meta.json, ERROR_CORRUPT for what is no block. */
MUST_CHECK struct error *block_open(struct str directory, struct block **out);
void block_ref(struct block *block);
void block_unref(struct block *block); /* NULL is fine */

const struct block_meta *block_meta(const struct block *block);
const struct postings_table *block_postings_table(const struct block *block);
const struct tombstones *block_tombstones(const struct block *block);

/* Runs a plan made with block_postings_table(). */
MUST_CHECK struct error *block_postings(const struct block *block, const struct postings_plan *plan,
                                        struct arena *arena, struct postings *out);
/* As index_series_decode(), of the series that a reference names. */
MUST_CHECK struct error *block_series(const struct block *block, uint32_t ref, int64_t min_time,
                                      int64_t max_time, bool labels_anyway, struct arena *arena,
                                      struct index_series *out);
/* Data are views of the mapped file: they live as long as the block. */
MUST_CHECK struct error *block_chunk(const struct block *block, const struct chunk_meta *meta,
                                     struct arena *arena, struct chunk *out);
