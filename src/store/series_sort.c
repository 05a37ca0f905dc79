#include "store/series_sort.h"

#include <stdlib.h>

#include "base/budget.h"
#include "base/memory.h"
#include "base/vec.h"
#include "store/chunk_lists.h"

enum { READ_MAX = 256, GIVE_MAX = 256 };

struct sort_set {
    struct series_set base;
    struct series_set *inner;
    struct str_list without;
    struct arena *arena; /* of all series */
    VEC(struct series) series;
    VEC(struct chunk_list) lists; /* of the series that are being joined */
    size_t at;
    bool is_complete;
    struct error *failure;       /* found while gathering, for the next next() */
    struct error *inner_failure; /* told after the series that came before it */
};

static int series_compare(const void *a, const void *b)
{
    const struct series *x = a, *y = b;
    return labels_compare(x->labels, y->labels);
}

/* qsort may take as much again as it sorts. */
static struct error *sort_order(struct sort_set *set)
{
    struct budget *budget = arena_budget(set->arena);
    size_t bytes = set->series.len * sizeof(*set->series.items);
    struct error *err = budget_charge(budget, bytes, "sorting series");
    if (err)
        return err;
    if (set->series.len)
        qsort(set->series.items, set->series.len, sizeof(*set->series.items), series_compare);
    budget_release(budget, bytes);
    return NULL;
}

/* Reads one batch more; at the end, sorts. */
static struct error *sort_gather(struct sort_set *set)
{
    struct series_batch batch;
    struct error *err = NULL;
    set->inner_failure = series_set_next(set->inner, set->arena, READ_MAX, &batch);
    if (batch.count == 0) {
        set->is_complete = true;
        return sort_order(set);
    }
    for (size_t i = 0; i < batch.count; i++) {
        struct series series = batch.items[i];
        series.labels =
            labels_without(set->arena, series.labels, set->without.items, set->without.count);
        (void)vec_push(&set->series, series);
    }
    err = vec_status(&set->series);
    return err ? err : arena_status(set->arena);
}

/* The series at `at` and those equal to it. */
static struct error *sort_take(struct sort_set *set, struct arena *arena, struct series *out)
{
    *out = set->series.items[set->at];
    vec_clear(&set->lists);
    do
        (void)vec_push(&set->lists, set->series.items[set->at++].chunks);
    while (set->at < set->series.len &&
           labels_equal(out->labels, set->series.items[set->at].labels));
    struct error *err = vec_status(&set->lists);
    if (!err)
        out->chunks = chunk_lists_join(arena, set->lists.items, set->lists.len);
    return err;
}

static struct error *sort_next(struct series_set *base, struct arena *arena, size_t max,
                               struct series_batch *out)
{
    struct sort_set *set = container_of(base, struct sort_set, base);
    struct error *err = set->failure;
    set->failure = NULL;
    while (!err && !set->is_complete)
        err = sort_gather(set);
    if (!err && set->at == set->series.len) {
        err = set->inner_failure;
        set->inner_failure = NULL;
        return err;
    }
    if (err)
        return err;
    max = size_min(size_min(max, GIVE_MAX), set->series.len - set->at);
    out->items = arena_array(arena, max, sizeof(*out->items));
    while (!err && out->count < max && set->at < set->series.len)
        err = sort_take(set, arena, &out->items[out->count++]);
    arena_keep(arena, set->arena);
    return err ? err : arena_status(arena);
}

static bool sort_ready(struct series_set *base, const struct series_wake *wake)
{
    struct sort_set *set = container_of(base, struct sort_set, base);
    while (!set->is_complete && !set->failure) {
        if (!series_set_ready(set->inner, wake))
            return false;
        set->failure = sort_gather(set);
    }
    return true;
}

static void sort_cancel(struct series_set *base)
{
    series_set_cancel(container_of(base, struct sort_set, base)->inner);
}

static void sort_stats(struct series_set *base, struct series_set_stats *add_to)
{
    series_set_stats(container_of(base, struct sort_set, base)->inner, add_to);
}

static void sort_free(struct series_set *base)
{
    struct sort_set *set = container_of(base, struct sort_set, base);
    series_set_free(set->inner);
    vec_deinit(&set->series);
    vec_deinit(&set->lists);
    arena_unref(set->arena);
    error_free(set->failure);
    error_free(set->inner_failure);
    free(set);
}

static const struct series_set_ops sort_ops = {
    .next = sort_next,
    .ready = sort_ready,
    .cancel = sort_cancel,
    .stats = sort_stats,
    .free = sort_free,
};

struct series_set *series_set_sort(struct budget *budget, struct series_set *inner,
                                   struct str_list without)
{
    struct sort_set *set = xcalloc(1, sizeof(*set));
    set->base.ops = &sort_ops;
    set->inner = inner;
    set->arena = arena_create(budget);
    set->series.budget = budget;
    set->lists.budget = budget;
    set->without = str_list_copy(set->arena, without);
    return &set->base;
}
