#include "promql/print.h"

#include <stdlib.h>

#include "base/duration.h"
#include "base/vec.h"
#include "codec/float_text.h"
#include "model/quote.h"
#include "promql/lex.h"

static void print_name(struct buf *out, struct str name, bool unquoted_names)
{
    if (unquoted_names ? name_is_unquoted_utf8(name) : label_name_is_legacy(name))
        buf_append_str(out, name);
    else
        quote_append(out, name);
}

static void print_names(struct buf *out, const struct str *names, size_t count, bool unquoted_names)
{
    buf_append_byte(out, '(');
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_append_cstr(out, ", ");
        print_name(out, names[i], unquoted_names);
    }
    buf_append_byte(out, ')');
}

static void print_duration_expr(struct buf *out, const struct expr *expr)
{
    static const char *const words[] = {
        [DURATION_ADD] = " + ",        [DURATION_SUB] = " - ",       [DURATION_MUL] = " * ",
        [DURATION_DIV] = " / ",        [DURATION_MOD] = " % ",       [DURATION_POW] = " ^ ",
        [DURATION_STEP] = "step()",    [DURATION_RANGE] = "range()", [DURATION_MAX_OF] = "max_of(",
        [DURATION_MIN_OF] = "min_of(",
    };
    enum duration_op op = expr->duration.op;
    bool is_call = op == DURATION_MAX_OF || op == DURATION_MIN_OF;
    if (expr->duration.wrapped)
        buf_append_byte(out, '(');
    if (is_call || op == DURATION_STEP || op == DURATION_RANGE)
        buf_append_cstr(out, words[op]);
    else if (!expr->duration.left && op == DURATION_SUB)
        buf_append_byte(out, '-');
    if (expr->duration.left) {
        expr_print(out, expr->duration.left);
        buf_append_cstr(out, is_call ? ", " : words[op]);
    }
    if (expr->duration.right)
        expr_print(out, expr->duration.right);
    if (is_call)
        buf_append_byte(out, ')');
    if (expr->duration.wrapped)
        buf_append_byte(out, ')');
}

static void print_duration(struct buf *out, const struct duration *duration)
{
    if (duration->expr)
        expr_print(out, duration->expr);
    else
        duration_print(out, duration->ms);
}

static void print_at(struct buf *out, const struct time_shift *shift)
{
    switch (shift->at) {
    case AT_NONE:
        break;
    case AT_TIME:
        buf_printf(out, " @ %.3f", (double)shift->at_ms / 1000);
        break;
    case AT_START:
        buf_append_cstr(out, " @ start()");
        break;
    case AT_END:
        buf_append_cstr(out, " @ end()");
        break;
    }
}

static void print_offset(struct buf *out, const struct time_shift *shift)
{
    if (!shift->offset.expr && shift->offset.ms == 0)
        return;
    buf_append_cstr(out, " offset ");
    print_duration(out, &shift->offset);
}

static void print_extended(struct buf *out, enum extended_range extended)
{
    if (extended != RANGE_PLAIN)
        buf_append_cstr(out, extended == RANGE_ANCHORED ? " anchored" : " smoothed");
}

static void print_matcher(struct buf *out, const struct matcher *matcher, bool unquoted_names)
{
    print_name(out, matcher->name, unquoted_names);
    buf_append_cstr(out, match_op_text(matcher->op));
    quote_append(out, matcher->value);
}

static bool matcher_is_name(const struct matcher *matcher, struct str name)
{
    return matcher->op == MATCH_EQUAL && name.len && str_equal(matcher->value, name) &&
           str_equal(matcher->name, STR("__name__"));
}

/* Name and matchers, these in the order of their texts. */
static void print_matchers(struct buf *out, const struct expr *expr)
{
    struct str name = expr->selector.name;
    struct buf texts = {0};
    VEC(struct str) parts = VEC_INIT(NULL);
    for (size_t i = 0; i < expr->selector.matcher_count; i++) {
        const struct matcher *matcher = &expr->selector.matchers[i];
        if (matcher_is_name(matcher, name))
            continue;
        size_t start = texts.len;
        print_matcher(&texts, matcher, expr->unquoted_names);
        vec_push(&parts, (struct str){NULL, texts.len - start});
    }
    size_t start = 0; /* the buffer does not move any more */
    for (size_t i = 0; i < parts.len; start += parts.items[i++].len)
        parts.items[i].data = texts.data + start;
    if (parts.len)
        qsort(parts.items, parts.len, sizeof(parts.items[0]), str_compare_items);
    buf_append_str(out, name);
    if (parts.len)
        buf_append_byte(out, '{');
    for (size_t i = 0; i < parts.len; i++) {
        if (i > 0)
            buf_append_byte(out, ',');
        buf_append_str(out, parts.items[i]);
    }
    if (parts.len)
        buf_append_byte(out, '}');
    vec_deinit(&parts);
    buf_deinit(&texts);
}

static void print_selector(struct buf *out, const struct expr *expr)
{
    print_matchers(out, expr);
    print_at(out, &expr->selector.shift);
    print_extended(out, expr->selector.extended);
    print_offset(out, &expr->selector.shift);
}

static void print_matrix(struct buf *out, const struct expr *expr)
{
    const struct expr *selector = expr->matrix.selector;
    print_matchers(out, selector);
    buf_append_byte(out, '[');
    print_duration(out, &expr->matrix.range);
    buf_append_byte(out, ']');
    print_extended(out, selector->selector.extended);
    print_at(out, &selector->selector.shift);
    print_offset(out, &selector->selector.shift);
}

void subquery_print_suffix(struct buf *out, const struct expr *expr)
{
    const struct duration *step = &expr->subquery.step;
    buf_append_byte(out, '[');
    print_duration(out, &expr->subquery.range);
    buf_append_byte(out, ':');
    if (step->expr || step->ms)
        print_duration(out, step);
    buf_append_byte(out, ']');
    print_at(out, &expr->subquery.shift);
    print_offset(out, &expr->subquery.shift);
}

static void print_number(struct buf *out, const struct expr *expr)
{
    double value = expr->number.value;
    if (!expr->number.is_duration) {
        float_append(out, value, FLOAT_PLAIN);
        return;
    }
    if (value < 0)
        buf_append_byte(out, '-');
    duration_print(out, (int64_t)((value < 0 ? -value : value) * 1e9) / 1000000);
}

static void print_fill(struct buf *out, const struct vector_matching *matching)
{
    bool left = matching->has_fill_left, right = matching->has_fill_right;
    if (left && right && matching->fill_left == matching->fill_right) {
        buf_append_cstr(out, " fill (");
        float_append(out, matching->fill_left, FLOAT_GENERAL);
        buf_append_byte(out, ')');
        return;
    }
    if (left) {
        buf_append_cstr(out, " fill_left (");
        float_append(out, matching->fill_left, FLOAT_GENERAL);
        buf_append_byte(out, ')');
    }
    if (right) {
        buf_append_cstr(out, " fill_right (");
        float_append(out, matching->fill_right, FLOAT_GENERAL);
        buf_append_byte(out, ')');
    }
}

void vector_matching_print(struct buf *out, const struct vector_matching *matching,
                           bool unquoted_names)
{
    bool is_grouped = matching->card == MATCH_MANY_TO_ONE || matching->card == MATCH_ONE_TO_MANY;
    if (matching->label_count || matching->on || is_grouped) {
        buf_append_cstr(out, matching->on ? " on " : " ignoring ");
        print_names(out, matching->labels, matching->label_count, unquoted_names);
    }
    if (is_grouped) {
        buf_append_cstr(out,
                        matching->card == MATCH_MANY_TO_ONE ? " group_left " : " group_right ");
        print_names(out, matching->include, matching->include_count, unquoted_names);
    }
    print_fill(out, matching);
}

void binary_print_operator(struct buf *out, const struct expr *expr)
{
    buf_append_cstr(out, binary_op_text(expr->binary.op));
    if (expr->binary.is_bool)
        buf_append_cstr(out, " bool");
    if (expr->binary.matching)
        vector_matching_print(out, expr->binary.matching, expr->unquoted_names);
}

static void print_binary(struct buf *out, const struct expr *expr)
{
    expr_print(out, expr->binary.left);
    buf_append_byte(out, ' ');
    binary_print_operator(out, expr);
    buf_append_byte(out, ' ');
    expr_print(out, expr->binary.right);
}

void aggregate_print_head(struct buf *out, const struct expr *expr)
{
    buf_append_cstr(out, aggregate_op_text(expr->aggregate.op));
    if (expr->aggregate.without || expr->aggregate.label_count) {
        buf_append_cstr(out, expr->aggregate.without ? " without " : " by ");
        print_names(out, expr->aggregate.labels, expr->aggregate.label_count, expr->unquoted_names);
        buf_append_byte(out, ' ');
    }
}

static void print_aggregate(struct buf *out, const struct expr *expr)
{
    aggregate_print_head(out, expr);
    buf_append_byte(out, '(');
    if (expr->aggregate.param) {
        expr_print(out, expr->aggregate.param);
        buf_append_cstr(out, ", ");
    }
    expr_print(out, expr->aggregate.expr);
    buf_append_byte(out, ')');
}

static void print_call(struct buf *out, const struct expr *expr)
{
    buf_append_str(out, expr->call.function->name);
    buf_append_byte(out, '(');
    for (size_t i = 0; i < expr->call.arg_count; i++) {
        if (i > 0)
            buf_append_cstr(out, ", ");
        expr_print(out, expr->call.args[i]);
    }
    buf_append_byte(out, ')');
}

void expr_print(struct buf *out, const struct expr *expr)
{
    switch (expr->kind) {
    case EXPR_NUMBER:
        print_number(out, expr);
        break;
    case EXPR_STRING:
        quote_append(out, expr->string);
        break;
    case EXPR_SELECTOR:
        print_selector(out, expr);
        break;
    case EXPR_MATRIX:
        print_matrix(out, expr);
        break;
    case EXPR_SUBQUERY:
        expr_print(out, expr->subquery.expr);
        subquery_print_suffix(out, expr);
        break;
    case EXPR_UNARY:
        buf_append_byte(out, expr->unary.negative ? '-' : '+');
        expr_print(out, expr->unary.expr);
        break;
    case EXPR_BINARY:
        print_binary(out, expr);
        break;
    case EXPR_AGGREGATE:
        print_aggregate(out, expr);
        break;
    case EXPR_CALL:
        print_call(out, expr);
        break;
    case EXPR_PAREN:
        buf_append_byte(out, '(');
        expr_print(out, expr->paren);
        buf_append_byte(out, ')');
        break;
    case EXPR_DURATION:
        print_duration_expr(out, expr);
        break;
    }
}
