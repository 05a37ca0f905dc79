#include "api/result_json.h"

#include "codec/float_text.h"
#include "model/histogram.h"
#include "model/labels_json.h"
#include "promql/engine.h"

const char *result_type_text(const struct engine_result *result)
{
    static const char *const texts[] = {[VALUE_NONE] = "none",
                                        [VALUE_SCALAR] = "scalar",
                                        [VALUE_VECTOR] = "vector",
                                        [VALUE_MATRIX] = "matrix",
                                        [VALUE_STRING] = "string"};
    return texts[result->type];
}

void labels_write(struct json_writer *json, struct labels labels)
{
    struct json_writer plain = *json;
    plain.escape = JSON_PLAIN;
    labels_write_json(&plain, labels);
    json->comma = true;
}

/* Whole seconds, or seconds with exactly three decimals. */
static size_t time_text(char out[24], int64_t ms)
{
    char digits[24];
    size_t len = 0, at = sizeof(digits);
    uint64_t left = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms, fraction = left % 1000;
    if (fraction) {
        for (int i = 0; i < 3; i++, fraction /= 10)
            digits[--at] = (char)('0' + fraction % 10);
        digits[--at] = '.';
    }
    left /= 1000;
    do {
        digits[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left);
    if (ms < 0)
        out[len++] = '-';
    memcpy(out + len, digits + at, sizeof(digits) - at);
    return len + sizeof(digits) - at;
}

/* [time,"value"]: one reservation for all of it, as there may be millions. */
static void point_write(struct json_writer *json, int64_t ms, double value)
{
    char *room = buf_reserve(json->out, FLOAT_TEXT_MAX + 32), *at = room;
    if (!room)
        return;
    if (json->comma)
        *at++ = ',';
    *at++ = '[';
    at += time_text(at, ms);
    *at++ = ',';
    *at++ = '"';
    at += float_text(at, value, FLOAT_JSON);
    *at++ = '"';
    *at++ = ']';
    json->out->len += (size_t)(at - room);
    json->comma = true;
}

static void put_time(struct json_writer *json, int64_t ms)
{
    char text[24];
    json_put_raw(json, (struct str){text, time_text(text, ms)});
}

static void put_float(struct json_writer *json, double value, enum float_format format)
{
    char text[FLOAT_TEXT_MAX];
    json_put_str(json, (struct str){text, float_text(text, value, format)});
}

static void bucket_write(struct json_writer *json, const struct histogram_bucket *bucket)
{
    /* Which bounds belong to it: 0 the upper, 1 the lower, 2 none, 3 both. */
    int bounds = bucket->lower_inclusive ? (bucket->upper_inclusive ? 3 : 1)
                                         : (bucket->upper_inclusive ? 0 : 2);
    json_begin_array(json);
    json_put_int64(json, bounds);
    put_float(json, bucket->lower, FLOAT_JSON);
    put_float(json, bucket->upper, FLOAT_JSON);
    put_float(json, bucket->count, FLOAT_JSON);
    json_end_array(json);
}

static void histogram_write(struct json_writer *json, const struct histogram *histogram)
{
    struct histogram_walk walk = histogram_walk(histogram);
    struct histogram_bucket bucket;
    bool has_buckets = false;
    json_begin_object(json);
    json_put_key(json, "count");
    put_float(json, histogram->count, FLOAT_JSON);
    json_put_key(json, "sum");
    put_float(json, histogram->sum, FLOAT_JSON);
    while (histogram_walk_next(&walk, &bucket)) {
        if (bucket.count == 0)
            continue;
        if (!has_buckets) {
            json_put_key(json, "buckets");
            json_begin_array(json);
            has_buckets = true;
        }
        bucket_write(json, &bucket);
    }
    if (has_buckets)
        json_end_array(json);
    json_end_object(json);
}

static bool is_histogram(const struct result_series *series, size_t at)
{
    return series->histograms && series->histograms[at];
}

static void histogram_point_write(struct json_writer *json, const struct result_series *series,
                                  size_t at)
{
    json_begin_array(json);
    put_time(json, series->times[at]);
    histogram_write(json, series->histograms[at]);
    json_end_array(json);
}

static void vector_write(struct json_writer *json, const struct engine_result *result)
{
    json_begin_array(json);
    for (size_t i = 0; i < result->series_count; i++) {
        const struct result_series *series = &result->series[i];
        json_begin_object(json);
        json_put_key(json, "metric");
        labels_write(json, series->labels);
        json_put_key(json, is_histogram(series, 0) ? "histogram" : "value");
        if (is_histogram(series, 0))
            histogram_point_write(json, series, 0);
        else
            point_write(json, series->times[0], series->values[0]);
        json_end_object(json);
    }
    json_end_array(json);
}

static void points_write(struct json_writer *json, const struct result_series *series,
                         bool histograms)
{
    size_t count = 0;
    for (size_t i = 0; i < series->count; i++) {
        if (is_histogram(series, i) != histograms)
            continue;
        if (count++ == 0) {
            json_put_key(json, histograms ? "histograms" : "values");
            json_begin_array(json);
        }
        if (histograms)
            histogram_point_write(json, series, i);
        else
            point_write(json, series->times[i], series->values[i]);
    }
    if (count)
        json_end_array(json);
}

static void matrix_write(struct json_writer *json, const struct engine_result *result)
{
    json_begin_array(json);
    for (size_t i = 0; i < result->series_count; i++) {
        const struct result_series *series = &result->series[i];
        json_begin_object(json);
        json_put_key(json, "metric");
        labels_write(json, series->labels);
        points_write(json, series, false);
        if (series->histograms)
            points_write(json, series, true);
        json_end_object(json);
    }
    json_end_array(json);
}

/* Scalars and strings carry their time as the shortest float. */
static void put_short_time(struct json_writer *json, int64_t ms)
{
    char text[FLOAT_TEXT_MAX];
    size_t len = float_text(text, (double)ms / 1000, FLOAT_PLAIN);
    json_put_raw(json, (struct str){text, len});
}

void result_write(struct json_writer *json, const struct engine_result *result)
{
    switch (result->type) {
    case VALUE_VECTOR:
        vector_write(json, result);
        break;
    case VALUE_MATRIX:
        matrix_write(json, result);
        break;
    case VALUE_SCALAR:
        json_begin_array(json);
        put_short_time(json, result->series[0].times[0]);
        put_float(json, result->series[0].values[0], FLOAT_PLAIN);
        json_end_array(json);
        break;
    case VALUE_STRING:
        json_begin_array(json);
        put_short_time(json, result->string_time_ms);
        json_put_str(json, result->string);
        json_end_array(json);
        break;
    case VALUE_NONE:
        json_put_null(json);
        break;
    }
}
