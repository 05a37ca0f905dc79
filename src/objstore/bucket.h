/* objstore/bucket.h: a bucket of objects, whatever keeps it. Keys are texts with "/" between their
 * parts; objects appear complete or not at all, and are replaced as a whole. Calls wait for their
 * outcome and are thread-safe; they fail with ERROR_CANCELLED or ERROR_TIMEOUT when ctx ends.
 *
 * Kinds of errors: NOT_FOUND (no such object); UNAVAILABLE, BUSY and TIMEOUT (worth another try
 * later; a provider has tried again already where it may help); INVALID (the configuration, or
 * access is denied); LIMIT (larger than asked for); CORRUPT (lengths or checksums do not fit). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

struct bucket;
struct context;
struct file_writer;

#define BUCKET_TO_END UINT64_MAX

struct bucket_read {
    struct str key;
    uint64_t offset, length; /* length BUCKET_TO_END: what is there behind offset */
    struct buf out;          /* set up by the caller, whose it stays: bytes are appended */
    struct error *err;       /* this read's own outcome; the caller's */
};

struct bucket_attributes {
    uint64_t size;
    int64_t modified_ms;
};

struct bucket_entry {
    struct str key;      /* whole, from the bucket's root; ends with "/" when others lie below it */
    int64_t modified_ms; /* 0: not told */
    uint64_t size;       /* 0: not told */
};

enum bucket_listing {
    LIST_ONE_LEVEL, /* what lies directly below the prefix */
    LIST_ALL,       /* all objects below it */
};

/* What is put: next() gives the content piece by piece, an empty piece at the end; a piece lives
 * until the next call. rewind() begins again, for a second try; NULL: there is none. */
struct bucket_source {
    struct error *(*next)(struct bucket_source *source, struct bytes *piece);
    struct error *(*rewind)(struct bucket_source *source);
    uint64_t size; /* BUCKET_TO_END: not known before */
};

/* ERROR_*: ends the listing with it. */
typedef struct error *(*bucket_list_fn)(void *self, const struct bucket_entry *entry);

struct bucket_ops {
    /* All at the same time, as far as the provider's limits allow. A range that begins behind the
     * end gives nothing; one that ends behind it is cut. Each read gets its outcome. */
    void (*read)(struct bucket *bucket, struct context *ctx, struct bucket_read *reads,
                 size_t count);
    /* Below a prefix that is empty or ends with "/", in the order of keys. A prefix that is not
     * there is empty. */
    struct error *(*list)(struct bucket *bucket, struct context *ctx, struct str prefix,
                          enum bucket_listing listing, bucket_list_fn each, void *self);
    struct error *(*attributes)(struct bucket *bucket, struct context *ctx, struct str key,
                                struct bucket_attributes *out);
    struct error *(*put)(struct bucket *bucket, struct context *ctx, struct str key,
                         struct bucket_source *source);
    /* One that is not there is ERROR_NOT_FOUND where the provider tells, else success. */
    struct error *(*remove)(struct bucket *bucket, struct context *ctx, struct str key);
    void (*free)(struct bucket *bucket);
};

struct bucket {
    const struct bucket_ops *ops;
    struct str name; /* as Thanos's metrics call it: "fs: /data", the S3 bucket's name */
    struct str type; /* "FILESYSTEM", "S3" */
};

void bucket_free(struct bucket *bucket); /* NULL is fine */

/* Several reads at once; the first error of all, which the reads then lack. */
void bucket_read_each(struct bucket *bucket, struct context *ctx, struct bucket_read *reads,
                      size_t count);
MUST_CHECK struct error *bucket_read_all(struct bucket *bucket, struct context *ctx,
                                         struct bucket_read *reads, size_t count);
/* One range, appended to out; max bytes at most, else ERROR_LIMIT. */
MUST_CHECK struct error *bucket_get_range(struct bucket *bucket, struct context *ctx,
                                          struct str key, uint64_t offset, uint64_t length,
                                          struct buf *out);
/* A whole object of max bytes at most, appended to out; ERROR_LIMIT for a longer one. */
MUST_CHECK struct error *bucket_get(struct bucket *bucket, struct context *ctx, struct str key,
                                    size_t max, struct buf *out);
MUST_CHECK struct error *bucket_list(struct bucket *bucket, struct context *ctx, struct str prefix,
                                     enum bucket_listing listing, bucket_list_fn each, void *self);
MUST_CHECK struct error *bucket_attributes(struct bucket *bucket, struct context *ctx,
                                           struct str key, struct bucket_attributes *out);
MUST_CHECK struct error *bucket_exists(struct bucket *bucket, struct context *ctx, struct str key,
                                       bool *out);
MUST_CHECK struct error *bucket_put(struct bucket *bucket, struct context *ctx, struct str key,
                                    struct bucket_source *source);
MUST_CHECK struct error *bucket_put_bytes(struct bucket *bucket, struct context *ctx,
                                          struct str key, struct bytes content);
MUST_CHECK struct error *bucket_put_file(struct bucket *bucket, struct context *ctx, struct str key,
                                         struct str path);
/* Appends [from, to) of an object to a file, some pieces at a time; ERROR_CORRUPT when it ends
 * earlier. */
MUST_CHECK struct error *bucket_copy_range(struct bucket *bucket, struct context *ctx,
                                           struct str key, uint64_t from, uint64_t to,
                                           struct file_writer *file);
/* Into a file of that path, which appears when it is complete. */
MUST_CHECK struct error *bucket_get_file(struct bucket *bucket, struct context *ctx, struct str key,
                                         struct str path);
MUST_CHECK struct error *bucket_remove(struct bucket *bucket, struct context *ctx, struct str key);
