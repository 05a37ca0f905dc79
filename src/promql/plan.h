/* promql/plan.h: what a query does, as a tree of plain nodes that operators are built from.
 *
 * Compared with the AST: parentheses and unary plus are gone, defaults are filled in (hour() is
 * hour(vector(time())), round(x) is round(x, 1)), durations and @ are numbers, each node has the
 * step grid it is evaluated on, label lists are sorted and unique. Nodes live in the arena; after
 * plan_create() they do not change. Positions are those of the text, for annotations. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "chunk/samples.h"
#include "model/labels.h"
#include "promql/ast.h"
#include "promql/remote.h"
#include "promql/step_batch.h"
#include "store/store.h"

enum plan_kind {
    PLAN_NUMBER,
    PLAN_STRING,
    PLAN_SELECTOR,
    PLAN_SUBQUERY,
    PLAN_NEGATE,
    PLAN_BINARY,
    PLAN_AGGREGATE,
    PLAN_CALL,
    PLAN_STEP_INVARIANT,
    PLAN_MERGE_ROWS,
    PLAN_REMOTE,
};

/* Samples of stored series: an instant vector, or, when the node is of type VALUE_MATRIX, the
 * windows of a range vector, which only a PLAN_CALL of a FUNCTION_WINDOWS or absent_over_time, or
 * the root, has below it.
 *
 * With r = (has_at ? at_ms : step's time) - offset_ms: an instant selector reads the last sample in
 * (r - lookback_ms, r], a range selector all in (r - range_ms, r]; anchored and smoothed selectors
 * and those of xrate and its kin read before_ms further on the left, smoothed ones also lookback_ms
 * on the right. */
struct plan_selector {
    const struct matcher *matchers;
    size_t matcher_count;
    int64_t range_ms, offset_ms, lookback_ms, before_ms;
    bool has_at;
    int64_t at_ms;
    enum extended_range extended;
    bool read_times;      /* argument of timestamp(): values are the samples' times in seconds */
    bool read_starts;     /* argument of start_timestamp(): the times at which counters began */
    bool keep_histograms; /* with read_times: histograms stay what they are */
    bool skip_buckets;    /* only count and sum of histograms are looked at */
    enum aggr_read read;  /* of downsampled data */
    unsigned aggrs;       /* AGGR_BIT()s to ask for */
    int64_t max_resolution_ms;
    int64_t select_min_ms, select_max_ms; /* inclusive: what to ask the store for */
    struct select_hints hints;            /* for the store */
    size_t index;                         /* in plan.selectors */
    size_t readers; /* places of the text it stands for: more than one where inputs are shared */
};

/* input, evaluated on its own grid, as windows (r - range_ms, r] with r as above. The steps of that
 * grid are the sample times. */
struct plan_subquery {
    struct plan_node *input;
    int64_t range_ms, step_ms, offset_ms;
    bool has_at;
    int64_t at_ms;
};

struct plan_binary {
    enum binary_op op;
    bool is_bool;
    struct plan_node *left, *right;         /* scalars or vectors */
    const struct vector_matching *matching; /* NULL unless both are vectors */
};

enum { PLAN_SHARE_MAX = 64 };

/* Aggregations whose inputs are equal. They are fed together, by one pass over `input`, that of the
 * last of them. */
struct plan_share {
    struct plan_node *input;
    size_t consumer_count; /* in the text, at most PLAN_SHARE_MAX */
    size_t number;         /* from 1 on, for people */
    size_t readers;        /* as in plan_selector */
};

struct plan_aggregate {
    enum aggregate_op op;
    struct plan_node *input, *param; /* param: scalar or string, or NULL */
    bool without;
    const struct str *labels; /* sorted, unique */
    size_t label_count;
    struct plan_share *share; /* NULL: none */
};

/* What info() does with the series that its second argument selects. */
struct plan_info {
    const struct matcher *names; /* rows whose name satisfies all of them are left as they are */
    size_t name_count;
    const struct matcher *data; /* of labels to take over; none: all labels. A row without an info
                                   series stays only when they all match an absent label */
    size_t data_count;
};

struct plan_call {
    const struct function *function;
    struct plan_node **args; /* complete: optional ones filled in; the second one of info() selects
                                the times of info series */
    size_t arg_count;
    struct labels absent_labels; /* result of absent(), absent_over_time() */
    const struct plan_info *info;
};

/* input is evaluated once, on a grid of one step, and is the same at each step of this node. */
struct plan_step_invariant {
    struct plan_node *input;
};

/* Rows of input that have equal labels (once names are dropped) become one. Where they meet in a
 * step: the error "vector cannot contain metrics with the same labelset". */
struct plan_merge_rows {
    struct plan_node *input;
};

/* Rows that engines elsewhere compute (promql/distribution.h), each for its own series. */
struct plan_remote {
    struct str text;
    struct remote_engines engines;
};

struct plan_node {
    enum plan_kind kind;
    enum value_type type;
    struct position position;
    const struct step_grid *grid;
    bool is_step_invariant; /* the same at each step */
    bool reads_data;        /* there is a selector in it */

    /* Properties of the result's rows, for vectors. */
    bool is_unique;  /* no two rows have the same labels (without those that drop_name takes away,
                        unless names are removed late). Where it is not known, a PLAN_MERGE_ROWS
                        follows; only below an aggregation rows may stay that never meet in a step */
    bool is_sorted;  /* rows come in labels_compare() order of their labels, dropped names still in
                        place */
    bool drops_name; /* all rows have drop_name set */
    bool name_is_constant; /* all rows have the same __name__, or all have none */
    bool has_only_labels;  /* rows have no labels but only_labels, which are sorted */
    bool may_have_histograms;
    struct str constant_name; /* when it is constant: empty for none */
    const struct str *only_labels;
    size_t only_label_count;

    union {
        double number;
        struct str string;
        struct plan_selector selector;
        struct plan_subquery subquery;
        struct plan_node *negate;
        struct plan_binary binary;
        struct plan_aggregate aggregate;
        struct plan_call call;
        struct plan_step_invariant step_invariant;
        struct plan_merge_rows merge_rows;
        struct plan_remote remote;
    };
};

struct plan_params {
    struct str text;                   /* the query; for positions; must outlive the plan */
    int64_t start_ms, end_ms, step_ms; /* instant: start = end, step_ms 0 */
    int64_t lookback_ms;
    int64_t subquery_step_ms;  /* default of [1h:] */
    int64_t max_resolution_ms; /* 0: raw only */
    bool delayed_name_removal;
    const struct distribution *distribution; /* NULL: all is evaluated here */
    bool has_metadata_labels; /* series may have __type__ and __unit__, which go with the name */
};

struct plan {
    struct str text;
    struct plan_node *root;
    struct step_grid grid;
    struct plan_node **selectors; /* all PLAN_SELECTOR nodes, in the text's order */
    size_t selector_count;
    size_t share_count;
    int64_t data_min_ms, data_max_ms; /* inclusive; data range of the whole query (sample_rules);
                                         min > max when there is no selector */
};

/* expr and what it points to must outlive the plan. Errors: INVALID for durations that cannot be
 * (division by zero, not greater than 0), QUERY for functions that this version does not
 * evaluate. */
MUST_CHECK struct error *plan_create(const struct expr *expr, const struct plan_params *params,
                                     struct arena *arena, struct plan *out);

/* Whether a join of two vectors can go through both side by side: rows of either are sorted, and at
 * most one has a given key, which is all of its labels but the name. Both have names in place, or
 * none has. */
bool plan_join_streams(const struct plan_node *node);

/* The tree as indented text, one node a line. For people and tests. */
void plan_explain(const struct plan *plan, struct buf *out);

/* The tree as a value, with one node's line each, without properties and grids; in the arena. */
struct engine_node;
MUST_CHECK struct error *plan_describe(const struct plan *plan, struct arena *arena,
                                       struct engine_node **out);
