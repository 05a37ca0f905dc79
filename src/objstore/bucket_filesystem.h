/* objstore/bucket_filesystem.h: a directory as a bucket: keys are paths below it. */
#pragma once

#include "objstore/bucket.h"

struct pool;

/* The directory need not exist yet. files: where several reads run at once; NULL: one after
 * another. */
MUST_CHECK struct error *bucket_filesystem_create(struct str directory, struct pool *files,
                                                  struct bucket **out);
