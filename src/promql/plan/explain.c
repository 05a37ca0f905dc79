#include "base/duration.h"
#include "codec/float_text.h"
#include "model/quote.h"
#include "promql/engine.h"
#include "promql/plan/pass.h"
#include "promql/print.h"

static void print_labels(struct buf *out, const struct str *labels, size_t count)
{
    buf_append_cstr(out, " (");
    for (size_t i = 0; i < count; i++)
        buf_printf(out, "%s%.*s", i ? ", " : "", STR_ARG(labels[i]));
    buf_append_byte(out, ')');
}

static void print_shift(struct buf *out, bool has_at, int64_t at_ms, int64_t offset_ms)
{
    if (has_at)
        buf_printf(out, " @ %.3f", (double)at_ms / 1000);
    if (offset_ms == 0)
        return;
    buf_append_cstr(out, " offset ");
    duration_print(out, offset_ms);
}

static const char *read_text(enum aggr_read read)
{
    static const char *const texts[] = {
        [READ_RAW] = "raw",         [READ_COUNT] = "count",
        [READ_SUM] = "sum",         [READ_MIN] = "min",
        [READ_MAX] = "max",         [READ_AVERAGE] = "average",
        [READ_COUNTER] = "counter", [READ_COUNTER_UNLIFTED] = "unlifted counter",
        [READ_RESETS] = "resets",
    };
    return texts[read];
}

static void print_selector(struct buf *out, const struct plan_node *node)
{
    const struct plan_selector *selector = &node->selector;
    buf_append_cstr(out, "selector ");
    matchers_print(out, selector->matchers, selector->matcher_count);
    if (node->type == VALUE_MATRIX) {
        buf_append_byte(out, '[');
        duration_print(out, selector->range_ms);
        buf_append_byte(out, ']');
    }
    if (selector->extended != RANGE_PLAIN)
        buf_append_cstr(out, selector->extended == RANGE_ANCHORED ? " anchored" : " smoothed");
    print_shift(out, selector->has_at, selector->at_ms, selector->offset_ms);
    buf_printf(out, " read %s of %lld..%lld", read_text(selector->read),
               (long long)selector->select_min_ms, (long long)selector->select_max_ms);
    if (selector->max_resolution_ms) {
        buf_append_cstr(out, " by ");
        duration_print(out, selector->max_resolution_ms);
    }
    if (selector->read_times)
        buf_append_cstr(out, " times");
    if (selector->read_starts)
        buf_append_cstr(out, " starts");
    if (selector->skip_buckets)
        buf_append_cstr(out, " no buckets");
    if (selector->hints.func.len)
        buf_printf(out, " for %.*s", STR_ARG(selector->hints.func));
    if (selector->hints.grouping.count || selector->hints.grouping_by) {
        buf_append_cstr(out, selector->hints.grouping_by ? " by" : " without");
        print_labels(out, selector->hints.grouping.items, selector->hints.grouping.count);
    }
}

static void print_subquery(struct buf *out, const struct plan_node *node)
{
    const struct plan_subquery *subquery = &node->subquery;
    buf_append_cstr(out, "subquery [");
    duration_print(out, subquery->range_ms);
    buf_append_byte(out, ':');
    duration_print(out, subquery->step_ms);
    buf_append_byte(out, ']');
    print_shift(out, subquery->has_at, subquery->at_ms, subquery->offset_ms);
}

static void print_aggregate(struct buf *out, const struct plan_aggregate *aggregate)
{
    buf_printf(out, "aggregate %s", aggregate_op_text(aggregate->op));
    if (aggregate->share)
        buf_printf(out, " of share %zu", aggregate->share->number);
    if (!aggregate->without && aggregate->label_count == 0)
        return;
    buf_append_cstr(out, aggregate->without ? " without" : " by");
    print_labels(out, aggregate->labels, aggregate->label_count);
}

static void print_node(struct buf *out, const struct plan_node *node)
{
    switch (node->kind) {
    case PLAN_NUMBER:
        buf_append_cstr(out, "number ");
        float_append(out, node->number, FLOAT_GENERAL);
        break;
    case PLAN_STRING:
        buf_append_cstr(out, "string ");
        quote_append(out, node->string);
        break;
    case PLAN_SELECTOR:
        print_selector(out, node);
        break;
    case PLAN_SUBQUERY:
        print_subquery(out, node);
        break;
    case PLAN_NEGATE:
        buf_append_cstr(out, "negate");
        break;
    case PLAN_BINARY:
        buf_printf(out, "binary %s%s", binary_op_text(node->binary.op),
                   node->binary.is_bool ? " bool" : "");
        if (node->binary.matching)
            vector_matching_print(out, node->binary.matching, false);
        break;
    case PLAN_AGGREGATE:
        print_aggregate(out, &node->aggregate);
        break;
    case PLAN_CALL:
        buf_printf(out, "call %.*s", STR_ARG(node->call.function->name));
        if (node->call.absent_labels.len) {
            buf_append_byte(out, ' ');
            labels_print(out, node->call.absent_labels);
        }
        break;
    case PLAN_STEP_INVARIANT:
        buf_append_cstr(out, "step invariant");
        break;
    case PLAN_MERGE_ROWS:
        buf_append_cstr(out, "merge rows");
        break;
    case PLAN_REMOTE:
        buf_printf(out, "remote %.*s on %zu engines", STR_ARG(node->remote.text),
                   node->remote.engines.count);
        break;
    }
}

static void print_properties(struct buf *out, const struct plan_node *node)
{
    if (node->type != VALUE_VECTOR && node->type != VALUE_MATRIX)
        return;
    buf_append_cstr(out, " |");
    if (node->is_unique)
        buf_append_cstr(out, " unique");
    if (node->is_sorted)
        buf_append_cstr(out, " sorted");
    if (node->name_is_constant && node->constant_name.len)
        buf_printf(out, " name %.*s", STR_ARG(node->constant_name));
    else if (node->name_is_constant)
        buf_append_cstr(out, " nameless");
    if (node->drops_name)
        buf_append_cstr(out, " dropped");
    if (node->may_have_histograms)
        buf_append_cstr(out, " histograms");
    if (node->has_only_labels) {
        buf_append_cstr(out, " only");
        print_labels(out, node->only_labels, node->only_label_count);
    }
}

static void explain(struct buf *out, struct plan_node *node, const struct step_grid *around,
                    unsigned depth)
{
    struct plan_node **child;
    buf_printf(out, "%*s", (int)(2 * depth), "");
    print_node(out, node);
    print_properties(out, node);
    if (node->grid != around)
        buf_printf(out, " | steps %lld + %lld x %zu", (long long)node->grid->start_ms,
                   (long long)node->grid->step_ms, node->grid->count);
    buf_append_byte(out, '\n');
    const struct plan_share *share = node->kind == PLAN_AGGREGATE ? node->aggregate.share : NULL;
    if (share && share->input != node->aggregate.input)
        return; /* it is shown where it is read */
    for (size_t i = 0; (child = plan_child(node, i)) != NULL; i++)
        explain(out, *child, node->grid, depth + 1);
}

void plan_explain(const struct plan *plan, struct buf *out)
{
    if (plan->selector_count)
        buf_printf(out, "data %lld..%lld\n", (long long)plan->data_min_ms,
                   (long long)plan->data_max_ms);
    explain(out, plan->root, NULL, 0);
}

/* ---- as a value ---- */

static const struct plan_share *share_of(const struct plan_node *node)
{
    return node->kind == PLAN_AGGREGATE ? node->aggregate.share : NULL;
}

static size_t count_children(struct plan_node *node)
{
    size_t count = 0;
    while (plan_child(node, count))
        count++;
    return count;
}

static struct error *describe(struct plan_node *node, struct arena *arena, struct engine_node *out)
{
    struct buf name = BUF_INIT(arena_budget(arena));
    const struct plan_share *share = share_of(node);
    print_node(&name, node);
    struct error *err = buf_status(&name);
    *out = (struct engine_node){.name = arena_str(arena, buf_str(&name))};
    buf_deinit(&name);
    if (err || (share && share->input != node->aggregate.input))
        return err; /* its input is shown where it is read */
    size_t count = count_children(node);
    out->children = arena_array(arena, count, sizeof(*out->children));
    for (; out->child_count < count && !err; out->child_count++)
        err =
            describe(*plan_child(node, out->child_count), arena, &out->children[out->child_count]);
    return err ? err : arena_status(arena);
}

struct error *plan_describe(const struct plan *plan, struct arena *arena, struct engine_node **out)
{
    *out = arena_alloc(arena, sizeof(**out));
    return describe(plan->root, arena, *out);
}
