#include "promql/plan/pass.h"

/* Steps are counted in 32 bits; a row that long would be 16 GiB anyway. */
enum { STEPS_MAX = INT32_MAX };

/* Functions that look at the step's time. */
static bool is_bound_to_step(const struct plan_call *call)
{
    switch (call->function->id) {
    case FUNCTION_TIME:
    case FUNCTION_PREDICT_LINEAR:
        return true;
    case FUNCTION_TIMESTAMP: /* of a selector it is the time of its samples */
        return call->args[0]->kind != PLAN_SELECTOR || !call->args[0]->selector.read_times;
    default:
        return false;
    }
}

/* From the leaves up: what is the same at each step, and whether it reads data. */
static void mark_invariants(struct plan_node *node)
{
    struct plan_node **child;
    node->is_step_invariant = true;
    for (size_t i = 0; (child = plan_child(node, i)) != NULL; i++) {
        mark_invariants(*child);
        node->is_step_invariant &= (*child)->is_step_invariant;
        node->reads_data |= (*child)->reads_data;
    }
    if (node->kind == PLAN_REMOTE) {
        node->is_step_invariant = false;
        node->reads_data = true;
    } else if (node->kind == PLAN_SELECTOR) {
        node->is_step_invariant = node->selector.has_at;
        node->reads_data = true;
    } else if (node->kind == PLAN_SUBQUERY) {
        node->is_step_invariant = node->subquery.has_at;
    } else if (node->kind == PLAN_CALL && is_bound_to_step(&node->call)) {
        node->is_step_invariant = false;
    }
}

static struct error *new_grid(struct planner *planner, int64_t start_ms, int64_t end_ms,
                              int64_t step_ms, const struct step_grid **out)
{
    struct step_grid *grid = arena_alloc(planner->arena, sizeof(*grid));
    uint64_t count = 0;
    if (end_ms >= start_ms)
        count = ((uint64_t)end_ms - (uint64_t)start_ms) / (uint64_t)step_ms + 1;
    if (count > STEPS_MAX)
        return error_create(ERROR_LIMIT, "%llu steps are too many for a query or subquery",
                            (unsigned long long)count);
    *grid = (struct step_grid){start_ms, step_ms, (size_t)count};
    *out = grid;
    return NULL;
}

/* A subquery's steps are multiples of its step, whatever the steps around are. */
static struct error *subquery_grid(struct planner *planner, const struct plan_node *node,
                                   const struct step_grid **out)
{
    const struct plan_subquery *subquery = &node->subquery;
    int64_t first = node->grid->start_ms, last = first;
    if (node->grid->count > 0)
        last = step_grid_time(node->grid, node->grid->count - 1);
    if (subquery->has_at)
        first = last = subquery->at_ms;
    int64_t step = subquery->step_ms;
    int64_t before =
        int64_sub_saturating(int64_sub_saturating(first, subquery->offset_ms), subquery->range_ms);
    int64_t start = before / step * step;
    if (start <= before)
        start = int64_add_saturating(start, step);
    int64_t end = int64_sub_saturating(last, subquery->offset_ms);
    if (node->grid->count == 0)
        end = start - 1;
    return new_grid(planner, start, end, step, out);
}

/* From the root down. */
static struct error *set_grids(struct planner *planner, struct plan_node **at,
                               const struct step_grid *grid)
{
    struct plan_node *node = *at;
    struct error *err = NULL;
    bool is_value = node->type == VALUE_VECTOR || node->type == VALUE_SCALAR;
    node->grid = grid;
    if (node->is_step_invariant && node->reads_data && is_value && grid->count > 1) {
        struct plan_node *once =
            plan_node_new(planner, PLAN_STEP_INVARIANT, node->type, node->position);
        once->grid = grid;
        once->is_step_invariant = once->reads_data = true;
        once->step_invariant.input = node;
        *at = once;
        err = new_grid(planner, grid->start_ms, grid->start_ms, grid->step_ms, &node->grid);
    }
    const struct step_grid *inner = node->grid;
    if (!err && node->kind == PLAN_SUBQUERY)
        err = subquery_grid(planner, node, &inner);
    struct plan_node **child;
    for (size_t i = 0; !err && (child = plan_child(node, i)) != NULL; i++)
        err = set_grids(planner, child, inner);
    return err;
}

struct error *plan_grids(struct planner *planner, struct plan_node **root)
{
    const struct plan_params *params = planner->params;
    const struct step_grid *grid = NULL;
    int64_t step_ms = params->step_ms > 0 ? params->step_ms : 1;
    struct error *err = new_grid(planner, params->start_ms, params->end_ms, step_ms, &grid);
    if (err)
        return err;
    planner->plan->grid = *grid;
    mark_invariants(*root);
    return set_grids(planner, root, &planner->plan->grid);
}
