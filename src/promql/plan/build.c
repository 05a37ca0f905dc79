#include <stdlib.h>

#include "model/quote.h"
#include "promql/distribution.h"
#include "promql/plan/pass.h"
#include "promql/print.h"

enum { EXTENDED_LOOKBACK_MS = 3600000 }; /* of xrate and its kin: Thanos's */

/* What is around an expression. */
struct scope {
    struct str func;              /* innermost function or aggregation, up to a binary operator */
    const struct expr *aggregate; /* directly around */
    /* Of the subqueries around: from the innermost with @ on, their offsets and ranges. */
    int64_t subquery_offset_ms, subquery_range_ms;
    bool has_subquery_at;
    int64_t subquery_at_ms;
    int64_t step_ms; /* of the innermost subquery, else of the query */
    /* Whether something around looks only at the numbers of histograms, or at their buckets. */
    bool skips_buckets, needs_buckets;
    bool stays_here; /* no part of it is evaluated elsewhere */
};

static struct error *build(struct planner *planner, const struct expr *expr, struct scope scope,
                           struct plan_node **out);

static struct plan_node *new_node(struct planner *planner, const struct expr *expr,
                                  enum plan_kind kind)
{
    return plan_node_new(planner, kind, expr_type(expr), expr->position);
}

static struct plan_node *new_number(struct planner *planner, struct position position, double value)
{
    struct plan_node *node = plan_node_new(planner, PLAN_NUMBER, VALUE_SCALAR, position);
    node->number = value;
    return node;
}

static struct plan_node *new_call(struct planner *planner, struct position position,
                                  enum function_id id, size_t arg_count)
{
    const struct function *function = function_get(id);
    struct plan_node *node = plan_node_new(planner, PLAN_CALL, function->result, position);
    node->call.function = function;
    node->call.args = arena_array(planner->arena, arg_count, sizeof(*node->call.args));
    node->call.arg_count = arg_count;
    return node;
}

/* Sorted and unique. */
static struct str *copy_labels(struct planner *planner, const struct str *labels, size_t *count)
{
    struct str *copy = arena_array(planner->arena, *count, sizeof(*copy));
    for (size_t i = 0; i < *count; i++)
        copy[i] = labels[i];
    if (*count)
        qsort(copy, *count, sizeof(*copy), str_compare_items);
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++)
        if (kept == 0 || !str_equal(copy[kept - 1], copy[i]))
            copy[kept++] = copy[i];
    *count = kept;
    return copy;
}

/* ---- times ---- */

static bool resolve_at(const struct plan_params *params, const struct time_shift *shift,
                       int64_t *at_ms)
{
    if (shift->at == AT_TIME)
        *at_ms = shift->at_ms;
    else if (shift->at != AT_NONE)
        *at_ms = shift->at == AT_START ? params->start_ms : params->end_ms;
    return shift->at != AT_NONE;
}

/* The data that a selector is about, as Prometheus computes it: over all steps of all subqueries
 * around, without looking at how their steps are aligned. Deduplication depends on it. */
static void set_data_range(struct planner *planner, struct plan_selector *selector, bool is_range,
                           const struct scope *scope)
{
    int64_t min = planner->params->start_ms, max = planner->params->end_ms;
    if (scope->has_subquery_at)
        min = max = scope->subquery_at_ms;
    min = int64_sub_saturating(min, scope->subquery_offset_ms);
    min = int64_sub_saturating(min, scope->subquery_range_ms);
    max = int64_sub_saturating(max, scope->subquery_offset_ms);
    if (selector->has_at)
        min = max = selector->at_ms;
    int64_t before = is_range ? selector->range_ms : selector->lookback_ms;
    if (is_range)
        before = int64_add_saturating(before, selector->before_ms);
    min = int64_add_saturating(int64_sub_saturating(min, before), 1);
    if (selector->extended == RANGE_SMOOTHED)
        max = int64_add_saturating(max, selector->lookback_ms);
    selector->select_min_ms = int64_sub_saturating(min, selector->offset_ms);
    selector->select_max_ms = int64_sub_saturating(max, selector->offset_ms);
    struct plan *plan = planner->plan;
    plan->data_min_ms = int64_min(plan->data_min_ms, selector->select_min_ms);
    plan->data_max_ms = int64_max(plan->data_max_ms, selector->select_max_ms);
}

/* ---- selectors and subqueries ---- */

static void set_hints(struct planner *planner, struct select_hints *hints,
                      const struct scope *scope)
{
    hints->func = scope->func;
    hints->step_ms = scope->step_ms;
    if (!scope->aggregate)
        return;
    const struct expr *around = scope->aggregate;
    hints->grouping_by = !around->aggregate.without;
    hints->grouping.count = around->aggregate.label_count;
    hints->grouping.items = copy_labels(planner, around->aggregate.labels, &hints->grouping.count);
}

/* How far beyond its left end a window may look for the sample before it. */
static int64_t read_before(const struct plan_selector *selector, struct str func)
{
    const struct function *function = function_find(func);
    if (function && function->extended)
        return EXTENDED_LOOKBACK_MS;
    return selector->extended == RANGE_PLAIN ? 0 : selector->lookback_ms;
}

static struct error *build_selector(struct planner *planner, const struct expr *expr,
                                    const struct expr *matrix, const struct scope *scope,
                                    struct plan_node **out)
{
    const struct plan_params *params = planner->params;
    struct plan_node *node = new_node(planner, matrix ? matrix : expr, PLAN_SELECTOR);
    struct plan_selector *selector = &node->selector;
    const struct time_shift *shift = &expr->selector.shift;
    selector->matchers = expr->selector.matchers;
    selector->matcher_count = expr->selector.matcher_count;
    selector->lookback_ms = params->lookback_ms;
    selector->extended = expr->selector.extended;
    selector->has_at = resolve_at(params, shift, &selector->at_ms);
    struct error *err = plan_duration(params, &shift->offset, true, &selector->offset_ms);
    if (!err && matrix)
        err = plan_duration(params, &matrix->matrix.range, false, &selector->range_ms);
    if (err)
        return err;
    selector->skip_buckets = scope->skips_buckets && !scope->needs_buckets;
    set_hints(planner, &selector->hints, scope);
    selector->hints.range_ms = selector->range_ms;
    if (matrix)
        selector->before_ms = read_before(selector, scope->func);
    plan_select(planner, selector);
    set_data_range(planner, selector, matrix != NULL, scope);
    selector->index = planner->plan->selector_count++;
    *out = node;
    return NULL;
}

static struct error *build_subquery(struct planner *planner, const struct expr *expr,
                                    struct scope scope, struct plan_node **out)
{
    const struct plan_params *params = planner->params;
    struct plan_node *node = new_node(planner, expr, PLAN_SUBQUERY);
    struct plan_subquery *subquery = &node->subquery;
    const struct time_shift *shift = &expr->subquery.shift;
    struct error *err = plan_duration(params, &shift->offset, true, &subquery->offset_ms);
    if (!err)
        err = plan_duration(params, &expr->subquery.step, false, &subquery->step_ms);
    if (!err)
        err = plan_duration(params, &expr->subquery.range, false, &subquery->range_ms);
    if (err)
        return err;
    if (subquery->step_ms == 0)
        subquery->step_ms = params->subquery_step_ms;
    subquery->has_at = resolve_at(params, shift, &subquery->at_ms);
    if (subquery->has_at) {
        scope.has_subquery_at = true;
        scope.subquery_at_ms = subquery->at_ms;
        scope.subquery_offset_ms = scope.subquery_range_ms = 0;
    }
    scope.subquery_offset_ms = int64_add_saturating(scope.subquery_offset_ms, subquery->offset_ms);
    scope.subquery_range_ms = int64_add_saturating(scope.subquery_range_ms, subquery->range_ms);
    scope.step_ms = subquery->step_ms;
    scope.stays_here = true; /* its steps are its own */
    scope.aggregate = NULL;
    scope.needs_buckets = true; /* resets are looked for between its steps */
    *out = node;
    return build(planner, expr->subquery.expr, scope, &subquery->input);
}

/* ---- operators and aggregations ---- */

static struct error *build_unary(struct planner *planner, const struct expr *expr,
                                 struct scope scope, struct plan_node **out)
{
    if (!expr->unary.negative) {
        struct error *err = build(planner, expr->unary.expr, scope, out);
        bool is_extended =
            !err && (*out)->kind == PLAN_SELECTOR && (*out)->selector.extended != RANGE_PLAIN;
        bool tells_own_place =
            err || is_extended || (*out)->kind == PLAN_BINARY || (*out)->kind == PLAN_AGGREGATE;
        if (!tells_own_place)
            (*out)->position = expr->position;
        return err;
    }
    struct plan_node *node = new_node(planner, expr, PLAN_NEGATE);
    *out = node;
    return build(planner, expr->unary.expr, scope, &node->negate);
}

static bool op_needs_buckets(enum binary_op op)
{
    return op == BINARY_TRIM_UPPER || op == BINARY_TRIM_LOWER || op == BINARY_EQUAL ||
           op == BINARY_NOT_EQUAL;
}

static struct error *build_binary(struct planner *planner, const struct expr *expr,
                                  struct scope scope, struct plan_node **out)
{
    struct plan_node *node = new_node(planner, expr, PLAN_BINARY);
    scope.func = (struct str){0};
    scope.needs_buckets |= op_needs_buckets(expr->binary.op);
    node->binary.op = expr->binary.op;
    node->binary.is_bool = expr->binary.is_bool;
    if (expr->binary.matching) {
        struct vector_matching *matching = arena_alloc(planner->arena, sizeof(*matching));
        *matching = *expr->binary.matching;
        matching->labels = copy_labels(planner, matching->labels, &matching->label_count);
        matching->include = copy_labels(planner, matching->include, &matching->include_count);
        node->binary.matching = matching;
    }
    *out = node;
    struct error *err = build(planner, expr->binary.left, scope, &node->binary.left);
    return err ? err : build(planner, expr->binary.right, scope, &node->binary.right);
}

/* Before any data is read, so that an empty result does not hide it. */
static struct error *check_value_label(struct str label)
{
    if (label_name_is_valid(label))
        return NULL;
    struct buf quoted = {0};
    quote_append(&quoted, label);
    struct error *err =
        error_create(ERROR_QUERY, "invalid label name %.*s", STR_ARG(buf_str(&quoted)));
    buf_deinit(&quoted);
    return err;
}

static struct error *build_aggregate(struct planner *planner, const struct expr *expr,
                                     struct scope scope, struct plan_node **out)
{
    struct plan_node *node = new_node(planner, expr, PLAN_AGGREGATE);
    struct plan_aggregate *aggregate = &node->aggregate;
    aggregate->op = expr->aggregate.op;
    aggregate->without = expr->aggregate.without;
    aggregate->label_count = expr->aggregate.label_count;
    aggregate->labels = copy_labels(planner, expr->aggregate.labels, &aggregate->label_count);
    scope.func = str_from(aggregate_op_text(aggregate->op));
    scope.needs_buckets |= aggregate->op == AGGREGATE_COUNT_VALUES;
    *out = node;
    if (expr->aggregate.param) {
        struct error *err = build(planner, expr->aggregate.param, scope, &aggregate->param);
        if (!err && aggregate->op == AGGREGATE_COUNT_VALUES)
            err = check_value_label(aggregate->param->string);
        if (err)
            return err;
    }
    const struct expr *input = expr_unwrap(expr->aggregate.expr);
    scope.aggregate = expr;
    return build(planner, input, scope, &aggregate->input);
}

/* ---- calls ---- */

/* start(), end(), range() and step() are numbers by now. */
static bool query_constant(const struct plan_params *params, enum function_id id, double *out)
{
    switch (id) {
    case FUNCTION_START:
        *out = (double)params->start_ms / 1000;
        return true;
    case FUNCTION_END:
        *out = (double)params->end_ms / 1000;
        return true;
    case FUNCTION_RANGE:
        *out = (double)(params->end_ms - params->start_ms) / 1000;
        return true;
    case FUNCTION_STEP:
        *out = params->start_ms == params->end_ms ? 0 : (double)params->step_ms / 1000;
        return true;
    default:
        return false;
    }
}

static bool extended_is_safe(enum extended_range extended, enum function_id id)
{
    bool is_slope = id == FUNCTION_RATE || id == FUNCTION_INCREASE || id == FUNCTION_DELTA;
    return is_slope ||
           (extended == RANGE_ANCHORED && (id == FUNCTION_RESETS || id == FUNCTION_CHANGES));
}

static struct error *check_call(const struct expr *expr)
{
    const struct function *function = expr->call.function;
    for (size_t i = 0; i < expr->call.arg_count; i++) {
        const struct expr *arg = expr_unwrap(expr->call.args[i]);
        if (arg->kind != EXPR_MATRIX)
            continue;
        enum extended_range extended = arg->matrix.selector->selector.extended;
        if (extended == RANGE_PLAIN || extended_is_safe(extended, function->id))
            continue;
        bool is_anchored = extended == RANGE_ANCHORED;
        return error_create(ERROR_QUERY, "%s modifier can only be used with: %s - not with %.*s",
                            is_anchored ? "anchored" : "smoothed",
                            is_anchored ? "changes, delta, increase, rate, resets"
                                        : "delta, increase, rate",
                            STR_ARG(function->name));
    }
    return NULL;
}

struct absent_label {
    struct str name, value;
    bool is_equal;
    size_t place;
};

static int absent_label_compare(const void *a, const void *b)
{
    const struct absent_label *left = a, *right = b;
    int order = str_compare(left->name, right->name);
    if (order)
        return order;
    return left->place < right->place ? -1 : left->place > right->place;
}

/* Of each name the first equality, unless a matcher follows it. */
static struct labels absent_labels(struct planner *planner, const struct plan_selector *selector)
{
    struct labels_builder builder = labels_builder_create(planner->arena);
    size_t count = selector->matcher_count;
    struct absent_label *all = arena_array(planner->arena, count, sizeof(*all));
    for (size_t i = 0; i < count; i++) {
        const struct matcher *matcher = &selector->matchers[i];
        all[i] =
            (struct absent_label){matcher->name, matcher->value, matcher->op == MATCH_EQUAL, i};
    }
    if (count)
        qsort(all, count, sizeof(*all), absent_label_compare);
    for (size_t i = 0, next; i < count; i = next) {
        size_t first_equal = i;
        next = i;
        while (next < count && str_equal(all[next].name, all[i].name))
            next++;
        while (first_equal < next && !all[first_equal].is_equal)
            first_equal++;
        bool is_metadata = str_equal(all[i].name, STR("__name__")) ||
                           str_equal(all[i].name, STR("__type__")) ||
                           str_equal(all[i].name, STR("__unit__"));
        if (!is_metadata && first_equal + 1 == next)
            labels_builder_set(&builder, all[i].name, all[first_equal].value);
    }
    return labels_builder_finish(&builder);
}

/* The values that arguments have which are left out. */
static void fill_defaults(struct planner *planner, struct plan_node *node)
{
    struct plan_call *call = &node->call;
    const struct function *function = call->function;
    struct position position = node->position;
    if (function->variadic != 1 || call->arg_count == function->arg_count)
        return;
    struct plan_node *value;
    if (function->id == FUNCTION_ROUND) {
        value = new_number(planner, position, 1);
    } else if (function->id == FUNCTION_INTEGRAL) {
        value = new_number(planner, position, 2);
    } else {
        value = new_call(planner, position, FUNCTION_VECTOR, 1);
        value->call.args[0] = new_call(planner, position, FUNCTION_TIME, 0);
    }
    call->args[call->arg_count++] = value;
}

/* The second argument of info() only looks like a vector. */
static struct error *build_info_series(struct planner *planner, const struct expr *call,
                                       struct scope scope, struct plan_node *node)
{
    struct expr *selector;
    struct error *err = plan_info(planner, call, node, &selector);
    if (!err)
        err = build_selector(planner, selector, NULL, &scope, &node->call.args[1]);
    if (err)
        return err;
    struct plan_selector *series = &node->call.args[1]->selector;
    series->read_times = series->keep_histograms = series->skip_buckets = true;
    node->call.arg_count = 2;
    return NULL;
}

/* What a function does with the buckets of histograms. */
static void set_buckets(struct scope *scope, enum function_id id)
{
    switch (id) {
    case FUNCTION_ABSENT:
    case FUNCTION_HISTOGRAM_AVG:
    case FUNCTION_HISTOGRAM_COUNT:
    case FUNCTION_HISTOGRAM_SUM:
    case FUNCTION_START_TIMESTAMP:
    case FUNCTION_TIMESTAMP:
        scope->skips_buckets = true;
        break;
    case FUNCTION_CHANGES:
    case FUNCTION_HISTOGRAM_FRACTION:
    case FUNCTION_HISTOGRAM_QUANTILE:
    case FUNCTION_HISTOGRAM_QUANTILES:
    case FUNCTION_HISTOGRAM_STDDEV:
    case FUNCTION_HISTOGRAM_STDVAR:
        scope->needs_buckets = true;
        break;
    default:
        break;
    }
}

/* Functions that look at the selector itself, not at its rows only. */
static bool reads_selector(enum function_id id)
{
    return id == FUNCTION_ABSENT || id == FUNCTION_TIMESTAMP || id == FUNCTION_START_TIMESTAMP ||
           id == FUNCTION_INFO;
}

static struct error *build_call(struct planner *planner, const struct expr *expr,
                                struct scope scope, struct plan_node **out)
{
    const struct function *function = expr->call.function;
    double value;
    if (query_constant(planner->params, function->id, &value)) {
        *out = new_number(planner, expr->position, value);
        return NULL;
    }
    struct error *err = check_call(expr);
    if (err)
        return err;
    struct plan_node *node =
        new_call(planner, expr->position, function->id, expr->call.arg_count + 1);
    node->call.arg_count = expr->call.arg_count;
    scope.func = function->name;
    scope.aggregate = NULL;
    scope.stays_here |= reads_selector(function->id);
    set_buckets(&scope, function->id);
    *out = node;
    size_t built = function->id == FUNCTION_INFO ? 1 : expr->call.arg_count;
    for (size_t i = 0; i < built; i++) {
        err = build(planner, expr_unwrap(expr->call.args[i]), scope, &node->call.args[i]);
        if (err)
            return err;
        if (node->call.args[i]->kind == PLAN_SUBQUERY) /* Prometheus's annotations lose it, too */
            node->call.args[i]->position = (struct position){0, node->call.args[i]->position.end};
    }
    if (function->id == FUNCTION_INFO)
        return build_info_series(planner, expr, scope, node);
    fill_defaults(planner, node);
    struct plan_node *first = node->call.arg_count ? node->call.args[0] : NULL;
    bool is_absent = function->id == FUNCTION_ABSENT || function->id == FUNCTION_ABSENT_OVER_TIME;
    /* A unary plus leaves no node, but what it stands before is a selector no more. */
    bool is_signed =
        expr->call.arg_count > 0 && expr_unwrap(expr->call.args[0])->kind == EXPR_UNARY;
    if (first && first->kind == PLAN_SELECTOR && !is_signed) {
        if (is_absent)
            node->call.absent_labels = absent_labels(planner, &first->selector);
        first->selector.read_times = function->id == FUNCTION_TIMESTAMP;
        first->selector.read_starts = function->id == FUNCTION_START_TIMESTAMP;
    }
    return NULL;
}

static struct error *build_literal(struct planner *planner, const struct expr *expr,
                                   struct plan_node **out)
{
    if (expr->kind == EXPR_NUMBER) {
        *out = new_number(planner, expr->position, expr->number.value);
        return NULL;
    }
    *out = new_node(planner, expr, PLAN_STRING);
    (*out)->string = expr->string;
    return NULL;
}

/* ---- parts that are evaluated elsewhere ---- */

static struct plan_node *new_remote(struct planner *planner, const struct expr *expr)
{
    struct plan_node *node = plan_node_new(planner, PLAN_REMOTE, VALUE_VECTOR, expr->position);
    struct buf text = {0};
    expr_print(&text, expr);
    node->remote.text = arena_str(planner->arena, buf_str(&text));
    node->remote.engines =
        distribution_engines(planner->params->distribution, expr, planner->arena);
    buf_deinit(&text);
    return node;
}

/* An aggregation `op` of what is left of it when `part` has been evaluated elsewhere. */
static struct error *new_regrouped(struct planner *planner, const struct expr *expr,
                                   struct scope scope, enum aggregate_op part,
                                   struct plan_node **out)
{
    struct plan_node *node = new_node(planner, expr, PLAN_AGGREGATE);
    struct plan_aggregate *aggregate = &node->aggregate;
    aggregate->op = part == AGGREGATE_COUNT ? AGGREGATE_SUM : part;
    aggregate->without = expr->aggregate.without;
    aggregate->label_count = expr->aggregate.label_count;
    aggregate->labels = copy_labels(planner, expr->aggregate.labels, &aggregate->label_count);
    aggregate->input = new_remote(
        planner, distribution_part(planner->params->distribution, expr, part, planner->arena));
    *out = node;
    if (!expr->aggregate.param)
        return NULL;
    return build(planner, expr->aggregate.param, scope, &aggregate->param);
}

static struct error *build_split(struct planner *planner, const struct expr *expr,
                                 struct scope scope, struct plan_node **out)
{
    if (expr->aggregate.op != AGGREGATE_AVG)
        return new_regrouped(planner, expr, scope, expr->aggregate.op, out);
    struct plan_node *node = new_node(planner, expr, PLAN_BINARY);
    struct vector_matching *matching = arena_zalloc(planner->arena, sizeof(*matching));
    node->binary.op = BINARY_DIV;
    node->binary.matching = matching;
    *out = node;
    struct error *err = new_regrouped(planner, expr, scope, AGGREGATE_SUM, &node->binary.left);
    return err ? err : new_regrouped(planner, expr, scope, AGGREGATE_COUNT, &node->binary.right);
}

/* True when it, or a part of it, is evaluated elsewhere. */
static bool build_elsewhere(struct planner *planner, const struct expr *expr, struct scope scope,
                            struct plan_node **out, struct error **err)
{
    const struct distribution *distribution = planner->params->distribution;
    if (!distribution || scope.stays_here)
        return false;
    switch (distribution_choose(distribution, expr)) {
    case DISTRIBUTE_WHOLE:
        *out = new_remote(planner, expr);
        return true;
    case DISTRIBUTE_SPLIT:
        *err = build_split(planner, expr, scope, out);
        return true;
    case DISTRIBUTE_NOT:
        break;
    }
    return false;
}

static struct error *build(struct planner *planner, const struct expr *expr, struct scope scope,
                           struct plan_node **out)
{
    const struct expr *inner = expr_unwrap(expr);
    struct error *err = NULL;
    if (build_elsewhere(planner, inner, scope, out, &err))
        return err;
    if (inner != expr || expr->kind == EXPR_UNARY || expr->kind == EXPR_BINARY)
        scope.aggregate = NULL; /* only the aggregation directly around counts */
    switch (inner->kind) {
    case EXPR_NUMBER:
    case EXPR_STRING:
    case EXPR_DURATION:
    case EXPR_PAREN:
        return build_literal(planner, inner, out);
    case EXPR_SELECTOR:
        return build_selector(planner, inner, NULL, &scope, out);
    case EXPR_MATRIX:
        return build_selector(planner, inner->matrix.selector, inner, &scope, out);
    case EXPR_SUBQUERY:
        return build_subquery(planner, inner, scope, out);
    case EXPR_UNARY:
        return build_unary(planner, inner, scope, out);
    case EXPR_BINARY:
        return build_binary(planner, inner, scope, out);
    case EXPR_AGGREGATE:
        return build_aggregate(planner, inner, scope, out);
    case EXPR_CALL:
        return build_call(planner, inner, scope, out);
    }
    return NULL;
}

struct error *plan_build(struct planner *planner, const struct expr *expr, struct plan_node **out)
{
    struct scope scope = {.step_ms = planner->params->step_ms};
    planner->plan->data_min_ms = INT64_MAX;
    planner->plan->data_max_ms = INT64_MIN;
    return build(planner, expr, scope, out);
}
