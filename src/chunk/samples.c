#include "chunk/samples.h"

#include <string.h>

#include "chunk/counter.h"
#include "chunk/dedup.h"
#include "chunk/lanes.h"
#include "model/histogram.h"

bool sample_is_stale(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits == STALE_NAN_BITS;
}

struct error *samples_reserve(struct arena *arena, size_t count, bool histograms,
                              struct samples *out)
{
    *out = (struct samples){.count = 0};
    if (count == 0)
        return NULL;
    if (count > SIZE_MAX / 64)
        return error_create(ERROR_LIMIT, "series of %zu samples", count);
    out->times = arena_try_alloc(arena, count * sizeof(*out->times));
    out->values = out->times ? arena_try_alloc(arena, count * sizeof(*out->values)) : NULL;
    if (!out->values)
        return arena_status(arena);
    if (!histograms)
        return NULL;
    out->histograms = arena_try_alloc(arena, count * sizeof(*out->histograms));
    if (!out->histograms)
        return arena_status(arena);
    memset(out->histograms, 0, count * sizeof(*out->histograms));
    return NULL;
}

struct error *samples_reserve_starts(struct arena *arena, size_t count, struct samples *samples)
{
    if (count == 0)
        return NULL;
    samples->starts = arena_try_alloc(arena, count * sizeof(*samples->starts));
    if (!samples->starts)
        return arena_status(arena);
    memset(samples->starts, 0, count * sizeof(*samples->starts));
    return NULL;
}

/* ---- which data of a chunk is read ---- */

static enum aggr wanted_aggr(enum aggr_read read)
{
    static const uint8_t wanted[] = {
        [READ_RAW] = AGGR_RAW,         [READ_COUNT] = AGGR_COUNT,
        [READ_SUM] = AGGR_SUM,         [READ_MIN] = AGGR_MIN,
        [READ_MAX] = AGGR_MAX,         [READ_AVERAGE] = AGGR_SUM,
        [READ_COUNTER] = AGGR_COUNTER, [READ_COUNTER_UNLIFTED] = AGGR_COUNTER,
        [READ_RESETS] = AGGR_COUNTER,
    };
    return wanted[read];
}

/* NULL when the chunk has neither the aggregate nor raw samples. */
static const struct chunk_data *chunk_select(const struct chunk *chunk, enum aggr aggr)
{
    if (chunk->aggrs && chunk->aggrs[aggr].encoding != CHUNK_NONE)
        return &chunk->aggrs[aggr];
    const struct chunk_data *raw = chunk->aggrs ? &chunk->aggrs[AGGR_RAW] : &chunk->raw;
    if (raw->encoding == CHUNK_NONE)
        raw = &chunk->raw;
    return raw->encoding != CHUNK_NONE ? raw : NULL;
}

static bool is_downsampled(const struct chunk *chunk, enum aggr aggr)
{
    return aggr != AGGR_RAW && chunk->aggrs && chunk->aggrs[aggr].encoding != CHUNK_NONE;
}

static bool has_raw(const struct chunk *chunk)
{
    return chunk_select(chunk, AGGR_RAW) != NULL;
}

/* ---- averages ---- */

/* Appends sum / count of a downsampled chunk. */
static struct error *append_average(const struct chunk *chunk, struct arena *arena,
                                    struct samples *into)
{
    const struct chunk_data *count_data = chunk_select(chunk, AGGR_COUNT);
    struct samples counts;
    size_t first = into->count;
    if (!count_data)
        return error_create(ERROR_CORRUPT, "no valid chunk found");
    struct error *err = chunk_append(chunk_select(chunk, AGGR_SUM), arena, into);
    if (!err)
        err = chunk_decode(count_data, INT64_MIN, INT64_MAX, arena, &counts);
    if (err)
        return err;
    if (counts.count != into->count - first)
        return error_create(ERROR_CORRUPT, "sum and count iterator not aligned");
    for (size_t i = 0; i < counts.count; i++) {
        size_t at = first + i;
        if (counts.times[i] != into->times[at])
            return error_create(ERROR_CORRUPT, "sum and count timestamps not aligned");
        into->values[at] /= counts.values[i];
        if (into->histograms && into->histograms[at]) {
            histogram_divide(into->histograms[at], counts.values[i]); /* nobody else has it */
            into->values[at] = into->histograms[at]->sum;
        }
    }
    return NULL;
}

/* ---- one lane ---- */

struct lane_reading {
    enum aggr aggr;
    bool average;
    bool counter;     /* resets are taken out */
    bool starts;      /* start times are read */
    int64_t min, max; /* inclusive */
};

static const struct chunk_data *data_read(const struct lane_reading *reading,
                                          const struct chunk *chunk)
{
    const struct chunk_data *raw = reading->average ? chunk_select(chunk, AGGR_RAW) : NULL;
    return raw ? raw : chunk_select(chunk, reading->aggr);
}

static bool is_read(const struct lane_reading *reading, const struct chunk *chunk)
{
    /* a counter's total begins with its first chunk, wherever the range begins */
    return reading->counter || (chunk->max_time >= reading->min && chunk->min_time <= reading->max);
}

/* Checks that each chunk has what is read, and counts the samples. */
static struct error *lane_reserve(const struct lane *lane, const struct lane_reading *reading,
                                  struct arena *arena, struct samples *out)
{
    size_t total = 0;
    bool histograms = false, starts = false;
    for (size_t i = 0; i < lane->count; i++) {
        const struct chunk_data *data = data_read(reading, lane->chunks[i]);
        if (!data)
            return error_create(ERROR_CORRUPT, "no valid chunk found");
        if (!is_read(reading, lane->chunks[i]))
            continue;
        total += chunk_sample_count(data);
        histograms = histograms || chunk_has_histograms(data->encoding);
        starts = starts || chunk_has_starts(data->encoding);
    }
    struct error *err = samples_reserve(arena, total, histograms, out);
    if (!err && starts && reading->starts)
        err = samples_reserve_starts(arena, total, out);
    return err;
}

static bool is_ascending(const struct samples *samples, size_t from)
{
    bool ascending = true;
    for (size_t i = from ? from : 1; i < samples->count; i++)
        ascending &= samples->times[i - 1] < samples->times[i];
    return ascending;
}

/* Takes out samples that are not after the one before: where chunks overlap the first one counts.
 */
static void drop_overlap(struct samples *samples, size_t from)
{
    size_t kept = from;
    for (size_t i = from; i < samples->count; i++) {
        if (kept && samples->times[i] <= samples->times[kept - 1])
            continue;
        samples->times[kept] = samples->times[i];
        samples->values[kept] = samples->values[i];
        if (samples->histograms)
            samples->histograms[kept] = samples->histograms[i];
        if (samples->starts)
            samples->starts[kept] = samples->starts[i];
        kept++;
    }
    /* these columns must be clear behind the end, for the samples that come without them */
    if (samples->histograms)
        memset(samples->histograms + kept, 0,
               (samples->count - kept) * sizeof(*samples->histograms));
    if (samples->starts)
        memset(samples->starts + kept, 0, (samples->count - kept) * sizeof(*samples->starts));
    samples->count = kept;
}

/* Place of the first sample at `time` or later. */
static size_t find_time(const struct samples *samples, int64_t time)
{
    size_t low = 0, high = samples->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (samples->times[middle] < time)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void cut(struct samples *samples, int64_t min, int64_t max)
{
    size_t first = find_time(samples, min);
    size_t end = max == INT64_MAX ? samples->count : find_time(samples, max + 1);
    if (first >= end) {
        *samples = (struct samples){.count = 0};
        return;
    }
    samples->times += first;
    samples->values += first;
    if (samples->histograms)
        samples->histograms += first;
    if (samples->starts)
        samples->starts += first;
    samples->count = end - first;
}

static struct error *lane_read(const struct lane *lane, const struct lane_reading *reading,
                               struct arena *arena, struct samples *out)
{
    struct error *err = lane_reserve(lane, reading, arena, out);
    for (size_t i = 0; i < lane->count && !err; i++) {
        const struct chunk *chunk = lane->chunks[i];
        size_t from = out->count;
        if (!is_read(reading, chunk))
            continue;
        if (reading->average && !has_raw(chunk))
            err = append_average(chunk, arena, out);
        else
            err = chunk_append(data_read(reading, chunk), arena, out);
        if (!err && !reading->counter && !is_ascending(out, from))
            drop_overlap(out, from);
    }
    if (err)
        return err;
    if (reading->counter)
        counter_remove_resets(out);
    cut(out, reading->min, reading->max);
    return NULL;
}

/* ---- all lanes ---- */

static bool lane_is_downsampled(const struct lane *lane, enum aggr aggr)
{
    for (size_t i = 0; i < lane->count; i++)
        if (is_downsampled(lane->chunks[i], aggr))
            return true;
    return false;
}

/* Whether resets are taken out of a lane. A single raw lane is left as Prometheus has it. */
static bool removes_resets(const struct lanes *lanes, const struct lane *lane, enum aggr_read read)
{
    if (read == READ_RESETS)
        return lane_is_downsampled(lane, AGGR_COUNTER);
    if (read != READ_COUNTER && read != READ_COUNTER_UNLIFTED)
        return false;
    return lanes->count > 1 || lane_is_downsampled(lane, AGGR_COUNTER);
}

static struct error *lanes_read(const struct lanes *lanes, const struct sample_rules *rules,
                                struct arena *arena, struct samples *columns)
{
    struct lane_reading reading = {
        .aggr = wanted_aggr(rules->read),
        .average = rules->read == READ_AVERAGE,
        .min = rules->data_min,
        .max = rules->data_max,
        .starts = rules->start_times,
    };
    for (size_t i = 0; i < lanes->count; i++) {
        reading.counter = removes_resets(lanes, &lanes->items[i], rules->read);
        struct error *err = lane_read(&lanes->items[i], &reading, arena, &columns[i]);
        if (err)
            return err;
    }
    return NULL;
}

struct error *samples_read(const struct chunk_list *chunks, const struct sample_rules *rules,
                           struct arena *arena, struct samples *out)
{
    struct lanes lanes;
    struct error *err = NULL;
    *out = (struct samples){.count = 0};
    if (chunks->count == 0)
        return NULL;
    if (rules->dedup == DEDUP_OFF)
        lanes = lanes_single(chunks, arena);
    else
        err = lanes_split(chunks, arena, &lanes);
    if (err)
        return err;
    if (lanes.count == 1)
        return lanes_read(&lanes, rules, arena, out);
    struct samples *columns = arena_array(arena, lanes.count, sizeof(*columns));
    err = lanes_read(&lanes, rules, arena, columns);
    if (err)
        return err;
    if (rules->dedup == DEDUP_CHAIN)
        return dedup_chain(columns, lanes.count, arena, out);
    return dedup_penalty(columns, lanes.count, rules->read == READ_COUNTER, arena, out);
}
