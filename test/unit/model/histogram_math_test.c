#include "support/test.h"

#include <math.h>

#include "model/histogram_estimate.h"
#include "model/histogram_math.h"

/* ---- a slow, plain twin: every bucket in one row of counts ---- */

enum { ROW = 129, MIDDLE = 64, ROUNDS = 20000 };

struct plain {
    int32_t schema;
    double zero_threshold, zero_count, count, sum;
    double above[ROW], below[ROW]; /* bucket i is at MIDDLE + i */
};

static void spread_side(const struct histogram_side *side, double *row)
{
    int64_t index = 0;
    size_t at = 0;
    for (size_t i = 0; i < side->span_count; i++) {
        index += side->spans[i].offset;
        for (uint32_t j = 0; j < side->spans[i].length; j++, index++)
            row[MIDDLE + index] = side->buckets[at++];
    }
    CHECK_EQ(at, side->bucket_count);
}

static struct plain plain_from(const struct histogram *histogram)
{
    struct plain plain = {histogram->schema,
                          histogram->zero_threshold,
                          histogram->zero_count,
                          histogram->count,
                          histogram->sum,
                          {0},
                          {0}};
    spread_side(&histogram->positive, plain.above);
    spread_side(&histogram->negative, plain.below);
    return plain;
}

static bool cuts(const struct plain *plain, double threshold, double *end)
{
    for (int i = 0; i < ROW; i++) {
        double near = histogram_bound(i - MIDDLE - 1, plain->schema);
        *end = histogram_bound(i - MIDDLE, plain->schema);
        if ((plain->above[i] != 0 || plain->below[i] != 0) && near < threshold && threshold < *end)
            return true;
    }
    return false;
}

static void plain_widen(struct plain *plain, double threshold, bool empties)
{
    if (threshold == plain->zero_threshold)
        return;
    plain->zero_threshold = threshold;
    for (int i = 0; i < ROW && histogram_bound(i - MIDDLE - 1, plain->schema) < threshold; i++) {
        plain->zero_count += plain->above[i] + plain->below[i];
        if (empties)
            plain->above[i] = plain->below[i] = 0;
    }
}

static void plain_reduce(struct plain *plain, int32_t schema)
{
    for (; plain->schema > schema; plain->schema--) {
        struct plain wide = *plain;
        memset(wide.above, 0, sizeof(wide.above));
        memset(wide.below, 0, sizeof(wide.below));
        for (int i = 0; i < ROW; i++) {
            int index = (int)ceil((i - MIDDLE) / 2.0);
            wide.above[MIDDLE + index] += plain->above[i];
            wide.below[MIDDLE + index] += plain->below[i];
        }
        *plain = (struct plain){plain->schema,
                                plain->zero_threshold,
                                plain->zero_count,
                                plain->count,
                                plain->sum,
                                {0},
                                {0}};
        memcpy(plain->above, wide.above, sizeof(wide.above));
        memcpy(plain->below, wide.below, sizeof(wide.below));
    }
}

static struct plain plain_add(struct plain a, struct plain b, double sign)
{
    double threshold = fmax(a.zero_threshold, b.zero_threshold), end;
    /* A bucket may lie across the end of its own zero bucket. */
    while ((threshold != a.zero_threshold && cuts(&a, threshold, &end)) ||
           (threshold != b.zero_threshold && cuts(&b, threshold, &end)))
        threshold = end;
    int32_t schema = a.schema < b.schema ? a.schema : b.schema;
    plain_widen(&a, threshold, true);
    plain_widen(&b, threshold, false);
    plain_reduce(&a, schema);
    plain_reduce(&b, schema);
    a.zero_count += sign * b.zero_count;
    a.count += sign * b.count;
    a.sum += sign * b.sum;
    for (int i = 0; i < ROW; i++) {
        if (histogram_bound(i - MIDDLE, schema) <= threshold)
            continue;
        a.above[i] += sign * b.above[i];
        a.below[i] += sign * b.below[i];
    }
    return a;
}

static void check_plain(const struct histogram *got, const struct plain *want)
{
    struct plain plain = plain_from(got);
    CHECK_EQ(plain.schema, want->schema);
    CHECK(plain.zero_threshold == want->zero_threshold);
    CHECK(plain.zero_count == want->zero_count);
    CHECK(plain.count == want->count && plain.sum == want->sum);
    for (int i = 0; i < ROW; i++) {
        CHECK(plain.above[i] == want->above[i]);
        CHECK(plain.below[i] == want->below[i]);
    }
}

/* ---- random histograms ---- */

static struct histogram_side random_side(struct arena *arena, uint64_t *seed)
{
    size_t span_count = test_random_below(seed, 4);
    struct histogram_span *spans = arena_array(arena, 4, sizeof(*spans));
    double *buckets = arena_array(arena, 32, sizeof(*buckets));
    size_t count = 0;
    for (size_t i = 0; i < span_count; i++) {
        spans[i].offset = (int32_t)test_random_below(seed, 6) - (i == 0 ? 10 : 0);
        spans[i].length = (uint32_t)test_random_below(seed, 7);
        for (uint32_t j = 0; j < spans[i].length; j++)
            buckets[count++] = (double)test_random_below(seed, 4);
    }
    return (struct histogram_side){spans, span_count, buckets, count};
}

static struct histogram random_histogram(struct arena *arena, uint64_t *seed)
{
    static const double thresholds[] = {0, 0, 0.001, 0.001, 0.3, 0.5, 1.7, 4};
    return (struct histogram){
        .reset = (enum histogram_reset)test_random_below(seed, 4),
        .schema = (int32_t)test_random_below(seed, 4) - 1,
        .zero_threshold = thresholds[test_random_below(seed, countof(thresholds))],
        .zero_count = (double)test_random_below(seed, 5),
        .count = (double)test_random_below(seed, 100),
        .sum = (double)test_random_below(seed, 100),
        .positive = random_side(arena, seed),
        .negative = random_side(arena, seed),
    };
}

static struct histogram random_custom(struct arena *arena, uint64_t *seed)
{
    struct histogram histogram = {.schema = HISTOGRAM_SCHEMA_CUSTOM, .count = 3, .sum = 4};
    double *bounds = arena_array(arena, 8, sizeof(*bounds));
    double *buckets = arena_array(arena, 9, sizeof(*buckets));
    struct histogram_span *span = arena_alloc(arena, sizeof(*span));
    size_t count = 0;
    for (int i = 0; i < 8; i++)
        if (test_random_below(seed, 4))
            bounds[count++] = i;
    uint32_t offset = (uint32_t)test_random_below(seed, count + 1);
    *span = (struct histogram_span){(int32_t)offset, (uint32_t)(count + 1 - offset)};
    for (uint32_t i = 0; i < span->length; i++)
        buckets[i] = (double)test_random_below(seed, 4);
    histogram.positive = (struct histogram_side){span, 1, buckets, span->length};
    histogram.custom_values = bounds;
    histogram.custom_count = count;
    return histogram;
}

/* ---- sums ---- */

TEST(sums_and_differences_equal_those_of_plain_rows)
{
    uint64_t seed = test_seed();
    struct arena *arena = arena_create(NULL);
    for (int round = 0; round < ROUNDS; round++, arena_reset(arena)) {
        struct histogram a = random_histogram(arena, &seed), b = random_histogram(arena, &seed);
        struct plain left = plain_from(&a), right = plain_from(&b);
        struct plain sum = plain_add(left, right, 1), difference = plain_add(left, right, -1);
        struct histogram *total = histogram_copy(arena, &a);
        CHECK(!(histogram_add(total, &b, arena) & HISTOGRAM_MIXED));
        check_plain(total, &sum);
        histogram_compact(total, arena);
        check_plain(total, &sum);
        for (size_t i = 0; i < total->positive.bucket_count; i++)
            CHECK(total->positive.buckets[i] != 0);
        total = histogram_copy(arena, &a);
        CHECK(!(histogram_subtract(total, &b, arena) & HISTOGRAM_MIXED));
        check_plain(total, &difference);
        struct histogram_sum compensated;
        histogram_sum_start(&compensated, &a, arena);
        CHECK(!(histogram_sum_add(&compensated, &b, arena) & HISTOGRAM_MIXED));
        histogram_sum_finish(&compensated);
        check_plain(&compensated.total, &sum);
        check_plain(&a, &left); /* arguments stay as they are */
        check_plain(&b, &right);
    }
    arena_unref(arena);
}

static double custom_below(const struct histogram *histogram, double bound)
{
    struct histogram_walk walk = histogram_walk(histogram);
    struct histogram_bucket bucket;
    double sum = 0;
    while (histogram_walk_next(&walk, &bucket))
        if (bucket.upper <= bound)
            sum += bucket.count;
    return sum;
}

static bool has_bound(const struct histogram *histogram, double bound)
{
    for (size_t i = 0; i < histogram->custom_count; i++)
        if (histogram->custom_values[i] == bound)
            return true;
    return bound == INFINITY;
}

TEST(sums_of_custom_buckets_keep_the_bounds_that_both_have)
{
    static const double bounds[] = {0, 1, 2, 3, 4, 5, 6, 7, INFINITY};
    uint64_t seed = test_seed();
    struct arena *arena = arena_create(NULL);
    for (int round = 0; round < ROUNDS; round++, arena_reset(arena)) {
        struct histogram a = random_custom(arena, &seed), b = random_custom(arena, &seed);
        struct histogram_sum sum;
        histogram_sum_start(&sum, &a, arena);
        unsigned notes = histogram_sum_add(&sum, &b, arena);
        bool same = a.custom_count == b.custom_count;
        for (size_t i = 0; i < countof(bounds); i++) {
            bool in_both = has_bound(&a, bounds[i]) && has_bound(&b, bounds[i]);
            same = same && has_bound(&a, bounds[i]) == has_bound(&b, bounds[i]);
            CHECK(has_bound(&sum.total, bounds[i]) == in_both);
            if (in_both)
                CHECK_DOUBLE(custom_below(&sum.total, bounds[i]),
                             custom_below(&a, bounds[i]) + custom_below(&b, bounds[i]));
        }
        CHECK_EQ(notes & HISTOGRAM_RECONCILED, same ? 0 : HISTOGRAM_RECONCILED);
        histogram_compact(&sum.total, arena);
        CHECK_OK(histogram_check(&sum.total));
    }
    arena_unref(arena);
}

TEST(a_sum_of_one_layout_allocates_nothing)
{
    uint64_t seed = test_seed();
    struct arena *arena = arena_create(NULL);
    struct histogram histogram = random_histogram(arena, &seed);
    struct histogram_sum sum;
    histogram_sum_start(&sum, &histogram, arena);
    CHECK(!(histogram_sum_add(&sum, &histogram, arena) & HISTOGRAM_MIXED));
    size_t before = arena_size(arena);
    for (int i = 1; i < 100000; i++)
        CHECK(!(histogram_sum_add(&sum, &histogram, arena) & HISTOGRAM_MIXED));
    CHECK_EQ(arena_size(arena), before);
    CHECK_DOUBLE(sum.total.count, histogram.count * 100001);
    arena_unref(arena);
}

TEST(exponential_and_custom_buckets_do_not_add_up)
{
    uint64_t seed = test_seed();
    struct arena *arena = arena_create(NULL);
    struct histogram a = random_histogram(arena, &seed), b = random_custom(arena, &seed);
    struct plain before = plain_from(&a);
    CHECK_EQ(histogram_add(&a, &b, arena), HISTOGRAM_MIXED);
    check_plain(&a, &before);
    CHECK_EQ(histogram_subtract(&b, &a, arena), HISTOGRAM_MIXED);
    arena_unref(arena);
}

static const struct {
    const char *name;
    enum histogram_reset a, b, sum;
    unsigned notes;
} reset_cases[] = {
    {"equal ones stay", HISTOGRAM_RESET_NO, HISTOGRAM_RESET_NO, HISTOGRAM_RESET_NO, 0},
    {"gauges win", HISTOGRAM_RESET_NO, HISTOGRAM_GAUGE, HISTOGRAM_GAUGE, 0},
    {"gauges stay", HISTOGRAM_GAUGE, HISTOGRAM_RESET_YES, HISTOGRAM_GAUGE, 0},
    {"unknown beats known", HISTOGRAM_RESET_YES, HISTOGRAM_RESET_UNKNOWN, HISTOGRAM_RESET_UNKNOWN,
     0},
    {"unknown stays", HISTOGRAM_RESET_UNKNOWN, HISTOGRAM_RESET_NO, HISTOGRAM_RESET_UNKNOWN, 0},
    {"contradictions are told", HISTOGRAM_RESET_YES, HISTOGRAM_RESET_NO, HISTOGRAM_RESET_UNKNOWN,
     HISTOGRAM_COLLISION},
};

TEST(reset_hints_of_a_sum_are_as_safe_as_the_weaker_one)
{
    struct arena *arena = arena_create(NULL);
    for_each_case(c, reset_cases) {
        struct histogram a = {.reset = c->a}, b = {.reset = c->b};
        CHECK_EQ(histogram_add(&a, &b, arena), c->notes);
        CHECK_EQ(a.reset, c->sum);
    }
    arena_unref(arena);
}

TEST(compensated_sums_keep_small_counts_beside_large_ones)
{
    static const struct histogram_span span = {0, 1};
    struct arena *arena = arena_create(NULL);
    double large[] = {0x1p60}, small[] = {1}, minus[] = {-0x1p60};
    struct histogram first = {.count = large[0], .positive = {&span, 1, large, 1}};
    struct histogram next = {.count = small[0], .positive = {&span, 1, small, 1}};
    struct histogram last = {.count = minus[0], .positive = {&span, 1, minus, 1}};
    struct histogram_sum sum;
    histogram_sum_start(&sum, &first, arena);
    CHECK_EQ(histogram_sum_add(&sum, &next, arena), 0);
    CHECK_EQ(histogram_sum_add(&sum, &last, arena), 0);
    histogram_sum_finish(&sum);
    CHECK_DOUBLE(sum.total.count, 1);
    CHECK_DOUBLE(sum.total.positive.buckets[0], 1);
    arena_unref(arena);
}

TEST(means_do_not_overflow_with_their_sum)
{
    static const struct histogram_span span = {0, 1};
    struct arena *arena = arena_create(NULL);
    double counts[] = {1e308};
    struct histogram large = {.count = 2, .sum = 1.5e308, .positive = {&span, 1, counts, 1}};
    struct histogram_mean mean;
    histogram_mean_start(&mean, &large, arena);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(histogram_mean_add(&mean, &large, arena), 0);
    histogram_mean_finish(&mean);
    CHECK(mean.incremental);
    CHECK(fabs(mean.sum.total.sum / 1.5e308 - 1) < 1e-15);
    CHECK(fabs(mean.sum.total.positive.buckets[0] / 1e308 - 1) < 1e-15);
    counts[0] = 3;
    struct histogram small = {.count = 3, .sum = NAN, .positive = {&span, 1, counts, 1}};
    histogram_mean_start(&mean, &small, arena);
    CHECK_EQ(histogram_mean_add(&mean, &small, arena), 0);
    histogram_mean_finish(&mean);
    CHECK(!mean.incremental && isnan(mean.sum.total.sum));
    CHECK_DOUBLE(mean.sum.total.count, 3);
    arena_unref(arena);
}

/* ---- resets ---- */

static bool plain_fell(struct plain now, struct plain before)
{
    double end;
    if (now.count < before.count || now.schema > before.schema ||
        now.zero_threshold < before.zero_threshold)
        return true;
    if (now.zero_threshold != before.zero_threshold && cuts(&before, now.zero_threshold, &end))
        return true;
    plain_widen(&before, now.zero_threshold, false);
    plain_reduce(&before, now.schema);
    if (now.zero_count < before.zero_count)
        return true;
    for (int i = 0; i < ROW; i++)
        if ((now.zero_threshold == 0 ||
             histogram_bound(i - MIDDLE, now.schema) > now.zero_threshold) &&
            (now.above[i] < before.above[i] || now.below[i] < before.below[i]))
            return true;
    return false;
}

TEST(resets_are_found_where_a_plain_row_falls)
{
    uint64_t seed = test_seed();
    struct arena *arena = arena_create(NULL);
    int resets = 0, rises = 0;
    for (int round = 0; round < ROUNDS; round++, arena_reset(arena)) {
        struct histogram before = random_histogram(arena, &seed);
        struct histogram *now = histogram_copy(arena, &before);
        struct histogram added = random_histogram(arena, &seed);
        if (test_random_below(&seed, 4))
            CHECK(!(histogram_add(now, &added, arena) & HISTOGRAM_MIXED));
        else
            *now = added;
        now->reset = HISTOGRAM_RESET_UNKNOWN;
        bool want = plain_fell(plain_from(now), plain_from(&before));
        CHECK_EQ(histogram_detect_reset(now, &before), want);
        resets += want;
        rises += !want;
        now->reset = HISTOGRAM_RESET_NO;
        CHECK(!histogram_detect_reset(now, &before));
        now->reset = HISTOGRAM_RESET_YES;
        CHECK(histogram_detect_reset(now, &before));
    }
    CHECK(resets > ROUNDS / 10 && rises > ROUNDS / 10);
    arena_unref(arena);
}

TEST(resets_of_custom_buckets_are_found_at_common_bounds)
{
    static const double bounds[] = {0, 1, 2, 3, 4, 5, 6, 7, INFINITY};
    uint64_t seed = test_seed();
    struct arena *arena = arena_create(NULL);
    for (int round = 0; round < ROUNDS; round++, arena_reset(arena)) {
        struct histogram before = random_custom(arena, &seed), now = random_custom(arena, &seed);
        double last_now = 0, last_before = 0;
        bool want = false;
        for (size_t i = 0; i < countof(bounds); i++) {
            if (!has_bound(&now, bounds[i]) || !has_bound(&before, bounds[i]))
                continue;
            double count = custom_below(&now, bounds[i]), was = custom_below(&before, bounds[i]);
            want |= count - last_now < was - last_before;
            last_now = count;
            last_before = was;
        }
        CHECK_EQ(histogram_detect_reset(&now, &before), want);
    }
    arena_unref(arena);
}

TEST_MAIN(TEST_ENTRY(sums_and_differences_equal_those_of_plain_rows),
          TEST_ENTRY(sums_of_custom_buckets_keep_the_bounds_that_both_have),
          TEST_ENTRY(a_sum_of_one_layout_allocates_nothing),
          TEST_ENTRY(exponential_and_custom_buckets_do_not_add_up),
          TEST_ENTRY(reset_hints_of_a_sum_are_as_safe_as_the_weaker_one),
          TEST_ENTRY(compensated_sums_keep_small_counts_beside_large_ones),
          TEST_ENTRY(means_do_not_overflow_with_their_sum),
          TEST_ENTRY(resets_are_found_where_a_plain_row_falls),
          TEST_ENTRY(resets_of_custom_buckets_are_found_at_common_bounds))
