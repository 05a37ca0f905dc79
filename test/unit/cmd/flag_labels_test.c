#include "support/test.h"

#include "cmd/flag_labels.h"

static const struct {
    const char *name, *want, *error;
} cases[] = {
    {"a=\"1\"", "{a=\"1\"}", NULL},
    {"a=`x\\y`", "{a=\"x\\\\y\"}", NULL},
    {"my.name=\"a\\nb\"", "{\"my.name\"=\"a\\nb\"}", NULL},
    {"a=\"b=c\"", "{a=\"b=c\"}", NULL},
    {"a", NULL, "unrecognized label \"a\""},
    {"=\"1\"", NULL, "unsupported format for label =\"1\""},
    {"a=1", NULL, "unquote label value: invalid syntax"},
    {"a=\"1\" ", NULL, "unquote label value: invalid syntax"},
    {"a=\"1", NULL, "unquote label value: invalid syntax"},
    {"a=", NULL, "unquote label value: invalid syntax"},
};

TEST(labels_are_read_as_thanos_writes_them)
{
    struct arena *arena = arena_create(NULL);
    for_each_case(c, cases) {
        struct str item = str_from(c->name);
        const struct flag_strings strings = {&item, 1};
        struct labels labels;
        struct error *err = flag_labels_parse(&strings, arena, &labels);
        if (c->error) {
            CHECK_ERROR_TEXT(err, ERROR_INVALID, c->error);
            continue;
        }
        struct buf text = BUF_INIT(NULL);
        CHECK_OK(err);
        labels_print(&text, labels);
        CHECK_STR(buf_str(&text), c->want);
        buf_deinit(&text);
    }
    arena_unref(arena);
}

TEST_MAIN(TEST_ENTRY(labels_are_read_as_thanos_writes_them))
