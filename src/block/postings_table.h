/* block/postings_table.h: where the postings list of a label pair lies in the index.
 *
 * The table's bytes stay where they are (a mapped file); in memory is the place of every 32nd value
 * of each name, so that a lookup is two binary searches and a short scan, and a walk over the
 * values of a name reads only their bytes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "codec/reader.h"

struct postings_key {       /* a label pair and its list in the index */
    struct str name, value; /* views of the table */
    uint64_t start, end;    /* the list with its length and CRC; padding may follow it within */
};

struct postings_name {
    struct str name;
    uint32_t first_sample; /* in samples[]; the name's own are consecutive */
    uint32_t value_count;
};

struct postings_table {
    struct bytes entries;
    struct postings_name *names; /* sorted; the first may be "", the list of all series */
    size_t name_count;
    uint32_t *samples; /* places of entries, with the end of all entries behind the last */
    size_t sample_count;
    uint64_t lists_end; /* of the last list */
    struct buf sorted;  /* entries of an old index that had them in no order */
    uint64_t *places;   /* of all lists, sorted; only for such an index */
    size_t place_count;
};

/* content: of the table's section. lists_end: where the last list ends at the latest, in the index.
 * One pass over the content, which must outlive the table. */
MUST_CHECK struct error *postings_table_open(struct postings_table *table, struct bytes content,
                                             uint64_t lists_end);
void postings_table_close(struct postings_table *table); /* zeroed is fine */

/* NULL when there is no such label name. */
const struct postings_name *postings_table_name(const struct postings_table *table,
                                                struct str name);
bool postings_table_find(const struct postings_table *table, struct str name, struct str value,
                         struct postings_key *out);

/* The values of a name, in order, from the first that is not below `from`:
 *     struct postings_cursor cursor = postings_values(table, name, STR(""));
 *     while (postings_values_next(&cursor, &key)) ...                          */
struct postings_cursor {
    const struct postings_table *table;
    struct str name, value; /* of the entry read last */
    uint64_t place;
    struct reader reader;
    size_t left; /* entries of the name, with the one read last */
};
struct postings_cursor postings_values(const struct postings_table *table,
                                       const struct postings_name *name, struct str from);
bool postings_values_next(struct postings_cursor *cursor, struct postings_key *out);
