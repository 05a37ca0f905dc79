#include <string.h>

#include "base/bytes_size.h"
#include "base/duration.h"
#include "base/time_text.h"
#include "base/ulid.h"
#include "support/test.h"

static const struct {
    const char *name; /* the text */
    int64_t want_ms;
    const char *error; /* NULL: parses */
    const char *printed;
} duration_cases[] = {
    {"1h30m", 5400000, NULL, "1h30m"},
    {"90m", 5400000, NULL, "1h30m"},
    {"5m", 300000, NULL, "5m"},
    {"0", 0, NULL, "0s"},
    {"0s", 0, NULL, "0s"},
    {"1y", 31536000000, NULL, "1y"},
    {"1w2d", 777600000, NULL, "9d"},
    {"14d", 1209600000, NULL, "2w"},
    {"1y1ms", 31536000001, NULL, "365d1ms"},
    {"292y", 9208512000000, NULL, "292y"},
    {"9223372036854ms", 9223372036854, NULL, "106751d23h47m16s854ms"},
    {"9223372036855ms", 0, "duration out of range", NULL},
    {"300y", 0, "duration out of range", NULL},
    {"99999999999999999999s", 0, "not a valid duration string: \"99999999999999999999s\"", NULL},
    {"", 0, "empty duration string", NULL},
    {"5", 0, "not a valid duration string: \"5\"", NULL},
    {"m", 0, "not a valid duration string", NULL},
    {"1m1h", 0, "not a valid duration string", NULL},
    {"1d1d", 0, "not a valid duration string", NULL},
    {"1.5h", 0, "unknown unit \".\" in duration \"1.5h\"", NULL},
    {"-5m", 0, "not a valid duration string", NULL},
    {"00", 0, "not a valid duration string", NULL},
    {"1h ", 0, "unknown unit \"h \" in duration \"1h \"", NULL},
};

TEST(prometheus_durations)
{
    for_each_case(c, duration_cases) {
        int64_t ms = 0;
        CHECK_ERROR_TEXT(duration_parse(str_from(c->name), &ms),
                         c->error ? ERROR_INVALID : ERROR_NONE, c->error);
        CHECK_EQ(ms, c->want_ms);
        if (c->printed) {
            struct buf out = {0};
            duration_print(&out, ms);
            CHECK_STR(buf_str(&out), c->printed);
            buf_deinit(&out);
        }
    }
}

static const struct {
    const char *name; /* the text */
    int64_t want_ns;
    const char *error;
    const char *printed;
} go_cases[] = {
    {"1h", 3600000000000, NULL, "1h0m0s"},
    {"1.5h", 5400000000000, NULL, "1h30m0s"},
    {"-1.5h", -5400000000000, NULL, "-1h30m0s"},
    {"+5s", 5000000000, NULL, "5s"},
    {"1us", 1000, NULL, "1\xc2\xb5s"},
    {"1\xc2\xb5s", 1000, NULL, "1\xc2\xb5s"},
    {"1\xce\xbcs", 1000, NULL, "1\xc2\xb5s"},
    {"1ns", 1, NULL, "1ns"},
    {"1100ns", 1100, NULL, "1.1\xc2\xb5s"},
    {"0", 0, NULL, "0s"},
    {"-0", 0, NULL, "0s"},
    {".5s", 500000000, NULL, "500ms"},
    {"5.s", 5000000000, NULL, "5s"},
    {"1h1h", 7200000000000, NULL, "2h0m0s"},
    {"5h6m7.001s", 18367001000000, NULL, "5h6m7.001s"},
    {"1500us", 1500000, NULL, "1.5ms"},
    {"1.0000000000000000000000000001s", 1000000000, NULL, "1s"},
    {"0.9999999999999999999999h", 3600000000000, NULL, "1h0m0s"},
    {"9223372036854775807ns", INT64_MAX, NULL, "2562047h47m16.854775807s"},
    {"-9223372036854775808ns", INT64_MIN, NULL, "-2562047h47m16.854775808s"},
    {"9223372036854775808ns", 0, "time: invalid duration \"9223372036854775808ns\"", NULL},
    {"3000000h", 0, "time: invalid duration \"3000000h\"", NULL},
    {".s", 0, "time: invalid duration \".s\"", NULL},
    {"", 0, "time: invalid duration \"\"", NULL},
    {"-", 0, "time: invalid duration \"-\"", NULL},
    {"s", 0, "time: invalid duration \"s\"", NULL},
    {"1", 0, "time: missing unit in duration \"1\"", NULL},
    {"1d", 0, "time: unknown unit \"d\" in duration \"1d\"", NULL},
    {"1 s", 0, "time: unknown unit \" s\" in duration \"1 s\"", NULL},
};

TEST(go_durations)
{
    for_each_case(c, go_cases) {
        int64_t ns = 0;
        CHECK_ERROR_TEXT(duration_parse_go(str_from(c->name), &ns),
                         c->error ? ERROR_INVALID : ERROR_NONE, c->error);
        CHECK_EQ(ns, c->want_ns);
        if (c->printed) {
            struct buf out = {0};
            duration_print_go(&out, ns);
            CHECK_STR(buf_str(&out), c->printed);
            buf_deinit(&out);
        }
    }
}

TEST(printed_durations_read_back)
{
    uint64_t seed = test_seed();
    for (int i = 0; i < 5000; i++) {
        int64_t value = (int64_t)(test_random(&seed) >> (1 + test_random_below(&seed, 60))), got;
        struct buf out = {0};
        duration_print_go(&out, value);
        CHECK_OK(duration_parse_go(buf_str(&out), &got));
        if (value < (int64_t)1 << 53) /* fractions go through a double, as in Go */
            CHECK_EQ(got, value);
        buf_clear(&out);
        duration_print(&out, value % 9223372036854);
        CHECK_OK(duration_parse(buf_str(&out), &got));
        CHECK_EQ(got, value % 9223372036854);
        buf_deinit(&out);
    }
}

static const struct {
    const char *name; /* the text */
    int64_t want;
    const char *error, *printed;
} size_cases[] = {
    {"500MB", 524288000, NULL, "500MiB"},
    {"2GiB", 2147483648, NULL, "2GiB"},
    {"0", 0, NULL, "0B"},
    {"1B", 1, NULL, "1B"},
    {"1.5KiB", 1536, NULL, "1KiB512B"},
    {"1KB1B", 1025, NULL, "1KiB1B"},
    {"-1KB", -1024, NULL, "-1KiB"},
    {"0.1KB", 102, NULL, "102B"},
    {"7EiB", 8070450532247928832, NULL, "7EiB"},
    {"8EiB", 0, "too large", NULL},
    {"1", 0, "units: unknown unit  in 1", NULL},
    {"2gb", 0, "units: unknown unit gb in 2gb", NULL},
    {"1K", 0, "units: unknown unit K in 1K", NULL},
    {"1MiB1KB", 0, "units: unknown unit KB in 1MiB1KB", NULL},
    {"", 0, "units: invalid ", NULL},
    {".KB", 0, "units: invalid .KB", NULL},
};

TEST(byte_sizes)
{
    for_each_case(c, size_cases) {
        int64_t bytes = 0;
        CHECK_ERROR_TEXT(bytes_size_parse(str_from(c->name), &bytes),
                         c->error ? ERROR_INVALID : ERROR_NONE, c->error);
        CHECK_EQ(bytes, c->want);
        if (c->printed) {
            struct buf out = {0};
            bytes_size_print(&out, bytes);
            CHECK_STR(buf_str(&out), c->printed);
            buf_deinit(&out);
        }
    }
}

static const struct {
    const char *name; /* the text */
    bool ok;
    int64_t seconds;
    const char *printed;
} time_cases[] = {
    {"2024-01-02T03:04:05Z", true, 1704164645, "2024-01-02T03:04:05Z"},
    {"2024-01-02T03:04:05.123456789Z", true, 1704164645, "2024-01-02T03:04:05.123456789Z"},
    {"2024-01-02T03:04:05+02:00", true, 1704157445, "2024-01-02T01:04:05Z"},
    {"2024-01-02T03:04:05-23:59", true, 1704250985, "2024-01-03T03:03:05Z"},
    {"2024-01-02T03:04:05+24:00", true, 1704078245, "2024-01-01T03:04:05Z"},
    {"2024-01-02T3:04:05Z", true, 1704164645, "2024-01-02T03:04:05Z"},
    {"2024-01-02T03:04:05,5Z", true, 1704164645, "2024-01-02T03:04:05.5Z"},
    {"2024-01-02T03:04:05.1234567891Z", true, 1704164645, "2024-01-02T03:04:05.123456789Z"},
    {"0000-01-01T00:00:00Z", true, -62167219200, "0000-01-01T00:00:00Z"},
    {"9999-12-31T23:59:59.999Z", true, 253402300799, "9999-12-31T23:59:59.999Z"},
    {"1969-12-31T23:59:59.5Z", true, -1, "1969-12-31T23:59:59.5Z"},
    {"2024-02-29T00:00:00Z", true, 1709164800, "2024-02-29T00:00:00Z"},
    {"2023-02-29T00:00:00Z", false, 0, NULL},
    {"2024-02-30T00:00:00Z", false, 0, NULL},
    {"2024-00-01T00:00:00Z", false, 0, NULL},
    {"2024-01-02T24:00:00Z", false, 0, NULL},
    {"2024-01-02T03:04:60Z", false, 0, NULL},
    {"2024-01-02T03:04:05", false, 0, NULL},
    {"2024-01-02T03:04:05.Z", false, 0, NULL},
    {"2024-01-02t03:04:05z", false, 0, NULL},
    {"2024-01-02T03:04:05Z ", false, 0, NULL},
    {"", false, 0, NULL},
};

TEST(rfc_3339_times)
{
    for_each_case(c, time_cases) {
        int64_t seconds = 0, ms = 0;
        int32_t ns = 0;
        CHECK_EQ(time_text_parse(str_from(c->name), &seconds, &ns), c->ok);
        CHECK_EQ(time_text_parse_ms(str_from(c->name), &ms), c->ok);
        CHECK_EQ(seconds, c->seconds);
        if (!c->ok)
            continue;
        CHECK_EQ(ms, seconds * 1000 + ns / 1000000);
        struct buf out = {0};
        time_text_print_ns(&out, seconds, ns);
        CHECK_STR(buf_str(&out), c->printed);
        buf_deinit(&out);
    }
}

TEST(calendar_days_follow_each_other)
{
    struct calendar_day last = calendar_from_days(-800000);
    for (int64_t day = -799999; day < 800000; day += 1) {
        struct calendar_day date = calendar_from_days(day);
        CHECK_EQ(calendar_to_days(date.year, date.month, date.day), day);
        bool next = date.year == last.year && date.month == last.month && date.day == last.day + 1;
        bool first = date.day == 1 && (date.month == last.month + 1 ||
                                       (date.month == 1 && date.year == last.year + 1));
        CHECK(next || first);
        last = date;
    }
}

TEST(milliseconds_before_the_epoch_print_right)
{
    struct buf out = {0};
    time_text_print_ms(&out, -1);
    CHECK_STR(buf_str(&out), "1969-12-31T23:59:59.999Z");
    buf_clear(&out);
    time_text_print_ms(&out, INT64_MIN);
    CHECK(out.len > 20);
    buf_deinit(&out);
}

TEST(ulids)
{
    struct ulid id, other;
    char text[ULID_TEXT_LEN];
    CHECK(ulid_parse(STR("01ARZ3NDEKTSV4RRFFQ69G5FAV"), &id));
    CHECK_EQ(ulid_time_ms(id), 1469922850259);
    ulid_print(id, text);
    CHECK_STR(((struct str){text, sizeof(text)}), "01ARZ3NDEKTSV4RRFFQ69G5FAV");
    CHECK(ulid_parse(STR("01arz3ndektsv4rrffq69g5fav"), &other));
    CHECK_EQ(ulid_compare(id, other), 0);
    CHECK(!ulid_parse(STR("81ARZ3NDEKTSV4RRFFQ69G5FAV"), &id));
    CHECK(!ulid_parse(STR("0!ARZ3NDEKTSV4RRFFQ69G5FAV"), &id));
    CHECK(!ulid_parse(STR("0UARZ3NDEKTSV4RRFFQ69G5FAV"), &id));
    CHECK(!ulid_parse(STR("01ARZ3NDEKTSV4RRFFQ69G5FA"), &id));
    id = ulid_make(1700000000123);
    other = ulid_make(1700000000124);
    CHECK_EQ(ulid_time_ms(id), 1700000000123);
    CHECK(ulid_compare(id, other) < 0);
    ulid_print(id, text);
    CHECK(ulid_parse((struct str){text, sizeof(text)}, &other));
    CHECK_EQ(ulid_compare(id, other), 0);
}

TEST_MAIN(TEST_ENTRY(prometheus_durations), TEST_ENTRY(go_durations),
          TEST_ENTRY(printed_durations_read_back), TEST_ENTRY(byte_sizes),
          TEST_ENTRY(rfc_3339_times), TEST_ENTRY(calendar_days_follow_each_other),
          TEST_ENTRY(milliseconds_before_the_epoch_print_right), TEST_ENTRY(ulids))
