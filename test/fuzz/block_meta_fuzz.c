/* meta.json and marks: what can be read is written so that it reads the same. */
#include "block/block_meta.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_create(NULL);
    struct str text = {(const char *)data, size};
    struct block_meta meta, again;
    struct block_mark mark;
    struct error *err = block_meta_parse(text, arena, &meta);
    if (!err) {
        struct buf first = {0}, second = {0};
        block_meta_print(&first, &meta);
        err = block_meta_parse(buf_str(&first), arena, &again);
        FUZZ_CHECK(!err);
        block_meta_print(&second, &again);
        FUZZ_CHECK(str_equal(buf_str(&first), buf_str(&second)));
        block_meta_group(&second, &meta);
        buf_deinit(&first);
        buf_deinit(&second);
    }
    error_free(err);
    for (int kind = 0; kind < MARK_KINDS; kind++)
        error_free(block_mark_parse((enum block_mark_kind)kind, text, arena, &mark));
    arena_unref(arena);
    return 0;
}
