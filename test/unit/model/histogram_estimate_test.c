#include "support/test.h"

#include <math.h>

#include "model/histogram_estimate.h"
#include "model/histogram_math.h"

enum { ROUNDS = 5000 };

static const struct histogram_span from_0[] = {{0, 3}}, from_1[] = {{1, 2}};
static double counts[] = {2, 4, 6}, few[] = {1, 3};

static struct histogram positive(void)
{
    return (struct histogram){.count = 12, .sum = 30, .positive = {from_0, 1, counts, 3}};
}

static struct histogram both_sides(void)
{
    return (struct histogram){.count = 10,
                              .sum = 3,
                              .zero_count = 2,
                              .zero_threshold = 0.5,
                              .positive = {from_1, 1, few, 2},
                              .negative = {from_1, 1, few, 2}};
}

static const double bounds[] = {1, 2};

static struct histogram custom(void)
{
    return (struct histogram){.schema = HISTOGRAM_SCHEMA_CUSTOM,
                              .count = 12,
                              .sum = 30,
                              .positive = {from_0, 1, counts, 3},
                              .custom_values = bounds,
                              .custom_count = 2};
}

static const struct {
    const char *name;
    struct histogram (*make)(void);
    double quantile, want;
} quantile_cases[] = {
    {"below all", positive, -0.1, -INFINITY},
    {"above all", positive, 1.1, INFINITY},
    {"the lowest bound", positive, 0, 0.5},
    {"the highest bound", positive, 1, 4},
    {"between two buckets", positive, 0.5, 2},
    {"within a bucket, on a logarithmic scale", positive, 1.0 / 3, 1.4142135623730951},
    {"of negative ones", both_sides, 0.15, -2.8284271247461903},
    {"in the zero bucket", both_sides, 0.5, 0},
    {"in the first custom bucket, from zero on", custom, 1.0 / 12, 0.5},
    {"in the last custom bucket", custom, 0.9, 2},
};

TEST(quantiles_are_interpolated)
{
    for_each_case(c, quantile_cases) {
        struct histogram histogram = c->make();
        enum histogram_nan_note note;
        double got = histogram_quantile(&histogram, c->quantile, &note);
        CHECK(got == c->want || fabs(got - c->want) < 1e-12);
        CHECK_EQ(note, HISTOGRAM_NAN_NONE);
    }
}

TEST(observations_that_are_no_numbers_lie_above_all_others)
{
    struct histogram histogram = positive();
    enum histogram_nan_note note;
    histogram.count = 20;
    histogram.sum = NAN;
    CHECK_DOUBLE(histogram_quantile(&histogram, 0.3, &note), 2);
    CHECK_EQ(note, HISTOGRAM_NAN_SKEWED);
    CHECK(isnan(histogram_quantile(&histogram, 0.9, &note)));
    CHECK_EQ(note, HISTOGRAM_NAN_RESULT);
    CHECK_DOUBLE(histogram_fraction(&histogram, -INFINITY, INFINITY, &note), 0.6);
    CHECK_EQ(note, HISTOGRAM_NAN_OUTSIDE);
    histogram.count = 12; /* infinities of both signs make such a sum, too */
    CHECK_DOUBLE(histogram_fraction(&histogram, -INFINITY, INFINITY, &note), 1);
    CHECK_EQ(note, HISTOGRAM_NAN_NONE);
}

TEST(nothing_is_known_of_histograms_without_observations)
{
    struct histogram histogram = {.schema = 0};
    enum histogram_nan_note note;
    CHECK(isnan(histogram_quantile(&histogram, 0.5, &note)));
    CHECK(isnan(histogram_fraction(&histogram, 0, 1, &note)));
    CHECK(isnan(histogram_variance(&histogram)));
}

static struct histogram random_histogram(struct arena *arena, uint64_t *seed, bool is_custom)
{
    struct histogram_span *span = arena_alloc(arena, sizeof(*span));
    double *buckets = arena_array(arena, 8, sizeof(*buckets));
    double *values = arena_array(arena, 8, sizeof(*values));
    struct histogram histogram = {.schema = (int32_t)test_random_below(seed, 5) - 1};
    *span = (struct histogram_span){is_custom ? 1 : (int32_t)test_random_below(seed, 9) - 4, 6};
    for (size_t i = 0; i < 8; i++) {
        buckets[i] = (double)test_random_below(seed, 9);
        values[i] = (double)i - 1;
        if (i < 6)
            histogram.count += buckets[i];
    }
    histogram.positive = (struct histogram_side){span, 1, buckets, 6};
    if (!is_custom)
        return histogram;
    histogram.schema = HISTOGRAM_SCHEMA_CUSTOM;
    histogram.custom_values = values;
    histogram.custom_count = 7; /* from (-1, 0] to (4, 5] */
    return histogram;
}

TEST(a_fraction_below_a_quantile_is_that_quantile)
{
    uint64_t seed = test_seed();
    struct arena *arena = arena_create(NULL);
    for (int round = 0; round < ROUNDS; round++, arena_reset(arena)) {
        struct histogram histogram = random_histogram(arena, &seed, round % 2);
        double quantile = test_random_double(&seed);
        enum histogram_nan_note note;
        double value = histogram_quantile(&histogram, quantile, &note);
        double fraction = histogram_fraction(&histogram, -INFINITY, value, &note);
        CHECK(histogram.count == 0 || fabs(fraction - quantile) < 1e-9);
    }
    arena_unref(arena);
}

TEST(what_is_below_a_limit_and_what_is_above_it_are_all)
{
    uint64_t seed = test_seed();
    struct arena *arena = arena_create(NULL);
    for (int round = 0; round < ROUNDS; round++, arena_reset(arena)) {
        struct histogram histogram = random_histogram(arena, &seed, round % 2);
        double limit = test_random_double(&seed) * 8 - 2;
        struct histogram *below = histogram_copy(arena, &histogram);
        struct histogram *above = histogram_copy(arena, &histogram);
        enum histogram_nan_note note;
        histogram_trim(below, limit, true, arena);
        histogram_trim(above, limit, false, arena);
        double fraction = histogram_fraction(&histogram, -INFINITY, limit, &note);
        CHECK(fabs(below->count + above->count - histogram.count) < 1e-9);
        CHECK(histogram.count == 0 || fabs(below->count - fraction * histogram.count) < 1e-9);
        CHECK_OK(histogram_check(below));
        CHECK_OK(histogram_check(above));
    }
    arena_unref(arena);
}

TEST(limits_cut_the_zero_bucket)
{
    struct arena *arena = arena_create(NULL);
    struct histogram given = both_sides(), *histogram = histogram_copy(arena, &given);
    histogram_trim(histogram, 0.25, true, arena);
    CHECK_DOUBLE(histogram->zero_count, 1.5);
    CHECK_EQ(histogram->positive.bucket_count, 0);
    CHECK_EQ(histogram->negative.bucket_count, 2);
    CHECK_DOUBLE(histogram->count, 5.5);
    histogram = histogram_copy(arena, &given);
    histogram_trim(histogram, -INFINITY, false, arena);
    CHECK(histogram_equal(histogram, &given)); /* all is kept, the sum too */
    arena_unref(arena);
}

TEST(spread_is_that_of_the_middles_of_buckets)
{
    static const struct histogram_span second = {1, 1};
    double four[] = {4};
    struct histogram histogram = {.schema = HISTOGRAM_SCHEMA_CUSTOM,
                                  .count = 4,
                                  .sum = 4 * 1.5,
                                  .positive = {&second, 1, four, 1},
                                  .custom_values = bounds,
                                  .custom_count = 2};
    CHECK_DOUBLE(histogram_variance(&histogram), 0);
    histogram.sum = 4 * 2.5;
    CHECK_DOUBLE(histogram_variance(&histogram), 1);
}

TEST_MAIN(TEST_ENTRY(quantiles_are_interpolated),
          TEST_ENTRY(observations_that_are_no_numbers_lie_above_all_others),
          TEST_ENTRY(nothing_is_known_of_histograms_without_observations),
          TEST_ENTRY(a_fraction_below_a_quantile_is_that_quantile),
          TEST_ENTRY(what_is_below_a_limit_and_what_is_above_it_are_all),
          TEST_ENTRY(limits_cut_the_zero_bucket),
          TEST_ENTRY(spread_is_that_of_the_middles_of_buckets))
