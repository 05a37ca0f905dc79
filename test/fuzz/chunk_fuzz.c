/* First byte: the encoding; the rest is the chunk. What decodes must transcode to the same samples.
 */
#include "fuzz.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "chunk/chunk.h"
#include "chunk/samples.h"
#include "model/histogram.h"

static void compare(const struct samples *a, const struct samples *b)
{
    if (a->count != b->count || (a->count && memcmp(a->times, b->times, a->count * 8) != 0) ||
        (a->count && memcmp(a->values, b->values, a->count * 8) != 0))
        abort();
    for (size_t i = 0; i < a->count && a->histograms; i++)
        if (!isnan(a->histograms[i]->zero_threshold) && /* equal to nothing */
            !histogram_equal(a->histograms[i], b->histograms[i]))
            abort();
}

static void use(const struct samples *samples)
{
    struct buf out = {0};
    for (size_t i = 0; i < samples->count && samples->histograms; i++) {
        buf_clear(&out);
        histogram_print(&out, samples->histograms[i]);
        error_free(histogram_check(samples->histograms[i]));
    }
    buf_deinit(&out);
}

/* The same with start times. */
static struct error *decode_starts(const struct chunk_data *chunk, struct arena *arena,
                                   struct samples *out)
{
    size_t count = chunk_sample_count(chunk);
    struct error *err = samples_reserve(arena, count, chunk_has_histograms(chunk->encoding), out);
    if (!err)
        err = samples_reserve_starts(arena, count, out);
    return err ? err : chunk_append(chunk, arena, out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct budget *budget = budget_create(NULL, "fuzz", 64 << 20);
    struct arena *arena = arena_create(budget);
    struct samples samples, again;
    if (size > 0) {
        struct chunk_data chunk = {(enum chunk_encoding)(data[0] % 8), {data + 1, size - 1}, 0};
        struct chunk_data plain;
        struct error *err = chunk_decode(&chunk, INT64_MIN, INT64_MAX, arena, &samples);
        if (!err) {
            use(&samples);
            err = chunk_transcode(&chunk, arena, &plain);
        }
        if (!err)
            err = chunk_decode(&plain, INT64_MIN, INT64_MAX, arena, &again);
        if (!err)
            compare(&samples, &again);
        if (!err)
            err = decode_starts(&chunk, arena, &again);
        if (!err)
            compare(&samples, &again);
        else if (error_kind(err) != ERROR_CORRUPT && error_kind(err) != ERROR_LIMIT)
            abort();
        error_free(err);
    }
    arena_unref(arena);
    budget_free(budget);
    return 0;
}
