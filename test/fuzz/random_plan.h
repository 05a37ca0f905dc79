/* A query made of the choices in a fuzz input: whatever the bytes are, it parses, or nearly always.
 * Every function of the table, operator, aggregation and modifier can be reached. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* Appends the text. Metrics are those of engine_fuzz.c. */
void random_plan(const uint8_t *choices, size_t count, struct buf *out);
