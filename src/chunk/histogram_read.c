#include "chunk/histogram_read.h"

#include <math.h>

#include "chunk/varbit.h"

/* ---- layout ---- */

static double take_threshold(struct bit_reader *bits)
{
    unsigned byte = (unsigned)bits_take(bits, 8);
    if (byte == 0)
        return 0;
    if (byte == 255)
        return double_from_bits(bits_take(bits, 64));
    return ldexp(0.5, (int)byte - 243);
}

static struct error *broken(const struct histogram_reader *reader, const char *what)
{
    return error_create(ERROR_CORRUPT, "%shistogram chunk of %zu samples: %s",
                        reader->integers ? "" : "float ", reader->total, what);
}

static struct error *read_spans(struct histogram_reader *reader, struct arena *arena,
                                const struct histogram_span **out, size_t *span_count,
                                size_t *bucket_count)
{
    struct bit_reader *bits = &reader->bits;
    uint64_t count = varbit_take_uint(bits), buckets = 0;
    if (count > bits_left(bits) / 2) /* a span takes two bits at least */
        return broken(reader, "more spans than bytes");
    struct histogram_span *spans = NULL;
    if (count) {
        spans = arena_try_alloc(arena, (size_t)count * sizeof(*spans));
        if (!spans)
            return arena_status(arena);
    }
    for (size_t i = 0; i < count; i++) {
        spans[i].length = (uint32_t)varbit_take_uint(bits);
        spans[i].offset = (int32_t)varbit_take_int(bits);
        buckets += spans[i].length;
    }
    if (buckets > bits_left(bits)) /* a bucket takes one bit at least */
        return broken(reader, "more buckets than bytes");
    *out = spans;
    *span_count = (size_t)count;
    *bucket_count = (size_t)buckets;
    return NULL;
}

static struct error *read_custom_values(struct histogram_reader *reader, struct arena *arena)
{
    struct bit_reader *bits = &reader->bits;
    uint64_t count = varbit_take_uint(bits);
    if (count > bits_left(bits) / 5)
        return broken(reader, "more bounds than bytes");
    if (count == 0)
        return NULL;
    double *bounds = arena_try_alloc(arena, (size_t)count * sizeof(*bounds));
    if (!bounds)
        return arena_status(arena);
    for (size_t i = 0; i < count; i++) {
        uint64_t thousandths = varbit_take_uint(bits);
        bounds[i] =
            thousandths ? (double)(thousandths - 1) / 1000 : double_from_bits(bits_take(bits, 64));
    }
    reader->layout.custom_values = bounds;
    reader->layout.custom_count = (size_t)count;
    return NULL;
}

static struct error *read_layout(struct histogram_reader *reader, struct arena *arena)
{
    struct histogram_layout *layout = &reader->layout;
    layout->zero_threshold = take_threshold(&reader->bits);
    int64_t schema = varbit_take_int(&reader->bits);
    bool custom = schema == HISTOGRAM_SCHEMA_CUSTOM;
    if (!custom && (schema < HISTOGRAM_SCHEMA_MIN_KNOWN || schema > HISTOGRAM_SCHEMA_MAX_KNOWN))
        return broken(reader, "unknown schema");
    layout->schema = (int32_t)schema;
    struct error *err = read_spans(reader, arena, &layout->positive_spans,
                                   &layout->positive_span_count, &layout->positive_count);
    if (!err)
        err = read_spans(reader, arena, &layout->negative_spans, &layout->negative_span_count,
                         &layout->negative_count);
    if (!err && custom)
        err = read_custom_values(reader, arena);
    return err;
}

static struct error *alloc_buckets(struct histogram_reader *reader, struct arena *arena)
{
    size_t count = reader->layout.positive_count + reader->layout.negative_count;
    size_t size = reader->integers ? sizeof(*reader->buckets) : sizeof(*reader->float_buckets);
    if (count > bits_left(&reader->bits))
        return broken(reader, "more buckets than bytes");
    if (count == 0)
        return NULL;
    void *buckets = arena_try_alloc(arena, count * size);
    if (!buckets)
        return arena_status(arena);
    memset(buckets, 0, count * size);
    if (reader->integers)
        reader->buckets = buckets;
    else
        reader->float_buckets = buckets;
    return NULL;
}

struct error *histogram_reader_init(struct histogram_reader *reader, struct bytes bytes,
                                    bool integers, bool start_times, struct arena *arena)
{
    size_t count = (size_t)bytes.data[0] << 8 | bytes.data[1];
    *reader = (struct histogram_reader){
        .bits = bits_read((struct bytes){bytes.data + 3, bytes.len - 3}),
        .integers = integers,
        .flags = start_times ? bytes.data[0] : bytes.data[2],
        .starts = {.head = start_times ? bytes.data[2] : 0},
        .total = start_times ? count & 0x3fff : count,
    };
    if (reader->total > bytes.len * 8)
        return broken(reader, "more samples than bytes");
    if (reader->total == 0)
        return NULL;
    struct error *err = read_layout(reader, arena);
    if (!err)
        err = alloc_buckets(reader, arena);
    if (!err && !bits_ok(&reader->bits))
        err = broken(reader, "cut within its layout");
    return err;
}

/* ---- samples ---- */

static void take_first_integers(struct histogram_reader *reader)
{
    struct bit_reader *bits = &reader->bits;
    reader->count.value = varbit_take_uint(bits);
    reader->zero_count.value = varbit_take_uint(bits);
    reader->sum.bits = bits_take(bits, 64);
    size_t count = reader->layout.positive_count + reader->layout.negative_count;
    for (size_t i = 0; i < count; i++)
        reader->buckets[i].value = (uint64_t)varbit_take_int(bits);
}

static void take_counter(struct bit_reader *bits, struct histogram_counter *counter)
{
    counter->delta += (uint64_t)varbit_take_int(bits);
    counter->value += counter->delta;
}

static bool take_integers(struct histogram_reader *reader)
{
    struct bit_reader *bits = &reader->bits;
    take_counter(bits, &reader->count);
    take_counter(bits, &reader->zero_count);
    if (!xor_value_read(bits, &reader->sum))
        return false;
    if (histogram_reader_is_stale(reader))
        return true;
    size_t count = reader->layout.positive_count + reader->layout.negative_count;
    for (size_t i = 0; i < count; i++)
        take_counter(bits, &reader->buckets[i]);
    return true;
}

static void take_first_floats(struct histogram_reader *reader)
{
    struct bit_reader *bits = &reader->bits;
    reader->float_count.bits = bits_take(bits, 64);
    reader->float_zero_count.bits = bits_take(bits, 64);
    reader->sum.bits = bits_take(bits, 64);
    size_t count = reader->layout.positive_count + reader->layout.negative_count;
    for (size_t i = 0; i < count; i++)
        reader->float_buckets[i].bits = bits_take(bits, 64);
}

static bool take_floats(struct histogram_reader *reader)
{
    struct bit_reader *bits = &reader->bits;
    if (!xor_value_read(bits, &reader->float_count) ||
        !xor_value_read(bits, &reader->float_zero_count) || !xor_value_read(bits, &reader->sum))
        return false;
    if (histogram_reader_is_stale(reader))
        return true;
    size_t count = reader->layout.positive_count + reader->layout.negative_count;
    for (size_t i = 0; i < count; i++)
        if (!xor_value_read(bits, &reader->float_buckets[i]))
            return false;
    return true;
}

struct error *histogram_reader_next(struct histogram_reader *reader)
{
    bool ok = true;
    uint64_t time_before = reader->time.value;
    if (reader->read == 0) {
        reader->time.value = (uint64_t)varbit_take_int(&reader->bits);
        if (reader->integers)
            take_first_integers(reader);
        else
            take_first_floats(reader);
    } else {
        take_counter(&reader->bits, &reader->time);
        ok = reader->integers ? take_integers(reader) : take_floats(reader);
    }
    reader->sample_end = bits_position(&reader->bits);
    start_reader_next(&reader->starts, &reader->bits, reader->read, reader->time.value,
                      time_before);
    reader->read++;
    if (!ok || !bits_ok(&reader->bits))
        return broken(reader, "cut or broken");
    return NULL;
}

bool histogram_reader_is_stale(const struct histogram_reader *reader)
{
    return reader->sum.bits == STALE_NAN_BITS;
}

static enum histogram_reset sample_reset(const struct histogram_reader *reader)
{
    if ((reader->flags & 0xc0) == 0xc0)
        return HISTOGRAM_GAUGE;
    /* Within a chunk there are no resets. What its head says of the first sample holds only next
     * to the chunk that was written before it, which may not be the one that is read before it. */
    return reader->read > 1 ? HISTOGRAM_RESET_NO : HISTOGRAM_RESET_UNKNOWN;
}

/* Counts of one side; `first` is its place in the reader's buckets. */
static void fill_buckets(const struct histogram_reader *reader, size_t first, size_t count,
                         double *out)
{
    uint64_t integer = 0;
    for (size_t i = 0; i < count; i++) {
        if (reader->integers) {
            integer += reader->buckets[first + i].value;
            out[i] = (double)(int64_t)integer;
        } else {
            out[i] = double_from_bits(reader->float_buckets[first + i].bits);
        }
    }
}

void histogram_reader_sample(const struct histogram_reader *reader, double *counts,
                             struct arena *arena, struct histogram *out)
{
    const struct histogram_layout *layout = &reader->layout;
    *out = (struct histogram){.sum = double_from_bits(reader->sum.bits)};
    if (histogram_reader_is_stale(reader))
        return;
    out->reset = sample_reset(reader);
    out->schema = layout->schema;
    out->zero_threshold = layout->zero_threshold;
    out->zero_count = reader->integers ? (double)reader->zero_count.value
                                       : double_from_bits(reader->float_zero_count.bits);
    out->count =
        reader->integers ? (double)reader->count.value : double_from_bits(reader->float_count.bits);
    out->positive = (struct histogram_side){layout->positive_spans, layout->positive_span_count,
                                            counts, layout->positive_count};
    out->negative =
        (struct histogram_side){layout->negative_spans, layout->negative_span_count,
                                counts + layout->positive_count, layout->negative_count};
    out->custom_values = layout->custom_values;
    out->custom_count = layout->custom_count;
    fill_buckets(reader, 0, layout->positive_count, out->positive.buckets);
    fill_buckets(reader, layout->positive_count, layout->negative_count, out->negative.buckets);
    if (out->schema > HISTOGRAM_SCHEMA_MAX)
        histogram_reduce(out, HISTOGRAM_SCHEMA_MAX, arena);
}

/* ---- rows ---- */

/* Memory for all samples of a chunk at once: not more than its bits can fill. */
struct sample_block {
    struct histogram *items;
    double *counts;
    size_t item_room, count_room; /* what is left; of counts in samples */
};

static struct error *block_init(struct sample_block *block, const struct histogram_reader *reader,
                                struct arena *arena)
{
    size_t buckets = reader->layout.positive_count + reader->layout.negative_count;
    size_t bits = bits_left(&reader->bits);
    block->item_room = size_min(reader->total, bits / 4 + 1); /* four numbers, a bit at least */
    block->count_room = size_min(reader->total, bits / (buckets + 1) + 1);
    block->items = arena_try_alloc(arena, block->item_room * sizeof(*block->items));
    block->counts = arena_try_alloc(arena, block->count_room * buckets * sizeof(double) + 1);
    return block->items && block->counts ? NULL : arena_status(arena);
}

static struct histogram *block_take(struct sample_block *block,
                                    const struct histogram_reader *reader, struct arena *arena)
{
    size_t buckets = reader->layout.positive_count + reader->layout.negative_count;
    bool stale = histogram_reader_is_stale(reader);
    if (block->item_room == 0 || (!stale && block->count_room == 0))
        return NULL;
    struct histogram *item = block->items++;
    histogram_reader_sample(reader, block->counts, arena, item);
    block->item_room--;
    block->counts += stale ? 0 : buckets;
    block->count_room -= !stale;
    return item;
}

static struct error *append_all(struct bytes bytes, bool integers, bool start_times,
                                struct arena *arena, struct samples *into)
{
    struct histogram_reader reader;
    struct sample_block block = {0};
    struct error *err = histogram_reader_init(&reader, bytes, integers, start_times, arena);
    if (!err && reader.total > 0)
        err = block_init(&block, &reader, arena);
    while (!err && reader.read < reader.total) {
        err = histogram_reader_next(&reader);
        if (err)
            break;
        struct histogram *histogram = block_take(&block, &reader, arena);
        if (!histogram)
            return broken(&reader, "more samples than its bits can hold");
        size_t at = into->count + reader.read - 1;
        into->times[at] = (int64_t)reader.time.value;
        into->values[at] = histogram->sum;
        into->histograms[at] = histogram;
        if (into->starts)
            into->starts[at] = (int64_t)reader.starts.start;
    }
    if (!err)
        into->count += reader.total;
    return err;
}

struct error *histogram_append(struct bytes bytes, struct arena *arena, struct samples *into)
{
    return append_all(bytes, true, false, arena, into);
}

struct error *float_histogram_append(struct bytes bytes, struct arena *arena, struct samples *into)
{
    return append_all(bytes, false, false, arena, into);
}

struct error *histogram_st_append(struct bytes bytes, struct arena *arena, struct samples *into)
{
    return append_all(bytes, true, true, arena, into);
}

struct error *float_histogram_st_append(struct bytes bytes, struct arena *arena,
                                        struct samples *into)
{
    return append_all(bytes, false, true, arena, into);
}

static void copy_bits(struct bit_writer *out, struct bytes bytes, size_t from, size_t to)
{
    struct bit_reader bits = bits_read((struct bytes){bytes.data + from / 8, bytes.len - from / 8});
    if (from % 8)
        (void)bits_take(&bits, (unsigned)(from % 8));
    while (from < to) {
        unsigned count = (unsigned)size_min(to - from, 56);
        bits_put(out, bits_take(&bits, count), count);
        from += count;
    }
}

struct error *histogram_drop_starts(struct bytes bytes, bool integers, struct arena *arena,
                                    struct bytes *out)
{
    struct histogram_reader reader;
    struct buf buf = BUF_INIT(arena_budget(arena));
    struct bit_writer writer = {.out = &buf};
    struct bytes body = {bytes.data + 3, bytes.len - 3};
    size_t from = 0;
    struct error *err = histogram_reader_init(&reader, bytes, integers, true, arena);
    uint8_t head[3] = {(uint8_t)(reader.total >> 8), (uint8_t)reader.total, reader.flags & 0xc0};
    buf_append(&buf, head, sizeof(head));
    while (!err && reader.read < reader.total) {
        err = histogram_reader_next(&reader);
        if (err)
            break;
        copy_bits(&writer, body, from, reader.sample_end);
        from = bits_position(&reader.bits);
    }
    bits_end(&writer);
    if (!err)
        err = buf_status(&buf);
    if (!err)
        *out = str_bytes(arena_str(arena, buf_str(&buf)));
    buf_deinit(&buf);
    return err;
}
