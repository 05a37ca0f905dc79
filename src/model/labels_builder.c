#include "model/labels.h"

struct labels_builder labels_builder_create(struct arena *arena)
{
    return (struct labels_builder){.arena = arena, .sorted = true};
}

struct labels_builder labels_builder_from(struct arena *arena, struct labels labels)
{
    struct labels_builder builder = labels_builder_create(arena);
    struct labels_reader reader = labels_read(labels);
    struct label label;
    while (labels_next(&reader, &label))
        labels_builder_set(&builder, label.name, label.value);
    return builder;
}

static struct str builder_cut(struct labels_builder *builder, struct str s)
{
    if (s.len <= LABEL_LENGTH_MAX)
        return s;
    builder->too_long = true;
    return (struct str){s.data, LABEL_LENGTH_MAX};
}

void labels_builder_set(struct labels_builder *builder, struct str name, struct str value)
{
    name = builder_cut(builder, name);
    value = builder_cut(builder, value);
    if (name.len + value.len + 8 > LABELS_BYTES_MAX - builder->bytes) {
        builder->too_long = true;
        return;
    }
    if (builder->count == builder->cap) {
        size_t cap = size_max(16, builder->cap * 2);
        struct label *pairs = arena_array(builder->arena, cap, sizeof(*pairs));
        if (builder->count)
            memcpy(pairs, builder->pairs, builder->count * sizeof(*pairs));
        builder->pairs = pairs;
        builder->cap = cap;
    }
    if (builder->count && builder->sorted)
        builder->sorted = str_compare(builder->pairs[builder->count - 1].name, name) < 0;
    builder->pairs[builder->count++] = (struct label){name, value};
    builder->bytes += name.len + value.len + 8;
}

void labels_builder_remove(struct labels_builder *builder, struct str name)
{
    labels_builder_set(builder, name, STR(""));
}

struct str labels_builder_get(const struct labels_builder *builder, struct str name)
{
    for (size_t i = builder->count; i-- > 0;)
        if (str_equal(builder->pairs[i].name, name))
            return builder->pairs[i].value;
    return STR("");
}

/* Merges two sorted halves; of equal names the left one, set earlier, stays in front. */
static void merge_halves(const struct label *from, struct label *to, size_t left, size_t middle,
                         size_t end)
{
    size_t right = middle;
    for (size_t out = left; out < end; out++) {
        bool take_right =
            left == middle || (right < end && str_compare(from[right].name, from[left].name) < 0);
        to[out] = from[take_right ? right++ : left++];
    }
}

/* Stable: the order of setting decides among equal names. */
static void builder_sort(struct labels_builder *builder)
{
    struct label *from = builder->pairs;
    struct label *to = arena_array(builder->arena, builder->cap, sizeof(*to));
    for (size_t width = 1; width < builder->count; width *= 2) {
        for (size_t at = 0; at < builder->count; at += 2 * width)
            merge_halves(from, to, at, size_min(at + width, builder->count),
                         size_min(at + 2 * width, builder->count));
        struct label *swap = from;
        from = to;
        to = swap;
    }
    builder->pairs = from;
}

static uint8_t *append_text(uint8_t *out, struct str s)
{
    if (s.len < 0xff) {
        *out++ = (uint8_t)s.len;
    } else {
        *out++ = 0xff;
        *out++ = (uint8_t)s.len;
        *out++ = (uint8_t)(s.len >> 8);
        *out++ = (uint8_t)(s.len >> 16);
    }
    if (s.len)
        memcpy(out, s.data, s.len);
    return out + s.len;
}

uint8_t *labels_put_pair(uint8_t *out, struct str name, struct str value)
{
    return append_text(append_text(out, name), value);
}

/* Keeps the last pair of each name, and that only when it has a value. */
static void builder_compact(struct labels_builder *builder)
{
    size_t kept = 0;
    for (size_t i = 0; i < builder->count; i++) {
        bool is_last = i + 1 == builder->count ||
                       !str_equal(builder->pairs[i].name, builder->pairs[i + 1].name);
        if (is_last && builder->pairs[i].name.len && builder->pairs[i].value.len)
            builder->pairs[kept++] = builder->pairs[i];
    }
    builder->count = kept;
    builder->sorted = true;
}

struct labels labels_builder_finish(struct labels_builder *builder)
{
    if (!builder->sorted)
        builder_sort(builder);
    builder_compact(builder);
    size_t bytes = 0;
    for (size_t i = 0; i < builder->count; i++) {
        const struct label *pair = &builder->pairs[i];
        bytes += (pair->name.len < 0xff ? 1 : 4) + pair->name.len;
        bytes += (pair->value.len < 0xff ? 1 : 4) + pair->value.len;
    }
    if (bytes == 0)
        return (struct labels){NULL, 0};
    uint8_t *data = arena_bytes(builder->arena, bytes), *out = data;
    for (size_t i = 0; i < builder->count; i++) {
        out = labels_put_pair(out, builder->pairs[i].name, builder->pairs[i].value);
    }
    return (struct labels){data, bytes};
}

struct error *labels_builder_status(const struct labels_builder *builder)
{
    if (!builder->too_long)
        return NULL;
    return error_create(ERROR_LIMIT,
                        "label name or value over %d bytes, or label set over %d bytes",
                        LABEL_LENGTH_MAX, LABELS_BYTES_MAX);
}
