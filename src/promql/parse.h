/* promql/parse.h: text to AST. Accepts what Prometheus's parser accepts and refuses in its words.
 * Time is linear in the text, depth and length are bounded. Reentrant. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "model/labels.h"
#include "model/matcher.h"
#include "promql/ast.h"
#include "promql/options.h"

enum {
    PROMQL_TEXT_MAX = 1 << 20, /* bytes */
    PROMQL_DEPTH_MAX = 1000,   /* of nested expressions */
};

/* Of all functions here: options NULL is none of them.
 *
 * The text must outlive the result only for positions: names and strings are copied. Fails with
 * ERROR_INVALID, text as Prometheus's: "1:5: parse error: unexpected ...". */
MUST_CHECK struct error *promql_parse(struct str text, const struct parse_options *options,
                                      struct arena *arena, struct expr **out);

/* A selector alone, as in match[]: matchers that all match the empty value are fine here. */
MUST_CHECK struct error *promql_parse_selector(struct str text, const struct parse_options *options,
                                               struct arena *arena, struct matcher **matchers,
                                               size_t *count);

/* A metric: name{a="b"}. */
MUST_CHECK struct error *promql_parse_metric(struct str text, const struct parse_options *options,
                                             struct arena *arena, struct labels *out);

/* "line:column" of a position, both from 1 on, the column in bytes. */
void promql_position_print(struct buf *out, struct str text, struct position position);
