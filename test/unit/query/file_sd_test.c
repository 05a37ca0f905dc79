#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "query/file_sd.h"
#include "runtime/context.h"
#include "runtime/file_watch.h"
#include "runtime/log.h"

struct fixture {
    char folder[64];
    struct arena *arena;
    struct log *log;
    struct file_sd *sd;
};

static struct str path_of(struct fixture *f, const char *name)
{
    return arena_printf(f->arena, "%s/%s", f->folder, name);
}

static void put(struct fixture *f, const char *name, const char *text)
{
    FILE *file = fopen(arena_cstr(f->arena, path_of(f, name)), "w");
    CHECK(file != NULL);
    fputs(text, file);
    fclose(file);
}

static void fixture_init(struct fixture *f)
{
    *f = (struct fixture){.folder = "/tmp/titan-file-sd-XXXXXX",
                          .arena = arena_create(NULL),
                          .log = log_create(2, LOG_ERROR, LOG_LOGFMT, STR(""))};
    CHECK(mkdtemp(f->folder) != NULL);
    struct str patterns[] = {path_of(f, "a.yml"), path_of(f, "*.json")};
    CHECK_OK(file_sd_create(patterns, 2, f->log, &f->sd));
}

static void fixture_deinit(struct fixture *f)
{
    static const char *const names[] = {"a.yml", "b.json", "c.json"};
    for (size_t i = 0; i < countof(names); i++)
        unlink(arena_cstr(f->arena, path_of(f, names[i])));
    rmdir(f->folder);
    file_sd_free(f->sd);
    log_free(f->log);
    arena_unref(f->arena);
}

static struct str addresses(struct fixture *f)
{
    size_t count;
    const struct str *items = file_sd_addresses(f->sd, &count);
    struct str all = STR("");
    for (size_t i = 0; i < count; i++)
        all = arena_printf(f->arena, "%.*s%.*s ", STR_ARG(all), STR_ARG(items[i]));
    return all;
}

TEST(files_come_change_break_and_go)
{
    struct fixture f;
    fixture_init(&f);
    CHECK(!file_sd_refresh(f.sd));
    put(&f, "a.yml", "- targets: [b:1, a:1]\n  labels: {x: y}\n- targets: [b:1, 'dns+c:1']\n");
    put(&f, "b.json", "[{\"targets\": [\"d:1\"], \"labels\": {\"x\": \"y\"}}]");
    CHECK(file_sd_refresh(f.sd));
    CHECK_STR(addresses(&f), "a:1 b:1 d:1 dns+c:1 ");
    CHECK(!file_sd_refresh(f.sd));
    put(&f, "b.json", "[{\"targets\": [\"e:1\"");
    put(&f, "c.json", "[]");
    CHECK(!file_sd_refresh(f.sd)); /* the broken one keeps what it had */
    CHECK_STR(addresses(&f), "a:1 b:1 d:1 dns+c:1 ");
    put(&f, "b.json", "[{\"targets\": [\"e:1\"]}]");
    CHECK(file_sd_refresh(f.sd));
    CHECK_STR(addresses(&f), "a:1 b:1 dns+c:1 e:1 ");
    unlink(arena_cstr(f.arena, path_of(&f, "a.yml")));
    CHECK(file_sd_refresh(f.sd));
    CHECK_STR(addresses(&f), "e:1 ");
    fixture_deinit(&f);
}

static const struct {
    const char *name, *text;
    bool is_json, is_good;
} text_cases[] = {
    {"empty YAML", "", false, true},
    {"no targets", "- {}", false, true},
    {"a mapping", "targets: [a:1]", false, false},
    {"another key", "- {targets: [a:1], source: x}", false, false},
    {"an empty item", "-\n", false, false},
    {"targets that are none", "- {targets: a:1}", false, false},
    {"labels that are none", "- {targets: [a:1], labels: [x]}", false, false},
    {"a list as a target", "- {targets: [[a]]}", false, false},
    {"no YAML", "- {", false, false},
    {"an empty list", "[]", true, true},
    {"null", "[null]", true, false},
    {"another JSON key", "[{\"source\": 1}]", true, false},
    {"a number as a target", "[{\"targets\": [1]}]", true, false},
    {"a number as a label", "[{\"labels\": {\"a\": 1}}]", true, false},
    {"no JSON", "[{", true, false},
    {"empty JSON", "", true, false},
};

TEST(texts_are_checked)
{
    struct arena *arena = arena_create(NULL);
    for_each_case(c, text_cases) {
        struct str *targets;
        size_t count;
        struct error *err = file_sd_parse(str_from(c->text), c->is_json, arena, &targets, &count);
        CHECK_EQ(err == NULL, c->is_good);
        CHECK_EQ(count, 0);
        error_free(err);
    }
    arena_unref(arena);
}

static const struct {
    const char *name;
    bool is_good;
} pattern_cases[] = {
    {"a.yml", true},       {"/x/y.yaml", true},    {"/x/*.json", true},
    {"/x/a*b.JSON", true}, {"/x/*/a.json", false}, {"a.txt", false},
    {"a", false},          {"/x.yml/a", false},    {"/x/a*b*c.yml", true},
};

TEST(patterns_are_checked)
{
    for_each_case(c, pattern_cases) {
        struct file_sd *sd;
        struct str pattern = str_from(c->name);
        struct error *err = file_sd_create(&pattern, 1, NULL, &sd);
        CHECK_EQ(err == NULL, c->is_good);
        error_free(err);
        file_sd_free(sd);
    }
}

TEST(a_watch_sees_files_written_and_replaced)
{
    struct fixture f;
    fixture_init(&f);
    struct context *ctx = context_create(NULL, 20000);
    struct file_watch *watch = file_watch_create();
    file_sd_watch(f.sd, watch);
    CHECK(!file_watch_wait(watch, ctx, 10));
    put(&f, "b.json", "[]");
    CHECK(file_watch_wait(watch, ctx, 10000));
    put(&f, "a.yml", "");
    rename(arena_cstr(f.arena, path_of(&f, "a.yml")), arena_cstr(f.arena, path_of(&f, "c.json")));
    CHECK(file_watch_wait(watch, ctx, 10000));
    CHECK(!file_watch_wait(watch, ctx, 10));
    file_watch_wake(watch);
    CHECK(!file_watch_wait(watch, ctx, -1));
    context_cancel(ctx);
    CHECK(!file_watch_wait(watch, ctx, -1));
    file_watch_free(watch);
    context_unref(ctx);
    fixture_deinit(&f);
}

TEST_MAIN(TEST_ENTRY(files_come_change_break_and_go), TEST_ENTRY(texts_are_checked),
          TEST_ENTRY(patterns_are_checked), TEST_ENTRY(a_watch_sees_files_written_and_replaced))
