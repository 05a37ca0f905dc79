/* Objects have their keys in the order of the alphabet, as Prometheus's have. */
#include "api/ast_json.h"

#include "codec/float_text.h"

static void put_float_text(struct json_writer *json, const char *key, double value)
{
    char text[FLOAT_TEXT_MAX];
    json_put_key(json, key);
    json_put_str(json, (struct str){text, float_text(text, value, FLOAT_PLAIN)});
}

static void put_type(struct json_writer *json, const char *type)
{
    json_put_key(json, "type");
    json_put_cstr(json, type);
}

static void put_child(struct json_writer *json, const char *key, const struct expr *expr)
{
    json_put_key(json, key);
    if (expr)
        ast_write(json, expr);
    else
        json_put_null(json);
}

static void put_names(struct json_writer *json, const char *key, const struct str *names,
                      size_t count)
{
    json_put_key(json, key);
    json_begin_array(json);
    for (size_t i = 0; i < count; i++)
        json_put_str(json, names[i]);
    json_end_array(json);
}

static void put_matchers(struct json_writer *json, const struct expr *selector)
{
    json_put_key(json, "matchers");
    json_begin_array(json);
    for (size_t i = 0; i < selector->selector.matcher_count; i++) {
        const struct matcher *matcher = &selector->selector.matchers[i];
        json_begin_object(json);
        json_put_key(json, "name");
        json_put_str(json, matcher->name);
        json_put_key(json, "type");
        json_put_cstr(json, match_op_text(matcher->op));
        json_put_key(json, "value");
        json_put_str(json, matcher->value);
        json_end_object(json);
    }
    json_end_array(json);
}

/* ---- durations ---- */

static void put_duration_expr(struct json_writer *json, const char *key, const struct expr *expr);

static void duration_expr_write(struct json_writer *json, const struct expr *expr)
{
    static const char *const ops[] = {
        [DURATION_ADD] = "+",         [DURATION_SUB] = "-",       [DURATION_MUL] = "*",
        [DURATION_DIV] = "/",         [DURATION_MOD] = "%",       [DURATION_POW] = "^",
        [DURATION_STEP] = "step",     [DURATION_RANGE] = "range", [DURATION_MAX_OF] = "max_of",
        [DURATION_MIN_OF] = "min_of",
    };
    json_begin_object(json);
    if (expr->kind == EXPR_NUMBER) {
        json_put_key(json, "duration");
        json_put_bool(json, expr->number.is_duration);
        put_type(json, "numberLiteral");
        put_float_text(json, "val", expr->number.value);
    } else {
        put_duration_expr(json, "lhs", expr->duration.left);
        json_put_key(json, "op");
        json_put_cstr(json, ops[expr->duration.op]);
        put_duration_expr(json, "rhs", expr->duration.right);
        put_type(json, "durationExpr");
        json_put_key(json, "wrapped");
        json_put_bool(json, expr->duration.wrapped);
    }
    json_end_object(json);
}

static void put_duration_expr(struct json_writer *json, const char *key, const struct expr *expr)
{
    json_put_key(json, key);
    if (expr)
        duration_expr_write(json, expr);
    else
        json_put_null(json);
}

/* The duration where it is a number, and its expression where it is one. */
static void put_duration(struct json_writer *json, const char *key, const char *expr_key,
                         const struct duration *duration)
{
    json_put_key(json, key);
    json_put_int64(json, duration->expr ? 0 : duration->ms);
    put_duration_expr(json, expr_key, duration->expr);
}

static void put_start_or_end(struct json_writer *json, const struct time_shift *shift)
{
    json_put_key(json, "startOrEnd");
    if (shift->at == AT_START || shift->at == AT_END)
        json_put_cstr(json, shift->at == AT_START ? "start" : "end");
    else
        json_put_null(json);
}

static void put_timestamp(struct json_writer *json, const struct time_shift *shift)
{
    json_put_key(json, "timestamp");
    if (shift->at == AT_TIME)
        json_put_int64(json, shift->at_ms);
    else
        json_put_null(json);
}

/* ---- the kinds ---- */

/* range: NULL for an instant vector. */
static void write_selector(struct json_writer *json, const struct expr *selector,
                           const struct duration *range)
{
    const struct time_shift *shift = &selector->selector.shift;
    json_put_key(json, "anchored");
    json_put_bool(json, selector->selector.extended == RANGE_ANCHORED);
    put_matchers(json, selector);
    json_put_key(json, "name");
    json_put_str(json, selector->selector.name);
    put_duration(json, "offset", "offsetExpr", &shift->offset);
    if (range)
        put_duration(json, "range", "rangeExpr", range);
    json_put_key(json, "smoothed");
    json_put_bool(json, selector->selector.extended == RANGE_SMOOTHED);
    put_start_or_end(json, shift);
    put_timestamp(json, shift);
    put_type(json, range ? "matrixSelector" : "vectorSelector");
}

static void write_subquery(struct json_writer *json, const struct expr *expr)
{
    const struct time_shift *shift = &expr->subquery.shift;
    put_child(json, "expr", expr->subquery.expr);
    put_duration(json, "offset", "offsetExpr", &shift->offset);
    put_duration(json, "range", "rangeExpr", &expr->subquery.range);
    put_start_or_end(json, shift);
    put_duration(json, "step", "stepExpr", &expr->subquery.step);
    put_timestamp(json, shift);
    put_type(json, "subquery");
}

static void put_fill(struct json_writer *json, const char *key, bool has_value, double value)
{
    json_put_key(json, key);
    if (has_value)
        json_put_double(json, value);
    else
        json_put_null(json);
}

static void put_matching(struct json_writer *json, const struct vector_matching *matching)
{
    json_put_key(json, "matching");
    if (!matching) {
        json_put_null(json);
        return;
    }
    json_begin_object(json);
    json_put_key(json, "card");
    json_put_cstr(json, match_card_text(matching->card));
    json_put_key(json, "fillValues");
    json_begin_object(json);
    put_fill(json, "lhs", matching->has_fill_left, matching->fill_left);
    put_fill(json, "rhs", matching->has_fill_right, matching->fill_right);
    json_end_object(json);
    put_names(json, "include", matching->include, matching->include_count);
    put_names(json, "labels", matching->labels, matching->label_count);
    json_put_key(json, "on");
    json_put_bool(json, matching->on);
    json_end_object(json);
}

static void write_binary(struct json_writer *json, const struct expr *expr)
{
    json_put_key(json, "bool");
    json_put_bool(json, expr->binary.is_bool);
    put_child(json, "lhs", expr->binary.left);
    put_matching(json, expr->binary.matching);
    json_put_key(json, "op");
    json_put_cstr(json, binary_op_text(expr->binary.op));
    put_child(json, "rhs", expr->binary.right);
    put_type(json, "binaryExpr");
}

static void write_aggregate(struct json_writer *json, const struct expr *expr)
{
    put_child(json, "expr", expr->aggregate.expr);
    put_names(json, "grouping", expr->aggregate.labels, expr->aggregate.label_count);
    json_put_key(json, "op");
    json_put_cstr(json, aggregate_op_text(expr->aggregate.op));
    put_child(json, "param", expr->aggregate.param);
    put_type(json, "aggregation");
    json_put_key(json, "without");
    json_put_bool(json, expr->aggregate.without);
}

static const char *type_text(enum value_type type)
{
    static const char *const texts[] = {[VALUE_NONE] = "none",
                                        [VALUE_SCALAR] = "scalar",
                                        [VALUE_VECTOR] = "vector",
                                        [VALUE_MATRIX] = "matrix",
                                        [VALUE_STRING] = "string"};
    return texts[type];
}

static void write_call(struct json_writer *json, const struct expr *expr)
{
    const struct function *function = expr->call.function;
    json_put_key(json, "args");
    json_begin_array(json);
    for (size_t i = 0; i < expr->call.arg_count; i++)
        ast_write(json, expr->call.args[i]);
    json_end_array(json);
    json_put_key(json, "func");
    json_begin_object(json);
    json_put_key(json, "argTypes");
    json_begin_array(json);
    for (size_t i = 0; i < function->arg_count; i++)
        json_put_cstr(json, type_text(function->args[i]));
    json_end_array(json);
    json_put_key(json, "name");
    json_put_str(json, function->name);
    json_put_key(json, "returnType");
    json_put_cstr(json, type_text(function->result));
    json_put_key(json, "variadic");
    json_put_int64(json, function->variadic);
    json_end_object(json);
    put_type(json, "call");
}

static void write_simple(struct json_writer *json, const struct expr *expr)
{
    if (expr->kind == EXPR_NUMBER) {
        put_type(json, "numberLiteral");
        put_float_text(json, "val", expr->number.value);
    } else if (expr->kind == EXPR_STRING) {
        put_type(json, "stringLiteral");
        json_put_key(json, "val");
        json_put_str(json, expr->string);
    } else if (expr->kind == EXPR_PAREN) {
        put_child(json, "expr", expr->paren);
        put_type(json, "parenExpr");
    } else {
        put_child(json, "expr", expr->unary.expr);
        json_put_key(json, "op");
        json_put_cstr(json, expr->unary.negative ? "-" : "+");
        put_type(json, "unaryExpr");
    }
}

void ast_write(struct json_writer *json, const struct expr *expr)
{
    if (expr->kind == EXPR_DURATION) {
        duration_expr_write(json, expr);
        return;
    }
    json_begin_object(json);
    switch (expr->kind) {
    case EXPR_SELECTOR:
        write_selector(json, expr, NULL);
        break;
    case EXPR_MATRIX:
        write_selector(json, expr->matrix.selector, &expr->matrix.range);
        break;
    case EXPR_SUBQUERY:
        write_subquery(json, expr);
        break;
    case EXPR_BINARY:
        write_binary(json, expr);
        break;
    case EXPR_AGGREGATE:
        write_aggregate(json, expr);
        break;
    case EXPR_CALL:
        write_call(json, expr);
        break;
    case EXPR_NUMBER:
    case EXPR_STRING:
    case EXPR_UNARY:
    case EXPR_PAREN:
    case EXPR_DURATION:
        write_simple(json, expr);
        break;
    }
    json_end_object(json);
}
