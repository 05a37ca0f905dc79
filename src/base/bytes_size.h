/* base/bytes_size.h: byte sizes as flags take them: "500MB", "2GiB", "1.5KiB"; both spellings count
 * in powers of 1024. */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

/* Sums of a number and a unit (B, KB to EB or KiB to EiB, one spelling in a text), or "0".
 * ERROR_INVALID; also for what does not fit 63 bits. */
MUST_CHECK struct error *bytes_size_parse(struct str text, int64_t *bytes);
/* "1GiB512MiB", "0B". */
void bytes_size_print(struct buf *out, int64_t bytes);
