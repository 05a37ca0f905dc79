/* Lines of a script to commands. */
#include "promql/script.h"

#include "base/duration.h"
#include "base/memory.h"
#include "promql/literal.h"

struct lines {
    struct str *items;
    size_t count, at;
    struct arena *arena;
};

/* Trimmed; comments are empty lines. */
static void split_lines(struct str text, struct lines *lines)
{
    size_t count = 1;
    for (size_t i = 0; i < text.len; i++)
        count += text.data[i] == '\n';
    lines->items = arena_array(lines->arena, count, sizeof(*lines->items));
    while (lines->count < count) {
        struct str line;
        str_cut(text, '\n', &line, &text);
        line = str_trim(line);
        if (line.len && line.data[0] == '#')
            line = (struct str){0};
        lines->items[lines->count++] = line;
    }
}

static struct str take_word(struct str *rest)
{
    size_t end = 0;
    while (end < rest->len && rest->data[end] != ' ' && rest->data[end] != '\t')
        end++;
    struct str word = str_slice(*rest, 0, end);
    *rest = str_trim(str_slice(*rest, end, rest->len));
    return word;
}

static struct error *take_time(struct str *rest, const char *keyword, int64_t *out)
{
    if (keyword && !str_equal(take_word(rest), str_from(keyword)))
        return error_create(ERROR_INVALID, "\"%s\" is missing", keyword);
    return duration_parse(take_word(rest), out);
}

static struct error *read_load(struct lines *lines, struct str rest, struct script_command *command)
{
    struct script_series **end = &command->series;
    command->kind = COMMAND_LOAD;
    struct error *err = take_time(&rest, NULL, &command->step_ms);
    struct script_series starts;
    bool has_starts = false;
    while (!err && lines->at < lines->count && lines->items[lines->at].len) {
        struct str line = lines->items[lines->at++];
        if (!has_starts && script_line_has_starts(line)) {
            has_starts = true;
            err = script_starts_parse(line, lines->arena, &starts);
            continue;
        }
        *end = arena_zalloc(lines->arena, sizeof(**end));
        err = script_series_parse(line, lines->arena, *end);
        if (!err && has_starts)
            err = script_add_starts(*end, &starts);
        has_starts = false;
        end = &(*end)->next;
    }
    if (!err && has_starts)
        err = error_create(ERROR_INVALID, "start times without a series");
    return err;
}

static void add_expect(struct lines *lines, struct script_command *command,
                       struct script_expect expect)
{
    struct script_expect *copy = arena_alloc(lines->arena, sizeof(*copy));
    *copy = expect;
    copy->next = command->expects;
    command->expects = copy;
}

static bool expect_kind_find(struct str name, enum expect_kind *out)
{
    static const char *const names[] = {
        [EXPECT_FAIL] = "fail",       [EXPECT_WARN] = "warn",       [EXPECT_INFO] = "info",
        [EXPECT_NO_WARN] = "no_warn", [EXPECT_NO_INFO] = "no_info", [EXPECT_ORDERED] = "ordered",
    };
    for (size_t i = 0; i < countof(names); i++) {
        if (str_equal(name, str_from(names[i]))) {
            *out = (enum expect_kind)i;
            return true;
        }
    }
    return false;
}

static struct error *read_expect(struct lines *lines, struct str rest,
                                 struct script_command *command)
{
    struct str all = rest, word = take_word(&rest);
    struct script_expect expect = {.is_regex = true};
    if (str_equal(word, STR("string"))) {
        command->expects_string = true;
        command->string = string_unquote(rest, lines->arena);
        return NULL;
    }
    if (str_equal(word, STR("range"))) {
        command->expects_range_vector = true;
        take_word(&rest);
        struct error *err = take_time(&rest, "from", &command->points_start_ms);
        if (!err)
            err = take_time(&rest, "to", &command->points_end_ms);
        return err ? err : take_time(&rest, "step", &command->points_step_ms);
    }
    if (!expect_kind_find(word, &expect.kind))
        return error_create(ERROR_INVALID, "unknown expectation \"%.*s\"", STR_ARG(all));
    if (str_starts_with(rest, STR("msg:"))) {
        expect.is_regex = false;
        expect.text = str_trim(str_slice(rest, 4, rest.len));
    } else if (str_starts_with(rest, STR("regex:"))) {
        expect.text = str_trim(str_slice(rest, 6, rest.len));
    }
    add_expect(lines, command, expect);
    return NULL;
}

static struct error *read_result(struct lines *lines, struct str line,
                                 struct script_command *command, struct script_series ***end)
{
    struct str rest = line;
    struct str word = take_word(&rest);
    if (str_equal(word, STR("expect")))
        return read_expect(lines, rest, command);
    if (str_equal(word, STR("expected_fail_message")) ||
        str_equal(word, STR("expected_fail_regexp"))) {
        command->expects->is_regex = str_equal(word, STR("expected_fail_regexp"));
        command->expects->text = rest;
        return NULL;
    }
    if (script_number_parse(line, &command->scalar)) {
        command->expects_scalar = true;
        return NULL;
    }
    **end = arena_zalloc(lines->arena, sizeof(***end));
    struct error *err = script_series_parse(line, lines->arena, **end);
    *end = &(**end)->next;
    return err;
}

static struct error *read_eval(struct lines *lines, struct str name, struct str rest,
                               struct script_command *command)
{
    struct script_series **end = &command->series;
    struct script_expect expect = {.is_regex = true};
    command->kind = COMMAND_EVAL;
    if (name.len > 5 && expect_kind_find(str_slice(name, 5, name.len), &expect.kind))
        add_expect(lines, command, expect);
    struct str type = take_word(&rest);
    struct error *err;
    command->is_range = str_equal(type, STR("range"));
    if (command->is_range) {
        err = take_time(&rest, "from", &command->start_ms);
        if (!err)
            err = take_time(&rest, "to", &command->end_ms);
        if (!err)
            err = take_time(&rest, "step", &command->step_ms);
    } else {
        err = take_time(&rest, "at", &command->start_ms);
    }
    command->query = rest;
    while (!err && lines->at < lines->count && lines->items[lines->at].len)
        err = read_result(lines, lines->items[lines->at++], command, &end);
    return err;
}

static struct error *read_command(struct lines *lines, struct script_command *command)
{
    struct str rest = lines->items[lines->at++];
    struct str name = take_word(&rest);
    command->line = lines->at;
    if (str_equal(name, STR("clear"))) {
        command->kind = COMMAND_CLEAR;
        return NULL;
    }
    if (str_starts_with(name, STR("load"))) {
        command->with_nhcb = str_ends_with(name, STR("_with_nhcb"));
        return read_load(lines, rest, command);
    }
    if (str_starts_with(name, STR("eval")))
        return read_eval(lines, name, rest, command);
    return error_create(ERROR_INVALID, "unknown command \"%.*s\"", STR_ARG(name));
}

struct error *script_parse(struct str text, struct arena *arena, struct script_command **out)
{
    struct lines lines = {.arena = arena};
    split_lines(text, &lines);
    *out = NULL;
    while (lines.at < lines.count) {
        if (lines.items[lines.at].len == 0) {
            lines.at++;
            continue;
        }
        *out = arena_zalloc(arena, sizeof(**out));
        struct error *err = read_command(&lines, *out);
        if (err)
            return error_wrap(err, "line %zu", lines.at);
        out = &(*out)->next;
    }
    return NULL;
}
