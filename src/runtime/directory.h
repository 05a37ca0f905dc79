/* runtime/directory.h: directories: made, listed, renamed as one, removed. Failures are as in
 * runtime/file.h. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

struct directory_entry {
    struct str name;
    bool is_directory; /* symbolic links are followed */
    uint64_t size;     /* of a file */
    int64_t modified_ms;
};

enum { DIRECTORY_ENTRIES_MAX = 10 * 1000 * 1000 };

/* With all directories above it; one that is there is fine. */
MUST_CHECK struct error *directory_create(struct str path);
/* Sorted by name, without "." and ".."; in the arena. Entries that vanish meanwhile are left out.
 * ERROR_LIMIT for too many. */
MUST_CHECK struct error *directory_list(struct str path, struct arena *arena,
                                        struct directory_entry **out, size_t *count);
/* What is renamed is there after a crash, or what was there before: the parent is synced. */
MUST_CHECK struct error *directory_rename(struct str from, struct str to);
/* Entries made in it are there after a crash. */
MUST_CHECK struct error *directory_sync(struct str path);
/* With everything in it; links are not followed; one that is not there is fine. */
MUST_CHECK struct error *directory_remove(struct str path);
/* Another name for a file of the same file system; ERROR_CONFLICT when that name is taken. */
MUST_CHECK struct error *file_link(struct str path, struct str new_path);
/* A file or link; one that is not there is fine. */
MUST_CHECK struct error *file_remove(struct str path);
bool path_exists(struct str path);
/* "<a>/<b>" in the arena. */
struct str path_join(struct arena *arena, struct str a, struct str b);
