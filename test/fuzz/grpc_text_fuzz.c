/* The texts of gRPC: status message, status code, timeout, encoding. What is encoded decodes to
 * itself, and is printable. */
#include "fuzz.h"
#include "net/grpc_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct buf encoded = {0}, decoded = {0}, any = {0};
    grpc_message_text_encode(&encoded, text);
    for (size_t i = 0; i < encoded.len; i++)
        FUZZ_CHECK(encoded.data[i] >= 0x20 && encoded.data[i] <= 0x7e);
    grpc_message_text_decode(&decoded, buf_str(&encoded));
    FUZZ_CHECK(str_equal(buf_str(&decoded), text));
    grpc_message_text_decode(&any, text);
    FUZZ_CHECK(any.len <= size);
    int64_t ms;
    if (grpc_timeout_parse(text, &ms))
        FUZZ_CHECK(ms >= 0 && ms <= 99999999ll * 3600 * 1000);
    enum grpc_code code;
    if (grpc_code_parse(text, &code))
        FUZZ_CHECK(code <= GRPC_UNAUTHENTICATED);
    enum grpc_encoding encoding;
    if (grpc_encoding_parse(text, &encoding))
        FUZZ_CHECK(str_equal(str_from(grpc_encoding_name(encoding)), text));
    buf_deinit(&encoded);
    buf_deinit(&decoded);
    buf_deinit(&any);
    return 0;
}
