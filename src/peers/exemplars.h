/* peers/exemplars.h: exemplars of series. */
#pragma once

#include "peers/record.h"

struct exemplars_question {
    struct str query; /* PromQL: its selectors choose the series */
    int64_t start_ms, end_ms;
};

struct exemplar {
    struct labels labels;
    int64_t time_ms;
    double value;
};

struct series_exemplars {
    struct labels labels;
    RECORDS(struct exemplar) exemplars;
};

extern const struct record_type series_exemplars_type;

struct series_exemplars_list {
    struct series_exemplars *items;
    size_t count;
};

/* Takes the replica labels (sorted, unique) out, joins what belongs to one series, sorts series by
 * labels and exemplars by time, labels, value; equal ones once; series without any are left out. In
 * the arena. */
struct series_exemplars_list exemplars_join(const struct series_exemplars *answers, size_t count,
                                            struct arena *arena, const struct str *replica_labels,
                                            size_t replica_label_count);
