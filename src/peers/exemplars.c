#include "peers/exemplars.h"

#include <stdlib.h>

/* -- their form -- */

/* In JSON the time stands before the value. */
static const struct field exemplar_fields[] = {
    {1, "labels", FIELD_LABELS, offsetof(struct exemplar, labels)},
    {3, "timestamp", FIELD_TIME_MS, offsetof(struct exemplar, time_ms)},
    {2, "value", FIELD_DOUBLE_TEXT, offsetof(struct exemplar, value)},
};
static const struct record_type exemplar_type = RECORD_TYPE(struct exemplar, exemplar_fields);

static const struct field series_fields[] = {
    {1, "seriesLabels", FIELD_LABELS, offsetof(struct series_exemplars, labels)},
    {2, "exemplars", FIELD_RECORDS, offsetof(struct series_exemplars, exemplars),
     .of = &exemplar_type},
};
const struct record_type series_exemplars_type =
    RECORD_TYPE(struct series_exemplars, series_fields);

/* -- joining -- */

static int compare_exemplars(const void *left, const void *right)
{
    const struct exemplar *a = left, *b = right;
    if (a->time_ms != b->time_ms)
        return a->time_ms < b->time_ms ? -1 : 1;
    int order = labels_compare(a->labels, b->labels);
    if (order)
        return order;
    return a->value < b->value ? -1 : a->value > b->value;
}

static void dedup_exemplars(struct series_exemplars *series)
{
    struct exemplar *items = series->exemplars.items;
    size_t kept = 0;
    qsort(items, series->exemplars.count, sizeof(*items), compare_exemplars);
    for (size_t i = 0; i < series->exemplars.count; i++)
        if (kept == 0 || compare_exemplars(&items[kept - 1], &items[i]) != 0)
            items[kept++] = items[i];
    series->exemplars.count = kept;
}

static int compare_series(const void *left, const void *right)
{
    const struct series_exemplars *a = left, *b = right;
    return labels_compare(a->labels, b->labels);
}

struct series_exemplars_list exemplars_join(const struct series_exemplars *answers, size_t count,
                                            struct arena *arena, const struct str *replica_labels,
                                            size_t replica_label_count)
{
    struct series_exemplars *all = arena_array(arena, count, sizeof(*all));
    size_t given = 0, kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (answers[i].exemplars.count == 0)
            continue;
        all[given] = answers[i];
        all[given].labels =
            labels_without(arena, all[given].labels, replica_labels, replica_label_count);
        given++;
    }
    if (given)
        qsort(all, given, sizeof(*all), compare_series);
    for (size_t i = 0; i < given; i++) {
        if (kept == 0 || compare_series(&all[kept - 1], &all[i]) != 0) {
            all[kept++] = all[i];
            continue;
        }
        for (size_t j = 0; j < all[i].exemplars.count; j++)
            *records_add(&all[kept - 1].exemplars, arena) = all[i].exemplars.items[j];
    }
    for (size_t i = 0; i < kept; i++)
        dedup_exemplars(&all[i]);
    return (struct series_exemplars_list){all, kept};
}
