/* label_replace() and label_join(): rows keep their values and get other labels. */
#include <stdlib.h>

#include "base/memory.h"
#include "codec/regex.h"
#include "promql/operator/operator.h"

struct labels_stage {
    struct row_stage base;
    struct str target;
    bool target_is_name;

    struct regex *regex; /* of label_replace() */
    struct str replacement, source;
    size_t group_count;
};

static struct str string_arg(const struct plan_node *node, size_t index)
{
    return node->call.args[index]->string;
}

/* The new value of the target; false: the row stays as it is. */
static bool replaced_value(const struct labels_stage *stage, struct labels labels, struct buf *out)
{
    struct str groups[REGEX_GROUPS_MAX];
    struct str value = labels_get(labels, stage->source);
    size_t count = size_min(stage->group_count + 1, REGEX_GROUPS_MAX);
    if (!regex_match_groups(stage->regex, value, groups, count))
        return false;
    regex_expand(stage->regex, stage->replacement, groups, count, out);
    return true;
}

static void joined_value(const struct labels_stage *stage, struct labels labels, struct buf *out)
{
    const struct plan_node *node = stage->base.node;
    for (size_t i = 3; i < node->call.arg_count; i++) {
        if (i > 3)
            buf_append_str(out, string_arg(node, 2));
        buf_append_str(out, labels_get(labels, string_arg(node, i)));
    }
}

static struct error *set_target(const struct labels_stage *stage, struct step_batch *batch,
                                size_t row, struct labels labels, struct str value,
                                struct arena *arena)
{
    struct labels_builder builder = labels_builder_from(arena, labels);
    labels_builder_set(&builder, stage->target, value);
    batch->labels[row] = labels_builder_finish(&builder);
    if (stage->target_is_name)
        batch->drop_name[row] = 0;
    return labels_builder_status(&builder);
}

static struct error *labels_apply(const struct row_stage *base, struct context *ctx,
                                  struct arena *arena, struct step_batch **batch_at)
{
    const struct labels_stage *stage = container_of(base, struct labels_stage, base);
    struct step_batch *batch = *batch_at;
    struct buf value = BUF_INIT(arena_budget(arena));
    struct error *err = NULL;
    for (size_t row = 0; row < batch->row_count && !err; row++) {
        struct labels labels = execution_labels(base->execution, batch, row, arena);
        bool is_new = true;
        buf_clear(&value);
        if (stage->regex)
            is_new = replaced_value(stage, labels, &value);
        else
            joined_value(stage, labels, &value);
        err = buf_status(&value);
        if (is_new && !err)
            err = set_target(stage, batch, row, labels, buf_str(&value), arena);
    }
    buf_deinit(&value);
    return err;
}

static void labels_explain(const struct row_stage *base, struct buf *out)
{
    buf_append_str(out, base->node->call.function->name);
}

static void labels_free(struct row_stage *base)
{
    struct labels_stage *stage = container_of(base, struct labels_stage, base);
    regex_free(stage->regex);
    free(stage);
}

static const struct row_stage_ops labels_ops = {NULL, labels_apply, labels_explain, labels_free};

static struct error *replace_init(struct labels_stage *stage, const struct plan_node *node)
{
    struct str text = string_arg(node, 4);
    stage->replacement = string_arg(node, 2);
    stage->source = string_arg(node, 3);
    struct error *err = regex_compile(text, &stage->regex);
    if (err) {
        error_free(err);
        return error_create(ERROR_QUERY, "invalid regular expression in label_replace(): %.*s",
                            STR_ARG(text));
    }
    stage->group_count = regex_group_count(stage->regex);
    return NULL;
}

static struct error *join_check(const struct plan_node *node)
{
    for (size_t i = 3; i < node->call.arg_count; i++) {
        if (!label_name_is_valid(string_arg(node, i)))
            return error_create(ERROR_QUERY, "invalid source label name in label_join(): %.*s",
                                STR_ARG(string_arg(node, i)));
    }
    return NULL;
}

struct error *labels_stage_create(struct execution *execution, const struct plan_node *node,
                                  struct row_stage **out)
{
    struct labels_stage *stage = xcalloc(1, sizeof(*stage));
    bool replaces = node->call.function->id == FUNCTION_LABEL_REPLACE;
    stage->base = (struct row_stage){&labels_ops, execution, node, node->grid, NULL};
    stage->target = string_arg(node, 1);
    stage->target_is_name = str_equal(stage->target, metadata_labels[0]);
    *out = &stage->base;
    struct error *err = replaces ? replace_init(stage, node) : join_check(node);
    if (!err && !label_name_is_valid(stage->target))
        err = error_create(ERROR_QUERY, "invalid destination label name in %s(): %.*s",
                           replaces ? "label_replace" : "label_join", STR_ARG(stage->target));
    return err;
}
