#include "query/file_sd.h"

#include <glob.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/vec.h"
#include "codec/json.h"
#include "codec/yaml.h"
#include "runtime/file.h"
#include "runtime/file_watch.h"
#include "runtime/log.h"

enum { FILE_MAX = 16 << 20, FILES_MAX = 10000 };

struct str_vec {
    VEC(struct str) vec;
};

/* What one file said when it could last be read. */
struct file {
    struct str path; /* these live in the arena of the round */
    struct str *targets;
    size_t count;
};

struct file_sd {
    struct str *patterns;
    size_t pattern_count;
    struct log *log;
    struct arena *texts; /* of the patterns */
    struct arena *arena; /* of what follows; a new one each refresh */
    struct file *files;
    size_t file_count;
    struct str *addresses;
    size_t address_count;
};

/* -- patterns -- */

static struct str extension(struct str path)
{
    for (size_t i = path.len; i > 0 && path.data[i - 1] != '/'; i--)
        if (path.data[i - 1] == '.')
            return str_slice(path, i, path.len);
    return STR("");
}

static bool is_json_path(struct str path)
{
    return str_equal_nocase(extension(path), STR("json"));
}

static bool pattern_is_valid(struct str pattern)
{
    static const struct str extensions[] = {STR_INIT("json"), STR_INIT("yml"), STR_INIT("yaml"),
                                            STR_INIT("JSON"), STR_INIT("YML"), STR_INIT("YAML")};
    struct str found = extension(pattern), stem;
    bool is_known = false;
    for (size_t i = 0; i < countof(extensions); i++)
        is_known |= str_equal(found, extensions[i]);
    if (!is_known)
        return false;
    stem = str_slice(pattern, 0, pattern.len - found.len - 1);
    size_t star = str_find_char(stem, '*');
    struct str rest = str_slice(stem, star + 1, stem.len);
    return star == stem.len || str_find_char(rest, '/') == rest.len;
}

struct error *file_sd_create(const struct str *patterns, size_t count, struct log *log,
                             struct file_sd **out)
{
    *out = NULL;
    for (size_t i = 0; i < count; i++)
        if (!pattern_is_valid(patterns[i]))
            return error_create(ERROR_INVALID, "path name \"%.*s\" is not valid for file discovery",
                                STR_ARG(patterns[i]));
    struct file_sd *sd = xcalloc(1, sizeof(*sd));
    sd->log = log;
    sd->texts = arena_create(NULL);
    sd->arena = arena_create(NULL);
    sd->patterns = arena_array(sd->texts, count, sizeof(*sd->patterns));
    sd->pattern_count = count;
    for (size_t i = 0; i < count; i++)
        sd->patterns[i] = arena_str(sd->texts, patterns[i]);
    *out = sd;
    return NULL;
}

void file_sd_free(struct file_sd *sd)
{
    if (!sd)
        return;
    arena_unref(sd->arena);
    arena_unref(sd->texts);
    free(sd);
}

void file_sd_watch(const struct file_sd *sd, struct file_watch *watch)
{
    for (size_t i = 0; i < sd->pattern_count; i++)
        file_watch_add(watch, sd->patterns[i]);
}

/* -- one file -- */

static struct error *yaml_labels_check(const struct yaml_node *labels)
{
    struct error *err = error_wrap(yaml_expect(labels, YAML_MAPPING), "labels");
    struct str text;
    for (size_t i = 0; labels && i < labels->count && !err; i++)
        err = yaml_str(labels->pairs[i].value, &text);
    return err;
}

static struct error *yaml_group_read(const struct yaml_node *group, struct str_vec *out)
{
    static const char *const keys[] = {"targets", "labels"};
    const struct yaml_node *targets = yaml_get(group, "targets");
    if (yaml_is_null(group))
        return error_create(ERROR_INVALID, "nil target group item found");
    struct error *err = yaml_expect(group, YAML_MAPPING);
    if (!err)
        err = yaml_check_keys(group, keys, countof(keys), "struct");
    if (!err)
        err = error_wrap(yaml_expect(targets, YAML_SEQUENCE), "targets");
    if (!err)
        err = yaml_labels_check(yaml_get(group, "labels"));
    for (size_t i = 0; targets && i < targets->count && !err; i++) {
        struct str target = STR("");
        err = yaml_str(targets->items[i], &target);
        (void)vec_push(&out->vec, target);
    }
    return err;
}

static struct error *yaml_read(struct str text, struct arena *arena, struct str_vec *out)
{
    struct yaml_node *root = NULL;
    struct error *err = yaml_parse(text, arena, &root);
    if (!err)
        err = yaml_expect(root, YAML_SEQUENCE);
    for (size_t i = 0; !err && root && i < root->count; i++)
        err = yaml_group_read(root->items[i], out);
    return err;
}

static void json_group_read(struct json_reader *reader, struct str_vec *out)
{
    struct str key;
    if (json_peek(reader) == JSON_NULL)
        json_fail(reader, "nil target group item found");
    if (!json_object(reader))
        return;
    while (json_key(reader, &key)) {
        if (str_equal(key, STR("targets"))) {
            if (json_array(reader))
                while (json_item(reader))
                    (void)vec_push(&out->vec, json_str(reader));
        } else if (str_equal(key, STR("labels"))) {
            if (json_object(reader))
                while (json_key(reader, &key))
                    (void)json_str(reader);
        } else {
            json_fail(reader, "unknown field");
            return;
        }
    }
}

static struct error *json_read_groups(struct str text, struct arena *arena, struct str_vec *out)
{
    struct json_reader reader = json_read(text, arena);
    if (json_array(&reader))
        while (json_item(&reader))
            json_group_read(&reader, out);
    return json_finish(&reader, "file");
}

struct error *file_sd_parse(struct str text, bool is_json, struct arena *arena,
                            struct str **targets, size_t *count)
{
    struct str_vec found = {VEC_INIT(NULL)};
    struct error *err =
        is_json ? json_read_groups(text, arena, &found) : yaml_read(text, arena, &found);
    *count = err ? 0 : found.vec.len;
    *targets = arena_array(arena, *count, sizeof(**targets));
    for (size_t i = 0; i < *count; i++)
        (*targets)[i] = found.vec.items[i];
    vec_deinit(&found.vec);
    return err;
}

/* -- all files -- */

struct refresh {
    struct file_sd *sd;
    struct arena *arena;
    VEC(struct file) files;
};

static void keep_old(struct refresh *refresh, struct file *file)
{
    const struct file_sd *sd = refresh->sd;
    for (size_t i = 0; i < sd->file_count; i++) {
        const struct file *old = &sd->files[i];
        if (!str_equal(old->path, file->path))
            continue;
        file->count = old->count;
        file->targets = arena_array(refresh->arena, old->count, sizeof(*file->targets));
        for (size_t j = 0; j < old->count; j++)
            file->targets[j] = arena_str(refresh->arena, old->targets[j]);
    }
}

static void read_file(struct refresh *refresh, struct str path)
{
    struct buf text = BUF_INIT(NULL);
    struct file file = {arena_str(refresh->arena, path), NULL, 0};
    for (size_t i = 0; i < refresh->files.len; i++)
        if (str_equal(refresh->files.items[i].path, path))
            return;
    struct error *err = file_read(path, FILE_MAX, &text);
    if (!err)
        err = file_sd_parse(arena_str(refresh->arena, buf_str(&text)), is_json_path(path),
                            refresh->arena, &file.targets, &file.count);
    if (err) {
        log_error(refresh->sd->log, "Error reading file", KV("path", path), KV_ERR(err));
        error_free(err);
        keep_old(refresh, &file);
    }
    (void)vec_push(&refresh->files, file);
    buf_deinit(&text);
}

static void read_pattern(struct refresh *refresh, struct str pattern)
{
    glob_t found = {0};
    char *text = str_dup(pattern);
    if (glob(text, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc && refresh->files.len < FILES_MAX; i++)
            read_file(refresh, str_from(found.gl_pathv[i]));
    globfree(&found);
    free(text);
}

/* The targets of all files, sorted, each once. */
static void unite(struct refresh *refresh, struct str **addresses, size_t *count)
{
    size_t total = 0, kept = 0;
    for (size_t i = 0; i < refresh->files.len; i++)
        total += refresh->files.items[i].count;
    struct str *all = arena_array(refresh->arena, total, sizeof(*all));
    total = 0;
    for (size_t i = 0; i < refresh->files.len; i++)
        for (size_t j = 0; j < refresh->files.items[i].count; j++)
            all[total++] = refresh->files.items[i].targets[j];
    if (total)
        qsort(all, total, sizeof(*all), str_compare_items);
    for (size_t i = 0; i < total; i++)
        if (all[i].len && (kept == 0 || !str_equal(all[kept - 1], all[i])))
            all[kept++] = all[i];
    *addresses = all;
    *count = kept;
}

bool file_sd_refresh(struct file_sd *sd)
{
    struct refresh refresh = {sd, arena_create(NULL), VEC_INIT(NULL)};
    struct str *addresses;
    size_t count;
    for (size_t i = 0; i < sd->pattern_count; i++)
        read_pattern(&refresh, sd->patterns[i]);
    unite(&refresh, &addresses, &count);
    bool changed = count != sd->address_count;
    for (size_t i = 0; i < count && !changed; i++)
        changed = !str_equal(addresses[i], sd->addresses[i]);
    struct file *files = arena_array(refresh.arena, refresh.files.len, sizeof(*files));
    for (size_t i = 0; i < refresh.files.len; i++)
        files[i] = refresh.files.items[i];
    arena_unref(sd->arena);
    sd->arena = refresh.arena;
    sd->files = files;
    sd->file_count = refresh.files.len;
    sd->addresses = addresses;
    sd->address_count = count;
    vec_deinit(&refresh.files);
    return changed;
}

const struct str *file_sd_addresses(const struct file_sd *sd, size_t *count)
{
    *count = sd->address_count;
    return sd->addresses;
}
