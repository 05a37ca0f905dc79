#include "runtime/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/fault.h"
#include "support/test.h"

static char directory[64];

static struct str path_of(const char *name)
{
    static char path[200];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return str_from(path);
}

static int make_directory(void **state UNUSED)
{
    strcpy(directory, "/tmp/titan-file-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state UNUSED)
{
    unlink(path_of("file").data);
    unlink(path_of("file.tmp").data);
    return rmdir(directory);
}

static void check_content(const char *want)
{
    struct buf out = {0};
    CHECK_OK(file_read(path_of("file"), 100000, &out));
    CHECK_STR(buf_str(&out), want);
    buf_deinit(&out);
}

TEST(file_write_replaces_the_whole)
{
    CHECK_OK(file_write_atomic(path_of("file"), str_bytes(STR("first, and longer"))));
    check_content("first, and longer");
    CHECK_OK(file_write_atomic(path_of("file"), str_bytes(STR("second"))));
    check_content("second");
    CHECK_OK(file_write_atomic(path_of("file"), str_bytes(STR(""))));
    check_content("");
}

TEST(file_read_appends_and_is_bounded)
{
    struct buf out = {0};
    CHECK_OK(file_write_atomic(path_of("file"), str_bytes(STR("12345"))));
    buf_append_cstr(&out, "before ");
    CHECK_OK(file_read(path_of("file"), 5, &out));
    CHECK_ERROR_TEXT(file_read(path_of("file"), 4, &out), ERROR_LIMIT, "longer than 4 bytes");
    CHECK_ERROR_TEXT(file_read(path_of("absent"), 4, &out), ERROR_NOT_FOUND, "/absent: ");
    CHECK_ERROR(file_read(str_from(directory), 100, &out), ERROR_INVALID);
    CHECK_ERROR(file_read(STR(""), 100, &out), ERROR_INVALID);
    CHECK_ERROR(file_read(STR("a\0b"), 100, &out), ERROR_INVALID);
    CHECK_STR(buf_str(&out), "before 12345");
    buf_deinit(&out);
}

TEST(file_read_knows_files_without_a_size)
{
    struct buf out = {0};
    CHECK_OK(file_read(STR("/proc/self/stat"), 10000, &out));
    CHECK(out.len > 20);
    buf_deinit(&out);
}

TEST(file_map_shows_the_content)
{
    struct file_map map = {0};
    CHECK_OK(file_write_atomic(path_of("file"), str_bytes(STR("mapped"))));
    CHECK_OK(file_map_open(path_of("file"), &map));
    file_map_drop_pages(&map);
    CHECK_STR(bytes_str(map.bytes), "mapped");
    file_map_close(&map);
    file_map_close(&map);
    CHECK_OK(file_write_atomic(path_of("file"), (struct bytes){0}));
    CHECK_OK(file_map_open(path_of("file"), &map));
    CHECK_EQ(map.bytes.len, 0);
    file_map_close(&map);
    CHECK_ERROR(file_map_open(path_of("absent"), &map), ERROR_NOT_FOUND);
}

/* Whichever operation fails, there is an error and the file is the old or the new one. */
TEST(file_operations_survive_every_fault)
{
    CHECK_OK(file_write_atomic(path_of("file"), str_bytes(STR("old"))));
    unsigned long faults = 0;
    for (unsigned long n = 1;; n++, faults++) {
        fault_io_fail_nth(n);
        struct error *err = file_write_atomic(path_of("file"), str_bytes(STR("new")));
        bool hit = fault_io_failed() != NULL;
        fault_io_fail_nth(0);
        CHECK_EQ(err != NULL, hit);
        error_free(err);
        struct buf out = {0};
        CHECK_OK(file_read(path_of("file"), 100, &out));
        CHECK(str_equal(buf_str(&out), STR("old")) || str_equal(buf_str(&out), STR("new")));
        CHECK(access(path_of("file.tmp").data, F_OK) != 0);
        buf_deinit(&out);
        if (!hit)
            break;
    }
    CHECK_EQ(faults, 6);
    for (unsigned long n = 1;; n++) {
        struct buf out = {0};
        struct file_map map = {0};
        fault_io_fail_nth(n);
        struct error *err = file_read(path_of("file"), 100, &out);
        error_keep_first(&err, file_map_open(path_of("file"), &map));
        bool hit = fault_io_failed() != NULL;
        fault_io_fail_nth(0);
        CHECK_EQ(err != NULL, hit);
        error_free(err);
        file_map_close(&map);
        buf_deinit(&out);
        if (!hit)
            break;
    }
}

TEST(fault_counts_and_hits_once)
{
    CHECK(!fault_io("off"));
    fault_io_fail_nth(2);
    CHECK(!fault_io("first"));
    CHECK(fault_io("second"));
    CHECK(!fault_io("third"));
    CHECK_EQ(fault_io_count(), 3);
    CHECK_STR(str_from(fault_io_failed()), "second");
    fault_io_fail_nth(0);
    CHECK(fault_io_failed() == NULL);
    setenv("TITAN_FAULT_IO", "1", 1);
    setenv("TITAN_FAULT_BUDGET", "1", 1);
    fault_init_from_environment();
    CHECK(fault_io("from the environment"));
    CHECK(!budget_try_charge(NULL, 1));
    fault_io_fail_nth(0);
    budget_fail_nth(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_ENTRY(file_write_replaces_the_whole),
        TEST_ENTRY(file_read_appends_and_is_bounded),
        TEST_ENTRY(file_read_knows_files_without_a_size),
        TEST_ENTRY(file_map_shows_the_content),
        TEST_ENTRY(file_operations_survive_every_fault),
        TEST_ENTRY(fault_counts_and_hits_once),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
