#include "codec/pb.h"

enum { PB_FIELD_MAX = (1 << 29) - 1, PB_GROUP_DEPTH_MAX = 64 };

void pb_fail(struct pb_reader *reader, const char *failure)
{
    if (!reader->failure)
        reader->failure = failure;
    reader->at = reader->end;
}

uint64_t pb_varint_slow(struct pb_reader *reader)
{
    uint64_t value = 0;
    size_t len = varint_decode(reader->at, (size_t)(reader->end - reader->at), &value);
    if (len == 0) {
        pb_fail(reader, reader->end - reader->at < VARINT_MAX ? "unexpected end"
                                                              : "number longer than 64 bits");
        return 0;
    }
    reader->at += len;
    return value;
}

bool pb_next_slow(struct pb_reader *reader)
{
    if (reader->at >= reader->end)
        return false;
    uint64_t tag = pb_varint_raw(reader);
    if (reader->failure)
        return false;
    if (tag >> 3 == 0 || tag >> 3 > PB_FIELD_MAX) {
        pb_fail(reader, "illegal field number");
        return false;
    }
    reader->field = (uint32_t)(tag >> 3);
    reader->wire = (enum pb_wire)(tag & 7);
    if (reader->wire > PB_FIXED32) {
        pb_fail(reader, "illegal wire type");
        return false;
    }
    return true;
}

static bool pb_is(struct pb_reader *reader, enum pb_wire wire)
{
    if (reader->failure)
        return false;
    if (reader->wire != wire)
        pb_fail(reader, "wrong wire type for a field");
    return !reader->failure;
}

static const uint8_t *pb_take(struct pb_reader *reader, size_t len)
{
    if ((size_t)(reader->end - reader->at) < len) {
        pb_fail(reader, "unexpected end");
        return NULL;
    }
    const uint8_t *taken = reader->at;
    reader->at += len;
    return taken;
}

uint64_t pb_uint64(struct pb_reader *reader)
{
    return pb_is(reader, PB_VARINT) ? pb_varint_raw(reader) : 0;
}

int64_t pb_int64(struct pb_reader *reader)
{
    return (int64_t)pb_uint64(reader);
}

int32_t pb_int32(struct pb_reader *reader)
{
    return (int32_t)(uint32_t)pb_uint64(reader);
}

uint32_t pb_uint32(struct pb_reader *reader)
{
    return (uint32_t)pb_uint64(reader);
}

bool pb_bool(struct pb_reader *reader)
{
    return pb_uint64(reader) != 0;
}

int64_t pb_sint64(struct pb_reader *reader)
{
    return zigzag_decode(pb_uint64(reader));
}

static uint64_t little_endian(const uint8_t *p, size_t size)
{
    uint64_t value = 0;
    for (size_t i = size; i > 0; i--)
        value = value << 8 | p[i - 1];
    return value;
}

uint64_t pb_fixed64(struct pb_reader *reader)
{
    const uint8_t *p = pb_is(reader, PB_FIXED64) ? pb_take(reader, 8) : NULL;
    return p ? little_endian(p, 8) : 0;
}

int64_t pb_sfixed64(struct pb_reader *reader)
{
    return (int64_t)pb_fixed64(reader);
}

uint32_t pb_fixed32(struct pb_reader *reader)
{
    const uint8_t *p = pb_is(reader, PB_FIXED32) ? pb_take(reader, 4) : NULL;
    return p ? (uint32_t)little_endian(p, 4) : 0;
}

double pb_double(struct pb_reader *reader)
{
    uint64_t bits = pb_fixed64(reader);
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

float pb_float(struct pb_reader *reader)
{
    uint32_t bits = pb_fixed32(reader);
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static struct bytes pb_length_raw(struct pb_reader *reader)
{
    uint64_t len = pb_varint_raw(reader);
    if (len > (uint64_t)(reader->end - reader->at)) {
        pb_fail(reader, "unexpected end");
        return (struct bytes){reader->end, 0};
    }
    struct bytes view = {reader->at, (size_t)len};
    reader->at += len;
    return view;
}

struct bytes pb_bytes_slow(struct pb_reader *reader)
{
    if (!pb_is(reader, PB_LENGTH))
        return (struct bytes){reader->end, 0};
    return pb_length_raw(reader);
}

static void pb_skip_value(struct pb_reader *reader)
{
    switch (reader->wire) {
    case PB_VARINT:
        (void)pb_varint_raw(reader);
        break;
    case PB_FIXED64:
        (void)pb_take(reader, 8);
        break;
    case PB_LENGTH:
        (void)pb_length_raw(reader);
        break;
    case PB_FIXED32:
        (void)pb_take(reader, 4);
        break;
    default:
        break;
    }
}

void pb_skip_slow(struct pb_reader *reader)
{
    size_t depth = 0;
    do {
        if (reader->wire == PB_GROUP_START) {
            if (++depth > PB_GROUP_DEPTH_MAX)
                pb_fail(reader, "groups nested too deep");
        } else if (reader->wire == PB_GROUP_END) {
            if (depth == 0)
                pb_fail(reader, "end of a group that did not begin");
            else
                depth--;
        } else {
            pb_skip_value(reader);
        }
        if (depth > 0 && !pb_next(reader))
            pb_fail(reader, "unexpected end");
    } while (depth > 0 && !reader->failure);
}

struct pb_reader pb_repeated(struct pb_reader *reader, enum pb_wire element)
{
    struct pb_reader values = {.at = reader->end, .end = reader->end, .wire = element};
    if (reader->failure)
        return values;
    if (reader->wire == PB_LENGTH) {
        struct bytes packed = pb_length_raw(reader);
        values.at = packed.data;
        values.end = packed.data + packed.len;
    } else if (pb_is(reader, element)) {
        values.at = reader->at;
        pb_skip_value(reader);
        values.end = reader->failure ? values.at : reader->at;
    }
    values.field = reader->field;
    return values;
}

void pb_join(struct pb_reader *reader, const struct pb_reader *values)
{
    if (values->failure)
        pb_fail(reader, values->failure);
}

struct error *pb_error(const struct pb_reader *reader, const char *what)
{
    if (!reader->failure)
        return NULL;
    return error_create(ERROR_CORRUPT, "%s: %s", what, reader->failure);
}

/* Tag and value go out in one append: at most 5 + 10 bytes. */
static void put_varint(struct buf *out, uint32_t field, uint64_t value)
{
    char *room = buf_reserve(out, 5 + VARINT_MAX);
    if (!room)
        return;
    uint8_t *at = (uint8_t *)room;
    size_t len = varint_encode(at, (uint64_t)field << 3 | PB_VARINT);
    len += varint_encode(at + len, value);
    out->len += len;
}

static void put_fixed(struct buf *out, uint32_t field, enum pb_wire wire, uint64_t value,
                      size_t size)
{
    char *room = buf_reserve(out, 5 + 8);
    if (!room)
        return;
    uint8_t *at = (uint8_t *)room;
    size_t len = varint_encode(at, (uint64_t)field << 3 | wire);
    for (size_t i = 0; i < size; i++)
        at[len++] = (uint8_t)(value >> (8 * i));
    out->len += len;
}

void pb_put_length(struct buf *out, uint32_t field, size_t size)
{
    char *room = buf_reserve(out, 5 + VARINT_MAX);
    if (!room)
        return;
    uint8_t *at = (uint8_t *)room;
    size_t len = varint_encode(at, (uint64_t)field << 3 | PB_LENGTH);
    len += varint_encode(at + len, size);
    out->len += len;
}

void pb_put_uint64_always(struct buf *out, uint32_t field, uint64_t value)
{
    put_varint(out, field, value);
}

void pb_put_uint64(struct buf *out, uint32_t field, uint64_t value)
{
    if (value)
        put_varint(out, field, value);
}

void pb_put_int64(struct buf *out, uint32_t field, int64_t value)
{
    pb_put_uint64(out, field, (uint64_t)value);
}

void pb_put_sint64(struct buf *out, uint32_t field, int64_t value)
{
    pb_put_uint64(out, field, zigzag_encode(value));
}

void pb_put_bool(struct buf *out, uint32_t field, bool value)
{
    pb_put_uint64(out, field, value);
}

void pb_put_fixed64(struct buf *out, uint32_t field, uint64_t value)
{
    if (value)
        put_fixed(out, field, PB_FIXED64, value, 8);
}

void pb_put_fixed32(struct buf *out, uint32_t field, uint32_t value)
{
    if (value)
        put_fixed(out, field, PB_FIXED32, value, 4);
}

static uint64_t double_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

void pb_put_double_always(struct buf *out, uint32_t field, double value)
{
    put_fixed(out, field, PB_FIXED64, double_bits(value), 8);
}

void pb_put_double(struct buf *out, uint32_t field, double value)
{
    pb_put_fixed64(out, field, double_bits(value));
}

void pb_put_bytes_always(struct buf *out, uint32_t field, struct bytes value)
{
    pb_put_length(out, field, value.len);
    buf_append(out, value.data, value.len);
}

void pb_put_bytes(struct buf *out, uint32_t field, struct bytes value)
{
    if (value.len)
        pb_put_bytes_always(out, field, value);
}

void pb_put_str_always(struct buf *out, uint32_t field, struct str value)
{
    pb_put_bytes_always(out, field, str_bytes(value));
}

void pb_put_str(struct buf *out, uint32_t field, struct str value)
{
    pb_put_bytes(out, field, str_bytes(value));
}

static void put_raw_varint(struct buf *out, uint64_t value)
{
    char *room = buf_reserve(out, VARINT_MAX);
    if (room)
        out->len += varint_encode((uint8_t *)room, value);
}

void pb_put_packed_uint64(struct buf *out, uint32_t field, const uint64_t *values, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += varint_size(values[i]);
    if (count)
        pb_put_length(out, field, size);
    for (size_t i = 0; i < count; i++)
        put_raw_varint(out, values[i]);
}

void pb_put_packed_sint64(struct buf *out, uint32_t field, const int64_t *values, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += varint_size(zigzag_encode(values[i]));
    if (count)
        pb_put_length(out, field, size);
    for (size_t i = 0; i < count; i++)
        put_raw_varint(out, zigzag_encode(values[i]));
}

void pb_put_packed_double(struct buf *out, uint32_t field, const double *values, size_t count)
{
    if (count == 0)
        return;
    pb_put_length(out, field, count * 8);
    char *room = buf_reserve(out, count * 8);
    if (!room)
        return;
    for (size_t i = 0; i < count; i++) {
        uint64_t bits = double_bits(values[i]);
        for (size_t byte = 0; byte < 8; byte++)
            room[i * 8 + byte] = (char)(bits >> (8 * byte));
    }
    out->len += count * 8;
}

/* The mark holds where the message begins and, in its low 4 bits, how many bytes were left for the
 * length. */
size_t pb_begin(struct buf *out, uint32_t field, size_t expected)
{
    size_t width = varint_size(expected);
    char *room = buf_reserve(out, 5 + VARINT_MAX);
    if (!room)
        return 0;
    size_t tag = varint_encode((uint8_t *)room, (uint64_t)field << 3 | PB_LENGTH);
    memset(room + tag, 0, width);
    out->len += tag + width;
    return out->len << 4 | width;
}

void pb_end(struct buf *out, size_t mark)
{
    size_t start = mark >> 4, width = mark & 15;
    if (out->refused || width == 0)
        return;
    size_t size = out->len - start, needed = varint_size(size);
    if (needed > width && !buf_reserve(out, needed - width))
        return;
    if (needed != width)
        memmove(out->data + start - width + needed, out->data + start, size);
    varint_encode((uint8_t *)out->data + start - width, size);
    out->len = start - width + needed + size;
}
