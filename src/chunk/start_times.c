#include "chunk/start_times.h"

#include "chunk/varbit.h"
#include "codec/varint.h"

void start_reader_next(struct start_reader *reader, struct bit_reader *bits, size_t at,
                       uint64_t time, uint64_t time_before)
{
    unsigned first_change = reader->head & 0x7f;
    if (at == 0) {
        if (reader->head & 0x80)
            reader->start = time - (uint64_t)zigzag_decode(bits_take_uvarint(bits));
        return;
    }
    if (first_change == 0 || at < first_change)
        return;
    uint64_t change = (uint64_t)varbit_take_int(bits);
    reader->back = at == first_change ? change : reader->back + change;
    reader->start = time_before - reader->back;
}
