/* model/labels.h: a label set: sorted pairs of name and value, immutable, a view of bytes that an
 * arena or a file owns.
 *
 * The bytes are Prometheus's own flat layout, name and value after name and value, sorted by name,
 * each with its length in front: one byte below 255, else 0xff and three bytes, little-endian. So a
 * label set's hash is that of its bytes, equality is memcmp, and a set is one pointer and one
 * length. A name occurs once; a pair with an empty value does not occur: absent and empty are the
 * same.
 *
 *     +---+--------+---+-----+---+-----+---+-------+
 *     | 3 | env    | 4 | prod| 3 | job | 3 | api   | ...
 *     +---+--------+---+-----+---+-----+---+-------+          */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

struct labels {
    const uint8_t *data;
    size_t len;
};

enum {
    LABEL_LENGTH_MAX = 0xffffff, /* of one name or value, by the layout */
    LABELS_BYTES_MAX = 64 << 20, /* of one set, by us */
};

struct label {
    struct str name, value;
};

/* Reads pairs one after another:
 *     struct labels_reader reader = labels_read(set);
 *     struct label label;
 *     while (labels_next(&reader, &label)) ...                                     */
struct labels_reader {
    const uint8_t *at, *end;
};

static inline struct labels_reader labels_read(struct labels labels)
{
    return (struct labels_reader){labels.data, labels.len ? labels.data + labels.len : labels.data};
}

static inline struct str labels_read_str(struct labels_reader *reader)
{
    size_t len = *reader->at++;
    if (len == 0xff) {
        len = (size_t)reader->at[0] | (size_t)reader->at[1] << 8 | (size_t)reader->at[2] << 16;
        reader->at += 3;
    }
    struct str s = {(const char *)reader->at, len};
    reader->at += len;
    return s;
}

static inline bool labels_next(struct labels_reader *reader, struct label *out)
{
    if (reader->at == reader->end)
        return false;
    out->name = labels_read_str(reader);
    out->value = labels_read_str(reader);
    return true;
}

/* Prometheus's order: pair by pair, name then value, bytes; a set that is the beginning of another
 * comes before it. */
int labels_compare(struct labels a, struct labels b);

static inline bool labels_equal(struct labels a, struct labels b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

uint64_t labels_hash(struct labels labels); /* xxHash64 of the bytes: Prometheus's label hash */
/* For grouping: the hash of what labels_only() would keep (by), or labels_without() if __name__
 * were in the list too (without). names is sorted and unique. */
uint64_t labels_hash_by(struct labels labels, const struct str *names, size_t count);
uint64_t labels_hash_without(struct labels labels, const struct str *names, size_t count);
/* The hash of Thanos's shards and hashrings: name 0xff value 0xff ...; of the pairs in (by) or not
 * in the list. */
uint64_t labels_shard_hash(struct labels labels, bool by, const struct str *names, size_t count);

struct str labels_get(struct labels labels, struct str name); /* empty when absent */
bool labels_has(struct labels labels, struct str name);
size_t labels_count(struct labels labels);

struct labels labels_copy(struct arena *arena, struct labels labels);
/* {a="1", "b.c"="2"} as Prometheus prints label sets; __name__ like any other. */
void labels_print(struct buf *out, struct labels labels);
/* name{a="1"} as Prometheus prints a metric; {"my.name", a="1"} when the name is not plain. */
void labels_print_metric(struct buf *out, struct labels labels);
/* Checks bytes that come from outside: well-formed, sorted, unique, no empty name or value. */
MUST_CHECK struct error *labels_check(struct labels labels);

/* For decoders that write a set by themselves: appends a pair in the layout above and gives the end
 * of it. Takes at most 8 bytes more than the texts; pairs must come in order. */
uint8_t *labels_put_pair(uint8_t *out, struct str name, struct str value);

/* Makes label sets: collects pairs in any order, the last value of a name counts, an empty value
 * removes it. A text longer than LABEL_LENGTH_MAX is cut, pairs beyond LABELS_BYTES_MAX are left
 * out, and labels_builder_status() tells: whoever sets texts from outside asks it. */
struct labels_builder {
    struct arena *arena; /* where the result and the collected pairs live */
    struct label *pairs;
    size_t count, cap;
    size_t bytes;
    bool sorted, too_long;
};

/* Strings are not copied until finish: they must live until then. */
struct labels_builder labels_builder_create(struct arena *arena);
struct labels_builder labels_builder_from(struct arena *arena, struct labels labels);
void labels_builder_set(struct labels_builder *builder, struct str name, struct str value);
void labels_builder_remove(struct labels_builder *builder, struct str name);
struct str labels_builder_get(const struct labels_builder *builder, struct str name);
/* Sorted, without empty values, in the arena. The builder may go on afterwards. */
struct labels labels_builder_finish(struct labels_builder *builder);
/* NULL, or ERROR_LIMIT when something had to be cut. */
MUST_CHECK struct error *labels_builder_status(const struct labels_builder *builder);

/* The set without, or only with, the names of a list (sorted, unique). When nothing is taken away
 * the result is `labels` itself, not a copy: it lives as long as both. */
struct labels labels_without(struct arena *arena, struct labels labels, const struct str *names,
                             size_t count);
struct labels labels_only(struct arena *arena, struct labels labels, const struct str *names,
                          size_t count);
/* Union, a copy; where both have a name, `over` wins. */
struct labels labels_merge(struct arena *arena, struct labels labels, struct labels over);

bool label_name_is_valid(struct str name);   /* UTF-8, not empty */
bool label_name_is_legacy(struct str name);  /* [a-zA-Z_][a-zA-Z0-9_]* */
bool metric_name_is_legacy(struct str name); /* with ':' */
