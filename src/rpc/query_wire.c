#include "rpc/query_wire.h"

#include <stdlib.h>

#include "codec/pb.h"
#include "model/histogram.h"

/* -- requests -- */

static const struct field matcher_fields[] = {
    {1, NULL, FIELD_ENUM, offsetof(struct query_matcher, op)},
    {2, NULL, FIELD_STR, offsetof(struct query_matcher, name)},
    {3, NULL, FIELD_STR, offsetof(struct query_matcher, value)},
};
static const struct record_type matcher_type = RECORD_TYPE(struct query_matcher, matcher_fields);

static const struct field match_fields[] = {
    {1, NULL, FIELD_RECORDS, offsetof(struct query_store_match, matchers), .of = &matcher_type},
};
static const struct record_type match_type = RECORD_TYPE(struct query_store_match, match_fields);

static const struct field shard_fields[] = {
    {1, NULL, FIELD_INT, offsetof(struct query_shard, index)},
    {2, NULL, FIELD_INT, offsetof(struct query_shard, total)},
    {3, NULL, FIELD_BOOL, offsetof(struct query_shard, by)},
    {4, NULL, FIELD_STRS, offsetof(struct query_shard, labels)},
};
static const struct record_type shard_type = RECORD_TYPE(struct query_shard, shard_fields);

#define REQUEST(member) offsetof(struct query_request, member)
static const struct field instant_fields[] = {
    {1, NULL, FIELD_STR, REQUEST(text)},
    {2, NULL, FIELD_INT, REQUEST(time_s)},
    {3, NULL, FIELD_INT, REQUEST(timeout_s)},
    {4, NULL, FIELD_INT, REQUEST(max_resolution_s)},
    {5, NULL, FIELD_STRS, REQUEST(replica_labels)},
    {6, NULL, FIELD_RECORDS, REQUEST(store_matches), .of = &match_type},
    {7, NULL, FIELD_BOOL, REQUEST(dedup)},
    {8, NULL, FIELD_BOOL, REQUEST(partial_response)},
    {10, NULL, FIELD_BOOL, REQUEST(skip_chunks)},
    {11, NULL, FIELD_RECORD, REQUEST(shard), .of = &shard_type},
    {12, NULL, FIELD_INT, REQUEST(lookback_s)},
    {13, NULL, FIELD_ENUM, REQUEST(engine)},
    {15, NULL, FIELD_INT, REQUEST(batch_size)},
};
const struct record_type query_instant_type = RECORD_TYPE(struct query_request, instant_fields);

static const struct field range_fields[] = {
    {1, NULL, FIELD_STR, REQUEST(text)},
    {2, NULL, FIELD_INT, REQUEST(start_s)},
    {3, NULL, FIELD_INT, REQUEST(end_s)},
    {4, NULL, FIELD_INT, REQUEST(step_s)},
    {5, NULL, FIELD_INT, REQUEST(timeout_s)},
    {6, NULL, FIELD_INT, REQUEST(max_resolution_s)},
    {7, NULL, FIELD_STRS, REQUEST(replica_labels)},
    {8, NULL, FIELD_RECORDS, REQUEST(store_matches), .of = &match_type},
    {9, NULL, FIELD_BOOL, REQUEST(dedup)},
    {10, NULL, FIELD_BOOL, REQUEST(partial_response)},
    {12, NULL, FIELD_BOOL, REQUEST(skip_chunks)},
    {13, NULL, FIELD_RECORD, REQUEST(shard), .of = &shard_type},
    {14, NULL, FIELD_INT, REQUEST(lookback_s)},
    {15, NULL, FIELD_ENUM, REQUEST(engine)},
    {17, NULL, FIELD_INT, REQUEST(batch_size)},
};
const struct record_type query_range_type = RECORD_TYPE(struct query_request, range_fields);

/* -- numbers of the responses -- */

enum { FRAME_WARNING = 1, FRAME_SERIES = 2, FRAME_STATS = 3, FRAME_BATCH = 4 };
enum { BATCH_SERIES = 1 };
enum { STATS_TOTAL = 1, STATS_PEAK = 2 };
enum { SERIES_LABEL = 1, SERIES_SAMPLE = 2, SERIES_HISTOGRAM = 4 };
enum { SAMPLE_VALUE = 1, SAMPLE_TIME = 2 };
enum histogram_field {
    HISTOGRAM_COUNT_INT = 1,
    HISTOGRAM_COUNT = 2,
    HISTOGRAM_SUM = 3,
    HISTOGRAM_SCHEMA = 4,
    HISTOGRAM_ZERO_THRESHOLD = 5,
    HISTOGRAM_ZERO_COUNT_INT = 6,
    HISTOGRAM_ZERO_COUNT = 7,
    HISTOGRAM_NEGATIVE_SPAN = 8,
    HISTOGRAM_NEGATIVE_DELTAS = 9,
    HISTOGRAM_NEGATIVE_COUNTS = 10,
    HISTOGRAM_POSITIVE_SPAN = 11,
    HISTOGRAM_POSITIVE_DELTAS = 12,
    HISTOGRAM_POSITIVE_COUNTS = 13,
    HISTOGRAM_RESET = 14,
    HISTOGRAM_TIME = 15,
    HISTOGRAM_CUSTOM = 16,
};
enum { SPAN_OFFSET = 1, SPAN_LENGTH = 2 };

/* -- encoding -- */

enum { SERIES_GUESS = 200, BATCH_GUESS = 20000 };

static void side_encode(struct buf *out, const struct histogram_side *side, uint32_t span_field,
                        uint32_t counts_field)
{
    for (size_t i = 0; i < side->span_count; i++) {
        size_t mark = pb_begin(out, span_field, 4);
        pb_put_sint64(out, SPAN_OFFSET, side->spans[i].offset);
        pb_put_uint64(out, SPAN_LENGTH, side->spans[i].length);
        pb_end(out, mark);
    }
    pb_put_packed_double(out, counts_field, side->buckets, side->bucket_count);
}

static void histogram_encode(struct buf *out, int64_t time_ms, const struct histogram *histogram)
{
    size_t mark = pb_begin(out, SERIES_HISTOGRAM, SERIES_GUESS);
    pb_put_double_always(out, HISTOGRAM_COUNT, histogram->count);
    pb_put_double(out, HISTOGRAM_SUM, histogram->sum);
    pb_put_sint64(out, HISTOGRAM_SCHEMA, histogram->schema);
    pb_put_double(out, HISTOGRAM_ZERO_THRESHOLD, histogram->zero_threshold);
    pb_put_double_always(out, HISTOGRAM_ZERO_COUNT, histogram->zero_count);
    side_encode(out, &histogram->negative, HISTOGRAM_NEGATIVE_SPAN, HISTOGRAM_NEGATIVE_COUNTS);
    side_encode(out, &histogram->positive, HISTOGRAM_POSITIVE_SPAN, HISTOGRAM_POSITIVE_COUNTS);
    pb_put_uint64(out, HISTOGRAM_RESET, histogram->reset);
    pb_put_int64(out, HISTOGRAM_TIME, time_ms);
    pb_put_packed_double(out, HISTOGRAM_CUSTOM, histogram->custom_values, histogram->custom_count);
    pb_end(out, mark);
}

static void sample_encode(struct buf *out, int64_t time_ms, double value)
{
    size_t len =
        pb_tag_size(SAMPLE_VALUE) + sizeof(double) + pb_size_uint64(SAMPLE_TIME, (uint64_t)time_ms);
    pb_put_length(out, SERIES_SAMPLE, len);
    pb_put_double_always(out, SAMPLE_VALUE, value);
    pb_put_uint64_always(out, SAMPLE_TIME, (uint64_t)time_ms);
}

size_t query_batch_begin(struct buf *out)
{
    return pb_begin(out, FRAME_BATCH, BATCH_GUESS);
}

void query_batch_end(struct buf *out, size_t mark)
{
    pb_end(out, mark);
}

void query_series_encode(struct buf *out, const struct query_series *series, bool is_batch)
{
    size_t mark = pb_begin(out, is_batch ? BATCH_SERIES : FRAME_SERIES, SERIES_GUESS);
    label_set_encode(out, series->labels);
    for (size_t i = 0; i < series->count; i++)
        if (series->histograms && series->histograms[i])
            histogram_encode(out, series->times[i], series->histograms[i]);
        else
            sample_encode(out, series->times[i], series->values[i]);
    pb_end(out, mark);
}

void query_warning_encode(struct buf *out, struct str text)
{
    pb_put_str_always(out, FRAME_WARNING, text);
}

void query_stats_encode(struct buf *out, uint64_t samples_total, uint64_t samples_peak)
{
    size_t mark = pb_begin(out, FRAME_STATS, 16);
    pb_put_uint64(out, STATS_TOTAL, samples_total);
    pb_put_uint64(out, STATS_PEAK, samples_peak);
    pb_end(out, mark);
}

/* -- decoding -- */

struct point {
    int64_t time_ms;
    double value;
    struct histogram *histogram; /* NULL: a number */
};
struct points {
    RECORDS(struct point) list;
    bool has_histograms;
};

static struct error *sample_decode(struct bytes message, struct point *out)
{
    struct pb_reader reader = pb_read(message);
    while (pb_next(&reader)) {
        if (reader.field == SAMPLE_VALUE)
            out->value = pb_double(&reader);
        else if (reader.field == SAMPLE_TIME)
            out->time_ms = pb_int64(&reader);
        else
            pb_skip(&reader);
    }
    return pb_error(&reader, "sample");
}

/* What a histogram message holds while it is read. */
struct side_lists {
    RECORDS(struct histogram_span) spans;
    RECORDS(double) counts;
    int64_t delta; /* of integer counts: the count so far */
};

static void span_decode(struct pb_reader *outer, struct arena *arena, struct side_lists *side)
{
    struct pb_reader reader = pb_read(pb_bytes(outer));
    struct histogram_span *span = records_add(&side->spans, arena);
    while (pb_next(&reader)) {
        if (reader.field == SPAN_OFFSET)
            span->offset = (int32_t)pb_sint64(&reader);
        else if (reader.field == SPAN_LENGTH)
            span->length = pb_uint32(&reader);
        else
            pb_skip(&reader);
    }
    if (reader.failure)
        pb_fail(outer, "a malformed span");
}

static void counts_decode(struct pb_reader *reader, struct arena *arena, struct side_lists *side)
{
    struct pb_reader values = pb_repeated(reader, PB_FIXED64);
    while (pb_more(&values))
        *records_add(&side->counts, arena) = pb_double(&values);
    pb_join(reader, &values);
}

static void deltas_decode(struct pb_reader *reader, struct arena *arena, struct side_lists *side)
{
    struct pb_reader values = pb_repeated(reader, PB_VARINT);
    while (pb_more(&values)) {
        side->delta = (int64_t)((uint64_t)side->delta + (uint64_t)pb_sint64(&values));
        *records_add(&side->counts, arena) = (double)side->delta;
    }
    pb_join(reader, &values);
}

static struct histogram_side side_of(const struct side_lists *side)
{
    return (struct histogram_side){side->spans.items, side->spans.count, side->counts.items,
                                   side->counts.count};
}

struct histogram_reader {
    struct histogram *histogram;
    int64_t time_ms;
    struct side_lists positive, negative, custom;
};

static void histogram_field_decode(struct pb_reader *reader, struct arena *arena,
                                   struct histogram_reader *out)
{
    struct histogram *histogram = out->histogram;
    switch (reader->field) {
    case HISTOGRAM_COUNT_INT:
        histogram->count = (double)pb_uint64(reader);
        break;
    case HISTOGRAM_COUNT:
        histogram->count = pb_double(reader);
        break;
    case HISTOGRAM_SUM:
        histogram->sum = pb_double(reader);
        break;
    case HISTOGRAM_SCHEMA:
        histogram->schema = (int32_t)pb_sint64(reader);
        break;
    case HISTOGRAM_ZERO_THRESHOLD:
        histogram->zero_threshold = pb_double(reader);
        break;
    case HISTOGRAM_ZERO_COUNT_INT:
        histogram->zero_count = (double)pb_uint64(reader);
        break;
    case HISTOGRAM_ZERO_COUNT:
        histogram->zero_count = pb_double(reader);
        break;
    case HISTOGRAM_NEGATIVE_SPAN:
        span_decode(reader, arena, &out->negative);
        break;
    case HISTOGRAM_NEGATIVE_DELTAS:
        deltas_decode(reader, arena, &out->negative);
        break;
    case HISTOGRAM_NEGATIVE_COUNTS:
        counts_decode(reader, arena, &out->negative);
        break;
    case HISTOGRAM_POSITIVE_SPAN:
        span_decode(reader, arena, &out->positive);
        break;
    case HISTOGRAM_POSITIVE_DELTAS:
        deltas_decode(reader, arena, &out->positive);
        break;
    case HISTOGRAM_POSITIVE_COUNTS:
        counts_decode(reader, arena, &out->positive);
        break;
    case HISTOGRAM_RESET:
        histogram->reset = (enum histogram_reset)(pb_uint32(reader) & HISTOGRAM_GAUGE);
        break;
    case HISTOGRAM_TIME:
        out->time_ms = pb_int64(reader);
        break;
    case HISTOGRAM_CUSTOM:
        counts_decode(reader, arena, &out->custom);
        break;
    default:
        pb_skip(reader);
    }
}

static struct error *histogram_decode(struct bytes message, struct arena *arena, struct point *out)
{
    struct pb_reader reader = pb_read(message);
    struct histogram_reader parts = {.histogram = arena_zalloc(arena, sizeof(struct histogram))};
    while (pb_next(&reader))
        histogram_field_decode(&reader, arena, &parts);
    struct error *err = pb_error(&reader, "histogram");
    if (err)
        return err;
    parts.histogram->positive = side_of(&parts.positive);
    parts.histogram->negative = side_of(&parts.negative);
    parts.histogram->custom_values = parts.custom.counts.items;
    parts.histogram->custom_count = parts.custom.counts.count;
    out->histogram = parts.histogram;
    out->time_ms = parts.time_ms;
    err = arena_status(arena);
    return err ? err : histogram_check_form(parts.histogram);
}

static struct error *points_decode(struct bytes message, struct arena *arena, struct points *out)
{
    struct pb_reader reader = pb_read(message);
    struct error *err = NULL;
    while (!err && pb_next(&reader)) {
        if (reader.field == SERIES_SAMPLE) {
            err = sample_decode(pb_bytes(&reader), records_add(&out->list, arena));
        } else if (reader.field == SERIES_HISTOGRAM) {
            out->has_histograms = true;
            err = histogram_decode(pb_bytes(&reader), arena, records_add(&out->list, arena));
        } else {
            pb_skip(&reader);
        }
        if (!err)
            err = arena_status(arena);
    }
    if (reader.failure) {
        error_free(err);
        err = pb_error(&reader, "series");
    }
    return err;
}

static int compare_points(const void *left, const void *right)
{
    const struct point *a = left, *b = right;
    return a->time_ms < b->time_ms ? -1 : a->time_ms > b->time_ms;
}

/* Columns of the points; numbers and histograms come one after the other. */
static struct error *points_to_columns(struct points *points, struct arena *arena,
                                       struct query_series *out)
{
    size_t count = points->list.count;
    struct point *items = points->list.items;
    int64_t *times = arena_array(arena, count, sizeof(*times));
    double *values = arena_array(arena, count, sizeof(*values));
    struct histogram **histograms = NULL;
    if (points->has_histograms) {
        histograms = arena_array(arena, count, sizeof(struct histogram *));
        qsort(items, count, sizeof(*items), compare_points);
    }
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && items[i].time_ms <= times[i - 1])
            return error_create(ERROR_CORRUPT, "series: times do not ascend");
        times[i] = items[i].time_ms;
        values[i] = items[i].value;
        if (histograms)
            histograms[i] = items[i].histogram;
    }
    *out = (struct query_series){out->labels, times, values, histograms, count};
    return arena_status(arena);
}

static struct error *series_decode(struct bytes message, struct arena *arena,
                                   struct query_series *out)
{
    struct points points = {0};
    struct error *err = label_set_decode(message, arena, &out->labels);
    if (!err)
        err = points_decode(message, arena, &points);
    return err ? err : points_to_columns(&points, arena, out);
}

struct series_list {
    RECORDS(struct query_series) list;
};

static struct error *batch_decode(struct bytes message, struct arena *arena,
                                  struct series_list *out)
{
    struct pb_reader reader = pb_read(message);
    struct error *err = NULL;
    while (!err && pb_next(&reader)) {
        if (reader.field == BATCH_SERIES)
            err = series_decode(pb_bytes(&reader), arena, records_add(&out->list, arena));
        else
            pb_skip(&reader);
    }
    if (reader.failure) {
        error_free(err);
        err = pb_error(&reader, "batch");
    }
    return err;
}

static struct error *stats_decode(struct bytes message, struct query_frame *out)
{
    struct pb_reader reader = pb_read(message);
    while (pb_next(&reader)) {
        if (reader.field == STATS_TOTAL)
            out->samples_total = pb_uint64(&reader);
        else if (reader.field == STATS_PEAK)
            out->samples_peak = pb_uint64(&reader);
        else
            pb_skip(&reader);
    }
    return pb_error(&reader, "statistics");
}

struct error *query_frame_decode(struct bytes message, struct arena *arena, struct query_frame *out)
{
    struct pb_reader reader = pb_read(message);
    struct series_list series = {0};
    struct error *err = NULL;
    *out = (struct query_frame){.warning = STR_INIT("")};
    while (!err && pb_next(&reader)) {
        if (reader.field == FRAME_WARNING) {
            out->kind = QUERY_WARNING;
            out->warning = pb_str(&reader);
        } else if (reader.field == FRAME_SERIES) {
            out->kind = QUERY_SERIES;
            err = series_decode(pb_bytes(&reader), arena, records_add(&series.list, arena));
        } else if (reader.field == FRAME_BATCH) {
            out->kind = QUERY_SERIES;
            err = batch_decode(pb_bytes(&reader), arena, &series);
        } else if (reader.field == FRAME_STATS) {
            out->kind = QUERY_STATS;
            err = stats_decode(pb_bytes(&reader), out);
        } else {
            pb_skip(&reader);
        }
    }
    out->items = series.list.items;
    out->count = series.list.count;
    if (reader.failure) {
        error_free(err);
        err = pb_error(&reader, "query response");
    }
    return err ? err : arena_status(arena);
}
