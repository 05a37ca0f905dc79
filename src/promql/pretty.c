/* Whether an expression is broken depends on the length of its canonical text, at each level anew.
 * So one walk measures all of them, parents before children, and a second one, which prints, reads
 * the measures in the same order. */
#include "promql/pretty.h"

#include <stdbool.h>
#include <string.h>

#include "base/vec.h"
#include "promql/print.h"

enum { LINE_MAX_BYTES = 100, INDENT = 2 };

struct measure {
    size_t len;   /* of the canonical text */
    size_t nodes; /* of the subtree, this one included */
};

struct pretty {
    struct buf *out;
    struct buf scratch;
    VEC(struct measure) measures; /* in preorder */
    size_t next;
    bool skip_indent; /* a sign stands in front */
};

/* ---- the lengths ---- */

static size_t measure(struct pretty *pretty, const struct expr *expr);

static size_t scratch_len(struct pretty *pretty)
{
    size_t len = pretty->scratch.len;
    buf_clear(&pretty->scratch);
    return len;
}

static size_t measure_args(struct pretty *pretty, const struct expr *expr)
{
    size_t len = 0;
    for (size_t i = 0; i < expr->call.arg_count; i++)
        len += measure(pretty, expr->call.args[i]) + (i > 0 ? strlen(", ") : 0);
    return len;
}

static size_t measure_parts(struct pretty *pretty, const struct expr *expr)
{
    size_t len;
    switch (expr->kind) {
    case EXPR_SUBQUERY:
        subquery_print_suffix(&pretty->scratch, expr);
        len = scratch_len(pretty);
        return len + measure(pretty, expr->subquery.expr);
    case EXPR_UNARY:
        return 1 + measure(pretty, expr->unary.expr);
    case EXPR_BINARY:
        binary_print_operator(&pretty->scratch, expr);
        len = scratch_len(pretty) + 2;
        len += measure(pretty, expr->binary.left);
        return len + measure(pretty, expr->binary.right);
    case EXPR_AGGREGATE:
        aggregate_print_head(&pretty->scratch, expr);
        len = scratch_len(pretty) + strlen("()");
        if (expr->aggregate.param)
            len += measure(pretty, expr->aggregate.param) + strlen(", ");
        return len + measure(pretty, expr->aggregate.expr);
    case EXPR_CALL:
        return expr->call.function->name.len + strlen("()") + measure_args(pretty, expr);
    case EXPR_PAREN:
        return strlen("()") + measure(pretty, expr->paren);
    case EXPR_NUMBER:
    case EXPR_STRING:
    case EXPR_SELECTOR:
    case EXPR_MATRIX:
    case EXPR_DURATION:
        break;
    }
    expr_print(&pretty->scratch, expr);
    return scratch_len(pretty);
}

static size_t measure(struct pretty *pretty, const struct expr *expr)
{
    size_t at = pretty->measures.len;
    vec_push(&pretty->measures, (struct measure){0});
    size_t len = measure_parts(pretty, expr);
    pretty->measures.items[at] = (struct measure){len, pretty->measures.len - at};
    return len;
}

/* ---- the lines ---- */

static void print(struct pretty *pretty, const struct expr *expr, size_t level);

static void indent(struct pretty *pretty, size_t level)
{
    for (size_t i = 0; i < level * INDENT && !pretty->skip_indent; i++)
        buf_append_byte(pretty->out, ' ');
    pretty->skip_indent = false;
}

static void print_call(struct pretty *pretty, const struct expr *expr, size_t level)
{
    buf_append_str(pretty->out, expr->call.function->name);
    buf_append_cstr(pretty->out, "(\n");
    for (size_t i = 0; i < expr->call.arg_count; i++) {
        if (i > 0)
            buf_append_cstr(pretty->out, ",\n");
        print(pretty, expr->call.args[i], level + 1);
    }
}

static void print_aggregate(struct pretty *pretty, const struct expr *expr, size_t level)
{
    aggregate_print_head(pretty->out, expr);
    buf_append_cstr(pretty->out, "(\n");
    if (expr->aggregate.param) {
        print(pretty, expr->aggregate.param, level + 1);
        buf_append_cstr(pretty->out, ",\n");
    }
    print(pretty, expr->aggregate.expr, level + 1);
}

static void print_binary(struct pretty *pretty, const struct expr *expr, size_t level)
{
    print(pretty, expr->binary.left, level + 1);
    buf_append_byte(pretty->out, '\n');
    indent(pretty, level);
    binary_print_operator(pretty->out, expr);
    buf_append_byte(pretty->out, '\n');
    print(pretty, expr->binary.right, level + 1);
}

/* The sign takes the place of the operand's indentation. */
static void print_unary(struct pretty *pretty, const struct expr *expr, size_t level)
{
    indent(pretty, level);
    buf_append_byte(pretty->out, expr->unary.negative ? '-' : '+');
    pretty->skip_indent = true;
    print(pretty, expr->unary.expr, level);
}

static void print_broken(struct pretty *pretty, const struct expr *expr, size_t level)
{
    indent(pretty, level);
    if (expr->kind == EXPR_CALL) {
        print_call(pretty, expr, level);
    } else if (expr->kind == EXPR_AGGREGATE) {
        print_aggregate(pretty, expr, level);
    } else {
        buf_append_cstr(pretty->out, "(\n");
        print(pretty, expr->paren, level + 1);
    }
    buf_append_byte(pretty->out, '\n');
    indent(pretty, level);
    buf_append_byte(pretty->out, ')');
}

static void print(struct pretty *pretty, const struct expr *expr, size_t level)
{
    struct measure measured = pretty->measures.items[pretty->next];
    if (measured.nodes == 1 || measured.len <= LINE_MAX_BYTES) {
        /* A subquery that fits stands at the line's beginning, as Prometheus has it. */
        indent(pretty, expr->kind == EXPR_SUBQUERY ? 0 : level);
        expr_print(pretty->out, expr);
        pretty->next += measured.nodes;
        return;
    }
    pretty->next++;
    if (expr->kind == EXPR_UNARY) {
        print_unary(pretty, expr, level);
    } else if (expr->kind == EXPR_BINARY) {
        print_binary(pretty, expr, level);
    } else if (expr->kind == EXPR_SUBQUERY) {
        print(pretty, expr->subquery.expr, level);
        subquery_print_suffix(pretty->out, expr);
    } else {
        print_broken(pretty, expr, level);
    }
}

void expr_print_pretty(struct buf *out, const struct expr *expr)
{
    struct pretty pretty = {.out = out};
    measure(&pretty, expr);
    print(&pretty, expr, 0);
    vec_deinit(&pretty.measures);
    buf_deinit(&pretty.scratch);
}
