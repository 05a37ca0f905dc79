/* bucket/bucket_block.h: a block in a bucket, as the store gateway knows it: its meta.json, and its
 * index header once it was needed. Reference-counted, thread-safe. A thousand blocks that nobody
 * asks cost their metas. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "block/block_meta.h"
#include "bucket/index_header.h"
#include "objstore/bucket.h"

struct bucket_block;
struct bucket_block_metrics;
struct context;
struct metrics;

/* Counts of index headers, thanos_bucket_store_indexheader_*; one for all blocks. */
struct bucket_block_metrics *bucket_block_metrics_create(struct metrics *metrics);
void bucket_block_metrics_free(struct bucket_block_metrics *metrics);

/* Copies the meta. data_dir: where "<ULID>/index-header" is kept. The bucket and the metrics
 * outlive the block. */
struct bucket_block *bucket_block_create(struct bucket *bucket, struct str data_dir,
                                         const struct block_meta *meta,
                                         struct bucket_block_metrics *metrics);
void bucket_block_ref(struct bucket_block *block);
void bucket_block_unref(struct bucket_block *block); /* NULL is fine */

const struct block_meta *bucket_block_meta(const struct bucket_block *block);
struct str bucket_block_name(const struct bucket_block *block); /* the ULID's text */
/* "<ULID>/index", "<ULID>/chunks/000001" (file from 0); texts live as long as the block; the second
 * is ERROR_CORRUPT for a file that the block does not have, where its meta tells. */
struct str bucket_block_index_key(const struct bucket_block *block);
struct str bucket_block_chunk_key(const struct bucket_block *block, uint32_t file,
                                  struct arena *arena);

/* The header, read from disk or built when it is not there; others who want it wait. It stays until
 * the same number of releases. */
MUST_CHECK struct error *bucket_block_acquire_header(struct bucket_block *block,
                                                     struct context *ctx,
                                                     const struct index_header **out);
void bucket_block_release_header(struct bucket_block *block);
/* Closes a header that nobody has used since that monotonic time. */
void bucket_block_drop_idle(struct bucket_block *block, int64_t since_ms);
bool bucket_block_has_header(struct bucket_block *block);

/* How long chunks of this block are at a guess, and what one was: the guess learns. */
size_t bucket_block_chunk_guess(const struct bucket_block *block);
void bucket_block_chunk_was(struct bucket_block *block, size_t len);
