#include "promql/active_queries.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/file.h"
#include "runtime/log.h"
#include "support/test.h"

static char folder[] = "/tmp/titan-active-XXXXXX";

static void read_file(struct buf *out)
{
    char path[64];
    snprintf(path, sizeof(path), "%s/q/queries.active", folder);
    buf_clear(out);
    CHECK_OK(file_read(str_from(path), 1 << 20, out));
}

TEST(active_queries_have_slots_of_a_file)
{
    struct log *log = log_create(STDERR_FILENO, LOG_ERROR, LOG_LOGFMT, STR(""));
    struct active_queries *active = NULL;
    struct buf file = {0};
    char path[64], longer[3000];
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof(path), "%s/q", folder);
    CHECK_OK(active_queries_open(str_from(path), 2, log, &active));
    memset(longer, '"', sizeof(longer));
    size_t first = active_queries_begin(active, STR("up{a=\"b\"}"));
    size_t second = active_queries_begin(active, (struct str){longer, sizeof(longer)});
    CHECK_EQ(active_queries_begin(active, STR("third")), ACTIVE_QUERY_NONE);
    read_file(&file);
    CHECK_EQ(file.len, 2001);
    CHECK(
        str_starts_with(buf_str(&file), STR("[{\"query\":\"up{a=\\\"b\\\"}\",\"timestamp_sec\":")));
    CHECK_EQ(file.data[1000], ',');
    CHECK_EQ(file.data[2000], ',');
    CHECK_EQ(file.data[1999], '\\');
    active_queries_end(active, first);
    read_file(&file);
    CHECK_EQ(file.data[1], 0);
    CHECK_EQ(active_queries_begin(active, STR("fourth")), first);
    active_queries_end(active, second);
    active_queries_end(active, ACTIVE_QUERY_NONE);
    active_queries_close(active);
    CHECK_OK(active_queries_open(str_from(path), 1, log, &active));
    read_file(&file);
    CHECK_EQ(file.len, 1001);
    CHECK_EQ(file.data[1], 0);
    active_queries_close(active);
    buf_deinit(&file);
    log_free(log);
}

TEST(a_folder_that_cannot_be_made_is_an_error)
{
    struct log *log = log_create(STDERR_FILENO, LOG_ERROR, LOG_LOGFMT, STR(""));
    struct active_queries *active = NULL;
    CHECK_ERROR(active_queries_open(STR("/proc/nothing/here"), 1, log, &active), ERROR_INTERNAL);
    CHECK(active == NULL);
    log_free(log);
}

TEST_MAIN(TEST_ENTRY(active_queries_have_slots_of_a_file),
          TEST_ENTRY(a_folder_that_cannot_be_made_is_an_error))
