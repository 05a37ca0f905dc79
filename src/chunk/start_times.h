/* chunk/start_times.h: start times of samples, in the chunks that carry them (XOR2, histograms with
 * start times). They follow their sample's bits; a byte of the chunk's head says which samples have
 * one:
 *
 *     bit 7: sample 0 does, as a varint: its time - its start
 *     bits 6-0: the first later sample whose start differs; from there on each has a varbit: the
 *               time before - its start for the first of them, then the change of that
 *
 * A sample without one has the start of the sample before it; 0 is none. */
#pragma once

#include "chunk/bits.h"

struct start_reader {
    uint8_t head;
    uint64_t start, back; /* back: what was subtracted from a time last */
};

/* Reads what follows sample number `at`. */
void start_reader_next(struct start_reader *reader, struct bit_reader *bits, size_t at,
                       uint64_t time, uint64_t time_before);
