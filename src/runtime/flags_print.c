#include <stdlib.h>

#include "base/bytes_size.h"
#include "base/duration.h"
#include "base/time_text.h"
#include "codec/float_text.h"
#include "runtime/flags_internal.h"

/* -- values -- */

static void print_go_duration(struct buf *out, int64_t ms)
{
    int64_t ns;
    if (__builtin_mul_overflow(ms, 1000000, &ns))
        ns = ms < 0 ? INT64_MIN : INT64_MAX;
    duration_print_go(out, ns);
}

/* As Go prints a time.Time: 2024-01-02 03:04:05.6 +0000 UTC. */
static void print_time(struct buf *out, const struct flag_time *time)
{
    if (time->is_relative) {
        if (time->ms < 0)
            buf_append_byte(out, '-');
        duration_print(out, time->ms < 0 ? -time->ms : time->ms);
        return;
    }
    size_t start = out->len;
    time_text_print_ms(out, time->ms);
    char *letter = memchr(out->data + start, 'T', out->len - start);
    if (letter)
        *letter = ' ';
    out->len--; /* Z */
    buf_append_cstr(out, " +0000 UTC");
}

static void print_choice(struct buf *out, const struct flag *flag, int number)
{
    struct str choices = str_from(flag->choices), choice;
    while (flag_next_choice(&choices, &choice))
        if (number-- == 0)
            buf_append_str(out, choice);
}

/* As given, or the default. */
static void print_list(struct buf *out, const struct flag_value *value)
{
    for (size_t i = 0; i < value->given.len; i++)
        buf_printf(out, "%s%.*s", i ? "," : "", STR_ARG(value->given.items[i]));
    if (value->given.len == 0)
        buf_append_cstr(out, value->flag->standard);
}

static void print_floats(struct buf *out, const struct flag_floats *floats)
{
    for (size_t i = 0; i < floats->count; i++) {
        if (i)
            buf_append_byte(out, ',');
        float_append(out, floats->items[i], FLOAT_GENERAL);
    }
}

static void flag_print_value(struct buf *out, const struct flag_value *value)
{
    const void *field = value->field;
    switch (value->flag->type) {
    case FLAG_TYPE_BOOL:
        buf_append_cstr(out, *(const bool *)field ? "true" : "false");
        break;
    case FLAG_TYPE_STRING:
        buf_append_str(out, *(const struct str *)field);
        break;
    case FLAG_TYPE_STRINGS:
    case FLAG_TYPE_ENUMS:
        print_list(out, value);
        break;
    case FLAG_TYPE_INT:
    case FLAG_TYPE_UINT:
        buf_append_int64(out, *(const int64_t *)field);
        break;
    case FLAG_TYPE_FLOAT:
        float_append(out, *(const double *)field, FLOAT_GENERAL);
        break;
    case FLAG_TYPE_FLOATS:
        print_floats(out, field);
        break;
    case FLAG_TYPE_BYTES:
        bytes_size_print(out, *(const int64_t *)field);
        break;
    case FLAG_TYPE_DURATION:
        duration_print(out, *(const int64_t *)field);
        break;
    case FLAG_TYPE_GO_DURATION:
        print_go_duration(out, *(const int64_t *)field);
        break;
    case FLAG_TYPE_ENUM:
        print_choice(out, value->flag, *(const int *)field);
        break;
    case FLAG_TYPE_TIME:
        print_time(out, field);
        break;
    case FLAG_TYPE_CONTENT:
        buf_append_str(out, value->is_file ? ((const struct flag_content *)field)->path
                                           : ((const struct flag_content *)field)->text);
        break;
    case FLAG_TYPE_END:
        break;
    }
}

void flags_each(const struct flags *flags,
                void (*each)(void *arg, struct str name, struct str value), void *arg)
{
    struct buf text = {0};
    for (size_t i = 0; i < flags->values.len; i++) {
        const struct flag_value *value = &flags->values.items[i];
        if (value->program)
            continue;
        buf_clear(&text);
        flag_print_value(&text, value);
        each(arg, str_from(value->name), buf_str(&text));
    }
    buf_deinit(&text);
}

/* -- help -- */

static void append_upper(struct buf *out, const char *name)
{
    for (; *name; name++)
        buf_append_byte(out, (uint8_t)(*name >= 'a' && *name <= 'z' ? *name - 32 : *name));
}

/* What stands for the value: the default where there is one (of a list the first), else the flag's
 * name. */
static void print_place_holder(const struct flag_value *value, struct buf *out)
{
    const struct flag *flag = value->flag;
    struct str standard = str_from(flag->standard), first, rest;
    if (flag->type == FLAG_TYPE_CONTENT)
        buf_append_cstr(out, value->is_file ? "<file-path>" : "<content>");
    else if (flag->type == FLAG_TYPE_STRING)
        buf_printf(out, "\"%s\"", flag->standard);
    else if (standard.len == 0 && flag->type != FLAG_TYPE_ENUM)
        append_upper(out, value->name);
    else if (flag_is_list(flag) && str_cut(standard, ',', &first, &rest))
        buf_printf(out, "%.*s...", STR_ARG(first));
    else
        buf_append_str(out, standard);
}

/* "--[no-]x", "--x=5m", "--x=\"a\"", "--x=X ...", "--x=<content>" */
static void flag_print_form(const struct flag_value *value, struct buf *out)
{
    const struct flag *flag = value->flag;
    if (flag->letter)
        buf_printf(out, "-%c, ", flag->letter);
    else
        buf_append_cstr(out, "    ");
    buf_printf(out, "--%s%s", flag->type == FLAG_TYPE_BOOL && !flag->only_positive ? "[no-]" : "",
               value->name);
    if (flag->type == FLAG_TYPE_BOOL)
        return;
    buf_append_byte(out, '=');
    print_place_holder(value, out);
    if (flag_is_list(flag))
        buf_append_cstr(out, " ...");
}

static void flag_print_meaning(const struct flag_value *value, struct buf *out)
{
    const struct flag *flag = value->flag;
    if (flag->deprecated)
        buf_append_cstr(out, "Deprecated. ");
    buf_append_cstr(out, flag->help);
    if (value->is_file)
        buf_append_cstr(out, " This is the path of a file with it.");
    else if (flag->type == FLAG_TYPE_CONTENT)
        buf_printf(out, " This is the text itself, instead of --%s-file.", flag->name);
    if (flag->later)
        buf_append_cstr(out, " Not supported by this version yet.");
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

static void print_row(const struct flag_value *value, size_t width, struct buf *out)
{
    struct buf form = {0}, meaning = {0};
    size_t indent = HELP_INDENT + width + HELP_PADDING;
    flag_print_form(value, &form);
    flag_print_meaning(value, &meaning);
    buf_printf(out, "%*s%-*.*s", HELP_INDENT, "", (int)width, STR_ARG(buf_str(&form)));
    if (form.len >= HELP_FORM_MAX)
        buf_printf(out, "\n%*s", (int)indent, "");
    else
        buf_printf(out, "%*s", HELP_PADDING, "");
    print_wrapped(buf_str(&meaning), indent, out);
    buf_deinit(&form);
    buf_deinit(&meaning);
}

/* Of the first column: the longest form that is not too long for it. */
static size_t form_width(const struct flags *flags)
{
    size_t width = 0;
    struct buf form = {0};
    for (size_t i = 0; i < flags->values.len; i++) {
        buf_clear(&form);
        if (!flags->values.items[i].flag->hidden)
            flag_print_form(&flags->values.items[i], &form);
        if (form.len < HELP_FORM_MAX)
            width = size_max(width, form.len);
    }
    buf_deinit(&form);
    return width;
}

void flags_print_help(const struct flag_group *groups, size_t count, struct buf *out)
{
    struct flags *flags = flags_of_groups(groups, count);
    size_t width = form_width(flags);
    for (size_t i = 0; i < flags->values.len; i++)
        if (!flags->values.items[i].flag->hidden)
            print_row(&flags->values.items[i], width, out);
    flags_free(flags);
}

/* -- docs -- */

/* A cell may not hold a bar. */
static void print_cell(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '|')
            buf_append_byte(out, '\\');
        buf_append_byte(out, (uint8_t)text.data[i]);
    }
}

void flags_print_docs(const struct flag_group *groups, size_t count, struct buf *out)
{
    struct flags *flags = flags_of_groups(groups, count);
    struct buf meaning = {0};
    buf_append_cstr(out, "| Flag | Default | Meaning |\n|---|---|---|\n");
    for (size_t i = 0; i < flags->values.len; i++) {
        const struct flag_value *value = &flags->values.items[i];
        const char *standard = value->flag->standard;
        if (value->flag->hidden)
            continue;
        buf_clear(&meaning);
        flag_print_meaning(value, &meaning);
        buf_printf(out, "| `--%s` | ", value->name);
        if (standard[0])
            buf_printf(out, "`%s` ", standard);
        buf_append_cstr(out, "| ");
        print_cell(out, buf_str(&meaning));
        buf_append_cstr(out, " |\n");
    }
    buf_deinit(&meaning);
    flags_free(flags);
}

/* -- for shells -- */

static bool has_name(struct str word, const char *name)
{
    return str_starts_with(word, STR("--")) &&
           str_equal(str_slice(word, 2, word.len), str_from(name));
}

/* The values that the flag of a word may have; false when it is no such flag. */
static bool print_choices(const struct flags *flags, struct str word, struct buf *out)
{
    for (size_t i = 0; i < flags->values.len; i++) {
        const struct flag_value *value = &flags->values.items[i];
        struct str rest, choice;
        if (!has_name(word, value->name) || !value->flag->choices)
            continue;
        for (rest = str_from(value->flag->choices); rest.len;) {
            str_cut(rest, '|', &choice, &rest);
            if (choice.len)
                buf_printf(out, "%.*s\n", STR_ARG(choice));
        }
        return true;
    }
    return false;
}

void flags_print_completion(const struct flag_group *groups, size_t count, struct str before,
                            struct str word, struct buf *out)
{
    struct flags *flags = flags_of_groups(groups, count);
    bool is_done = print_choices(flags, word, out) || print_choices(flags, before, out);
    if (!is_done && str_starts_with(word, STR("-"))) {
        for (size_t i = 0; i < flags->values.len; i++)
            if (!flags->values.items[i].flag->hidden)
                buf_printf(out, "--%s\n", flags->values.items[i].name);
    }
    flags_free(flags);
}
