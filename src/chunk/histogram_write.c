#include "chunk/histogram_write.h"

#include <math.h>

#include "chunk/varbit.h"

/* ---- layout ---- */

static void put_threshold(struct bit_writer *bits, double threshold)
{
    int exponent;
    if (threshold == 0) {
        bits_put(bits, 0, 8);
    } else if (frexp(threshold, &exponent) == 0.5 && exponent >= -242 && exponent <= 11) {
        bits_put(bits, (uint64_t)(exponent + 243), 8);
    } else {
        bits_put(bits, 255, 8);
        bits_put(bits, double_bits(threshold), 64);
    }
}

static void put_spans(struct bit_writer *bits, const struct histogram_side *side)
{
    varbit_put_uint(bits, side->span_count);
    for (size_t i = 0; i < side->span_count; i++) {
        varbit_put_uint(bits, side->spans[i].length);
        varbit_put_int(bits, side->spans[i].offset);
    }
}

static void put_bound(struct bit_writer *bits, double bound)
{
    double thousandths = bound * 1000;
    if (thousandths >= 0 && thousandths <= 33554430 && round(thousandths) / 1000 == bound) {
        varbit_put_uint(bits, (uint64_t)round(thousandths) + 1);
    } else {
        bits_put(bits, 0, 1);
        bits_put(bits, double_bits(bound), 64);
    }
}

static void put_layout(struct bit_writer *bits, const struct histogram *histogram)
{
    put_threshold(bits, histogram->zero_threshold);
    varbit_put_int(bits, histogram->schema);
    put_spans(bits, &histogram->positive);
    put_spans(bits, &histogram->negative);
    if (histogram->schema != HISTOGRAM_SCHEMA_CUSTOM)
        return;
    varbit_put_uint(bits, histogram->custom_count);
    for (size_t i = 0; i < histogram->custom_count; i++)
        put_bound(bits, histogram->custom_values[i]);
}

/* ---- samples ---- */

static bool is_stale(const struct histogram *histogram)
{
    return double_bits(histogram->sum) == STALE_NAN_BITS;
}

static double bucket_at(const struct histogram *histogram, size_t i)
{
    size_t positive = histogram->positive.bucket_count;
    return i < positive ? histogram->positive.buckets[i]
                        : histogram->negative.buckets[i - positive];
}

static size_t bucket_count(const struct histogram *histogram)
{
    return histogram->positive.bucket_count + histogram->negative.bucket_count;
}

static void put_first(struct bit_writer *bits, struct xor_value *value, double number)
{
    value->bits = double_bits(number);
    bits_put(bits, value->bits, 64);
}

static uint8_t head_flags(enum histogram_reset reset)
{
    static const uint8_t flags[] = {
        [HISTOGRAM_RESET_UNKNOWN] = 0,
        [HISTOGRAM_RESET_YES] = 0x80,
        [HISTOGRAM_RESET_NO] = 0x40,
        [HISTOGRAM_GAUGE] = 0xc0,
    };
    return flags[reset];
}

void histogram_encoder_begin(struct histogram_encoder *encoder, struct buf *out,
                             struct arena *arena, int64_t time, const struct histogram *histogram)
{
    static const struct histogram nothing;
    struct bit_writer *bits = &encoder->bits;
    *encoder = (struct histogram_encoder){.bits = {.out = out}, .head = out->len};
    encoder->stale = is_stale(histogram);
    encoder->first = encoder->stale ? nothing : *histogram;
    encoder->first.reset = histogram->reset;
    uint8_t head[3] = {0, 0, head_flags(histogram->reset)};
    buf_append(out, head, sizeof(head));
    put_layout(bits, &encoder->first);
    varbit_put_int(bits, time);
    put_first(bits, &encoder->total, encoder->first.count);
    put_first(bits, &encoder->zero_count, encoder->first.zero_count);
    put_first(bits, &encoder->sum, histogram->sum);
    size_t buckets = bucket_count(&encoder->first);
    encoder->buckets = arena_zalloc(arena, buckets * sizeof(*encoder->buckets));
    for (size_t i = 0; i < buckets; i++)
        put_first(bits, &encoder->buckets[i], bucket_at(&encoder->first, i));
    encoder->time = (uint64_t)time;
    encoder->count = 1;
}

static bool same_cut(const struct histogram_side *a, const struct histogram_side *b)
{
    return a->span_count == b->span_count && a->bucket_count == b->bucket_count &&
           (a->span_count == 0 ||
            memcmp(a->spans, b->spans, a->span_count * sizeof(*a->spans)) == 0);
}

static bool same_layout(const struct histogram *a, const struct histogram *b)
{
    return a->schema == b->schema && a->zero_threshold == b->zero_threshold &&
           same_cut(&a->positive, &b->positive) && same_cut(&a->negative, &b->negative) &&
           a->custom_count == b->custom_count &&
           (a->custom_count == 0 ||
            memcmp(a->custom_values, b->custom_values, a->custom_count * sizeof(double)) == 0);
}

bool histogram_encoder_takes(const struct histogram_encoder *encoder,
                             const struct histogram *histogram)
{
    bool gauge = histogram->reset == HISTOGRAM_GAUGE;
    if (is_stale(histogram))
        return true;
    if (encoder->stale || !same_layout(&encoder->first, histogram) ||
        gauge != (encoder->first.reset == HISTOGRAM_GAUGE))
        return false;
    if (gauge)
        return true;
    if (histogram->reset == HISTOGRAM_RESET_YES ||
        histogram->count < double_from_bits(encoder->total.bits) ||
        histogram->zero_count < double_from_bits(encoder->zero_count.bits))
        return false;
    for (size_t i = 0; i < bucket_count(histogram); i++)
        if (bucket_at(histogram, i) < double_from_bits(encoder->buckets[i].bits))
            return false;
    return true;
}

void histogram_encoder_append(struct histogram_encoder *encoder, int64_t time,
                              const struct histogram *histogram)
{
    struct bit_writer *bits = &encoder->bits;
    uint64_t delta = (uint64_t)time - encoder->time;
    encoder->stale = is_stale(histogram);
    varbit_put_int(bits, (int64_t)(delta - encoder->delta));
    xor_value_write(bits, &encoder->total, encoder->stale ? 0 : histogram->count);
    xor_value_write(bits, &encoder->zero_count, encoder->stale ? 0 : histogram->zero_count);
    xor_value_write(bits, &encoder->sum, histogram->sum);
    for (size_t i = 0; !encoder->stale && i < bucket_count(histogram); i++)
        xor_value_write(bits, &encoder->buckets[i], bucket_at(histogram, i));
    encoder->time = (uint64_t)time;
    encoder->delta = delta;
    encoder->count++;
}

void histogram_encoder_end(struct histogram_encoder *encoder)
{
    struct buf *out = encoder->bits.out;
    bits_end(&encoder->bits);
    if (encoder->head + 2 <= out->len) {
        out->data[encoder->head] = (char)(encoder->count >> 8);
        out->data[encoder->head + 1] = (char)encoder->count;
    }
}
