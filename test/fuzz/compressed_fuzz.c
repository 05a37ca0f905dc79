#include "codec/gzip.h"
#include "codec/zstd.h"

#include "fuzz.h"

enum { CONTENT_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = {data, size};
    struct buf out = {0};
    error_free(gzip_decode(in, CONTENT_MAX, &out));
    FUZZ_CHECK(out.len <= CONTENT_MAX);
    buf_clear(&out);
    error_free(zstd_decode(in, CONTENT_MAX, &out));
    FUZZ_CHECK(out.len <= CONTENT_MAX);
    buf_deinit(&out);
    return 0;
}
