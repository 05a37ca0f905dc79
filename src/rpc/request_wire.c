#include "rpc/series_wire.h"

#include <string.h>

#include "codec/pb.h"

enum { RAW_ONLY = AGGR_BIT(AGGR_RAW) };

/* -- what the requests share -- */

static void matchers_put(struct buf *out, uint32_t field, const struct store_query *query)
{
    for (size_t i = 0; i < query->matcher_count; i++) {
        const struct matcher *matcher = &query->matchers[i];
        size_t mark = pb_begin(out, field, matcher->name.len + matcher->value.len + 6);
        pb_put_uint64(out, 1, matcher->op);
        pb_put_str(out, 2, matcher->name);
        pb_put_str(out, 3, matcher->value);
        pb_end(out, mark);
    }
}

static void strings_put(struct buf *out, uint32_t field, struct str_list list)
{
    for (size_t i = 0; i < list.count; i++)
        pb_put_str_always(out, field, list.items[i]);
}

static void partial_put(struct buf *out, uint32_t disabled_field, enum partial_response partial)
{
    pb_put_bool(out, disabled_field, partial == PARTIAL_ABORT);
    pb_put_uint64(out, disabled_field + 1, partial);
}

/* Occurrences of two fields, to make room for the lists. */
static void fields_count(struct bytes message, uint32_t a, uint32_t b, size_t *a_count,
                         size_t *b_count)
{
    struct pb_reader reader = pb_read(message);
    *a_count = *b_count = 0;
    while (pb_next(&reader)) {
        *a_count += reader.field == a;
        *b_count += reader.field == b;
        pb_skip(&reader);
    }
}

/* Fails with ERROR_INVALID for what is no matcher; adds to the query's, for which there is room. */
static struct error *matcher_decode(struct bytes message, struct arena *arena,
                                    struct store_query *query)
{
    struct pb_reader reader = pb_read(message);
    struct str name = {0}, value = {0};
    uint64_t type = 0;
    while (pb_next(&reader)) {
        if (reader.field == 1)
            type = pb_uint64(&reader);
        else if (reader.field == 2)
            name = pb_str(&reader);
        else if (reader.field == 3)
            value = pb_str(&reader);
        else
            pb_skip(&reader);
    }
    struct error *err = pb_error(&reader, "label matcher");
    if (err)
        return error_as(err, ERROR_INVALID);
    if (type > MATCH_NOT_REGEX)
        return error_create(ERROR_INVALID, "unsupported label matcher type %llu",
                            (unsigned long long)type);
    struct matcher *matchers = (struct matcher *)query->matchers;
    return matcher_create(arena, (enum match_op)type, name, value,
                          &matchers[query->matcher_count++]);
}

static void str_list_add(struct str_list *list, struct str text)
{
    list->items[list->count++] = text;
}

static struct error *request_error(const struct pb_reader *reader, const struct arena *arena,
                                   struct error *err, const char *what)
{
    if (!err)
        err = arena_status(arena);
    if (!err)
        err = pb_error(reader, what);
    return error_kind(err) == ERROR_CORRUPT ? error_as(err, ERROR_INVALID) : err;
}

static size_t limit_of(int64_t wire)
{
    return wire > 0 ? (size_t)wire : 0;
}

static void partial_read(struct pb_reader *reader, bool is_disabled_field,
                         struct store_query *query)
{
    if (pb_uint64(reader) == (is_disabled_field ? 1 : PARTIAL_ABORT))
        query->partial = PARTIAL_ABORT;
}

/* -- SeriesRequest -- */

enum series_request_field {
    REQUEST_MIN_TIME = 1,
    REQUEST_MAX_TIME,
    REQUEST_MATCHERS,
    REQUEST_RESOLUTION,
    REQUEST_AGGREGATES,
    REQUEST_PARTIAL_DISABLED,
    REQUEST_PARTIAL_STRATEGY,
    REQUEST_SKIP_CHUNKS,
    REQUEST_HINTS,
    REQUEST_STEP,
    REQUEST_RANGE,
    REQUEST_QUERY_HINTS,
    REQUEST_SHARD,
    REQUEST_WITHOUT,
    REQUEST_LIMIT,
    REQUEST_BATCH_SIZE,
};

static void query_hints_put(struct buf *out, const struct select_hints *hints)
{
    size_t mark = pb_begin(out, REQUEST_QUERY_HINTS, 64);
    pb_put_int64(out, 1, hints->step_ms);
    if (hints->func.len) {
        size_t func = pb_begin(out, 2, hints->func.len);
        pb_put_str(out, 1, hints->func);
        pb_end(out, func);
    }
    if (hints->grouping.count || hints->grouping_by) {
        size_t grouping = pb_begin(out, 4, 64);
        pb_put_bool(out, 1, hints->grouping_by);
        strings_put(out, 3, hints->grouping);
        pb_end(out, grouping);
    }
    if (hints->range_ms) {
        size_t range = pb_begin(out, 5, 8);
        pb_put_int64(out, 1, hints->range_ms);
        pb_end(out, range);
    }
    pb_end(out, mark);
}

void series_request_encode(struct buf *out, const struct store_query *query)
{
    pb_put_int64(out, REQUEST_MIN_TIME, query->min_time);
    pb_put_int64(out, REQUEST_MAX_TIME, query->max_time);
    matchers_put(out, REQUEST_MATCHERS, query);
    pb_put_int64(out, REQUEST_RESOLUTION, query->max_resolution_ms);
    uint64_t aggrs[AGGR_NUMBER];
    size_t aggr_count = 0;
    for (unsigned aggr = 0; aggr < AGGR_NUMBER; aggr++)
        if (query->aggrs & AGGR_BIT(aggr))
            aggrs[aggr_count++] = aggr;
    pb_put_packed_uint64(out, REQUEST_AGGREGATES, aggrs, aggr_count);
    partial_put(out, REQUEST_PARTIAL_DISABLED, query->partial);
    pb_put_bool(out, REQUEST_SKIP_CHUNKS, query->skip_chunks);
    pb_put_bytes(out, REQUEST_HINTS, query->hints.wire);
    pb_put_int64(out, REQUEST_STEP, query->hints.step_ms);
    pb_put_int64(out, REQUEST_RANGE, query->hints.range_ms);
    query_hints_put(out, &query->hints);
    if (query->shard.total) {
        size_t mark = pb_begin(out, REQUEST_SHARD, 64);
        pb_put_uint64(out, 1, query->shard.index);
        pb_put_uint64(out, 2, query->shard.total);
        pb_put_bool(out, 3, query->shard.by);
        strings_put(out, 4, query->shard.labels);
        pb_end(out, mark);
    }
    strings_put(out, REQUEST_WITHOUT, query->without_labels);
    pb_put_uint64(out, REQUEST_LIMIT, query->limit);
    pb_put_uint64(out, REQUEST_BATCH_SIZE, query->hints.batch_size);
}

/* A message of one repeated string, a bool and maybe a number; `list` gets the strings. */
static struct error *strings_decode(struct bytes message, uint32_t field, struct arena *arena,
                                    struct str_list *list)
{
    size_t count, unused;
    fields_count(message, field, 0, &count, &unused);
    *list = (struct str_list){arena_array(arena, count, sizeof(*list->items)), 0};
    struct pb_reader reader = pb_read(message);
    while (pb_next(&reader)) {
        if (reader.field == field)
            str_list_add(list, pb_str(&reader));
        else
            pb_skip(&reader);
    }
    str_list_sort(list);
    return pb_error(&reader, "list of labels");
}

static uint64_t number_decode(struct bytes message, uint32_t field)
{
    struct pb_reader reader = pb_read(message);
    uint64_t value = 0;
    while (pb_next(&reader)) {
        if (reader.field == field)
            value = pb_uint64(&reader);
        else
            pb_skip(&reader);
    }
    return reader.failure ? 0 : value;
}

static struct str func_decode(struct bytes message)
{
    struct pb_reader reader = pb_read(message);
    struct str name = {0};
    while (pb_next(&reader)) {
        if (reader.field == 1)
            name = pb_str(&reader);
        else
            pb_skip(&reader);
    }
    return name;
}

static struct error *query_hints_decode(struct bytes message, struct arena *arena,
                                        struct select_hints *hints)
{
    struct pb_reader reader = pb_read(message);
    struct error *err = NULL;
    while (!err && pb_next(&reader)) {
        switch (reader.field) {
        case 1:
            hints->step_ms = pb_int64(&reader);
            break;
        case 2:
            hints->func = func_decode(pb_bytes(&reader));
            break;
        case 4: {
            struct bytes grouping = pb_bytes(&reader);
            hints->grouping_by = number_decode(grouping, 1) != 0;
            err = strings_decode(grouping, 3, arena, &hints->grouping);
            break;
        }
        case 5:
            hints->range_ms = (int64_t)number_decode(pb_bytes(&reader), 1);
            break;
        default:
            pb_skip(&reader);
        }
    }
    return err ? err : pb_error(&reader, "query hints");
}

static struct error *shard_decode(struct bytes message, struct arena *arena, struct shard *shard)
{
    int64_t total = (int64_t)number_decode(message, 2);
    *shard = (struct shard){0};
    if (total < 1)
        return NULL;
    shard->total = (uint64_t)total;
    shard->index = number_decode(message, 1);
    shard->by = number_decode(message, 3) != 0;
    return strings_decode(message, 4, arena, &shard->labels);
}

static void aggrs_decode(struct pb_reader *reader, struct store_query *query)
{
    struct pb_reader values = pb_repeated(reader, PB_VARINT);
    while (pb_more(&values)) {
        uint64_t aggr = pb_uint64(&values);
        if (aggr < AGGR_NUMBER)
            query->aggrs |= AGGR_BIT(aggr);
    }
    pb_join(reader, &values);
}

/* One field of the request. */
static struct error *series_request_field(struct pb_reader *reader, struct arena *arena,
                                          struct store_query *out)
{
    switch ((enum series_request_field)reader->field) {
    case REQUEST_MIN_TIME:
        out->min_time = pb_int64(reader);
        return NULL;
    case REQUEST_MAX_TIME:
        out->max_time = pb_int64(reader);
        return NULL;
    case REQUEST_MATCHERS:
        return matcher_decode(pb_bytes(reader), arena, out);
    case REQUEST_RESOLUTION:
        out->max_resolution_ms = pb_int64(reader);
        return NULL;
    case REQUEST_AGGREGATES:
        aggrs_decode(reader, out);
        return NULL;
    case REQUEST_PARTIAL_DISABLED:
    case REQUEST_PARTIAL_STRATEGY:
        partial_read(reader, reader->field == REQUEST_PARTIAL_DISABLED, out);
        return NULL;
    case REQUEST_SKIP_CHUNKS:
        out->skip_chunks = pb_bool(reader);
        return NULL;
    case REQUEST_HINTS:
        out->hints.wire = pb_bytes(reader);
        return NULL;
    case REQUEST_STEP:
        out->hints.step_ms = pb_int64(reader);
        return NULL;
    case REQUEST_RANGE:
        out->hints.range_ms = pb_int64(reader);
        return NULL;
    case REQUEST_QUERY_HINTS:
        return query_hints_decode(pb_bytes(reader), arena, &out->hints);
    case REQUEST_SHARD:
        return shard_decode(pb_bytes(reader), arena, &out->shard);
    case REQUEST_WITHOUT:
        str_list_add(&out->without_labels, pb_str(reader));
        return NULL;
    case REQUEST_LIMIT:
        out->limit = limit_of(pb_int64(reader));
        return NULL;
    case REQUEST_BATCH_SIZE:
        out->hints.batch_size = limit_of(pb_int64(reader));
        return NULL;
    }
    pb_skip(reader);
    return NULL;
}

/* Makes room for the matchers and the labels to be dropped. */
static struct error *request_lists(struct bytes message, uint32_t matchers, uint32_t without,
                                   struct arena *arena, struct store_query *out)
{
    size_t matcher_count, without_count;
    fields_count(message, matchers, without, &matcher_count, &without_count);
    out->matchers = arena_try_alloc(arena, (matcher_count + 1) * sizeof(*out->matchers));
    out->without_labels.items = arena_try_alloc(arena, (without_count + 1) * sizeof(struct str));
    return out->matchers && out->without_labels.items ? NULL : arena_status(arena);
}

struct error *series_request_decode(struct bytes message, struct arena *arena,
                                    struct store_query *out)
{
    *out = (struct store_query){0};
    struct error *err = request_lists(message, REQUEST_MATCHERS, REQUEST_WITHOUT, arena, out);
    struct pb_reader reader = pb_read(message);
    while (!err && pb_next(&reader))
        err = series_request_field(&reader, arena, out);
    if (out->aggrs == 0)
        out->aggrs = RAW_ONLY;
    str_list_sort(&out->without_labels);
    return request_error(&reader, arena, err, "series request");
}

/* -- LabelNamesRequest, LabelValuesRequest: the same fields, one later in the second -- */

enum { LABEL_NAME = 1 };
enum label_request_field { /* of LabelNamesRequest */
                           LABELS_PARTIAL_DISABLED = 1,
                           LABELS_PARTIAL_STRATEGY,
                           LABELS_START,
                           LABELS_END,
                           LABELS_HINTS,
                           LABELS_MATCHERS,
                           LABELS_WITHOUT,
                           LABELS_LIMIT,
};

static void label_request_put(struct buf *out, uint32_t shift, const struct store_query *query)
{
    partial_put(out, LABELS_PARTIAL_DISABLED + shift, query->partial);
    pb_put_int64(out, LABELS_START + shift, query->min_time);
    pb_put_int64(out, LABELS_END + shift, query->max_time);
    pb_put_bytes(out, LABELS_HINTS + shift, query->hints.wire);
    matchers_put(out, LABELS_MATCHERS + shift, query);
    strings_put(out, LABELS_WITHOUT + shift, query->without_labels);
    pb_put_uint64(out, LABELS_LIMIT + shift, query->limit);
}

void label_names_request_encode(struct buf *out, const struct store_query *query)
{
    label_request_put(out, 0, query);
}

void label_values_request_encode(struct buf *out, struct str name, const struct store_query *query)
{
    pb_put_str(out, LABEL_NAME, name);
    label_request_put(out, 1, query);
}

static struct error *label_request_field(struct pb_reader *reader, uint32_t shift,
                                         struct arena *arena, struct store_query *out)
{
    switch ((enum label_request_field)(reader->field - shift)) {
    case LABELS_PARTIAL_DISABLED:
    case LABELS_PARTIAL_STRATEGY:
        partial_read(reader, reader->field - shift == LABELS_PARTIAL_DISABLED, out);
        return NULL;
    case LABELS_START:
        out->min_time = pb_int64(reader);
        return NULL;
    case LABELS_END:
        out->max_time = pb_int64(reader);
        return NULL;
    case LABELS_HINTS:
        out->hints.wire = pb_bytes(reader);
        return NULL;
    case LABELS_MATCHERS:
        return matcher_decode(pb_bytes(reader), arena, out);
    case LABELS_WITHOUT:
        str_list_add(&out->without_labels, pb_str(reader));
        return NULL;
    case LABELS_LIMIT:
        out->limit = limit_of(pb_int64(reader));
        return NULL;
    }
    pb_skip(reader);
    return NULL;
}

static struct error *label_request_decode(struct bytes message, struct arena *arena,
                                          struct str *name, struct store_query *out)
{
    uint32_t shift = name ? 1 : 0;
    *out = (struct store_query){.aggrs = RAW_ONLY, .skip_chunks = true};
    struct error *err =
        request_lists(message, LABELS_MATCHERS + shift, LABELS_WITHOUT + shift, arena, out);
    struct pb_reader reader = pb_read(message);
    while (!err && pb_next(&reader)) {
        if (name && reader.field == LABEL_NAME)
            *name = pb_str(&reader);
        else
            err = label_request_field(&reader, shift, arena, out);
    }
    str_list_sort(&out->without_labels);
    return request_error(&reader, arena, err, "label request");
}

struct error *label_names_request_decode(struct bytes message, struct arena *arena,
                                         struct store_query *out)
{
    return label_request_decode(message, arena, NULL, out);
}

struct error *label_values_request_decode(struct bytes message, struct arena *arena,
                                          struct str *name, struct store_query *out)
{
    *name = (struct str){0};
    return label_request_decode(message, arena, name, out);
}

/* -- LabelNamesResponse, LabelValuesResponse -- */

enum { RESPONSE_LIST = 1, RESPONSE_WARNINGS = 2 };

void label_response_encode(struct buf *out, const struct label_response *response)
{
    strings_put(out, RESPONSE_LIST, response->list);
    strings_put(out, RESPONSE_WARNINGS, response->warnings);
}

struct error *label_response_decode(struct bytes message, struct arena *arena,
                                    struct label_response *out)
{
    size_t list_count, warning_count;
    fields_count(message, RESPONSE_LIST, RESPONSE_WARNINGS, &list_count, &warning_count);
    *out = (struct label_response){0};
    out->list.items = arena_try_alloc(arena, (list_count + 1) * sizeof(struct str));
    out->warnings.items = arena_try_alloc(arena, (warning_count + 1) * sizeof(struct str));
    if (!out->list.items || !out->warnings.items)
        return arena_status(arena);
    struct pb_reader reader = pb_read(message);
    while (pb_next(&reader)) {
        if (reader.field == RESPONSE_LIST)
            str_list_add(&out->list, pb_str(&reader));
        else if (reader.field == RESPONSE_WARNINGS)
            str_list_add(&out->warnings, pb_str(&reader));
        else
            pb_skip(&reader);
    }
    str_list_sort(&out->list);
    return pb_error(&reader, "label response");
}
