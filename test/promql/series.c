/* Series with their values, as loads and expectations have them. */
#include "promql/script.h"

#include <math.h>

#include "base/duration.h"
#include "chunk/samples.h"
#include "codec/float_text.h"
#include "model/histogram_math.h"
#include "promql/parse.h"

struct reading {
    struct str text;
    size_t at;
    struct arena *arena;
    struct script_value *values;
    size_t count, cap;
};

enum { VALUES_MAX = 1000000 };

static struct error *fail(const struct reading *reading, const char *what)
{
    struct str rest = str_slice(reading->text, reading->at, reading->text.len);
    return error_create(ERROR_INVALID, "%s at \"%.*s\"", what, STR_ARG(str_slice(rest, 0, 40)));
}

static char current(const struct reading *reading)
{
    return reading->at < reading->text.len ? reading->text.data[reading->at] : 0;
}

static bool take(struct reading *reading, const char *text)
{
    struct str rest = str_slice(reading->text, reading->at, reading->text.len);
    if (!str_starts_with(rest, str_from(text)))
        return false;
    reading->at += strlen(text);
    return true;
}

static void skip_spaces(struct reading *reading)
{
    while (current(reading) == ' ' || current(reading) == '\t')
        reading->at++;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool take_word(struct reading *reading, const char *word)
{
    struct str rest = str_slice(reading->text, reading->at, reading->at + strlen(word));
    if (!str_equal_nocase(rest, str_from(word)))
        return false;
    reading->at += strlen(word);
    return true;
}

/* Without a sign. */
static bool take_number(struct reading *reading, double *out)
{
    if (take_word(reading, "inf")) {
        *out = INFINITY;
        return true;
    }
    if (take_word(reading, "nan")) {
        *out = NAN;
        return true;
    }
    size_t start = reading->at;
    while (is_digit(current(reading)) || current(reading) == '.')
        reading->at++;
    if (current(reading) == 'e' || current(reading) == 'E') {
        reading->at++;
        if (current(reading) == '+' || current(reading) == '-')
            reading->at++;
        while (is_digit(current(reading)))
            reading->at++;
    }
    return float_from_str(str_slice(reading->text, start, reading->at), out);
}

static bool take_signed(struct reading *reading, double *out)
{
    bool is_negative = take(reading, "-");
    if (!is_negative)
        take(reading, "+");
    if (!take_number(reading, out))
        return false;
    *out = is_negative ? -*out : *out;
    return true;
}

static bool take_count(struct reading *reading, size_t *out)
{
    uint64_t value;
    size_t start = reading->at;
    while (is_digit(current(reading)))
        reading->at++;
    if (!str_to_uint64(str_slice(reading->text, start, reading->at), &value) || value > VALUES_MAX)
        return false;
    *out = (size_t)value;
    return true;
}

static struct error *add(struct reading *reading, struct script_value value)
{
    if (reading->count == VALUES_MAX)
        return fail(reading, "too many values");
    if (reading->count == reading->cap) {
        reading->cap = reading->cap ? reading->cap * 2 : 16;
        struct script_value *values = arena_array(reading->arena, reading->cap, sizeof(*values));
        for (size_t i = 0; i < reading->count; i++)
            values[i] = reading->values[i];
        reading->values = values;
    }
    reading->values[reading->count++] = value;
    return NULL;
}

/* ---- histograms ---- */

struct bucket_list {
    double items[256];
    size_t count;
};

static bool take_list(struct reading *reading, struct bucket_list *list)
{
    if (!take(reading, "["))
        return false;
    skip_spaces(reading);
    while (!take(reading, "]")) {
        if (list->count == countof(list->items) ||
            !take_signed(reading, &list->items[list->count++]))
            return false;
        skip_spaces(reading);
    }
    return true;
}

static struct histogram_side make_side(struct arena *arena, const struct bucket_list *list,
                                       double offset)
{
    struct histogram_side side = {0};
    if (list->count == 0)
        return side;
    struct histogram_span *span = arena_alloc(arena, sizeof(*span));
    *span = (struct histogram_span){(int32_t)offset, (uint32_t)list->count};
    side.spans = span;
    side.span_count = 1;
    side.buckets = arena_array(arena, list->count, sizeof(*side.buckets));
    side.bucket_count = list->count;
    memcpy(side.buckets, list->items, list->count * sizeof(*side.buckets));
    return side;
}

static bool take_reset(struct reading *reading, enum histogram_reset *out)
{
    static const struct {
        const char *text;
        enum histogram_reset reset;
    } hints[] = {{"unknown", HISTOGRAM_RESET_UNKNOWN},
                 {"not_reset", HISTOGRAM_RESET_NO},
                 {"reset", HISTOGRAM_RESET_YES},
                 {"gauge", HISTOGRAM_GAUGE}};
    for (size_t i = 0; i < countof(hints); i++) {
        if (take(reading, hints[i].text)) {
            *out = hints[i].reset;
            return true;
        }
    }
    return false;
}

struct histogram_parts {
    double schema, offset, n_offset;
    struct bucket_list buckets, n_buckets, custom;
};

/* key:value */
static bool take_part(struct reading *reading, struct histogram *histogram,
                      struct histogram_parts *parts, bool *has_reset)
{
    const struct {
        const char *key;
        double *number;
        struct bucket_list *list;
    } keys[] = {
        {"schema:", &parts->schema, NULL},
        {"sum:", &histogram->sum, NULL},
        {"count:", &histogram->count, NULL},
        {"offset:", &parts->offset, NULL},
        {"n_offset:", &parts->n_offset, NULL},
        {"buckets:", NULL, &parts->buckets},
        {"n_buckets:", NULL, &parts->n_buckets},
        {"z_bucket:", &histogram->zero_count, NULL},
        {"z_bucket_w:", &histogram->zero_threshold, NULL},
        {"custom_values:", NULL, &parts->custom},
    };
    for (size_t i = 0; i < countof(keys); i++) {
        if (!take(reading, keys[i].key))
            continue;
        return keys[i].number ? take_signed(reading, keys[i].number)
                              : take_list(reading, keys[i].list);
    }
    *has_reset = true;
    return take(reading, "counter_reset_hint:") && take_reset(reading, &histogram->reset);
}

/* Behind {{. */
static struct error *read_histogram(struct reading *reading, struct script_value *out)
{
    struct arena *arena = reading->arena;
    struct histogram *histogram = arena_zalloc(arena, sizeof(*histogram));
    struct histogram_parts *parts = arena_zalloc(arena, sizeof(*parts));
    *out = (struct script_value){.histogram = histogram};
    skip_spaces(reading);
    while (!take(reading, "}}")) {
        if (!take_part(reading, histogram, parts, &out->has_reset))
            return fail(reading, "bad histogram");
        skip_spaces(reading);
    }
    histogram->schema = (int32_t)parts->schema;
    histogram->positive = make_side(arena, &parts->buckets, parts->offset);
    histogram->negative = make_side(arena, &parts->n_buckets, parts->n_offset);
    histogram->custom_values = parts->custom.items;
    histogram->custom_count = parts->custom.count;
    return NULL;
}

/* {{...}}+{{...}}x3 */
static struct error *read_histogram_series(struct reading *reading, struct script_value value)
{
    struct script_value step = {0};
    bool falls = current(reading) == '-', has_step = take(reading, "+") || take(reading, "-");
    size_t count = 0;
    struct error *err = NULL;
    if (has_step)
        err = take(reading, "{{") ? read_histogram(reading, &step) : fail(reading, "no histogram");
    if (err)
        return err;
    if (take(reading, "x") && !take_count(reading, &count))
        return fail(reading, "bad count");
    if (has_step)
        value.has_reset = step.has_reset;
    err = add(reading, value);
    for (size_t i = 0; i < count && !err; i++) {
        struct histogram *next = histogram_copy(reading->arena, value.histogram);
        if (has_step &&
            (falls ? histogram_subtract : histogram_add)(next, step.histogram, reading->arena) &
                HISTOGRAM_MIXED)
            return fail(reading, "histograms of two kinds");
        value.histogram = next;
        err = add(reading, value);
    }
    return err;
}

/* ---- values ---- */

static double stale(void)
{
    uint64_t bits = STALE_NAN_BITS;
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* 1, 1x3, 1+2x3 */
static struct error *read_float(struct reading *reading)
{
    double value, step = 0;
    size_t count = 0;
    if (take(reading, "stale"))
        value = stale();
    else if (!take_signed(reading, &value))
        return fail(reading, "bad value");
    if (current(reading) == '+' || current(reading) == '-') {
        if (!take_signed(reading, &step))
            return fail(reading, "bad step");
    }
    if (take(reading, "x") && !take_count(reading, &count))
        return fail(reading, "bad count");
    struct error *err = add(reading, (struct script_value){.value = value});
    for (size_t i = 0; i < count && !err; i++) {
        value = step == 0 ? value : value + step;
        err = add(reading, (struct script_value){.value = value});
    }
    return err;
}

static struct error *read_value(struct reading *reading)
{
    if (take(reading, "_")) {
        size_t count = 1;
        if (take(reading, "x") && !take_count(reading, &count))
            return fail(reading, "bad count");
        struct error *err = NULL;
        for (size_t i = 0; i < count && !err; i++)
            err = add(reading, (struct script_value){.is_omitted = true});
        return err;
    }
    if (take(reading, "{{")) {
        struct script_value value;
        struct error *err = read_histogram(reading, &value);
        return err ? err : read_histogram_series(reading, value);
    }
    return read_float(reading);
}

/* ---- series ---- */

static const struct parse_options names_of_any_script = {.unquoted_utf8_names = true};

static size_t metric_end(struct str line)
{
    char quote = 0;
    bool in_braces = false;
    for (size_t i = 0; i < line.len; i++) {
        char c = line.data[i];
        if (quote) {
            if (c == '\\' && quote != '`')
                i++;
            else if (c == quote)
                quote = 0;
        } else if (c == '"' || c == '\'' || c == '`') {
            quote = c;
        } else if (c == '{') {
            in_braces = true;
        } else if (c == '}') {
            return i + 1;
        } else if ((c == ' ' || c == '\t') && !in_braces) {
            return i;
        }
    }
    return line.len;
}

/* ---- start times ---- */

/* -1m30s, 0 */
static bool take_duration(struct reading *reading, int64_t *out)
{
    bool is_negative = take(reading, "-");
    if (!is_negative)
        take(reading, "+");
    size_t start = reading->at;
    while (is_digit(current(reading)) ||
           (current(reading) >= 'a' && current(reading) <= 'z' && current(reading) != 'x'))
        reading->at++;
    struct str text = str_slice(reading->text, start, reading->at);
    struct error *err = str_equal(text, STR("0")) ? NULL : duration_parse(text, out);
    bool is_fine = !err;
    if (str_equal(text, STR("0")))
        *out = 0;
    error_free(err);
    if (is_fine && is_negative)
        *out = -*out;
    return is_fine;
}

/* _, _x3, -1m, -1mx3, -1m-1mx3 */
static struct error *read_start(struct reading *reading)
{
    struct script_value value = {.is_omitted = take(reading, "_")};
    int64_t step = 0;
    size_t count = 0;
    bool is_fine = value.is_omitted || take_duration(reading, &value.start_ms);
    if (is_fine && !value.is_omitted && (current(reading) == '+' || current(reading) == '-'))
        is_fine = take_duration(reading, &step);
    if (is_fine && take(reading, "x")) {
        is_fine = take_count(reading, &count) && (count > 0 || !value.is_omitted);
        count -= value.is_omitted;
    }
    if (!is_fine)
        return fail(reading, "bad start time");
    struct error *err = NULL;
    for (size_t i = 0; i <= count && !err; i++) {
        err = add(reading, value);
        value.start_ms += step;
    }
    return err;
}

bool script_line_has_starts(struct str line)
{
    struct str rest = str_slice(line, metric_end(line), line.len);
    return str_ends_with(str_slice(line, 0, metric_end(line)), STR("@st")) ||
           str_starts_with(rest, STR("@st "));
}

struct error *script_starts_parse(struct str line, struct arena *arena, struct script_series *out)
{
    size_t end = metric_end(line);
    struct str metric = str_slice(line, 0, end);
    if (str_ends_with(metric, STR("@st")))
        metric.len -= 3;
    else
        end += 3;
    struct error *err = promql_parse_metric(metric, &names_of_any_script, arena, &out->labels);
    struct reading reading = {str_slice(line, end, line.len), 0, arena, NULL, 0, 0};
    skip_spaces(&reading);
    while (!err && reading.at < reading.text.len) {
        err = read_start(&reading);
        skip_spaces(&reading);
    }
    out->values = reading.values;
    out->count = reading.count;
    return err;
}

struct error *script_add_starts(struct script_series *series, const struct script_series *starts)
{
    if (!labels_equal(series->labels, starts->labels) || series->count != starts->count)
        return error_create(ERROR_INVALID, "start times are not of the series that follows");
    for (size_t i = 0; i < series->count; i++) {
        series->values[i].has_start = !starts->values[i].is_omitted;
        series->values[i].start_ms = starts->values[i].start_ms;
    }
    return NULL;
}

struct error *script_series_parse(struct str line, struct arena *arena, struct script_series *out)
{
    size_t end = metric_end(line);
    struct error *err =
        promql_parse_metric(str_slice(line, 0, end), &names_of_any_script, arena, &out->labels);
    if (err)
        return err;
    struct reading reading = {str_slice(line, end, line.len), 0, arena, NULL, 0, 0};
    skip_spaces(&reading);
    while (reading.at < reading.text.len) {
        err = read_value(&reading);
        if (!err && current(&reading) && current(&reading) != ' ' && current(&reading) != '\t')
            err = fail(&reading, "a space is missing");
        if (err)
            return err;
        skip_spaces(&reading);
    }
    out->values = reading.values;
    out->count = reading.count;
    return NULL;
}

bool script_number_parse(struct str text, double *out)
{
    struct reading reading = {text, 0, NULL, NULL, 0, 0};
    return take_signed(&reading, out) && reading.at == text.len;
}
