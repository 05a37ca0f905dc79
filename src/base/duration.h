/* base/duration.h: durations as text: Prometheus's ("1h30m", whole units from years to
 * milliseconds), in milliseconds, and Go's ("1h30m0.5s", fractions, hours to nanoseconds), in
 * nanoseconds. */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

/* Each of y w d h m s ms at most once and in this order, no sign, no fraction; or "0".
 * ERROR_INVALID. */
MUST_CHECK struct error *duration_parse(struct str text, int64_t *ms);
/* "1h30m", "0s"; years and weeks only where nothing is left over. */
void duration_print(struct buf *out, int64_t ms);

/* As Go's time.ParseDuration: sign, fractions, units h m s ms us ns in any order. ERROR_INVALID. */
MUST_CHECK struct error *duration_parse_go(struct str text, int64_t *ns);
/* As Go prints it: "2m0s", "1.5ms", "0s". */
void duration_print_go(struct buf *out, int64_t ns);
