#include "promql/active_queries.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/memory.h"
#include "base/mutex.h"
#include "codec/json.h"
#include "runtime/file.h"
#include "runtime/log.h"
#include "runtime/time.h"

enum { ENTRY_BYTES = 1000, LEFT_MAX = 64 << 20 };

struct active_queries {
    char *map;
    size_t size, slots;
    struct mutex lock; /* of these: */
    uint32_t *free_slots;
    size_t free_count;
};

/* What an earlier run left: its entries without the gaps, the last comma a bracket. */
static void log_left(struct str path, struct log *log)
{
    struct buf left = {0}, text = {0};
    struct error *err = file_read(path, LEFT_MAX, &left);
    if (err && error_kind(err) != ERROR_NOT_FOUND)
        log_error(log, "cannot read the log of active queries", KV_ERR(err));
    for (size_t i = 0; !err && i < left.len; i++)
        if (left.data[i] != 0)
            buf_append_byte(&text, (uint8_t)left.data[i]);
    if (text.len > 1) {
        text.data[text.len - 1] = ']';
        log_info(log, "queries that the last run did not finish", KV("queries", buf_str(&text)));
    }
    error_free(err);
    buf_deinit(&left);
    buf_deinit(&text);
}

static struct error *system_error(const char *what, const char *path)
{
    return error_create(ERROR_INTERNAL, "%s %s: %s", what, path, strerror(errno));
}

static struct error *make_directory(const char *directory)
{
    char *path = xstrdup(directory);
    struct error *err = NULL;
    for (char *at = path + 1; !err && at[-1]; at++) {
        char old = *at;
        if (old != '/' && old != 0)
            continue;
        *at = 0;
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            err = system_error("mkdir", path);
        *at = old;
    }
    free(path);
    return err;
}

static struct error *map_file(struct active_queries *active, const char *path)
{
    int fd = open(path, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return system_error("open", path);
    struct error *err = NULL;
    if (ftruncate(fd, (off_t)active->size) != 0)
        err = system_error("resize", path);
    void *map =
        err ? MAP_FAILED : mmap(NULL, active->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (!err && map == MAP_FAILED)
        err = system_error("map", path);
    close(fd);
    if (err)
        return err;
    active->map = map;
    active->map[0] = '[';
    return NULL;
}

struct error *active_queries_open(struct str directory, size_t queries_max, struct log *log,
                                  struct active_queries **out)
{
    struct active_queries *active = xcalloc(1, sizeof(*active));
    struct buf path = {0};
    char *folder = str_dup(directory);
    active->slots = queries_max;
    active->size = 1 + queries_max * ENTRY_BYTES;
    active->free_slots = xcalloc(queries_max, sizeof(*active->free_slots));
    for (size_t i = queries_max; i > 0; i--)
        active->free_slots[active->free_count++] = (uint32_t)i;
    mutex_init(&active->lock);
    buf_printf(&path, "%s/queries.active", folder);
    log_left(buf_str(&path), log);
    buf_append_byte(&path, 0);
    struct error *err = make_directory(folder);
    if (!err)
        err = map_file(active, path.data);
    free(folder);
    buf_deinit(&path);
    if (err) {
        active_queries_close(active);
        return error_wrap(err, "log of active queries");
    }
    *out = active;
    return NULL;
}

void active_queries_close(struct active_queries *active)
{
    if (!active)
        return;
    if (active->map)
        munmap(active->map, active->size);
    mutex_deinit(&active->lock);
    free(active->free_slots);
    free(active);
}

/* Cut where a letter begins. */
static struct str cut_text(struct str text, size_t max)
{
    if (text.len <= max)
        return text;
    while (max > 0 && ((uint8_t)text.data[max] & 0xc0) == 0x80)
        max--;
    return str_slice(text, 0, max);
}

static void write_entry(char *entry, struct str text)
{
    struct buf line = {0};
    char end[48];
    int end_len =
        snprintf(end, sizeof(end), ",\"timestamp_sec\":%lld}", (long long)(time_now_ms() / 1000));
    size_t around = strlen("{\"query\":\"\"") + (size_t)end_len + 1;
    buf_append_cstr(&line, "{\"query\":");
    json_append_str(&line, cut_text(text, ENTRY_BYTES - around), JSON_HTML_SAFE);
    buf_append(&line, end, (size_t)end_len);
    memcpy(entry, line.data, size_min(line.len, ENTRY_BYTES));
    entry[ENTRY_BYTES - 1] = ',';
    buf_deinit(&line);
}

size_t active_queries_begin(struct active_queries *active, struct str text)
{
    if (!active)
        return ACTIVE_QUERY_NONE;
    mutex_lock(&active->lock);
    size_t slot = ACTIVE_QUERY_NONE;
    if (active->free_count > 0)
        slot = active->free_slots[--active->free_count];
    mutex_unlock(&active->lock);
    if (slot != ACTIVE_QUERY_NONE)
        write_entry(active->map + 1 + (slot - 1) * ENTRY_BYTES, text);
    return slot;
}

void active_queries_end(struct active_queries *active, size_t slot)
{
    if (!active || slot == ACTIVE_QUERY_NONE)
        return;
    memset(active->map + 1 + (slot - 1) * ENTRY_BYTES, 0, ENTRY_BYTES);
    mutex_lock(&active->lock);
    active->free_slots[active->free_count++] = (uint32_t)slot;
    mutex_unlock(&active->lock);
}
