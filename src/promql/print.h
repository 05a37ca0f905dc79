/* promql/print.h: the canonical text of an expression, as Prometheus prints it; parsing it gives an
 * equal tree. */
#pragma once

#include "base/buf.h"
#include "promql/ast.h"

void expr_print(struct buf *out, const struct expr *expr);
/* " on (a) group_left (b)": empty for a plain one-to-one match. */
void vector_matching_print(struct buf *out, const struct vector_matching *matching,
                           bool unquoted_names);

/* Parts of it, for other layouts: "sum by (a) ", "== bool on (a)", "[1h:1m] offset 5m". */
void aggregate_print_head(struct buf *out, const struct expr *expr);
void binary_print_operator(struct buf *out, const struct expr *expr);
void subquery_print_suffix(struct buf *out, const struct expr *expr);
