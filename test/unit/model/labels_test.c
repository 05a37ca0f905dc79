#include "support/test.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/hash.h"
#include "model/labels.h"
#include "model/quote.h"

/* The slow twin of a label set: an array of pairs, sorted by insertion. */
enum { TWIN_MAX = 24 };
struct twin {
    struct label pairs[TWIN_MAX];
    size_t count;
};

static void twin_remove(struct twin *twin, struct str name)
{
    size_t kept = 0;
    for (size_t i = 0; i < twin->count; i++)
        if (!str_equal(twin->pairs[i].name, name))
            twin->pairs[kept++] = twin->pairs[i];
    twin->count = kept;
}

static void twin_set(struct twin *twin, struct str name, struct str value)
{
    twin_remove(twin, name);
    if (value.len == 0)
        return;
    size_t at = twin->count++;
    for (; at > 0 && str_compare(twin->pairs[at - 1].name, name) > 0; at--)
        twin->pairs[at] = twin->pairs[at - 1];
    twin->pairs[at] = (struct label){name, value};
}

static int twin_compare(const struct twin *a, const struct twin *b)
{
    for (size_t i = 0; i < a->count && i < b->count; i++) {
        int order = str_compare(a->pairs[i].name, b->pairs[i].name);
        if (order == 0)
            order = str_compare(a->pairs[i].value, b->pairs[i].value);
        if (order)
            return order < 0 ? -1 : 1;
    }
    return a->count < b->count ? -1 : a->count > b->count;
}

static bool twin_listed(const struct str *names, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal(names[i], name))
            return true;
    return false;
}

static struct labels twin_labels(struct arena *arena, const struct twin *twin)
{
    struct labels_builder builder = labels_builder_create(arena);
    for (size_t i = 0; i < twin->count; i++)
        labels_builder_set(&builder, twin->pairs[i].name, twin->pairs[i].value);
    return labels_builder_finish(&builder);
}

static void check_same(struct labels labels, const struct twin *twin)
{
    struct labels_reader reader = labels_read(labels);
    struct label label;
    size_t i = 0;
    CHECK_OK(labels_check(labels));
    CHECK_EQ(labels_count(labels), twin->count);
    while (labels_next(&reader, &label)) {
        CHECK(str_equal(label.name, twin->pairs[i].name));
        CHECK(str_equal(label.value, twin->pairs[i].value));
        i++;
    }
    CHECK_EQ(i, twin->count);
}

/* Texts that share beginnings and cross the length that needs four bytes. */
static struct str random_text(struct arena *arena, uint64_t *seed, const char *alphabet)
{
    size_t len = test_random_below(seed, 4);
    if (test_random_below(seed, 12) == 0)
        len = 250 + test_random_below(seed, 10);
    if (test_random_below(seed, 200) == 0)
        len = 70000;
    char *data = arena_bytes(arena, len + 1);
    size_t letters = strlen(alphabet);
    for (size_t i = 0; i < len; i++)
        data[i] = i > 8 ? 'x' : alphabet[test_random_below(seed, letters)];
    return (struct str){data, len};
}

static struct twin random_twin(struct arena *arena, uint64_t *seed, struct labels_builder *builder)
{
    struct twin twin = {.count = 0};
    size_t steps = test_random_below(seed, TWIN_MAX);
    for (size_t i = 0; i < steps; i++) {
        struct str name = random_text(arena, seed, "ab\xc3\xff");
        struct str value = random_text(arena, seed, "uv\x01\xfe");
        if (test_random_below(seed, 10) == 0)
            name = STR("__name__");
        if (name.len == 0)
            continue;
        twin_set(&twin, name, value);
        labels_builder_set(builder, name, value);
    }
    return twin;
}

TEST(builders_sort_and_the_last_value_of_a_name_counts)
{
    uint64_t seed = test_seed();
    struct arena *arena = arena_create(NULL);
    for (int round = 0; round < 3000; round++) {
        struct labels_builder builder = labels_builder_create(arena);
        struct twin twin = random_twin(arena, &seed, &builder);
        for (size_t i = 0; i < twin.count; i++)
            CHECK(str_equal(labels_builder_get(&builder, twin.pairs[i].name), twin.pairs[i].value));
        struct labels labels = labels_builder_finish(&builder);
        check_same(labels, &twin);
        struct labels_builder again = labels_builder_from(arena, labels);
        CHECK(labels_equal(labels_builder_finish(&again), labels));
        CHECK(labels_equal(labels_copy(arena, labels), labels));
        labels_builder_set(&builder, STR("zz"), STR("1"));
        labels_builder_remove(&builder, STR("__name__"));
        twin_set(&twin, STR("zz"), STR("1"));
        twin_remove(&twin, STR("__name__"));
        check_same(labels_builder_finish(&builder), &twin);
        arena_reset(arena);
    }
    arena_unref(arena);
}

static int sign(int order)
{
    return order < 0 ? -1 : order > 0;
}

TEST(label_sets_compare_pair_by_pair)
{
    uint64_t seed = test_seed();
    struct arena *arena = arena_create(NULL);
    for (int round = 0; round < 3000; round++) {
        struct labels_builder builder = labels_builder_create(arena);
        struct twin a = random_twin(arena, &seed, &builder), b = a;
        for (size_t changes = test_random_below(&seed, 3); changes > 0; changes--) {
            struct str name = random_text(arena, &seed, "ab\xc3\xff");
            if (test_random_below(&seed, 3) == 0 && b.count)
                b.count--;
            else if (name.len && b.count < TWIN_MAX - 1)
                twin_set(&b, name, random_text(arena, &seed, "uv\xfe"));
        }
        struct labels x = twin_labels(arena, &a), y = twin_labels(arena, &b);
        CHECK_EQ(sign(labels_compare(x, y)), twin_compare(&a, &b));
        CHECK_EQ(sign(labels_compare(y, x)), -twin_compare(&a, &b));
        CHECK_EQ(labels_equal(x, y), twin_compare(&a, &b) == 0);
        CHECK_EQ(labels_compare(x, x), 0);
        arena_reset(arena);
    }
    arena_unref(arena);
}

static size_t random_list(struct arena *arena, uint64_t *seed, const struct twin *twin,
                          struct str *names)
{
    size_t count = 0;
    for (size_t i = 0; i < twin->count; i++)
        if (test_random_below(seed, 3) == 0)
            names[count++] = twin->pairs[i].name;
    for (size_t extra = test_random_below(seed, 3); extra > 0; extra--)
        names[count++] = random_text(arena, seed, "abc");
    qsort(names, count, sizeof(*names), str_compare_items);
    size_t unique = 0;
    for (size_t i = 0; i < count; i++)
        if (unique == 0 || !str_equal(names[unique - 1], names[i]))
            names[unique++] = names[i];
    return unique;
}

static uint64_t slow_shard_hash(const struct twin *twin, bool by, const struct str *names,
                                size_t count)
{
    struct buf buf = {0};
    for (size_t i = 0; i < twin->count; i++) {
        if (twin_listed(names, count, twin->pairs[i].name) != by)
            continue;
        buf_append_str(&buf, twin->pairs[i].name);
        buf_append_byte(&buf, 0xff);
        buf_append_str(&buf, twin->pairs[i].value);
        buf_append_byte(&buf, 0xff);
    }
    uint64_t hash = hash_bytes(buf.data, buf.len);
    buf_deinit(&buf);
    return hash;
}

static void check_filters(struct arena *arena, const struct twin *twin, const struct str *names,
                          size_t count)
{
    struct labels labels = twin_labels(arena, twin);
    struct twin kept = {.count = 0}, rest = {.count = 0};
    for (size_t i = 0; i < twin->count; i++) {
        const struct label *pair = &twin->pairs[i];
        bool listed = twin_listed(names, count, pair->name);
        twin_set(listed ? &kept : &rest, pair->name, pair->value);
        CHECK(labels_has(labels, pair->name));
        CHECK(str_equal(labels_get(labels, pair->name), pair->value));
    }
    CHECK(!labels_has(labels, STR("a.missing.name")));
    check_same(labels_only(arena, labels, names, count), &kept);
    check_same(labels_without(arena, labels, names, count), &rest);
    CHECK_EQ(labels_hash_by(labels, names, count), labels_hash(twin_labels(arena, &kept)));
    CHECK_EQ(labels_shard_hash(labels, true, names, count),
             slow_shard_hash(twin, true, names, count));
    CHECK_EQ(labels_shard_hash(labels, false, names, count),
             slow_shard_hash(twin, false, names, count));
    twin_remove(&rest, STR("__name__"));
    CHECK_EQ(labels_hash_without(labels, names, count), labels_hash(twin_labels(arena, &rest)));
}

TEST(filters_hashes_and_lookups_agree_with_the_plain_way)
{
    uint64_t seed = test_seed();
    struct arena *arena = arena_create(NULL);
    for (int round = 0; round < 3000; round++) {
        struct labels_builder builder = labels_builder_create(arena);
        struct twin twin = random_twin(arena, &seed, &builder);
        struct str names[TWIN_MAX + 4];
        check_filters(arena, &twin, names, random_list(arena, &seed, &twin, names));
        arena_reset(arena);
    }
    arena_unref(arena);
}

TEST(merging_takes_all_pairs_and_the_upper_value)
{
    uint64_t seed = test_seed();
    struct arena *arena = arena_create(NULL);
    for (int round = 0; round < 2000; round++) {
        struct labels_builder builder = labels_builder_create(arena);
        struct twin a = random_twin(arena, &seed, &builder), b = {.count = 0};
        for (size_t i = 0; i < a.count; i++)
            if (test_random_below(&seed, 2))
                twin_set(&b, a.pairs[i].name, STR("over"));
        twin_set(&b, STR("replica"), STR("0"));
        if (test_random_below(&seed, 4) == 0)
            b.count = 0;
        struct labels merged = labels_merge(arena, twin_labels(arena, &a), twin_labels(arena, &b));
        for (size_t i = 0; i < b.count && a.count < TWIN_MAX; i++)
            twin_set(&a, b.pairs[i].name, b.pairs[i].value);
        check_same(merged, &a);
        arena_reset(arena);
    }
    arena_unref(arena);
}

static const struct {
    const char *name;
    struct str bytes;
    enum error_kind want;
} check_cases[] = {
    {"empty set", STR_INIT(""), ERROR_NONE},
    {"one pair",
     STR_INIT("\x01"
              "a\x01"
              "b"),
     ERROR_NONE},
    {"no value",
     STR_INIT("\x01"
              "a"),
     ERROR_CORRUPT},
    {"value cut",
     STR_INIT("\x01"
              "a\x02"
              "b"),
     ERROR_CORRUPT},
    {"empty value",
     STR_INIT("\x01"
              "a\x00"),
     ERROR_CORRUPT},
    {"empty name",
     STR_INIT("\x00\x01"
              "a"),
     ERROR_CORRUPT},
    {"same name twice",
     STR_INIT("\x01"
              "a\x01"
              "b\x01"
              "a\x01"
              "c"),
     ERROR_CORRUPT},
    {"names out of order",
     STR_INIT("\x01"
              "b\x01"
              "b\x01"
              "a\x01"
              "c"),
     ERROR_CORRUPT},
    {"long length cut",
     STR_INIT("\x01"
              "a\xff\x00"),
     ERROR_CORRUPT},
    {"long length for a short text",
     STR_INIT("\x01"
              "a\xff\x01\x00\x00"
              "b"),
     ERROR_CORRUPT},
    {"long length past the end",
     STR_INIT("\x01"
              "a\xff\xff\xff\xff"
              "b"),
     ERROR_CORRUPT},
};

TEST(bytes_from_outside_are_checked)
{
    for_each_case(c, check_cases)
        CHECK_ERROR(labels_check((struct labels){(const uint8_t *)c->bytes.data, c->bytes.len}),
                    c->want);
}

TEST(what_is_too_long_is_cut_and_told)
{
    struct arena *arena = arena_create(NULL);
    size_t len = LABEL_LENGTH_MAX + 1;
    char *data = arena_bytes(arena, len);
    memset(data, 'x', len);
    struct labels_builder builder = labels_builder_create(arena);
    labels_builder_set(&builder, STR("a"), (struct str){data, LABEL_LENGTH_MAX});
    CHECK_OK(labels_builder_status(&builder));
    labels_builder_set(&builder, STR("b"), (struct str){data, len});
    CHECK_ERROR(labels_builder_status(&builder), ERROR_LIMIT);
    CHECK_OK(labels_check(labels_builder_finish(&builder)));
    arena_unref(arena);
}

static const struct {
    const char *name;
    struct label pairs[3];
    const char *set, *metric;
} print_cases[] = {
    {"nothing", {{STR_INIT(""), STR_INIT("")}}, "{}", "{}"},
    {"only a name", {{STR_INIT("__name__"), STR_INIT("up")}}, "{__name__=\"up\"}", "up"},
    {"name and labels",
     {{STR_INIT("job"), STR_INIT("a\"b\n")},
      {STR_INIT("__name__"), STR_INIT("job:up")},
      {STR_INIT("z"), STR_INIT("ä")}},
     "{__name__=\"job:up\", job=\"a\\\"b\\n\", z=\"ä\"}",
     "job:up{job=\"a\\\"b\\n\", z=\"ä\"}"},
    {"names that are not plain",
     {{STR_INIT("a.b"), STR_INIT("1")}, {STR_INIT("__name__"), STR_INIT("my.name")}},
     "{__name__=\"my.name\", \"a.b\"=\"1\"}",
     "{\"my.name\", \"a.b\"=\"1\"}"},
    {"only a name that is not plain",
     {{STR_INIT("__name__"), STR_INIT("my.name")}},
     "{__name__=\"my.name\"}",
     "{\"my.name\"}"},
};

TEST(label_sets_print_as_prometheus_prints_them)
{
    struct arena *arena = arena_create(NULL);
    struct buf buf = {0};
    for_each_case(c, print_cases) {
        struct labels_builder builder = labels_builder_create(arena);
        for (size_t i = 0; i < countof(c->pairs) && c->pairs[i].name.data; i++)
            labels_builder_set(&builder, c->pairs[i].name, c->pairs[i].value);
        struct labels labels = labels_builder_finish(&builder);
        buf_clear(&buf);
        labels_print(&buf, labels);
        CHECK_STR(buf_str(&buf), c->set);
        buf_clear(&buf);
        labels_print_metric(&buf, labels);
        CHECK_STR(buf_str(&buf), c->metric);
    }
    buf_deinit(&buf);
    arena_unref(arena);
}

static const struct {
    const char *name;
    struct str text;
    const char *want;
} quote_cases[] = {
    {"nothing", STR_INIT(""), "\"\""},
    {"short escapes", STR_INIT("\a\b\f\n\r\t\v\\\"'"), "\"\\a\\b\\f\\n\\r\\t\\v\\\\\\\"'\""},
    {"controls", STR_INIT("\x01\x7f\x00."), "\"\\x01\\x7f\\x00.\""},
    {"broken bytes", STR_INIT("a\xff\xc3z"), "\"a\\xff\\xc3z\""},
    {"a real replacement character", STR_INIT("\xef\xbf\xbd"), "\"\xef\xbf\xbd\""},
    {"letters", STR_INIT("äж日本😀"), "\"äж日本😀\""},
    {"does not print", STR_INIT("\xc2\xa0\xc2\xad\xe2\x80\x8b\xee\x80\x80"),
     "\"\\u00a0\\u00ad\\u200b\\ue000\""},
    {"does not print, far up", STR_INIT("\xf3\xa0\x80\x81"), "\"\\U000e0001\""},
};

TEST(text_is_quoted_as_go_quotes_it)
{
    struct buf buf = {0};
    for_each_case(c, quote_cases) {
        buf_clear(&buf);
        quote_append(&buf, c->text);
        CHECK_STR(buf_str(&buf), c->want);
    }
    buf_deinit(&buf);
}

TEST(names_are_legacy_or_utf8)
{
    CHECK(label_name_is_legacy(STR("_a9Z")));
    CHECK(!label_name_is_legacy(STR("9a")));
    CHECK(!label_name_is_legacy(STR("a:b")));
    CHECK(!label_name_is_legacy(STR("")));
    CHECK(metric_name_is_legacy(STR(":a:b9")));
    CHECK(!metric_name_is_legacy(STR("a.b")));
    CHECK(label_name_is_valid(STR("a.b ä")));
    CHECK(!label_name_is_valid(STR("a\xff")));
    CHECK(!label_name_is_valid(STR("")));
}

TEST_MAIN(TEST_ENTRY(builders_sort_and_the_last_value_of_a_name_counts),
          TEST_ENTRY(label_sets_compare_pair_by_pair),
          TEST_ENTRY(filters_hashes_and_lookups_agree_with_the_plain_way),
          TEST_ENTRY(merging_takes_all_pairs_and_the_upper_value),
          TEST_ENTRY(bytes_from_outside_are_checked), TEST_ENTRY(what_is_too_long_is_cut_and_told),
          TEST_ENTRY(label_sets_print_as_prometheus_prints_them),
          TEST_ENTRY(text_is_quoted_as_go_quotes_it), TEST_ENTRY(names_are_legacy_or_utf8))
