/* The series that info() takes labels from: which to select, and as of when. */
#include "promql/plan/pass.h"

/* ---- as of when ---- */

/* A time that samples are read at: of the step or fixed, moved back. */
struct reference {
    bool has_at;
    int64_t at_ms, offset_ms;
};

struct subquery_around {
    const struct plan_subquery *subquery;
    const struct subquery_around *next;
};

struct reference_search {
    struct reference first;
    bool is_found, differ, has_rows_without; /* of vectors that read no series */
};

static bool reference_equal(const struct reference *a, const struct reference *b)
{
    if (!a->has_at || !b->has_at)
        return !a->has_at && !b->has_at && a->offset_ms == b->offset_ms;
    return int64_sub_saturating(a->at_ms, a->offset_ms) ==
           int64_sub_saturating(b->at_ms, b->offset_ms);
}

/* Subqueries around move it further, up to one that is fixed. */
static struct reference reference_of(const struct plan_selector *selector,
                                     const struct subquery_around *around)
{
    struct reference reference = {selector->has_at, selector->at_ms, selector->offset_ms};
    for (; around && !reference.has_at; around = around->next) {
        const struct plan_subquery *subquery = around->subquery;
        reference.offset_ms = int64_add_saturating(reference.offset_ms, subquery->offset_ms);
        reference.has_at = subquery->has_at;
        reference.at_ms = subquery->at_ms;
    }
    return reference;
}

/* Whether there is a selector among what makes the rows of a vector; scalars do not count. */
static bool search(struct reference_search *found, struct plan_node *node,
                   const struct subquery_around *around)
{
    if (node->type != VALUE_VECTOR && node->type != VALUE_MATRIX)
        return false;
    if (node->kind == PLAN_SELECTOR) {
        struct reference reference = reference_of(&node->selector, around);
        if (!found->is_found)
            found->first = reference;
        else if (!reference_equal(&found->first, &reference))
            found->differ = true;
        found->is_found = true;
        return true;
    }
    struct subquery_around own = {&node->subquery, around};
    if (node->kind == PLAN_SUBQUERY)
        around = &own;
    bool is_info = node->kind == PLAN_CALL && node->call.function->id == FUNCTION_INFO;
    bool has_selector = false;
    struct plan_node **child;
    for (size_t i = 0; (child = plan_child(node, i)) != NULL && !(is_info && i > 0); i++)
        has_selector |= search(found, *child, around);
    found->has_rows_without |= !has_selector;
    return has_selector;
}

/* The one time that all series of the first argument are read at, else that of the step. */
static struct time_shift shift_of(struct plan_node *base)
{
    struct reference_search found = {0};
    search(&found, base, NULL);
    struct time_shift shift = {.at = AT_NONE};
    if (!found.is_found || found.differ || found.has_rows_without)
        return shift;
    shift.offset.ms = found.first.offset_ms;
    shift.at = found.first.has_at ? AT_TIME : AT_NONE;
    shift.at_ms = found.first.at_ms;
    return shift;
}

/* ---- which ---- */

static bool matcher_is_of_name(const struct matcher *matcher)
{
    return str_equal(matcher->name, STR("__name__"));
}

static bool matcher_is_positive(const struct matcher *matcher)
{
    return matcher->op == MATCH_EQUAL || matcher->op == MATCH_REGEX;
}

/* Without a name that is wanted, a series called target_info, or any *_info that is not unwanted.
 */
static struct error *split_matchers(struct planner *planner, const struct expr *selector,
                                    struct plan_info *info)
{
    size_t count = selector ? selector->selector.matcher_count : 0;
    struct matcher *names = arena_array(planner->arena, count + 1, sizeof(*names));
    struct matcher *data = arena_array(planner->arena, count, sizeof(*data));
    bool is_positive = false;
    info->names = names;
    info->data = data;
    for (size_t i = 0; i < count; i++) {
        const struct matcher *matcher = &selector->selector.matchers[i];
        if (matcher_is_of_name(matcher))
            names[info->name_count++] = *matcher;
        else
            data[info->data_count++] = *matcher;
        is_positive |= matcher_is_of_name(matcher) && matcher_is_positive(matcher);
    }
    if (is_positive)
        return NULL;
    struct matcher *added = &names[info->name_count];
    info->name_count++;
    if (info->name_count == 1)
        return matcher_create(planner->arena, MATCH_EQUAL, STR("__name__"), STR("target_info"),
                              added);
    return matcher_create(planner->arena, MATCH_REGEX, STR("__name__"), STR(".+_info"), added);
}

/* A selector whose series have the job and instance of all rows of a node; NULL: not known. */
static const struct plan_selector *source_of_labels(const struct plan_node *node)
{
    switch (node->kind) {
    case PLAN_SELECTOR:
        return &node->selector;
    case PLAN_SUBQUERY:
        return source_of_labels(node->subquery.input);
    case PLAN_NEGATE:
        return source_of_labels(node->negate);
    case PLAN_BINARY:
        if (node->binary.matching)
            return NULL;
        return source_of_labels(node->binary.left->type == VALUE_VECTOR ? node->binary.left
                                                                        : node->binary.right);
    case PLAN_CALL: {
        bool keeps_labels = node->call.function->class == FUNCTION_VALUES ||
                            node->call.function->class == FUNCTION_WINDOWS;
        for (size_t i = 0; keeps_labels && i < node->call.arg_count; i++)
            if (node->call.args[i]->type == VALUE_VECTOR ||
                node->call.args[i]->type == VALUE_MATRIX)
                return source_of_labels(node->call.args[i]);
        return NULL;
    }
    default:
        return NULL;
    }
}

/* Series that can be found: rows and info series agree in job and instance, so what is asked of
 * these labels there holds here, too. */
static void set_matchers(struct planner *planner, const struct plan_info *info,
                         const struct plan_node *base, struct expr *out)
{
    const struct plan_selector *source = source_of_labels(base);
    size_t count = 0, more = source ? source->matcher_count : 0;
    struct matcher *all =
        arena_array(planner->arena, info->name_count + info->data_count + more, sizeof(*all));
    for (size_t i = 0; i < info->name_count; i++)
        all[count++] = info->names[i];
    for (size_t i = 0; i < info->data_count; i++)
        all[count++] = info->data[i];
    for (size_t i = 0; i < more; i++) {
        struct str name = source->matchers[i].name;
        if (str_equal(name, STR("instance")) || str_equal(name, STR("job")))
            all[count++] = source->matchers[i];
    }
    out->selector.matchers = all;
    out->selector.matcher_count = count;
}

struct error *plan_info(struct planner *planner, const struct expr *call, struct plan_node *node,
                        struct expr **out)
{
    struct plan_node *base = node->call.args[0];
    struct plan_info *info = arena_zalloc(planner->arena, sizeof(*info));
    struct expr *selector = arena_zalloc(planner->arena, sizeof(*selector));
    selector->kind = EXPR_SELECTOR;
    selector->position = call->position;
    struct error *err =
        split_matchers(planner, call->call.arg_count > 1 ? call->call.args[1] : NULL, info);
    if (err)
        return err;
    set_matchers(planner, info, base, selector);
    selector->selector.shift = shift_of(base);
    node->call.info = info;
    *out = selector;
    return NULL;
}
