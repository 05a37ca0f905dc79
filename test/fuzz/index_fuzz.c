/* The parts of an index, behind their checksums: the first byte says which one. */
#include "base/budget.h"
#include "block/chunk_file.h"
#include "block/index_format.h"
#include "block/postings.h"
#include "block/tombstones.h"
#include "codec/crc32c.h"
#include "fuzz.h"

static const uint8_t symbol_section[] = {0, 0, 0, 3, 0, 1, 'a', 2, 'b', 'c'};

static void read_series(struct bytes body, struct arena *arena)
{
    struct symbol_table symbols;
    struct index_series series;
    error_free(
        symbol_table_open(&symbols, (struct bytes){symbol_section, sizeof(symbol_section)}, 2, 0));
    struct error *err =
        index_series_decode(body, &symbols, INT64_MIN, INT64_MAX, true, arena, &series);
    for (size_t i = 1; !err && i < series.chunk_count; i++)
        FUZZ_CHECK(series.chunks[i].min_time >= series.chunks[i - 1].max_time);
    error_free(err);
    symbol_table_close(&symbols);
}

static void read_symbols(struct bytes content, int version)
{
    struct symbol_table symbols;
    struct str symbol;
    struct error *err = symbol_table_open(&symbols, content, version, 5);
    for (uint32_t i = 0; !err && i < content.len + 8; i++)
        (void)symbol_table_get(&symbols, i, &symbol);
    if (!err)
        symbol_table_close(&symbols);
    error_free(err);
}

static void read_table(struct bytes content, struct arena *arena)
{
    struct postings_table table;
    struct error *err = postings_table_open(&table, content, 1 << 20);
    for (size_t i = 0; !err && i < table.name_count; i++) {
        struct postings_key key, again;
        struct postings_cursor cursor = postings_values(&table, &table.names[i], STR(""));
        size_t count = 0;
        while (postings_values_next(&cursor, &key)) {
            FUZZ_CHECK(postings_table_find(&table, key.name, key.value, &again));
            FUZZ_CHECK(again.start == key.start && again.end == key.end);
            count++;
        }
        FUZZ_CHECK(count == table.names[i].value_count);
    }
    if (!err) {
        struct matcher matcher;
        struct postings_plan plan;
        err = matcher_create(arena, MATCH_REGEX, STR("a"), STR(".+"), &matcher);
        if (!err)
            err = postings_plan_make(&table, &matcher, 1, arena, &plan);
        postings_table_close(&table);
    }
    error_free(err);
}

static void read_tombstones(struct bytes entries)
{
    struct buf file = {0};
    struct tombstones tombstones;
    uint32_t checksum = __builtin_bswap32(crc32c(0, entries.data, entries.len));
    buf_append(&file, "\x01\x30\xba\x30\x01", 5);
    buf_append(&file, entries.data, entries.len);
    buf_append(&file, &checksum, sizeof(checksum));
    struct error *err = tombstones_parse(buf_bytes(&file), &tombstones);
    if (!err)
        tombstones_deinit(&tombstones);
    error_free(err);
    buf_deinit(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct budget *budget = budget_create(NULL, "fuzz", 64 << 20);
    struct arena *arena = arena_create(budget);
    struct bytes rest = {data + 1, size - 1};
    struct postings postings;
    struct chunk chunk;
    struct index_toc toc;
    size_t need;
    switch (data[0] % 8) {
    case 0:
        read_series(rest, arena);
        break;
    case 1:
    case 2:
        read_symbols(rest, data[0] % 8);
        break;
    case 3:
        read_table(rest, arena);
        break;
    case 4:
        read_tombstones(rest);
        break;
    case 5:
        error_free(postings_decode(rest, arena, &postings));
        break;
    case 6:
        error_free(chunk_frame_read(rest, &(struct chunk_meta){0}, arena, &chunk, &need));
        break;
    default:
        error_free(index_toc_read(rest, size, &toc));
        break;
    }
    arena_unref(arena);
    budget_free(budget);
    return 0;
}
