/* rpc/query_wire.h: the messages of thanos.Query. */
#pragma once

#include "peers/record.h"

struct histogram;

/* -- requests -- */

struct query_matcher {
    int op; /* enum match_op */
    struct str name, value;
};
struct query_store_match {
    RECORDS(struct query_matcher) matchers;
};
struct query_shard {
    int64_t index, total;
    bool by;
    RECORDS(struct str) labels;
};

enum query_engine { QUERY_ENGINE_DEFAULT, QUERY_ENGINE_PROMETHEUS, QUERY_ENGINE_THANOS };

/* QueryRequest or QueryRangeRequest, but for the plan: the text says the same. */
struct query_request {
    struct str text;
    int64_t time_s; /* of an instant query; 0: now */
    int64_t start_s, end_s, step_s;
    int64_t timeout_s, max_resolution_s, lookback_s; /* 0: as the server likes */
    RECORDS(struct str) replica_labels;              /* none: the server's */
    RECORDS(struct query_store_match) store_matches;
    bool dedup, partial_response, skip_chunks;
    struct query_shard shard;
    int engine;         /* enum query_engine */
    int64_t batch_size; /* series a frame; 0 and 1: single series */
};

extern const struct record_type query_instant_type, query_range_type;

/* -- responses -- */

struct query_series { /* a row of a result; points in ascending time */
    struct labels labels;
    const int64_t *times;
    const double *values;
    struct histogram *const *histograms; /* NULL, or per point: not NULL where it is a histogram */
    size_t count;
};

enum query_frame_kind { QUERY_NOTHING, QUERY_WARNING, QUERY_SERIES, QUERY_STATS };

struct query_frame {
    enum query_frame_kind kind;
    struct str warning;
    struct query_series *items;
    size_t count;
    uint64_t samples_total, samples_peak;
};

/* Everything lives in the arena, but for the warning, which is a view. ERROR_CORRUPT for what is
 * malformed, for times that do not ascend and histograms that are none, ERROR_LIMIT. */
MUST_CHECK struct error *query_frame_decode(struct bytes message, struct arena *arena,
                                            struct query_frame *out);

/* One series: as a frame of its own, or, with is_batch, one more of the batch begun before. */
size_t query_batch_begin(struct buf *out);
void query_batch_end(struct buf *out, size_t mark);
void query_series_encode(struct buf *out, const struct query_series *series, bool is_batch);
void query_warning_encode(struct buf *out, struct str text);
void query_stats_encode(struct buf *out, uint64_t samples_total, uint64_t samples_peak);
