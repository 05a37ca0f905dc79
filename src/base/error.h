/* base/error.h: what went wrong, as a value. NULL is success; anything else is owned by who holds
 * it.
 *
 * An error has a kind, on which programs decide (HTTP status, gRPC code, retry or stop), and a
 * text, which people read. Each layer puts what it was doing in front: "open block X: read index:
 * unexpected end". */
#pragma once

#include <stddef.h>

#include "base/compiler.h"
#include "base/str.h"

enum error_kind {
    ERROR_NONE,
    ERROR_INVALID, /* the caller's fault */
    ERROR_NOT_FOUND,
    ERROR_CONFLICT,
    ERROR_QUERY,       /* cannot be evaluated on this data */
    ERROR_LIMIT,       /* over a budget or a limit */
    ERROR_BUSY,        /* too much at once: retry later */
    ERROR_UNAVAILABLE, /* a peer does not answer */
    ERROR_TIMEOUT,
    ERROR_CANCELLED,
    ERROR_CORRUPT,  /* stored or received bytes are wrong */
    ERROR_INTERNAL, /* ours */
};

struct error;

struct error *error_create(enum error_kind kind, const char *format, ...)
    PRINTF_LIKE(2, 3) MUST_CHECK;

/* Puts "<format>: " in front of the text and keeps the kind. Takes err, gives it back; NULL stays
 * NULL. */
struct error *error_wrap(struct error *err, const char *format, ...) PRINTF_LIKE(2, 3) MUST_CHECK;

/* The same error with another kind. Takes err, gives it back. */
struct error *error_as(struct error *err, enum error_kind kind) MUST_CHECK;

/* A copy, for handing one failure to several waiters. NULL gives NULL. */
struct error *error_copy(const struct error *err) MUST_CHECK;

enum error_kind error_kind(const struct error *err); /* ERROR_NONE for NULL */
struct str error_text(const struct error *err);      /* lives as long as err; empty for NULL */
const char *error_kind_name(enum error_kind kind);   /* "invalid", "not found", ... */

void error_free(struct error *err); /* NULL is fine */

/* Keeps the first error: stores err in *first when that is NULL, else frees it. */
void error_keep_first(struct error **first, struct error *err);
