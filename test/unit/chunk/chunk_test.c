#include "support/test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "chunk/chunk.h"
#include "chunk/chunk_encoder.h"
#include "chunk/samples.h"
#include "model/histogram.h"

/* Chunks that Prometheus 3.16 wrote, with what it reads in them: test/golden/chunks. */
struct golden {
    FILE *file;
    char *line;
    size_t cap;
    bool pending; /* line holds the head of the next chunk */
    struct arena *arena;
    struct chunk_data data;
    struct samples samples;
    struct str *texts; /* of histograms */
    bool has_starts;   /* samples.starts are known */
};

static void golden_open(struct golden *golden)
{
    *golden = (struct golden){.file = fopen(CHUNK_GOLDEN, "r"), .arena = arena_create(NULL)};
    CHECK(golden->file != NULL);
}

static void golden_close(struct golden *golden)
{
    fclose(golden->file);
    free(golden->line);
    arena_unref(golden->arena);
}

static bool golden_line(struct golden *golden)
{
    if (golden->pending) {
        golden->pending = false;
        return true;
    }
    ssize_t len = getline(&golden->line, &golden->cap, golden->file);
    if (len <= 0)
        return false;
    golden->line[len - 1] = 0;
    return true;
}

static uint8_t nibble(char c)
{
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static struct bytes from_hex(struct arena *arena, const char *hex)
{
    size_t len = strlen(hex) / 2;
    uint8_t *bytes = arena_bytes(arena, len);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]));
    return (struct bytes){bytes, len};
}

static void golden_sample(struct golden *golden)
{
    struct samples *samples = &golden->samples;
    char *rest = golden->line + 2;
    size_t at = samples->count++;
    samples->times[at] = strtoll(rest, &rest, 10);
    if (golden->line[0] == 'f') {
        samples->values[at] = double_from_bits(strtoull(rest, NULL, 16));
        return;
    }
    golden->samples.histograms[at] = arena_zalloc(golden->arena, sizeof(struct histogram));
    golden->samples.histograms[at]->reset = (enum histogram_reset)strtol(rest, &rest, 10);
    golden->texts[at] = arena_str(golden->arena, str_from(rest + 1));
}

static void golden_starts(struct golden *golden, size_t count)
{
    char *rest = golden->line + 1;
    golden->has_starts = true;
    CHECK_OK(samples_reserve_starts(golden->arena, count, &golden->samples));
    for (size_t i = 0; i < count; i++)
        golden->samples.starts[i] = strtoll(rest, &rest, 10);
}

static bool golden_next(struct golden *golden)
{
    golden->has_starts = false;
    arena_reset(golden->arena);
    if (!golden_line(golden))
        return false;
    char *rest = golden->line + strlen("chunk ");
    golden->data.encoding = (enum chunk_encoding)strtol(rest, &rest, 10);
    golden->data.bytes = from_hex(golden->arena, rest + 1);
    size_t count = chunk_sample_count(&golden->data);
    CHECK_OK(samples_reserve(golden->arena, count, true, &golden->samples));
    golden->texts = arena_array(golden->arena, count, sizeof(struct str));
    while (golden_line(golden)) {
        if (golden->line[0] == 'c') {
            golden->pending = true;
            break;
        }
        if (golden->line[0] == 's')
            golden_starts(golden, count);
        else
            golden_sample(golden);
    }
    return true;
}

static void check_samples(const struct golden *golden, const struct samples *samples)
{
    struct buf text = {0};
    CHECK_EQ(samples->count, golden->samples.count);
    for (size_t i = 0; i < samples->count; i++) {
        CHECK_EQ(samples->times[i], golden->samples.times[i]);
        const struct histogram *want = golden->samples.histograms[i];
        if (!want) {
            CHECK_EQ(double_bits(samples->values[i]), double_bits(golden->samples.values[i]));
            continue;
        }
        buf_clear(&text);
        histogram_print(&text, samples->histograms[i]);
        CHECK(str_equal(buf_str(&text), golden->texts[i]));
        CHECK_EQ(samples->histograms[i]->reset, want->reset);
        CHECK_OK(histogram_check(samples->histograms[i]));
        CHECK_EQ(double_bits(samples->values[i]), double_bits(samples->histograms[i]->sum));
    }
    buf_deinit(&text);
}

TEST(chunks_of_prometheus_are_read_as_it_reads_them)
{
    struct golden golden;
    struct samples samples;
    size_t seen = 0;
    golden_open(&golden);
    for (; golden_next(&golden); seen++) {
        CHECK_OK(chunk_decode(&golden.data, INT64_MIN, INT64_MAX, golden.arena, &samples));
        check_samples(&golden, &samples);
    }
    CHECK(seen > 250);
    golden_close(&golden);
}

TEST(start_times_are_read_where_they_are_asked_for)
{
    struct golden golden;
    size_t seen = 0, known = 0;
    golden_open(&golden);
    while (golden_next(&golden)) {
        size_t count = golden.samples.count;
        struct samples samples;
        CHECK_EQ(golden.has_starts, chunk_has_starts(golden.data.encoding));
        CHECK_OK(samples_reserve(golden.arena, count, chunk_has_histograms(golden.data.encoding),
                                 &samples));
        CHECK_OK(samples_reserve_starts(golden.arena, count, &samples));
        CHECK_OK(chunk_append(&golden.data, golden.arena, &samples));
        for (size_t i = 0; i < count; i++) {
            int64_t want = golden.has_starts ? golden.samples.starts[i] : 0;
            CHECK_EQ(samples.starts[i], want);
            known += want != 0;
        }
        seen += golden.has_starts;
    }
    CHECK(seen > 100);
    CHECK(known > 1000);
    golden_close(&golden);
}

TEST(transcoded_chunks_hold_the_same_samples)
{
    struct golden golden;
    struct samples samples;
    struct chunk_data plain;
    golden_open(&golden);
    while (golden_next(&golden)) {
        CHECK_OK(chunk_transcode(&golden.data, golden.arena, &plain));
        CHECK(plain.encoding <= CHUNK_FLOAT_HISTOGRAM);
        CHECK_EQ(plain.bytes.data == golden.data.bytes.data,
                 golden.data.encoding <= CHUNK_FLOAT_HISTOGRAM);
        CHECK_OK(chunk_decode(&plain, INT64_MIN, INT64_MAX, golden.arena, &samples));
        check_samples(&golden, &samples);
    }
    golden_close(&golden);
}

/* The bytes must be those of Prometheus, but for the flags of histograms, which say how the chunk
 * came about. */
static void check_bytes(const struct golden *golden, const struct chunk_list *list)
{
    struct bytes want = golden->data.bytes, got = list->items[0].raw.bytes;
    CHECK_EQ(list->count, 1);
    CHECK_EQ(list->items[0].raw.encoding, golden->data.encoding);
    CHECK_EQ(list->items[0].min_time, golden->samples.times[0]);
    CHECK_EQ(list->items[0].max_time, golden->samples.times[golden->samples.count - 1]);
    CHECK_EQ(got.len, want.len);
    for (size_t i = 0; i < got.len; i++)
        if (golden->data.encoding == CHUNK_XOR || i != 2)
            CHECK_EQ(got.data[i], want.data[i]);
}

TEST(encoders_write_the_bytes_of_prometheus)
{
    struct golden golden;
    struct samples samples;
    golden_open(&golden);
    while (golden_next(&golden)) {
        bool floats = golden.data.encoding == CHUNK_XOR;
        if ((!floats && golden.data.encoding != CHUNK_FLOAT_HISTOGRAM) || !golden.samples.count)
            continue;
        CHECK_OK(chunk_decode(&golden.data, INT64_MIN, INT64_MAX, golden.arena, &samples));
        if (!floats && golden.samples.count && samples.histograms[0]->schema == 8 &&
            samples.histograms[0]->positive.bucket_count < 20)
            continue; /* was read at a lower resolution */
        struct chunk_encoder encoder;
        struct chunk_list list;
        chunk_encoder_init(&encoder, golden.arena);
        for (size_t i = 0; i < samples.count; i++)
            if (floats)
                chunk_encoder_float(&encoder, samples.times[i], samples.values[i]);
            else
                chunk_encoder_histogram(&encoder, samples.times[i], samples.histograms[i]);
        CHECK_OK(chunk_encoder_finish(&encoder, &list));
        check_bytes(&golden, &list);
    }
    golden_close(&golden);
}

TEST(cut_and_changed_chunks_are_errors_or_samples_but_never_worse)
{
    struct golden golden;
    uint64_t seed = test_seed();
    struct samples samples;
    struct chunk_data plain;
    golden_open(&golden);
    while (golden_next(&golden)) {
        for (int round = 0; round < 20; round++) {
            struct chunk_data data = golden.data;
            data.bytes.len = test_random_below(&seed, data.bytes.len + 1);
            /* exactly as large, so that the sanitizer sees a read past the end */
            uint8_t *copy = malloc(data.bytes.len ? data.bytes.len : 1);
            memcpy(copy, golden.data.bytes.data, data.bytes.len);
            for (size_t flips = test_random_below(&seed, 3); flips && data.bytes.len; flips--)
                copy[test_random_below(&seed, data.bytes.len)] ^=
                    (uint8_t)(1u << test_random_below(&seed, 8));
            data.bytes.data = copy;
            error_free(chunk_decode(&data, INT64_MIN, INT64_MAX, golden.arena, &samples));
            error_free(chunk_transcode(&data, golden.arena, &plain));
            free(copy);
        }
    }
    golden_close(&golden);
}

TEST(a_chunk_that_lost_its_end_is_corrupt)
{
    struct golden golden;
    struct samples samples;
    golden_open(&golden);
    while (golden_next(&golden)) {
        if (golden.data.bytes.len < 20)
            continue;
        golden.data.bytes.len -= 2;
        CHECK_ERROR(chunk_decode(&golden.data, INT64_MIN, INT64_MAX, golden.arena, &samples),
                    ERROR_CORRUPT);
    }
    golden_close(&golden);
}

TEST(only_samples_in_the_range_are_given)
{
    struct arena *arena = arena_create(NULL);
    struct chunk_encoder encoder;
    struct chunk_list list;
    struct samples samples;
    chunk_encoder_init(&encoder, arena);
    for (int64_t t = 0; t < 500; t++)
        chunk_encoder_float(&encoder, t, (double)t);
    CHECK_OK(chunk_encoder_finish(&encoder, &list));
    CHECK_EQ(list.count, 5);
    CHECK_EQ(list.items[1].min_time, 120);
    CHECK_EQ(list.items[1].max_time, 239);
    CHECK_OK(chunk_decode(&list.items[1].raw, 130, 131, arena, &samples));
    CHECK_EQ(samples.count, 2);
    CHECK_DOUBLE(samples.values[1], 131);
    CHECK(samples.histograms == NULL);
    arena_unref(arena);
}

TEST(unknown_encodings_are_told)
{
    struct arena *arena = arena_create(NULL);
    static const uint8_t zeros[8];
    struct chunk_data data = {.encoding = (enum chunk_encoding)9, .bytes = {zeros, 8}};
    struct samples samples;
    CHECK_ERROR_TEXT(chunk_decode(&data, 0, 1, arena, &samples), ERROR_CORRUPT,
                     "unknown encoding 9");
    data.encoding = CHUNK_NONE;
    CHECK_ERROR(chunk_decode(&data, 0, 1, arena, &samples), ERROR_CORRUPT);
    data.encoding = CHUNK_HISTOGRAM;
    data.bytes.len = 2;
    CHECK_ERROR_TEXT(chunk_decode(&data, 0, 1, arena, &samples), ERROR_CORRUPT, "2 bytes");
    arena_unref(arena);
}

TEST_MAIN(TEST_ENTRY(chunks_of_prometheus_are_read_as_it_reads_them),
          TEST_ENTRY(start_times_are_read_where_they_are_asked_for),
          TEST_ENTRY(transcoded_chunks_hold_the_same_samples),
          TEST_ENTRY(encoders_write_the_bytes_of_prometheus),
          TEST_ENTRY(cut_and_changed_chunks_are_errors_or_samples_but_never_worse),
          TEST_ENTRY(a_chunk_that_lost_its_end_is_corrupt),
          TEST_ENTRY(only_samples_in_the_range_are_given), TEST_ENTRY(unknown_encodings_are_told))
