/* titan-bucket-acceptance CONFIG MANY LARGE: runs the acceptance suite of buckets on the bucket
 * that the YAML names, which must be empty. */
#include <stdio.h>
#include <stdlib.h>

#include "objstore/bucket_config.h"
#include "runtime/context.h"
#include "runtime/event_loop.h"
#include "runtime/log.h"
#include "runtime/pool.h"
#include "support/test.h"
#include "unit/objstore/bucket_acceptance.h"

static char **arguments;

TEST(the_bucket_passes_the_acceptance_suite)
{
    struct context *ctx = context_create(NULL, CONTEXT_NO_DEADLINE);
    struct event_loops *loops = event_loops_create(2);
    struct pool *files = pool_create("files", 4, 1000);
    struct log *log = log_create(2, LOG_INFO, LOG_LOGFMT, STR(""));
    const struct bucket_env env = {.files = files, .loops = loops, .log = log};
    struct bucket *bucket;
    CHECK_OK(bucket_open(str_from(arguments[1]), &env, &bucket));
    bucket_acceptance_run(bucket, ctx, strtoul(arguments[2], NULL, 10),
                          strtoul(arguments[3], NULL, 10));
    bucket_free(bucket);
    log_free(log);
    pool_free(files);
    event_loops_free(loops);
    context_unref(ctx);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_bucket_passes_the_acceptance_suite)};
    if (argc != 4) {
        fprintf(stderr, "usage: titan-bucket-acceptance CONFIG MANY LARGE\n");
        return 2;
    }
    arguments = argv;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
