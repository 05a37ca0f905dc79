#include "promql/histogram_stats.h"

#include "model/histogram_math.h"

static void drop_buckets(struct histogram *histogram)
{
    if (!histogram)
        return;
    *histogram = (struct histogram){
        .reset = histogram->reset,
        .schema = histogram->schema,
        .count = histogram->count,
        .sum = histogram->sum,
    };
}

void histogram_stats_only(struct samples *samples)
{
    struct histogram *before = NULL;
    for (size_t i = 0; samples->histograms && i < samples->count; i++) {
        struct histogram *histogram = samples->histograms[i];
        if (!histogram)
            continue;
        if (sample_is_stale(histogram->sum)) {
            drop_buckets(histogram);
            continue;
        }
        if (before && histogram->reset == HISTOGRAM_RESET_UNKNOWN)
            histogram->reset = histogram_detect_reset(histogram, before) ? HISTOGRAM_RESET_YES
                                                                         : HISTOGRAM_RESET_NO;
        drop_buckets(before);
        before = histogram;
    }
    drop_buckets(before);
}
