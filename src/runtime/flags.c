#include "runtime/flags.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/bytes_size.h"
#include "base/duration.h"
#include "base/memory.h"
#include "base/time_text.h"
#include "base/vec.h"
#include "codec/float_text.h"
#include "runtime/file.h"

enum { ARGUMENTS_MAX = 10000, ARGUMENT_FILE_MAX = 1 << 20, CONTENT_FILE_MAX = 16 << 20 };

struct flag_value { /* one flag of one table */
    const struct flag *flag;
    void *field;
    VEC(struct str) given; /* in order */
    bool is_file;          /* the --x-file half of a content flag */
    char *name;
};

struct flags {
    struct arena *arena;
    VEC(struct flag_value) values;
    VEC(struct str) words; /* the command line, @FILEs opened */
};

/* -- values -- */

static bool next_choice(struct str *choices, struct str *choice)
{
    if (choices->len == 0)
        return false;
    str_cut(*choices, '|', choice, choices);
    return true;
}

static struct error *choice_parse(const struct flag *flag, struct str text, int *number)
{
    struct str choices = str_from(flag->choices), choice;
    for (*number = 0; next_choice(&choices, &choice); ++*number)
        if (str_equal(choice, text))
            return NULL;
    struct buf list = {0};
    choices = str_from(flag->choices);
    while (next_choice(&choices, &choice))
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
    if (err) {
        error_free(err);
        return error_create(ERROR_INVALID, "\"%.*s\" is neither a time (RFC 3339) nor a duration",
                            STR_ARG(text));
    }
    out->ms = negative ? -out->ms : out->ms;
    return NULL;
}

static struct error *bool_value(struct str text, bool *out)
{
    *out = str_equal(text, STR("true"));
    return *out || str_equal(text, STR("false")) ? NULL : number_error("ParseBool", text);
}

static struct error *go_duration_value(struct str text, int64_t *ms)
{
    struct error *err = duration_parse_go(text, ms);
    if (!err)
        *ms /= 1000000;
    return err;
}

static struct error *int_value(struct str text, bool is_signed, int64_t *out)
{
    if (str_to_int64(text, out) && (is_signed || *out >= 0))
        return NULL;
    return number_error(is_signed ? "ParseInt" : "ParseUint", text);
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
    case FLAG_TYPE_UINT:
        return int_value(text, flag->type == FLAG_TYPE_INT, field);
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

static bool flag_is_list(const struct flag *flag)
{
    return flag->type == FLAG_TYPE_STRINGS || flag->type == FLAG_TYPE_FLOATS ||
           flag->type == FLAG_TYPE_ENUMS;
}

/* -- the table -- */

static void flags_add(struct flags *flags, const struct flag *flag, void *base, bool is_file)
{
    struct flag_value value = {
        .flag = flag, .field = (char *)base + flag->offset, .is_file = is_file};
    struct str name = arena_printf(flags->arena, "%s%s", flag->name, is_file ? "-file" : "");
    value.name = arena_cstr(flags->arena, name);
    vec_push(&flags->values, value);
}

static void flags_add_groups(struct flags *flags, const struct flag_group *groups, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (const struct flag *flag = groups[i].flags; flag->type != FLAG_TYPE_END; flag++) {
            if (flag->type == FLAG_TYPE_CONTENT)
                flags_add(flags, flag, groups[i].base, true);
            flags_add(flags, flag, groups[i].base, false);
        }
}

static struct flag_value *flags_find(struct flags *flags, struct str name)
{
    for (size_t i = 0; i < flags->values.len; i++)
        if (str_equal(name, str_from(flags->values.items[i].name)))
            return &flags->values.items[i];
    return NULL;
}

/* -- the command line -- */

static struct error *flags_open_file(struct flags *flags, struct str path)
{
    struct buf content = {0};
    struct error *err = file_read(path, ARGUMENT_FILE_MAX, &content);
    struct str rest = arena_str(flags->arena, buf_str(&content)), line;
    buf_deinit(&content);
    while (!err && rest.len && flags->words.len < ARGUMENTS_MAX) {
        str_cut(rest, '\n', &line, &rest);
        if (str_ends_with(line, STR("\r")))
            line.len--;
        if (line.len && line.data[0] != '#')
            vec_push(&flags->words, line);
    }
    return err;
}

static struct error *flags_take_words(struct flags *flags, int argc, char *const *argv)
{
    struct error *err = NULL;
    for (int i = 1; i < argc && !err; i++) {
        struct str word = str_from(argv[i]);
        if (str_starts_with(word, STR("@")))
            err = flags_open_file(flags, str_slice(word, 1, word.len));
        else
            vec_push(&flags->words, word);
    }
    if (!err && flags->words.len > ARGUMENTS_MAX)
        err = error_create(ERROR_LIMIT, "more than %d arguments", ARGUMENTS_MAX);
    return err;
}

/* "--x", "--no-x", "--x=y": the flag, its value if it has one in the word. */
static struct error *flags_take_long(struct flags *flags, struct str word, size_t *at)
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
        return error_create(ERROR_NOT_FOUND, "unknown long flag '--%.*s'", STR_ARG(name));
    if (value->flag->type == FLAG_TYPE_BOOL && !has_text)
        text = negated ? STR("false") : STR("true");
    else if (!has_text && *at == flags->words.len)
        return error_create(ERROR_NOT_FOUND, "expected argument for flag '--%.*s'", STR_ARG(name));
    else if (!has_text)
        text = flags->words.items[(*at)++];
    if (value->given.len > 0 && !flag_is_list(value->flag) && value->flag->type != FLAG_TYPE_BOOL)
        return error_create(ERROR_INVALID, "flag '%s' cannot be repeated", value->name);
    vec_push(&value->given, text);
    return NULL;
}

static struct error *flags_take_all(struct flags *flags, enum flags_outcome *outcome)
{
    struct error *err = NULL;
    for (size_t at = 0; at < flags->words.len && !err;) {
        struct str word = flags->words.items[at++];
        if (str_equal(word, STR("-h")) || str_equal(word, STR("--help")) ||
            str_equal(word, STR("--help-long"))) {
            *outcome = FLAGS_HELP;
            return NULL;
        }
        if (str_equal(word, STR("--version"))) {
            *outcome = FLAGS_VERSION;
            return NULL;
        }
        if (str_starts_with(word, STR("--")) && word.len > 2)
            err = flags_take_long(flags, word, &at);
        else if (str_starts_with(word, STR("-")) && word.len > 1)
            err = error_create(ERROR_NOT_FOUND, "unknown short flag '%.*s'",
                               STR_ARG(str_slice(word, 0, 2)));
        else
            err = error_create(ERROR_NOT_FOUND, "unexpected %.*s", STR_ARG(word));
    }
    return err;
}

/* -- from texts to fields -- */

static struct error *flags_store_standard(struct flags *flags, struct flag_value *value)
{
    struct str rest = str_from(value->flag->standard), item = rest;
    struct error *err = NULL;
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
    struct flags *flags = xcalloc(1, sizeof(*flags));
    flags->arena = arena_create(NULL);
    *outcome = FLAGS_RUN;
    flags_add_groups(flags, groups, count);
    struct error *err = flags_take_words(flags, argc, argv);
    if (!err)
        err = flags_take_all(flags, outcome);
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
    vec_deinit(&flags->words);
    arena_unref(flags->arena);
    free(flags);
}

/* -- content and times -- */

static bool is_variable_char(char c)
{
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Length of "$(NAME)" at the start of text, or 0; *name is NAME. */
static size_t variable_reference(struct str text, struct str *name)
{
    size_t end = 2;
    if (!str_starts_with(text, STR("$(")))
        return 0;
    while (end < text.len && is_variable_char(text.data[end]))
        end++;
    *name = str_slice(text, 2, end);
    return name->len && end < text.len && text.data[end] == ')' ? end + 1 : 0;
}

static struct error *expand_variables(struct str text, struct buf *out)
{
    for (size_t at = 0; at < text.len;) {
        struct str name;
        size_t len = variable_reference(str_slice(text, at, text.len), &name);
        if (len == 0) {
            buf_append_byte(out, (uint8_t)text.data[at++]);
            continue;
        }
        char *key = str_dup(name);
        const char *value = getenv(key);
        free(key);
        if (!value)
            return error_create(ERROR_INVALID,
                                "found reference to unset environment variable \"%.*s\"",
                                STR_ARG(name));
        buf_append_cstr(out, value);
        at += len;
    }
    return NULL;
}

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
        err = error_wrap(expand_variables(text, &expanded), "expand %s", name);
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

/* -- showing -- */

void flags_each(const struct flags *flags,
                void (*each)(void *arg, struct str name, struct str value), void *arg)
{
    struct buf text = {0};
    for (size_t i = 0; i < flags->values.len; i++) {
        const struct flag_value *value = &flags->values.items[i];
        buf_clear(&text);
        for (size_t j = 0; j < value->given.len; j++)
            buf_printf(&text, "%s%.*s", j ? "," : "", STR_ARG(value->given.items[j]));
        if (value->given.len == 0)
            buf_append_cstr(&text, value->flag->standard);
        each(arg, str_from(value->name), buf_str(&text));
    }
    buf_deinit(&text);
}

static void append_upper(struct buf *out, const char *name)
{
    for (; *name; name++)
        buf_append_byte(out, (uint8_t)(*name >= 'a' && *name <= 'z' ? *name - 32 : *name));
}

/* "--[no-]x", "--x=5m", "--x=\"a\"", "--x=X ...", "--x=<content>" */
static void flag_print_form(const struct flag_value *value, struct buf *out)
{
    const struct flag *flag = value->flag;
    bool has_standard = flag->standard[0] || flag->type == FLAG_TYPE_STRING;
    if (flag->letter)
        buf_printf(out, "-%c, ", flag->letter);
    else
        buf_append_cstr(out, "    ");
    buf_printf(out, "--%s%s", flag->type == FLAG_TYPE_BOOL && !flag->only_positive ? "[no-]" : "",
               value->name);
    if (flag->type == FLAG_TYPE_BOOL)
        return;
    buf_append_byte(out, '=');
    if (flag->type == FLAG_TYPE_CONTENT)
        buf_append_cstr(out, value->is_file ? "<file-path>" : "<content>");
    else if (!has_standard)
        append_upper(out, value->name);
    else
        buf_printf(out, flag->type == FLAG_TYPE_STRING ? "\"%s\"" : "%s", flag->standard);
    if (flag_is_list(flag))
        buf_append_cstr(out, " ...");
}

enum { HELP_WIDTH = 80, HELP_INDENT = 2, HELP_PADDING = 2, HELP_FORM_MAX = 30 };

static void print_wrapped(struct str text, size_t indent, struct buf *out)
{
    size_t column = indent;
    struct str word;
    while (text.len) {
        str_cut(text, ' ', &word, &text);
        if (column > indent && column + 1 + word.len > HELP_WIDTH) {
            buf_printf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            buf_append_byte(out, ' ');
            column++;
        }
        buf_append_str(out, word);
        column += word.len;
    }
    buf_append_byte(out, '\n');
}

static void print_rows(const struct flags *flags, struct buf *out)
{
    size_t width = 0;
    struct buf form = {0};
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < flags->values.len; i++) {
            const struct flag_value *value = &flags->values.items[i];
            if (value->flag->hidden)
                continue;
            buf_clear(&form);
            flag_print_form(value, &form);
            bool fits = form.len < HELP_FORM_MAX;
            if (pass == 0) {
                width = fits ? size_max(width, form.len) : width;
                continue;
            }
            size_t indent = HELP_INDENT + width + HELP_PADDING;
            buf_printf(out, "  %-*.*s  ", (int)width, STR_ARG(buf_str(&form)));
            if (!fits)
                buf_printf(out, "\n%*s", (int)indent, "");
            print_wrapped(str_from(value->flag->help), indent, out);
        }
    buf_deinit(&form);
}

static struct flags *flags_of_groups(const struct flag_group *groups, size_t count)
{
    struct flags *flags = xcalloc(1, sizeof(*flags));
    flags->arena = arena_create(NULL);
    flags_add_groups(flags, groups, count);
    return flags;
}

void flags_print_help(const struct flag_group *groups, size_t count, struct buf *out)
{
    struct flags *flags = flags_of_groups(groups, count);
    print_rows(flags, out);
    flags_free(flags);
}

void flags_print_docs(const struct flag_group *groups, size_t count, struct buf *out)
{
    struct flags *flags = flags_of_groups(groups, count);
    buf_append_cstr(out, "| Flag | Default | Meaning |\n|---|---|---|\n");
    for (size_t i = 0; i < flags->values.len; i++) {
        const struct flag_value *value = &flags->values.items[i];
        if (value->flag->hidden)
            continue;
        const char *note = value->flag->later ? " Not supported yet." : "";
        const char *standard = value->flag->standard;
        buf_printf(out, "| `--%s` | %s%s%s | %s%s |\n", value->name, standard[0] ? "`" : "",
                   standard, standard[0] ? "`" : "", value->flag->help, note);
    }
    flags_free(flags);
}
