#include "peers/tsdb_status.h"

#include <stdlib.h>

/* -- its form -- */

static const struct field count_fields[] = {
    {1, "name", FIELD_STR, offsetof(struct tsdb_count, name)},
    {2, "value", FIELD_UINT, offsetof(struct tsdb_count, value)},
};
static const struct record_type count_type = RECORD_TYPE(struct tsdb_count, count_fields);

static const struct field head_fields[] = {
    {1, "numSeries", FIELD_UINT, offsetof(struct tsdb_head, series)},
    {2, "numLabelPairs", FIELD_INT, offsetof(struct tsdb_head, label_pairs)},
    {3, "chunkCount", FIELD_INT, offsetof(struct tsdb_head, chunks)},
    {4, "minTime", FIELD_INT, offsetof(struct tsdb_head, min_time)},
    {5, "maxTime", FIELD_INT, offsetof(struct tsdb_head, max_time)},
};
static const struct record_type head_type = RECORD_TYPE(struct tsdb_head, head_fields);

#define LIST(which) offsetof(struct tsdb_stats, lists[which].list)
static const struct field stats_fields[] = {
    {1, "headStats", FIELD_RECORD, offsetof(struct tsdb_stats, head), .of = &head_type},
    {2, "seriesCountByMetricName", FIELD_RECORDS, LIST(TSDB_SERIES_BY_METRIC), .of = &count_type},
    {3, "labelValueCountByLabelName", FIELD_RECORDS, LIST(TSDB_VALUES_BY_LABEL), .of = &count_type},
    {4, "memoryInBytesByLabelName", FIELD_RECORDS, LIST(TSDB_BYTES_BY_LABEL), .of = &count_type},
    {5, "seriesCountByLabelValuePair", FIELD_RECORDS, LIST(TSDB_SERIES_BY_PAIR), .of = &count_type},
};
const struct record_type tsdb_stats_type = RECORD_TYPE(struct tsdb_stats, stats_fields);

static const struct field tenant_fields[] = {
    {1, NULL, FIELD_STR, offsetof(struct tsdb_tenant, tenant)},
    {2, NULL, FIELD_RECORD, offsetof(struct tsdb_tenant, stats), .of = &tsdb_stats_type},
};
static const struct record_type tenant_type = RECORD_TYPE(struct tsdb_tenant, tenant_fields);

static const struct field status_fields[] = {
    {1, NULL, FIELD_RECORDS, offsetof(struct tsdb_status, tenants), .of = &tenant_type},
};
const struct record_type tsdb_status_type = RECORD_TYPE(struct tsdb_status, status_fields);

/* -- adding -- */

static uint64_t sum(uint64_t a, uint64_t b)
{
    return a + b;
}

static uint64_t largest(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static int compare_names(const void *left, const void *right)
{
    const struct tsdb_count *a = left, *b = right;
    return str_compare(a->name, b->name);
}

static int compare_values(const void *left, const void *right)
{
    const struct tsdb_count *a = left, *b = right;
    if (a->value != b->value)
        return a->value > b->value ? -1 : 1;
    return str_compare(a->name, b->name);
}

static void counts_add(struct tsdb_counts *to, const struct tsdb_counts *more, struct arena *arena,
                       uint64_t (*join)(uint64_t, uint64_t))
{
    struct tsdb_counts all = {0};
    size_t kept = 0;
    for (size_t i = 0; i < to->list.count; i++)
        *records_add(&all.list, arena) = to->list.items[i];
    for (size_t i = 0; i < more->list.count; i++)
        *records_add(&all.list, arena) = more->list.items[i];
    struct tsdb_count *items = all.list.items;
    if (all.list.count)
        qsort(items, all.list.count, sizeof(*items), compare_names);
    for (size_t i = 0; i < all.list.count; i++) {
        if (kept && str_equal(items[kept - 1].name, items[i].name))
            items[kept - 1].value = join(items[kept - 1].value, items[i].value);
        else
            items[kept++] = items[i];
    }
    all.list.count = kept;
    if (kept)
        qsort(items, kept, sizeof(*items), compare_values);
    *to = all;
}

void tsdb_stats_add(struct tsdb_stats *to, const struct tsdb_stats *more, struct arena *arena)
{
    to->head.series += more->head.series;
    to->head.label_pairs =
        (int64_t)((uint64_t)to->head.label_pairs + (uint64_t)more->head.label_pairs);
    to->head.chunks = (int64_t)((uint64_t)to->head.chunks + (uint64_t)more->head.chunks);
    if (to->head.min_time <= 0 || to->head.min_time > more->head.min_time)
        to->head.min_time = more->head.min_time;
    if (to->head.max_time < more->head.max_time)
        to->head.max_time = more->head.max_time;
    for (int i = 0; i < TSDB_LISTS; i++)
        counts_add(&to->lists[i], &more->lists[i], arena,
                   i == TSDB_VALUES_BY_LABEL ? largest : sum);
}
