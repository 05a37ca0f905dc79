#include "runtime/metrics.h"

#include <math.h>
#include <stdio.h>

#include "runtime/thread.h"
#include "support/test.h"

static void check_text(struct metrics *metrics, bool open_metrics, const char *want)
{
    struct buf out = {0};
    metrics_write(metrics, &out, open_metrics);
    CHECK_STR(buf_str(&out), want);
    buf_deinit(&out);
}

TEST(metrics_are_written_sorted_and_escaped)
{
    static const char *const labels[] = {"path", "code"};
    struct metrics *metrics = metrics_create();
    struct metric_family *requests = metrics_counter_family(
        metrics, "http_requests_total", "Requests\\ with \"quotes\"\nand lines.", labels, 2);
    struct metric *gauge = metrics_gauge(metrics, "a_gauge", "Some.");
    metrics_gauge_family(metrics, "no_children", "Not written.", labels, 2);
    metric_set(gauge, -1.5);
    metric_inc(metric_with(requests, (struct str[]){STR("/b"), STR("200")}, 2));
    metric_add(metric_with(requests, (struct str[]){STR("/a\n\\\"x"), STR("200")}, 2), 1e6);
    metric_inc(metric_with(requests, (struct str[]){STR("/a"), STR("100")}, 2));
    check_text(metrics, false,
               "# HELP a_gauge Some.\n"
               "# TYPE a_gauge gauge\n"
               "a_gauge -1.5\n"
               "# HELP http_requests_total Requests\\\\ with \"quotes\"\\nand lines.\n"
               "# TYPE http_requests_total counter\n"
               "http_requests_total{code=\"100\",path=\"/a\"} 1\n"
               "http_requests_total{code=\"200\",path=\"/a\\n\\\\\\\"x\"} 1e+06\n"
               "http_requests_total{code=\"200\",path=\"/b\"} 1\n");
    check_text(metrics, true,
               "# HELP a_gauge Some.\n"
               "# TYPE a_gauge gauge\n"
               "a_gauge -1.5\n"
               "# HELP http_requests Requests\\\\ with \\\"quotes\\\"\\nand lines.\n"
               "# TYPE http_requests counter\n"
               "http_requests_total{code=\"100\",path=\"/a\"} 1.0\n"
               "http_requests_total{code=\"200\",path=\"/a\\n\\\\\\\"x\"} 1e+06\n"
               "http_requests_total{code=\"200\",path=\"/b\"} 1.0\n"
               "# EOF\n");
    metrics_free(metrics);
}

TEST(metrics_histograms_are_cumulative)
{
    static const double bounds[] = {0.5, 1, INFINITY};
    struct metrics *metrics = metrics_create();
    struct metric *histogram = metrics_histogram(metrics, "h", "H.", bounds, countof(bounds));
    metric_observe(histogram, 0.5);
    metric_observe(histogram, 0.75);
    metric_observe(histogram, 7);
    check_text(metrics, false,
               "# HELP h H.\n# TYPE h histogram\n"
               "h_bucket{le=\"0.5\"} 1\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 3\n"
               "h_sum 8.25\nh_count 3\n");
    check_text(metrics, true,
               "# HELP h H.\n# TYPE h histogram\n"
               "h_bucket{le=\"0.5\"} 1\nh_bucket{le=\"1.0\"} 2\nh_bucket{le=\"+Inf\"} 3\n"
               "h_sum 8.25\nh_count 3\n# EOF\n");
    metrics_free(metrics);
}

TEST(metrics_summaries_give_quantiles_of_the_last_observations)
{
    static const double quantiles[] = {0, 0.5, 0.9, 1};
    static const char *const labels[] = {"slice"};
    struct metrics *metrics = metrics_create();
    struct metric_family *family = metrics_summary_family(metrics, "d_seconds", "Times.", quantiles,
                                                          countof(quantiles), labels, 1);
    struct metric *used = metric_with(family, &STR("a"), 1);
    metric_with(family, &STR("b"), 1);
    for (int i = 1500; i >= 1; i--)
        metric_observe(used, i);
    struct buf out = {0};
    metrics_write(metrics, &out, false);
    CHECK_STR(buf_str(&out), "# HELP d_seconds Times.\n"
                             "# TYPE d_seconds summary\n"
                             "d_seconds{slice=\"a\",quantile=\"0\"} 1\n"
                             "d_seconds{slice=\"a\",quantile=\"0.5\"} 500\n"
                             "d_seconds{slice=\"a\",quantile=\"0.9\"} 900\n"
                             "d_seconds{slice=\"a\",quantile=\"1\"} 1000\n"
                             "d_seconds_sum{slice=\"a\"} 1.12575e+06\n"
                             "d_seconds_count{slice=\"a\"} 1500\n"
                             "d_seconds{slice=\"b\",quantile=\"0\"} NaN\n"
                             "d_seconds{slice=\"b\",quantile=\"0.5\"} NaN\n"
                             "d_seconds{slice=\"b\",quantile=\"0.9\"} NaN\n"
                             "d_seconds{slice=\"b\",quantile=\"1\"} NaN\n"
                             "d_seconds_sum{slice=\"b\"} 0\n"
                             "d_seconds_count{slice=\"b\"} 0\n");
    buf_deinit(&out);
    metrics_free(metrics);
}

TEST(metrics_values_are_written_like_gos)
{
    static const struct {
        const char *name;
        double value;
        const char *text, *open_metrics;
    } cases[] = {
        {"zero", 0, "0", "0.0"},
        {"one", 1, "1", "1.0"},
        {"million", 1e6, "1e+06", "1e+06"},
        {"large", 18446744073709551615.0, "1.8446744073709552e+19", "1.8446744073709552e+19"},
        {"fraction", 0.1, "0.1", "0.1"},
        {"not a number", NAN, "NaN", "NaN"},
        {"infinite", -INFINITY, "-Inf", "-Inf"},
        {"time", 1700000000.25, "1.70000000025e+09", "1.70000000025e+09"},
    };
    for_each_case(c, cases) {
        struct metrics *metrics = metrics_create();
        metric_set(metrics_gauge(metrics, "g", ""), c->value);
        char want[200];
        snprintf(want, sizeof(want), "# HELP g \n# TYPE g gauge\ng %s\n", c->text);
        check_text(metrics, false, want);
        snprintf(want, sizeof(want), "# HELP g \n# TYPE g gauge\ng %s\n# EOF\n", c->open_metrics);
        check_text(metrics, true, want);
        metrics_free(metrics);
    }
}

TEST(metrics_counter_without_total_is_unknown_to_open_metrics)
{
    struct metrics *metrics = metrics_create();
    metric_inc(metrics_counter(metrics, "c", "C."));
    check_text(metrics, true, "# HELP c C.\n# TYPE c unknown\nc 1.0\n# EOF\n");
    metrics_free(metrics);
}

TEST(metrics_same_name_is_the_same_family)
{
    static const char *const labels[] = {"a"};
    struct metrics *metrics = metrics_create();
    struct metric_family *first = metrics_gauge_family(metrics, "g", "G.", labels, 1);
    CHECK(metrics_gauge_family(metrics, "g", "Other.", labels, 1) == first);
    CHECK(metric_with(first, &STR("x"), 1) == metric_with(first, &STR("x"), 1));
    metrics_free(metrics);
}

TEST(metric_remove_forgets_a_child)
{
    static const char *const labels[] = {"a"};
    struct metrics *metrics = metrics_create();
    struct metric_family *family = metrics_gauge_family(metrics, "g", "G.", labels, 1);
    metric_set(metric_with(family, &STR("x"), 1), 1);
    metric_set(metric_with(family, &STR("y"), 1), 2);
    metric_remove(family, &STR("x"), 1);
    metric_remove(family, &STR("z"), 1);
    check_text(metrics, false, "# HELP g G.\n# TYPE g gauge\ng{a=\"y\"} 2\n");
    metrics_free(metrics);
}

TEST(metrics_children_are_limited)
{
    static const char *const labels[] = {"a"};
    struct metrics *metrics = metrics_create();
    struct metric_family *family = metrics_counter_family(metrics, "c_total", "C.", labels, 1);
    struct metric *last = NULL;
    for (int i = 0; i < 10003; i++) {
        char value[20];
        snprintf(value, sizeof(value), "%d", i);
        last = metric_with(family, &(struct str){value, strlen(value)}, 1);
        metric_inc(last);
    }
    CHECK(last == metric_with(family, &STR("other"), 1));
    CHECK_DOUBLE(metric_value(last), 3);
    metrics_free(metrics);
}

TEST(metric_may_be_null)
{
    metric_inc(NULL);
    metric_add(NULL, 1);
    metric_set(NULL, 1);
    metric_observe(NULL, 1);
    CHECK(metric_with(NULL, NULL, 0) == NULL);
    CHECK(metrics_counter(NULL, "c", "C.") == NULL);
}

static void set_to_seven(void *arg)
{
    metric_set(arg, 7);
}

TEST(metrics_collectors_run_before_writing)
{
    struct metrics *metrics = metrics_create();
    metrics_on_collect(metrics, set_to_seven, metrics_gauge(metrics, "g", "G."));
    check_text(metrics, false, "# HELP g G.\n# TYPE g gauge\ng 7\n");
    metrics_free(metrics);
}

TEST(metrics_of_the_process_are_plausible)
{
    struct metrics *metrics = metrics_create();
    metrics_register_process(metrics);
    struct buf out = {0};
    metrics_write(metrics, &out, false);
    static const char *const names[] = {
        "process_cpu_seconds_total",
        "process_max_fds",
        "process_network_receive_bytes_total",
        "process_network_transmit_bytes_total",
        "process_open_fds",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "process_virtual_memory_bytes",
        "process_virtual_memory_max_bytes",
    };
    for (size_t i = 0; i < countof(names); i++)
        CHECK(str_contains(buf_str(&out), str_from(names[i])));
    CHECK(metric_value(metrics_gauge(metrics, "process_open_fds", "")) >= 3);
    CHECK(metric_value(metrics_gauge(metrics, "process_resident_memory_bytes", "")) > 1e5);
    CHECK(metric_value(metrics_gauge(metrics, "process_start_time_seconds", "")) > 1.6e9);
    buf_deinit(&out);
    metrics_free(metrics);
}

static void count_a_lot(void *arg)
{
    static const char *const labels[] = {"a"};
    struct metrics *metrics = arg;
    struct metric_family *family = metrics_counter_family(metrics, "c_total", "C.", labels, 1);
    for (int i = 0; i < 1000; i++) {
        metric_inc(metric_with(family, &STR("x"), 1));
        metric_add(metric_with(family, &STR("y"), 1), 0.5);
        if (i % 100 == 0) {
            struct buf out = {0};
            metrics_write(metrics, &out, false);
            buf_deinit(&out);
        }
    }
}

TEST(metrics_count_exactly_on_many_threads)
{
    static const char *const labels[] = {"a"};
    struct metrics *metrics = metrics_create();
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        CHECK_OK(thread_start_joinable("count", count_a_lot, metrics, &threads[i]));
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    struct metric_family *family = metrics_counter_family(metrics, "c_total", "C.", labels, 1);
    CHECK_DOUBLE(metric_value(metric_with(family, &STR("x"), 1)), 4000);
    CHECK_DOUBLE(metric_value(metric_with(family, &STR("y"), 1)), 2000);
    metrics_free(metrics);
}

TEST_MAIN(TEST_ENTRY(metrics_are_written_sorted_and_escaped),
          TEST_ENTRY(metrics_histograms_are_cumulative),
          TEST_ENTRY(metrics_summaries_give_quantiles_of_the_last_observations),
          TEST_ENTRY(metrics_values_are_written_like_gos),
          TEST_ENTRY(metrics_counter_without_total_is_unknown_to_open_metrics),
          TEST_ENTRY(metrics_same_name_is_the_same_family),
          TEST_ENTRY(metric_remove_forgets_a_child), TEST_ENTRY(metrics_children_are_limited),
          TEST_ENTRY(metric_may_be_null), TEST_ENTRY(metrics_collectors_run_before_writing),
          TEST_ENTRY(metrics_of_the_process_are_plausible),
          TEST_ENTRY(metrics_count_exactly_on_many_threads))
