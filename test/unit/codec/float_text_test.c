#include "codec/float_text.h"

#include <math.h>

#include "support/test.h"

static const struct {
    const char *name;
    double value;
    const char *plain, *exponent, *general, *json;
} text_cases[] = {
    {"zero", 0, "0", "0e+00", "0", "0"},
    {"minus zero", -0.0, "-0", "-0e+00", "-0", "-0"},
    {"one", 1, "1", "1e+00", "1", "1"},
    {"1e20", 1e20, "100000000000000000000", "1e+20", "1e+20", "100000000000000000000"},
    {"1e21", 1e21, "1000000000000000000000", "1e+21", "1e+21", "1e+21"},
    {"1e6", 1e6, "1000000", "1e+06", "1e+06", "1000000"},
    {"nine digits", 123456789, "123456789", "1.23456789e+08", "1.23456789e+08", "123456789"},
    {"1e-4", 1e-4, "0.0001", "1e-04", "0.0001", "0.0001"},
    {"1e-5", 1e-5, "0.00001", "1e-05", "1e-05", "0.00001"},
    {"1e-6", 1e-6, "0.000001", "1e-06", "1e-06", "0.000001"},
    {"below 1e-6", 1.23e-7, "0.000000123", "1.23e-07", "1.23e-07", "1.23e-07"},
    {"point inside", -1234.5, "-1234.5", "-1.2345e+03", "-1234.5", "-1234.5"},
    {"999999.5", 999999.5, "999999.5", "9.999995e+05", "999999.5", "999999.5"},
    {"three digits of exponent", 1.5e300, NULL, "1.5e+300", "1.5e+300", "1.5e+300"},
    {"a third", 1.0 / 3, "0.3333333333333333", "3.333333333333333e-01", "0.3333333333333333",
     "0.3333333333333333"},
    {"2^53 + 2", 9007199254740994.0, "9007199254740994", "9.007199254740994e+15",
     "9.007199254740994e+15", "9007199254740994"},
    {"NaN", NAN, "NaN", "NaN", "NaN", "NaN"},
    {"infinity", INFINITY, "+Inf", "+Inf", "+Inf", "+Inf"},
    {"minus infinity", -INFINITY, "-Inf", "-Inf", "-Inf", "-Inf"},
};

TEST(floats_print_as_go_prints_them)
{
    char text[FLOAT_TEXT_MAX];
    for_each_case(c, text_cases) {
        if (c->plain)
            CHECK_STR(((struct str){text, float_text(text, c->value, FLOAT_PLAIN)}), c->plain);
        CHECK_STR(((struct str){text, float_text(text, c->value, FLOAT_EXPONENT)}), c->exponent);
        CHECK_STR(((struct str){text, float_text(text, c->value, FLOAT_GENERAL)}), c->general);
        CHECK_STR(((struct str){text, float_text(text, c->value, FLOAT_JSON)}), c->json);
    }
    CHECK_EQ(float_text(text, -5e-324, FLOAT_PLAIN), 327);
    CHECK_EQ(float_text(text, -1.7976931348623157e308, FLOAT_PLAIN), 310);
}

static const struct {
    const char *name;
    double want;
    enum float_parse result;
} parse_cases[] = {
    {"1_000", 1000, FLOAT_OK},
    {"0x_1p4", 16, FLOAT_OK},
    {"0x1_0p4", 256, FLOAT_OK},
    {"0x1p-1074", 5e-324, FLOAT_OK},
    {"0x1p-1075", 0, FLOAT_OK},
    {"0x1.8p-1075", 5e-324, FLOAT_OK},
    {"0x1.8", 0, FLOAT_SYNTAX},
    {"0x10", 0, FLOAT_SYNTAX},
    {"infinity", INFINITY, FLOAT_OK},
    {"+Inf", INFINITY, FLOAT_OK},
    {"-iNf", -INFINITY, FLOAT_OK},
    {"inFin", 0, FLOAT_SYNTAX},
    {"nan", NAN, FLOAT_OK},
    {"+nan", 0, FLOAT_SYNTAX},
    {"1e400", INFINITY, FLOAT_RANGE},
    {"-1e400", -INFINITY, FLOAT_RANGE},
    {"1e-400", 0, FLOAT_OK},
    {".5", 0.5, FLOAT_OK},
    {"5.", 5, FLOAT_OK},
    {".", 0, FLOAT_SYNTAX},
    {"1e", 0, FLOAT_SYNTAX},
    {"1e+", 0, FLOAT_SYNTAX},
    {"0x1p1024", INFINITY, FLOAT_RANGE},
    {"0x.8p1", 1, FLOAT_OK},
    {"0x.p1", 0, FLOAT_SYNTAX},
    {"1e5_0", 1e50, FLOAT_OK},
    {"1_e5", 0, FLOAT_SYNTAX},
    {"0_1", 1, FLOAT_OK},
    {"0x1p+_3", 0, FLOAT_SYNTAX},
    {"1e99999999999", INFINITY, FLOAT_RANGE},
    {"0e99999999999", 0, FLOAT_OK},
    {"1e-99999999999", 0, FLOAT_OK},
    {" 1", 0, FLOAT_SYNTAX},
    {"1 ", 0, FLOAT_SYNTAX},
    {"", 0, FLOAT_SYNTAX},
    {"+", 0, FLOAT_SYNTAX},
    {"-+1", 0, FLOAT_SYNTAX},
    {"0b1", 0, FLOAT_SYNTAX},
    {"1p4", 0, FLOAT_SYNTAX},
    {"0X1P3", 8, FLOAT_OK},
    {"0x1e3", 0, FLOAT_SYNTAX},
    {"0x1.fffffffffffff8p0", 2, FLOAT_OK},
    {"0x1.fffffffffffff7p1023", 1.7976931348623157e308, FLOAT_OK},
    {"0x1.fffffffffffff8p1023", INFINITY, FLOAT_RANGE},
    {"2.2250738585072011e-308", 2.2250738585072011e-308, FLOAT_OK},
    {"2.4e-324", 0, FLOAT_OK},
    {"2.5e-324", 5e-324, FLOAT_OK},
    {"1.7976931348623159e308", INFINITY, FLOAT_RANGE},
    {"0.000000000000000000000000000001e30", 1, FLOAT_OK},
    {"9007199254740993", 9007199254740992.0, FLOAT_OK},
    {"+1.5e+3", 1500, FLOAT_OK},
    {"-0", -0.0, FLOAT_OK},
};

TEST(floats_are_read_as_go_reads_them)
{
    for_each_case(c, parse_cases) {
        double got = 42;
        CHECK_EQ(float_parse(str_from(c->name), &got), c->result);
        CHECK_DOUBLE(got, c->want);
    }
}

TEST(text_reads_back_to_the_same_bits)
{
    uint64_t seed = test_seed();
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = test_random(&seed);
        double value, got;
        memcpy(&value, &bits, sizeof(value));
        if (isnan(value))
            continue;
        char text[FLOAT_TEXT_MAX];
        enum float_format format = (enum float_format)(i % 4);
        CHECK_EQ(float_parse((struct str){text, float_text(text, value, format)}, &got), FLOAT_OK);
        CHECK_DOUBLE(got, value);
    }
}

TEST_MAIN(TEST_ENTRY(floats_print_as_go_prints_them), TEST_ENTRY(floats_are_read_as_go_reads_them),
          TEST_ENTRY(text_reads_back_to_the_same_bits))
