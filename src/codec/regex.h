/* codec/regex.h: Go's regular expressions (RE2's syntax and engine, linear time), used as
 * Prometheus uses them: the whole text must match, and '.' matches a newline too. Immutable once
 * compiled: safe from any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

struct regex;

enum { REGEX_TEXT_MAX = 1 << 20, REGEX_GROUPS_MAX = 100 };

/* ERROR_INVALID with RE2's text for a bad or too large expression. */
MUST_CHECK struct error *regex_compile(struct str text, struct regex **out);
void regex_free(struct regex *regex); /* NULL is fine */
struct str regex_text(const struct regex *regex);

/* Whether it matches all of the text. */
bool regex_matches(const struct regex *regex, struct str text);
/* Whether it matches somewhere in the text. */
bool regex_finds(const struct regex *regex, struct str text);

/* Number of groups, without the whole. */
size_t regex_group_count(const struct regex *regex);
/* Like regex_matches(); groups[0] is the whole text, groups[i] the i-th group, with data NULL where
 * it took no part. At most `max` are filled, up to REGEX_GROUPS_MAX. */
bool regex_match_groups(const struct regex *regex, struct str text, struct str *groups, size_t max);
/* Appends the template with $1, ${1}, $name, ${name} and $$ replaced as Go's Expand does; groups as
 * filled above. */
void regex_expand(const struct regex *regex, struct str template_text, const struct str *groups,
                  size_t count, struct buf *out);

/* What can be known without running it, of plain cases only.
 * The texts of an expression that is nothing but alternatives of plain text (a|b\.c|d), sorted and
 * unique, in the arena; NULL and 0 for others. */
void regex_set(const struct regex *regex, struct arena *arena, const struct str **items,
               size_t *count);
/* The plain text with which every match begins; may be empty. In the arena. */
struct str regex_prefix(const struct regex *regex, struct arena *arena);
bool regex_matches_all(const struct regex *regex); /* .* and its like: matches any text */
