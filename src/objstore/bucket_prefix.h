/* objstore/bucket_prefix.h: the part of a bucket below a prefix, as a bucket of its own. */
#pragma once

#include "objstore/bucket.h"

/* Takes inner. Slashes at the ends of the prefix do not count; without a prefix it is inner. */
struct bucket *bucket_prefix_create(struct bucket *inner, struct str prefix);
