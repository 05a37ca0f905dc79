#include "codec/float_text.h"

#include <math.h>
#include <string.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    double value, again;
    if (float_parse((struct str){(const char *)data, size}, &value) == FLOAT_SYNTAX)
        FUZZ_CHECK(value == 0);
    for (int format = FLOAT_PLAIN; format <= FLOAT_JSON; format++) {
        char text[FLOAT_TEXT_MAX];
        size_t len = float_text(text, value, (enum float_format)format);
        FUZZ_CHECK(float_parse((struct str){text, len}, &again) == FLOAT_OK);
        FUZZ_CHECK(memcmp(&value, &again, sizeof(value)) == 0 || (isnan(value) && isnan(again)));
    }
    return 0;
}
