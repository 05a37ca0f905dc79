#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/compiler.h"
#include "runtime/flags.h"

struct config {
    bool plain, on;
    struct str text, later;
    struct flag_strings list;
    struct flag_floats floats;
    int64_t integer, number, size, duration_ms, go_ms;
    double real;
    int level;
    unsigned kinds;
    struct flag_time time;
    struct flag_content content;
};

static const struct flag table[] = {
    FLAG_BOOL(struct config, plain, "plain", "A switch.", .letter = 'p'),
    FLAG_BOOL_ON(struct config, on, "on", "Is on."),
    FLAG_STRING(struct config, text, "text", "abc", "A text."),
    FLAG_STRINGS(struct config, list, "list", "Texts."),
    FLAG_FLOATS(struct config, floats, "floats", "0.5,1", "Numbers."),
    FLAG_INT(struct config, integer, "integer", "-3", "A number."),
    FLAG_UINT(struct config, number, "number", "7", "A number."),
    FLAG_BYTES(struct config, size, "size", "1MB", "A size."),
    FLAG_DURATION(struct config, duration_ms, "duration", "2m", "A duration."),
    FLAG_GO_DURATION(struct config, go_ms, "go.duration", "1m30s", "Another."),
    FLAG_FLOAT(struct config, real, "real", "0.9", "A share.", .hidden = true),
    FLAG_ENUM(struct config, level, "level", "error|warn|info", "info", "A level."),
    FLAG_ENUMS(struct config, kinds, "kinds", "a|b|c", "a,b", "Some kinds."),
    FLAG_TIME(struct config, time, "time", "0000-01-01T00:00:00Z", "A time."),
    FLAG_CONTENT(struct config, content, "content", "A content."),
    FLAG_STRING(struct config, later, "not-yet", "", "Later.", .later = true),
    FLAG_END,
};

static struct error *parse(const char *line, struct config *config, struct flags **flags,
                           enum flags_outcome *outcome)
{
    static char words[1024];
    static char program[] = "test";
    char *argv[32] = {program};
    int argc = 1;
    snprintf(words, sizeof(words), "%s", line);
    for (char *word = strtok(words, "|"); word; word = strtok(NULL, "|"))
        argv[argc++] = word;
    const struct flag_group group = {table, config};
    memset(config, 0x5a, sizeof(*config)); /* fields need not be initialised */
    return flags_parse(&group, 1, argc, argv, outcome, flags);
}

TEST(defaults_fill_all_fields)
{
    struct config c;
    struct flags *flags;
    enum flags_outcome outcome;
    CHECK_OK(parse("", &c, &flags, &outcome));
    CHECK_EQ(outcome, FLAGS_RUN);
    CHECK(!c.plain && c.on);
    CHECK_STR(c.text, "abc");
    CHECK_EQ(c.list.count, 0);
    CHECK_EQ(c.floats.count, 2);
    CHECK_DOUBLE(c.floats.items[1], 1.0);
    CHECK_EQ(c.number, 7);
    CHECK_EQ(c.size, 1 << 20);
    CHECK_EQ(c.duration_ms, 120000);
    CHECK_EQ(c.go_ms, 90000);
    CHECK_EQ(c.level, 2);
    CHECK_EQ(c.kinds, 3);
    CHECK(!c.time.is_relative);
    flags_free(flags);
}

TEST(values_come_in_every_form)
{
    struct config c;
    struct flags *flags;
    enum flags_outcome outcome;
    CHECK_OK(parse("--plain|--no-on|--list=a|--list|b|--number|12|--duration=1h30m|--time=-2h|--"
                   "kinds=c|--content=x: y|--level=warn",
                   &c, &flags, &outcome));
    CHECK(c.plain && !c.on);
    CHECK_EQ(c.list.count, 2);
    CHECK_STR(c.list.items[1], "b");
    CHECK_EQ(c.number, 12);
    CHECK_EQ(c.duration_ms, 5400000);
    CHECK(c.time.is_relative);
    CHECK_EQ(flag_time_ms(&c.time, 10000000), 10000000 - 7200000);
    CHECK_EQ(c.kinds, 4);
    CHECK_STR(c.content.text, "x: y");
    CHECK_EQ(c.level, 1);
    flags_free(flags);
    CHECK_OK(parse("--plain|--help|--what", &c, &flags, &outcome));
    CHECK_EQ(outcome, FLAGS_HELP);
    flags_free(flags);
}

static const struct {
    const char *name, *line, *text;
    enum error_kind kind;
} error_cases[] = {
    {"unknown long", "--what=1", "unknown long flag '--what'", ERROR_NOT_FOUND},
    {"unknown short", "-x", "unknown short flag '-x'", ERROR_NOT_FOUND},
    {"stray word", "hello", "unexpected hello", ERROR_NOT_FOUND},
    {"no value", "--text", "expected argument for flag '--text'", ERROR_NOT_FOUND},
    {"no-x of a text", "--no-text", "unknown long flag '--no-text'", ERROR_NOT_FOUND},
    {"enum", "--level=loud", "enum value must be one of error,warn,info, got 'loud'",
     ERROR_INVALID},
    {"number", "--number=-1", "invalid syntax", ERROR_INVALID},
    {"duration", "--duration=5", "5", ERROR_INVALID},
    {"bool", "--plain=maybe", "invalid syntax", ERROR_INVALID},
    {"twice", "--text=a|--text=b", "flag 'text' cannot be repeated", ERROR_INVALID},
    {"switch twice", "--plain|--no-plain", "flag 'plain' cannot be repeated", ERROR_INVALID},
    {"letter twice", "-pp", "flag 'plain' cannot be repeated", ERROR_INVALID},
    {"lonely dash", "-", "unknown short flag '-'", ERROR_NOT_FOUND},
    {"word behind dashes", "--|--plain", "unexpected --plain", ERROR_NOT_FOUND},
    {"too large", "--number=18446744073709551616", "value out of range", ERROR_INVALID},
    {"no digits", "--number=0x", "strconv.ParseUint: parsing \"0x\": invalid syntax",
     ERROR_INVALID},
    {"float", "--real=much", "strconv.ParseFloat: parsing \"much\": invalid syntax", ERROR_INVALID},
    {"integer", "--integer=1e400", "strconv.ParseFloat: parsing \"1e400\": value out of range",
     ERROR_INVALID},
    {"time", "--time=soon", "not a valid duration string: \"soon\"", ERROR_INVALID},
    {"go duration", "--go.duration=1", "time: missing unit in duration \"1\"", ERROR_INVALID},
    {"both halves", "--content=a|--content-file=b", "both content-file and content flags set.",
     ERROR_INVALID},
    {"not yet", "--not-yet=x", "--not-yet is not supported by this version of titan yet",
     ERROR_INVALID},
    {"no file", "@/nonexistent/file", "/nonexistent/file", ERROR_NOT_FOUND},
};

TEST(what_is_wrong_is_said)
{
    for_each_case(c, error_cases) {
        struct config config;
        struct flags *flags = NULL;
        enum flags_outcome outcome;
        CHECK_ERROR_TEXT(parse(c->line, &config, &flags, &outcome), c->kind, c->text);
    }
}

TEST(numbers_come_in_every_base)
{
    static const struct {
        const char *name, *line;
        int64_t integer, number;
    } cases[] = {
        {"default", "", -3, 7},
        {"decimal", "--integer=12|--number=0", 12, 0},
        {"integers are floats that are cut", "--integer=-2.5e1|--number=0b101", -25, 5},
        {"hexadecimal", "--number=0x1F", -3, 31},
        {"octal", "--number=0o17", -3, 15},
        {"old octal", "--number=017", -3, 15},
    };
    for_each_case(c, cases) {
        struct config config;
        struct flags *flags;
        enum flags_outcome outcome;
        CHECK_OK(parse(c->line, &config, &flags, &outcome));
        CHECK_EQ(config.integer, c->integer);
        CHECK_EQ(config.number, c->number);
        flags_free(flags);
    }
}

static void note_value(void *arg, struct str name, struct str value)
{
    buf_printf(arg, "%.*s=%.*s\n", STR_ARG(name), STR_ARG(value));
}

TEST(values_are_shown_as_thanos_shows_them)
{
    struct config c;
    struct flags *flags;
    enum flags_outcome outcome;
    struct buf out = {0};
    CHECK_OK(parse("--list=a|--list=b|--duration=120s|--go.duration=90s|--size=1024KB|--time=-2h|"
                   "--content=x: y|--number=0x10",
                   &c, &flags, &outcome));
    flags_each(flags, note_value, &out);
    CHECK_STR(buf_str(&out),
              "plain=false\non=true\ntext=abc\nlist=a,b\nfloats=0.5,1\ninteger=-3\nnumber=16\n"
              "size=1MiB\nduration=2m\ngo.duration=1m30s\nreal=0.9\nlevel=info\nkinds=a,b\n"
              "time=-2h\ncontent-file=\ncontent=x: y\nnot-yet=\n");
    flags_free(flags);
    buf_clear(&out);
    CHECK_OK(parse("", &c, &flags, &outcome));
    flags_each(flags, note_value, &out);
    CHECK(str_contains(buf_str(&out), STR("\ntime=0000-01-01 00:00:00 +0000 UTC\n")));
    flags_free(flags);
    buf_deinit(&out);
}

TEST(commands_stand_behind_flags_of_the_program)
{
    static const struct {
        const char *name, *line;
        int at;
        enum error_kind want;
    } cases[] = {
        {"nothing", "", 0, ERROR_NONE},
        {"the command", "query|--what", 1, ERROR_NONE},
        {"a value is no command", "--text|sidecar|query", 3, ERROR_NONE},
        {"a value in the word", "--text=sidecar|query", 2, ERROR_NONE},
        {"switches take none", "-p|--no-on|query", 3, ERROR_NONE},
        {"questions", "--help|--version|query", 3, ERROR_NONE},
        {"behind dashes", "--|query", 2, ERROR_NONE},
        {"nothing behind dashes", "--", 0, ERROR_NONE},
        {"not of the program", "--what|query", 0, ERROR_NOT_FOUND},
    };
    const struct flag_group group = {table, NULL};
    for_each_case(c, cases) {
        char words[200], program[] = "test", *argv[16] = {program};
        int argc = 1, at = -1;
        snprintf(words, sizeof(words), "%s", c->line);
        for (char *word = strtok(words, "|"); word; word = strtok(NULL, "|"))
            argv[argc++] = word;
        CHECK_ERROR(flags_find_command(&group, 1, argc, argv, &at), c->want);
        CHECK_EQ(at, c->at);
    }
}

TEST(content_is_expanded_from_the_environment)
{
    struct arena *arena = arena_create(NULL);
    struct flag_content content = {.text = STR("a: $(TITAN_TEST_VALUE) $HOME $(no name)")};
    struct str out;
    setenv("TITAN_TEST_VALUE", "b", 1);
    CHECK_OK(flag_content_load(&content, "content", true, arena, &out));
    CHECK_STR(out, "a: b $HOME $(no name)");
    content.text = STR("$(TITAN_TEST_UNSET)");
    CHECK_ERROR_TEXT(flag_content_load(&content, "content", true, arena, &out), ERROR_INVALID,
                     "found reference to unset environment variable \"TITAN_TEST_UNSET\"");
    CHECK_OK(flag_content_load(&content, "content", false, arena, &out));
    CHECK_STR(out, "$(TITAN_TEST_UNSET)");
    arena_unref(arena);
}

TEST(files_of_arguments_are_opened)
{
    char path[] = "/tmp/titan-flags-XXXXXX", line[64];
    int fd = mkstemp(path);
    CHECK(write(fd, "--text=from file\n--plain\n", 25) == 25);
    close(fd);
    snprintf(line, sizeof(line), "@%s", path);
    struct config c;
    struct flags *flags;
    enum flags_outcome outcome;
    CHECK_OK(parse(line, &c, &flags, &outcome));
    CHECK_STR(c.text, "from file");
    CHECK(c.plain);
    flags_free(flags);
    unlink(path);
}

TEST(help_has_two_columns)
{
    const struct flag_group group = {table, NULL};
    struct buf out = {0};
    flags_print_help(&group, 1, &out);
    CHECK(str_starts_with(buf_str(&out), STR("  -p, --[no-]plain")));
    CHECK(str_contains(buf_str(&out), STR("--text=\"abc\"")));
    CHECK(str_contains(buf_str(&out), STR("--list=LIST ...")));
    CHECK(str_contains(buf_str(&out), STR("--content-file=<file-path>")));
    CHECK(!str_contains(buf_str(&out), STR("--real")));
    buf_deinit(&out);
}

TEST_MAIN(TEST_ENTRY(defaults_fill_all_fields), TEST_ENTRY(values_come_in_every_form),
          TEST_ENTRY(what_is_wrong_is_said), TEST_ENTRY(numbers_come_in_every_base),
          TEST_ENTRY(values_are_shown_as_thanos_shows_them),
          TEST_ENTRY(commands_stand_behind_flags_of_the_program),
          TEST_ENTRY(content_is_expanded_from_the_environment),
          TEST_ENTRY(files_of_arguments_are_opened), TEST_ENTRY(help_has_two_columns))
