/* base/time_text.h: points in time as RFC 3339 text, UTC. No time zones beyond numeric offsets. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

/* What Go's time.Parse(RFC3339Nano) takes: years 0000 to 9999, 'T' and 'Z' in capitals, any number
 * of digits of a fraction (beyond nanoseconds they are cut off), numeric offsets. seconds are since
 * the epoch, ns from 0 to 999999999. */
bool time_text_parse(struct str text, int64_t *seconds, int32_t *ns);
/* The same in milliseconds, rounded down. */
bool time_text_parse_ms(struct str text, int64_t *ms);

/* "2024-01-02T03:04:05.678Z": fraction without trailing zeros, none when it is zero (Go's
 * RFC3339Nano). Times outside of years 0 to 9999 get as many digits and signs as they need. */
void time_text_print_ms(struct buf *out, int64_t ms);
void time_text_print_ns(struct buf *out, int64_t seconds, int32_t ns);

/* Calendar of a day number since 1970-01-01 (proleptic Gregorian). */
struct calendar_day {
    int64_t year;
    int month, day; /* from 1 */
};
struct calendar_day calendar_from_days(int64_t days);
int64_t calendar_to_days(int64_t year, int month, int day);
