/* codec/regex_re2.h: RE2 as C functions, for regex.c only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/str.h"

struct regex_re2;

/* The text in RE2's own syntax. */
MUST_CHECK struct error *regex_re2_compile(struct str text, struct regex_re2 **out);
void regex_re2_free(struct regex_re2 *regex);
/* groups[0..count) as in regex_match_groups(); count may be 0. */
bool regex_re2_match(const struct regex_re2 *regex, struct str text, bool whole, struct str *groups,
                     size_t count);
size_t regex_re2_group_count(const struct regex_re2 *regex);
/* Number of the group with that name, 0: none. */
size_t regex_re2_group_named(const struct regex_re2 *regex, struct str name);
