#include "promql/execution.h"

#include <stdlib.h>
#include <string.h>

const struct str metadata_labels[3] = {STR_INIT("__name__"), STR_INIT("__type__"),
                                       STR_INIT("__unit__")};

struct error *execution_hold(struct execution *execution, size_t points)
{
    size_t held = atomic_fetch_add(&execution->samples_held, points) + points;
    size_t peak = atomic_load(&execution->samples_peak);
    while (held > peak && !atomic_compare_exchange_weak(&execution->samples_peak, &peak, held))
        ;
    if (held <= execution->samples_max)
        return NULL;
    return error_create(
        ERROR_LIMIT, "query processing would load too many samples into memory in query execution");
}

void execution_release(struct execution *execution, size_t points)
{
    atomic_fetch_sub(&execution->samples_held, points);
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
