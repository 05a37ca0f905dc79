/* Relabelling rules, up to a NUL, and a text that they are applied to, as a value and a name. */
#include "fuzz.h"

#include <string.h>

#include "model/relabel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data, 0, size) : NULL;
    size_t len = end ? (size_t)(end - data) : size;
    struct str rest =
        len < size ? (struct str){(const char *)data + len + 1, size - len - 1} : STR("");
    struct budget *budget = budget_create(NULL, "fuzz", 64 << 20);
    struct arena *arena = arena_create(budget);
    struct relabel_rules *rules;
    struct labels out;
    struct error *err =
        relabel_parse((struct str){(const char *)data, len}, RELABEL_ALL, NULL, &rules);
    if (!err) {
        struct labels_builder builder = labels_builder_create(arena);
        labels_builder_set(&builder, STR("a"), rest);
        labels_builder_set(&builder, STR("b"), STR("x-y"));
        if (label_name_is_valid(rest))
            labels_builder_set(&builder, rest, STR("z"));
        if (relabel_labels(rules, arena, labels_builder_finish(&builder), &out)) {
            struct error *bad = labels_check(out);
            FUZZ_CHECK(!bad || !str_is_utf8(rest));
            error_free(bad);
        }
    }
    error_free(err);
    relabel_free(rules);
    arena_unref(arena);
    budget_free(budget);
    return 0;
}
