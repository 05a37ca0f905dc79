/* A file of --store.sd-files, as YAML and as JSON. */
#include "fuzz.h"

#include "query/file_sd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int is_json = 0; is_json < 2; is_json++) {
        struct budget *budget = budget_create(NULL, "fuzz", 64 << 20);
        struct arena *arena = arena_create(budget);
        struct str *targets;
        size_t count, bytes = 0;
        struct error *err = file_sd_parse((struct str){size ? (const char *)data : "", size},
                                          is_json, arena, &targets, &count);
        for (size_t i = 0; i < count; i++)
            bytes += targets[i].len;
        FUZZ_CHECK(bytes <= 64 << 20);
        error_free(err);
        arena_unref(arena);
        budget_free(budget);
    }
    return 0;
}
