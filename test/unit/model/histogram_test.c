#include "support/test.h"

#include <math.h>

#include "model/histogram.h"

static const struct histogram_span two_spans[] = {{0, 2}, {1, 2}};
static double four_counts[] = {1, 0, 2, 3};

static struct histogram sample(void)
{
    return (struct histogram){
        .schema = 0,
        .zero_threshold = 0.001,
        .zero_count = 2,
        .count = 14,
        .sum = 18.4,
        .positive = {two_spans, 2, four_counts, 4},
        .negative = {two_spans, 2, four_counts, 4},
    };
}

static void check_print(const struct histogram *histogram, const char *want)
{
    struct buf buf = {0};
    histogram_print(&buf, histogram);
    CHECK_STR(buf_str(&buf), want);
    buf_deinit(&buf);
}

TEST(histograms_print_as_prometheus_prints_them)
{
    struct histogram histogram = sample();
    check_print(&histogram,
                "{count:14, sum:18.4, [-16,-8):3, [-8,-4):2, [-1,-0.5):1, [-0.001,0.001]:2, "
                "(0.5,1]:1, (4,8]:2, (8,16]:3}");
    static const double bounds[] = {1, 2.5, 10};
    static const struct histogram_span spans[] = {{1, 3}};
    double counts[] = {5, 0, 7};
    struct histogram custom = {
        .schema = HISTOGRAM_SCHEMA_CUSTOM,
        .count = 12,
        .sum = 1e21,
        .positive = {spans, 1, counts, 3},
        .custom_values = bounds,
        .custom_count = 3,
    };
    CHECK_OK(histogram_check(&custom));
    check_print(&custom, "{count:12, sum:1e+21, (1,2.5]:5, (10,+Inf]:7}");
    struct histogram empty = {.schema = 3};
    check_print(&empty, "{count:0, sum:0}");
}

TEST(buckets_next_to_the_zero_bucket_are_cut)
{
    struct histogram histogram = sample();
    struct histogram_bucket bucket;
    histogram.zero_threshold = 0.75;
    struct histogram_walk walk = histogram_walk(&histogram);
    double lowest = -INFINITY;
    size_t count = 0;
    while (histogram_walk_next(&walk, &bucket)) {
        CHECK(bucket.lower >= lowest);
        lowest = bucket.lower;
        if (count == 3)
            CHECK_DOUBLE(bucket.upper, -0.75);
        if (count == 5)
            CHECK_DOUBLE(bucket.lower, 0.75);
        count++;
    }
    CHECK_EQ(count, 9);
    CHECK(!histogram_walk_next(&walk, &bucket));
}

TEST(empty_spans_only_move_on)
{
    static const struct histogram_span cut[] = {{-3, 0}, {3, 1}, {0, 1}, {0, 0}, {1, 0}, {0, 2}};
    struct histogram a = sample(), b = sample();
    b.positive.spans = b.negative.spans = cut;
    b.positive.span_count = b.negative.span_count = countof(cut);
    CHECK(histogram_equal(&a, &b));
    struct histogram_walk left = histogram_walk(&a), right = histogram_walk(&b);
    struct histogram_bucket x, y;
    while (histogram_walk_next(&left, &x)) {
        CHECK(histogram_walk_next(&right, &y));
        CHECK_DOUBLE(x.lower, y.lower);
        CHECK_DOUBLE(x.upper, y.upper);
        CHECK_DOUBLE(x.count, y.count);
    }
    CHECK(!histogram_walk_next(&right, &y));
    static const struct histogram_span other[] = {{0, 2}, {2, 2}};
    b.positive.spans = other;
    b.positive.span_count = 2;
    CHECK(!histogram_equal(&a, &b));
}

static const struct {
    const char *name;
    int64_t index;
    int32_t schema;
    double want;
} bound_cases[] = {
    {"one", 0, 0, 1},
    {"two", 1, 0, 2},
    {"a half", -1, 0, 0.5},
    {"wide", 2, -2, 256},
    {"the root of two, not rounded right", 1, 1, 1.414213562373095},
    {"the root of two, in a finer schema", 128, 8, 1.414213562373095},
    {"below one", -1, 3, 0.9170040432046711},
    {"the largest number", 1024, 0, 1.7976931348623157e308},
    {"the largest number, wide", 64, -4, 1.7976931348623157e308},
    {"infinity", 1025, 0, INFINITY},
    {"far up", INT64_MAX, 8, INFINITY},
    {"far down", INT64_MIN, -9, 0},
};

TEST(bounds_are_those_of_prometheus)
{
    for_each_case(c, bound_cases)
        CHECK_DOUBLE(histogram_bound(c->index, c->schema), c->want);
}

TEST(copies_are_deep_and_scale)
{
    struct arena *arena = arena_create(NULL);
    struct histogram histogram = sample();
    struct histogram *copy = histogram_copy(arena, &histogram);
    CHECK(histogram_equal(&histogram, copy));
    histogram_scale(copy, 2);
    CHECK(!histogram_equal(&histogram, copy));
    CHECK_DOUBLE(copy->positive.buckets[3], 6);
    CHECK_DOUBLE(copy->zero_count, 4);
    CHECK_DOUBLE(histogram.positive.buckets[3], 3);
    struct histogram *counts = histogram_copy_counts(arena, &histogram);
    CHECK(histogram_equal(&histogram, counts) && counts->positive.spans == two_spans);
    histogram_scale(counts, 2);
    CHECK(histogram_equal(counts, copy));
    CHECK_DOUBLE(histogram.negative.buckets[3], 3);
    arena_unref(arena);
}

TEST(a_lower_schema_merges_buckets)
{
    struct arena *arena = arena_create(NULL);
    static const struct histogram_span spans[] = {{-3, 4}, {2, 2}};
    double counts[] = {1, 2, 3, 4, 5, 6}; /* buckets -3 -2 -1 0, 3 4 */
    struct histogram histogram = {.schema = 10, .positive = {spans, 2, counts, 6}};
    histogram_reduce(&histogram, 8, arena);
    /* four to one: -3..0 -> 0, 3 and 4 -> 1 */
    CHECK_EQ(histogram.schema, 8);
    CHECK_EQ(histogram.positive.bucket_count, 2);
    CHECK_DOUBLE(histogram.positive.buckets[0], 10);
    CHECK_DOUBLE(histogram.positive.buckets[1], 11);
    CHECK_EQ(histogram.positive.span_count, 1);
    CHECK_EQ(histogram.positive.spans[0].offset, 0);
    CHECK_EQ(histogram.positive.spans[0].length, 2);
    arena_unref(arena);
}

TEST(broken_histograms_are_told)
{
    struct histogram histogram = sample();
    CHECK_OK(histogram_check(&histogram));
    histogram.schema = 9;
    CHECK_ERROR_TEXT(histogram_check(&histogram), ERROR_CORRUPT, "unknown schema 9");
    histogram = sample();
    histogram.positive.bucket_count = 3;
    CHECK_ERROR_TEXT(histogram_check(&histogram), ERROR_CORRUPT, "positive spans of 4 buckets");
    histogram = sample();
    histogram.count = -1;
    CHECK_ERROR_TEXT(histogram_check(&histogram), ERROR_CORRUPT, "negative count");
    static const struct histogram_span back[] = {{0, 2}, {-1, 2}};
    histogram = sample();
    histogram.negative.spans = back;
    CHECK_ERROR_TEXT(histogram_check(&histogram), ERROR_CORRUPT, "negative offset");
    static const double falling[] = {2, 1};
    histogram = (struct histogram){
        .schema = HISTOGRAM_SCHEMA_CUSTOM, .custom_values = falling, .custom_count = 2};
    CHECK_ERROR_TEXT(histogram_check(&histogram), ERROR_CORRUPT, "out of order");
    histogram.custom_count = 1;
    histogram.positive = (struct histogram_side){two_spans, 2, four_counts, 4};
    CHECK_ERROR_TEXT(histogram_check(&histogram), ERROR_CORRUPT, "custom buckets with 1 bounds");
}

TEST_MAIN(TEST_ENTRY(histograms_print_as_prometheus_prints_them),
          TEST_ENTRY(buckets_next_to_the_zero_bucket_are_cut), TEST_ENTRY(empty_spans_only_move_on),
          TEST_ENTRY(bounds_are_those_of_prometheus), TEST_ENTRY(copies_are_deep_and_scale),
          TEST_ENTRY(a_lower_schema_merges_buckets), TEST_ENTRY(broken_histograms_are_told))
