/* promql/engine.h: evaluates PromQL over a store. One engine for the process; thread-safe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include "chunk/samples.h"
#include "model/labels.h"
#include "promql/options.h"
#include "store/store.h"

struct active_queries;
struct context;
struct engine;
struct histogram;
struct metrics;
struct parse_options;
struct pool;
struct remote;

struct engine_config {
    struct pool *compute;            /* workers; NULL: everything runs on the caller's thread */
    int64_t lookback_ms;             /* default, 0: 5 min */
    int64_t subquery_step_ms;        /* default of [1h:], 0: 1 min */
    size_t samples_max;              /* result and held samples, 0: 50,000,000 */
    struct metrics *metrics;         /* NULL: none */
    struct active_queries *active;   /* NULL: not kept; outlives the engine */
    size_t queries_max, selects_max; /* only for metrics */
    struct parse_options parse;
    const struct remote *remote; /* distributed mode (promql/remote.h); NULL: local */
    /* Feature flags of Prometheus. */
    bool delayed_name_removal; /* promql-delayed-name-removal */
    bool type_and_unit_labels; /* type-and-unit-labels: __type__ tells a counter from a gauge */
    bool use_start_timestamps; /* use-start-timestamps: rate() and the like know when a counter
                                  began */
};

struct engine *engine_create(const struct engine_config *config);
void engine_free(struct engine *engine);
/* Which features its parser knows. */
struct parse_options engine_parse_options(const struct engine *engine);

enum start_time_use { START_TIMES_BY_FLAG, START_TIMES_OFF, START_TIMES_ON };

struct engine_query {
    struct str text;
    bool instant; /* at start_ms; end and step are not read */
    int64_t start_ms, end_ms, step_ms;
    int64_t lookback_ms;       /* 0: the engine's */
    int64_t max_resolution_ms; /* coarsest downsampled data allowed, 0: raw only */
    enum dedup dedup;
    struct str_list replica_labels; /* sorted; dropped when dedup is on */
    enum partial_response partial;
    const struct store_match *store_matches; /* storeMatch[] selectors, passed to the store */
    size_t store_match_count;
    struct shard shard;
    enum start_time_use start_times;
    bool is_thanos;    /* counted as a query of Thanos's engine */
    int64_t queued_ns; /* that the query waited; for metrics */
    bool wants_plan;   /* the plan with the samples of its parts; needs wants_stats */
    bool wants_stats;  /* all of engine_stats, per step too: a little dearer */
};

enum value_type { VALUE_NONE, VALUE_SCALAR, VALUE_VECTOR, VALUE_MATRIX, VALUE_STRING };
const char *value_type_name(enum value_type type); /* "none", "scalar", "instant vector", "range
                                                      vector", "string" as the parser prints them */

/* One series of the result; points in ascending time. An instant vector has one point a row. */
struct result_series {
    struct labels labels;
    int64_t *times;
    double *values;
    struct histogram **histograms; /* NULL, or per point: not NULL where it is a histogram */
    size_t count;
};

struct engine_stats {
    uint64_t samples_total; /* looked at by all steps; less exact when stats are not asked for */
    uint64_t samples_peak;  /* points held at a time */
    int64_t prepare_ns, eval_ns, sort_ns;
    uint64_t series;          /* that selectors were given */
    uint64_t samples_decoded; /* of those series */

    /* Only when they are asked for; as Prometheus counts, see promql/sample_stats.h. */
    uint64_t samples_read;
    size_t steps;
    int64_t start_ms, step_ms;
    const uint64_t *samples_per_step, *read_per_step; /* [steps]; else NULL */
};

/* A part of a plan and those that it reads. */
struct engine_node {
    struct str name;        /* "aggregate sum by (job)" */
    uint64_t samples_total; /* that it and all below looked at */
    struct engine_node *children;
    size_t child_count;
};

struct engine_result { /* lives in `arena` */
    struct arena *arena;
    enum value_type type; /* range queries: VALUE_MATRIX */
    struct result_series *series;
    size_t series_count; /* scalar: one series with one point */
    struct str string;
    int64_t string_time_ms;
    struct str_list warnings, infos; /* PromQL annotations, "PromQL warning: ..." */
    struct engine_stats stats;       /* also of queries that fail */
    struct engine_node *plan;        /* when asked for, else NULL */
};

/* Parses and evaluates. Store warnings go to ctx. Kinds of errors: INVALID (parse, "bad_data"),
 * QUERY, LIMIT, TIMEOUT, CANCELLED, and those of the store. ctx's budget pays for everything, the
 * result (in `arena`, whose budget should be the same) included. */
MUST_CHECK struct error *engine_exec(struct engine *engine, struct store *store,
                                     struct context *ctx, const struct engine_query *query,
                                     struct arena *arena, struct engine_result *out);

/* The plan of a query, which is not evaluated. Errors are those of engine_exec(). */
MUST_CHECK struct error *engine_explain(struct engine *engine, const struct engine_query *query,
                                        struct arena *arena, struct engine_node **out);
