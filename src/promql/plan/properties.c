#include "promql/plan/pass.h"

/* Each derive_ function sets the properties of a node whose children have theirs. The struct of the
 * input is taken over where rows stay what they are. */

static void take_over(struct plan_node *node, const struct plan_node *from)
{
    node->is_unique = from->is_unique;
    node->is_sorted = from->is_sorted;
    node->drops_name = from->drops_name;
    node->name_is_constant = from->name_is_constant;
    node->constant_name = from->constant_name;
    node->has_only_labels = from->has_only_labels;
    node->only_labels = from->only_labels;
    node->only_label_count = from->only_label_count;
    node->may_have_histograms = from->may_have_histograms;
}

/* Whether the rows differ in more than their names, and in more than the labels that go with them.
 */
static bool is_unique_without_name(const struct planner *planner, const struct plan_node *node)
{
    bool is_constant = node->name_is_constant && !planner->params->has_metadata_labels;
    bool is_dropped = node->drops_name && !planner->params->delayed_name_removal;
    return node->is_unique && (is_dropped || is_constant);
}

/* Names that go late, at the root, tell rows apart until then. */
static void drop_name(const struct planner *planner, struct plan_node *node)
{
    if (!planner->params->delayed_name_removal)
        node->is_unique = is_unique_without_name(planner, node);
    node->drops_name = true;
}

static void set_no_name(struct plan_node *node)
{
    node->drops_name = false;
    node->name_is_constant = true;
    node->constant_name = (struct str){0};
}

static void set_only_labels(struct plan_node *node, const struct str *labels, size_t count)
{
    node->has_only_labels = true;
    node->only_labels = labels;
    node->only_label_count = count;
}

static bool list_has(const struct str *sorted, size_t count, struct str label)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = str_compare(sorted[middle], label);
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static void derive_selector(struct plan_node *node)
{
    const struct plan_selector *selector = &node->selector;
    node->is_unique = node->is_sorted = node->may_have_histograms = true;
    for (size_t i = 0; i < selector->matcher_count; i++) {
        const struct matcher *matcher = &selector->matchers[i];
        if (matcher->op != MATCH_EQUAL || !str_equal(matcher->name, STR("__name__")))
            continue;
        node->name_is_constant = true;
        node->constant_name = matcher->value;
        break;
    }
}

/* ---- operators ---- */

static bool binary_keeps_name(const struct plan_binary *binary)
{
    bool is_trim = binary->op == BINARY_TRIM_UPPER || binary->op == BINARY_TRIM_LOWER;
    return is_trim || (binary_op_is_comparison(binary->op) && !binary->is_bool);
}

/* At most one row of this side has a given key. */
static bool key_is_unique(const struct planner *planner, const struct plan_node *side,
                          const struct vector_matching *matching)
{
    if (!matching->on && matching->label_count == 0)
        return is_unique_without_name(planner, side);
    if (!side->has_only_labels || !is_unique_without_name(planner, side))
        return false;
    for (size_t i = 0; i < side->only_label_count; i++)
        if (list_has(matching->labels, matching->label_count, side->only_labels[i]) != matching->on)
            return false;
    return true;
}

bool plan_join_streams(const struct plan_node *node)
{
    const struct plan_binary *binary = &node->binary;
    const struct vector_matching *matching = binary->matching;
    const struct plan_node *left = binary->left, *right = binary->right;
    bool is_plain = matching->card == MATCH_ONE_TO_ONE && !matching->on &&
                    matching->label_count == 0 && !matching->has_fill_left &&
                    !matching->has_fill_right;
    return is_plain && left->is_sorted && right->is_sorted && left->is_unique && right->is_unique &&
           left->name_is_constant && right->name_is_constant &&
           (left->constant_name.len > 0) == (right->constant_name.len > 0);
}

/* Rows of the result come in the order of the "many" side's, and keep its labels. */
static bool join_keeps_order(const struct planner *planner, const struct plan_node *node)
{
    const struct vector_matching *matching = node->binary.matching;
    bool keeps_labels = matching->card == MATCH_ONE_TO_ONE
                            ? !matching->on && matching->label_count == 0
                            : matching->include_count == 0;
    return keeps_labels && !matching->has_fill_left && !matching->has_fill_right &&
           !planner->params->delayed_name_removal;
}

static void derive_join(const struct planner *planner, struct plan_node *node)
{
    const struct plan_binary *binary = &node->binary;
    const struct vector_matching *matching = binary->matching;
    const struct plan_node *many =
        matching->card == MATCH_ONE_TO_MANY ? binary->right : binary->left;
    bool keys_are_unique = key_is_unique(planner, binary->left, matching) &&
                           key_is_unique(planner, binary->right, matching);
    bool is_grouped = matching->card != MATCH_ONE_TO_ONE;
    take_over(node, many);
    node->is_sorted = many->is_sorted && join_keeps_order(planner, node);
    if (is_grouped)
        node->is_unique =
            many->is_unique && matching->include_count == 0 &&
            key_is_unique(planner, many == binary->left ? binary->right : binary->left, matching);
    else
        node->is_unique = keys_are_unique;
    if (is_grouped && matching->include_count > 0) {
        node->has_only_labels = false;
        if (list_has(matching->include, matching->include_count, STR("__name__")))
            node->name_is_constant = false;
    }
    if (!is_grouped && matching->on) {
        set_only_labels(node, matching->labels, matching->label_count);
        if (!list_has(matching->labels, matching->label_count, STR("__name__")))
            set_no_name(node);
    }
    if (!binary_keeps_name(binary)) {
        drop_name(planner, node);
        if (!binary->is_bool) /* arithmetic takes names away at once, delayed or not */
            node->is_unique &= is_unique_without_name(planner, many);
    }
    if (matching->has_fill_left || matching->has_fill_right)
        node->name_is_constant = node->is_unique = false;
}

/* Series of two metrics are never equal. */
static bool names_differ(const struct plan_node *left, const struct plan_node *right)
{
    return left->name_is_constant && right->name_is_constant && !left->drops_name &&
           !right->drops_name && !str_equal(left->constant_name, right->constant_name);
}

static void derive_set(struct plan_node *node)
{
    const struct plan_node *left = node->binary.left, *right = node->binary.right;
    take_over(node, left);
    if (node->binary.op != BINARY_OR)
        return;
    node->is_sorted = node->has_only_labels = false;
    node->is_unique = left->is_unique && right->is_unique && names_differ(left, right);
    node->name_is_constant = left->name_is_constant && right->name_is_constant &&
                             str_equal(left->constant_name, right->constant_name);
    node->drops_name = left->drops_name && right->drops_name;
    node->may_have_histograms |= right->may_have_histograms;
}

static void derive_binary(const struct planner *planner, struct plan_node *node)
{
    struct plan_binary *binary = &node->binary;
    if (node->type == VALUE_SCALAR)
        return;
    if (binary_op_is_set(binary->op)) {
        derive_set(node);
        return;
    }
    if (binary->matching) {
        derive_join(planner, node);
        node->may_have_histograms |=
            binary->left->may_have_histograms || binary->right->may_have_histograms;
        return;
    }
    take_over(node, binary->left->type == VALUE_VECTOR ? binary->left : binary->right);
    if (!binary_keeps_name(binary))
        drop_name(planner, node);
}

/* ---- aggregations ---- */

static bool aggregate_picks_rows(enum aggregate_op op)
{
    return op == AGGREGATE_TOPK || op == AGGREGATE_BOTTOMK || op == AGGREGATE_LIMITK ||
           op == AGGREGATE_LIMIT_RATIO;
}

static void derive_aggregate(struct plan_node *node)
{
    const struct plan_aggregate *aggregate = &node->aggregate;
    const struct plan_node *input = aggregate->input;
    if (aggregate_picks_rows(aggregate->op)) {
        take_over(node, input);
        node->is_sorted = false;
        return;
    }
    bool has_values = aggregate->op == AGGREGATE_COUNT_VALUES;
    node->is_unique = true;
    set_no_name(node);
    if (!aggregate->without) {
        node->name_is_constant =
            !list_has(aggregate->labels, aggregate->label_count, STR("__name__")) &&
            !(has_values && str_equal(aggregate->param->string, STR("__name__")));
        if (!has_values)
            set_only_labels(node, aggregate->labels, aggregate->label_count);
    } else if (input->has_only_labels && !has_values) {
        set_only_labels(node, input->only_labels, input->only_label_count);
    }
    node->may_have_histograms = input->may_have_histograms &&
                                (aggregate->op == AGGREGATE_SUM || aggregate->op == AGGREGATE_AVG);
}

/* ---- calls ---- */

static const struct plan_node *vector_argument(const struct plan_call *call)
{
    for (size_t i = 0; i < call->arg_count; i++)
        if (call->args[i]->type == VALUE_VECTOR || call->args[i]->type == VALUE_MATRIX)
            return call->args[i];
    return NULL;
}

static void derive_labels_call(struct plan_node *node)
{
    bool sets_name = str_equal(node->call.args[1]->string, STR("__name__"));
    node->is_unique = node->is_sorted = node->has_only_labels = false;
    if (sets_name)
        node->name_is_constant = node->drops_name = false;
}

static void derive_call(const struct planner *planner, struct plan_node *node)
{
    const struct function *function = node->call.function;
    const struct plan_node *input = vector_argument(&node->call);
    if (node->type != VALUE_VECTOR)
        return;
    bool makes_row = function->id == FUNCTION_VECTOR || function->id == FUNCTION_ABSENT ||
                     function->id == FUNCTION_ABSENT_OVER_TIME;
    if (makes_row || !input) {
        node->is_unique = node->is_sorted = true;
        set_no_name(node);
        if (function->id == FUNCTION_VECTOR)
            set_only_labels(node, NULL, 0);
        return;
    }
    take_over(node, input);
    node->may_have_histograms &= !function->floats_only;
    if (function->class == FUNCTION_LABELS)
        derive_labels_call(node);
    if (function->class == FUNCTION_SORTS || function->class == FUNCTION_HISTOGRAMS)
        node->is_sorted = false;
    if (function->class == FUNCTION_HISTOGRAMS) /* without the bucket's label rows become one */
        node->is_unique = is_unique_without_name(planner, node);
    if (function->id == FUNCTION_INFO)
        node->is_unique = node->is_sorted = node->has_only_labels = false;
    if (function->id == FUNCTION_HISTOGRAM_QUANTILES) /* which adds one that may be there already */
        node->is_unique = node->has_only_labels = false;
    if (!function->keeps_name)
        drop_name(planner, node);
}

static void derive(const struct planner *planner, struct plan_node *node)
{
    switch (node->kind) {
    case PLAN_NUMBER:
    case PLAN_STRING:
        break;
    case PLAN_SELECTOR:
        derive_selector(node);
        break;
    case PLAN_SUBQUERY:
        take_over(node, node->subquery.input);
        break;
    case PLAN_NEGATE:
        take_over(node, node->negate);
        if (node->type == VALUE_VECTOR)
            drop_name(planner, node);
        break;
    case PLAN_BINARY:
        derive_binary(planner, node);
        break;
    case PLAN_AGGREGATE:
        derive_aggregate(node);
        break;
    case PLAN_CALL:
        derive_call(planner, node);
        break;
    case PLAN_STEP_INVARIANT:
        take_over(node, node->step_invariant.input);
        break;
    case PLAN_REMOTE: /* engines have no series in common */
        node->is_unique = node->may_have_histograms = true;
        break;
    case PLAN_MERGE_ROWS:
        take_over(node, node->merge_rows.input);
        node->is_unique = true;
        node->is_sorted = false;
        break;
    }
}

/* ---- merge_rows ---- */

/* Rows that have become equal never meet in a step: a join, `or` and info() see to it themselves.
 */
static bool rows_never_meet(const struct plan_node *node)
{
    if (node->kind == PLAN_CALL)
        return node->call.function->id == FUNCTION_INFO;
    return node->kind == PLAN_BINARY && node->binary.matching;
}

/* An aggregation that takes each step by itself does not care which row a value is in. */
static bool needs_merged_rows(const struct plan_node *parent, const struct plan_node *node)
{
    bool folds =
        parent && parent->kind == PLAN_AGGREGATE && !aggregate_picks_rows(parent->aggregate.op);
    return !(folds && rows_never_meet(node));
}

static void merge_rows(struct planner *planner, struct plan_node **at)
{
    struct plan_node *node = *at;
    struct plan_node *merge = plan_node_new(planner, PLAN_MERGE_ROWS, node->type, node->position);
    merge->grid = node->grid;
    merge->is_step_invariant = node->is_step_invariant;
    merge->reads_data = node->reads_data;
    merge->merge_rows.input = node;
    derive(planner, merge);
    *at = merge;
}

static void walk(struct planner *planner, const struct plan_node *parent, struct plan_node **at)
{
    struct plan_node *node = *at, **child;
    for (size_t i = 0; (child = plan_child(node, i)) != NULL; i++)
        walk(planner, node, child);
    derive(planner, node);
    if (node->type == VALUE_VECTOR && !node->is_unique && needs_merged_rows(parent, node))
        merge_rows(planner, at);
}

void plan_properties(struct planner *planner, struct plan_node **root)
{
    walk(planner, NULL, root);
    struct plan_node *node = *root;
    if (!planner->params->delayed_name_removal || node->type != VALUE_VECTOR)
        return;
    bool may_drop = node->drops_name || node->kind != PLAN_SELECTOR;
    bool is_left_to_result = node->is_unique && node->drops_name;
    if (may_drop && node->kind != PLAN_MERGE_ROWS && !is_left_to_result &&
        !is_unique_without_name(planner, node))
        merge_rows(planner, root);
}
