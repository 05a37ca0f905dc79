/* The answer of a name server. Names that come out of it are host names. */
#include "fuzz.h"

#include <stdlib.h>

#include "net/dns_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_create(NULL);
    struct dns_answer answer;
    struct error *err = dns_answer_decode((struct bytes){data, size}, arena, &answer);
    for (size_t i = 0; !err && i < answer.count; i++) {
        const struct dns_record *record = &answer.records[i];
        bool is_name = record->type == DNS_TYPE_CNAME || record->type == DNS_TYPE_SRV;
        FUZZ_CHECK(is_name ? record->target.len > 0 && record->target.len <= 255
                           : record->address.len > 0);
        for (size_t j = 0; j < record->target.len; j++)
            FUZZ_CHECK(record->target.data[j] > ' ' && record->target.data[j] != ':');
    }
    error_free(err);
    arena_unref(arena);
    return 0;
}
