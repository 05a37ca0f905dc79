/* A command line, one argument a line, for a table with every type of flag. */
#include <string.h>

#include "base/memory.h"
#include "runtime/flags.h"

#include "fuzz.h"

enum { ARGUMENTS_MAX = 256 };

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

static const struct flag program[] = {
    FLAG_ENUM(struct config, level, "level", "error|warn|info|", "info", "A level.", .letter = 'l'),
    FLAG_BOOL(struct config, plain, "plain", "A switch.", .letter = 'p'),
    FLAG_END,
};

static const struct flag table[] = {
    FLAG_BOOL_ON(struct config, on, "on", "Is on.", .only_positive = true),
    FLAG_STRING(struct config, text, "text", "abc", "A text."),
    FLAG_STRINGS(struct config, list, "list", "Texts."),
    FLAG_FLOATS(struct config, floats, "floats", "0.5,1", "Numbers."),
    FLAG_INT(struct config, integer, "integer", "-7", "A number."),
    FLAG_UINT(struct config, number, "number", "7", "A number."),
    FLAG_BYTES(struct config, size, "size", "1MB", "A size."),
    FLAG_DURATION(struct config, duration_ms, "duration", "2m", "A duration."),
    FLAG_GO_DURATION(struct config, go_ms, "go.duration", "", "Another."),
    FLAG_FLOAT(struct config, real, "real", "0.9", "A share.", .hidden = true),
    FLAG_ENUMS(struct config, kinds, "kinds", "a|b|c", "a,b", "Some kinds."),
    FLAG_TIME(struct config, time, "time", "0000-01-01T00:00:00Z", "A time."),
    FLAG_CONTENT(struct config, content, "content", "A content."),
    FLAG_STRING(struct config, later, "not-yet", "", "Later.", .later = true),
    FLAG_END,
};

/* Files are not opened for a fuzzer. */
static int split(char *text, char **argv)
{
    int argc = 0;
    static char name[] = "fuzz";
    argv[argc++] = name;
    for (char *rest = text; rest && argc < ARGUMENTS_MAX;) {
        char *word = strsep(&rest, "\n");
        if (word[0] == '@')
            word[0] = 'a';
        argv[argc++] = word;
    }
    return argc;
}

static void take_length(void *arg, struct str name, struct str value)
{
    *(size_t *)arg += name.len + value.len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *argv[ARGUMENTS_MAX];
    char *text = xmalloc(size + 1);
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    int argc = split(text, argv), at = 0;
    struct config config;
    const struct flag_group groups[] = {{program, &config, .program = true}, {table, &config}};
    struct flags *flags = NULL;
    enum flags_outcome outcome;
    struct error *err = flags_find_command(groups, 1, argc, argv, &at);
    FUZZ_CHECK(err || (at >= 0 && at < argc));
    error_free(err);
    err = flags_parse(groups, countof(groups), argc, argv, &outcome, &flags);
    if (!err && outcome == FLAGS_RUN) {
        size_t length = 0;
        flags_each(flags, take_length, &length);
        FUZZ_CHECK(length > 0);
        FUZZ_CHECK(config.number >= 0 && config.level >= 0 && config.level < 4);
    }
    error_free(err);
    flags_free(flags);
    free(text);
    return 0;
}
