#include "query/exemplar_query.h"

#include "peers/record.h"
#include "promql/parse.h"

/* -- the selectors of a query -- */

static void add_selectors(const struct expr *expr, struct arena *arena,
                          struct exemplar_selectors *out)
{
    if (!expr)
        return;
    switch (expr->kind) {
    case EXPR_SELECTOR:
        *records_add(out, arena) =
            (struct exemplar_selector){expr->selector.matchers, expr->selector.matcher_count};
        break;
    case EXPR_MATRIX:
        add_selectors(expr->matrix.selector, arena, out);
        break;
    case EXPR_SUBQUERY:
        add_selectors(expr->subquery.expr, arena, out);
        break;
    case EXPR_UNARY:
        add_selectors(expr->unary.expr, arena, out);
        break;
    case EXPR_BINARY:
        add_selectors(expr->binary.left, arena, out);
        add_selectors(expr->binary.right, arena, out);
        break;
    case EXPR_AGGREGATE:
        add_selectors(expr->aggregate.expr, arena, out);
        add_selectors(expr->aggregate.param, arena, out);
        break;
    case EXPR_CALL:
        for (size_t i = 0; i < expr->call.arg_count; i++)
            add_selectors(expr->call.args[i], arena, out);
        break;
    case EXPR_PAREN:
        add_selectors(expr->paren, arena, out);
        break;
    case EXPR_NUMBER:
    case EXPR_STRING:
    case EXPR_DURATION:
        break;
    }
}

struct error *exemplar_selectors_parse(struct str query, struct arena *arena,
                                       struct exemplar_selectors *out)
{
    const struct parse_options options = {true, true, true};
    struct expr *expr;
    *out = (struct exemplar_selectors){0};
    struct error *err = promql_parse(query, &options, arena, &expr);
    if (err)
        return err;
    add_selectors(expr, arena, out);
    if (out->count == 0)
        err = error_create(ERROR_INVALID, "no matchers specified (excluding external labels)");
    return err;
}

/* -- for one endpoint -- */

static bool contradicts(struct labels labels, const struct exemplar_selector *selector)
{
    for (size_t i = 0; i < selector->count; i++) {
        struct str value = labels_get(labels, selector->matchers[i].name);
        if (value.len && !matcher_matches(&selector->matchers[i], value))
            return true;
    }
    return false;
}

static bool fits(const struct exemplar_selector *selector, const struct labels *label_sets,
                 size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!contradicts(label_sets[i], selector))
            return true;
    return count == 0;
}

static bool is_external(struct str name, const struct labels *label_sets, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (labels_has(label_sets[i], name))
            return true;
    return false;
}

struct str exemplar_query_for(const struct exemplar_selectors *selectors,
                              const struct labels *label_sets, size_t label_set_count,
                              bool keeps_external, struct arena *arena)
{
    struct buf text = {0};
    for (size_t i = 0; i < selectors->count; i++) {
        const struct exemplar_selector *selector = &selectors->items[i];
        struct matcher *kept = arena_array(arena, selector->count, sizeof(*kept));
        size_t count = 0;
        if (!fits(selector, label_sets, label_set_count))
            continue;
        for (size_t j = 0; j < selector->count; j++)
            if (keeps_external ||
                !is_external(selector->matchers[j].name, label_sets, label_set_count))
                kept[count++] = selector->matchers[j];
        if (text.len)
            buf_append_byte(&text, '+');
        if (count)
            matchers_print(&text, kept, count);
        else /* all series; Prometheus refuses {} */
            buf_append_cstr(&text, "{__name__=~\".+\"}");
    }
    struct str query = arena_str(arena, buf_str(&text));
    buf_deinit(&text);
    return query;
}
