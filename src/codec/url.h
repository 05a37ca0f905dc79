/* codec/url.h: percent encoding, forms and paths, as Go's net/url and path packages treat them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

/* ERROR_INVALID "invalid URL escape \"%zz\"". A text without escapes is given back as it is, others
 * live in the arena. The result is bytes: UTF-8 is not checked. */
MUST_CHECK struct error *url_decode_query(struct arena *arena, struct str text,
                                          struct str *out); /* '+' is a space */
MUST_CHECK struct error *url_decode_path(struct arena *arena, struct str text, struct str *out);
void url_encode_query(struct buf *out, struct str text); /* as QueryEscape: a space is '+' */
void url_encode_path(struct buf *out, struct str text);  /* as PathEscape: one segment, '/' too */

struct url_param {
    struct str name, value;
};

enum { URL_PARAMS_MAX = 10000 };

/* Parses a query or form (a=b&c=d). As in Go, pairs that cannot be decoded are left out, the others
 * are given all the same, and the first error is returned: ERROR_INVALID for those, ERROR_LIMIT for
 * more than URL_PARAMS_MAX. params lives in the arena. */
MUST_CHECK struct error *url_parse_form(struct arena *arena, struct str text,
                                        struct url_param **params, size_t *count);
/* Appends name=value, with '&' in front when out is not empty. */
void url_append_param(struct buf *out, struct str name, struct str value);

/* Shortest equal path: no "//", no "." and "..", never above the root; "" is "/" and a slash at the
 * end is kept. */
struct str url_clean_path(struct arena *arena, struct str path);
