#include "codec/snappy.h"

#include "fuzz.h"

enum { CONTENT_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = {data, size};
    struct buf packed = {0}, out = {0};
    error_free(snappy_decode(in, CONTENT_MAX, &out));
    FUZZ_CHECK(out.len <= CONTENT_MAX);
    buf_clear(&out);
    error_free(snappy_frame_decode(in, CONTENT_MAX, &out));
    FUZZ_CHECK(out.len <= CONTENT_MAX + 65536);
    buf_clear(&out);
    snappy_frame_encode(in, &packed);
    FUZZ_CHECK(snappy_frame_decode(buf_bytes(&packed), size, &out) == NULL);
    FUZZ_CHECK(str_equal(buf_str(&out), bytes_str(in)));
    buf_deinit(&packed);
    buf_deinit(&out);
    return 0;
}
