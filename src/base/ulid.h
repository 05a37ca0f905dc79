/* base/ulid.h: sortable identifiers of blocks and requests: 48 bits of milliseconds, 80 random
 * bits, as 26 letters of Crockford's base 32. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum { ULID_TEXT_LEN = 26 };

struct ulid {
    uint8_t bytes[16]; /* big-endian: memcmp is their order */
};

/* From a time (ms since the epoch, >= 0) and random bytes of the system. */
struct ulid ulid_make(int64_t time_ms);
int64_t ulid_time_ms(struct ulid id);

/* 26 letters in any case; false for others and for those over 128 bits. */
bool ulid_parse(struct str text, struct ulid *out);
void ulid_print(struct ulid id, char out[ULID_TEXT_LEN]); /* no NUL */
int ulid_compare(struct ulid a, struct ulid b);
