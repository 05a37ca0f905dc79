#include "support/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *test_case_name;

static void test_fail(const char *file, int line, const char *format, ...) PRINTF_LIKE(3, 4);

static void test_fail(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (test_case_name)
        print_error("in case \"%s\": ", test_case_name);
    vprint_error(format, args);
    print_error("\n");
    va_end(args);
    _fail(file, line);
}

void test_check(bool condition, const char *text, const char *file, int line)
{
    if (!condition)
        test_fail(file, line, "not true: %s", text);
}

void test_check_int(int64_t got, int64_t want, const char *text, const char *file, int line)
{
    if (got != want)
        test_fail(file, line, "%s is %lld, not %lld", text, (long long)got, (long long)want);
}

void test_check_double(double got, double want, const char *text, const char *file, int line)
{
    if (memcmp(&got, &want, sizeof(got)) != 0 && !(isnan(got) && isnan(want)))
        test_fail(file, line, "%s is %.17g, not %.17g", text, got, want);
}

void test_check_str(struct str got, struct str want, const char *text, const char *file, int line)
{
    if (!str_equal(got, want))
        test_fail(file, line, "%s is\n  \"%.*s\", not\n  \"%.*s\"", text, STR_ARG(got),
                  STR_ARG(want));
}

void test_check_error(struct error *err, enum error_kind kind, const char *part, const char *file,
                      int line)
{
    enum error_kind got = error_kind(err);
    bool has_part = !part || str_contains(error_text(err), str_from(part));
    if (got != kind || !has_part)
        test_fail(file, line, "error is %s \"%.*s\", not %s \"%s\"", error_kind_name(got),
                  STR_ARG(error_text(err)), error_kind_name(kind), part ? part : "");
    error_free(err);
}

uint64_t test_seed(void)
{
    const char *text = getenv("TITAN_TEST_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 10) : 20261124;
    print_message("seed %llu\n", (unsigned long long)seed);
    return seed ? seed : 1;
}

uint64_t test_random(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * 0x2545f4914f6cdd1du;
}

uint64_t test_random_below(uint64_t *seed, uint64_t limit)
{
    return test_random(seed) % limit;
}

double test_random_double(uint64_t *seed)
{
    return (double)(test_random(seed) >> 11) / 9007199254740992.0;
}
