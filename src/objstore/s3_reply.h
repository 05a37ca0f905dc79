/* objstore/s3_reply.h: what S3 answers: XML documents, and errors. Pure functions. */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include "objstore/bucket.h"

struct s3_page {                  /* of a list; in the arena */
    struct bucket_entry *entries; /* objects, and prefixes that end with "/"; by key */
    size_t count;
    bool is_truncated;
    struct str next; /* token (version 2) or marker (version 1) of the next page */
};

/* ListBucketResult of either version; keys as they are, for servers do not agree how to encode
 * them. ERROR_CORRUPT. */
MUST_CHECK struct error *s3_page_parse(struct str xml, struct arena *arena, struct s3_page *out);
/* The text of one element, wherever it stands; empty when it is not there. ERROR_CORRUPT. */
MUST_CHECK struct error *s3_find_text(struct str xml, struct str element, struct arena *arena,
                                      struct str *out);

/* The error that a status other than 2xx stands for, with the code and message of the body. */
MUST_CHECK struct error *s3_error(int status, struct str body, struct str method, struct str key);
/* Whether another try may help. */
bool s3_status_is_retryable(int status, struct str body);
