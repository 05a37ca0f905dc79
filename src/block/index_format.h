/* block/index_format.h: the bytes of a block's index, version 1 and 2, in the pieces that both a
 * mapped file and ranges of an object in a bucket are made of.
 *
 *     +--------------------------+
 *     | BAAAD700, version        |  5 bytes
 *     | symbols                  |  sorted, unique strings; series name them by number (version 1:
 *     |                          |  by place in the file)
 *     | series                   |  entries sorted by label set, on multiples of 16: labels, chunks
 *     | postings lists           |  sorted series references, one list a label pair, first that of
 *     |                          |  ("", ""): all series
 *     | postings offset table    |  (name, value) -> place of the list, sorted
 *     | table of contents        |  52 bytes: where each section starts
 *     +--------------------------+
 *
 * Numbers are big-endian. A section is its length (4 bytes), its content and the content's CRC32C.
 * A series reference is the entry's place, divided by 16 in version 2. Everything here is checked
 * before it is believed; what does not fit is ERROR_CORRUPT.
 *
 * Source: Prometheus, tsdb/docs/format/index.md. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "model/labels.h"

enum {
    INDEX_HEADER_LEN = 5,
    INDEX_TOC_LEN = 52,
    INDEX_SERIES_ALIGN = 16,
    INDEX_SERIES_MAX = 64 << 20, /* bytes of one series entry, by us */
};

struct index_toc { /* places in the file; 0: no such section */
    uint64_t symbols, series, label_indices, label_table, postings, postings_table;
};

/* That of an index of version 2. */
void index_header_write(struct buf *out);
/* The version, 1 or 2, from the first INDEX_HEADER_LEN bytes. */
MUST_CHECK struct error *index_header_read(struct bytes header, int *version);
/* From the last INDEX_TOC_LEN bytes of an index of that many bytes. Sections lie within it. */
MUST_CHECK struct error *index_toc_read(struct bytes toc, uint64_t index_len,
                                        struct index_toc *out);
/* The content of the section at the beginning of `bytes`, its CRC checked; more may follow. */
MUST_CHECK struct error *index_section_read(struct bytes bytes, const char *what,
                                            struct bytes *content);

/* ---- symbols ---- */

/* Strings by number. The section must outlive it; besides, it keeps the place of every eighth
 * string. Immutable once open. */
struct symbol_table {
    struct bytes content;
    uint32_t count;
    uint32_t *places;
    bool by_place;           /* version 1 */
    uint64_t place_in_index; /* of the content, for version 1 */
};

/* content: of the symbols section, which begins at place_in_index in the whole index. */
MUST_CHECK struct error *symbol_table_open(struct symbol_table *table, struct bytes content,
                                           int version, uint64_t place_in_index);
void symbol_table_close(struct symbol_table *table); /* zeroed is fine */
/* False: there is no such symbol. The view is of the section. */
bool symbol_table_get(const struct symbol_table *table, uint32_t ref, struct str *out);

/* ---- series ---- */

struct chunk_meta {             /* where a chunk of a series lies */
    int64_t min_time, max_time; /* inclusive */
    uint64_t ref;               /* upper half: number of the file from 0; lower half: place in it */
};

struct index_series {
    struct labels labels;
    struct chunk_meta *chunks; /* by min_time; those asked for */
    size_t chunk_count;
};

/* The body of the entry that `bytes` begins with, CRC checked; more may follow. */
MUST_CHECK struct error *index_series_body(struct bytes bytes, struct bytes *body);
/* Labels, and the chunks that overlap [min_time, max_time], in the arena. When there are none of
 * these the labels are left empty, unless labels_anyway. */
MUST_CHECK struct error *index_series_decode(struct bytes body, const struct symbol_table *symbols,
                                             int64_t min_time, int64_t max_time, bool labels_anyway,
                                             struct arena *arena, struct index_series *out);

/* ---- postings ---- */

struct postings { /* series references, ascending and unique */
    uint32_t *refs;
    size_t count;
};

/* The list that `bytes` begins with, CRC and order checked; refs in the arena (ERROR_LIMIT). */
MUST_CHECK struct error *postings_decode(struct bytes bytes, struct arena *arena,
                                         struct postings *out);
