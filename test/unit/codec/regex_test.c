#include "codec/regex.h"

#include "support/test.h"

static const struct {
    const char *name; /* the expression */
    const char *text;
    bool want;
} match_cases[] = {
    {"abc", "abc", true},
    {"abc", "abcd", false},
    {"abc", "xabc", false},
    {".*", "", true},
    {".*", "a\nb", true},
    {".*", "\xff", true},
    {".+", "", false},
    {".+", "x", true},
    {"a.*", "a\nb", true},
    {"a.*", "ba", false},
    {"a|b", "b", true},
    {"a|b", "ab", false},
    {"a|ab", "ab", true},
    {"(?i)abc", "ABC", true},
    {"a\\.b", "a.b", true},
    {"a\\.b", "axb", false},
    {"ab*", "a", true},
    {"ab*", "abb", true},
    {"", "", true},
    {"", "a", false},
    {"[a-c]+", "abcabc", true},
    {"(?<x>a)\\d", "a7", true},
    {"\\Q(?<\\E", "(?<", true},
    {"[(?<]", "<", true},
    {"x{2}", "xx", true},
    {"\xc3\xa9?", "", true},
    {"\\p{Greek}", "\xce\xb1", true},
    {"^abc$", "abc", true},
    {"(a|b)c", "bc", true},
    {"a{", "a{", true},
    {"[]a]", "]", true},
    {"[[:alpha:]](?<n>b)", "ab", true},
};

TEST(expressions_match_the_whole_text)
{
    for_each_case(c, match_cases) {
        struct regex *regex = NULL;
        CHECK_OK(regex_compile(str_from(c->name), &regex));
        CHECK_EQ(regex_matches(regex, str_from(c->text)), c->want);
        regex_free(regex);
    }
}

static const struct {
    const char *name, *text;
} bad_cases[] = {
    {"open group", "a("},
    {"any byte", "\\C"},
    {"any byte in a class", "[\\C]"},
    {"look-ahead", "(?=a)"},
    {"nothing to repeat", "*"},
    {"back reference", "(a)\\1"},
    {"too many repeats", "a{1001}"},
    {"bad UTF-8", "\xff"},
    {"exploding", "((((x{100}){100}){100}){100})"},
};

TEST(bad_expressions_are_refused)
{
    for_each_case(c, bad_cases) {
        struct regex *regex = NULL;
        CHECK_ERROR_TEXT(regex_compile(str_from(c->text), &regex), ERROR_INVALID,
                         "error parsing regexp");
    }
}

static const struct {
    const char *name; /* the template */
    const char *want;
} expand_cases[] = {
    {"$1", "aa"},   {"${x}", "aa"},       {"$x$2", "aa"},
    {"$1x", ""},    {"${1}x", "aax"},     {"$$", "$"},
    {"$", "$"},     {"${", "${"},         {"$a b", " b"},
    {"${x", "${x"}, {"$ 1", "$ 1"},       {"$0", "aac"},
    {"$99", ""},    {"${x-y}", "${x-y}"}, {"a$3b", "a"},
    {"$01", ""},    {"plain", "plain"},   {"$18446744073709551617", ""},
};

TEST(templates_expand_as_go_expands_them)
{
    struct regex *regex = NULL;
    CHECK_OK(regex_compile(STR("(?<x>a+)(b)?(c*)"), &regex));
    CHECK_EQ(regex_group_count(regex), 3);
    struct str groups[4];
    CHECK(regex_match_groups(regex, STR("aac"), groups, 4));
    for_each_case(c, expand_cases) {
        struct buf out = {0};
        regex_expand(regex, str_from(c->name), groups, 4, &out);
        CHECK_STR(buf_str(&out), c->want);
        buf_deinit(&out);
    }
    CHECK(!regex_match_groups(regex, STR("x"), groups, 4));
    regex_free(regex);
}

static const struct {
    const char *name; /* the expression */
    const char *set;  /* alternatives joined by a comma, NULL: no set */
    const char *prefix;
} literal_cases[] = {
    {"a|b|c", "a,b,c", ""},    {"c|a|b|a", "a,b,c", ""}, {"(a|b)", "a,b", ""},
    {"(?:a|b)", "a,b", ""},    {"abc", "abc", "abc"},    {"a\\.b|c", "a.b,c", ""},
    {"a|", ",a", ""},          {"a*|b", NULL, ""},       {"abc.*", NULL, "abc"},
    {"abc*", NULL, "ab"},      {"a|b.", NULL, ""},       {"(a|b)c", NULL, ""},
    {"(?i)a|b", NULL, ""},     {"abc(d|e)", NULL, ""},   {"ab\\d", NULL, "ab"},
    {"x\xc3\xa9+", NULL, "x"}, {"(?i:a|b)", NULL, ""},   {"a[|]b", NULL, "a"},
    {"(a)(b)", NULL, ""},      {"((a|b))", NULL, ""},    {"a\\|b", "a|b", "a|b"},
};

TEST(plain_texts_are_found_without_the_engine)
{
    struct arena *arena = arena_create(NULL);
    for_each_case(c, literal_cases) {
        struct regex *regex = NULL;
        CHECK_OK(regex_compile(str_from(c->name), &regex));
        const struct str *items = NULL;
        size_t count = 0;
        regex_set(regex, arena, &items, &count);
        CHECK_EQ(items != NULL, c->set != NULL);
        struct buf joined = {0};
        for (size_t i = 0; i < count; i++) {
            buf_append_cstr(&joined, i ? "," : "");
            buf_append_str(&joined, items[i]);
            CHECK(regex_matches(regex, items[i]));
        }
        CHECK_STR(buf_str(&joined), c->set ? c->set : "");
        CHECK_STR(regex_prefix(regex, arena), c->prefix);
        buf_deinit(&joined);
        regex_free(regex);
    }
    arena_unref(arena);
}

TEST(long_repeats_stay_linear)
{
    struct regex *regex = NULL;
    CHECK_OK(regex_compile(STR("(a*)*b"), &regex));
    char text[100001];
    memset(text, 'a', sizeof(text));
    CHECK(!regex_matches(regex, (struct str){text, sizeof(text)}));
    regex_free(regex);
}

TEST_MAIN(TEST_ENTRY(expressions_match_the_whole_text), TEST_ENTRY(bad_expressions_are_refused),
          TEST_ENTRY(templates_expand_as_go_expands_them),
          TEST_ENTRY(plain_texts_are_found_without_the_engine),
          TEST_ENTRY(long_repeats_stay_linear))
