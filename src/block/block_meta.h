/* block/block_meta.h: a block's meta.json, with the section that Thanos adds, and the marks beside
 * it in a bucket. A block's range is [min_time, max_time): its last sample plus one.
 *
 * Reading accepts any JSON of version 1, unknown keys included; writing gives the bytes that Thanos
 * writes (without its section: those of Prometheus): keys in its order, one tab a level. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "base/ulid.h"
#include "model/labels.h"

struct block_stats {
    uint64_t samples, float_samples, histogram_samples, series, chunks, tombstones;
};

struct block_parent {
    struct ulid id;
    int64_t min_time, max_time;
};

struct block_file {  /* of thanos.files */
    struct str path; /* relative: "index", "chunks/000001" */
    int64_t size;    /* 0: not told (meta.json itself) */
    struct str hash_function, hash;
};

struct block_meta {
    struct ulid id;
    int64_t min_time, max_time;
    struct block_stats stats;
    struct { /* compaction */
        int level;
        struct ulid *sources;
        size_t source_count;
        bool deletable, failed;
        struct block_parent *parents;
        size_t parent_count;
        struct str *hints;
        size_t hint_count;
    } compaction;
    struct { /* thanos */
        bool present;
        struct labels labels; /* external ones */
        int64_t resolution_ms;
        struct str source;
        struct str *segment_files;
        size_t segment_file_count;
        struct block_file *files;
        size_t file_count;
        struct str rewrites; /* JSON as it stood, or empty */
        int64_t series_max_size, chunk_max_size;
        struct str extensions;  /* JSON as it stood, or empty */
        struct str upload_time; /* RFC 3339, or empty */
    } thanos;
};

enum {
    BLOCK_META_MAX = 64 << 20, /* bytes of a meta.json that is read */
    BLOCK_META_VERSION = 1,
};

/* All of it lives in the arena. ERROR_CORRUPT with line and column; ERROR_INVALID:
 * another version. */
MUST_CHECK struct error *block_meta_parse(struct str json, struct arena *arena,
                                          struct block_meta *out);
void block_meta_print(struct buf *out, const struct block_meta *meta);

/* `<resolution>@<hash of labels>`: blocks that may be compacted together. Appends. */
void block_meta_group(struct buf *out, const struct block_meta *meta);
bool block_meta_has_hint(const struct block_meta *meta, struct str hint);

enum block_mark_kind { MARK_DELETION, MARK_NO_COMPACT, MARK_NO_DOWNSAMPLE, MARK_KINDS };

struct block_mark {
    struct ulid id;
    int64_t time_s; /* seconds since the epoch */
    struct str details, reason;
};

/* "deletion-mark.json" and so on. */
struct str block_mark_file(enum block_mark_kind kind);
/* ERROR_CORRUPT for what is no mark (Thanos skips it), ERROR_INVALID for another version. */
MUST_CHECK struct error *block_mark_parse(enum block_mark_kind kind, struct str json,
                                          struct arena *arena, struct block_mark *out);
void block_mark_print(struct buf *out, enum block_mark_kind kind, const struct block_mark *mark);
