/* chunk/varbit.h: integers of histogram chunks: so many ones and a zero, then the bits that this
 * prefix stands for.
 *
 *     0 | 10 + 3 | 110 + 6 | 1110 + 9 | 11110 + 12 | 111110 + 18 | 1111110 + 25 | 11111110 + 56 |
 *     11111111 + 64 */
#pragma once

#include "chunk/bits.h"

int64_t varbit_take_int(struct bit_reader *bits);
uint64_t varbit_take_uint(struct bit_reader *bits);
void varbit_put_int(struct bit_writer *bits, int64_t value);
void varbit_put_uint(struct bit_writer *bits, uint64_t value);
