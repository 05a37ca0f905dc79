#include "promql/execution.h"

#include <stdlib.h>
#include <string.h>

const struct str metadata_labels[3] = {STR_INIT("__name__"), STR_INIT("__type__"),
                                       STR_INIT("__unit__")};

static struct error *too_many_samples(void)
{
    return error_create(
        ERROR_LIMIT, "query processing would load too many samples into memory in query execution");
}

struct error *execution_hold(struct execution *execution, size_t points)
{
    size_t held = atomic_fetch_add(&execution->samples_held, points) + points;
    size_t peak = atomic_load(&execution->samples_peak);
    while (held > peak && !atomic_compare_exchange_weak(&execution->samples_peak, &peak, held))
        ;
    return held <= execution->samples_max ? NULL : too_many_samples();
}

void execution_release(struct execution *execution, size_t points)
{
    atomic_fetch_sub(&execution->samples_held, points);
}

struct error *execution_check_grid(struct execution *execution, const struct step_grid *grid)
{
    enum { COLUMNS = 8, SMALL = 20000 }; /* a group's, and what is in flight */
    if (grid->count <= SMALL)
        return NULL;
    if (grid->count > execution->samples_max || grid->count > UINT32_MAX)
        return too_many_samples();
    size_t bytes = grid->count * COLUMNS * sizeof(double);
    struct error *err = budget_charge(execution->budget, bytes, "a column of a subquery");
    if (!err)
        budget_release(execution->budget, bytes);
    return err;
}

struct labels execution_labels(const struct execution *execution, const struct step_batch *batch,
                               size_t row, struct arena *arena)
{
    struct labels labels = batch->labels[row];
    if (!batch->drop_name[row] || execution->delayed_names)
        return labels;
    return labels_without(arena, labels, metadata_labels, countof(metadata_labels));
}

void step_batch_drop_names(struct step_batch *batch)
{
    memset(batch->drop_name, 1, batch->row_count);
}

void labels_list_with_metadata(struct arena *arena, const struct str *names, size_t count,
                               struct str_list *out)
{
    size_t total = 0, all = count + countof(metadata_labels);
    struct str *items = arena_array(arena, all, sizeof(*items));
    memcpy(items, metadata_labels, sizeof(metadata_labels));
    if (count > 0)
        memcpy(items + countof(metadata_labels), names, count * sizeof(*items));
    qsort(items, all, sizeof(*items), str_compare_items);
    for (size_t i = 0; i < all; i++) {
        if (total == 0 || !str_equal(items[total - 1], items[i]))
            items[total++] = items[i];
    }
    *out = (struct str_list){items, total};
}
