/* A descriptor set and a request to the reflection service: byte 0 says how many eighths of the
 * rest are the set. */
#include "fuzz.h"
#include "net/grpc_builtin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const paths[] = {"/a.B/C", "/a.B/D", "/e.F/G"};
    if (size < 1)
        return 0;
    size_t set = (size - 1) * (data[0] % 9) / 8;
    struct grpc_reflection *reflection =
        grpc_reflection_create((struct bytes){data + 1, set}, paths, 3);
    struct buf out = {0};
    error_free(
        grpc_reflection_answer(reflection, (struct bytes){data + 1 + set, size - 1 - set}, &out));
    buf_deinit(&out);
    grpc_reflection_free(reflection);
    return 0;
}
