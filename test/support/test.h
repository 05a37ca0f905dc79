/* test/support/test.h: the few words tests are written in, over cmocka.
 *
 *     TEST(arena_forgets_on_reset) { ... CHECK_EQ(a, b); ... }
 *     TEST_MAIN(arena_forgets_on_reset, ...)
 *
 * Checks end the test at the first failure and print both sides. `for_each_case (c, table)` names
 * the row in every failure: rows have a `name` first. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/str.h"

#define TEST(name) static void name(void **state UNUSED)
#define TEST_ENTRY(name) cmocka_unit_test(name)

extern const char *test_case_name; /* of the running row, or NULL */

#define for_each_case(c, table)                                                                    \
    for (const __typeof__((table)[0]) *c = (table);                                                \
         (test_case_name = c < (table) + countof(table) ? c->name : NULL) != NULL; c++)

#define CHECK(condition) test_check((condition), #condition, __FILE__, __LINE__)
#define CHECK_EQ(got, want)                                                                        \
    test_check_int((int64_t)(got), (int64_t)(want), #got, __FILE__, __LINE__)
#define CHECK_DOUBLE(got, want)                                                                    \
    test_check_double((got), (want), #got, __FILE__, __LINE__) /* same bits, or both NaN */
#define CHECK_STR(got, want) test_check_str((got), str_from(want), #got, __FILE__, __LINE__)
/* These free err. */
#define CHECK_OK(err) test_check_error((err), ERROR_NONE, NULL, __FILE__, __LINE__)
#define CHECK_ERROR(err, kind) test_check_error((err), (kind), NULL, __FILE__, __LINE__)
#define CHECK_ERROR_TEXT(err, kind, part)                                                          \
    test_check_error((err), (kind), (part), __FILE__, __LINE__)

void test_check(bool condition, const char *text, const char *file, int line);
void test_check_int(int64_t got, int64_t want, const char *text, const char *file, int line);
void test_check_double(double got, double want, const char *text, const char *file, int line);
void test_check_str(struct str got, struct str want, const char *text, const char *file, int line);
void test_check_error(struct error *err, enum error_kind kind, const char *part, const char *file,
                      int line);

/* Random numbers for property tests: the seed comes from TITAN_TEST_SEED or is fixed, and is
 * printed. */
uint64_t test_seed(void);
uint64_t test_random(uint64_t *seed);                       /* xorshift64* */
uint64_t test_random_below(uint64_t *seed, uint64_t limit); /* limit > 0 */
double test_random_double(uint64_t *seed);                  /* [0, 1) */

/* Runs the tests and closes with cmocka's countable line. */
#define TEST_MAIN(...)                                                                             \
    int main(void)                                                                                 \
    {                                                                                              \
        const struct CMUnitTest tests[] = {__VA_ARGS__};                                           \
        return cmocka_run_group_tests(tests, NULL, NULL);                                          \
    }
/* The same with cmocka's group set-up and tear-down, each `int fn(void **state)`, 0 for success. */
#define TEST_MAIN_WITH(setup, teardown, ...)                                                       \
    int main(void)                                                                                 \
    {                                                                                              \
        const struct CMUnitTest tests[] = {__VA_ARGS__};                                           \
        return cmocka_run_group_tests(tests, setup, teardown);                                     \
    }
