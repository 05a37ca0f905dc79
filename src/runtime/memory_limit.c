#include "runtime/memory_limit.h"

#include <stdint.h>
#include <unistd.h>

#include "base/compiler.h"
#include "runtime/file.h"

/* A file with one number; "max" and what cannot be read is no limit. */
static uint64_t read_limit(struct str path)
{
    struct buf text = {0};
    uint64_t bytes = UINT64_MAX;
    struct error *err = file_read(path, 4096, &text);
    if (err || !str_to_uint64(str_trim(buf_str(&text)), &bytes))
        bytes = UINT64_MAX;
    error_free(err);
    buf_deinit(&text);
    return bytes;
}

size_t memory_available(void)
{
    uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t group = read_limit(STR("/sys/fs/cgroup/memory.max"));
    uint64_t old_group = read_limit(STR("/sys/fs/cgroup/memory/memory.limit_in_bytes"));
    uint64_t least = machine < group ? machine : group;
    return (size_t)(least < old_group ? least : old_group);
}
