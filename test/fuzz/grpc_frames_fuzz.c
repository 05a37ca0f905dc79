/* Bytes of a gRPC body, in pieces as they may come: byte 0 is the encoding, byte 1 the size of a
 * piece. Messages stay under their maximum, and all that was charged is given back. */
#include "base/budget.h"
#include "fuzz.h"
#include "net/grpc_wire.h"

enum { MESSAGE_MAX = 64 * 1024, BUDGET = 1024 * 1024 };

static void expand(struct grpc_message *message, enum grpc_encoding encoding)
{
    struct grpc_message *content = NULL;
    struct error *err = grpc_message_expand(message, encoding, MESSAGE_MAX, &content);
    FUZZ_CHECK(err || content->bytes.len <= MESSAGE_MAX);
    error_free(err);
    grpc_message_unref(content);
}

static void deframe(struct bytes data, size_t piece, enum grpc_encoding encoding,
                    struct budget *budget)
{
    struct grpc_deframer deframer = {.message_max = MESSAGE_MAX, .budget = budget};
    struct error *err = NULL;
    while (data.len && !err) {
        struct bytes part = {data.data, size_min(piece, data.len)};
        data = (struct bytes){data.data + part.len, data.len - part.len};
        while (part.len && !err) {
            struct grpc_message *message;
            err = grpc_deframe(&deframer, &part, &message);
            FUZZ_CHECK(!message || message->bytes.len <= MESSAGE_MAX);
            if (message && message->compressed)
                expand(message, encoding);
            else
                grpc_message_unref(message);
        }
    }
    error_free(err);
    grpc_deframer_deinit(&deframer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct budget *budget = budget_create(NULL, "fuzz", BUDGET);
    deframe((struct bytes){data + 2, size - 2}, data[1] ? data[1] : SIZE_MAX,
            (enum grpc_encoding)(data[0] % 3), budget);
    FUZZ_CHECK(budget_used(budget) == 0);
    budget_free(budget);
    return 0;
}
