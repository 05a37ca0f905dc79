/* Questions and answers of peers: byte 0 says which message, and whether the rest is the message or
 * JSON. What was read must be the same after a trip over the wire, and its JSON readable. */
#include "fuzz.h"

#include <string.h>

#include "base/budget.h"
#include "peers/peers.h"
#include "rpc/grpc_peer.h"

static struct bytes encode(const struct record_type *type, const void *record, struct buf *wire)
{
    buf_clear(wire);
    record_encode(wire, type, record);
    return buf_bytes(wire);
}

/* Encoding is a function of what was read: twice over the wire gives the same bytes. */
static void check_wire(const struct record_type *type, const void *record, struct arena *arena)
{
    struct buf first = BUF_INIT(NULL), second = BUF_INIT(NULL);
    void *again = arena_zalloc(arena, type->size);
    struct error *err = record_decode(encode(type, record, &first), arena, type, again);
    if (!err) {
        encode(type, again, &second);
        FUZZ_CHECK(first.len == second.len &&
                   (first.len == 0 || memcmp(first.data, second.data, first.len) == 0));
    }
    FUZZ_CHECK(!err || error_kind(err) == ERROR_LIMIT);
    error_free(err);
    buf_deinit(&first);
    buf_deinit(&second);
}

static void check_json(const struct record_type *type, const void *record, struct arena *arena)
{
    struct buf out = BUF_INIT(NULL);
    struct json_writer json = json_write(&out, JSON_HTML_SAFE);
    record_write_json(&json, type, record);
    struct json_reader reader = json_read(buf_str(&out), arena);
    json_skip(&reader);
    struct error *err = json_finish(&reader, "what was written");
    FUZZ_CHECK(!err || error_kind(err) == ERROR_LIMIT);
    error_free(err);
    buf_deinit(&out);
}

static void try_metadata_json(struct str text, struct arena *arena)
{
    struct metric_metadata metadata;
    struct json_reader reader = json_read(text, arena);
    metric_metadata_read_json(&reader, &metadata);
    struct error *err = json_finish(&reader, "metadata");
    if (!err)
        check_wire(&metric_metadata_type, &metadata, arena);
    error_free(err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct record_type *const types[] = {
        &rule_group_type,       &targets_type,     &metric_metadata_type,
        &series_exemplars_type, &tsdb_status_type, &tsdb_stats_type,
    };
    if (size < 1)
        return 0;
    struct budget *budget = budget_create(NULL, "fuzz", 64 << 20);
    struct arena *arena = arena_create(budget);
    const struct bytes rest = {data + 1, size - 1};
    unsigned which = data[0] / 4 % (countof(types) + PEERS_TOPICS);
    const struct record_type *type =
        which < countof(types) ? types[which] : peers_topics[which - countof(types)].question;
    void *record = arena_zalloc(arena, type->size);
    struct error *err = NULL;
    if (data[0] % 4 == 0) {
        struct json_reader reader = json_read(bytes_str(rest), arena);
        record_read_json(&reader, type, record);
        err = json_finish(&reader, "record");
    } else if (data[0] % 4 == 1) {
        struct peers_frame frame;
        err = peers_frame_decode(rest, &frame);
        if (!err)
            err = record_decode(frame.data, arena, type, record);
    } else if (data[0] % 4 == 2) {
        try_metadata_json(bytes_str(rest), arena);
    } else {
        err = record_decode(rest, arena, type, record);
    }
    if (!err) {
        check_wire(type, record, arena);
        check_json(type, record, arena);
    }
    error_free(err);
    arena_unref(arena);
    budget_free(budget);
    return 0;
}
