/* titan-promqltest: runs scripts in Prometheus's test language on the engine, over a store in
 * memory.
 *
 *     titan-promqltest [--late-names] [--threads N] [--quiet] file.test ...
 *
 * Each evaluation counts as passed, failed, or skipped: what this version says that it does not
 * support yet. Instant queries are evaluated in two more ways: with their time as @ in the query,
 * at other times; and as a range. The exit status is 1 when one failed.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash_index.h"
#include "base/vec.h"
#include "chunk/chunk_encoder.h"
#include "codec/float_text.h"
#include "codec/regex.h"
#include "promql/engine.h"
#include "promql/script.h"
#include "runtime/context.h"
#include "runtime/pool.h"
#include "support/memory_store.h"

struct point {
    int64_t time;
    size_t place; /* among all that were loaded: the last one at a time counts */
    double value;
    struct histogram *histogram;
    bool has_start;
    int64_t start;
};

struct loaded {
    struct labels labels;
    bool has_starts;
    VEC(struct point) points;
};

struct runner {
    struct engine *engine;
    struct arena *arena; /* of the script */
    VEC(struct loaded *) series;
    struct store *store; /* of what is loaded; NULL: to be made */
    bool is_quiet;
    const char *file;
    size_t passed, failed, skipped;
};

/* ---- data ---- */

static void forget_store(struct runner *runner)
{
    store_free(runner->store);
    runner->store = NULL;
}

static void clear(struct runner *runner)
{
    forget_store(runner);
    for (size_t i = 0; i < runner->series.len; i++) {
        vec_deinit(&runner->series.items[i]->points);
        free(runner->series.items[i]);
    }
    vec_clear(&runner->series);
}

static struct loaded *find_series(struct runner *runner, struct labels labels)
{
    for (size_t i = 0; i < runner->series.len; i++)
        if (labels_equal(runner->series.items[i]->labels, labels))
            return runner->series.items[i];
    struct loaded *loaded = calloc(1, sizeof(*loaded));
    if (!loaded)
        abort();
    loaded->labels = labels;
    vec_push(&runner->series, loaded);
    return loaded;
}

static int compare_points(const void *a, const void *b)
{
    const struct point *left = a, *right = b;
    if (left->time != right->time)
        return left->time < right->time ? -1 : 1;
    return left->place < right->place ? -1 : left->place > right->place;
}

static void load_series(struct runner *runner, const struct script_series *from, int64_t step_ms)
{
    for (; from; from = from->next) {
        struct loaded *to = find_series(runner, from->labels);
        for (size_t i = 0; i < from->count; i++) {
            const struct script_value *value = &from->values[i];
            int64_t time = (int64_t)i * step_ms;
            struct point point = {time,
                                  to->points.len,
                                  value->value,
                                  value->histogram,
                                  value->has_start,
                                  time + value->start_ms};
            if (value->is_omitted)
                continue;
            vec_push(&to->points, point);
            to->has_starts |= value->has_start;
        }
        if (to->points.len)
            qsort(to->points.items, to->points.len, sizeof(to->points.items[0]), compare_points);
    }
}

static void load(struct runner *runner, const struct script_command *command)
{
    forget_store(runner);
    load_series(runner, command->series, command->step_ms);
    if (command->with_nhcb)
        load_series(runner, script_custom_histograms(command->series, runner->arena),
                    command->step_ms);
}

/* The last one at its time counts. */
static bool is_replaced(const struct loaded *loaded, size_t i)
{
    return i + 1 < loaded->points.len &&
           loaded->points.items[i].time == loaded->points.items[i + 1].time;
}

static void encode_with_starts(const struct loaded *loaded, struct arena *arena,
                               struct chunk_list *out)
{
    *out = (struct chunk_list){
        .items = arena_array(arena, loaded->points.len, sizeof(*out->items)),
    };
    for (size_t i = 0; i < loaded->points.len; i++) {
        const struct point *point = &loaded->points.items[i];
        if (!is_replaced(loaded, i))
            out->items[out->count++] =
                script_start_chunk(point->time, point->value, point->histogram,
                                   point->has_start ? &point->start : NULL, arena);
    }
}

static struct error *encode(const struct loaded *loaded, struct arena *arena,
                            struct chunk_list *out)
{
    if (loaded->has_starts) {
        encode_with_starts(loaded, arena, out);
        return NULL;
    }
    struct chunk_encoder encoder;
    chunk_encoder_init(&encoder, arena);
    for (size_t i = 0; i < loaded->points.len; i++) {
        const struct point *point = &loaded->points.items[i];
        if (is_replaced(loaded, i))
            continue;
        if (point->histogram)
            chunk_encoder_histogram(&encoder, point->time, point->histogram);
        else
            chunk_encoder_float(&encoder, point->time, point->value);
    }
    return chunk_encoder_finish(&encoder, out);
}

static struct error *make_store(struct runner *runner)
{
    if (runner->store)
        return NULL;
    struct memory_store *store = memory_store_create();
    struct arena *arena = arena_create(NULL);
    struct error *err = NULL;
    for (size_t i = 0; i < runner->series.len && !err; i++) {
        struct series series = {.labels = runner->series.items[i]->labels};
        err = encode(runner->series.items[i], arena, &series.chunks);
        if (!err && series.chunks.count)
            memory_store_add_series(store, &series);
    }
    arena_unref(arena);
    runner->store = memory_store_base(store);
    return err;
}

/* ---- comparing ---- */

static bool almost_equal(double a, double b)
{
    const double epsilon = 1e-6, smallest = 0x1p-1022;
    if (sample_is_stale(a) || sample_is_stale(b))
        return sample_is_stale(a) && sample_is_stale(b);
    if ((isnan(a) && isnan(b)) || a == b)
        return true;
    double sum = fabs(a) + fabs(b), difference = fabs(a - b);
    if (a == 0 || b == 0 || sum < smallest)
        return difference < epsilon * smallest;
    return difference / fmin(sum, 0x1.fffffffffffffp1023) < epsilon;
}

static bool next_bucket(struct histogram_walk *walk, struct histogram_bucket *out)
{
    while (histogram_walk_next(walk, out))
        if (out->count != 0)
            return true;
    return false;
}

static bool histograms_equal(const struct histogram *a, const struct histogram *b)
{
    if (a->schema != b->schema || !almost_equal(a->count, b->count) ||
        !almost_equal(a->sum, b->sum) || a->zero_threshold != b->zero_threshold)
        return false;
    struct histogram_walk left = histogram_walk(a), right = histogram_walk(b);
    struct histogram_bucket x, y;
    while (next_bucket(&left, &x)) {
        if (!next_bucket(&right, &y) || x.lower != y.lower || x.upper != y.upper ||
            !almost_equal(x.count, y.count))
            return false;
    }
    return !next_bucket(&right, &y);
}

static void print_value(struct buf *out, double value, const struct histogram *histogram)
{
    if (histogram)
        histogram_print(out, histogram);
    else
        float_append(out, value, FLOAT_GENERAL);
}

/* What is wrong with a point, appended; true when nothing is. */
static bool compare_value(struct buf *out, const struct script_value *want, double value,
                          const struct histogram *histogram)
{
    bool is_equal = !want->is_omitted && !want->histogram == !histogram;
    if (is_equal && histogram)
        is_equal = histograms_equal(want->histogram, histogram) &&
                   (!want->has_reset || want->histogram->reset == histogram->reset);
    else if (is_equal)
        is_equal = almost_equal(want->value, value);
    if (is_equal)
        return true;
    print_value(out, value, histogram);
    buf_append_cstr(out, " instead of ");
    if (want->is_omitted)
        buf_append_cstr(out, "nothing");
    else
        print_value(out, want->value, want->histogram);
    return false;
}

static const struct histogram *histogram_of(const struct result_series *series, size_t point)
{
    return series->histograms ? series->histograms[point] : NULL;
}

struct time_line { /* when the expected values are */
    int64_t start_ms, step_ms;
};

static bool compare_series(struct buf *out, const struct script_series *want,
                           const struct result_series *got, struct time_line line)
{
    static const struct script_value nothing = {.is_omitted = true};
    size_t point = 0;
    for (size_t i = 0; i < want->count || point < got->count; i++) {
        int64_t time = line.start_ms + (int64_t)i * line.step_ms;
        const struct script_value *value = i < want->count ? &want->values[i] : &nothing;
        bool is_here = point < got->count && (got->times[point] == time || i >= want->count);
        if (!is_here && value->is_omitted)
            continue;
        labels_print_metric(out, got->labels);
        buf_printf(out, " at %lld: ", (long long)(is_here ? got->times[point] : time));
        if (!is_here) {
            buf_append_cstr(out, "nothing instead of ");
            print_value(out, value->value, value->histogram);
            return false;
        }
        if (!compare_value(out, value, got->values[point], histogram_of(got, point)))
            return false;
        point++;
        buf_clear(out);
    }
    return true;
}

static bool has_expect(const struct script_command *command, enum expect_kind kind)
{
    for (const struct script_expect *e = command->expects; e; e = e->next)
        if (e->kind == kind)
            return true;
    return false;
}

static size_t position_of(const struct script_command *command, struct labels labels,
                          const struct script_series **out)
{
    size_t position = 0;
    /* The last one counts, as in Prometheus. */
    *out = NULL;
    size_t found = 0;
    for (const struct script_series *s = command->series; s; s = s->next, position++) {
        if (labels_equal(s->labels, labels)) {
            *out = s;
            found = position;
        }
    }
    return found;
}

static bool compare_rows(struct buf *out, const struct script_command *command,
                         const struct engine_result *result, struct time_line line, bool is_ordered)
{
    for (size_t i = 0; i < result->series_count; i++) {
        const struct script_series *want;
        const struct result_series *got = &result->series[i];
        size_t position = position_of(command, got->labels, &want);
        if (!want) {
            buf_append_cstr(out, "unexpected ");
            labels_print_metric(out, got->labels);
            buf_append_cstr(out, " with ");
            print_value(out, got->values[0], histogram_of(got, 0));
            return false;
        }
        if (is_ordered && position != i) {
            labels_print_metric(out, got->labels);
            buf_printf(out, " is at place %zu instead of %zu", i, position);
            return false;
        }
        if (!compare_series(out, want, got, line))
            return false;
    }
    for (const struct script_series *s = command->series; s; s = s->next) {
        size_t i = 0;
        while (i < result->series_count && !labels_equal(result->series[i].labels, s->labels))
            i++;
        if (i < result->series_count)
            continue;
        buf_append_cstr(out, "missing ");
        labels_print_metric(out, s->labels);
        return false;
    }
    return true;
}

/* True when the result is as expected, from start_ms on; else `out` has what is wrong. */
static bool compare_result(struct buf *out, const struct script_command *command,
                           const struct engine_result *result, int64_t start_ms)
{
    if (result->type == VALUE_STRING) {
        buf_printf(out, "the string \"%.*s\"", STR_ARG(result->string));
        return command->expects_string && str_equal(command->string, result->string);
    }
    if (result->type == VALUE_SCALAR) {
        struct script_value want = {.value = command->scalar,
                                    .is_omitted = !command->expects_scalar};
        return compare_value(out, &want, result->series[0].values[0], NULL);
    }
    if (command->expects_scalar || command->expects_string) {
        buf_printf(out, "it is of type %s", value_type_name(result->type));
        return false;
    }
    struct time_line line = {start_ms, command->is_range ? command->step_ms : 1};
    if (command->expects_range_vector)
        line = (struct time_line){command->points_start_ms, command->points_step_ms};
    bool is_ordered = has_expect(command, EXPECT_ORDERED);
    return compare_rows(out, command, result, line, is_ordered);
}

/* ---- annotations ---- */

/* "... (1:6)": without the place. */
static struct str without_place(struct str text)
{
    for (size_t i = text.len; i > 0 && str_ends_with(text, STR(")")); i--) {
        if (text.data[i - 1] == '(')
            return str_slice(text, 0, i - 1);
    }
    return text;
}

/* has_places: the text names the places of the query as it is in the script. */
static bool expect_matches(const struct script_expect *expect, struct str text, bool has_places)
{
    struct regex *regex;
    if (!expect->is_regex && has_places)
        return str_equal(expect->text, text);
    if (!expect->is_regex)
        return str_equal(without_place(expect->text), without_place(text));
    if (expect->text.len == 0)
        return true;
    struct error *err = regex_compile(expect->text, &regex);
    if (err) {
        printf("bad regex: %.*s\n", STR_ARG(error_text(err)));
        error_free(err);
        return false;
    }
    bool matches = regex_finds(regex, text);
    regex_free(regex);
    return matches;
}

static bool any_text_matches(const struct script_expect *expect, const struct str_list *texts,
                             bool has_places)
{
    for (size_t i = 0; i < texts->count; i++)
        if (expect_matches(expect, texts->items[i], has_places))
            return true;
    return false;
}

/* Each expectation has a text, and each text has one, if there are expectations at all. */
static bool compare_annotations(struct buf *out, const struct script_command *command,
                                enum expect_kind kind, enum expect_kind none,
                                const struct str_list *texts, bool has_places)
{
    if (has_expect(command, none) && texts->count > 0) {
        buf_printf(out, "unexpected annotation: %.*s", STR_ARG(texts->items[0]));
        return false;
    }
    for (const struct script_expect *e = command->expects; e; e = e->next) {
        if (e->kind != kind || any_text_matches(e, texts, has_places))
            continue;
        buf_printf(out, "no annotation is \"%.*s\"", STR_ARG(e->text));
        if (texts->count)
            buf_printf(out, ", there is %.*s", STR_ARG(texts->items[0]));
        return false;
    }
    for (size_t i = 0; i < texts->count && has_expect(command, kind); i++) {
        bool is_expected = false;
        for (const struct script_expect *e = command->expects; e; e = e->next)
            is_expected |= e->kind == kind && expect_matches(e, texts->items[i], has_places);
        if (is_expected)
            continue;
        buf_printf(out, "unexpected annotation: %.*s", STR_ARG(texts->items[i]));
        return false;
    }
    return true;
}

static bool compare_error(struct buf *out, const struct script_command *command,
                          const struct error *err)
{
    for (const struct script_expect *e = command->expects; e; e = e->next)
        if (e->kind == EXPECT_FAIL && expect_matches(e, error_text(err), true))
            return true;
    buf_printf(out, "error: %.*s", STR_ARG(error_text(err)));
    return false;
}

/* ---- running ---- */

enum outcome { PASSED, FAILED, SKIPPED };

static struct error *execute(struct runner *runner, const struct engine_query *query,
                             struct arena *arena, struct engine_result *result)
{
    struct error *err = make_store(runner);
    if (err)
        return err;
    struct context *ctx = context_create(NULL, 60000);
    context_collect_warnings(ctx);
    err = engine_exec(runner->engine, runner->store, ctx, query, arena, result);
    context_unref(ctx);
    return err;
}

static bool is_unsupported(const struct error *err)
{
    return str_ends_with(error_text(err), STR(" yet"));
}

static enum outcome check_query(struct runner *runner, const struct script_command *command,
                                const struct engine_query *query, struct buf *out,
                                enum value_type *type)
{
    struct arena *arena = arena_create(NULL);
    struct engine_result result;
    struct error *err = execute(runner, query, arena, &result);
    enum outcome outcome = FAILED;
    bool has_places = str_equal(query->text, command->query);
    if (err && is_unsupported(err)) {
        outcome = SKIPPED;
        buf_append_str(out, error_text(err));
    } else if (err) {
        outcome = compare_error(out, command, err) ? PASSED : FAILED;
    } else if (has_expect(command, EXPECT_FAIL)) {
        buf_append_cstr(out, "it should have failed");
    } else if (compare_annotations(out, command, EXPECT_WARN, EXPECT_NO_WARN, &result.warnings,
                                   has_places) &&
               compare_annotations(out, command, EXPECT_INFO, EXPECT_NO_INFO, &result.infos,
                                   has_places) &&
               compare_result(out, command, &result, query->start_ms)) {
        outcome = PASSED;
    }
    *type = err ? VALUE_NONE : result.type;
    error_free(err);
    arena_unref(arena);
    return outcome;
}

static enum outcome check_eval(struct runner *runner, const struct script_command *command,
                               struct buf *out, enum value_type *type)
{
    struct engine_query query = {
        .text = command->query,
        .instant = !command->is_range,
        .start_ms = command->start_ms,
        .end_ms = command->end_ms,
        .step_ms = command->step_ms,
    };
    return check_query(runner, command, &query, out, type);
}

static bool depends_on_query(struct str query)
{
    static const char *const words[] = {"range()", "step()", "start()", "end()"};
    for (size_t i = 0; i < countof(words); i++)
        if (str_contains(query, str_from(words[i])))
            return true;
    return false;
}

/* Pinned to its time, a query gives the same at any other time. */
static enum outcome check_pinned(struct runner *runner, const struct script_command *command,
                                 struct buf *out)
{
    int64_t at = command->start_ms;
    const int64_t times[] = {-10 * at, 0, at / 5, at, 10 * at, 1000, -1000};
    struct buf text = {0};
    struct arena *arena = arena_create(NULL);
    struct parse_options options = engine_parse_options(runner->engine);
    enum outcome outcome = PASSED;
    if (!command->is_range && !depends_on_query(command->query) &&
        script_at_variant(command->query, &options, at, arena, &text)) {
        for (size_t i = 0; i < countof(times) && outcome == PASSED; i++) {
            enum value_type type;
            struct engine_query query = {
                .text = buf_str(&text), .instant = true, .start_ms = times[i]};
            buf_clear(out);
            outcome = check_query(runner, command, &query, out, &type);
        }
    }
    if (outcome == FAILED)
        buf_printf(out, ", for %.*s", STR_ARG(buf_str(&text)));
    buf_deinit(&text);
    arena_unref(arena);
    return outcome;
}

/* Only the point in the middle is of interest. */
static void keep_point(struct engine_result *result, int64_t time)
{
    size_t kept = 0;
    for (size_t i = 0; i < result->series_count; i++) {
        struct result_series series = result->series[i];
        size_t point = 0;
        while (point < series.count && series.times[point] != time)
            point++;
        if (point == series.count)
            continue;
        series.times += point;
        series.values += point;
        if (series.histograms)
            series.histograms += point;
        series.count = 1;
        result->series[kept++] = series;
    }
    result->series_count = kept;
}

static enum outcome check_as_range(struct runner *runner, const struct script_command *command,
                                   struct buf *out)
{
    if (command->is_range || has_expect(command, EXPECT_ORDERED) ||
        depends_on_query(command->query))
        return PASSED;
    struct engine_query query = {
        .text = command->query,
        .start_ms = command->start_ms - 60000,
        .end_ms = command->start_ms + 60000,
        .step_ms = 60000,
    };
    struct arena *arena = arena_create(NULL);
    struct engine_result result;
    struct error *err = execute(runner, &query, arena, &result);
    enum outcome outcome = PASSED;
    buf_append_cstr(out, "as a range: ");
    if (err) {
        outcome = is_unsupported(err) ? SKIPPED : FAILED;
        buf_printf(out, "error: %.*s", STR_ARG(error_text(err)));
    } else {
        keep_point(&result, command->start_ms);
        if (command->expects_scalar)
            result.type = VALUE_SCALAR;
        outcome = compare_result(out, command, &result, command->start_ms) ? PASSED : FAILED;
    }
    error_free(err);
    arena_unref(arena);
    return outcome;
}

static void eval(struct runner *runner, const struct script_command *command)
{
    struct buf out = {0};
    enum value_type type;
    enum outcome outcome = check_eval(runner, command, &out, &type);
    if (outcome == PASSED) {
        buf_clear(&out);
        outcome = check_pinned(runner, command, &out);
    }
    if (outcome == PASSED && (type == VALUE_VECTOR || type == VALUE_SCALAR)) {
        buf_clear(&out);
        outcome = check_as_range(runner, command, &out);
    }
    runner->passed += outcome == PASSED;
    runner->failed += outcome == FAILED;
    runner->skipped += outcome == SKIPPED;
    if (outcome != PASSED && !runner->is_quiet)
        printf("%s:%zu: %s: %.*s\n    %.*s\n", runner->file, command->line,
               outcome == FAILED ? "failed" : "skipped", STR_ARG(command->query),
               STR_ARG(buf_str(&out)));
    buf_deinit(&out);
}

static struct error *read_file(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "r");
    char chunk[65536];
    size_t len;
    if (!file)
        return error_create(ERROR_NOT_FOUND, "cannot open the file");
    while ((len = fread(chunk, 1, sizeof(chunk), file)) > 0)
        buf_append(out, chunk, len);
    fclose(file);
    return NULL;
}

static void run_file(struct runner *runner, const char *path)
{
    struct buf text = {0};
    struct script_command *command = NULL;
    size_t passed = runner->passed, failed = runner->failed, skipped = runner->skipped;
    runner->file = path;
    runner->arena = arena_create(NULL);
    struct error *err = read_file(path, &text);
    if (!err)
        err = script_parse(buf_str(&text), runner->arena, &command);
    if (err) {
        printf("%s: %.*s\n", path, STR_ARG(error_text(err)));
        runner->failed++;
        error_free(err);
        command = NULL;
    }
    for (; command; command = command->next) {
        if (command->kind == COMMAND_CLEAR)
            clear(runner);
        else if (command->kind == COMMAND_LOAD)
            load(runner, command);
        else
            eval(runner, command);
    }
    clear(runner);
    arena_unref(runner->arena);
    buf_deinit(&text);
    printf("%s: %zu passed, %zu failed, %zu skipped\n", path, runner->passed - passed,
           runner->failed - failed, runner->skipped - skipped);
}

int main(int argc, char **argv)
{
    struct engine_config config = {.parse = {.experimental_functions = true,
                                             .fill_modifiers = true,
                                             .unquoted_utf8_names = true,
                                             .extended_functions = true},
                                   .use_start_timestamps = true};
    struct runner runner = {0};
    int first = 1;
    size_t threads = 0;
    for (; first < argc && str_starts_with(str_from(argv[first]), STR("--")); first++) {
        if (str_equal(str_from(argv[first]), STR("--late-names")))
            config.delayed_name_removal = true;
        else if (str_equal(str_from(argv[first]), STR("--quiet")))
            runner.is_quiet = true;
        else if (str_equal(str_from(argv[first]), STR("--threads")) && first + 1 < argc)
            threads = strtoul(argv[++first], NULL, 10);
    }
    if (threads)
        config.compute = pool_create("compute", threads, 1000);
    runner.engine = engine_create(&config);
    for (int i = first; i < argc; i++)
        run_file(&runner, argv[i]);
    printf("%zu passed, %zu failed, %zu skipped\n", runner.passed, runner.failed, runner.skipped);
    vec_deinit(&runner.series);
    engine_free(runner.engine);
    pool_free(config.compute);
    return runner.failed > 0;
}
