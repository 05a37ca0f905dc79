#include "net/web_config.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_create(NULL);
    struct web_config config;
    error_free(
        web_config_parse((struct str){(const char *)data, size}, STR("/etc"), arena, &config));
    arena_unref(arena);
    return 0;
}
