#include "codec/yaml.h"

#include <math.h>

#include "support/test.h"

static void print(struct buf *out, const struct yaml_node *node)
{
    if (!node) {
        buf_append_cstr(out, "nothing");
    } else if (node->kind == YAML_SCALAR) {
        buf_printf(out, node->is_text ? "'%.*s'" : "%.*s", STR_ARG(node->text));
    } else {
        buf_append_byte(out, node->kind == YAML_MAPPING ? '{' : '[');
        for (size_t i = 0; i < node->count; i++) {
            buf_append_cstr(out, i ? "," : "");
            if (node->kind == YAML_MAPPING) {
                print(out, node->pairs[i].key);
                buf_append_byte(out, ':');
            }
            print(out, node->kind == YAML_MAPPING ? node->pairs[i].value : node->items[i]);
        }
        buf_append_byte(out, node->kind == YAML_MAPPING ? '}' : ']');
    }
}

static const struct {
    const char *name;
    const char *text;
    const char *want;  /* printed as above */
    const char *error; /* or this */
} parse_cases[] = {
    {"empty", "", "nothing", NULL},
    {"comment only", "# a\n", "nothing", NULL},
    {"mapping", "a: 1\nb: [x, 'y', \"z\"]\n", "{a:1,b:[x,'y','z']}", NULL},
    {"nested", "a:\n  - b: c\n    d: |\n      e\n", "{a:[{b:c,d:'e\n'}]}", NULL},
    {"no value", "a:\n", "{a:}", NULL},
    {"tagged", "a: !!str 5", "{a:'5'}", NULL},
    {"first document only", "a: 1\n---\nb: 2\n", "{a:1}", NULL},
    {"alias", "a: &x [1]\nb: *x\n", "{a:[1],b:[1]}", NULL},
    {"merge", "a: {<<: {b: 1, c: 2}, b: 3}", "{a:{b:3,c:2}}", NULL},
    {"merge of several", "a: {<<: [{b: 1}, {b: 2, c: 3}, {b: 4, c: 5}]}", "{a:{b:1,c:3}}", NULL},
    {"merge by alias", "x: &x {b: 1}\na: {<<: *x, b: 2}", "{x:{b:1},a:{b:2}}", NULL},
    {"quoted << is a key", "a: {'<<': 1}", "{a:{'<<':1}}", NULL},
    {"duplicate key", "a:\n  b: 1\n  b: 2\n", NULL, "yaml: line 3: key \"b\" already set in map"},
    {"three times", "{b: 1, b: 2, b: 3}", NULL, "key \"b\" already set in map"},
    {"merge of a number", "a: {<<: 1}", NULL, "map merge requires"},
    {"key is a list", "[a]: 1", NULL, "a key must be a plain value"},
    {"open list", "a: [\n", NULL, "yaml: line 2, column 1: did not find expected node content"},
    {"bad UTF-8", "a: \xff\n", NULL, "yaml: offset 3: invalid leading UTF-8 octet"},
    {"tab", "a:\n\tb: 1\n", NULL, "yaml: line 2, column 1: found character that cannot start"},
    {"unknown anchor", "a: *x\n", NULL, "yaml: unknown anchor 'x' referenced"},
    {"contains itself", "a: &x [*x]\n", NULL, "yaml: anchor 'x' value contains itself"},
    {"laughs",
     "a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
     "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
     "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n",
     NULL, "excessive aliasing"},
};

TEST(documents_become_trees)
{
    for_each_case(c, parse_cases) {
        struct arena *arena = arena_create(NULL);
        struct yaml_node *root = NULL;
        CHECK_ERROR_TEXT(yaml_parse(str_from(c->text), arena, &root),
                         c->error ? ERROR_INVALID : ERROR_NONE, c->error);
        if (c->want) {
            struct buf out = {0};
            print(&out, root);
            CHECK_STR(buf_str(&out), c->want);
            buf_deinit(&out);
        }
        arena_unref(arena);
    }
}

TEST(depth_is_bounded)
{
    char text[100000];
    struct arena *arena = arena_create(NULL);
    struct yaml_node *root = NULL;
    memset(text, '[', sizeof(text));
    CHECK_ERROR_TEXT(yaml_parse((struct str){text, sizeof(text)}, arena, &root), ERROR_INVALID,
                     "nested too deep");
    CHECK(root == NULL);
    arena_unref(arena);
}

enum { BOOL_NO = 1, BOOL_YES, BOOL_BAD };

static const struct {
    const char *name; /* the value */
    int64_t as_int;   /* -1: refused */
    int as_bool;
    const char *as_str; /* NULL: refused */
    double as_double;   /* -1: refused */
} typed_cases[] = {
    {"yes", -1, BOOL_YES, "yes", -1},
    {"y", -1, BOOL_YES, "y", -1},
    {"On", -1, BOOL_YES, "On", -1},
    {"false", -1, BOOL_NO, "false", -1},
    {"0x10", 16, BOOL_BAD, "0x10", 16},
    {"010", 8, BOOL_BAD, "010", 8},
    {"0o10", 8, BOOL_BAD, "0o10", 8},
    {"0b11", 3, BOOL_BAD, "0b11", 3},
    {"0", 0, BOOL_BAD, "0", 0},
    {"1_000", 1000, BOOL_BAD, "1_000", 1000},
    {"~", 0, BOOL_NO, "", 0},
    {"null", 0, BOOL_NO, "", 0},
    {"''", -1, BOOL_BAD, "", -1},
    {"\"5\"", -1, BOOL_BAD, "5", -1},
    {"5", 5, BOOL_BAD, "5", 5},
    {"1e3", 1000, BOOL_BAD, "1e3", 1000},
    {"5.0", 5, BOOL_BAD, "5.0", 5},
    {"5.5", -1, BOOL_BAD, "5.5", 5.5},
    {".inf", -1, BOOL_BAD, ".inf", INFINITY},
    {".nan", -1, BOOL_BAD, ".nan", NAN},
    {"abc", -1, BOOL_BAD, "abc", -1},
    {"[1]", -1, BOOL_BAD, NULL, -1},
};

TEST(values_have_the_types_that_go_gives_them)
{
    for_each_case(c, typed_cases) {
        struct arena *arena = arena_create(NULL);
        struct yaml_node *root = NULL;
        struct buf text = {0};
        buf_printf(&text, "a: %s\n", c->name);
        CHECK_OK(yaml_parse(buf_str(&text), arena, &root));
        const struct yaml_node *node = yaml_get(root, "a");
        int64_t whole = 0;
        bool flag = false;
        double real = 0;
        struct str str = STR("");
        CHECK_ERROR(yaml_int64(node, &whole), c->as_int == -1 ? ERROR_INVALID : ERROR_NONE);
        CHECK_EQ(whole, c->as_int == -1 ? 0 : c->as_int);
        CHECK_ERROR(yaml_bool(node, &flag), c->as_bool == BOOL_BAD ? ERROR_INVALID : ERROR_NONE);
        CHECK_EQ(flag, c->as_bool == BOOL_YES);
        CHECK_ERROR(yaml_str(node, &str), c->as_str ? ERROR_NONE : ERROR_INVALID);
        CHECK_STR(str, c->as_str ? c->as_str : "");
        CHECK_ERROR(yaml_double(node, &real), c->as_double == -1 ? ERROR_INVALID : ERROR_NONE);
        CHECK_DOUBLE(real, c->as_double == -1 ? 0 : c->as_double);
        buf_deinit(&text);
        arena_unref(arena);
    }
}

TEST(errors_name_line_and_type)
{
    static const char *const names[] = {"a"};
    struct arena *arena = arena_create(NULL);
    struct yaml_node *root = NULL;
    int64_t whole;
    CHECK_OK(yaml_parse(STR("a: x\nc: 1\n"), arena, &root));
    CHECK_ERROR_TEXT(yaml_int64(yaml_get(root, "a"), &whole), ERROR_INVALID,
                     "yaml: line 1: cannot unmarshal !!str `x` into int");
    CHECK_ERROR_TEXT(yaml_check_keys(root, names, 1, "config"), ERROR_INVALID,
                     "yaml: line 2: field c not found in type config");
    CHECK(yaml_get(root, "b") == NULL);
    CHECK_OK(yaml_int64(yaml_get(root, "b"), &whole));
    CHECK_ERROR(yaml_expect(root, YAML_SEQUENCE), ERROR_INVALID);
    arena_unref(arena);
}

TEST(the_budget_is_kept)
{
    struct budget *budget = budget_create(NULL, "test", 300000);
    struct arena *arena = arena_create(budget);
    struct yaml_node *root = NULL;
    struct buf text = {0};
    for (int i = 0; i < 20000; i++)
        buf_append_cstr(&text, "- a\n");
    CHECK_ERROR(yaml_parse(buf_str(&text), arena, &root), ERROR_LIMIT);
    buf_deinit(&text);
    arena_unref(arena);
    budget_free(budget);
}

TEST(written_scalars_read_back_as_text)
{
    static const char *const values[] = {
        "abc",      "5",   "true", "",        "a: b", "- x", "\n\"\\",
        "\xc3\xa9", "0x1", "~",    "a-b.c/d", " a",   "#x",  "\xf0\x9f\x98\x80"};
    for (size_t i = 0; i < countof(values); i++) {
        struct arena *arena = arena_create(NULL);
        struct yaml_node *root = NULL;
        struct buf text = {0};
        struct str got = STR("");
        buf_append_cstr(&text, "a: ");
        yaml_append_str(&text, str_from(values[i]));
        CHECK_OK(yaml_parse(buf_str(&text), arena, &root));
        CHECK_OK(yaml_str(yaml_get(root, "a"), &got));
        CHECK_STR(got, values[i]);
        buf_deinit(&text);
        arena_unref(arena);
    }
}

TEST_MAIN(TEST_ENTRY(documents_become_trees), TEST_ENTRY(depth_is_bounded),
          TEST_ENTRY(values_have_the_types_that_go_gives_them),
          TEST_ENTRY(errors_name_line_and_type), TEST_ENTRY(the_budget_is_kept),
          TEST_ENTRY(written_scalars_read_back_as_text))
