/* load_with_nhcb: native histograms with custom buckets from series named _bucket, _count, _sum. */
#include "promql/script.h"

#include <math.h>
#include <stdlib.h>

#include "codec/float_text.h"

struct bound {
    double upper;
    const struct script_series *series;
};

struct classic {
    struct labels labels;
    struct bound bounds[128];
    size_t bound_count, value_count;
    const struct script_series *count, *sum;
    struct classic *next;
};

static const struct script_value *value_at(const struct script_series *series, size_t i)
{
    if (!series || i >= series->count || series->values[i].is_omitted ||
        series->values[i].histogram)
        return NULL;
    return &series->values[i];
}

static struct labels base_labels(struct arena *arena, struct labels labels, struct str name)
{
    struct labels_builder builder = labels_builder_from(arena, labels);
    labels_builder_set(&builder, STR("__name__"), name);
    labels_builder_remove(&builder, STR("le"));
    return labels_builder_finish(&builder);
}

static struct classic *find_classic(struct classic **list, struct labels labels,
                                    struct arena *arena)
{
    for (; *list; list = &(*list)->next)
        if (labels_equal((*list)->labels, labels))
            return *list;
    *list = arena_zalloc(arena, sizeof(**list));
    (*list)->labels = labels;
    return *list;
}

/* Takes the series into the histogram that it is a part of. */
static void collect(struct classic **list, const struct script_series *series, struct arena *arena)
{
    static const char *const suffixes[] = {"_bucket", "_count", "_sum"};
    struct str name = labels_get(series->labels, STR("__name__"));
    size_t kind = 0;
    while (kind < countof(suffixes) && !str_ends_with(name, str_from(suffixes[kind])))
        kind++;
    double upper = 0;
    bool has_bound = kind == 0 && float_from_str(labels_get(series->labels, STR("le")), &upper);
    if (kind == countof(suffixes) || (kind == 0 && (!has_bound || isnan(upper))))
        return;
    struct str base = str_slice(name, 0, name.len - strlen(suffixes[kind]));
    struct classic *classic = find_classic(list, base_labels(arena, series->labels, base), arena);
    classic->value_count = size_max(classic->value_count, series->count);
    if (kind == 0 && classic->bound_count < countof(classic->bounds))
        classic->bounds[classic->bound_count++] = (struct bound){upper, series};
    else if (kind == 1)
        classic->count = series;
    else if (kind == 2)
        classic->sum = series;
}

static int compare_bounds(const void *a, const void *b)
{
    double left = ((const struct bound *)a)->upper, right = ((const struct bound *)b)->upper;
    return left < right ? -1 : left > right;
}

/* The histogram at one time, or NULL when there is none. */
static struct histogram *convert(const struct classic *classic, size_t i, struct arena *arena)
{
    size_t count = 0, room = classic->bound_count + 1;
    double *bounds = arena_array(arena, room, sizeof(*bounds));
    double *buckets = arena_array(arena, room, sizeof(*buckets));
    double before = 0;
    for (size_t b = 0; b < classic->bound_count; b++) {
        const struct script_value *value = value_at(classic->bounds[b].series, i);
        if (!value || (count > 0 && bounds[count - 1] == classic->bounds[b].upper))
            continue;
        bounds[count] = classic->bounds[b].upper;
        buckets[count++] = value->value - before;
        before = value->value;
    }
    const struct script_value *total = value_at(classic->count, i);
    const struct script_value *sum = value_at(classic->sum, i);
    if (count == 0 && !total)
        return NULL;
    if (count == 0 || bounds[count - 1] != INFINITY) {
        bounds[count] = INFINITY;
        buckets[count++] = (total ? total->value : before) - before;
    }
    struct histogram *histogram = arena_zalloc(arena, sizeof(*histogram));
    struct histogram_span *span = arena_alloc(arena, sizeof(*span));
    *span = (struct histogram_span){0, (uint32_t)count};
    histogram->schema = HISTOGRAM_SCHEMA_CUSTOM;
    histogram->count = total ? total->value : before;
    histogram->sum = sum ? sum->value : 0;
    histogram->positive = (struct histogram_side){span, 1, buckets, count};
    histogram->custom_values = bounds;
    histogram->custom_count = count - 1;
    return histogram;
}

struct script_series *script_custom_histograms(const struct script_series *series,
                                               struct arena *arena)
{
    struct classic *all = NULL;
    struct script_series *first = NULL, **end = &first;
    for (; series; series = series->next)
        collect(&all, series, arena);
    for (struct classic *classic = all; classic; classic = classic->next) {
        qsort(classic->bounds, classic->bound_count, sizeof(classic->bounds[0]), compare_bounds);
        struct script_series *made = arena_zalloc(arena, sizeof(*made));
        made->labels = classic->labels;
        made->count = classic->value_count;
        made->values = arena_array(arena, made->count, sizeof(*made->values));
        for (size_t i = 0; i < made->count; i++) {
            struct histogram *histogram = convert(classic, i, arena);
            made->values[i] =
                (struct script_value){.is_omitted = !histogram, .histogram = histogram};
        }
        *end = made;
        end = &made->next;
    }
    return first;
}
