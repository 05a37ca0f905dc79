#include "runtime/memory_trim.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/page_pool.h"
#include "runtime/metrics.h"
#include "runtime/time.h"

enum { QUIET_MS = 10000, MALLOC_ARENAS = 2, BURST_BYTES = 1024 * 1024 };

/* A burst shows as pages taken or as heap that grew; it is over when neither has moved for a
 * while. */
struct memory_trim {
    size_t taken_bytes, kept_bytes, heap_bytes; /* as of the last tick that saw a change */
    int64_t changed_ms;
    bool trimmed; /* since the last change */
    struct metric *taken, *kept, *heap_used, *heap_free;
    struct metric *allocated, *heap_allocated, *heap_in_use, *allocated_total, *trim_seconds;
};

static size_t distance(size_t a, size_t b)
{
    return a > b ? a - b : b - a;
}

/* What is mapped for malloc, in use or free. */
static size_t heap_bytes_now(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static void collect_memory(void *arg)
{
    struct memory_trim *trim = arg;
    struct mallinfo2 info = mallinfo2();
    metric_set(trim->taken, (double)page_pool_taken_bytes());
    metric_set(trim->kept, (double)page_pool_kept_bytes());
    metric_set(trim->heap_used, (double)(info.uordblks + info.hblkhd));
    metric_set(trim->heap_free, (double)info.fordblks);

    double heap = (double)(info.uordblks + info.hblkhd),
           used = heap + (double)page_pool_taken_bytes();
    metric_set(trim->allocated, used);
    metric_set(trim->heap_allocated, used);
    metric_set(trim->heap_in_use, used + (double)info.fordblks + (double)page_pool_kept_bytes());
    metric_set(trim->allocated_total, heap + (double)page_pool_total_bytes());
}

/* Under the names that Thanos's dashboards know. */
static void register_go_names(struct memory_trim *trim, struct metrics *metrics)
{
    static const double quantiles[] = {0, 0.25, 0.5, 0.75, 1};
    trim->allocated = metrics_gauge(metrics, "go_memstats_alloc_bytes", "Memory in use, in bytes.");
    trim->heap_allocated =
        metrics_gauge(metrics, "go_memstats_heap_alloc_bytes", "Memory in use, in bytes.");
    trim->heap_in_use = metrics_gauge(metrics, "go_memstats_heap_inuse_bytes",
                                      "Memory in use and free memory that is kept, in bytes.");
    trim->allocated_total =
        metrics_counter(metrics, "go_memstats_alloc_bytes_total",
                        "Memory that was ever taken for requests and results, in bytes.");
    trim->trim_seconds = metric_with(
        metrics_summary_family(metrics, "go_gc_duration_seconds",
                               "Time it took to give memory back to the system after a burst.",
                               quantiles, countof(quantiles), NULL, 0),
        NULL, 0);
}

struct memory_trim *memory_trim_create(struct metrics *metrics)
{
    static const char *const labels[] = {"part"};
    mallopt(M_ARENA_MAX, MALLOC_ARENAS);
    struct memory_trim *trim = xcalloc(1, sizeof(*trim));
    trim->changed_ms = time_now_monotonic_ms();
    struct metric_family *family = metrics_gauge_family(
        metrics, "titan_memory_bytes", "Memory of the process by what holds it.", labels, 1);
    trim->taken = metric_with(family, &STR("pages_used"), 1);
    trim->kept = metric_with(family, &STR("pages_free"), 1);
    trim->heap_used = metric_with(family, &STR("heap_used"), 1);
    trim->heap_free = metric_with(family, &STR("heap_free"), 1);
    register_go_names(trim, metrics);
    metrics_on_collect(metrics, collect_memory, trim);
    return trim;
}

void memory_trim_free(struct memory_trim *trim)
{
    free(trim);
}

static size_t memory_trim_moved(const struct memory_trim *trim)
{
    return distance(page_pool_taken_bytes(), trim->taken_bytes) +
           distance(page_pool_kept_bytes(), trim->kept_bytes) +
           distance(heap_bytes_now(), trim->heap_bytes);
}

static void memory_trim_note(struct memory_trim *trim)
{
    trim->taken_bytes = page_pool_taken_bytes();
    trim->kept_bytes = page_pool_kept_bytes();
    trim->heap_bytes = heap_bytes_now();
}

void memory_trim_tick(struct memory_trim *trim)
{
    int64_t now_ms = time_now_monotonic_ms();
    if (memory_trim_moved(trim) > BURST_BYTES) {
        memory_trim_note(trim);
        trim->changed_ms = now_ms;
        trim->trimmed = false;
        return;
    }
    if (trim->trimmed || now_ms - trim->changed_ms < QUIET_MS)
        return;
    int64_t began_ns = time_now_monotonic_ns();
    page_pool_trim();
    malloc_trim(0);
    metric_observe(trim->trim_seconds, (double)(time_now_monotonic_ns() - began_ns) / 1e9);
    memory_trim_note(trim);
    trim->trimmed = true;
}
