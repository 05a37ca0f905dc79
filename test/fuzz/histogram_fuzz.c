/* Two histograms from bytes; those that histogram_check() lets pass must be safe for all that is
 * done with them. A histogram: schema, then per side spans (offset, length) and counts, custom
 * bounds, thresholds and totals; numbers are single bytes, or what follows byte 255. */
#include "fuzz.h"

#include <math.h>
#include <string.h>

#include "model/histogram_estimate.h"
#include "model/histogram_math.h"

enum { SPANS_MAX = 6, BUCKETS_MAX = 48, BOUNDS_MAX = 8 };

struct input {
    const uint8_t *data;
    size_t size, at;
};

static uint8_t take_byte(struct input *input)
{
    return input->at < input->size ? input->data[input->at++] : 0;
}

static void take_raw(struct input *input, void *out, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)out)[i] = take_byte(input);
}

static double take_double(struct input *input)
{
    uint8_t byte = take_byte(input);
    double value = byte;
    if (byte == 255)
        take_raw(input, &value, sizeof(value));
    return value;
}

static int32_t take_offset(struct input *input)
{
    uint8_t byte = take_byte(input);
    int32_t value = (int8_t)byte;
    if (byte == 255)
        take_raw(input, &value, sizeof(value));
    return value;
}

static struct histogram_side take_side(struct input *input, struct arena *arena)
{
    size_t span_count = take_byte(input) % (SPANS_MAX + 1), bucket_count = 0;
    struct histogram_span *spans = arena_array(arena, SPANS_MAX, sizeof(*spans));
    double *buckets = arena_array(arena, BUCKETS_MAX, sizeof(*buckets));
    for (size_t i = 0; i < span_count; i++) {
        spans[i].offset = take_offset(input);
        spans[i].length = take_byte(input) % (BUCKETS_MAX / SPANS_MAX + 1);
        for (uint32_t j = 0; j < spans[i].length; j++)
            buckets[bucket_count++] = take_double(input);
    }
    return (struct histogram_side){spans, span_count, buckets, bucket_count};
}

static struct histogram take_histogram(struct input *input, struct arena *arena)
{
    uint8_t head = take_byte(input);
    struct histogram histogram = {
        .reset = (enum histogram_reset)(head & 3),
        .schema = (int8_t)take_byte(input),
        .zero_threshold = take_double(input),
        .zero_count = take_double(input),
        .count = take_double(input),
        .sum = take_double(input),
    };
    histogram.positive = take_side(input, arena);
    if (!(head & 4))
        histogram.negative = take_side(input, arena);
    size_t bound_count = head & 8 ? take_byte(input) % (BOUNDS_MAX + 1) : 0;
    double *bounds = arena_array(arena, BOUNDS_MAX, sizeof(*bounds));
    for (size_t i = 0; i < bound_count; i++)
        bounds[i] = take_double(input);
    histogram.custom_values = bounds;
    histogram.custom_count = bound_count;
    return histogram;
}

static void check_layout(const struct histogram_side *side)
{
    size_t total = 0;
    for (size_t i = 0; i < side->span_count; i++)
        total += side->spans[i].length;
    FUZZ_CHECK(total == side->bucket_count);
}

static void use(const struct histogram *histogram, struct arena *arena)
{
    static const double values[] = {-INFINITY, -1.5, 0, 0.25, 1, 1e300, INFINITY, NAN};
    enum histogram_nan_note note;
    struct buf text = {0};
    check_layout(&histogram->positive);
    check_layout(&histogram->negative);
    histogram_print(&text, histogram);
    buf_deinit(&text);
    (void)histogram_variance(histogram);
    for (size_t i = 0; i < countof(values); i++) {
        (void)histogram_quantile(histogram, values[i], &note);
        (void)histogram_fraction(histogram, values[i], values[(i + 3) % countof(values)], &note);
        for (int below = 0; below < 2; below++) {
            struct histogram *trimmed = histogram_copy(arena, histogram);
            histogram_trim(trimmed, values[i], below, arena);
            check_layout(&trimmed->positive);
        }
    }
}

static void combine(const struct histogram *a, const struct histogram *b, struct arena *arena)
{
    struct histogram *sum = histogram_copy(arena, a), *difference = histogram_copy(arena, a);
    struct histogram_sum compensated;
    struct histogram_mean mean;
    unsigned notes = histogram_add(sum, b, arena);
    FUZZ_CHECK(histogram_subtract(difference, b, arena) == notes);
    histogram_sum_start(&compensated, a, arena);
    FUZZ_CHECK(histogram_sum_add(&compensated, b, arena) == notes);
    histogram_sum_finish(&compensated);
    histogram_mean_start(&mean, a, arena);
    for (int i = 0; i < 3; i++)
        notes |= histogram_mean_add(&mean, i == 1 ? a : b, arena);
    histogram_mean_finish(&mean);
    histogram_compact(&mean.sum.total, arena);
    (void)histogram_detect_reset(a, b);
    (void)histogram_detect_reset(sum, a);
    use(sum, arena);
    use(&compensated.total, arena);
    histogram_compact(difference, arena);
    use(difference, arena);
    use(&mean.sum.total, arena);
    histogram_divide(&mean.sum.total, 0);
    use(&mean.sum.total, arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size, 0};
    struct arena *arena = arena_create(NULL);
    struct histogram a = take_histogram(&input, arena), b = take_histogram(&input, arena);
    struct error *err = histogram_check(&a);
    if (!err)
        err = histogram_check(&b);
    if (!err) {
        use(&a, arena);
        combine(&a, &b, arena);
        combine(&b, &a, arena);
        FUZZ_CHECK(histogram_equal(&a, &a) || isnan(a.zero_threshold));
    }
    error_free(err);
    arena_unref(arena);
    return 0;
}
