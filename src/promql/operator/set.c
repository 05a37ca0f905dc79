/* and, or, unless: rows pass or not by whether the other side has their key at a step. The other
 * side leaves only a bit per key and step. */
#include <stdlib.h>

#include "base/memory.h"
#include "promql/operator/match_key.h"
#include "promql/operator/operator.h"

struct set_key {
    struct match_key base;
    uint64_t *present; /* bitmap of steps */
};

struct set {
    struct operator base;
    struct execution *execution;
    const struct plan_node *node;
    struct operator* left, *right;
    struct match_keys keys;
    bool marks_are_complete, left_ended;
};

static struct error *set_mark(void *self, struct context *ctx, struct step_batch *batch,
                              struct arena *arena)
{
    struct set *set = self;
    size_t words = step_grid_words(batch->grid);
    for (size_t row = 0; row < batch->row_count; row++) {
        struct match_key *base;
        struct error *err = match_keys_find(&set->keys, batch, row, true, &base);
        if (err)
            return err;
        struct set_key *key = container_of(base, struct set_key, base);
        if (!key->present)
            key->present = arena_zalloc(set->keys.arena, (words + 1) * sizeof(*key->present));
        const uint64_t *present = step_batch_present(batch, row);
        for (size_t word = 0; word < words; word++)
            key->present[word] |= present[word];
    }
    return arena_status(set->keys.arena);
}

/* Leaves the steps of the rows at which their key is marked, or is not. */
static struct error *set_filter(struct set *set, struct step_batch *batch, bool keep_marked)
{
    size_t words = step_grid_words(batch->grid);
    for (size_t row = 0; row < batch->row_count; row++) {
        struct match_key *base;
        struct error *err = match_keys_find(&set->keys, batch, row, false, &base);
        if (err)
            return err;
        const struct set_key *key = base ? container_of(base, struct set_key, base) : NULL;
        uint64_t *present = step_batch_present(batch, row);
        for (size_t word = 0; word < words; word++) {
            uint64_t marked = key ? key->present[word] : 0;
            present[word] &= keep_marked ? marked : ~marked;
        }
        step_batch_trim_row(batch, row);
    }
    step_batch_drop_empty_rows(batch);
    return NULL;
}

/* All of the left side, which marks its keys on the way, then what the right side adds. */
static struct error *next_of_or(struct set *set, struct context *ctx, struct arena *arena,
                                struct step_batch **out)
{
    if (!set->left_ended) {
        struct error *err = operator_next(set->left, ctx, arena, out);
        if (err)
            return err;
        if (*out)
            return set_mark(set, ctx, *out, arena);
        set->left_ended = true;
    }
    struct error *err = operator_next(set->right, ctx, arena, out);
    return err || !*out ? err : set_filter(set, *out, false);
}

static struct error *set_next(struct operator* base, struct context *ctx, struct arena *arena,
                              struct step_batch **out)
{
    struct set *set = container_of(base, struct set, base);
    struct error *err = NULL;
    if (set->node->binary.op == BINARY_OR) {
        err = next_of_or(set, ctx, arena, out);
    } else {
        if (!set->marks_are_complete)
            err = operator_drain(set->right, set->execution, ctx, set_mark, set);
        set->marks_are_complete = true;
        if (!err)
            err = operator_next(set->left, ctx, arena, out);
        if (!err && *out)
            err = set_filter(set, *out, set->node->binary.op == BINARY_AND);
    }
    if (err)
        *out = NULL;
    return err;
}

static void set_explain(struct operator* base, struct buf *out)
{
    struct set *set = container_of(base, struct set, base);
    buf_append_cstr(out, "(");
    operator_explain(set->left, out);
    buf_printf(out, " %s ", binary_op_text(set->node->binary.op));
    operator_explain(set->right, out);
    buf_append_cstr(out, ")");
}

static void set_free(struct operator* base)
{
    struct set *set = container_of(base, struct set, base);
    operator_free(set->left);
    operator_free(set->right);
    match_keys_deinit(&set->keys);
    free(set);
}

static const struct operator_ops set_ops = {set_next, set_explain, set_free};

struct operator* set_create(struct execution *execution, const struct plan_node *node,
                            struct operator* left, struct operator* right)
{
    struct set *set = xcalloc(1, sizeof(*set));
    set->base = (struct operator){&set_ops, node->grid};
    set->execution = execution;
    set->node = node;
    set->left = left;
    set->right = right;
    match_keys_init(&set->keys, execution, node->binary.matching, sizeof(struct set_key));
    return &set->base;
}
