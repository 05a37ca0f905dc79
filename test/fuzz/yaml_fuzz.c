#include "codec/yaml.h"

#include "fuzz.h"

static void walk(const struct yaml_node *node)
{
    bool flag;
    int64_t whole;
    double real;
    struct str text;
    error_free(yaml_bool(node, &flag));
    error_free(yaml_int64(node, &whole));
    error_free(yaml_double(node, &real));
    error_free(yaml_str(node, &text));
    for (size_t i = 0; node && node->kind == YAML_SEQUENCE && i < node->count; i++)
        walk(node->items[i]);
    for (size_t i = 0; node && node->kind == YAML_MAPPING && i < node->count; i++) {
        walk(node->pairs[i].key);
        walk(node->pairs[i].value);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_create(NULL);
    struct yaml_node *root = NULL;
    struct error *err = yaml_parse((struct str){(const char *)data, size}, arena, &root);
    if (!err && root && root->expanded < 20000)
        walk(root);
    error_free(err);
    arena_unref(arena);
    return 0;
}
