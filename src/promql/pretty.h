/* promql/pretty.h: an expression over several lines, as Prometheus formats it: what does not fit
 * into 100 bytes is broken, its parts indented by two blanks a level. Parsing it gives an equal
 * tree. Time is linear in the size of the tree and of the output. */
#pragma once

#include "base/buf.h"
#include "promql/ast.h"

void expr_print_pretty(struct buf *out, const struct expr *expr);
