/* model/matcher.h: label matchers: name =, !=, =~, !~ value. Regular expressions are Go's (RE2),
 * fully anchored. Immutable once made; safe to use from any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "model/labels.h"

enum match_op {
    MATCH_EQUAL,
    MATCH_NOT_EQUAL,
    MATCH_REGEX,
    MATCH_NOT_REGEX
}; /* numbers of the wire */

struct regex;

struct matcher {
    enum match_op op;
    struct str name, value;
    struct regex *regex; /* of the two regex ops; compiled once, freed with the arena */
    const struct str
        *set; /* the alternatives, sorted, when the expression is a plain a|b|c; else NULL */
    size_t set_count;
    struct str prefix; /* literal beginning of every match, may be empty */
    bool any;          /* a regular expression that matches every value */
};

/* Copies name and value into the arena. ERROR_INVALID with RE2's text for a bad expression. */
MUST_CHECK struct error *matcher_create(struct arena *arena, enum match_op op, struct str name,
                                        struct str value, struct matcher *out);

/* Whether a value (empty: the label is absent) satisfies it. */
bool matcher_matches(const struct matcher *matcher, struct str value);
bool matchers_match(const struct matcher *matchers, size_t count,
                    struct labels labels); /* all of them */
bool matcher_matches_empty(const struct matcher *matcher);

const char *match_op_text(enum match_op op); /* "=", "!=", "=~", "!~" */
/* name="value" as Prometheus prints it (value quoted like Go's %q, names that are not plain quoted
 * as well). */
void matcher_print(struct buf *out, const struct matcher *matcher);
/* {a="b",c=~"d"} */
void matchers_print(struct buf *out, const struct matcher *matchers, size_t count);
