/* titan-promql-eval: evaluates queries over given samples, for the differential test of the engine.
 *
 * Reads lines from stdin; fields are separated by tabs:
 *     series  metric  time:value time:value ...      (times in ms, rising)
 *     query   start   end  step  text                (ms; step 0: an instant query)
 * and writes for each query
 *     = type            or   ! kind  text of the error, and nothing more
 *     labels  time:value time:value ...              one line a row
 *     W text, I text                                 annotations
 *     .
 * Options: --delayed-names, --threads N. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/vec.h"
#include "chunk/chunk_encoder.h"
#include "codec/float_text.h"
#include "promql/engine.h"
#include "promql/parse.h"
#include "runtime/context.h"
#include "runtime/pool.h"
#include "support/memory_store.h"

struct evaluator {
    struct engine *engine;
    struct memory_store *store;
    struct arena *arena; /* of the series */
    VEC(struct series) series;
    bool is_loaded;
};

static struct str field(struct str *line)
{
    struct str first = *line, rest = STR("");
    str_cut(*line, '\t', &first, &rest);
    *line = rest;
    return first;
}

static int64_t number(struct str text)
{
    int64_t value;
    if (!str_to_int64(text, &value))
        bug("bad number %.*s", STR_ARG(text));
    return value;
}

static void must(struct error *err)
{
    if (err)
        bug("%.*s", STR_ARG(error_text(err)));
}

static void add_series(struct evaluator *evaluator, struct str line)
{
    struct series series = {0};
    struct chunk_encoder encoder;
    must(promql_parse_metric(field(&line), NULL, evaluator->arena, &series.labels));
    chunk_encoder_init(&encoder, evaluator->arena);
    while (line.len > 0) {
        struct str sample = line, rest = STR(""), time, value;
        double parsed;
        str_cut(line, ' ', &sample, &rest);
        line = rest;
        if (!str_cut(sample, ':', &time, &value) || !float_from_str(value, &parsed))
            bug("bad sample %.*s", STR_ARG(sample));
        chunk_encoder_float(&encoder, number(time), parsed);
    }
    must(chunk_encoder_finish(&encoder, &series.chunks));
    (void)vec_push(&evaluator->series, series);
}

static int series_order(const void *a, const void *b)
{
    return labels_compare(((const struct series *)a)->labels, ((const struct series *)b)->labels);
}

static void load(struct evaluator *evaluator)
{
    if (evaluator->is_loaded)
        return;
    evaluator->is_loaded = true;
    qsort(evaluator->series.items, evaluator->series.len, sizeof(struct series), series_order);
    for (size_t i = 0; i < evaluator->series.len; i++)
        memory_store_add_series(evaluator->store, &evaluator->series.items[i]);
}

static void print_row(struct buf *out, const struct result_series *row)
{
    labels_print(out, row->labels);
    buf_append_byte(out, '\t');
    for (size_t i = 0; i < row->count; i++) {
        buf_append_int64(out, row->times[i]);
        buf_append_byte(out, ':');
        float_append(out, row->values[i], FLOAT_JSON);
        buf_append_byte(out, ' ');
    }
    buf_append_byte(out, '\n');
}

static void print_notes(struct buf *out, char letter, const struct str_list *notes)
{
    for (size_t i = 0; i < notes->count; i++)
        buf_printf(out, "%c %.*s\n", letter, STR_ARG(notes->items[i]));
}

static void print_result(struct buf *out, const struct engine_result *result, struct error *err)
{
    if (err) {
        buf_printf(out, "! %s\t%.*s\n", error_kind_name(error_kind(err)), STR_ARG(error_text(err)));
        return;
    }
    buf_printf(out, "= %s\n", value_type_name(result->type));
    if (result->type == VALUE_STRING)
        buf_printf(out, "\"%.*s\"\n", STR_ARG(result->string));
    for (size_t i = 0; i < result->series_count; i++)
        print_row(out, &result->series[i]);
    print_notes(out, 'W', &result->warnings);
    print_notes(out, 'I', &result->infos);
}

static void run_query(struct evaluator *evaluator, struct str line)
{
    struct engine_query query = {0};
    struct engine_result result;
    struct buf out = {0};
    query.start_ms = number(field(&line));
    query.end_ms = number(field(&line));
    query.step_ms = number(field(&line));
    query.instant = query.step_ms == 0;
    query.text = line;
    load(evaluator);
    struct arena *arena = arena_create(NULL);
    struct context *ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    struct error *err = engine_exec(evaluator->engine, memory_store_base(evaluator->store), ctx,
                                    &query, arena, &result);
    print_result(&out, &result, err);
    buf_append_cstr(&out, ".\n");
    fwrite(out.data, 1, out.len, stdout);
    fflush(stdout);
    error_free(err);
    context_unref(ctx);
    arena_unref(arena);
    buf_deinit(&out);
}

int main(int argc, char **argv)
{
    struct engine_config config = {.parse = {.experimental_functions = true,
                                             .fill_modifiers = true,
                                             .extended_functions = true}};
    for (int i = 1; i < argc; i++) {
        config.delayed_name_removal |= strcmp(argv[i], "--delayed-names") == 0;
        if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc)
            config.compute = pool_create("compute", strtoul(argv[++i], NULL, 10), 1000);
    }
    struct evaluator evaluator = {.engine = engine_create(&config),
                                  .store = memory_store_create(),
                                  .arena = arena_create(NULL)};
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    while ((len = getline(&line, &cap, stdin)) > 0) {
        struct str rest = {line, (size_t)len - (line[len - 1] == '\n')};
        struct str command = field(&rest);
        if (str_equal(command, STR("series")))
            add_series(&evaluator, rest);
        else if (str_equal(command, STR("query")))
            run_query(&evaluator, rest);
        else
            bug("unknown command %.*s", STR_ARG(command));
    }
    free(line);
    store_free(memory_store_base(evaluator.store));
    engine_free(evaluator.engine);
    pool_free(config.compute);
    vec_deinit(&evaluator.series);
    arena_unref(evaluator.arena);
    return 0;
}
