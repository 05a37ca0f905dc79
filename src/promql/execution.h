/* promql/execution.h: what the operators of one running query share. Lives as long as they do. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "chunk/samples.h"
#include "model/labels.h"
#include "promql/annotations.h"
#include "promql/plan.h"
#include "promql/step_batch.h"
#include "store/store.h"

struct context;
struct pool;
struct sample_stats;
struct share;

struct execution {
    struct store *store;
    struct context *ctx;  /* of the query: its operators are made and pulled with it */
    struct pool *compute; /* NULL: all work is done by the thread that pulls */
    const struct plan *plan;
    struct annotations *annotations;
    struct budget *budget;
    bool delayed_names;                              /* dropped names stay visible until the root */
    bool type_and_unit_labels, use_start_timestamps; /* as in engine_config */

    /* For a PLAN_REMOTE: who evaluates it, and what holds there as here. */
    const struct remote *remote;
    const struct engine_query *query;
    int64_t lookback_ms;

    /* What selects are made with. */
    enum dedup dedup;
    struct str_list without_labels;
    enum partial_response partial;
    const struct store_match *store_matches;
    size_t store_match_count;
    struct shard shard;

    size_t samples_max; /* points held at a time: rows that wait and the result */
    atomic_size_t samples_held, samples_peak;
    atomic_uint_fast64_t samples_total; /* samples that selectors looked at */
    atomic_uint_fast64_t series_total, decoded_total;
    struct share *shares;            /* of operators, see operator/share.h */
    struct sample_stats *stats;      /* NULL: not asked for */
    int64_t sort_ns;                 /* by the thread of the query */
    atomic_bool saw_metadata_labels; /* __type__ or __unit__, on any series */
};

/* Counts points that now stay in memory; ERROR_LIMIT over samples_max. Released when they go. */
MUST_CHECK struct error *execution_hold(struct execution *execution, size_t points);
void execution_release(struct execution *execution, size_t points);

/* Whether there is memory for the columns that operators keep for a grid of a subquery, which may
 * have any number of steps: ERROR_LIMIT before it is taken. */
MUST_CHECK struct error *execution_check_grid(struct execution *execution,
                                              const struct step_grid *grid);

/* The labels that vanish with a metric's name: __name__, __type__, __unit__. Sorted. */
extern const struct str metadata_labels[3];

/* The labels of a row as an operator is to see them: without the dropped ones. May be the batch's
 * own, or a copy in the arena. */
struct labels execution_labels(const struct execution *execution, const struct step_batch *batch,
                               size_t row, struct arena *arena);
/* Marks all rows' names as dropped. */
void step_batch_drop_names(struct step_batch *batch);

/* The sorted union of a list and metadata_labels, in the arena. */
void labels_list_with_metadata(struct arena *arena, const struct str *names, size_t count,
                               struct str_list *out);
