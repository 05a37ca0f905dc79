#include "chunk/counter.h"

#include <math.h>

/* The running state: what was given out last, and what was read last. */
struct counter {
    bool started;
    double last;   /* value read last, for telling resets */
    double total;  /* value given out last */
    double offset; /* total - last, exactly 0 before anything happened */
};

static double counter_next(struct counter *counter, double value)
{
    if (counter->started && value < counter->last)
        counter->offset = counter->total;
    counter->started = true;
    counter->last = value;
    counter->total = counter->offset == 0 ? value : value + counter->offset;
    return counter->total;
}

void counter_remove_resets(struct samples *samples)
{
    struct counter counter = {0};
    int64_t last_time = 0;
    size_t kept = 0;
    for (size_t i = 0; i < samples->count; i++) {
        int64_t time = samples->times[i];
        double value = samples->values[i];
        struct histogram *histogram = samples->histograms ? samples->histograms[i] : NULL;
        if (!histogram) {
            if (isnan(value))
                continue;
            if (counter.started && kept && time == last_time) {
                counter.last = value;
                counter.offset = counter.total - value;
            }
            if (kept && time <= last_time)
                continue;
            value = counter_next(&counter, value);
        } else if (kept && time <= last_time) {
            continue;
        }
        samples->times[kept] = last_time = time;
        samples->values[kept] = value;
        if (samples->histograms)
            samples->histograms[kept] = histogram;
        if (samples->starts)
            samples->starts[kept] = samples->starts[i];
        kept++;
    }
    samples->count = kept;
}
