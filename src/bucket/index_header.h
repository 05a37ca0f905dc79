/* bucket/index_header.h: the parts of a block's index that are kept on the local disk: its symbols
 * and its postings offset table, so that any list and any series is one range away.
 *
 *     +------------------------------+
 *     | BAAAD792, 1, index version   |  6 bytes
 *     | place of the table in index  |  8 bytes
 *     | symbols                      |  the index from its symbols to its series
 *     | postings offset table        |  the index from there to its end, table of contents included
 *     | places of these two in here  |  16 bytes
 *     | CRC32C of these 16           |  4 bytes
 *     +------------------------------+
 *
 * The file is Thanos's, byte for byte. Source: Thanos, docs/components/store.md and
 * pkg/block/indexheader. */
#pragma once

#include "base/error.h"
#include "base/str.h"
#include "block/index_format.h"
#include "block/postings_table.h"
#include "objstore/bucket.h"
#include "runtime/file.h"

struct context;

struct index_header {
    struct file_map file;
    int index_version;
    struct index_toc toc; /* of the index itself */
    struct symbol_table symbols;
    struct postings_table postings;
};

/* Makes the file at `path` from the index object, by ranged reads. */
MUST_CHECK struct error *index_header_build(struct bucket *bucket, struct context *ctx,
                                            struct str index_key, struct str path);
/* Opens it: ERROR_NOT_FOUND, or ERROR_CORRUPT when it has to be built anew. */
MUST_CHECK struct error *index_header_open(struct str path, struct index_header *header);
void index_header_close(struct index_header *header); /* zeroed is fine */
