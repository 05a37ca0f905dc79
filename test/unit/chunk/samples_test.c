#include "support/test.h"

#include <math.h>
#include <stdlib.h>

#include "chunk/chunk.h"
#include "chunk/chunk_encoder.h"
#include "chunk/samples.h"
#include "model/histogram.h"

/* ---- the twin: Thanos's iterators, sample by sample ----
 *
 * Each has a current sample (none before the first next), next() and seek(); a histogram counts as
 * its sum and a flag. */

enum kind { NONE, FLOAT, HISTOGRAM };

struct twin {
    enum kind (*next)(struct twin *twin);
    enum kind (*seek)(struct twin *twin, int64_t time);
    int64_t (*time)(struct twin *twin);
    double (*value)(struct twin *twin);
    void (*adjust)(struct twin *twin, double last);
};

static void adjust_nothing(struct twin *twin UNUSED, double last UNUSED)
{
}

/* One chunk after another; of overlapping ones only what is behind the last time. */
struct twin_lane {
    struct twin base;
    const struct samples *chunks;
    size_t count, chunk;
    ptrdiff_t at; /* in the chunk, -1: before it */
    enum kind last;
};

static enum kind kind_at(const struct samples *samples, size_t at)
{
    return samples->histograms && samples->histograms[at] ? HISTOGRAM : FLOAT;
}

static int64_t lane_time(struct twin *base)
{
    struct twin_lane *lane = container_of(base, struct twin_lane, base);
    return lane->at < 0 ? INT64_MIN : lane->chunks[lane->chunk].times[lane->at];
}

static double lane_value(struct twin *base)
{
    struct twin_lane *lane = container_of(base, struct twin_lane, base);
    return lane->chunks[lane->chunk].values[lane->at];
}

static enum kind lane_seek(struct twin *base, int64_t time);

static enum kind lane_next(struct twin *base)
{
    struct twin_lane *lane = container_of(base, struct twin_lane, base);
    const struct samples *samples = &lane->chunks[lane->chunk];
    int64_t last_time = lane_time(base);
    if ((size_t)(lane->at + 1) < samples->count) {
        lane->at++;
        return lane->last = kind_at(samples, (size_t)lane->at);
    }
    if (lane->chunk + 1 >= lane->count)
        return NONE;
    lane->chunk++;
    lane->at = -1;
    return lane_seek(base, last_time + 1);
}

static enum kind lane_seek(struct twin *base, int64_t time)
{
    struct twin_lane *lane = container_of(base, struct twin_lane, base);
    while (lane_time(base) < time) {
        lane->last = lane_next(base);
        if (lane->last == NONE)
            return NONE;
    }
    return lane->last;
}

/* A counter's running total over the chunks of a lane. */
struct twin_total {
    struct twin base;
    const struct samples *chunks;
    size_t count, chunk;
    size_t at; /* next in the chunk */
    size_t seen;
    int64_t last_time;
    double last_value, total;
    enum kind last;
    double shown;
};

static int64_t total_time(struct twin *base)
{
    return container_of(base, struct twin_total, base)->last_time;
}

static double total_value(struct twin *base)
{
    return container_of(base, struct twin_total, base)->shown;
}

static enum kind total_next(struct twin *base)
{
    struct twin_total *total = container_of(base, struct twin_total, base);
    for (;;) {
        if (total->chunk == total->count)
            return NONE;
        const struct samples *samples = &total->chunks[total->chunk];
        if (total->at == samples->count) {
            total->chunk++;
            total->at = 0;
            continue;
        }
        size_t at = total->at++;
        int64_t time = samples->times[at];
        double value = samples->values[at];
        if (kind_at(samples, at) == HISTOGRAM) {
            total->last_time = time;
            total->shown = value;
            return total->last = HISTOGRAM;
        }
        if (isnan(value))
            continue;
        if (total->seen == 0 || time > total->last_time) {
            total->total +=
                total->seen && value >= total->last_value ? value - total->last_value : value;
            total->seen++;
            total->last_time = time;
            total->last_value = value;
            total->shown = total->total;
            return total->last = FLOAT;
        }
        if (time == total->last_time)
            total->last_value = value;
    }
}

static enum kind total_seek(struct twin *base, int64_t time)
{
    while (total_time(base) < time)
        if (total_next(base) == NONE)
            return NONE;
    return container_of(base, struct twin_total, base)->last;
}

/* Cut to the range of the query. */
struct twin_bounded {
    struct twin base;
    struct twin *inner;
    int64_t min, max;
};

static int64_t bounded_time(struct twin *base)
{
    struct twin *inner = container_of(base, struct twin_bounded, base)->inner;
    return inner->time(inner);
}

static double bounded_value(struct twin *base)
{
    struct twin *inner = container_of(base, struct twin_bounded, base)->inner;
    return inner->value(inner);
}

static enum kind bounded_seek(struct twin *base, int64_t time)
{
    struct twin_bounded *bounded = container_of(base, struct twin_bounded, base);
    if (time > bounded->max)
        return NONE;
    return bounded->inner->seek(bounded->inner, time < bounded->min ? bounded->min : time);
}

static enum kind bounded_next(struct twin *base)
{
    struct twin_bounded *bounded = container_of(base, struct twin_bounded, base);
    enum kind kind = bounded->inner->next(bounded->inner);
    if (kind == NONE)
        return NONE;
    if (bounded_time(base) < bounded->min) {
        kind = bounded_seek(base, bounded->min);
        if (kind == NONE)
            return NONE;
    }
    return bounded_time(base) <= bounded->max ? kind : NONE;
}

/* Raised when it lies below what another lane has shown. */
struct twin_lifted {
    struct twin base;
    struct twin *inner;
    double offset; /* of floats; histograms are not raised */
    enum kind kind;
};

static enum kind lifted_next(struct twin *base)
{
    struct twin_lifted *lifted = container_of(base, struct twin_lifted, base);
    return lifted->kind = lifted->inner->next(lifted->inner);
}

static enum kind lifted_seek(struct twin *base, int64_t time)
{
    struct twin_lifted *lifted = container_of(base, struct twin_lifted, base);
    return lifted->kind = lifted->inner->seek(lifted->inner, time);
}

static int64_t lifted_time(struct twin *base)
{
    struct twin *inner = container_of(base, struct twin_lifted, base)->inner;
    return inner->time(inner);
}

static double lifted_value(struct twin *base)
{
    struct twin_lifted *lifted = container_of(base, struct twin_lifted, base);
    double value = lifted->inner->value(lifted->inner);
    return lifted->kind == HISTOGRAM ? value : value + lifted->offset;
}

static void lifted_adjust(struct twin *base, double last)
{
    struct twin_lifted *lifted = container_of(base, struct twin_lifted, base);
    if (last > lifted_value(base))
        lifted->offset += last - lifted_value(base);
}

/* Two inputs by penalties. */
struct twin_dedup {
    struct twin base;
    struct twin *a, *b, *last;
    enum kind kind_a, kind_b;
    int64_t last_time, penalty_a, penalty_b;
    bool use_a;
};

static enum kind dedup_step(struct twin_dedup *dedup)
{
    if (dedup->kind_a != NONE)
        dedup->kind_a = dedup->a->seek(dedup->a, dedup->last_time + 1 + dedup->penalty_a);
    if (dedup->kind_b != NONE)
        dedup->kind_b = dedup->b->seek(dedup->b, dedup->last_time + 1 + dedup->penalty_b);
    if (dedup->kind_a == NONE) {
        dedup->use_a = false;
        if (dedup->kind_b != NONE) {
            dedup->last_time = dedup->b->time(dedup->b);
            dedup->last = dedup->b;
            dedup->penalty_b = 0;
        }
        return dedup->kind_b;
    }
    if (dedup->kind_b == NONE) {
        dedup->use_a = true;
        dedup->last_time = dedup->a->time(dedup->a);
        dedup->last = dedup->a;
        dedup->penalty_a = 0;
        return dedup->kind_a;
    }
    int64_t time_a = dedup->a->time(dedup->a), time_b = dedup->b->time(dedup->b);
    dedup->use_a = time_a <= time_b;
    int64_t time = dedup->use_a ? time_a : time_b;
    int64_t penalty = dedup->last_time == INT64_MIN ? 5000 : 2 * (time - dedup->last_time);
    dedup->penalty_a = dedup->use_a ? 0 : penalty;
    dedup->penalty_b = dedup->use_a ? penalty : 0;
    dedup->last_time = time;
    dedup->last = dedup->use_a ? dedup->a : dedup->b;
    return dedup->use_a ? dedup->kind_a : dedup->kind_b;
}

static void dedup_adjust(struct twin *base, double last)
{
    struct twin_dedup *dedup = container_of(base, struct twin_dedup, base);
    if (dedup->kind_a == FLOAT)
        dedup->a->adjust(dedup->a, last);
    if (dedup->kind_b == FLOAT)
        dedup->b->adjust(dedup->b, last);
}

static enum kind dedup_next(struct twin *base)
{
    struct twin_dedup *dedup = container_of(base, struct twin_dedup, base);
    bool used_a = dedup->use_a;
    bool was_float = (used_a ? dedup->kind_a : dedup->kind_b) == FLOAT;
    double last = was_float ? dedup->last->value(dedup->last) : 0;
    enum kind kind = dedup_step(dedup);
    if (used_a != dedup->use_a && was_float)
        dedup_adjust(base, last);
    return kind;
}

static int64_t dedup_time(struct twin *base)
{
    struct twin_dedup *dedup = container_of(base, struct twin_dedup, base);
    struct twin *used = dedup->use_a ? dedup->a : dedup->b;
    return used->time(used);
}

static double dedup_value(struct twin *base)
{
    struct twin_dedup *dedup = container_of(base, struct twin_dedup, base);
    return dedup->last->value(dedup->last);
}

static enum kind dedup_seek(struct twin *base, int64_t time)
{
    struct twin_dedup *dedup = container_of(base, struct twin_dedup, base);
    for (;;) {
        int64_t now = dedup_time(base);
        if (now >= time) {
            struct twin *used = dedup->use_a ? dedup->a : dedup->b;
            return used->seek(used, now);
        }
        if (dedup_next(base) == NONE)
            return NONE;
    }
}

/* ---- building it ---- */

static struct twin *twin_bounded_create(struct arena *arena, const struct samples *chunks,
                                        size_t count, bool counter,
                                        const struct sample_rules *rules)
{
    struct twin_bounded *bounded = arena_zalloc(arena, sizeof(*bounded));
    if (counter) {
        struct twin_total *total = arena_zalloc(arena, sizeof(*total));
        total->base =
            (struct twin){total_next, total_seek, total_time, total_value, adjust_nothing};
        total->chunks = chunks;
        total->count = count;
        bounded->inner = &total->base;
    } else {
        struct twin_lane *lane = arena_zalloc(arena, sizeof(*lane));
        lane->base = (struct twin){lane_next, lane_seek, lane_time, lane_value, adjust_nothing};
        lane->chunks = chunks;
        lane->count = count;
        lane->at = -1;
        bounded->inner = &lane->base;
    }
    bounded->base =
        (struct twin){bounded_next, bounded_seek, bounded_time, bounded_value, adjust_nothing};
    bounded->min = rules->data_min;
    bounded->max = rules->data_max;
    return &bounded->base;
}

static struct twin *twin_lifted_create(struct arena *arena, struct twin *inner)
{
    struct twin_lifted *lifted = arena_zalloc(arena, sizeof(*lifted));
    lifted->base =
        (struct twin){lifted_next, lifted_seek, lifted_time, lifted_value, lifted_adjust};
    lifted->inner = inner;
    return &lifted->base;
}

static struct twin *twin_dedup_create(struct arena *arena, struct twin *a, struct twin *b)
{
    struct twin_dedup *dedup = arena_zalloc(arena, sizeof(*dedup));
    dedup->base = (struct twin){dedup_next, dedup_seek, dedup_time, dedup_value, dedup_adjust};
    dedup->a = a;
    dedup->b = b;
    dedup->last = a;
    dedup->last_time = INT64_MIN;
    dedup->use_a = true;
    dedup->kind_a = a->next(a);
    dedup->kind_b = b->next(b);
    return &dedup->base;
}

enum { CHUNKS_MAX = 64 };

/* The chunks of a series decoded, and dealt out to lanes. */
struct twin_series {
    struct samples chunks[CHUNKS_MAX][CHUNKS_MAX]; /* by lane */
    size_t counts[CHUNKS_MAX], lanes;
};

static void twin_split(struct twin_series *series, const struct chunk_list *list, enum aggr aggr,
                       bool split, struct arena *arena)
{
    int64_t ends[CHUNKS_MAX];
    series->lanes = 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct chunk *chunk = &list->items[i];
        size_t lane = 0;
        while (split && lane < series->lanes && ends[lane] >= chunk->min_time)
            lane++;
        if (lane >= series->lanes) {
            series->lanes = lane + 1;
            series->counts[lane] = 0;
        }
        ends[lane] = chunk->max_time;
        const struct chunk_data *data = &chunk->raw;
        if (chunk->aggrs)
            data = &chunk->aggrs[aggr];
        CHECK_OK(chunk_decode(data, INT64_MIN, INT64_MAX, arena,
                              &series->chunks[lane][series->counts[lane]++]));
    }
}

static struct twin *twin_create(struct twin_series *series, bool counter,
                                const struct sample_rules *rules, struct arena *arena)
{
    struct twin *all = NULL;
    bool lift = rules->read == READ_COUNTER && series->lanes > 1;
    for (size_t i = 0; i < series->lanes; i++) {
        struct twin *lane =
            twin_bounded_create(arena, series->chunks[i], series->counts[i], counter, rules);
        if (lift)
            lane = twin_lifted_create(arena, lane);
        all = all ? twin_dedup_create(arena, all, lane) : lane;
    }
    return all;
}

/* ---- random series ---- */

struct series_shape {
    uint64_t *seed;
    struct arena *arena;
    bool counter, histograms, trailing;
};

static void encode_sample(const struct series_shape *shape, struct chunk_encoder *encoder,
                          int64_t time, double value)
{
    if (!shape->histograms || test_random_below(shape->seed, 4)) {
        chunk_encoder_float(encoder, time, value);
        return;
    }
    struct histogram *histogram = arena_zalloc(shape->arena, sizeof(*histogram));
    histogram->sum = histogram->count = value;
    chunk_encoder_histogram(encoder, time, histogram);
}

/* Makes chunks of a replica; some samples lack, counters reset, stale markers come. */
static void add_replica(const struct series_shape *shape, struct chunk_list *list)
{
    uint64_t *seed = shape->seed;
    int64_t interval = 1000 * (int64_t)(1 + test_random_below(seed, 20));
    int64_t time = 1000000 + (int64_t)test_random_below(seed, 60000);
    double value = (double)test_random_below(seed, 1000);
    size_t left = test_random_below(seed, 80);
    while (left > 0 && list->count < CHUNKS_MAX) {
        struct chunk_encoder encoder;
        struct chunk_list made;
        size_t size = size_min(left, 1 + test_random_below(seed, 12));
        left -= size;
        chunk_encoder_init(&encoder, shape->arena);
        for (size_t i = 0; i < size; i++) {
            if (shape->counter && test_random_below(seed, 15) == 0)
                value = (double)test_random_below(seed, 20);
            double shown = value;
            if (test_random_below(seed, 25) == 0)
                shown = double_from_bits(STALE_NAN_BITS);
            encode_sample(shape, &encoder, time, shown);
            if (shape->trailing && i + 1 == size) /* the true last value of the window */
                chunk_encoder_float(&encoder, time, (double)test_random_below(seed, 1000));
            time += interval + (int64_t)test_random_below(seed, 50);
            if (test_random_below(seed, 12) == 0)
                time += interval * (int64_t)test_random_below(seed, 8);
            value += (double)test_random_below(seed, 100) - (shape->counter ? 0 : 50);
        }
        CHECK_OK(chunk_encoder_finish(&encoder, &made));
        for (size_t i = 0; i < made.count && list->count < CHUNKS_MAX; i++)
            list->items[list->count++] = made.items[i];
    }
}

static int compare_chunks(const void *a, const void *b)
{
    return chunk_compare(a, b);
}

static struct chunk_list random_list(const struct series_shape *shape)
{
    struct chunk_list list = {arena_array(shape->arena, CHUNKS_MAX, sizeof(struct chunk)), 0};
    for (size_t replicas = 1 + test_random_below(shape->seed, 4); replicas > 0; replicas--)
        add_replica(shape, &list);
    qsort(list.items, list.count, sizeof(*list.items), compare_chunks);
    return list;
}

/* Turns some raw chunks into downsampled counters. */
static void make_counters(const struct series_shape *shape, struct chunk_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        struct chunk_data *aggrs = arena_zalloc(shape->arena, AGGR_NUMBER * sizeof(*aggrs));
        aggrs[AGGR_COUNTER] = list->items[i].raw;
        list->items[i].raw = (struct chunk_data){.encoding = CHUNK_NONE};
        list->items[i].aggrs = aggrs;
    }
}

static void random_range(uint64_t *seed, struct sample_rules *rules)
{
    rules->data_min = 900000 + (int64_t)test_random_below(seed, 400000);
    rules->data_max = rules->data_min + (int64_t)test_random_below(seed, 1500000);
    if (test_random_below(seed, 3) == 0)
        rules->data_min = INT64_MIN + 1;
    if (test_random_below(seed, 3) == 0)
        rules->data_max = INT64_MAX;
}

static void check_equal(struct twin *twin, const struct samples *samples,
                        const struct sample_rules *rules)
{
    size_t at = 0;
    for (enum kind kind; twin && (kind = twin->next(twin)) != NONE;) {
        int64_t time = twin->time(twin);
        if (time > rules->data_max) /* a seek may land behind the range */
            break;
        CHECK(at < samples->count);
        CHECK_EQ(samples->times[at], time);
        CHECK_DOUBLE(samples->values[at], twin->value(twin));
        at++;
    }
    CHECK_EQ(samples->count, at);
}

static void check_round(struct series_shape *shape, struct sample_rules rules, bool downsampled)
{
    static struct twin_series series;
    struct samples samples;
    struct chunk_list list = random_list(shape);
    random_range(shape->seed, &rules);
    if (downsampled)
        make_counters(shape, &list);
    twin_split(&series, &list, AGGR_COUNTER, rules.dedup != DEDUP_OFF, shape->arena);
    bool counter = rules.read == READ_COUNTER && (downsampled || series.lanes > 1);
    CHECK_OK(samples_read(&list, &rules, shape->arena, &samples));
    struct twin *twin = NULL;
    if (list.count)
        twin = twin_create(&series, counter, &rules, shape->arena);
    check_equal(twin, &samples, &rules);
    for (size_t i = 1; i < samples.count; i++)
        CHECK(samples.times[i - 1] < samples.times[i]);
}

static const struct {
    const char *name;
    struct sample_rules rules;
    bool counter, histograms, downsampled;
} read_cases[] = {
    {"dedup off", {DEDUP_OFF, READ_RAW, 0, 0}, false, false, false},
    {"dedup off, histograms", {DEDUP_OFF, READ_AVERAGE, 0, 0}, false, true, false},
    {"penalty", {DEDUP_PENALTY, READ_AVERAGE, 0, 0}, false, false, false},
    {"penalty, histograms", {DEDUP_PENALTY, READ_RAW, 0, 0}, false, true, false},
    {"penalty, counters", {DEDUP_PENALTY, READ_COUNTER, 0, 0}, true, false, false},
    {"penalty, gauges read as counters", {DEDUP_PENALTY, READ_COUNTER, 0, 0}, false, false, false},
    {"penalty, counters and histograms", {DEDUP_PENALTY, READ_COUNTER, 0, 0}, true, true, false},
    {"downsampled counters", {DEDUP_OFF, READ_COUNTER, 0, 0}, true, false, true},
    {"penalty, downsampled counters", {DEDUP_PENALTY, READ_COUNTER, 0, 0}, true, false, true},
};

TEST(columns_are_what_the_iterators_of_thanos_give)
{
    uint64_t seed = test_seed();
    struct arena *arena = arena_create(NULL);
    for_each_case(c, read_cases) {
        struct series_shape shape = {&seed, arena, c->counter, c->histograms, c->downsampled};
        for (int round = 0; round < 1500; round++) {
            check_round(&shape, c->rules, c->downsampled);
            arena_reset(arena);
        }
    }
    arena_unref(arena);
}

/* ---- by hand ---- */

static struct chunk chunk_of(struct arena *arena, const int64_t *times, const double *values,
                             size_t count)
{
    struct chunk_encoder encoder;
    struct chunk_list list;
    chunk_encoder_init(&encoder, arena);
    for (size_t i = 0; i < count; i++)
        chunk_encoder_float(&encoder, times[i], values ? values[i] : (double)i);
    CHECK_OK(chunk_encoder_finish(&encoder, &list));
    return list.items[0];
}

static const struct sample_rules all_penalty = {DEDUP_PENALTY, READ_RAW, INT64_MIN, INT64_MAX};

/* Parity Q52: a misses two scrapes. */
TEST(a_gap_switches_for_good)
{
    struct arena *arena = arena_create(NULL);
    static const int64_t a[] = {1000000, 1015000, 1030000, 1105000, 1120000, 1135000};
    int64_t b[10];
    for (int i = 0; i < 10; i++)
        b[i] = 1007000 + 15000 * i;
    struct chunk chunks[] = {chunk_of(arena, a, NULL, 6), chunk_of(arena, b, NULL, 10)};
    struct chunk_list list = {chunks, 2};
    struct samples samples;
    CHECK_OK(samples_read(&list, &all_penalty, arena, &samples));
    CHECK_EQ(samples.count, 11);
    CHECK_EQ(samples.times[0], 1000000);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(samples.times[i + 1], b[i]);
    struct sample_rules chain = {DEDUP_CHAIN, READ_RAW, INT64_MIN, INT64_MAX};
    CHECK_OK(samples_read(&list, &chain, arena, &samples));
    CHECK_EQ(samples.count, 16);
    struct sample_rules off = {DEDUP_OFF, READ_RAW, INT64_MIN, INT64_MAX};
    CHECK_OK(samples_read(&list, &off, arena, &samples));
    CHECK_EQ(samples.count, 7); /* all of a, then only 1142 of b */
    CHECK_EQ(samples.times[6], 1142000);
    arena_unref(arena);
}

TEST(a_single_raw_lane_is_left_alone)
{
    struct arena *arena = arena_create(NULL);
    static const int64_t times[] = {1, 2, 3, 4, 5};
    double values[] = {5, 3, 0, 7, 2};
    values[2] = double_from_bits(STALE_NAN_BITS);
    struct chunk chunk = chunk_of(arena, times, values, 5);
    struct chunk_list list = {&chunk, 1};
    struct sample_rules rules = {DEDUP_PENALTY, READ_COUNTER, 2, 4};
    struct samples samples;
    CHECK_OK(samples_read(&list, &rules, arena, &samples));
    CHECK_EQ(samples.count, 3);
    CHECK_DOUBLE(samples.values[0], 3);
    CHECK(sample_is_stale(samples.values[1]));
    CHECK_EQ(samples.times[2], 4);
    CHECK(!sample_is_stale(NAN));
    arena_unref(arena);
}

TEST(chain_takes_the_first_lane_of_equal_times)
{
    struct arena *arena = arena_create(NULL);
    static const int64_t a[] = {1, 3, 5}, b[] = {1, 2, 5, 6};
    static const double x[] = {10, 30, 50}, y[] = {11, 21, 51, 61};
    struct chunk chunks[] = {chunk_of(arena, a, x, 3), chunk_of(arena, b, y, 4)};
    struct chunk_list list = {chunks, 2};
    struct sample_rules rules = {DEDUP_CHAIN, READ_RAW, INT64_MIN, INT64_MAX};
    static const double want[] = {10, 21, 30, 50, 61};
    struct samples samples;
    CHECK_OK(samples_read(&list, &rules, arena, &samples));
    CHECK_EQ(samples.count, 5);
    for (size_t i = 0; i < 5; i++)
        CHECK_DOUBLE(samples.values[i], want[i]);
    arena_unref(arena);
}

static struct chunk downsampled(struct arena *arena, const int64_t *count_times,
                                const double *counts, size_t count)
{
    static const int64_t times[] = {100, 200, 300};
    static const double sums[] = {10, 40, 90};
    struct chunk_data *aggrs = arena_zalloc(arena, AGGR_NUMBER * sizeof(*aggrs));
    aggrs[AGGR_SUM] = chunk_of(arena, times, sums, 3).raw;
    aggrs[AGGR_COUNT] = chunk_of(arena, count_times, counts, count).raw;
    return (struct chunk){100, 300, {.encoding = CHUNK_NONE}, aggrs};
}

TEST(averages_are_sums_over_counts)
{
    struct arena *arena = arena_create(NULL);
    static const int64_t times[] = {100, 200, 300}, other[] = {100, 201, 300};
    static const double counts[] = {2, 4, 9};
    struct chunk chunk = downsampled(arena, times, counts, 3);
    struct chunk_list list = {&chunk, 1};
    struct sample_rules rules = {DEDUP_OFF, READ_AVERAGE, INT64_MIN, INT64_MAX};
    struct samples samples;
    CHECK_OK(samples_read(&list, &rules, arena, &samples));
    CHECK_EQ(samples.count, 3);
    CHECK_DOUBLE(samples.values[0], 5);
    CHECK_DOUBLE(samples.values[2], 10);
    rules.read = READ_COUNT;
    CHECK_OK(samples_read(&list, &rules, arena, &samples));
    CHECK_DOUBLE(samples.values[2], 9);
    rules.read = READ_MIN;
    CHECK_ERROR_TEXT(samples_read(&list, &rules, arena, &samples), ERROR_CORRUPT,
                     "no valid chunk found");
    rules.read = READ_AVERAGE;
    chunk = downsampled(arena, times, counts, 2);
    CHECK_ERROR_TEXT(samples_read(&list, &rules, arena, &samples), ERROR_CORRUPT,
                     "sum and count iterator not aligned");
    chunk = downsampled(arena, other, counts, 3);
    CHECK_ERROR_TEXT(samples_read(&list, &rules, arena, &samples), ERROR_CORRUPT,
                     "sum and count timestamps not aligned");
    arena_unref(arena);
}

TEST(two_columns_fold_by_penalty)
{
    struct arena *arena = arena_create(NULL);
    int64_t a[] = {1000, 2000, 9000}, b[] = {1500, 2500, 3500, 4500, 5500};
    double x[] = {1, 2, 3}, y[] = {4, 5, 6, 7, 8};
    struct samples left = {a, x, NULL, 3}, right = {b, y, NULL, 5}, out;
    static const int64_t want[] = {1000, 2000, 4500, 5500};
    CHECK_OK(samples_penalty(&left, &right, arena, &out));
    CHECK(out.count >= 3);
    for (size_t i = 0; i < 2; i++)
        CHECK_EQ(out.times[i], want[i]);
    struct samples none = {.count = 0};
    CHECK_OK(samples_penalty(&none, &right, arena, &out));
    CHECK_EQ(out.count, 5);
    CHECK_OK(samples_penalty(&none, &none, arena, &out));
    CHECK_EQ(out.count, 0);
    arena_unref(arena);
}

TEST(times_at_the_ends_of_the_range_end_the_fold)
{
    struct arena *arena = arena_create(NULL);
    int64_t a[] = {INT64_MIN, 0, INT64_MAX}, b[] = {INT64_MIN + 1, INT64_MAX - 1, INT64_MAX};
    double x[] = {1, 2, 3};
    struct samples left = {a, x, NULL, 3}, right = {b, x, NULL, 3}, out;
    CHECK_OK(samples_penalty(&left, &right, arena, &out));
    for (size_t i = 1; i < out.count; i++)
        CHECK(out.times[i - 1] < out.times[i]);
    arena_unref(arena);
}

TEST(too_many_lanes_and_too_little_memory_are_told)
{
    struct budget *budget = budget_create(NULL, "test", 400 * 1024);
    struct arena *arena = arena_create(NULL), *small = arena_create(budget);
    struct chunk_list list = {arena_array(arena, 1100, sizeof(struct chunk)), 1100};
    int64_t times[120];
    for (int64_t i = 0; i < 120; i++)
        times[i] = i;
    for (size_t i = 0; i < list.count; i++)
        list.items[i] = chunk_of(arena, times, NULL, 120);
    struct samples samples;
    CHECK_ERROR_TEXT(samples_read(&list, &all_penalty, arena, &samples), ERROR_LIMIT,
                     "more than 1000 chunks");
    list.count = 999;
    CHECK_OK(samples_read(&list, &all_penalty, arena, &samples));
    CHECK_EQ(samples.count, 120);
    CHECK_ERROR(samples_read(&list, &all_penalty, small, &samples), ERROR_LIMIT);
    arena_unref(arena);
    arena_unref(small);
    budget_free(budget);
}

TEST_MAIN(TEST_ENTRY(columns_are_what_the_iterators_of_thanos_give),
          TEST_ENTRY(a_gap_switches_for_good), TEST_ENTRY(a_single_raw_lane_is_left_alone),
          TEST_ENTRY(chain_takes_the_first_lane_of_equal_times),
          TEST_ENTRY(averages_are_sums_over_counts), TEST_ENTRY(two_columns_fold_by_penalty),
          TEST_ENTRY(times_at_the_ends_of_the_range_end_the_fold),
          TEST_ENTRY(too_many_lanes_and_too_little_memory_are_told))
