#include "promql/plan.h"

#include "promql/plan/pass.h"

struct plan_node *plan_node_new(struct planner *planner, enum plan_kind kind, enum value_type type,
                                struct position position)
{
    struct plan_node *node = arena_zalloc(planner->arena, sizeof(*node));
    node->kind = kind;
    node->type = type;
    node->position = position;
    return node;
}

struct plan_node **plan_child(struct plan_node *node, size_t index)
{
    switch (node->kind) {
    case PLAN_NUMBER:
    case PLAN_STRING:
    case PLAN_SELECTOR:
    case PLAN_REMOTE:
        return NULL;
    case PLAN_SUBQUERY:
        return index == 0 ? &node->subquery.input : NULL;
    case PLAN_NEGATE:
        return index == 0 ? &node->negate : NULL;
    case PLAN_BINARY:
        if (index > 1)
            return NULL;
        return index == 0 ? &node->binary.left : &node->binary.right;
    case PLAN_AGGREGATE:
        if (index == 0)
            return &node->aggregate.input;
        return index == 1 && node->aggregate.param ? &node->aggregate.param : NULL;
    case PLAN_CALL:
        return index < node->call.arg_count ? &node->call.args[index] : NULL;
    case PLAN_STEP_INVARIANT:
        return index == 0 ? &node->step_invariant.input : NULL;
    case PLAN_MERGE_ROWS:
        return index == 0 ? &node->merge_rows.input : NULL;
    }
    return NULL;
}

static void collect_selectors(struct plan *plan, struct plan_node *node)
{
    struct plan_node **child;
    if (node->kind == PLAN_SELECTOR)
        plan->selectors[node->selector.index] = node;
    for (size_t i = 0; (child = plan_child(node, i)) != NULL; i++)
        collect_selectors(plan, *child);
}

struct error *plan_create(const struct expr *expr, const struct plan_params *params,
                          struct arena *arena, struct plan *out)
{
    struct planner planner = {params, arena, out};
    *out = (struct plan){.text = params->text};
    struct error *err = plan_build(&planner, expr, &out->root);
    if (err)
        return err;
    plan_fold(&planner, &out->root);
    err = plan_grids(&planner, &out->root);
    if (err)
        return err;
    plan_properties(&planner, &out->root);
    err = plan_share(&planner, out->root);
    if (err)
        return err;
    out->selectors = arena_array(arena, out->selector_count, sizeof(struct plan_node *));
    collect_selectors(out, out->root);
    return arena_status(arena);
}
