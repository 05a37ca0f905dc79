#include "codec/url.h"

#include "codec/base64.h"
#include "support/test.h"

static const struct {
    const char *name; /* the form */
    const char *want; /* name=value, separated by spaces */
    const char *error;
} form_cases[] = {
    {"a=b&c=d", "a=b c=d", NULL},
    {"a=b;c=d&e=f", "e=f", "invalid semicolon separator in query"},
    {"a=%zz&b=1", "b=1", "invalid URL escape \"%zz\""},
    {"a=1&a=2&=3&&b", "a=1 a=2 =3 b=", NULL},
    {"a%2Bb=c%26d", "a+b=c&d", NULL},
    {"%", "", "invalid URL escape \"%\""},
    {"a=%4", "", "invalid URL escape \"%4\""},
    {"a=%e4", "a=\xe4", NULL},
    {"match[]=x", "match[]=x", NULL},
    {"", "", NULL},
    {"&&&", "", NULL},
    {"a=b=c", "a=b=c", NULL},
};

TEST(forms_are_parsed_as_go_parses_them)
{
    for_each_case(c, form_cases) {
        struct arena *arena = arena_create(NULL);
        struct url_param *params = NULL;
        size_t count = 0;
        CHECK_ERROR_TEXT(url_parse_form(arena, str_from(c->name), &params, &count),
                         c->error ? ERROR_INVALID : ERROR_NONE, c->error);
        struct buf out = {0};
        for (size_t i = 0; i < count; i++)
            buf_printf(&out, "%s%.*s=%.*s", i ? " " : "", STR_ARG(params[i].name),
                       STR_ARG(params[i].value));
        CHECK_STR(buf_str(&out), c->want);
        buf_deinit(&out);
        arena_unref(arena);
    }
}

TEST(many_parameters_are_refused)
{
    struct arena *arena = arena_create(NULL);
    struct url_param *params = NULL;
    size_t count = 0;
    struct buf text = {0};
    buf_append_cstr(&text, "%zz");
    for (int i = 0; i < URL_PARAMS_MAX + 5; i++)
        buf_append_cstr(&text, "&a");
    CHECK_ERROR(url_parse_form(arena, buf_str(&text), &params, &count), ERROR_LIMIT);
    CHECK_EQ(count, URL_PARAMS_MAX);
    buf_deinit(&text);
    arena_unref(arena);
}

static const struct {
    const char *name; /* the path */
    const char *want;
} path_cases[] = {
    {"", "/"},
    {"/", "/"},
    {"//a", "/a"},
    {"/a/../b", "/b"},
    {"/../a", "/a"},
    {"/a/./b/..", "/a"},
    {"/a//b/", "/a/b/"},
    {"/..", "/"},
    {"/a/b/../../..", "/"},
    {"a", "/a"},
    {"/a/..b", "/a/..b"},
    {"/a/.../b", "/a/.../b"},
    {"/api/v1/label//values", "/api/v1/label/values"},
};

TEST(paths_are_cleaned)
{
    struct arena *arena = arena_create(NULL);
    for_each_case(c, path_cases)
        CHECK_STR(url_clean_path(arena, str_from(c->name)), c->want);
    arena_unref(arena);
}

TEST(what_is_encoded_decodes)
{
    uint64_t seed = test_seed();
    struct arena *arena = arena_create(NULL);
    for (int i = 0; i < 2000; i++) {
        char bytes[40];
        size_t len = test_random_below(&seed, sizeof(bytes));
        for (size_t j = 0; j < len; j++)
            bytes[j] = (char)test_random(&seed);
        struct str text = {bytes, len}, got = {0};
        struct buf out = {0};
        url_encode_query(&out, text);
        CHECK_OK(url_decode_query(arena, buf_str(&out), &got));
        CHECK(str_equal(got, text));
        buf_clear(&out);
        url_encode_path(&out, text);
        CHECK_OK(url_decode_path(arena, buf_str(&out), &got));
        CHECK(str_equal(got, text));
        for (int kind = 0; kind < 4; kind++) {
            struct buf back = {0};
            buf_clear(&out);
            base64_encode(&out, str_bytes(text), (enum base64_kind)kind);
            CHECK(base64_decode(&back, buf_str(&out), (enum base64_kind)kind));
            CHECK(str_equal(buf_str(&back), text));
            buf_deinit(&back);
        }
        buf_deinit(&out);
    }
    arena_unref(arena);
}

TEST(encoded_text_is_go_s)
{
    struct buf out = {0};
    url_encode_query(&out, STR("a b/\xc3\xa9~-_.+"));
    CHECK_STR(buf_str(&out), "a+b%2F%C3%A9~-_.%2B");
    buf_clear(&out);
    url_encode_path(&out, STR("a b/$&+=:@"));
    CHECK_STR(buf_str(&out), "a%20b%2F$&+=:@");
    buf_clear(&out);
    url_append_param(&out, STR("match[]"), STR("{a=\"b\"}"));
    url_append_param(&out, STR("x"), STR(""));
    CHECK_STR(buf_str(&out), "match%5B%5D=%7Ba%3D%22b%22%7D&x=");
    buf_deinit(&out);
}

static const struct {
    const char *name; /* the text */
    const char *want; /* NULL: refused */
    enum base64_kind kind;
} base64_cases[] = {
    {"", "", BASE64_STANDARD},
    {"Zg==", "f", BASE64_STANDARD},
    {"Zm8=", "fo", BASE64_STANDARD},
    {"Zm9v", "foo", BASE64_STANDARD},
    {"Zm9v\nYmFy\r\n", "foobar", BASE64_STANDARD},
    {"Zg", "f", BASE64_STANDARD_RAW},
    {"-_-_", "\xfb\xff\xbf", BASE64_URL},
    {"+/+/", "\xfb\xff\xbf", BASE64_STANDARD},
    {"Zg", NULL, BASE64_STANDARD},
    {"Zg=", NULL, BASE64_STANDARD},
    {"Zg===", NULL, BASE64_STANDARD},
    {"Z", NULL, BASE64_STANDARD_RAW},
    {"Zg==Zg==", NULL, BASE64_STANDARD},
    {"Zg==", NULL, BASE64_STANDARD_RAW},
    {"-_-_", NULL, BASE64_STANDARD},
    {"Z!==", NULL, BASE64_STANDARD},
};

TEST(base64_is_strict)
{
    for_each_case(c, base64_cases) {
        struct buf out = {0};
        CHECK_EQ(base64_decode(&out, str_from(c->name), c->kind), c->want != NULL);
        CHECK_STR(buf_str(&out), c->want ? c->want : "");
        buf_deinit(&out);
    }
}

TEST_MAIN(TEST_ENTRY(forms_are_parsed_as_go_parses_them), TEST_ENTRY(many_parameters_are_refused),
          TEST_ENTRY(paths_are_cleaned), TEST_ENTRY(what_is_encoded_decodes),
          TEST_ENTRY(encoded_text_is_go_s), TEST_ENTRY(base64_is_strict))
