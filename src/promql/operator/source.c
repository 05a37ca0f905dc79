#include "promql/operator/source.h"

enum { SLICE_CHUNK_BYTES = 1 << 20 };

void slice_deinit(struct slice *slice)
{
    arena_unref(slice->arena);
    *slice = (struct slice){0};
}

struct error *source_open(struct source *source, struct execution *execution,
                          const struct plan_selector *selector)
{
    *source = (struct source){.execution = execution};
    struct store_query query = {
        .min_time = selector->select_min_ms,
        .max_time = selector->select_max_ms,
        .matchers = selector->matchers,
        .matcher_count = selector->matcher_count,
        .without_labels = execution->without_labels,
        .max_resolution_ms = selector->max_resolution_ms,
        .aggrs = selector->aggrs,
        .shard = execution->shard,
        .partial = execution->partial,
        .store_matches = execution->store_matches,
        .store_match_count = execution->store_match_count,
        .hints = selector->hints,
    };
    return store_select(execution->store, execution->ctx, &query, &source->set);
}

void source_deinit(struct source *source)
{
    slice_deinit(&source->rest);
    series_set_free(source->set);
    source->set = NULL;
}

static size_t chunk_bytes(const struct series *series)
{
    size_t bytes = 0;
    for (size_t i = 0; i < series->chunks.count; i++) {
        const struct chunk *chunk = &series->chunks.items[i];
        bytes += chunk->raw.bytes.len;
        for (size_t aggr = 0; chunk->aggrs && aggr < AGGR_NUMBER; aggr++)
            bytes += chunk->aggrs[aggr].bytes.len;
    }
    return bytes;
}

/* Labels are sorted, and these come early. */
static bool has_metadata_labels(struct labels labels)
{
    struct labels_reader reader = labels_read(labels);
    struct label label;
    while (labels_next(&reader, &label) && str_compare(label.name, STR("__unit__")) <= 0) {
        if (str_equal(label.name, STR("__type__")) || str_equal(label.name, STR("__unit__")))
            return true;
    }
    return false;
}

static void note_metadata_labels(struct execution *execution, const struct slice *slice)
{
    for (size_t i = 0; i < slice->count; i++) {
        if (has_metadata_labels(slice->series[i].labels)) {
            atomic_store(&execution->saw_metadata_labels, true);
            return;
        }
    }
}

static struct error *source_refill(struct source *source, size_t rows_max)
{
    struct slice *rest = &source->rest;
    struct series_batch series;
    slice_deinit(rest);
    rest->arena = arena_create(source->execution->budget);
    struct error *err = series_set_next(source->set, rest->arena, rows_max, &series);
    if (!err)
        err = arena_status(rest->arena);
    if (err)
        return err;
    source->ended = series.count == 0;
    rest->series = series.items;
    rest->count = series.count;
    if (!atomic_load(&source->execution->saw_metadata_labels))
        note_metadata_labels(source->execution, rest);
    return NULL;
}

struct error *source_next(struct source *source, size_t rows_max, struct slice *out)
{
    *out = (struct slice){0};
    struct slice *rest = &source->rest;
    if (rest->count == 0 && !source->ended) {
        struct error *err = source_refill(source, rows_max);
        if (err)
            return err;
    }
    if (rest->count == 0)
        return NULL;
    size_t bytes = 0, count = 0;
    while (count < rest->count && bytes < SLICE_CHUNK_BYTES)
        bytes += chunk_bytes(&rest->series[count++]);
    arena_ref(rest->arena);
    *out = (struct slice){rest->arena, rest->series, count};
    rest->series += count;
    rest->count -= count;
    return NULL;
}

struct sample_rules source_rules(const struct execution *execution,
                                 const struct plan_selector *selector)
{
    return (struct sample_rules){
        .dedup = execution->dedup,
        .read = selector->read,
        .data_min = execution->plan->data_min_ms,
        .data_max = execution->plan->data_max_ms,
        .start_times = execution->use_start_timestamps,
    };
}
