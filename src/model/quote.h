/* model/quote.h: text in double quotes, with the escapes of Go's strconv.Quote, in which Prometheus
 * prints label values. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

/* Appends "s": \a \b \f \n \r \t \v \\ \", \xNN for other control and broken bytes, \uNNNN and
 * \UNNNNNNNN for what does not print. */
void quote_append(struct buf *out, struct str s);

/* Whether Go prints a code point as it is. */
bool rune_is_printable(uint32_t rune);
/* Of any script: Go's unicode.IsLetter. */
bool rune_is_letter(uint32_t rune);
