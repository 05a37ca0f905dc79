#include "block/block_meta.h"

#include <string.h>

#include "codec/json.h"
#include "model/labels_json.h"

/* ---- reading ---- */

/* Arrays grow in the arena by doubling; what is left behind goes with it. */
#define LIST_ADD(arena, items, count, value)                                                       \
    do {                                                                                           \
        if (((count) & ((count)-1)) == 0) {                                                        \
            void *larger_ = arena_array((arena), (count) ? 2 * (count) : 1, sizeof(*(items)));     \
            if (count)                                                                             \
                memcpy(larger_, (items), (count) * sizeof(*(items)));                              \
            (items) = larger_;                                                                     \
        }                                                                                          \
        (items)[(count)++] = (value);                                                              \
    } while (0)

static struct ulid read_ulid(struct json_reader *json)
{
    struct ulid id = {{0}};
    if (!ulid_parse(json_str(json), &id))
        json_fail(json, "this is no block id");
    return id;
}

static void read_strings(struct json_reader *json, struct str **items, size_t *count)
{
    if (!json_array(json))
        return;
    while (json_item(json))
        LIST_ADD(json->arena, *items, *count, json_str(json));
}

static void read_stats(struct json_reader *json, struct block_stats *stats)
{
    const struct {
        struct str key;
        uint64_t *value;
    } fields[] = {
        {STR("numSamples"), &stats->samples},
        {STR("numFloatSamples"), &stats->float_samples},
        {STR("numHistogramSamples"), &stats->histogram_samples},
        {STR("numSeries"), &stats->series},
        {STR("numChunks"), &stats->chunks},
        {STR("numTombstones"), &stats->tombstones},
    };
    struct str key;
    if (!json_object(json))
        return;
    while (json_key(json, &key)) {
        size_t i = 0;
        while (i < countof(fields) && !str_equal(fields[i].key, key))
            i++;
        if (i < countof(fields))
            *fields[i].value = json_uint64(json);
        else
            json_skip(json);
    }
}

static struct block_parent read_parent(struct json_reader *json)
{
    struct block_parent parent = {0};
    struct str key;
    if (!json_object(json))
        return parent;
    while (json_key(json, &key)) {
        if (str_equal(key, STR("ulid")))
            parent.id = read_ulid(json);
        else if (str_equal(key, STR("minTime")))
            parent.min_time = json_int64(json);
        else if (str_equal(key, STR("maxTime")))
            parent.max_time = json_int64(json);
        else
            json_skip(json);
    }
    return parent;
}

static void read_compaction(struct json_reader *json, struct block_meta *meta)
{
    struct str key;
    if (!json_object(json))
        return;
    while (json_key(json, &key)) {
        if (str_equal(key, STR("level"))) {
            int64_t level = json_int64(json);
            meta->compaction.level = level >= 0 && level <= INT32_MAX ? (int)level : INT32_MAX;
        } else if (str_equal(key, STR("sources"))) {
            for (bool more = json_array(json); more && json_item(json);)
                LIST_ADD(json->arena, meta->compaction.sources, meta->compaction.source_count,
                         read_ulid(json));
        } else if (str_equal(key, STR("parents"))) {
            for (bool more = json_array(json); more && json_item(json);)
                LIST_ADD(json->arena, meta->compaction.parents, meta->compaction.parent_count,
                         read_parent(json));
        } else if (str_equal(key, STR("deletable"))) {
            meta->compaction.deletable = json_bool(json);
        } else if (str_equal(key, STR("failed"))) {
            meta->compaction.failed = json_bool(json);
        } else if (str_equal(key, STR("hints"))) {
            read_strings(json, &meta->compaction.hints, &meta->compaction.hint_count);
        } else {
            json_skip(json);
        }
    }
}

static struct block_file read_file(struct json_reader *json)
{
    struct block_file file = {.path = STR(""), .hash_function = STR(""), .hash = STR("")};
    struct str key;
    if (!json_object(json))
        return file;
    while (json_key(json, &key)) {
        if (str_equal(key, STR("rel_path"))) {
            file.path = json_str(json);
        } else if (str_equal(key, STR("size_bytes"))) {
            file.size = json_int64(json);
        } else if (str_equal(key, STR("hash"))) {
            for (bool more = json_object(json); more && json_key(json, &key);) {
                if (str_equal(key, STR("hashFunc")))
                    file.hash_function = json_str(json);
                else if (str_equal(key, STR("value")))
                    file.hash = json_str(json);
                else
                    json_skip(json);
            }
        } else {
            json_skip(json);
        }
    }
    return file;
}

static void read_index_stats(struct json_reader *json, struct block_meta *meta)
{
    struct str key;
    if (!json_object(json))
        return;
    while (json_key(json, &key)) {
        if (str_equal(key, STR("series_max_size")))
            meta->thanos.series_max_size = json_int64(json);
        else if (str_equal(key, STR("chunk_max_size")))
            meta->thanos.chunk_max_size = json_int64(json);
        else
            json_skip(json);
    }
}

static void read_thanos_key(struct json_reader *json, struct str key, struct block_meta *meta,
                            int64_t *version)
{
    if (str_equal(key, STR("version"))) {
        *version = json_int64(json);
    } else if (str_equal(key, STR("labels"))) {
        meta->thanos.labels = labels_read_json(json, json->arena);
    } else if (str_equal(key, STR("downsample"))) {
        for (bool more = json_object(json); more && json_key(json, &key);) {
            if (str_equal(key, STR("resolution")))
                meta->thanos.resolution_ms = json_int64(json);
            else
                json_skip(json);
        }
    } else if (str_equal(key, STR("source"))) {
        meta->thanos.source = json_str(json);
    } else if (str_equal(key, STR("segment_files"))) {
        read_strings(json, &meta->thanos.segment_files, &meta->thanos.segment_file_count);
    } else if (str_equal(key, STR("files"))) {
        for (bool more = json_array(json); more && json_item(json);)
            LIST_ADD(json->arena, meta->thanos.files, meta->thanos.file_count, read_file(json));
    } else if (str_equal(key, STR("rewrites")) && json_peek(json) != JSON_NULL) {
        meta->thanos.rewrites = json_raw(json);
    } else if (str_equal(key, STR("index_stats"))) {
        read_index_stats(json, meta);
    } else if (str_equal(key, STR("extensions")) && json_peek(json) != JSON_NULL) {
        meta->thanos.extensions = json_raw(json);
    } else if (str_equal(key, STR("upload_time"))) {
        meta->thanos.upload_time = json_str(json);
    } else {
        json_skip(json);
    }
}

struct meta_versions {
    int64_t block, thanos; /* thanos 0: not said, which counts as the first */
};

static void read_key(struct json_reader *json, struct str key, struct block_meta *meta,
                     struct meta_versions *versions)
{
    if (str_equal(key, STR("ulid"))) {
        meta->id = read_ulid(json);
    } else if (str_equal(key, STR("minTime"))) {
        meta->min_time = json_int64(json);
    } else if (str_equal(key, STR("maxTime"))) {
        meta->max_time = json_int64(json);
    } else if (str_equal(key, STR("stats"))) {
        read_stats(json, &meta->stats);
    } else if (str_equal(key, STR("compaction"))) {
        read_compaction(json, meta);
    } else if (str_equal(key, STR("version"))) {
        versions->block = json_int64(json);
    } else if (str_equal(key, STR("thanos"))) {
        meta->thanos.present = json_object(json);
        while (meta->thanos.present && json_key(json, &key))
            read_thanos_key(json, key, meta, &versions->thanos);
    } else {
        json_skip(json);
    }
}

struct error *block_meta_parse(struct str text, struct arena *arena, struct block_meta *out)
{
    struct json_reader json = json_read(arena_str(arena, text), arena);
    struct str key;
    struct meta_versions versions = {0, 0};
    *out = (struct block_meta){0};
    if (json_object(&json)) {
        while (json_key(&json, &key))
            read_key(&json, key, out, &versions);
    }
    struct error *err = json_finish(&json, "meta.json");
    if (err && error_kind(err) == ERROR_INVALID)
        err = error_as(err, ERROR_CORRUPT);
    if (!err && versions.block != BLOCK_META_VERSION)
        err = error_create(ERROR_INVALID, "meta.json: version %lld is not known",
                           (long long)versions.block);
    if (!err && versions.thanos != 0 && versions.thanos != BLOCK_META_VERSION)
        err = error_create(ERROR_INVALID,
                           "meta.json: version %lld of the Thanos section is not known",
                           (long long)versions.thanos);
    if (!err && out->max_time < out->min_time)
        err = error_create(ERROR_CORRUPT, "meta.json: the block ends before it begins");
    return err;
}

/* ---- writing ---- */

static void put_ulid(struct json_writer *json, struct ulid id)
{
    char text[ULID_TEXT_LEN];
    ulid_print(id, text);
    json_put_str(json, (struct str){text, sizeof(text)});
}

static void put_count(struct json_writer *json, const char *key, uint64_t value)
{
    if (value == 0)
        return;
    json_put_key(json, key);
    json_put_uint64(json, value);
}

static void put_time_range(struct json_writer *json, int64_t min_time, int64_t max_time)
{
    json_put_key(json, "minTime");
    json_put_int64(json, min_time);
    json_put_key(json, "maxTime");
    json_put_int64(json, max_time);
}

static void put_stats(struct json_writer *json, const struct block_stats *stats)
{
    json_put_key(json, "stats");
    json_begin_object(json);
    put_count(json, "numSamples", stats->samples);
    put_count(json, "numFloatSamples", stats->float_samples);
    put_count(json, "numHistogramSamples", stats->histogram_samples);
    put_count(json, "numSeries", stats->series);
    put_count(json, "numChunks", stats->chunks);
    put_count(json, "numTombstones", stats->tombstones);
    json_end_object(json);
}

static void put_strings(struct json_writer *json, const char *key, const struct str *items,
                        size_t count)
{
    if (count == 0)
        return;
    json_put_key(json, key);
    json_begin_array(json);
    for (size_t i = 0; i < count; i++)
        json_put_str(json, items[i]);
    json_end_array(json);
}

static void put_flag(struct json_writer *json, const char *key, bool value)
{
    if (!value)
        return;
    json_put_key(json, key);
    json_put_bool(json, true);
}

static void put_compaction(struct json_writer *json, const struct block_meta *meta)
{
    json_put_key(json, "compaction");
    json_begin_object(json);
    json_put_key(json, "level");
    json_put_int64(json, meta->compaction.level);
    if (meta->compaction.source_count > 0) {
        json_put_key(json, "sources");
        json_begin_array(json);
        for (size_t i = 0; i < meta->compaction.source_count; i++)
            put_ulid(json, meta->compaction.sources[i]);
        json_end_array(json);
    }
    put_flag(json, "deletable", meta->compaction.deletable);
    if (meta->compaction.parent_count > 0) {
        json_put_key(json, "parents");
        json_begin_array(json);
        for (size_t i = 0; i < meta->compaction.parent_count; i++) {
            const struct block_parent *parent = &meta->compaction.parents[i];
            json_begin_object(json);
            json_put_key(json, "ulid");
            put_ulid(json, parent->id);
            put_time_range(json, parent->min_time, parent->max_time);
            json_end_object(json);
        }
        json_end_array(json);
    }
    put_flag(json, "failed", meta->compaction.failed);
    put_strings(json, "hints", meta->compaction.hints, meta->compaction.hint_count);
    json_end_object(json);
}

static void put_files(struct json_writer *json, const struct block_meta *meta)
{
    if (meta->thanos.file_count == 0)
        return;
    json_put_key(json, "files");
    json_begin_array(json);
    for (size_t i = 0; i < meta->thanos.file_count; i++) {
        const struct block_file *file = &meta->thanos.files[i];
        json_begin_object(json);
        json_put_key(json, "rel_path");
        json_put_str(json, file->path);
        if (file->size != 0) {
            json_put_key(json, "size_bytes");
            json_put_int64(json, file->size);
        }
        if (file->hash_function.len > 0) {
            json_put_key(json, "hash");
            json_begin_object(json);
            json_put_key(json, "hashFunc");
            json_put_str(json, file->hash_function);
            json_put_key(json, "value");
            json_put_str(json, file->hash);
            json_end_object(json);
        }
        json_end_object(json);
    }
    json_end_array(json);
}

static void put_raw(struct json_writer *json, const char *key, struct str text)
{
    if (text.len == 0)
        return;
    json_put_key(json, key);
    json_put_raw(json, text);
}

static void put_thanos(struct json_writer *json, const struct block_meta *meta)
{
    json_put_key(json, "thanos");
    json_begin_object(json);
    json_put_key(json, "version");
    json_put_int64(json, BLOCK_META_VERSION);
    json_put_key(json, "labels");
    labels_write_json(json, meta->thanos.labels);
    json_put_key(json, "downsample");
    json_begin_object(json);
    json_put_key(json, "resolution");
    json_put_int64(json, meta->thanos.resolution_ms);
    json_end_object(json);
    json_put_key(json, "source");
    json_put_str(json, meta->thanos.source);
    put_strings(json, "segment_files", meta->thanos.segment_files, meta->thanos.segment_file_count);
    put_files(json, meta);
    put_raw(json, "rewrites", meta->thanos.rewrites);
    json_put_key(json, "index_stats");
    json_begin_object(json);
    put_count(json, "series_max_size", (uint64_t)int64_max(0, meta->thanos.series_max_size));
    put_count(json, "chunk_max_size", (uint64_t)int64_max(0, meta->thanos.chunk_max_size));
    json_end_object(json);
    put_raw(json, "extensions", meta->thanos.extensions);
    json_put_key(json, "upload_time");
    json_put_str(json, meta->thanos.upload_time.len ? meta->thanos.upload_time
                                                    : STR("0001-01-01T00:00:00Z"));
    json_end_object(json);
}

void block_meta_print(struct buf *out, const struct block_meta *meta)
{
    struct buf compact = {0};
    struct json_writer json = json_write(&compact, JSON_HTML_SAFE);
    json_begin_object(&json);
    json_put_key(&json, "ulid");
    put_ulid(&json, meta->id);
    put_time_range(&json, meta->min_time, meta->max_time);
    put_stats(&json, &meta->stats);
    put_compaction(&json, meta);
    json_put_key(&json, "version");
    json_put_int64(&json, BLOCK_META_VERSION);
    if (meta->thanos.present)
        put_thanos(&json, meta);
    json_end_object(&json);
    json_append_indented(out, buf_str(&compact));
    if (meta->thanos.present) /* Prometheus ends its own without */
        buf_append_byte(out, '\n');
    buf_deinit(&compact);
}

void block_meta_group(struct buf *out, const struct block_meta *meta)
{
    buf_append_int64(out, meta->thanos.resolution_ms);
    buf_append_byte(out, '@');
    buf_append_uint64(out, labels_shard_hash(meta->thanos.labels, false, NULL, 0));
}

bool block_meta_has_hint(const struct block_meta *meta, struct str hint)
{
    for (size_t i = 0; i < meta->compaction.hint_count; i++) {
        if (str_equal(meta->compaction.hints[i], hint))
            return true;
    }
    return false;
}

/* ---- marks ---- */

static const struct {
    struct str file;
    const char *time_key;
    bool has_reason;
} mark_kinds[MARK_KINDS] = {
    [MARK_DELETION] = {STR_INIT("deletion-mark.json"), "deletion_time", false},
    [MARK_NO_COMPACT] = {STR_INIT("no-compact-mark.json"), "no_compact_time", true},
    [MARK_NO_DOWNSAMPLE] = {STR_INIT("no-downsample-mark.json"), "no_downsample_time", true},
};

struct str block_mark_file(enum block_mark_kind kind)
{
    return mark_kinds[kind].file;
}

struct error *block_mark_parse(enum block_mark_kind kind, struct str text, struct arena *arena,
                               struct block_mark *out)
{
    struct json_reader json = json_read(arena_str(arena, text), arena);
    struct str key;
    int64_t version = 0;
    *out = (struct block_mark){.details = STR(""), .reason = STR("")};
    if (json_object(&json)) {
        while (json_key(&json, &key)) {
            if (str_equal(key, STR("id")))
                out->id = read_ulid(&json);
            else if (str_equal(key, STR("version")))
                version = json_int64(&json);
            else if (str_equal(key, STR("details")))
                out->details = json_str(&json);
            else if (str_equal(key, STR("reason")))
                out->reason = json_str(&json);
            else if (str_equal(key, str_from(mark_kinds[kind].time_key)))
                out->time_s = json_int64(&json);
            else
                json_skip(&json);
        }
    }
    struct error *err = json_finish(&json, mark_kinds[kind].file.data);
    if (err && error_kind(err) == ERROR_INVALID)
        return error_as(err, ERROR_CORRUPT);
    if (!err && version != BLOCK_META_VERSION)
        err = error_create(ERROR_INVALID, "%.*s: version %lld is not known",
                           STR_ARG(mark_kinds[kind].file), (long long)version);
    return err;
}

void block_mark_print(struct buf *out, enum block_mark_kind kind, const struct block_mark *mark)
{
    struct json_writer json = json_write(out, JSON_HTML_SAFE);
    json_begin_object(&json);
    json_put_key(&json, "id");
    put_ulid(&json, mark->id);
    json_put_key(&json, "version");
    json_put_int64(&json, BLOCK_META_VERSION);
    if (mark->details.len > 0) {
        json_put_key(&json, "details");
        json_put_str(&json, mark->details);
    }
    json_put_key(&json, mark_kinds[kind].time_key);
    json_put_int64(&json, mark->time_s);
    if (mark_kinds[kind].has_reason) {
        json_put_key(&json, "reason");
        json_put_str(&json, mark->reason);
    }
    json_end_object(&json);
}
