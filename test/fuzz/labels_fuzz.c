/* Bytes that pass labels_check() must be safe for everything else. */
#include "fuzz.h"

#include <stdlib.h>

#include "model/labels.h"

static void use(struct arena *arena, struct labels labels)
{
    struct buf out = {0};
    struct labels_reader reader = labels_read(labels);
    struct label label, first = {STR(""), STR("")};
    while (labels_next(&reader, &label)) {
        first = first.name.len ? first : label;
        if (!str_equal(labels_get(labels, label.name), label.value))
            abort();
    }
    struct labels without = labels_without(arena, labels, &first.name, 1);
    struct labels only = labels_only(arena, labels, &first.name, 1);
    struct labels_builder builder = labels_builder_from(arena, labels);
    if (!labels_equal(labels_merge(arena, without, only), labels) ||
        !labels_equal(labels_builder_finish(&builder), labels) ||
        labels_compare(labels, labels) != 0)
        abort();
    (void)labels_hash_by(labels, &first.name, 1);
    (void)labels_hash_without(labels, &first.name, 1);
    (void)labels_shard_hash(labels, false, &first.name, 1);
    labels_print(&out, labels);
    labels_print_metric(&out, labels);
    buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct labels labels = {data, size};
    struct error *err = labels_check(labels);
    if (err) {
        error_free(err);
        return 0;
    }
    struct arena *arena = arena_create(NULL);
    use(arena, labels);
    arena_unref(arena);
    return 0;
}
