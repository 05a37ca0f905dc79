#include "runtime/flags.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/bytes_size.h"
#include "base/duration.h"
#include "base/memory.h"
#include "base/time_text.h"
#include "base/vec.h"
#include "codec/float_text.h"
#include "runtime/environment.h"
#include "runtime/file.h"
#include "runtime/flags_internal.h"

enum { ARGUMENTS_MAX = 10000, ARGUMENT_FILE_MAX = 1 << 20, CONTENT_FILE_MAX = 16 << 20 };

/* -- values -- */

bool flag_next_choice(struct str *choices, struct str *choice)
{
    if (choices->len == 0)
        return false;
    str_cut(*choices, '|', choice, choices);
    return true;
}

static struct error *choice_parse(const struct flag *flag, struct str text, int *number)
{
    struct str choices = str_from(flag->choices), choice;
    for (*number = 0; flag_next_choice(&choices, &choice); ++*number)
        if (str_equal(choice, text))
            return NULL;
    struct buf list = {0};
    choices = str_from(flag->choices);
    while (flag_next_choice(&choices, &choice))
        buf_printf(&list, "%s%.*s", list.len ? "," : "", STR_ARG(choice));
    struct error *err = error_create(ERROR_INVALID, "enum value must be one of %.*s, got '%.*s'",
                                     STR_ARG(buf_str(&list)), STR_ARG(text));
    buf_deinit(&list);
    return err;
}

static struct error *number_error(const char *function, struct str text)
{
    return error_create(ERROR_INVALID, "strconv.%s: parsing \"%.*s\": invalid syntax", function,
                        STR_ARG(text));
}

static struct error *range_error(const char *function, struct str text)
{
    return error_create(ERROR_INVALID, "strconv.%s: parsing \"%.*s\": value out of range", function,
                        STR_ARG(text));
}

static struct error *float_value(struct str text, double *out)
{
    return float_from_str(text, out) ? NULL : number_error("ParseFloat", text);
}

/* A time, or a duration with a sign. */
static struct error *time_value(struct str text, struct flag_time *out)
{
    bool negative = text.len && text.data[0] == '-';
    *out = (struct flag_time){0};
    if (time_text_parse_ms(text, &out->ms))
        return NULL;
    out->is_relative = true;
    struct error *err = duration_parse(negative ? str_slice(text, 1, text.len) : text, &out->ms);
    out->ms = negative ? -out->ms : out->ms;
    return err;
}

static struct error *bool_value(struct str text, bool *out)
{
    *out = str_equal(text, STR("true"));
    return *out || str_equal(text, STR("false")) ? NULL : number_error("ParseBool", text);
}

static struct error *go_duration_value(struct str text, int64_t *ms)
{
    int64_t ns = 0;
    struct error *err = duration_parse_go(text, &ns);
    *ms = ns / 1000000 + (ns % 1000000 > 0);
    return err;
}

static struct error *int_value(struct str text, int64_t *out)
{
    double value = 0;
    enum float_parse parsed = float_parse(text, &value);
    if (parsed == FLOAT_SYNTAX)
        return number_error("ParseFloat", text);
    if (!(value > -9.2e18 && value < 9.2e18)) /* also NaN */
        return range_error("ParseFloat", text);
    *out = (int64_t)value;
    return NULL;
}

/* The digits of a number in its base, without a sign. */
static bool digits_value(struct str digits, unsigned base, uint64_t *out, bool *overflow)
{
    *out = 0;
    for (size_t i = 0; i < digits.len; i++) {
        char c = digits.data[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                                : 16;
        if (digit >= base)
            return false;
        *overflow |= __builtin_mul_overflow(*out, base, out);
        *overflow |= __builtin_add_overflow(*out, digit, out);
    }
    return digits.len > 0;
}

static struct error *uint_value(struct str text, int64_t *out)
{
    static const struct {
        struct str prefix;
        unsigned base;
    } bases[] = {{STR_INIT("0x"), 16}, {STR_INIT("0X"), 16}, {STR_INIT("0b"), 2},
                 {STR_INIT("0B"), 2},  {STR_INIT("0o"), 8},  {STR_INIT("0O"), 8},
                 {STR_INIT("0"), 8},   {STR_INIT(""), 10}};
    uint64_t value;
    bool overflow = false;
    size_t i = 0;
    while (!str_starts_with(text, bases[i].prefix) || text.len == bases[i].prefix.len)
        if (++i == countof(bases) - 1)
            break;
    if (!digits_value(str_slice(text, bases[i].prefix.len, text.len), bases[i].base, &value,
                      &overflow))
        return number_error("ParseUint", text);
    if (overflow || value > INT64_MAX)
        return range_error("ParseUint", text);
    *out = (int64_t)value;
    return NULL;
}

/* Lists grow by one; the items live in the arena. */
static void *list_grow(struct arena *arena, void *items, size_t count, size_t size)
{
    char *grown = arena_array(arena, count + 1, size);
    if (count)
        memcpy(grown, items, count * size);
    return grown;
}

static struct error *list_value(struct arena *arena, const struct flag *flag, void *field,
                                struct str text)
{
    if (flag->type == FLAG_TYPE_STRINGS) {
        struct flag_strings *list = field;
        list->items = list_grow(arena, list->items, list->count, sizeof(*list->items));
        list->items[list->count++] = text;
        return NULL;
    }
    struct flag_floats *list = field;
    list->items = list_grow(arena, list->items, list->count, sizeof(*list->items));
    return float_value(text, &list->items[list->count++]);
}

static struct error *flag_store(struct arena *arena, const struct flag_value *value,
                                struct str text)
{
    int choice;
    struct error *err;
    const struct flag *flag = value->flag;
    void *field = value->field;
    switch (flag->type) {
    case FLAG_TYPE_BOOL:
        return bool_value(text, field);
    case FLAG_TYPE_STRING:
        *(struct str *)field = text;
        return NULL;
    case FLAG_TYPE_STRINGS:
    case FLAG_TYPE_FLOATS:
        return list_value(arena, flag, field, text);
    case FLAG_TYPE_INT:
        return int_value(text, field);
    case FLAG_TYPE_UINT:
        return uint_value(text, field);
    case FLAG_TYPE_FLOAT:
        return float_value(text, field);
    case FLAG_TYPE_BYTES:
        return bytes_size_parse(text, field);
    case FLAG_TYPE_DURATION:
        return duration_parse(text, field);
    case FLAG_TYPE_GO_DURATION:
        return go_duration_value(text, field);
    case FLAG_TYPE_ENUM:
        return choice_parse(flag, text, field);
    case FLAG_TYPE_ENUMS:
        err = choice_parse(flag, text, &choice);
        *(unsigned *)field |= err ? 0 : 1u << choice;
        return err;
    case FLAG_TYPE_TIME:
        return time_value(text, field);
    case FLAG_TYPE_CONTENT:
        *(value->is_file ? &((struct flag_content *)field)->path
                         : &((struct flag_content *)field)->text) = text;
        return NULL;
    case FLAG_TYPE_END:
        break;
    }
    return NULL;
}

bool flag_is_list(const struct flag *flag)
{
    return flag->type == FLAG_TYPE_STRINGS || flag->type == FLAG_TYPE_FLOATS ||
           flag->type == FLAG_TYPE_ENUMS;
}

/* -- the table -- */

static void flags_add(struct flags *flags, const struct flag *flag, const struct flag_group *group,
                      bool is_file)
{
    struct str name = arena_printf(flags->arena, "%s%s", flag->name, is_file ? "-file" : "");
    struct flag_value value = {.flag = flag, .is_file = is_file, .program = group->program};
    value.field = group->base ? (char *)group->base + flag->offset : NULL;
    value.name = arena_cstr(flags->arena, name);
    vec_push(&flags->values, value);
}

struct flags *flags_of_groups(const struct flag_group *groups, size_t count)
{
    struct flags *flags = xcalloc(1, sizeof(*flags));
    flags->arena = arena_create(NULL);
    for (size_t i = 0; i < count; i++)
        for (const struct flag *flag = groups[i].flags; flag->type != FLAG_TYPE_END; flag++) {
            if (flag->type == FLAG_TYPE_CONTENT)
                flags_add(flags, flag, &groups[i], true);
            flags_add(flags, flag, &groups[i], false);
        }
    return flags;
}

static struct flag_value *flags_find(struct flags *flags, struct str name)
{
    for (size_t i = 0; i < flags->values.len; i++)
        if (str_equal(name, str_from(flags->values.items[i].name)))
            return &flags->values.items[i];
    return NULL;
}

static struct flag_value *flags_find_letter(struct flags *flags, char letter)
{
    for (size_t i = 0; i < flags->values.len; i++)
        if (letter && flags->values.items[i].flag->letter == letter)
            return &flags->values.items[i];
    return NULL;
}

/* -- the command line -- */

struct words {
    VEC(char *) items;
};

static void words_take_lines(struct words *words, struct arena *arena, struct str rest)
{
    struct str line;
    while (rest.len && words->items.len <= ARGUMENTS_MAX) {
        str_cut(rest, '\n', &line, &rest);
        if (str_ends_with(line, STR("\r")))
            line.len--;
        if (!str_starts_with(line, STR("#")))
            vec_push(&words->items, arena_cstr(arena, line));
    }
}

static struct error *words_open_file(struct words *words, struct arena *arena, struct str path)
{
    struct buf content = {0};
    struct error *err = file_read(path, ARGUMENT_FILE_MAX, &content);
    if (!err)
        words_take_lines(words, arena, buf_str(&content));
    buf_deinit(&content);
    if (err)
        err = error_as(error_wrap(err, "failed to open arguments file \"%.*s\"", STR_ARG(path)),
                       ERROR_NOT_FOUND);
    return err;
}

struct error *flags_open_files(int argc, char *const *argv, struct arena *arena, int *out_argc,
                               char ***out_argv)
{
    struct words words = {VEC_INIT(NULL)};
    struct error *err = NULL;
    for (int i = 0; i < argc && !err; i++) {
        if (i > 0 && argv[i][0] == '@')
            err = words_open_file(&words, arena, str_from(argv[i] + 1));
        else
            vec_push(&words.items, argv[i]);
    }
    if (!err && words.items.len > ARGUMENTS_MAX)
        err = error_create(ERROR_NOT_FOUND, "more than %d arguments", ARGUMENTS_MAX);
    if (!err) {
        *out_argc = (int)words.items.len;
        *out_argv = arena_array(arena, words.items.len + 1, sizeof(char *));
        if (words.items.len)
            memcpy(*out_argv, words.items.items, words.items.len * sizeof(char *));
        (*out_argv)[words.items.len] = NULL;
    }
    vec_deinit(&words.items);
    return err;
}

/* What is left of the command line. */
struct line {
    char *const *words;
    int count, at;
};

static struct error *unknown_long(struct str name)
{
    return error_create(ERROR_NOT_FOUND, "unknown long flag '--%.*s'", STR_ARG(name));
}

/* "--x", "--no-x", "--x=y" (the word), "--x y" (the next word, too). */
static struct error *flags_take_long(struct flags *flags, struct line *line, struct str word)
{
    struct str name, text;
    bool has_text = str_cut(str_slice(word, 2, word.len), '=', &name, &text), negated = false;
    struct flag_value *value = flags_find(flags, name);
    if (!value && str_starts_with(name, STR("no-"))) {
        value = flags_find(flags, str_slice(name, 3, name.len));
        negated = true;
        if (value && (value->flag->type != FLAG_TYPE_BOOL || value->flag->only_positive))
            value = NULL;
    }
    if (!value)
        return unknown_long(name);
    if (value->flag->type == FLAG_TYPE_BOOL && !has_text)
        text = negated ? STR("false") : STR("true");
    else if (!has_text && line->at == line->count)
        return error_create(ERROR_NOT_FOUND, "expected argument for flag '--%.*s'", STR_ARG(name));
    else if (!has_text)
        text = str_from(line->words[line->at++]);
    vec_push(&value->given, text);
    return NULL;
}

/* "-x", and "-xy" for two switches, or a letter with its value. */
static struct error *flags_take_short(struct flags *flags, struct line *line, struct str word)
{
    for (size_t i = 1; i < word.len || i == 1; i++) {
        char letter = i < word.len ? word.data[i] : '\0';
        struct flag_value *value = flags_find_letter(flags, letter);
        if (!value)
            return error_create(ERROR_NOT_FOUND, "unknown short flag '-%.*s'", letter ? 1 : 0,
                                &letter);
        if (value->flag->type == FLAG_TYPE_BOOL) {
            vec_push(&value->given, STR("true"));
            continue;
        }
        struct str text = str_slice(word, i + 1, word.len);
        if (text.len == 0 && line->at == line->count)
            return error_create(ERROR_NOT_FOUND, "expected argument for flag '-%c'", letter);
        if (text.len == 0)
            text = str_from(line->words[line->at++]);
        vec_push(&value->given, text);
        break;
    }
    return NULL;
}

static bool is_flag(struct str word)
{
    return str_starts_with(word, STR("-"));
}

static struct error *flags_take_flag(struct flags *flags, struct line *line, struct str word)
{
    return str_starts_with(word, STR("--")) ? flags_take_long(flags, line, word)
                                            : flags_take_short(flags, line, word);
}

/* Flags that end the parsing. */
static bool is_question(struct str word, enum flags_outcome *outcome)
{
    static const struct {
        struct str word;
        enum flags_outcome outcome;
    } questions[] = {
        {STR_INIT("-h"), FLAGS_HELP},           {STR_INIT("--help"), FLAGS_HELP},
        {STR_INIT("--help-long"), FLAGS_HELP},  {STR_INIT("--help-docs"), FLAGS_DOCS},
        {STR_INIT("--version"), FLAGS_VERSION},
    };
    for (size_t i = 0; i < countof(questions); i++)
        if (str_equal(word, questions[i].word)) {
            *outcome = questions[i].outcome;
            return true;
        }
    return false;
}

static struct error *flags_take_all(struct flags *flags, struct line *line,
                                    enum flags_outcome *outcome)
{
    struct error *err = NULL;
    bool flags_over = false; /* after "--" */
    while (line->at < line->count && !err) {
        struct str word = str_from(line->words[line->at++]);
        if (flags_over || !is_flag(word))
            err = error_create(ERROR_NOT_FOUND, "unexpected %.*s", STR_ARG(word));
        else if (str_equal(word, STR("--")))
            flags_over = true;
        else if (is_question(word, outcome))
            return NULL;
        else
            err = flags_take_flag(flags, line, word);
    }
    return err;
}

struct error *flags_find_command(const struct flag_group *groups, size_t count, int argc,
                                 char *const *argv, int *at)
{
    struct flags *flags = flags_of_groups(groups, count);
    struct line line = {argv, argc, 1};
    struct error *err = NULL;
    enum flags_outcome ignored;
    *at = 0;
    while (line.at < line.count && !err) {
        struct str word = str_from(line.words[line.at++]);
        bool last_flag = str_equal(word, STR("--"));
        if (!is_flag(word) || last_flag) {
            int place = last_flag ? line.at : line.at - 1;
            *at = place < line.count ? place : 0;
            break;
        }
        if (!is_question(word, &ignored))
            err = flags_take_flag(flags, &line, word);
    }
    flags_free(flags);
    return err;
}

/* -- from texts to fields -- */

static struct error *flags_store_standard(struct flags *flags, struct flag_value *value)
{
    struct str rest = str_from(value->flag->standard), item = rest;
    struct error *err = NULL;
    bool is_duration =
        value->flag->type == FLAG_TYPE_DURATION || value->flag->type == FLAG_TYPE_GO_DURATION;
    if (is_duration && rest.len == 0)
        rest = STR("0s");
    if (!flag_is_list(value->flag))
        return flag_store(flags->arena, value, rest);
    while (rest.len && !err) {
        str_cut(rest, ',', &item, &rest);
        err = flag_store(flags->arena, value, str_trim(item));
    }
    return err;
}

static struct error *flags_store_one(struct flags *flags, struct flag_value *value)
{
    struct error *err = NULL;
    if (value->given.len == 0)
        return flags_store_standard(flags, value);
    if (value->given.len > 1 && !flag_is_list(value->flag))
        return error_create(ERROR_INVALID, "flag '%s' cannot be repeated", value->name);
    bool differs =
        value->given.len > 1 || !str_equal(value->given.items[0], str_from(value->flag->standard));
    if (value->flag->later && differs)
        return error_create(ERROR_INVALID, "--%s is not supported by this version of titan yet",
                            value->name);
    for (size_t i = 0; i < value->given.len && !err; i++)
        err = flag_store(flags->arena, value, value->given.items[i]);
    return err;
}

/* Lists and the halves of a content are added to, so they begin empty. */
static void flag_clear_field(const struct flag_value *value)
{
    if (value->flag->type == FLAG_TYPE_STRINGS)
        *(struct flag_strings *)value->field = (struct flag_strings){0};
    else if (value->flag->type == FLAG_TYPE_FLOATS)
        *(struct flag_floats *)value->field = (struct flag_floats){0};
    else if (value->flag->type == FLAG_TYPE_CONTENT)
        *(struct flag_content *)value->field = (struct flag_content){{"", 0}, {"", 0}};
    else if (value->flag->type == FLAG_TYPE_ENUMS)
        *(unsigned *)value->field = 0;
}

static struct error *flags_store(struct flags *flags)
{
    struct error *err = NULL;
    for (size_t i = 0; i < flags->values.len; i++)
        flag_clear_field(&flags->values.items[i]);
    for (size_t i = 0; i < flags->values.len && !err; i++) {
        struct flag_value *value = &flags->values.items[i];
        err = flags_store_one(flags, value);
        if (err || value->flag->type != FLAG_TYPE_CONTENT)
            continue;
        const struct flag_content *content = value->field;
        if (content->text.len && content->path.len)
            err = error_create(ERROR_INVALID, "both %s-file and %s flags set.", value->flag->name,
                               value->flag->name);
    }
    return err;
}

struct error *flags_parse(const struct flag_group *groups, size_t count, int argc,
                          char *const *argv, enum flags_outcome *outcome, struct flags **out)
{
    struct flags *flags = flags_of_groups(groups, count);
    struct line line = {.at = 1};
    char **words;
    *outcome = FLAGS_RUN;
    struct error *err = flags_open_files(argc, argv, flags->arena, &line.count, &words);
    line.words = words;
    if (!err)
        err = flags_take_all(flags, &line, outcome);
    if (!err && *outcome == FLAGS_RUN)
        err = flags_store(flags);
    if (err) {
        flags_free(flags);
        return err;
    }
    *out = flags;
    return NULL;
}

void flags_free(struct flags *flags)
{
    if (!flags)
        return;
    for (size_t i = 0; i < flags->values.len; i++)
        vec_deinit(&flags->values.items[i].given);
    vec_deinit(&flags->values);
    arena_unref(flags->arena);
    free(flags);
}

/* -- content and times -- */

struct error *flag_content_load(const struct flag_content *content, const char *name, bool expand,
                                struct arena *arena, struct str *out)
{
    struct buf file = {0}, expanded = {0};
    struct str text = content->text;
    struct error *err = NULL;
    if (content->path.len) {
        err = error_wrap(file_read(content->path, CONTENT_FILE_MAX, &file),
                         "loading file %.*s for %s-file", STR_ARG(content->path), name);
        text = buf_str(&file);
    }
    if (!err && expand) {
        err = error_wrap(environment_expand(text, &expanded), "expand %s", name);
        text = buf_str(&expanded);
    }
    if (!err)
        *out = arena_str(arena, text);
    buf_deinit(&file);
    buf_deinit(&expanded);
    return err;
}

int64_t flag_time_ms(const struct flag_time *time, int64_t now_ms)
{
    return time->is_relative ? int64_add_saturating(now_ms, time->ms) : time->ms;
}
