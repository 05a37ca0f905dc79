#include "model/labels.h"

#include "base/hash.h"
#include "model/quote.h"

static bool name_is(const struct label *label, struct str name)
{
    return label->name.len == name.len && memcmp(label->name.data, name.data, name.len) == 0;
}

/* Start of the first 8 bytes (or fewer, near the end) in which the two differ, then the byte. */
static size_t first_difference(const uint8_t *a, const uint8_t *b, size_t len)
{
    size_t at = 0;
    for (; at + 8 <= len; at += 8) {
        uint64_t x, y;
        memcpy(&x, a + at, 8);
        memcpy(&y, b + at, 8);
        if (x != y)
            break;
    }
    while (at < len && a[at] == b[at])
        at++;
    return at;
}

int labels_compare(struct labels a, struct labels b)
{
    size_t shorter = size_min(a.len, b.len);
    size_t at = first_difference(a.data, b.data, shorter);
    if (at == shorter) /* equal texts end at the same bytes: the shorter one ends with a pair */
        return a.len < b.len ? -1 : a.len > b.len;
    /* Everything before the text that holds the difference is equal, its length in front included,
     * so one walk finds it in both. */
    struct labels_reader left = labels_read(a), right = labels_read(b);
    struct str x, y;
    do {
        x = labels_read_str(&left);
        y = labels_read_str(&right);
    } while (left.at <= a.data + at);
    return str_compare(x, y);
}

uint64_t labels_hash(struct labels labels)
{
    return hash_bytes(labels.data, labels.len);
}

/* Gathers bytes on the stack and hashes them at once; falls back to the stream when they are many.
 */
struct hash_pieces {
    size_t len;
    bool streaming;
    struct hash_stream stream;
    uint8_t bytes[1024];
};

static void pieces_add(struct hash_pieces *pieces, const void *data, size_t len)
{
    if (len > sizeof(pieces->bytes) - pieces->len) {
        if (!pieces->streaming)
            hash_stream_init(&pieces->stream);
        pieces->streaming = true;
        hash_stream_add(&pieces->stream, pieces->bytes, pieces->len);
        pieces->len = 0;
        if (len > sizeof(pieces->bytes)) {
            hash_stream_add(&pieces->stream, data, len);
            return;
        }
    }
    memcpy(pieces->bytes + pieces->len, data, len);
    pieces->len += len;
}

static uint64_t pieces_sum(struct hash_pieces *pieces)
{
    if (!pieces->streaming)
        return hash_bytes(pieces->bytes, pieces->len);
    hash_stream_add(&pieces->stream, pieces->bytes, pieces->len);
    return hash_stream_sum(&pieces->stream);
}

/* Whether a sorted list has the name. Both sides are walked once: *at only grows. */
static bool list_has(const struct str *names, size_t count, size_t *at, struct str name)
{
    while (*at < count) {
        int order = str_compare(names[*at], name);
        if (order >= 0)
            return order == 0;
        ++*at;
    }
    return false;
}

uint64_t labels_hash_by(struct labels labels, const struct str *names, size_t count)
{
    struct hash_pieces pieces;
    struct labels_reader reader = labels_read(labels);
    struct label label;
    const uint8_t *start = reader.at;
    size_t at = 0;
    pieces.len = 0;
    pieces.streaming = false;
    while (at < count && labels_next(&reader, &label)) {
        if (list_has(names, count, &at, label.name))
            pieces_add(&pieces, start, (size_t)(reader.at - start));
        start = reader.at;
    }
    return pieces_sum(&pieces);
}

uint64_t labels_hash_without(struct labels labels, const struct str *names, size_t count)
{
    struct hash_pieces pieces;
    struct labels_reader reader = labels_read(labels);
    struct label label;
    const uint8_t *run = reader.at, *start = reader.at;
    size_t at = 0;
    pieces.len = 0;
    pieces.streaming = false;
    while (labels_next(&reader, &label)) {
        if (name_is(&label, STR("__name__")) || list_has(names, count, &at, label.name)) {
            pieces_add(&pieces, run, (size_t)(start - run));
            run = reader.at;
        }
        start = reader.at;
    }
    if (start != run)
        pieces_add(&pieces, run, (size_t)(start - run));
    return pieces_sum(&pieces);
}

uint64_t labels_shard_hash(struct labels labels, bool by, const struct str *names, size_t count)
{
    static const uint8_t separator = 0xff;
    struct hash_pieces pieces;
    struct labels_reader reader = labels_read(labels);
    struct label label;
    size_t at = 0;
    pieces.len = 0;
    pieces.streaming = false;
    while (labels_next(&reader, &label)) {
        if (list_has(names, count, &at, label.name) != by)
            continue;
        pieces_add(&pieces, label.name.data, label.name.len);
        pieces_add(&pieces, &separator, 1);
        pieces_add(&pieces, label.value.data, label.value.len);
        pieces_add(&pieces, &separator, 1);
    }
    return pieces_sum(&pieces);
}

static bool labels_find(struct labels labels, struct str name, struct str *value)
{
    struct labels_reader reader = labels_read(labels);
    struct label label;
    if (name.len == 0)
        return false;
    while (labels_next(&reader, &label)) {
        if ((uint8_t)label.name.data[0] > (uint8_t)name.data[0])
            return false; /* sorted: it cannot come any more */
        if (name_is(&label, name)) {
            *value = label.value;
            return true;
        }
    }
    return false;
}

struct str labels_get(struct labels labels, struct str name)
{
    struct str value = STR_INIT("");
    (void)labels_find(labels, name, &value);
    return value;
}

bool labels_has(struct labels labels, struct str name)
{
    struct str value;
    return labels_find(labels, name, &value);
}

size_t labels_count(struct labels labels)
{
    struct labels_reader reader = labels_read(labels);
    struct label label;
    size_t count = 0;
    while (labels_next(&reader, &label))
        count++;
    return count;
}

struct labels labels_copy(struct arena *arena, struct labels labels)
{
    if (labels.len == 0)
        return (struct labels){NULL, 0};
    return (struct labels){memcpy(arena_bytes(arena, labels.len), labels.data, labels.len),
                           labels.len};
}

/* Keeps the pairs for which "is in the list" equals `keep_listed`; gives `labels` back when that
 * is all of them. Copies in runs. */
static struct labels labels_filter(struct arena *arena, struct labels labels,
                                   const struct str *names, size_t count, bool keep_listed)
{
    struct labels_reader reader = labels_read(labels);
    struct label label;
    const uint8_t *run = reader.at, *start = reader.at;
    uint8_t *copy = NULL;
    size_t at = 0, len = 0;
    while (labels_next(&reader, &label)) {
        if (list_has(names, count, &at, label.name) != keep_listed) {
            if (!copy)
                copy = arena_bytes(arena, labels.len);
            memcpy(copy + len, run, (size_t)(start - run));
            len += (size_t)(start - run);
            run = reader.at;
        }
        start = reader.at;
    }
    if (!copy)
        return labels;
    memcpy(copy + len, run, (size_t)(start - run));
    return (struct labels){copy, len + (size_t)(start - run)};
}

struct labels labels_without(struct arena *arena, struct labels labels, const struct str *names,
                             size_t count)
{
    return count == 0 ? labels : labels_filter(arena, labels, names, count, false);
}

struct labels labels_only(struct arena *arena, struct labels labels, const struct str *names,
                          size_t count)
{
    return labels_filter(arena, labels, names, count, true);
}

/* One side of a merge: the pair in front and its bytes. */
struct merge_side {
    struct labels_reader reader;
    struct label label;
    const uint8_t *start;
    bool ended;
};

static void merge_side_next(struct merge_side *side)
{
    side->start = side->reader.at;
    side->ended = !labels_next(&side->reader, &side->label);
}

static uint8_t *append_rest(uint8_t *out, const struct merge_side *side)
{
    if (side->ended)
        return out;
    size_t len = (size_t)(side->reader.end - side->start);
    return (uint8_t *)memcpy(out, side->start, len) + len;
}

struct labels labels_merge(struct arena *arena, struct labels labels, struct labels over)
{
    if (labels.len + over.len == 0)
        return (struct labels){NULL, 0};
    uint8_t *data = arena_bytes(arena, labels.len + over.len), *out = data;
    struct merge_side base = {.reader = labels_read(labels)}, top = {.reader = labels_read(over)};
    merge_side_next(&base);
    merge_side_next(&top);
    while (!base.ended && !top.ended) {
        int order = str_compare(base.label.name, top.label.name);
        struct merge_side *from = order < 0 ? &base : &top;
        size_t len = (size_t)(from->reader.at - from->start);
        memcpy(out, from->start, len);
        out += len;
        merge_side_next(from);
        if (order == 0)
            merge_side_next(&base);
    }
    out = append_rest(out, &base);
    out = append_rest(out, &top);
    return (struct labels){data, (size_t)(out - data)};
}

/* ---- checks ---- */

static bool check_str(const uint8_t **at, const uint8_t *end, struct str *out)
{
    if (*at == end)
        return false;
    size_t len = *(*at)++;
    if (len == 0xff) {
        if (end - *at < 3)
            return false;
        len = (size_t)(*at)[0] | (size_t)(*at)[1] << 8 | (size_t)(*at)[2] << 16;
        if (len < 0xff) /* one way to write each set, or equality would not be memcmp */
            return false;
        *at += 3;
    }
    if ((size_t)(end - *at) < len)
        return false;
    *out = (struct str){(const char *)*at, len};
    *at += len;
    return true;
}

struct error *labels_check(struct labels labels)
{
    struct str previous = STR_INIT(""), name, value;
    if (labels.len > LABELS_BYTES_MAX)
        return error_create(ERROR_LIMIT, "label set of %zu bytes", labels.len);
    if (labels.len == 0)
        return NULL;
    const uint8_t *at = labels.data, *end = labels.data + labels.len;
    while (at < end) {
        if (!check_str(&at, end, &name) || !check_str(&at, end, &value))
            return error_create(ERROR_CORRUPT, "label set ends within a pair");
        if (name.len == 0 || value.len == 0)
            return error_create(ERROR_CORRUPT, "label set with an empty %s",
                                name.len == 0 ? "name" : "value");
        if (str_compare(previous, name) >= 0)
            return error_create(ERROR_CORRUPT, "label set with names out of order");
        previous = name;
    }
    return NULL;
}

bool label_name_is_valid(struct str name)
{
    return name.len > 0 && str_is_utf8(name);
}

static bool name_is_legacy(struct str name, bool colon)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && !(c == ':' && colon) && !(i > 0 && c >= '0' && c <= '9'))
            return false;
    }
    return name.len > 0;
}

bool label_name_is_legacy(struct str name)
{
    return name_is_legacy(name, false);
}

bool metric_name_is_legacy(struct str name)
{
    return name_is_legacy(name, true);
}

/* ---- printing ---- */

static void print_pair(struct buf *out, const struct label *label)
{
    if (label_name_is_legacy(label->name))
        buf_append_str(out, label->name);
    else
        quote_append(out, label->name);
    buf_append_byte(out, '=');
    quote_append(out, label->value);
}

void labels_print(struct buf *out, struct labels labels)
{
    struct labels_reader reader = labels_read(labels);
    struct label label;
    buf_append_byte(out, '{');
    for (bool first = true; labels_next(&reader, &label); first = false) {
        if (!first)
            buf_append(out, ", ", 2);
        print_pair(out, &label);
    }
    buf_append_byte(out, '}');
}

void labels_print_metric(struct buf *out, struct labels labels)
{
    struct str metric = labels_get(labels, STR("__name__"));
    bool plain = metric_name_is_legacy(metric);
    size_t pairs = labels_count(labels) - (metric.len > 0);
    if (plain)
        buf_append_str(out, metric);
    if (plain && pairs == 0)
        return;
    buf_append_byte(out, '{');
    if (metric.len > 0 && !plain) {
        quote_append(out, metric);
        if (pairs > 0)
            buf_append(out, ", ", 2);
    }
    struct labels_reader reader = labels_read(labels);
    struct label label;
    bool first = true;
    while (labels_next(&reader, &label)) {
        if (name_is(&label, STR("__name__")))
            continue;
        if (!first)
            buf_append(out, ", ", 2);
        print_pair(out, &label);
        first = false;
    }
    buf_append_byte(out, '}');
}
