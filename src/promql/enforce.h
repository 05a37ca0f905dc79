/* promql/enforce.h: restricts an expression to series that have one label value. */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "promql/ast.h"

/* In every selector `name="value"` takes the place of whatever is asked of that label. Before
 * anything else reads the tree, whose arena is given. */
MUST_CHECK struct error *expr_enforce(struct expr *expr, struct str name, struct str value,
                                      struct arena *arena);

/* The same for a list of matchers; the result is a new list in the arena. */
MUST_CHECK struct error *matchers_enforce(const struct matcher *matchers, size_t count,
                                          struct str name, struct str value, struct arena *arena,
                                          struct matcher **out, size_t *out_count);
