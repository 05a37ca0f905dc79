/* promql/plan/pass.h: the passes that plan_create() runs, in the order in which they run. */
#pragma once

#include "promql/plan.h"

struct planner {
    const struct plan_params *params;
    struct arena *arena;
    struct plan *plan;
};

/* Children of a node, to be looked at or replaced; NULL after the last one. */
struct plan_node **plan_child(struct plan_node *node, size_t index);

struct plan_node *plan_node_new(struct planner *planner, enum plan_kind kind, enum value_type type,
                                struct position position);

/* build.c: AST to nodes. Times become numbers, defaults are filled in, the range of data of each
 * selector and of the query is known. No grids, no properties yet. */
MUST_CHECK struct error *plan_build(struct planner *planner, const struct expr *expr,
                                    struct plan_node **out);

/* info.c: for a call of info() whose first argument is built: which series labels are taken from,
 * as a selector to build the second argument of. */
MUST_CHECK struct error *plan_info(struct planner *planner, const struct expr *call,
                                   struct plan_node *node, struct expr **out);

/* fold.c: what is a number now becomes one. */
void plan_fold(struct planner *planner, struct plan_node **node);

/* grids.c: which steps each node is evaluated on; parts that are the same at each of them are put
 * below a PLAN_STEP_INVARIANT. */
MUST_CHECK struct error *plan_grids(struct planner *planner, struct plan_node **root);

/* properties.c: properties of all nodes; PLAN_MERGE_ROWS where rows may become equal. */
void plan_properties(struct planner *planner, struct plan_node **root);

/* share.c: aggregations of equal inputs get a plan_share. Fails with ERROR_LIMIT. */
MUST_CHECK struct error *plan_share(struct planner *planner, struct plan_node *root);

/* duration.c: a duration as milliseconds, with step() and range() of this query. */
MUST_CHECK struct error *plan_duration(const struct plan_params *params,
                                       const struct duration *duration, bool may_be_negative,
                                       int64_t *ms);

/* select.c: what a selector asks for, by the innermost function or aggregation around it. */
void plan_select(const struct planner *planner, struct plan_selector *selector);
