#include "promql/distribution.h"

/* -- the partition -- */

static bool sets_differ(struct labels a, struct labels b)
{
    struct labels_reader reader = labels_read(a);
    struct label label;
    while (labels_next(&reader, &label)) {
        struct str other = labels_get(b, label.name);
        if (other.len && !str_equal(other, label.value))
            return true;
    }
    return false;
}

static bool engines_differ(const struct remote_engine *a, const struct remote_engine *b)
{
    if (a->label_set_count == 0 || b->label_set_count == 0)
        return false;
    for (size_t i = 0; i < a->label_set_count; i++)
        for (size_t j = 0; j < b->label_set_count; j++)
            if (!sets_differ(a->label_sets[i], b->label_sets[j]))
                return false;
    return true;
}

/* The label sets without replica labels and, when some are named, with the partition labels only;
 * their names are noted. */
static void scope_engine(struct remote_engine *engine, struct str_list partition_labels,
                         struct str_list replica_labels, struct arena *arena,
                         struct str_list *names)
{
    struct labels *sets = arena_array(arena, engine->label_set_count, sizeof(*sets));
    for (size_t i = 0; i < engine->label_set_count; i++) {
        struct labels_reader reader;
        struct label label;
        sets[i] = labels_without(arena, engine->label_sets[i], replica_labels.items,
                                 replica_labels.count);
        if (partition_labels.count)
            sets[i] = labels_only(arena, sets[i], partition_labels.items, partition_labels.count);
        for (reader = labels_read(sets[i]); labels_next(&reader, &label);)
            names->items[names->count++] = label.name;
    }
    engine->label_sets = sets;
}

static size_t count_labels(const struct remote_engines *engines)
{
    size_t count = 0;
    for (size_t i = 0; i < engines->count; i++)
        for (size_t j = 0; j < engines->items[i].label_set_count; j++)
            count += labels_count(engines->items[i].label_sets[j]);
    return count;
}

bool distribution_create(const struct remote_engines *engines, struct str_list partition_labels,
                         struct str_list replica_labels, struct arena *arena,
                         struct distribution *out)
{
    struct remote_engine *scoped = arena_array(arena, engines->count, sizeof(*scoped));
    *out = (struct distribution){.engines = *engines};
    out->labels.items = arena_array(arena, count_labels(engines), sizeof(struct str));
    for (size_t i = 0; i < engines->count; i++) {
        scoped[i] = engines->items[i];
        scope_engine(&scoped[i], partition_labels, replica_labels, arena, &out->labels);
        for (size_t j = 0; j < i; j++)
            if (!engines_differ(&scoped[i], &scoped[j]))
                return false;
    }
    if (engines->count == 1) /* it has everything */
        out->labels.count = 0;
    str_list_sort(&out->labels);
    return engines->count > 0;
}

/* -- what is local -- */

static bool list_has(const struct str *items, size_t count, struct str text)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal(items[i], text))
            return true;
    return false;
}

/* Whether a list of names keeps all partition labels: has them all (by, on), or none of them
 * (without, ignoring). */
static bool keeps_partition(const struct distribution *distribution, const struct str *names,
                            size_t count, bool is_kept)
{
    for (size_t i = 0; i < distribution->labels.count; i++)
        if (list_has(names, count, distribution->labels.items[i]) != is_kept)
            return false;
    return true;
}

static bool is_local(const struct distribution *distribution, const struct expr *expr);

/* A scalar or string that is the same wherever it is evaluated. */
static bool is_constant(const struct expr *expr)
{
    switch (expr->kind) {
    case EXPR_NUMBER:
    case EXPR_STRING:
        return true;
    case EXPR_PAREN:
        return is_constant(expr->paren);
    case EXPR_UNARY:
        return is_constant(expr->unary.expr);
    case EXPR_BINARY:
        return is_constant(expr->binary.left) && is_constant(expr->binary.right);
    case EXPR_CALL:
        for (size_t i = 0; i < expr->call.arg_count; i++)
            if (!is_constant(expr->call.args[i]))
                return false;
        return expr->call.function->result == VALUE_SCALAR && !expr->call.function->experimental;
    default:
        return false;
    }
}

static bool shift_is_plain(const struct time_shift *shift)
{
    return !shift->offset.expr;
}

static bool is_vector(const struct expr *expr)
{
    enum value_type type = expr_type(expr);
    return type == VALUE_VECTOR || type == VALUE_MATRIX;
}

/* Calls whose rows depend on more than rows of their own partition, come in an order, or do not
 * keep the partition labels. */
static bool call_is_special(const struct distribution *distribution, const struct expr *expr)
{
    const struct expr *target = expr->call.arg_count > 1 ? expr_unwrap(expr->call.args[1]) : NULL;
    switch (expr->call.function->id) {
    case FUNCTION_ABSENT:
    case FUNCTION_ABSENT_OVER_TIME:
    case FUNCTION_SCALAR:
    case FUNCTION_VECTOR:
    case FUNCTION_INFO:
    case FUNCTION_SORT:
    case FUNCTION_SORT_DESC:
    case FUNCTION_SORT_BY_LABEL:
    case FUNCTION_SORT_BY_LABEL_DESC:
        return true;
    case FUNCTION_LABEL_JOIN:
    case FUNCTION_LABEL_REPLACE:
        return target->kind != EXPR_STRING ||
               list_has(distribution->labels.items, distribution->labels.count, target->string);
    case FUNCTION_HISTOGRAM_FRACTION:
    case FUNCTION_HISTOGRAM_QUANTILE:
        return list_has(distribution->labels.items, distribution->labels.count, STR("le"));
    default:
        return expr->call.function->experimental || expr->call.function->extended;
    }
}

static bool call_is_local(const struct distribution *distribution, const struct expr *expr)
{
    size_t vectors = 0;
    if (call_is_special(distribution, expr))
        return false;
    for (size_t i = 0; i < expr->call.arg_count; i++) {
        const struct expr *arg = expr->call.args[i];
        bool is_data = is_vector(arg);
        if (is_data ? !is_local(distribution, arg) : !is_constant(arg))
            return false;
        vectors += is_data;
    }
    return vectors > 0;
}

static bool binary_is_local(const struct distribution *distribution, const struct expr *expr)
{
    const struct vector_matching *matching = expr->binary.matching;
    const struct expr *left = expr->binary.left, *right = expr->binary.right;
    if (expr->binary.op == BINARY_TRIM_UPPER || expr->binary.op == BINARY_TRIM_LOWER)
        return false;
    if (!matching) {
        const struct expr *vector = is_vector(left) ? left : right;
        return is_local(distribution, vector) && is_constant(vector == left ? right : left);
    }
    if (matching->has_fill_left || matching->has_fill_right)
        return false;
    return keeps_partition(distribution, matching->labels, matching->label_count, matching->on) &&
           keeps_partition(distribution, matching->include, matching->include_count, false) &&
           is_local(distribution, left) && is_local(distribution, right);
}

static bool aggregate_input_is_local(const struct distribution *distribution,
                                     const struct expr *expr)
{
    return (!expr->aggregate.param || is_constant(expr->aggregate.param)) &&
           is_local(distribution, expr->aggregate.expr);
}

static bool is_local(const struct distribution *distribution, const struct expr *expr)
{
    switch (expr->kind) {
    case EXPR_SELECTOR:
        return expr->selector.extended == RANGE_PLAIN && shift_is_plain(&expr->selector.shift);
    case EXPR_MATRIX:
        return !expr->matrix.range.expr && is_local(distribution, expr->matrix.selector);
    case EXPR_SUBQUERY: /* a default step is whatever the other side has */
        return !expr->subquery.range.expr && !expr->subquery.step.expr &&
               expr->subquery.step.ms > 0 && shift_is_plain(&expr->subquery.shift) &&
               is_vector(expr->subquery.expr) && is_local(distribution, expr->subquery.expr);
    case EXPR_UNARY:
        return is_local(distribution, expr->unary.expr);
    case EXPR_PAREN:
        return is_local(distribution, expr->paren);
    case EXPR_BINARY:
        return is_vector(expr) && binary_is_local(distribution, expr);
    case EXPR_AGGREGATE:
        return expr->aggregate.op != AGGREGATE_COUNT_VALUES &&
               expr->aggregate.op != AGGREGATE_LIMITK &&
               expr->aggregate.op != AGGREGATE_LIMIT_RATIO &&
               keeps_partition(distribution, expr->aggregate.labels, expr->aggregate.label_count,
                               !expr->aggregate.without) &&
               aggregate_input_is_local(distribution, expr);
    case EXPR_CALL:
        return call_is_local(distribution, expr);
    case EXPR_NUMBER:
    case EXPR_STRING:
    case EXPR_DURATION:
        break;
    }
    return false;
}

/* -- choosing -- */

static bool aggregate_splits(const struct expr *expr)
{
    switch (expr->aggregate.op) {
    case AGGREGATE_SUM:
    case AGGREGATE_AVG:
    case AGGREGATE_COUNT:
    case AGGREGATE_MIN:
    case AGGREGATE_MAX:
    case AGGREGATE_GROUP:
        return true;
    case AGGREGATE_TOPK:
    case AGGREGATE_BOTTOMK:
        return expr_unwrap(expr->aggregate.param)->kind == EXPR_NUMBER;
    default:
        return false;
    }
}

enum distribution_choice distribution_choose(const struct distribution *distribution,
                                             const struct expr *expr)
{
    if (expr_type(expr) != VALUE_VECTOR)
        return DISTRIBUTE_NOT;
    if (is_local(distribution, expr))
        return DISTRIBUTE_WHOLE;
    if (expr->kind == EXPR_AGGREGATE && aggregate_splits(expr) &&
        aggregate_input_is_local(distribution, expr))
        return DISTRIBUTE_SPLIT;
    return DISTRIBUTE_NOT;
}

const struct expr *distribution_part(const struct distribution *distribution,
                                     const struct expr *aggregate, enum aggregate_op op,
                                     struct arena *arena)
{
    struct expr *part = arena_alloc(arena, sizeof(*part));
    size_t count = 0, most = aggregate->aggregate.label_count + distribution->labels.count;
    struct str *labels = arena_array(arena, most, sizeof(*labels));
    const struct str_list *partition = &distribution->labels;
    for (size_t i = 0; i < aggregate->aggregate.label_count; i++)
        if (!list_has(partition->items, partition->count, aggregate->aggregate.labels[i]))
            labels[count++] = aggregate->aggregate.labels[i];
    for (size_t i = 0; !aggregate->aggregate.without && i < partition->count; i++)
        labels[count++] = partition->items[i];
    *part = *aggregate;
    part->aggregate.op = op;
    part->aggregate.labels = labels;
    part->aggregate.label_count = count;
    return part;
}

/* -- which engines -- */

static bool contradicts(const struct expr *selector, struct labels labels)
{
    for (size_t i = 0; i < selector->selector.matcher_count; i++) {
        const struct matcher *matcher = &selector->selector.matchers[i];
        struct str value = labels_get(labels, matcher->name);
        if (value.len && !matcher_matches(matcher, value))
            return true;
    }
    return false;
}

static bool has_selector_for(const struct expr *expr, struct labels labels)
{
    switch (expr->kind) {
    case EXPR_SELECTOR:
        return !contradicts(expr, labels);
    case EXPR_MATRIX:
        return has_selector_for(expr->matrix.selector, labels);
    case EXPR_SUBQUERY:
        return has_selector_for(expr->subquery.expr, labels);
    case EXPR_UNARY:
        return has_selector_for(expr->unary.expr, labels);
    case EXPR_PAREN:
        return has_selector_for(expr->paren, labels);
    case EXPR_BINARY:
        return has_selector_for(expr->binary.left, labels) ||
               has_selector_for(expr->binary.right, labels);
    case EXPR_AGGREGATE:
        return has_selector_for(expr->aggregate.expr, labels);
    case EXPR_CALL:
        for (size_t i = 0; i < expr->call.arg_count; i++)
            if (has_selector_for(expr->call.args[i], labels))
                return true;
        return false;
    case EXPR_NUMBER:
    case EXPR_STRING:
    case EXPR_DURATION:
        break;
    }
    return false;
}

struct remote_engines distribution_engines(const struct distribution *distribution,
                                           const struct expr *expr, struct arena *arena)
{
    const struct remote_engines *all = &distribution->engines;
    struct remote_engines chosen = {arena_array(arena, all->count, sizeof(*all->items)), 0};
    for (size_t i = 0; i < all->count; i++) {
        const struct remote_engine *engine = &all->items[i];
        bool may_have = engine->label_set_count == 0;
        for (size_t j = 0; j < engine->label_set_count && !may_have; j++)
            may_have = has_selector_for(expr, engine->label_sets[j]);
        if (may_have)
            chosen.items[chosen.count++] = *engine;
    }
    return chosen;
}
