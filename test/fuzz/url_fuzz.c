#include "codec/base64.h"
#include "codec/url.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size}, decoded;
    struct arena *arena = arena_create(NULL);
    struct url_param *params = NULL;
    size_t count = 0;
    struct buf out = {0};
    error_free(url_parse_form(arena, text, &params, &count));
    for (size_t i = 0; i < count; i++)
        url_append_param(&out, params[i].name, params[i].value);
    size_t again = 0;
    FUZZ_CHECK(url_parse_form(arena, buf_str(&out), &params, &again) == NULL);
    FUZZ_CHECK(again == count);
    error_free(url_decode_path(arena, text, &decoded));
    struct str path = url_clean_path(arena, text);
    FUZZ_CHECK(path.len > 0 && path.data[0] == '/');
    FUZZ_CHECK(str_equal(url_clean_path(arena, path), path));
    for (int kind = 0; kind < 4; kind++) {
        buf_clear(&out);
        (void)base64_decode(&out, text, (enum base64_kind)kind);
    }
    buf_deinit(&out);
    arena_unref(arena);
    return 0;
}
