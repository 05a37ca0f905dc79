/* What S3 answers, and credentials files: the first byte says which. */
#include "fuzz.h"
#include "objstore/s3_credentials.h"
#include "objstore/s3_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct arena *arena = arena_create(NULL);
    struct str text = {(const char *)data + 1, size - 1}, found;
    struct s3_page page;
    struct s3_credentials credentials;
    struct error *err = NULL;
    switch (data[0] % 4) {
    case 0:
        err = s3_page_parse(text, arena, &page);
        for (size_t i = 1; !err && i < page.count; i++)
            FUZZ_CHECK(str_compare(page.entries[i - 1].key, page.entries[i].key) <= 0);
        break;
    case 1:
        err = s3_find_text(text, STR("Code"), arena, &found);
        break;
    case 2:
        err = s3_error(400 + data[0], text, STR("GET"), STR("key"));
        FUZZ_CHECK(err);
        break;
    default:
        err = s3_credentials_parse_file(text, STR("default"), arena, &credentials);
        break;
    }
    error_free(err);
    arena_unref(arena);
    return 0;
}
