#include "bucket/shipper.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/mutex.h"
#include "base/time_text.h"
#include "base/vec.h"
#include "block/block_meta.h"
#include "codec/digest.h"
#include "codec/json.h"
#include "runtime/context.h"
#include "runtime/directory.h"
#include "runtime/file.h"
#include "runtime/log.h"
#include "runtime/metrics.h"
#include "runtime/time.h"
#include "store/fan_out.h"

enum { NOTE_MAX = 64 << 20, LARGE = 256 << 20 };

struct shipper {
    struct shipper_config config;
    struct arena *arena; /* of the texts */
    struct str note_path;
    struct metric *syncs, *sync_failures, *uploads, *upload_failures, *corrupt, *compacted_done;
};

struct local_block {
    struct block_meta meta;
    struct str path;
};

/* One sync; all of it lives in `arena`. */
struct round {
    struct shipper *shipper;
    struct context *ctx;
    struct arena *arena;
    VEC(struct local_block) blocks; /* from the oldest on */
    VEC(struct ulid) noted;         /* as the note had them */
    VEC(struct ulid) uploaded;      /* those of them that are still there, and new ones */
    size_t corrupt, failed, count;
    bool has_remote; /* metas of the bucket's blocks with our labels were read */
    VEC(struct block_meta) remote;
};

/* ---- the note ---- */

static void read_note(struct round *round)
{
    struct buf text = {0};
    struct error *err = file_read(round->shipper->note_path, NOTE_MAX, &text);
    struct json_reader json = json_read(arena_str(round->arena, buf_str(&text)), round->arena);
    struct str key;
    if (!err && json_object(&json)) {
        while (json_key(&json, &key)) {
            if (!str_equal(key, STR("uploaded"))) {
                json_skip(&json);
                continue;
            }
            for (bool more = json_array(&json); more && json_item(&json);) {
                struct ulid id;
                if (ulid_parse(json_str(&json), &id))
                    vec_push(&round->noted, id);
            }
        }
    }
    if (!err)
        err = json_finish(&json, "note of uploaded blocks");
    if (err && error_kind(err) != ERROR_NOT_FOUND) {
        /* it only saves looks at the bucket */
        log_warn(round->shipper->config.log,
                 "failed to read the note of uploaded blocks; a new one is written", KV_ERR(err));
        vec_clear(&round->noted);
    }
    error_free(err);
    buf_deinit(&text);
}

static void write_note(struct round *round)
{
    struct buf compact = {0}, text = {0};
    struct json_writer json = json_write(&compact, JSON_PLAIN);
    json_begin_object(&json);
    json_put_key(&json, "version");
    json_put_int64(&json, 1);
    json_put_key(&json, "uploaded");
    json_begin_array(&json);
    for (size_t i = 0; i < round->uploaded.len; i++) {
        char id[ULID_TEXT_LEN];
        ulid_print(round->uploaded.items[i], id);
        json_put_str(&json, (struct str){id, sizeof(id)});
    }
    json_end_array(&json);
    json_end_object(&json);
    json_append_indented(&text, buf_str(&compact));
    buf_append_byte(&text, '\n');
    struct error *err = file_write_atomic(round->shipper->note_path, buf_bytes(&text));
    if (err)
        log_warn(round->shipper->config.log, "updating meta file failed", KV_ERR(err));
    error_free(err);
    buf_deinit(&compact);
    buf_deinit(&text);
}

static bool was_noted(const struct round *round, struct ulid id)
{
    for (size_t i = 0; i < round->noted.len; i++) {
        if (ulid_compare(round->noted.items[i], id) == 0)
            return true;
    }
    return false;
}

/* ---- local blocks ---- */

static struct error *read_local(struct round *round, struct str name, struct local_block *out)
{
    struct buf text = {0};
    out->path = path_join(round->arena, round->shipper->config.directory, name);
    struct error *err =
        file_read(path_join(round->arena, out->path, STR("meta.json")), BLOCK_META_MAX, &text);
    if (!err)
        err = block_meta_parse(buf_str(&text), round->arena, &out->meta);
    buf_deinit(&text);
    return error_wrap(err, "read metadata for block %.*s", STR_ARG(out->path));
}

static int local_compare(const void *a, const void *b)
{
    const struct block_meta *x = &((const struct local_block *)a)->meta;
    const struct block_meta *y = &((const struct local_block *)b)->meta;
    if (x->min_time != y->min_time)
        return x->min_time < y->min_time ? -1 : 1;
    return ulid_compare(x->id, y->id);
}

static struct error *find_local(struct round *round)
{
    struct shipper *shipper = round->shipper;
    struct directory_entry *entries;
    size_t count;
    struct ulid id;
    struct error *err = directory_list(shipper->config.directory, round->arena, &entries, &count);
    for (size_t i = 0; !err && i < count; i++) {
        struct local_block block;
        if (!entries[i].is_directory || !ulid_parse(entries[i].name, &id))
            continue;
        err = read_local(round, entries[i].name, &block);
        if (!err) {
            vec_push(&round->blocks, block);
        } else if (shipper->config.skips_corrupt) {
            log_error(shipper->config.log, "a block is passed over", KV_ERR(err));
            round->corrupt++;
            error_free(err);
            err = NULL;
        }
    }
    if (round->blocks.len > 1)
        qsort(round->blocks.items, round->blocks.len, sizeof(struct local_block), local_compare);
    return err;
}

/* ---- overlaps with what the bucket has ---- */

static struct error *read_remote(void *self, const struct bucket_entry *entry)
{
    struct round *round = self;
    struct str name = str_slice(entry->key, 0, entry->key.len - 1);
    struct block_meta meta;
    struct buf text = {0};
    struct ulid id;
    if (!str_ends_with(entry->key, STR("/")) || !ulid_parse(name, &id))
        return NULL;
    struct error *err =
        bucket_get(round->shipper->config.bucket, round->ctx,
                   path_join(round->arena, name, STR("meta.json")), BLOCK_META_MAX, &text);
    if (!err)
        err = block_meta_parse(buf_str(&text), round->arena, &meta);
    buf_deinit(&text);
    struct labels ours = round->shipper->config.labels(round->shipper->config.self, round->arena);
    if (!err && labels_equal(meta.thanos.labels, ours))
        vec_push(&round->remote, meta);
    return err;
}

/* A compacted block covers blocks that may be in the bucket already. */
static struct error *check_overlap(struct round *round, const struct block_meta *meta)
{
    struct error *err = NULL;
    if (!round->has_remote)
        err = bucket_list(round->shipper->config.bucket, round->ctx, STR(""), LIST_ONE_LEVEL,
                          read_remote, round);
    round->has_remote = !err;
    for (size_t i = 0; !err && i < round->remote.len; i++) {
        const struct block_meta *other = &round->remote.items[i];
        char id[ULID_TEXT_LEN];
        ulid_print(other->id, id);
        if (other->min_time < meta->max_time && meta->min_time < other->max_time)
            err = error_create(ERROR_CONFLICT, "it overlaps with block %.*s of the bucket",
                               ULID_TEXT_LEN, id);
    }
    return error_wrap(err, "Found overlap or error during sync, cannot upload compacted block");
}

/* ---- one upload ---- */

struct upload {
    struct round *round;
    struct block_meta meta;
    struct str name, path; /* of the links */
    struct block_file *files;
    size_t file_count;
    struct mutex lock;
    struct error *failure GUARDED_BY(lock);
};

static struct error *link_file(struct upload *upload, struct str from, struct str file)
{
    struct arena *arena = upload->round->arena;
    return file_link(path_join(arena, from, file), path_join(arena, upload->path, file));
}

/* Links of chunks, index and meta.json; the names of the chunk files go into the meta. */
static struct error *link_block(struct upload *upload, struct str from)
{
    struct arena *arena = upload->round->arena;
    struct directory_entry *entries;
    size_t count = 0;
    struct error *err = directory_remove(upload->path);
    if (!err)
        err = directory_create(path_join(arena, upload->path, STR("chunks")));
    if (!err)
        err = directory_list(path_join(arena, from, STR("chunks")), arena, &entries, &count);
    struct str *names = arena_array(arena, count + 1, sizeof(*names));
    upload->files = arena_zalloc(arena, (count + 2) * sizeof(*upload->files));
    for (size_t i = 0; !err && i < count; i++) {
        names[i] = entries[i].name;
        struct block_file *file = &upload->files[upload->file_count++];
        file->path = path_join(arena, STR("chunks"), entries[i].name);
        file->size = (int64_t)entries[i].size;
        err = link_file(upload, from, file->path);
    }
    upload->meta.thanos.segment_files = names;
    upload->meta.thanos.segment_file_count = count;
    upload->files[upload->file_count++].path = STR("index");
    upload->files[upload->file_count].path = STR("meta.json");
    return err ? err : link_file(upload, from, STR("index"));
}

/* Sizes, and digests where they are noted, of all but meta.json. */
static struct error *measure_files(struct upload *upload)
{
    struct error *err = NULL;
    for (size_t i = 0; i < upload->file_count && !err; i++) {
        struct block_file *file = &upload->files[i];
        struct file_map map = {0};
        uint8_t digest[DIGEST_SHA256_SIZE];
        struct buf hex = {0};
        err = file_map_open(path_join(upload->round->arena, upload->path, file->path), &map);
        if (err)
            break;
        file->size = (int64_t)map.bytes.len;
        if (upload->round->shipper->config.notes_hashes) {
            digest_sha256(map.bytes, digest);
            digest_hex(&hex, digest, sizeof(digest));
            file->hash_function = STR("SHA256");
            file->hash = arena_str(upload->round->arena, buf_str(&hex));
            buf_deinit(&hex);
        }
        file_map_close(&map);
    }
    return err;
}

static void put_file(void *arg, size_t i)
{
    struct upload *upload = arg;
    const struct block_file *file = &upload->files[i];
    const struct shipper_config *config = &upload->round->shipper->config;
    struct arena *arena = arena_create(NULL);
    struct error *err = bucket_put_file(config->bucket, upload->round->ctx,
                                        path_join(arena, upload->name, file->path),
                                        path_join(arena, upload->path, file->path));
    if (!err && file->size >= LARGE)
        log_info(config->log, "uploaded a file of a block", KV("block", upload->name),
                 KV("file", file->path), KV("bytes", file->size));
    mutex_lock(&upload->lock);
    error_keep_first(&upload->failure, err);
    mutex_unlock(&upload->lock);
    arena_unref(arena);
}

static struct error *put_meta(struct upload *upload)
{
    const struct shipper_config *config = &upload->round->shipper->config;
    struct buf text = {0}, time = {0};
    time_text_print_ms(&time, time_now_ms());
    upload->meta.thanos.upload_time = arena_str(upload->round->arena, buf_str(&time));
    upload->meta.thanos.files = upload->files;
    upload->meta.thanos.file_count = upload->file_count + 1;
    block_meta_print(&text, &upload->meta);
    struct error *err = bucket_put_bytes(
        config->bucket, upload->round->ctx,
        path_join(upload->round->arena, upload->name, STR("meta.json")), buf_bytes(&text));
    buf_deinit(&text);
    buf_deinit(&time);
    return err;
}

/* Chunks, then the index, then meta.json. */
static struct error *put_block(struct upload *upload)
{
    const struct shipper_config *config = &upload->round->shipper->config;
    size_t chunks = upload->file_count - 1;
    size_t at_once = config->pool ? size_max(config->files_at_once, 1) : 1;
    struct error *err = NULL;
    for (size_t at = 0; at < chunks && !err; at += at_once) {
        struct upload part = {.round = upload->round,
                              .name = upload->name,
                              .path = upload->path,
                              .files = upload->files + at};
        mutex_init(&part.lock);
        fan_out(at_once > 1 ? config->pool : NULL, size_min(at_once, chunks - at), put_file, &part);
        mutex_deinit(&part.lock);
        err = error_wrap(part.failure, "upload chunks");
    }
    if (!err) {
        put_file(upload, chunks);
        err = error_wrap(upload->failure, "upload index");
    }
    return err ? err : error_wrap(put_meta(upload), "upload meta file");
}

static struct error *upload_block(struct round *round, const struct local_block *block)
{
    const struct shipper_config *config = &round->shipper->config;
    struct arena *arena = round->arena;
    char id[ULID_TEXT_LEN];
    ulid_print(block->meta.id, id);
    struct str name = arena_str(arena, (struct str){id, sizeof(id)});
    struct upload upload = {
        .round = round,
        .meta = block->meta,
        .name = name,
        .path = arena_printf(arena, "%.*s/thanos/upload/%.*s", STR_ARG(config->directory),
                             STR_ARG(name)),
    };
    mutex_init(&upload.lock);
    log_info(config->log, "upload new block", KV("id", name));
    upload.meta.thanos.present = true;
    upload.meta.thanos.source = config->source;
    upload.meta.thanos.labels =
        labels_merge(arena, block->meta.thanos.labels, config->labels(config->self, arena));
    struct error *err = NULL;
    if (upload.meta.thanos.labels.len == 0)
        err =
            error_create(ERROR_INVALID, "empty external labels are not allowed for Thanos block.");
    if (!err)
        err = link_block(&upload, block->path);
    if (!err)
        err = measure_files(&upload);
    if (!err)
        err = put_block(&upload);
    struct error *left = directory_remove(upload.path);
    if (left)
        log_warn(config->log, "failed to clean upload directory", KV_ERR(left));
    error_free(left);
    mutex_deinit(&upload.lock);
    return error_wrap(err, "upload %.*s", STR_ARG(name));
}

/* ---- a sync ---- */

static struct error *ship_block(struct round *round, const struct local_block *block)
{
    const struct shipper_config *config = &round->shipper->config;
    const struct block_meta *meta = &block->meta;
    bool is_compacted = meta->compaction.level > 1, is_there = false;
    char id[ULID_TEXT_LEN];
    ulid_print(meta->id, id);
    if (was_noted(round, meta->id)) {
        vec_push(&round->uploaded, meta->id);
        return NULL;
    }
    if (meta->stats.samples == 0 || (is_compacted && !config->uploads_compacted))
        return NULL;
    struct str key = arena_printf(round->arena, "%.*s/meta.json", ULID_TEXT_LEN, id);
    struct error *err =
        error_wrap(bucket_exists(config->bucket, round->ctx, key, &is_there), "check exists");
    if (err)
        return err;
    if (!is_there && is_compacted && !config->allows_out_of_order)
        err = check_overlap(round, meta);
    if (!is_there && !err)
        err = upload_block(round, block);
    if (!err)
        vec_push(&round->uploaded, meta->id);
    if (!err && !is_there) {
        round->count++;
        metric_inc(round->shipper->uploads);
    }
    return err;
}

static struct error *ship_all(struct round *round)
{
    struct error *err = find_local(round);
    for (size_t i = 0; !err && i < round->blocks.len; i++) {
        err = ship_block(round, &round->blocks.items[i]);
        if (!err || !round->shipper->config.allows_out_of_order || context_ended(round->ctx))
            continue;
        log_error(round->shipper->config.log, "shipping failed", KV_ERR(err));
        round->failed++;
        error_free(err);
        err = NULL;
    }
    return err;
}

static bool is_uploaded(const struct round *round, struct ulid id)
{
    for (size_t i = 0; i < round->uploaded.len; i++) {
        if (ulid_compare(round->uploaded.items[i], id) == 0)
            return true;
    }
    return false;
}

static void keep_noted(struct round *round)
{
    for (size_t i = 0; i < round->noted.len; i++) {
        if (!is_uploaded(round, round->noted.items[i]))
            vec_push(&round->uploaded, round->noted.items[i]);
    }
}

struct error *shipper_sync(struct shipper *shipper, struct context *ctx, size_t *uploaded)
{
    struct round round = {.shipper = shipper, .ctx = ctx, .arena = arena_create(NULL)};
    read_note(&round);
    struct error *err = ship_all(&round);
    *uploaded = round.count;
    if (err) /* blocks behind the one that failed were not looked at */
        keep_noted(&round);
    if (!err || round.count > 0)
        write_note(&round);
    metric_inc(err ? shipper->sync_failures : shipper->syncs);
    metric_add(shipper->upload_failures, (double)(round.failed + (err != NULL)));
    metric_add(shipper->corrupt, (double)round.corrupt);
    if (!err && round.failed + round.corrupt > 0)
        err = error_create(ERROR_UNAVAILABLE, "failed to sync %zu/%zu blocks", round.failed,
                           round.corrupt);
    if (!err)
        metric_set(shipper->compacted_done, shipper->config.uploads_compacted);
    vec_deinit(&round.blocks);
    vec_deinit(&round.noted);
    vec_deinit(&round.uploaded);
    vec_deinit(&round.remote);
    arena_unref(round.arena);
    return err;
}

/* ---- the shipper ---- */

static void register_metrics(struct shipper *shipper, struct metrics *metrics)
{
    shipper->syncs = metrics_counter(metrics, "thanos_shipper_dir_syncs_total",
                                     "Looks at the directory that went well.");
    shipper->sync_failures = metrics_counter(metrics, "thanos_shipper_dir_sync_failures_total",
                                             "Looks at the directory that failed.");
    shipper->uploads =
        metrics_counter(metrics, "thanos_shipper_uploads_total", "Blocks that were uploaded.");
    shipper->upload_failures = metrics_counter(metrics, "thanos_shipper_upload_failures_total",
                                               "Blocks that could not be.");
    shipper->corrupt = metrics_counter(metrics, "thanos_shipper_corrupted_blocks_total",
                                       "Blocks that could not be read.");
    shipper->compacted_done = metrics_gauge(metrics, "thanos_shipper_upload_compacted_done",
                                            "1 when all compacted blocks are in the bucket, too.");
}

struct shipper *shipper_create(const struct shipper_config *config)
{
    struct shipper *shipper = xcalloc(1, sizeof(*shipper));
    shipper->config = *config;
    shipper->arena = arena_create(NULL);
    shipper->config.directory = arena_str(shipper->arena, config->directory);
    shipper->config.source = arena_str(shipper->arena, config->source);
    shipper->note_path = path_join(shipper->arena, config->directory, config->meta_file);
    if (config->metrics)
        register_metrics(shipper, config->metrics);
    return shipper;
}

void shipper_free(struct shipper *shipper)
{
    if (!shipper)
        return;
    arena_unref(shipper->arena);
    free(shipper);
}
