/* runtime/warnings.h: texts for the user, as a set in order of arrival. What context.h collects.
 * Thread-safe. */
#pragma once

#include <stddef.h>

#include "base/str.h"

struct warnings;

/* At most max texts are kept, each cut to max_bytes. */
struct warnings *warnings_create(size_t max, size_t max_bytes);
void warnings_free(struct warnings *warnings); /* NULL is fine */

void warnings_add(struct warnings *warnings, struct str text);
size_t warnings_count(struct warnings *warnings);
/* 0 <= at < warnings_count(); lives as long as warnings. */
struct str warnings_at(struct warnings *warnings, size_t at);
