/* The YAML of --endpoint.sd-config. */
#include "fuzz.h"

#include "query/endpoint_config.h"
#include "runtime/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct str plain[] = {STR_INIT("a:1")};
    const struct endpoint_flags flags = {.plain = plain, .plain_count = 1};
    struct log *log = log_create(2, LOG_ERROR + 1, LOG_LOGFMT, STR(""));
    struct budget *budget = budget_create(NULL, "fuzz", 64 << 20);
    struct arena *arena = arena_create(budget);
    struct endpoint_config config;
    struct error *err =
        endpoint_config_parse((struct str){(const char *)data, size}, &flags, log, arena, &config);
    for (size_t i = 0; !err && i < config.count; i++)
        FUZZ_CHECK(config.items[i].address.len > 0);
    error_free(err);
    arena_unref(arena);
    budget_free(budget);
    log_free(log);
    return 0;
}
