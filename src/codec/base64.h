/* codec/base64.h: base 64 as Go's StdEncoding and URLEncoding, with padding, and their raw forms
 * without. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"

enum base64_kind { BASE64_STANDARD, BASE64_URL, BASE64_STANDARD_RAW, BASE64_URL_RAW };

void base64_encode(struct buf *out, struct bytes in, enum base64_kind kind);
/* Appends; line breaks in the text are skipped. False, with out as it was, for anything else. */
bool base64_decode(struct buf *out, struct str text, enum base64_kind kind);
