/* peers/tsdb_status.h: statistics of databases: how many series there are, and of what. */
#pragma once

#include "peers/record.h"

struct tsdb_matcher { /* on external labels; not compiled */
    int op;           /* enum match_op */
    struct str name, value;
};

struct tsdb_question {
    struct str tenant; /* empty: all */
    int64_t limit;     /* entries of each list; 0: as the peer likes */
    RECORDS(struct tsdb_matcher) matchers;
};

struct tsdb_count {
    struct str name;
    uint64_t value;
};
struct tsdb_counts {
    RECORDS(struct tsdb_count) list;
};

struct tsdb_head {
    uint64_t series;
    int64_t label_pairs, chunks;
    int64_t min_time, max_time; /* milliseconds */
};

enum tsdb_list { /* what is counted */
                 TSDB_SERIES_BY_METRIC,
                 TSDB_VALUES_BY_LABEL,
                 TSDB_BYTES_BY_LABEL,
                 TSDB_SERIES_BY_PAIR,
                 TSDB_LISTS,
};

struct tsdb_stats {
    struct tsdb_head head;
    struct tsdb_counts lists[TSDB_LISTS];
};

struct tsdb_tenant {
    struct str tenant; /* empty: the only one */
    struct tsdb_stats stats;
};

struct tsdb_status {
    RECORDS(struct tsdb_tenant) tenants;
};

extern const struct record_type tsdb_status_type, tsdb_stats_type;

/* Adds: sums, but the largest number of values of a label, as several may have the same ones; times
 * from the first to the last. Lists are sorted by value, the largest first, then by name. */
void tsdb_stats_add(struct tsdb_stats *to, const struct tsdb_stats *more, struct arena *arena);
