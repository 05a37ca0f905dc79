/* block/index_writer.h: writes a block's index (version 2) from series that come one after another.
 *
 * The index wants symbols first, but they are known last. So series wait in a file beside the index
 * ("index.series"), with symbols numbered as they came; at the end symbols are sorted, series are
 * written with their final numbers, and postings are gathered from them, as many label names in one
 * pass as fit a bound. Memory: the symbols, and that bound. The same series give the same bytes,
 * and those that Prometheus writes. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"
#include "block/index_format.h"

struct budget;
struct index_writer;

/* Symbols are charged to the budget, which may be NULL. */
MUST_CHECK struct error *index_writer_open(struct str directory, struct budget *budget,
                                           struct index_writer **out);
/* Label sets must rise, chunks of a series must rise and not overlap: else ERROR_INVALID. */
MUST_CHECK struct error *index_writer_add(struct index_writer *writer, struct labels labels,
                                          const struct chunk_meta *chunks, size_t count);
/* Completes and syncs "index" in the directory. *series_max: bytes of the longest entry. */
MUST_CHECK struct error *index_writer_finish(struct index_writer *writer, uint64_t *series_max);
void index_writer_free(struct index_writer *writer); /* NULL is fine; removes the file beside */
