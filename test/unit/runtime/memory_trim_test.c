#include "runtime/memory_trim.h"

#include "base/page_pool.h"
#include "runtime/metrics.h"
#include "support/test.h"

TEST(memory_trim_shows_where_memory_is)
{
    static const char *const labels[] = {"part"};
    struct metrics *metrics = metrics_create();
    struct memory_trim *trim = memory_trim_create(metrics);
    struct metric_family *family =
        metrics_gauge_family(metrics, "titan_memory_bytes", "", labels, 1);
    size_t got;
    void *page = page_pool_take(1, &got);
    struct buf out = {0};
    metrics_write(metrics, &out, false);
    CHECK_DOUBLE(metric_value(metric_with(family, &STR("pages_used"), 1)), (double)got);
    page_pool_give(page, got);
    metrics_write(metrics, &out, false);
    CHECK_DOUBLE(metric_value(metric_with(family, &STR("pages_used"), 1)), 0);
    CHECK_DOUBLE(metric_value(metric_with(family, &STR("pages_free"), 1)), (double)got);
    for (int i = 0; i < 3; i++)
        memory_trim_tick(trim); /* not quiet for ten seconds yet */
    CHECK_EQ(page_pool_kept_bytes(), got);
    buf_deinit(&out);
    memory_trim_free(trim);
    metrics_free(metrics);
}

TEST_MAIN(TEST_ENTRY(memory_trim_shows_where_memory_is))
