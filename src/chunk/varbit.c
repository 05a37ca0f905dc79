#include "chunk/varbit.h"

#include "base/compiler.h"

static const uint8_t sizes[] = {0, 3, 6, 9, 12, 18, 25, 56, 64};

/* Takes the prefix and gives the number of bits that follow it. */
static unsigned take_prefix(struct bit_reader *bits)
{
    bits_fill(bits);
    unsigned ones = (unsigned)__builtin_clzll(~bits->word | 1);
    if (ones >= 8) {
        bits_skip(bits, 8);
        return 64;
    }
    bits_skip(bits, ones + 1);
    return sizes[ones];
}

int64_t varbit_take_int(struct bit_reader *bits)
{
    unsigned size = take_prefix(bits);
    return size ? bits_signed(bits_take(bits, size), size) : 0;
}

uint64_t varbit_take_uint(struct bit_reader *bits)
{
    unsigned size = take_prefix(bits);
    return size ? bits_take(bits, size) : 0;
}

/* The prefix of as many ones as the place in `sizes`, then the value. */
static void put_sized(struct bit_writer *bits, unsigned place, uint64_t value)
{
    if (place == 8)
        bits_put(bits, 0xff, 8);
    else
        bits_put(bits, ((1u << place) - 1) << 1, place + 1);
    if (place)
        bits_put(bits, value, sizes[place]);
}

void varbit_put_int(struct bit_writer *bits, int64_t value)
{
    unsigned place = value == 0 ? 0 : 1;
    while (place > 0 && place < 8) {
        int64_t most = (int64_t)1 << (sizes[place] - 1);
        if (value > -most && value <= most)
            break;
        place++;
    }
    put_sized(bits, place, (uint64_t)value);
}

void varbit_put_uint(struct bit_writer *bits, uint64_t value)
{
    unsigned place = value == 0 ? 0 : 1;
    while (place > 0 && place < 8 && value >> sizes[place])
        place++;
    put_sized(bits, place, value);
}
