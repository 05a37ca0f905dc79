#include "codec/json.h"

#include <math.h>

#include "support/test.h"

TEST(a_document_is_pulled_apart)
{
    struct arena *arena = arena_create(NULL);
    struct json_reader reader =
        json_read(STR(" {\"status\" : \"a\\u00e9\\n\\ud83d\\ude00\", \"n\":[1, -2.5e3,3], "
                      "\"skip\":{\"a\":[{}]},\n"
                      "\"b\":true,\"null\":null, "
                      "\"nul\":null,\"i\":-9223372036854775808,\"e\":[],\"r\": [1, 2] } "),
                  arena);
    struct str key, raw = {0};
    double sum = 0;
    int64_t whole = 0;
    bool flag = false;
    CHECK(json_object(&reader));
    while (json_key(&reader, &key)) {
        if (str_equal(key, STR("status")))
            CHECK_STR(json_str(&reader), "a\xc3\xa9\n\xf0\x9f\x98\x80");
        else if (str_equal(key, STR("n")) && json_array(&reader))
            while (json_item(&reader))
                sum += json_double(&reader);
        else if (str_equal(key, STR("b")))
            flag = json_bool(&reader);
        else if (str_equal(key, STR("null")))
            CHECK_EQ(json_str(&reader).len, 0);
        else if (str_equal(key, STR("nul")))
            CHECK(!json_object(&reader));
        else if (str_equal(key, STR("i")))
            whole = json_int64(&reader);
        else if (str_equal(key, STR("r")))
            raw = json_raw(&reader);
        else
            json_skip(&reader);
    }
    CHECK_OK(json_finish(&reader, "test"));
    CHECK_DOUBLE(sum, -2496);
    CHECK_EQ(whole, INT64_MIN);
    CHECK(flag);
    CHECK_STR(raw, "[1, 2]");
    arena_unref(arena);
}

static const struct {
    const char *name; /* the text */
    const char *error;
} bad_cases[] = {
    {"", "line 1, column 1: unexpected end"},
    {"{\"a\":1,}", "column 8: expected a key"},
    {"[1 2]", "column 4: expected a comma"},
    {"[1,]", "column 4: expected a value"},
    {"[1", "unexpected end"},
    {"{\"a\" 1}", "expected a colon"},
    {"{a:1}", "column 2: expected a key"},
    {"\"\\x\"", "invalid escape"},
    {"\"\\u12g4\"", "invalid escape"},
    {"\"a\nb\"", "line 1, column 3: control character"},
    {"\"abc", "unexpected end"},
    {"01", "invalid number"},
    {"1.", "invalid number"},
    {"-", "invalid number"},
    {"1e", "invalid number"},
    {"tru", "invalid value"},
    {"nul", "invalid value"},
    {"1 2", "unexpected text behind"},
    {"\n\n  x", "line 3, column 3: expected a value"},
    {"'a'", "expected a value"},
    {"]", "expected a value"},
};

TEST(broken_documents_say_where)
{
    for_each_case(c, bad_cases) {
        struct arena *arena = arena_create(NULL);
        struct json_reader reader = json_read(str_from(c->name), arena);
        json_skip(&reader);
        CHECK_ERROR_TEXT(json_finish(&reader, "test"), ERROR_INVALID, c->error);
        arena_unref(arena);
    }
}

static const struct {
    const char *name;
    const char *text;
    enum json_type as;
} type_cases[] = {
    {"text as a number", "\"1\"", JSON_NUMBER},
    {"number as text", "1", JSON_STRING},
    {"array as an object", "[]", JSON_OBJECT},
    {"object as an array", "{}", JSON_ARRAY},
    {"text as a bool", "\"true\"", JSON_BOOL},
    {"fraction as an integer", "1.0", JSON_NUMBER},
    {"integer out of range", "9223372036854775808", JSON_NUMBER},
};

TEST(values_of_another_type_are_failures)
{
    for_each_case(c, type_cases) {
        struct arena *arena = arena_create(NULL);
        struct json_reader reader = json_read(str_from(c->text), arena);
        if (c->as == JSON_NUMBER)
            (void)json_int64(&reader);
        else if (c->as == JSON_STRING)
            (void)json_str(&reader);
        else if (c->as == JSON_BOOL)
            (void)json_bool(&reader);
        else
            (void)(c->as == JSON_OBJECT ? json_object(&reader) : json_array(&reader));
        CHECK_ERROR_TEXT(json_finish(&reader, "test"), ERROR_INVALID, "expected");
        arena_unref(arena);
    }
}

TEST(depth_is_bounded)
{
    char text[100001];
    memset(text, '[', sizeof(text));
    struct json_reader reader = json_read((struct str){text, sizeof(text)}, NULL);
    json_skip(&reader);
    CHECK_ERROR_TEXT(json_finish(&reader, "test"), ERROR_INVALID, "nested too deep");
}

static const struct {
    const char *name; /* the JSON */
    const char *want;
} string_cases[] = {
    {"\"\\ud800\"", "\xef\xbf\xbd"},
    {"\"\\ud800x\"", "\xef\xbf\xbdx"},
    {"\"\\udc00\\ud800\\u0041\"", "\xef\xbf\xbd\xef\xbf\xbd"
                                  "A"},
    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
    {"\"\xff\xc3\"", "\xef\xbf\xbd\xef\xbf\xbd"},
    {"\"\xf0\x9f\x98\x80\"", "\xf0\x9f\x98\x80"},
};

TEST(strings_become_valid_utf8)
{
    for_each_case(c, string_cases) {
        struct arena *arena = arena_create(NULL);
        struct json_reader reader = json_read(str_from(c->name), arena);
        CHECK_STR(json_str(&reader), c->want);
        CHECK_OK(json_finish(&reader, "test"));
        arena_unref(arena);
    }
}

static const struct {
    const char *name;
    struct str text;
    const char *safe, *plain;
} escape_cases[] = {
    {"control characters", STR_INIT("a\0\x1f\b\f\n\r\t\"\\/"),
     "\"a\\u0000\\u001f\\b\\f\\n\\r\\t\\\"\\\\/\"", "\"a\\u0000\\u001f\\b\\f\\n\\r\\t\\\"\\\\/\""},
    {"HTML", STR_INIT("<b>&"), "\"\\u003cb\\u003e\\u0026\"", "\"<b>&\""},
    {"line separators", STR_INIT("\xe2\x80\xa8\xe2\x80\xa9"), "\"\\u2028\\u2029\"",
     "\"\\u2028\\u2029\""},
    {"broken UTF-8", STR_INIT("\xff \xc3\xa9\xe2\x80"), "\"\\ufffd \xc3\xa9\\ufffd\\ufffd\"",
     "\"\\ufffd \xc3\xa9\\ufffd\\ufffd\""},
    {"U+FFFD itself", STR_INIT("\xef\xbf\xbd"), "\"\xef\xbf\xbd\"", "\"\xef\xbf\xbd\""},
    {"nothing", STR_INIT(""), "\"\"", "\"\""},
};

TEST(strings_are_escaped_as_go_escapes_them)
{
    for_each_case(c, escape_cases) {
        struct buf out = {0};
        json_append_str(&out, c->text, JSON_HTML_SAFE);
        CHECK_STR(buf_str(&out), c->safe);
        buf_clear(&out);
        json_append_str(&out, c->text, JSON_PLAIN);
        CHECK_STR(buf_str(&out), c->plain);
        buf_deinit(&out);
    }
}

TEST(the_writer_puts_commas)
{
    struct buf out = {0};
    struct json_writer json = json_write(&out, JSON_HTML_SAFE);
    json_begin_object(&json);
    json_put_key(&json, "a");
    json_begin_array(&json);
    json_put_int64(&json, -1);
    json_begin_object(&json);
    json_end_object(&json);
    json_begin_array(&json);
    json_end_array(&json);
    json_put_null(&json);
    json_put_double(&json, 1e-7);
    json_put_double(&json, 1e21);
    json_put_double(&json, NAN);
    json_end_array(&json);
    json_put_key(&json, "b");
    json_put_bool(&json, true);
    json_end_object(&json);
    CHECK_STR(buf_str(&out), "{\"a\":[-1,{},[],null,1e-7,1e+21,null],\"b\":true}");
    buf_deinit(&out);
}

TEST(written_strings_read_back)
{
    uint64_t seed = test_seed();
    struct arena *arena = arena_create(NULL);
    for (int i = 0; i < 2000; i++) {
        char bytes[20];
        size_t len = test_random_below(&seed, sizeof(bytes));
        for (size_t j = 0; j < len; j++)
            bytes[j] = (char)test_random_below(&seed, 128);
        struct buf out = {0};
        json_append_str(&out, (struct str){bytes, len}, i % 2 ? JSON_PLAIN : JSON_HTML_SAFE);
        struct json_reader reader = json_read(buf_str(&out), arena);
        CHECK(str_equal(json_str(&reader), (struct str){bytes, len}));
        CHECK_OK(json_finish(&reader, "test"));
        buf_deinit(&out);
    }
    arena_unref(arena);
}

TEST_MAIN(TEST_ENTRY(a_document_is_pulled_apart), TEST_ENTRY(broken_documents_say_where),
          TEST_ENTRY(values_of_another_type_are_failures), TEST_ENTRY(depth_is_bounded),
          TEST_ENTRY(strings_become_valid_utf8), TEST_ENTRY(strings_are_escaped_as_go_escapes_them),
          TEST_ENTRY(the_writer_puts_commas), TEST_ENTRY(written_strings_read_back))
