#include "chunk/lanes.h"

#include "chunk/samples.h"

struct lanes lanes_single(const struct chunk_list *chunks, struct arena *arena)
{
    struct lane *lane = arena_alloc(arena, sizeof(*lane));
    lane->chunks = arena_array(arena, chunks->count, sizeof(*lane->chunks));
    lane->count = chunks->count;
    for (size_t i = 0; i < chunks->count; i++)
        lane->chunks[i] = &chunks->items[i];
    return (struct lanes){lane, 1};
}

static bool is_single(const struct chunk_list *chunks)
{
    for (size_t i = 1; i < chunks->count; i++)
        if (chunks->items[i].min_time <= chunks->items[i - 1].max_time)
            return false;
    return true;
}

/* Chooses a lane for each chunk; ends[] are the lanes' last times. */
static struct error *choose(const struct chunk_list *chunks, int64_t *ends, size_t *lane_of,
                            size_t *lane_count)
{
    for (size_t i = 0; i < chunks->count; i++) {
        size_t lane = 0;
        while (lane < *lane_count && ends[lane] >= chunks->items[i].min_time)
            lane++;
        if (lane == SAMPLES_LANES_MAX)
            return error_create(ERROR_LIMIT, "series with more than %d chunks at one time",
                                SAMPLES_LANES_MAX);
        if (lane == *lane_count)
            ++*lane_count;
        ends[lane] = chunks->items[i].max_time;
        lane_of[i] = lane;
    }
    return NULL;
}

static struct error *deal_out(const struct chunk_list *chunks, struct arena *arena,
                              struct lanes *out)
{
    int64_t ends[SAMPLES_LANES_MAX];
    size_t sizes[SAMPLES_LANES_MAX] = {0}, count = 0;
    size_t *lane_of = arena_array(arena, chunks->count, sizeof(*lane_of));
    struct error *err = choose(chunks, ends, lane_of, &count);
    if (err)
        return err;
    const struct chunk **slots = arena_array(arena, chunks->count, sizeof(*slots));
    struct lane *lanes = arena_array(arena, count, sizeof(*lanes));
    for (size_t i = 0; i < chunks->count; i++)
        sizes[lane_of[i]]++;
    for (size_t i = 0; i < count; i++) {
        lanes[i] = (struct lane){slots, 0};
        slots += sizes[i];
    }
    for (size_t i = 0; i < chunks->count; i++) {
        struct lane *lane = &lanes[lane_of[i]];
        lane->chunks[lane->count++] = &chunks->items[i];
    }
    *out = (struct lanes){lanes, count};
    return NULL;
}

struct error *lanes_split(const struct chunk_list *chunks, struct arena *arena, struct lanes *out)
{
    if (!is_single(chunks))
        return deal_out(chunks, arena, out);
    *out = lanes_single(chunks, arena);
    return NULL;
}
