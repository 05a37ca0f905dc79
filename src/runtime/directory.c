#include "runtime/directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/vec.h"
#include "runtime/fault.h"

static struct error *path_error(const char *verb, struct str path, int code)
{
    enum error_kind kind = code == ENOENT ? ERROR_NOT_FOUND : ERROR_INTERNAL;
    return error_create(kind, "%s %.*s: %s", verb, STR_ARG(path), strerror(code));
}

/* A NUL-terminated copy, to be freed; NULL for what is no path. */
static char *path_text(struct str path, struct error **err)
{
    if (path.len > 0 && !memchr(path.data, 0, path.len))
        return str_dup(path);
    *err = error_create(ERROR_INVALID, "\"%.*s\" is not a path", STR_ARG(path));
    return NULL;
}

struct error *directory_create(struct str path)
{
    struct error *err = NULL;
    char *text = path_text(path, &err);
    for (char *at = text; text && !err; at++) {
        if (*at != '/' && *at != 0)
            continue;
        char end = *at;
        *at = 0;
        bool failed =
            text[0] && (fault_io("make directory") ? (errno = EIO, true) : mkdir(text, 0777) != 0);
        if (failed && errno != EEXIST)
            err = path_error("make directory", str_from(text), errno);
        *at = end;
        if (end == 0)
            break;
    }
    free(text);
    return err;
}

static int entry_compare(const void *a, const void *b)
{
    const struct directory_entry *left = a, *right = b;
    return str_compare(left->name, right->name);
}

static bool entry_stat(int directory, const char *name, struct directory_entry *out)
{
    struct stat status;
    if (fstatat(directory, name, &status, 0) != 0)
        return false;
    out->is_directory = S_ISDIR(status.st_mode);
    out->size = out->is_directory ? 0 : (uint64_t)status.st_size;
    out->modified_ms = (int64_t)status.st_mtim.tv_sec * 1000 + status.st_mtim.tv_nsec / 1000000;
    return true;
}

struct error *directory_list(struct str path, struct arena *arena, struct directory_entry **out,
                             size_t *count)
{
    struct error *err = NULL;
    char *text = path_text(path, &err);
    DIR *directory = NULL;
    VEC(struct directory_entry) found = VEC_INIT(arena_budget(arena));
    if (!err) {
        directory = fault_io("open directory") ? (errno = EIO, NULL) : opendir(text);
        if (!directory)
            err = path_error("list", path, errno);
    }
    while (!err && found.len < DIRECTORY_ENTRIES_MAX) {
        errno = 0;
        struct dirent *entry = readdir(directory);
        struct directory_entry item = {0};
        if (!entry && errno)
            err = path_error("list", path, errno);
        if (!entry)
            break;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            !entry_stat(dirfd(directory), entry->d_name, &item))
            continue;
        item.name = arena_str(arena, str_from(entry->d_name));
        if (!vec_push(&found, item))
            err = vec_status(&found);
    }
    if (!err && found.len == DIRECTORY_ENTRIES_MAX)
        err = error_create(ERROR_LIMIT, "list %.*s: more than %d entries", STR_ARG(path),
                           DIRECTORY_ENTRIES_MAX);
    if (!err) {
        *count = found.len;
        *out = arena_array(arena, found.len + 1, sizeof(**out));
        if (found.len)
            memcpy(*out, found.items, found.len * sizeof(**out));
        qsort(*out, found.len, sizeof(**out), entry_compare);
        err = arena_status(arena);
    }
    if (directory)
        closedir(directory);
    vec_deinit(&found);
    free(text);
    return err;
}

struct error *directory_sync(struct str path)
{
    struct error *err = NULL;
    char *text = path_text(path, &err);
    if (err)
        return err;
    int fd = fault_io("open directory") ? (errno = EIO, -1)
                                        : open(text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        err = path_error("open", path, errno);
    else if (fault_io("sync directory") ? (errno = EIO, true) : fsync(fd) != 0)
        err = path_error("sync", path, errno);
    if (fd >= 0)
        close(fd);
    free(text);
    return err;
}

struct error *directory_rename(struct str from, struct str to)
{
    struct error *err = NULL;
    char *old = path_text(from, &err), *new = err ? NULL : path_text(to, &err);
    if (!err && (fault_io("rename directory") ? (errno = EIO, true) : rename(old, new) != 0))
        err = path_error("rename", from, errno);
    free(old);
    free(new);
    if (err)
        return err;
    size_t slash = to.len;
    while (slash > 0 && to.data[slash - 1] != '/')
        slash--;
    return directory_sync(slash == 0   ? STR(".")
                          : slash == 1 ? STR("/")
                                       : (struct str){to.data, slash - 1});
}

static int remove_entry(const char *path, const struct stat *status UNUSED, int kind UNUSED,
                        struct FTW *walk UNUSED)
{
    if (fault_io("remove file")) {
        errno = EIO;
        return -1;
    }
    return remove(path) != 0 && errno != ENOENT ? -1 : 0;
}

struct error *directory_remove(struct str path)
{
    enum { OPEN_AT_ONCE = 16 };
    struct error *err = NULL;
    char *text = path_text(path, &err);
    if (!err && nftw(text, remove_entry, OPEN_AT_ONCE, FTW_DEPTH | FTW_PHYS) != 0 &&
        errno != ENOENT)
        err = path_error("remove", path, errno);
    free(text);
    return err;
}

struct error *file_link(struct str path, struct str new_path)
{
    struct error *err = NULL;
    char *old = path_text(path, &err), *new = err ? NULL : path_text(new_path, &err);
    if (!err && (fault_io("link file") ? (errno = EIO, true) : link(old, new) != 0))
        err = errno == EEXIST ? error_create(ERROR_CONFLICT, "link %.*s: it is there already",
                                             STR_ARG(new_path))
                              : path_error("link", path, errno);
    free(old);
    free(new);
    return err;
}

struct error *file_remove(struct str path)
{
    struct error *err = NULL;
    char *text = path_text(path, &err);
    if (!err && (fault_io("remove file") ? (errno = EIO, true) : unlink(text) != 0) &&
        errno != ENOENT)
        err = path_error("remove", path, errno);
    free(text);
    return err;
}

bool path_exists(struct str path)
{
    struct error *err = NULL;
    char *text = path_text(path, &err);
    bool exists = text && access(text, F_OK) == 0;
    free(text);
    error_free(err);
    return exists;
}

struct str path_join(struct arena *arena, struct str a, struct str b)
{
    return arena_printf(arena, "%.*s/%.*s", STR_ARG(a), STR_ARG(b));
}
