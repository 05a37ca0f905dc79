#include "block/block_meta.h"

#include "support/test.h"

static const char thanos_meta[] =
    "{\n\t\"ulid\": \"01HB0000000000000000000001\",\n\t\"minTime\": 1000,\n\t\"maxTime\": 2000,\n"
    "\t\"stats\": {\n\t\t\"numSamples\": 7,\n\t\t\"numFloatSamples\": 7,\n\t\t\"numSeries\": 3,\n"
    "\t\t\"numChunks\": 4\n\t},\n\t\"compaction\": {\n\t\t\"level\": 2,\n\t\t\"sources\": [\n"
    "\t\t\t\"01HB0000000000000000000002\"\n\t\t],\n\t\t\"parents\": [\n\t\t\t{\n"
    "\t\t\t\t\"ulid\": \"01HB0000000000000000000002\",\n\t\t\t\t\"minTime\": 1000,\n"
    "\t\t\t\t\"maxTime\": 1500\n\t\t\t}\n\t\t],\n\t\t\"hints\": [\n"
    "\t\t\t\"from-out-of-order\"\n\t\t]\n\t},\n\t\"version\": 1,\n\t\"thanos\": {\n"
    "\t\t\"version\": 1,\n\t\t\"labels\": {\n\t\t\t\"replica\": \"a\\u003cb\"\n\t\t},\n"
    "\t\t\"downsample\": {\n\t\t\t\"resolution\": 300000\n\t\t},\n\t\t\"source\": \"compactor\",\n"
    "\t\t\"files\": [\n\t\t\t{\n\t\t\t\t\"rel_path\": \"index\",\n\t\t\t\t\"size_bytes\": 12,\n"
    "\t\t\t\t\"hash\": {\n\t\t\t\t\t\"hashFunc\": \"SHA256\",\n\t\t\t\t\t\"value\": \"ab\"\n"
    "\t\t\t\t}\n\t\t\t},\n\t\t\t{\n\t\t\t\t\"rel_path\": \"meta.json\"\n\t\t\t}\n\t\t],\n"
    "\t\t\"index_stats\": {\n\t\t\t\"series_max_size\": 44\n\t\t},\n\t\t\"extensions\": {\n"
    "\t\t\t\"a\": [\n\t\t\t\t1,\n\t\t\t\t{}\n\t\t\t]\n\t\t},\n"
    "\t\t\"upload_time\": \"0001-01-01T00:00:00Z\"\n\t}\n}\n";

TEST(a_meta_is_written_as_it_was_read)
{
    struct arena *arena = arena_create(NULL);
    struct block_meta meta;
    struct buf out = {0};
    CHECK_OK(block_meta_parse(str_from(thanos_meta), arena, &meta));
    CHECK_EQ(meta.thanos.resolution_ms, 300000);
    CHECK_EQ(meta.compaction.parents[0].max_time, 1500);
    CHECK(block_meta_has_hint(&meta, STR("from-out-of-order")));
    block_meta_print(&out, &meta);
    CHECK_STR(buf_str(&out), thanos_meta);
    buf_deinit(&out);
    arena_unref(arena);
}

static const struct {
    const char *name, *text, *part;
    enum error_kind kind;
} bad_metas[] = {
    {"nothing", "", "meta.json", ERROR_CORRUPT},
    {"no object", "[]", "expected an object", ERROR_CORRUPT},
    {"no version", "{}", "version 0", ERROR_INVALID},
    {"another version", "{\"version\": 2}", "version 2", ERROR_INVALID},
    {"no block id", "{\"version\": 1, \"ulid\": \"x\"}", "no block id", ERROR_CORRUPT},
    {"half of it", "{\"version\": 1, \"minTime\": 12", "meta.json", ERROR_CORRUPT},
    {"backwards", "{\"version\": 1, \"minTime\": 12, \"maxTime\": 3}", "before it begins",
     ERROR_CORRUPT},
    {"another Thanos version", "{\"version\": 1, \"thanos\": {\"version\": 3}}", "not known",
     ERROR_INVALID},
};

TEST(a_meta_that_is_none_is_named)
{
    for_each_case(c, bad_metas) {
        struct arena *arena = arena_create(NULL);
        struct block_meta meta;
        CHECK_ERROR_TEXT(block_meta_parse(str_from(c->text), arena, &meta), c->kind, c->part);
        arena_unref(arena);
    }
}

TEST(marks_are_those_of_thanos)
{
    struct arena *arena = arena_create(NULL);
    struct buf out = {0};
    struct block_mark mark = {.time_s = 1700000000, .details = STR("why"), .reason = STR("manual")};
    CHECK(ulid_parse(STR("01HB0000000000000000000001"), &mark.id));
    block_mark_print(&out, MARK_NO_COMPACT, &mark);
    CHECK_STR(buf_str(&out), "{\"id\":\"01HB0000000000000000000001\",\"version\":1,"
                             "\"details\":\"why\",\"no_compact_time\":1700000000,"
                             "\"reason\":\"manual\"}");
    struct block_mark again;
    CHECK_OK(block_mark_parse(MARK_NO_COMPACT, buf_str(&out), arena, &again));
    CHECK_EQ(again.time_s, mark.time_s);
    CHECK_ERROR(block_mark_parse(MARK_DELETION, STR("{"), arena, &again), ERROR_CORRUPT);
    CHECK_ERROR(block_mark_parse(MARK_DELETION, STR("{\"version\":9}"), arena, &again),
                ERROR_INVALID);
    buf_deinit(&out);
    arena_unref(arena);
}

TEST_MAIN(TEST_ENTRY(a_meta_is_written_as_it_was_read), TEST_ENTRY(a_meta_that_is_none_is_named),
          TEST_ENTRY(marks_are_those_of_thanos))
