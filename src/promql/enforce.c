#include "promql/enforce.h"

struct error *matchers_enforce(const struct matcher *matchers, size_t count, struct str name,
                               struct str value, struct arena *arena, struct matcher **out,
                               size_t *out_count)
{
    size_t kept = 0;
    *out = arena_array(arena, count + 1, sizeof(**out));
    for (size_t i = 0; i < count; i++) {
        if (!str_equal(matchers[i].name, name))
            (*out)[kept++] = matchers[i];
    }
    *out_count = kept + 1;
    return matcher_create(arena, MATCH_EQUAL, name, value, &(*out)[kept]);
}

static struct error *enforce_selector(struct expr *expr, struct str name, struct str value,
                                      struct arena *arena)
{
    return matchers_enforce(expr->selector.matchers, expr->selector.matcher_count, name, value,
                            arena, &expr->selector.matchers, &expr->selector.matcher_count);
}

static struct error *enforce_two(struct expr *first, struct expr *second, struct str name,
                                 struct str value, struct arena *arena)
{
    struct error *err = first ? expr_enforce(first, name, value, arena) : NULL;
    return !err && second ? expr_enforce(second, name, value, arena) : err;
}

struct error *expr_enforce(struct expr *expr, struct str name, struct str value,
                           struct arena *arena)
{
    struct error *err = NULL;
    switch (expr->kind) {
    case EXPR_SELECTOR:
        return enforce_selector(expr, name, value, arena);
    case EXPR_MATRIX:
        return enforce_selector(expr->matrix.selector, name, value, arena);
    case EXPR_SUBQUERY:
        return expr_enforce(expr->subquery.expr, name, value, arena);
    case EXPR_UNARY:
        return expr_enforce(expr->unary.expr, name, value, arena);
    case EXPR_PAREN:
        return expr_enforce(expr->paren, name, value, arena);
    case EXPR_BINARY:
        return enforce_two(expr->binary.left, expr->binary.right, name, value, arena);
    case EXPR_AGGREGATE:
        return enforce_two(expr->aggregate.param, expr->aggregate.expr, name, value, arena);
    case EXPR_CALL:
        for (size_t i = 0; i < expr->call.arg_count && !err; i++)
            err = expr_enforce(expr->call.args[i], name, value, arena);
        return err;
    case EXPR_NUMBER:
    case EXPR_STRING:
    case EXPR_DURATION:
        break;
    }
    return NULL;
}
