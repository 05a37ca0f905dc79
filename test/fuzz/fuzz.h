/* What every fuzz target has: called with bytes that nobody has looked at. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold for any input. */
#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "not true: %s (%s:%d)\n", #condition, __FILE__, __LINE__);             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)
