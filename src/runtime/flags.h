/* runtime/flags.h: command line flags by tables, with the syntax of Thanos's parser (kingpin).
 *
 *     struct store_config { int64_t sync_interval_ms; };
 *     static const struct flag store_flags[] = {
 *         FLAG_DURATION(struct store_config, sync_interval_ms, "sync-block-duration", "15m",
 *                       "How often to look for blocks."),
 *         FLAG_END,
 *     };
 *
 * --name=value, --name value, --bool, --no-bool, -h; lists collect what is repeated, other flags
 * may be given once; @FILE stands for its lines. The table names, types, defaults, documents and
 * stores; help, docs and /api/v1/status/flags are printed from it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

enum flag_type {
    FLAG_TYPE_END,
    FLAG_TYPE_BOOL,        /* bool; --no-x unless only_positive */
    FLAG_TYPE_STRING,      /* struct str */
    FLAG_TYPE_STRINGS,     /* struct flag_strings */
    FLAG_TYPE_INT,         /* int64_t; read as a float and cut, as kingpin does: 2e1 is 20 */
    FLAG_TYPE_UINT,        /* int64_t, not negative; also 0x, 0o, 0b */
    FLAG_TYPE_FLOAT,       /* double */
    FLAG_TYPE_FLOATS,      /* struct flag_floats */
    FLAG_TYPE_BYTES,       /* int64_t */
    FLAG_TYPE_DURATION,    /* int64_t, ms; as Prometheus writes them; default "": 0 */
    FLAG_TYPE_GO_DURATION, /* int64_t, ms; as Go writes them, rounded up; default "": 0 */
    FLAG_TYPE_ENUM,        /* int, number of the choice */
    FLAG_TYPE_ENUMS,       /* unsigned, bits of the choices */
    FLAG_TYPE_TIME,        /* struct flag_time */
    FLAG_TYPE_CONTENT,     /* struct flag_content; makes --x and --x-file */
};

struct flag_strings {
    struct str *items;
    size_t count;
};

struct flag_floats {
    double *items;
    size_t count;
};

struct flag_time { /* a point in time, or a duration from now (negative: the past) */
    bool is_relative;
    int64_t ms;
};

struct flag_content { /* at most one of the two is not empty */
    struct str text, path;
};

struct flag {
    enum flag_type type;
    size_t offset;
    const char *name;
    const char *standard; /* text of the default; of lists: comma-separated */
    const char *help;
    const char *choices; /* of enums: "a|b" */
    char letter;         /* short form, 0: none */
    bool hidden, deprecated, only_positive;
    bool later; /* this version can't do it: accepted only with its default */
};

#define FLAG_ROW(t, s, f, n, d, h, ...)                                                            \
    {                                                                                              \
        .type = FLAG_TYPE_##t, .offset = offsetof(s, f), .name = (n), .standard = (d),             \
        .help = (h), ##__VA_ARGS__                                                                 \
    }
#define FLAG_BOOL(s, f, n, h, ...) FLAG_ROW(BOOL, s, f, n, "false", h, ##__VA_ARGS__)
#define FLAG_BOOL_ON(s, f, n, h, ...) FLAG_ROW(BOOL, s, f, n, "true", h, ##__VA_ARGS__)
#define FLAG_STRING(s, f, n, d, h, ...) FLAG_ROW(STRING, s, f, n, d, h, ##__VA_ARGS__)
#define FLAG_STRINGS(s, f, n, h, ...) FLAG_ROW(STRINGS, s, f, n, "", h, ##__VA_ARGS__)
#define FLAG_INT(s, f, n, d, h, ...) FLAG_ROW(INT, s, f, n, d, h, ##__VA_ARGS__)
#define FLAG_UINT(s, f, n, d, h, ...) FLAG_ROW(UINT, s, f, n, d, h, ##__VA_ARGS__)
#define FLAG_FLOAT(s, f, n, d, h, ...) FLAG_ROW(FLOAT, s, f, n, d, h, ##__VA_ARGS__)
#define FLAG_FLOATS(s, f, n, d, h, ...) FLAG_ROW(FLOATS, s, f, n, d, h, ##__VA_ARGS__)
#define FLAG_BYTES(s, f, n, d, h, ...) FLAG_ROW(BYTES, s, f, n, d, h, ##__VA_ARGS__)
#define FLAG_DURATION(s, f, n, d, h, ...) FLAG_ROW(DURATION, s, f, n, d, h, ##__VA_ARGS__)
#define FLAG_GO_DURATION(s, f, n, d, h, ...) FLAG_ROW(GO_DURATION, s, f, n, d, h, ##__VA_ARGS__)
#define FLAG_ENUM(s, f, n, c, d, h, ...)                                                           \
    FLAG_ROW(ENUM, s, f, n, d, h, .choices = (c), ##__VA_ARGS__)
#define FLAG_ENUMS(s, f, n, c, d, h, ...)                                                          \
    FLAG_ROW(ENUMS, s, f, n, d, h, .choices = (c), ##__VA_ARGS__)
#define FLAG_TIME(s, f, n, d, h, ...) FLAG_ROW(TIME, s, f, n, d, h, ##__VA_ARGS__)
#define FLAG_CONTENT(s, f, n, h, ...) FLAG_ROW(CONTENT, s, f, n, "", h, ##__VA_ARGS__)
#define FLAG_END                                                                                   \
    {                                                                                              \
        .type = FLAG_TYPE_END                                                                      \
    }

struct flag_group { /* a table and the struct its fields are in */
    const struct flag *flags;
    void *base;
    bool program; /* of the whole program: such flags may stand before the command */
};

/* --help-docs is Titan's own: the tables as Markdown. */
enum flags_outcome { FLAGS_RUN, FLAGS_HELP, FLAGS_VERSION, FLAGS_DOCS };

/* What was said on the command line. Texts that fields point to live in it. */
struct flags;

/* Opens the @FILEs of a command line: one argument a line, lines that begin with # left out.
 * argv[0] is kept. The list and its texts live in the arena. */
MUST_CHECK struct error *flags_open_files(int argc, char *const *argv, struct arena *arena,
                                          int *out_argc, char ***out_argv);

/* Where in argv the command stands: the first word that is neither a flag of these tables nor the
 * value of one; 0: nowhere. Fails with ERROR_NOT_FOUND at a flag that is not in them. */
MUST_CHECK struct error *flags_find_command(const struct flag_group *groups, size_t count, int argc,
                                            char *const *argv, int *at);

/* Fills the structs: defaults, then argv[1..]. Fails with ERROR_NOT_FOUND for unknown flags and
 * stray words ("unknown long flag '--x'"), ERROR_INVALID for values that do not parse or are for
 * later versions. When *outcome is not FLAGS_RUN, nothing else counts. */
MUST_CHECK struct error *flags_parse(const struct flag_group *groups, size_t count, int argc,
                                     char *const *argv, enum flags_outcome *outcome,
                                     struct flags **out);
void flags_free(struct flags *flags); /* NULL is fine */

/* The text of a content flag: as given, or read from its file, with $(NAME) replaced from the
 * environment when expand is on. Empty when unset. In the arena. */
MUST_CHECK struct error *flag_content_load(const struct flag_content *content, const char *name,
                                           bool expand, struct arena *arena, struct str *out);
/* In milliseconds since the epoch, as of now_ms. */
int64_t flag_time_ms(const struct flag_time *time, int64_t now_ms);

/* Calls each(arg, name, value) for all flags in the tables' order, hidden ones too, but not those
 * of the whole program. The value's text is printed from the field as Thanos does ("2m" for 120s).
 */
void flags_each(const struct flags *flags,
                void (*each)(void *arg, struct str name, struct str value), void *arg);

/* The flags in kingpin's two columns; hidden ones are left out. */
void flags_print_help(const struct flag_group *groups, size_t count, struct buf *out);
/* A Markdown table of all flags that are not hidden. */
void flags_print_docs(const struct flag_group *groups, size_t count, struct buf *out);
/* What a shell may offer for the word that is being typed, a line each: flags, or the values of the
 * flag that it is or that stands before it. */
void flags_print_completion(const struct flag_group *groups, size_t count, struct str before,
                            struct str word, struct buf *out);
