/* test/support/temporary_directory.h: a directory that a test may fill. */
#pragma once

#include <stdlib.h>

#include "runtime/directory.h"
#include "support/test.h"

static inline struct str temporary_directory(struct arena *arena)
{
    char *path = arena_cstr(arena, STR("/tmp/titan-test-XXXXXX"));
    if (!mkdtemp(path))
        fail_msg("no temporary directory");
    return str_from(path);
}

static inline void temporary_directory_remove(struct str path)
{
    CHECK_OK(directory_remove(path));
}
