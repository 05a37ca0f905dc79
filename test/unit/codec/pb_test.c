#include "codec/pb.h"

#include <math.h>

#include "support/test.h"

TEST(varints_have_the_size_they_are_written_with)
{
    uint64_t seed = test_seed();
    for (int i = 0; i < 2000; i++) {
        uint64_t value = test_random(&seed) >> test_random_below(&seed, 64), got;
        uint8_t bytes[VARINT_MAX];
        size_t len = varint_encode(bytes, value);
        CHECK_EQ(len, varint_size(value));
        CHECK_EQ(varint_decode(bytes, len, &got), len);
        CHECK_EQ(got, value);
        CHECK_EQ(varint_decode(bytes, len - 1, &got), 0);
        CHECK_EQ(zigzag_decode(zigzag_encode((int64_t)value)), (int64_t)value);
    }
    CHECK_EQ(varint_size(0), 1);
    CHECK_EQ(varint_size(UINT64_MAX), 10);
}

static void write_message(struct buf *out)
{
    pb_put_uint64(out, 1, 300);
    pb_put_int64(out, 2, -5);
    pb_put_sint64(out, 3, -5);
    pb_put_double(out, 4, -0.5);
    pb_put_str(out, 5, STR("text"));
    pb_put_bool(out, 6, true);
    pb_put_fixed32(out, 7, 0xdeadbeef);
    pb_put_fixed64(out, 8, 1);
    pb_put_packed_sint64(out, 9, (const int64_t[]){1, -1, INT64_MIN}, 3);
    pb_put_packed_double(out, 10, (const double[]){1, NAN}, 2);
    size_t mark = pb_begin(out, 11, 0);
    pb_put_str(out, 1, STR("inner"));
    pb_end(out, mark);
    pb_put_uint64(out, 12, 0); /* left out */
    pb_put_uint64_always(out, 13, 0);
}

TEST(what_is_written_is_read_back)
{
    struct buf out = {0};
    write_message(&out);
    struct pb_reader reader = pb_read(buf_bytes(&out));
    unsigned seen = 0;
    while (pb_next(&reader)) {
        seen |= 1u << reader.field;
        switch (reader.field) {
        case 1:
            CHECK_EQ(pb_uint64(&reader), 300);
            break;
        case 2:
            CHECK_EQ(pb_int64(&reader), -5);
            break;
        case 3:
            CHECK_EQ(pb_sint64(&reader), -5);
            break;
        case 4:
            CHECK_DOUBLE(pb_double(&reader), -0.5);
            break;
        case 5:
            CHECK_STR(pb_str(&reader), "text");
            break;
        case 6:
            CHECK(pb_bool(&reader));
            break;
        case 7:
            CHECK_EQ(pb_fixed32(&reader), 0xdeadbeef);
            break;
        case 9: {
            static const int64_t want[] = {1, -1, INT64_MIN};
            struct pb_reader values = pb_repeated(&reader, PB_VARINT);
            for (size_t i = 0; pb_more(&values); i++)
                CHECK_EQ(pb_sint64(&values), want[i]);
            pb_join(&reader, &values);
            break;
        }
        case 11: {
            struct pb_reader inner = pb_read(pb_bytes(&reader));
            CHECK(pb_next(&inner));
            CHECK_STR(pb_str(&inner), "inner");
            CHECK(!pb_next(&inner));
            break;
        }
        case 13:
            CHECK_EQ(pb_uint64(&reader), 0);
            break;
        default:
            pb_skip(&reader);
        }
    }
    CHECK_OK(pb_error(&reader, "message"));
    CHECK_EQ(seen, 0x2ffe);
    buf_deinit(&out);
}

TEST(nested_lengths_are_right_whatever_was_expected)
{
    static const size_t sizes[] = {0, 1, 127, 128, 16383, 16384, 70000};
    static const size_t guesses[] = {0, 1, 128, 20000, 3000000};
    for (size_t i = 0; i < countof(sizes); i++) {
        for (size_t j = 0; j < countof(guesses); j++) {
            struct buf out = {0};
            size_t mark = pb_begin(&out, 3, guesses[j]);
            for (size_t n = 0; n < sizes[i]; n++)
                buf_append_byte(&out, (uint8_t)n);
            pb_end(&out, mark);
            CHECK_EQ(out.len, pb_size_length(3, sizes[i]));
            struct pb_reader reader = pb_read(buf_bytes(&out));
            CHECK(pb_next(&reader));
            struct bytes inner = pb_bytes(&reader);
            CHECK_EQ(inner.len, sizes[i]);
            for (size_t n = 0; n < sizes[i]; n++)
                CHECK_EQ(inner.data[n], (uint8_t)n);
            buf_deinit(&out);
        }
    }
}

TEST(unpacked_numbers_read_like_packed_ones)
{
    struct buf out = {0};
    pb_put_uint64_always(&out, 2, 7);
    pb_put_packed_uint64(&out, 2, (const uint64_t[]){8, 300}, 2);
    struct pb_reader reader = pb_read(buf_bytes(&out));
    uint64_t sum = 0;
    while (pb_next(&reader)) {
        struct pb_reader values = pb_repeated(&reader, PB_VARINT);
        while (pb_more(&values))
            sum += pb_uint64(&values);
        pb_join(&reader, &values);
    }
    CHECK_OK(pb_error(&reader, "numbers"));
    CHECK_EQ(sum, 315);
    buf_deinit(&out);
}

static const struct {
    const char *name;
    const char *bytes;
    size_t len;
    const char *want;
} bad_cases[] = {
    {"value is missing", "\x08", 1, "unexpected end"},
    {"length beyond the end", "\x0a\x05xx", 4, "unexpected end"},
    {"huge length", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, "unexpected end"},
    {"field 0", "\x00\x01", 2, "illegal field number"},
    {"wire type 6", "\x0e\x01", 2, "illegal wire type"},
    {"number of 11 bytes", "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12, "64 bits"},
    {"group without end", "\x0b\x10\x01", 3, "unexpected end"},
    {"end without group", "\x0c", 1, "end of a group"},
    {"fixed64 cut",
     "\x09"
     "1234567",
     8, "unexpected end"},
};

TEST(broken_messages_fail_with_a_reason)
{
    for_each_case(c, bad_cases) {
        struct pb_reader reader = pb_read((struct bytes){(const uint8_t *)c->bytes, c->len});
        while (pb_next(&reader))
            pb_skip(&reader);
        CHECK_ERROR_TEXT(pb_error(&reader, "message"), ERROR_CORRUPT, c->want);
    }
}

TEST(groups_are_skipped)
{
    const char *bytes = "\x0b\x10\x01\x13\x14\x0c\x18\x05";
    struct pb_reader reader = pb_read((struct bytes){(const uint8_t *)bytes, 8});
    CHECK(pb_next(&reader));
    pb_skip(&reader);
    CHECK(pb_next(&reader));
    CHECK_EQ(reader.field, 3);
    CHECK_EQ(pb_uint64(&reader), 5);
}

TEST(a_wrong_wire_type_is_a_failure)
{
    struct pb_reader reader = pb_read((struct bytes){(const uint8_t *)"\x08\x01", 2});
    CHECK(pb_next(&reader));
    CHECK_EQ(pb_str(&reader).len, 0);
    CHECK(!pb_next(&reader));
    CHECK_ERROR_TEXT(pb_error(&reader, "x"), ERROR_CORRUPT, "x: wrong wire type");
}

TEST(a_refused_buffer_drops_fields_quietly)
{
    struct budget *budget = budget_create(NULL, "test", 300);
    struct buf out = BUF_INIT(budget);
    size_t mark = pb_begin(&out, 1, 0);
    for (int i = 0; i < 200; i++)
        pb_put_str(&out, 2, STR("some text"));
    pb_end(&out, mark);
    CHECK_ERROR(buf_status(&out), ERROR_LIMIT);
    buf_deinit(&out);
    budget_free(budget);
}

TEST_MAIN(TEST_ENTRY(varints_have_the_size_they_are_written_with),
          TEST_ENTRY(what_is_written_is_read_back),
          TEST_ENTRY(nested_lengths_are_right_whatever_was_expected),
          TEST_ENTRY(unpacked_numbers_read_like_packed_ones),
          TEST_ENTRY(broken_messages_fail_with_a_reason), TEST_ENTRY(groups_are_skipped),
          TEST_ENTRY(a_wrong_wire_type_is_a_failure),
          TEST_ENTRY(a_refused_buffer_drops_fields_quietly))
