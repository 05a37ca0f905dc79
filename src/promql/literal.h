/* promql/literal.h: numbers and strings of PromQL, and code points in error texts. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

enum { RUNE_BROKEN = 0xfffd };

/* As UTF-8. */
void rune_append(struct buf *out, uint32_t rune);
/* In single quotes, as Go's %q prints it. */
void rune_quote_append(struct buf *out, uint32_t rune);

/* Integers in Go's notations (0x1f, 010 is eight) or floats. ERROR_INVALID with Prometheus's text,
 * without position. */
MUST_CHECK struct error *number_parse(struct str text, double *out);

/* The content of a string token, whose escapes the lexer has checked. */
struct str string_unquote(struct str quoted, struct arena *arena);
