#include "net/http_client_config.h"

#include <unistd.h>

#include "fuzz.h"
#include "runtime/log.h"

/* The text as a configuration, and as the answer of a server that gives out tokens. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct log *quiet;
    struct str text = {(const char *)data, size};
    struct arena *arena = arena_create(NULL);
    struct http_client_config config;
    struct buf header = {0}, form = {0};
    int64_t lasts_s;
    if (!quiet)
        quiet = log_create(STDERR_FILENO, LOG_ERROR, LOG_LOGFMT, STR(""));
    struct error *err = http_client_config_parse(text, arena, quiet, &config);
    if (!err && config.password_file.len == 0 && config.credentials_file.len == 0)
        error_free(http_client_authorization(&config, &header));
    if (!err && config.oauth2.client_secret_file.len == 0)
        error_free(http_oauth2_form(&config.oauth2, &form, NULL));
    error_free(err);
    error_free(http_oauth2_answer(200, text, &header, &lasts_s));
    buf_deinit(&header);
    buf_deinit(&form);
    arena_unref(arena);
    return 0;
}
