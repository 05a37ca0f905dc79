#include "support/test.h"

#include "chunk/bits.h"
#include "chunk/varbit.h"

enum { NUMBERS = 400 };

struct number {
    uint64_t value;
    unsigned bits; /* 0: unsigned varbit, 65: signed varbit, 66: uvarint */
};

static struct number random_number(uint64_t *seed)
{
    struct number number = {test_random(seed), (unsigned)test_random_below(seed, 67)};
    number.value >>= test_random_below(seed, 64);
    if (test_random_below(seed, 4) == 0)
        number.value = (uint64_t)1 << test_random_below(seed, 64);
    if (number.bits == 65 && test_random_below(seed, 2))
        number.value = -number.value + test_random_below(seed, 2);
    if (number.bits > 0 && number.bits < 64)
        number.value &= ((uint64_t)1 << number.bits) - 1;
    return number;
}

static void put(struct bit_writer *writer, struct number number)
{
    if (number.bits == 0)
        varbit_put_uint(writer, number.value);
    else if (number.bits == 65)
        varbit_put_int(writer, (int64_t)number.value);
    else if (number.bits == 66)
        bits_put_uvarint(writer, number.value);
    else
        bits_put(writer, number.value, number.bits);
}

static uint64_t take(struct bit_reader *reader, unsigned bits)
{
    if (bits == 0)
        return varbit_take_uint(reader);
    if (bits == 65)
        return (uint64_t)varbit_take_int(reader);
    return bits == 66 ? bits_take_uvarint(reader) : bits_take(reader, bits);
}

TEST(what_is_written_is_read_back)
{
    uint64_t seed = test_seed();
    struct buf buf = {0};
    for (int round = 0; round < 500; round++) {
        struct number numbers[NUMBERS];
        size_t count = 1 + test_random_below(&seed, NUMBERS - 1);
        struct bit_writer writer = {.out = &buf};
        buf_clear(&buf);
        for (size_t i = 0; i < count; i++) {
            numbers[i] = random_number(&seed);
            put(&writer, numbers[i]);
        }
        bits_end(&writer);
        struct bit_reader reader = bits_read(buf_bytes(&buf));
        for (size_t i = 0; i < count; i++)
            CHECK_EQ(take(&reader, numbers[i].bits), numbers[i].value);
        CHECK(bits_ok(&reader));
        CHECK(bits_left(&reader) < 8);
        CHECK_EQ(bits_position(&reader) + bits_left(&reader), buf.len * 8);
        (void)bits_take(&reader, 8);
        CHECK(!bits_ok(&reader));
        CHECK_EQ(bits_left(&reader), 0);
    }
    buf_deinit(&buf);
}

TEST(nothing_can_be_read_from_nothing)
{
    struct bit_reader reader = bits_read((struct bytes){NULL, 0});
    CHECK(bits_ok(&reader));
    CHECK_EQ(bits_take(&reader, 64), 0);
    CHECK(!bits_ok(&reader));
    static const uint8_t endless[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                      0xff, 0xff, 0xff, 0xff, 0xff, 0x01};
    reader = bits_read((struct bytes){endless, sizeof(endless)});
    CHECK_EQ(bits_take_uvarint(&reader), 0);
    CHECK(!bits_ok(&reader));
}

TEST_MAIN(TEST_ENTRY(what_is_written_is_read_back), TEST_ENTRY(nothing_can_be_read_from_nothing))
