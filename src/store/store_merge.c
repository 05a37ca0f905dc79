#include "store/store_merge.h"

#include <stdlib.h>
#include <string.h>

#include "base/loser_tree.h"
#include "base/memory.h"
#include "store/chunk_lists.h"

enum { READ_AHEAD = 64, GIVE_MAX = 256 };

struct merge_input {
    struct series_set *set;
    struct arena *arena; /* of the batch; a new one for each batch, as the old may be kept */
    struct series_batch batch;
    size_t at;    /* == batch.count: the head is not known, or there is none */
    bool is_kept; /* by the arena of the running next() */
};

struct merge_set {
    struct series_set base;
    struct budget *budget;
    struct merge_input *inputs;
    size_t count;
    struct loser_tree tree;
    struct merge_input **pending; /* inputs that must be read before the next winner is known */
    size_t pending_count;
    struct chunk_list *lists; /* of the equal series found, [count] */
};

static bool input_has_head(const struct merge_input *input)
{
    return input->at < input->batch.count;
}

static const struct series *input_head(const struct merge_input *input)
{
    return &input->batch.items[input->at];
}

/* An input without a known head loses. While a series is taken that is right: sets give each label
 * set once, so what an input gives next is larger. */
static bool merge_less(void *self, size_t a, size_t b)
{
    const struct merge_set *set = self;
    const struct merge_input *x = &set->inputs[a], *y = &set->inputs[b];
    if (!input_has_head(x) || !input_has_head(y))
        return input_has_head(x) && !input_has_head(y);
    return labels_compare(input_head(x)->labels, input_head(y)->labels) < 0;
}

static struct merge_input *merge_winner(struct merge_set *set)
{
    return &set->inputs[loser_tree_winner(&set->tree)];
}

static struct error *input_refill(struct merge_set *set, struct merge_input *input)
{
    arena_unref(input->arena);
    input->arena = arena_create(set->budget);
    input->is_kept = false;
    input->at = 0;
    return series_set_next(input->set, input->arena, READ_AHEAD, &input->batch);
}

/* Reads all pending inputs, so that the tree knows its winner again. With may_wait off, *done is
 * false when one of them is not ready. */
static struct error *merge_refill(struct merge_set *set, bool may_wait, bool *done)
{
    *done = true;
    if (set->pending_count == 0)
        return NULL;
    while (set->pending_count) {
        struct merge_input *input = set->pending[set->pending_count - 1];
        if (!may_wait && !series_set_ready(input->set, NULL)) {
            *done = false;
            return NULL;
        }
        struct error *err = input_refill(set, input);
        if (err)
            return err;
        set->pending_count--;
    }
    loser_tree_rebuild(&set->tree);
    return NULL;
}

/* Takes the smallest label set from all inputs that have it; *got is false at the end. */
static struct error *merge_take(struct merge_set *set, struct arena *arena, struct series *out,
                                bool *got)
{
    struct merge_input *input = merge_winner(set);
    *got = input_has_head(input);
    if (!*got)
        return NULL;
    size_t found = 0;
    *out = *input_head(input);
    do {
        if (found == set->count)
            return error_create(ERROR_INTERNAL, "merge: a source gave one series twice");
        set->lists[found++] = input_head(input)->chunks;
        if (!input->is_kept)
            arena_keep(arena, input->arena);
        input->is_kept = true;
        if (++input->at == input->batch.count)
            set->pending[set->pending_count++] = input;
        loser_tree_replay(&set->tree);
        input = merge_winner(set);
    } while (input_has_head(input) && labels_equal(input_head(input)->labels, out->labels));
    if (found > 1)
        out->chunks = chunk_lists_join(arena, set->lists, found);
    return NULL;
}

static struct error *merge_next(struct series_set *base, struct arena *arena, size_t max,
                                struct series_batch *out)
{
    struct merge_set *set = container_of(base, struct merge_set, base);
    for (size_t i = 0; i < set->count; i++)
        set->inputs[i].is_kept = false;
    max = size_min(max, GIVE_MAX);
    out->items = arena_array(arena, max, sizeof(*out->items));
    bool more = true;
    while (more && out->count < max) {
        struct error *err = merge_refill(set, out->count == 0, &more);
        if (!err && more)
            err = merge_take(set, arena, &out->items[out->count], &more);
        if (err)
            return err;
        out->count += more;
    }
    return arena_status(arena);
}

/* All pending inputs are needed, so it is enough to wait for one after another. */
static bool merge_ready(struct series_set *base, const struct series_wake *wake)
{
    struct merge_set *set = container_of(base, struct merge_set, base);
    for (size_t i = set->pending_count; i-- > 0;)
        if (!series_set_ready(set->pending[i]->set, wake))
            return false;
    return true;
}

static void merge_cancel(struct series_set *base)
{
    struct merge_set *set = container_of(base, struct merge_set, base);
    for (size_t i = 0; i < set->count; i++)
        series_set_cancel(set->inputs[i].set);
}

static void merge_stats(struct series_set *base, struct series_set_stats *add_to)
{
    struct merge_set *set = container_of(base, struct merge_set, base);
    for (size_t i = 0; i < set->count; i++)
        series_set_stats(set->inputs[i].set, add_to);
}

static void merge_free(struct series_set *base)
{
    struct merge_set *set = container_of(base, struct merge_set, base);
    merge_cancel(base); /* all of them before the first one is waited for */
    for (size_t i = 0; i < set->count; i++) {
        series_set_free(set->inputs[i].set);
        arena_unref(set->inputs[i].arena);
    }
    loser_tree_deinit(&set->tree);
    free(set->inputs);
    free(set->pending);
    free(set->lists);
    free(set);
}

static const struct series_set_ops merge_ops = {
    .next = merge_next,
    .ready = merge_ready,
    .cancel = merge_cancel,
    .stats = merge_stats,
    .free = merge_free,
};

struct series_set *series_set_merge(struct budget *budget, struct series_set *const *sets,
                                    size_t count)
{
    if (count == 0)
        return series_set_empty();
    if (count == 1)
        return sets[0];
    struct merge_set *set = xcalloc(1, sizeof(*set));
    set->base.ops = &merge_ops;
    set->budget = budget;
    set->count = count;
    set->inputs = xcalloc(count, sizeof(*set->inputs));
    set->pending = xcalloc(count, sizeof(struct merge_input *));
    set->lists = xcalloc(count, sizeof(*set->lists));
    for (size_t i = 0; i < count; i++) {
        set->inputs[i].set = sets[i];
        set->pending[set->pending_count++] = &set->inputs[i];
    }
    loser_tree_init(&set->tree, count, merge_less, set);
    return &set->base;
}
