/* How long a sample takes from chunk to column, by kind of series, and through samples_read() with
 * one lane and with two. Prints nanoseconds a sample, best of some rounds. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "chunk/chunk.h"
#include "chunk/chunk_encoder.h"
#include "chunk/samples.h"

enum { SERIES_CHUNKS = 100, ROUNDS = 300 };

static uint64_t random_state = 88172645463325252u;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static double now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static double constant(double last)
{
    return last == 0 ? 42 : last;
}

static double counter(double last)
{
    return last + (double)(next_random() % 50);
}

static double gauge(double last)
{
    return last + (double)(next_random() % 1000) / 100 - 5;
}

static double noise(double last)
{
    (void)last;
    return (double)next_random() / 1e6;
}

struct shape {
    const char *name;
    double (*next)(double last);
    uint64_t jitter_ms;
};

static const struct shape shapes[] = {
    {"constant, even steps", constant, 0}, {"constant, jitter", constant, 5},
    {"counter, even steps", counter, 0},   {"counter, jitter", counter, 5},
    {"gauge, jitter", gauge, 5},           {"noise, jitter", noise, 5},
};

static struct chunk_list make_series(const struct shape *shape, int64_t start, struct arena *arena)
{
    struct chunk_encoder encoder;
    struct chunk_list list;
    double value = 0;
    chunk_encoder_init(&encoder, arena);
    for (int64_t i = 0; i < SERIES_CHUNKS * CHUNK_SAMPLES_MAX; i++) {
        int64_t jitter = shape->jitter_ms ? (int64_t)(next_random() % shape->jitter_ms) : 0;
        value = shape->next(value);
        chunk_encoder_float(&encoder, start + 15000 * i + jitter, value);
    }
    struct error *err = chunk_encoder_finish(&encoder, &list);
    if (err)
        exit(1);
    return list;
}

static size_t list_bytes(const struct chunk_list *list)
{
    size_t bytes = 0;
    for (size_t i = 0; i < list->count; i++)
        bytes += list->items[i].raw.bytes.len;
    return bytes;
}

static double measure(const struct chunk_list *list, enum dedup dedup, struct arena *scratch,
                      size_t *count)
{
    struct sample_rules rules = {dedup, READ_RAW, INT64_MIN, INT64_MAX};
    double best = 1e18;
    for (int round = 0; round < ROUNDS; round++) {
        struct samples samples;
        double start = now_ns();
        struct error *err = samples_read(list, &rules, scratch, &samples);
        double took = now_ns() - start;
        if (err)
            exit(1);
        *count = samples.count;
        best = took < best ? took : best;
        arena_reset(scratch);
    }
    return best;
}

static int compare_chunks(const void *a, const void *b)
{
    return chunk_compare(a, b);
}

int main(void)
{
    struct arena *arena = arena_create(NULL), *scratch = arena_create(NULL);
    printf("%-24s %14s %14s %22s\n", "series", "bytes/sample", "one lane, ns",
           "two lanes, ns/decoded");
    for (size_t i = 0; i < countof(shapes); i++) {
        size_t count;
        struct chunk_list list = make_series(&shapes[i], 1700000000000, arena);
        struct chunk_list other = make_series(&shapes[i], 1700000003000, arena);
        double one = measure(&list, DEDUP_OFF, scratch, &count) / (double)count;
        double size = (double)list_bytes(&list) / (double)count;
        struct chunk_list both = {arena_array(arena, list.count * 2, sizeof(struct chunk)), 0};
        for (size_t j = 0; j < list.count; j++) {
            both.items[both.count++] = list.items[j];
            both.items[both.count++] = other.items[j];
        }
        qsort(both.items, both.count, sizeof(struct chunk), compare_chunks);
        double two = measure(&both, DEDUP_PENALTY, scratch, &count) / (double)(2 * count);
        printf("%-24s %14.2f %14.2f %22.2f\n", shapes[i].name, size, one, two);
    }
    arena_unref(scratch);
    arena_unref(arena);
    return 0;
}
