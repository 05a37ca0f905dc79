#include "support/test.h"

#include "model/matcher.h"

static const struct {
    const char *name;
    enum match_op op;
    const char *value, *text;
    bool want;
} match_cases[] = {
    {"equal", MATCH_EQUAL, "a", "a", true},
    {"equal is not a beginning", MATCH_EQUAL, "a", "ab", false},
    {"equal to nothing means absent", MATCH_EQUAL, "", "", true},
    {"not equal", MATCH_NOT_EQUAL, "a", "b", true},
    {"absent is not equal", MATCH_NOT_EQUAL, "a", "", true},
    {"expressions match all of the value", MATCH_REGEX, "b.", "abc", false},
    {"alternatives", MATCH_REGEX, "a|bc|d", "bc", true},
    {"alternatives, none", MATCH_REGEX, "a|bc|d", "b", false},
    {"alternatives, an empty one", MATCH_REGEX, "a|", "", true},
    {"literal beginning", MATCH_REGEX, "api-[0-9]+", "api-17", true},
    {"another beginning", MATCH_REGEX, "api-[0-9]+", "app-17", false},
    {"case does not matter when asked", MATCH_REGEX, "(?i)API", "api", true},
    {"anything", MATCH_REGEX, ".*", "", true},
    {"anything over lines", MATCH_REGEX, ".*", "a\nb", true},
    {"something", MATCH_REGEX, ".+", "", false},
    {"negated", MATCH_NOT_REGEX, "a|b", "c", true},
    {"negated, anything", MATCH_NOT_REGEX, ".*", "c", false},
    {"alternatives inside", MATCH_REGEX, "a(b|c)d", "acd", true},
};

TEST(matchers_decide_as_prometheus_does)
{
    struct arena *arena = arena_create(NULL);
    for_each_case(c, match_cases) {
        struct matcher matcher;
        CHECK_OK(matcher_create(arena, c->op, STR("x"), str_from(c->value), &matcher));
        CHECK_EQ(matcher_matches(&matcher, str_from(c->text)), c->want);
        if (c->text[0] == 0)
            CHECK_EQ(matcher_matches_empty(&matcher), c->want);
    }
    arena_unref(arena);
}

TEST(all_matchers_must_agree)
{
    struct arena *arena = arena_create(NULL);
    struct labels_builder builder = labels_builder_create(arena);
    labels_builder_set(&builder, STR("job"), STR("api"));
    labels_builder_set(&builder, STR("env"), STR("prod"));
    struct labels labels = labels_builder_finish(&builder);
    struct matcher matchers[3];
    CHECK_OK(matcher_create(arena, MATCH_EQUAL, STR("job"), STR("api"), &matchers[0]));
    CHECK_OK(matcher_create(arena, MATCH_REGEX, STR("env"), STR("prod|dev"), &matchers[1]));
    CHECK_OK(matcher_create(arena, MATCH_EQUAL, STR("zone"), STR(""), &matchers[2]));
    CHECK(matchers_match(matchers, 3, labels));
    CHECK_OK(matcher_create(arena, MATCH_NOT_EQUAL, STR("zone"), STR(""), &matchers[2]));
    CHECK(!matchers_match(matchers, 3, labels));
    CHECK(matchers_match(NULL, 0, labels));
    arena_unref(arena);
}

TEST(bad_matchers_are_the_callers_fault)
{
    struct arena *arena = arena_create(NULL);
    struct matcher matcher;
    CHECK_ERROR(matcher_create(arena, MATCH_REGEX, STR("a"), STR("("), &matcher), ERROR_INVALID);
    CHECK_ERROR(matcher_create(arena, (enum match_op)4, STR("a"), STR(""), &matcher),
                ERROR_INVALID);
    arena_unref(arena);
}

TEST(matchers_print_as_prometheus_prints_them)
{
    struct arena *arena = arena_create(NULL);
    struct buf buf = {0};
    struct matcher matchers[3];
    CHECK_OK(matcher_create(arena, MATCH_EQUAL, STR("a"), STR("x\"y"), &matchers[0]));
    CHECK_OK(matcher_create(arena, MATCH_NOT_REGEX, STR("b"), STR("x.*"), &matchers[1]));
    CHECK_OK(matcher_create(arena, MATCH_NOT_EQUAL, STR("my.name"), STR(""), &matchers[2]));
    matchers_print(&buf, matchers, 3);
    CHECK_STR(buf_str(&buf), "{a=\"x\\\"y\",b!~\"x.*\",\"my.name\"!=\"\"}");
    buf_deinit(&buf);
    arena_unref(arena);
}

TEST_MAIN(TEST_ENTRY(matchers_decide_as_prometheus_does), TEST_ENTRY(all_matchers_must_agree),
          TEST_ENTRY(bad_matchers_are_the_callers_fault),
          TEST_ENTRY(matchers_print_as_prometheus_prints_them))
