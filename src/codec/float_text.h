/* codec/float_text.h: floats as text, digit for digit as Go's strconv prints and reads them: the
 * fewest digits that read back as the same number. NaN is "NaN", infinities "+Inf" and "-Inf".
 * Independent of the locale. Thread-safe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/str.h"

enum float_format {
    FLOAT_PLAIN,    /* 'f': never an exponent: 100000000000000000000 */
    FLOAT_EXPONENT, /* 'e': always one, of two digits or more: 1e+20 */
    FLOAT_GENERAL,  /* 'g', also Go's %v: as plain from 1e-4 to below 1e6, else with one */
    FLOAT_JSON,     /* Prometheus's API: 'f', but 'e' below 1e-6 and from 1e21 on */
};

enum { FLOAT_TEXT_MAX = 352 }; /* bytes of the longest text */

/* Writes the text, without NUL, and gives its length. */
size_t float_text(char out[FLOAT_TEXT_MAX], double value, enum float_format format);
void float_append(struct buf *out, double value, enum float_format format);

enum float_parse {
    FLOAT_OK,
    FLOAT_SYNTAX, /* not a float; *out is 0 */
    FLOAT_RANGE,  /* too large: *out is an infinity; too small is zero and FLOAT_OK */
};

/* All of the text as strconv.ParseFloat reads it: decimal, hexadecimal (with its 'p' exponent),
 * underscores between digits, inf, infinity and nan in any case. */
enum float_parse float_parse(struct str text, double *out);
/* The same as a yes or no; FLOAT_RANGE is no. */
bool float_from_str(struct str text, double *out);
