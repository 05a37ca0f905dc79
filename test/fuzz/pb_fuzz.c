#include "codec/pb.h"

#include "fuzz.h"

static void walk(struct bytes bytes, unsigned depth)
{
    struct pb_reader reader = pb_read(bytes);
    while (pb_next(&reader)) {
        struct pb_reader values;
        switch (reader.field % 8) {
        case 0:
            values = pb_repeated(&reader, PB_VARINT);
            while (pb_more(&values))
                (void)pb_sint64(&values);
            pb_join(&reader, &values);
            break;
        case 1:
            values = pb_repeated(&reader, PB_FIXED64);
            while (pb_more(&values))
                (void)pb_double(&values);
            pb_join(&reader, &values);
            break;
        case 2:
            if (reader.wire == PB_LENGTH && depth < 16)
                walk(pb_bytes(&reader), depth + 1);
            else
                pb_skip(&reader);
            break;
        case 3:
            (void)pb_str(&reader);
            break;
        case 4:
            (void)pb_fixed32(&reader);
            break;
        case 5:
            (void)pb_int32(&reader);
            break;
        default:
            pb_skip(&reader);
        }
        FUZZ_CHECK(reader.at <= reader.end);
    }
    error_free(pb_error(&reader, "message"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    walk((struct bytes){data, size}, 0);
    return 0;
}
