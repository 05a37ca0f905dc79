/* First three bytes: dedup (and, from 128 on, start times), aggregate, number of chunks. For each
 * chunk: encoding, aggregate (0: raw), min and max time in 20 s from the start (a byte each),
 * length, bytes. */
#include "fuzz.h"

#include <stdlib.h>

#include "chunk/chunk.h"
#include "chunk/samples.h"
#include "codec/reader.h"

static void read_chunk(struct reader *reader, struct arena *arena, struct chunk *out)
{
    struct chunk_data data = {.encoding = (enum chunk_encoding)(reader_u8(reader) % 7)};
    unsigned aggr = reader_u8(reader) % AGGR_NUMBER;
    *out = (struct chunk){.min_time = 1700000000000 + 20000 * (int64_t)reader_u8(reader)};
    out->max_time = out->min_time + 20000 * (int64_t)reader_u8(reader);
    data.bytes = reader_bytes(reader, size_min(reader_u8(reader), reader_left(reader)));
    if (aggr == AGGR_RAW) {
        out->raw = data;
        return;
    }
    struct chunk_data *aggrs = arena_zalloc(arena, AGGR_NUMBER * sizeof(*aggrs));
    aggrs[aggr] = data;
    aggrs[AGGR_COUNT].encoding = data.encoding; /* averages need both */
    aggrs[AGGR_COUNT].bytes = data.bytes;
    out->aggrs = aggrs;
}

static int compare_chunks(const void *a, const void *b)
{
    return chunk_compare(a, b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct budget *budget = budget_create(NULL, "fuzz", 64 << 20);
    struct arena *arena = arena_create(budget);
    struct reader reader = reader_create((struct bytes){data, size});
    unsigned first = reader_u8(&reader);
    struct sample_rules rules = {
        .dedup = (enum dedup)(first % 3),
        .start_times = first >= 128,
        .read = (enum aggr_read)(reader_u8(&reader) % 9),
        .data_min = 1700000100000,
        .data_max = 1700003000000,
    };
    size_t count = reader_u8(&reader);
    struct chunk_list list = {arena_array(arena, count, sizeof(struct chunk)), count};
    struct samples samples;
    for (size_t i = 0; i < count; i++)
        read_chunk(&reader, arena, &list.items[i]);
    if (count)
        qsort(list.items, count, sizeof(*list.items), compare_chunks);
    struct error *err = samples_read(&list, &rules, arena, &samples);
    for (size_t i = 0; !err && i < samples.count; i++)
        if (samples.times[i] < rules.data_min || samples.times[i] > rules.data_max ||
            (i && samples.times[i - 1] >= samples.times[i]))
            abort();
    error_free(err);
    arena_unref(arena);
    budget_free(budget);
    return 0;
}
