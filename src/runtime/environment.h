/* runtime/environment.h: references to environment variables in texts. */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

/* Appends the text with each $(NAME), NAME of letters, digits and "_", replaced by the variable's
 * value. ERROR_INVALID "found reference to unset environment variable "X"". */
MUST_CHECK struct error *environment_expand(struct str text, struct buf *out);
