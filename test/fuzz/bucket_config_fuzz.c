/* The YAML of --objstore.config. */
#include "fuzz.h"
#include "objstore/bucket_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bucket *bucket = NULL;
    struct error *err =
        bucket_open((struct str){(const char *)data, size}, &(struct bucket_env){0}, &bucket);
    FUZZ_CHECK((err == NULL) == (bucket != NULL));
    bucket_free(bucket);
    error_free(err);
    return 0;
}
