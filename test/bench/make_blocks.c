/* titan-make-blocks BUCKET START_S HOURS SERIES STEP_S REPLICAS BLOCK_HOURS: fills a directory with
 * blocks as sidecars would have shipped them: counters and gauges that move as scraped ones do. */
#include <stdio.h>
#include <stdlib.h>

#include "block/block_writer.h"
#include "chunk/chunk_encoder.h"

struct plan {
    const char *bucket;
    int64_t start_s, hours, step_s, block_hours;
    size_t series, replicas;
};

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static struct labels labels_of_series(struct arena *arena, size_t number)
{
    struct labels_builder builder = labels_builder_create(arena);
    labels_builder_set(&builder, STR("__name__"),
                       number % 2 ? STR("bench_requests_total") : STR("bench_queue_length"));
    labels_builder_set(&builder, STR("instance"),
                       arena_printf(arena, "app-%03zu:8080", number % 50));
    labels_builder_set(&builder, STR("job"), arena_printf(arena, "job-%zu", number % 5));
    labels_builder_set(&builder, STR("path"), arena_printf(arena, "/api/v1/%05zu", number / 2));
    return labels_builder_finish(&builder);
}

static struct error *encode(const struct plan *plan, size_t number, int64_t from_s, int64_t to_s,
                            struct arena *arena, struct chunk_list *out)
{
    struct chunk_encoder encoder;
    uint64_t state = number * 0x9e3779b97f4a7c15u + 1;
    double value = (double)(number % 1000);
    chunk_encoder_init(&encoder, arena);
    for (int64_t at = from_s; at < to_s; at += plan->step_s) {
        uint64_t random = next_random(&state);
        value += number % 2 ? (double)(random % 20) : (double)(random % 3) - 1;
        chunk_encoder_float(&encoder, at * 1000 + (int64_t)(number % 1000), value);
    }
    return chunk_encoder_finish(&encoder, out);
}

static int series_compare(const void *a, const void *b)
{
    return labels_compare(((const struct series *)a)->labels, ((const struct series *)b)->labels);
}

static struct error *write_block(const struct plan *plan, size_t replica, int64_t from_s,
                                 int64_t to_s)
{
    struct arena *names = arena_create(NULL);
    struct series *all = arena_array(names, plan->series, sizeof(*all));
    struct block_meta meta = {.min_time = from_s * 1000, .max_time = to_s * 1000};
    struct block_writer *writer;
    struct ulid id = ulid_make(to_s * 1000);
    for (size_t i = 0; i < plan->series; i++) /* the number rides in the chunk count */
        all[i] = (struct series){labels_of_series(names, i), {NULL, i}};
    qsort(all, plan->series, sizeof(*all), series_compare);
    struct error *err = block_writer_open(str_from(plan->bucket), id, NULL, &writer);
    for (size_t i = 0; i < plan->series && !err; i++) {
        struct arena *arena = arena_create(NULL);
        struct series series = {.labels = all[i].labels};
        err = encode(plan, all[i].chunks.count, from_s, to_s, arena, &series.chunks);
        if (!err)
            err = block_writer_add(writer, &series);
        arena_unref(arena);
    }
    meta.compaction.level = 1;
    meta.compaction.sources = &id;
    meta.compaction.source_count = 1;
    meta.thanos.present = true;
    meta.thanos.source = STR("sidecar");
    struct labels_builder builder = labels_builder_create(names);
    labels_builder_set(&builder, STR("replica"), arena_printf(names, "%zu", replica));
    meta.thanos.labels = labels_builder_finish(&builder);
    if (!err)
        err = block_writer_finish(writer, &meta);
    block_writer_free(writer);
    arena_unref(names);
    return err;
}

int main(int argc, char **argv)
{
    if (argc != 8) {
        fprintf(stderr, "usage: titan-make-blocks BUCKET START_S HOURS SERIES STEP_S REPLICAS "
                        "BLOCK_HOURS\n");
        return 2;
    }
    struct plan plan = {.bucket = argv[1],
                        .start_s = atoll(argv[2]),
                        .hours = atoll(argv[3]),
                        .series = strtoul(argv[4], NULL, 10),
                        .step_s = atoll(argv[5]),
                        .replicas = strtoul(argv[6], NULL, 10),
                        .block_hours = atoll(argv[7])};
    struct error *err = NULL;
    for (int64_t hour = 0; hour < plan.hours && !err; hour += plan.block_hours) {
        for (size_t replica = 0; replica < plan.replicas && !err; replica++)
            err = write_block(&plan, replica, plan.start_s + hour * 3600,
                              plan.start_s + (hour + plan.block_hours) * 3600);
    }
    if (!err)
        return 0;
    fprintf(stderr, "titan-make-blocks: %.*s\n", STR_ARG(error_text(err)));
    error_free(err);
    return 1;
}
