/* How long a series takes on its way through a query's stores: decoded from frames of 64, joined,
 * merged with a replica; and through a sidecar's: external labels added, encoded. Prints
 * nanoseconds a series, best of some rounds. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/memory.h"
#include "rpc/series_wire.h"
#include "store/series_add_labels.h"
#include "store/series_join.h"
#include "store/store_merge.h"

enum { SERIES = 100000, CHUNKS = 3, FRAME = 64, ROUNDS = 10, CHUNK_BYTES = 160 };

static double now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* Frames as a store would send them. */
struct frames {
    struct buf bytes;
    size_t ends[SERIES / FRAME + 1];
    size_t count;
};

static struct frames frames_make(const char *replica)
{
    struct frames frames = {0};
    struct arena *arena = arena_create(NULL);
    struct series *items = arena_array(arena, SERIES, sizeof(*items));
    static uint8_t data[CHUNK_BYTES];
    for (size_t i = 0; i < SERIES; i++) {
        struct labels_builder builder = labels_builder_create(arena);
        labels_builder_set(&builder, STR("__name__"), STR("http_request_duration_seconds_bucket"));
        labels_builder_set(&builder, STR("cluster"), STR("eu-west-1"));
        labels_builder_set(&builder, STR("instance"),
                           arena_printf(arena, "10.0.%03zu.%03zu:9100", i / 200, i % 200));
        labels_builder_set(&builder, STR("job"), STR("node-exporter"));
        labels_builder_set(&builder, STR("le"), STR("0.25"));
        labels_builder_set(&builder, STR("replica"), str_from(replica));
        items[i].labels = labels_builder_finish(&builder);
        items[i].chunks =
            (struct chunk_list){arena_array(arena, CHUNKS, sizeof(struct chunk)), CHUNKS};
        for (size_t j = 0; j < CHUNKS; j++)
            items[i].chunks.items[j] =
                (struct chunk){.min_time = 1700000000000 + (int64_t)j * 7200000,
                               .max_time = 1700000000000 + (int64_t)j * 7200000 + 7199000,
                               .raw = {CHUNK_XOR, {data, sizeof(data)}, 0}};
    }
    for (size_t i = 0; i < SERIES; i += FRAME) {
        series_frame_encode(&frames.bytes, items + i, size_min(FRAME, SERIES - i), false);
        frames.ends[frames.count++] = frames.bytes.len;
    }
    arena_unref(arena);
    return frames;
}

struct frames_set {
    struct series_set base;
    const struct frames *frames;
    size_t at;
};

static struct error *frames_next(struct series_set *base, struct arena *arena, size_t max,
                                 struct series_batch *out)
{
    struct frames_set *set = container_of(base, struct frames_set, base);
    (void)max;
    if (set->at == set->frames->count)
        return NULL;
    size_t start = set->at ? set->frames->ends[set->at - 1] : 0;
    struct bytes message = {(const uint8_t *)set->frames->bytes.data + start,
                            set->frames->ends[set->at++] - start};
    struct series_frame frame;
    struct error *err = series_frame_decode(message, arena, &frame);
    *out = (struct series_batch){frame.items, frame.count};
    return err;
}

static void frames_cancel(struct series_set *base)
{
    (void)base;
}

static void frames_free(struct series_set *base)
{
    free(base);
}

static const struct series_set_ops frames_ops = {
    .next = frames_next, .cancel = frames_cancel, .free = frames_free};

static struct series_set *frames_set(const struct frames *frames)
{
    struct frames_set *set = xcalloc(1, sizeof(*set));
    set->base.ops = &frames_ops;
    set->frames = frames;
    return &set->base;
}

static size_t drain(struct series_set *set, struct buf *out)
{
    size_t count = 0;
    struct series_batch batch;
    do {
        struct arena *arena = arena_create(NULL);
        struct error *err = series_set_next(set, arena, FRAME, &batch);
        if (err) {
            fprintf(stderr, "%.*s\n", STR_ARG(error_text(err)));
            exit(1);
        }
        count += batch.count;
        if (out && batch.count) {
            buf_clear(out);
            series_frame_encode(out, batch.items, batch.count, false);
        }
        arena_unref(arena);
    } while (batch.count);
    series_set_free(set);
    return count;
}

static struct series_set *decoded(const struct frames *frames)
{
    return frames_set(frames);
}

static struct series_set *joined(const struct frames *frames)
{
    return series_set_join(NULL, frames_set(frames), NULL);
}

static struct series_set *merged_same(const struct frames *frames)
{
    struct series_set *sets[] = {joined(frames), joined(frames)};
    return series_set_merge(NULL, sets, 2);
}

static struct series_set *merged_other(const struct frames *frames)
{
    struct series_set *sets[] = {joined(frames), joined(frames + 1)};
    return series_set_merge(NULL, sets, 2);
}

static struct series_set *labelled(const struct frames *frames)
{
    struct arena *arena = arena_create(NULL);
    struct labels_builder builder = labels_builder_create(arena);
    labels_builder_set(&builder, STR("datacenter"), STR("eu1"));
    labels_builder_set(&builder, STR("tenant"), STR("team-a"));
    struct series_set *set =
        series_set_add_labels(NULL, joined(frames), labels_builder_finish(&builder));
    arena_unref(arena);
    return set;
}

int main(void)
{
    static const struct {
        const char *name;
        struct series_set *(*make)(const struct frames *frames);
        int encode;
    } cases[] = {
        {"decode", decoded, 0},
        {"decode, join", joined, 0},
        {"decode, join, merge equal series of two", merged_same, 0},
        {"decode, join, merge other series of two", merged_other, 0},
        {"decode, join, add labels", labelled, 0},
        {"decode, join, add labels, encode", labelled, 1},
    };
    static struct frames frames[2];
    frames[0] = frames_make("a");
    frames[1] = frames_make("b");
    for (size_t i = 0; i < countof(cases); i++) {
        double best = 1e18;
        size_t count = 0;
        struct buf out = {0};
        for (int round = 0; round < ROUNDS; round++) {
            double start = now_ns();
            count = drain(cases[i].make(frames), cases[i].encode ? &out : NULL);
            double took = now_ns() - start;
            best = took < best ? took : best;
        }
        buf_deinit(&out);
        printf("%-42s %6zu series %7.0f ns a series\n", cases[i].name, count,
               best / (double)SERIES);
    }
    return 0;
}
