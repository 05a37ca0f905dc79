#include "net/config_yaml.h"

/* Texts of yaml_expect() would show what stands there, which may be a password. */
struct error *config_expect(const struct yaml_node *node, enum yaml_kind kind, const char *what)
{
    if (yaml_is_null(node) || node->kind == kind)
        return NULL;
    return yaml_error(node, "%s is not a %s", what, kind == YAML_MAPPING ? "mapping" : "list");
}

struct error *config_section(const struct yaml_node *node, const char *what,
                             const char *const *keys, size_t count, const char *type)
{
    struct error *err = config_expect(node, YAML_MAPPING, what);
    return err ? err : yaml_check_keys(node, keys, count, type);
}

struct error *config_str(const struct yaml_node *parent, const char *key, struct arena *arena,
                         struct str *out)
{
    const struct yaml_node *node = yaml_get(parent, key);
    struct str text = {0};
    if (node && node->kind != YAML_SCALAR)
        return yaml_error(node, "%s is not a text", key);
    struct error *err = yaml_str(node, &text);
    if (!err && text.len)
        *out = arena_str(arena, text);
    return err;
}

struct error *config_path(const struct yaml_node *parent, const char *key, struct str directory,
                          struct arena *arena, struct str *out)
{
    struct str path = {0};
    struct error *err = config_str(parent, key, arena, &path);
    if (err || path.len == 0)
        return err;
    if (path.data[0] != '/' && directory.len) {
        struct buf joined = {0};
        buf_printf(&joined, "%.*s/%.*s", STR_ARG(directory), STR_ARG(path));
        path = arena_str(arena, buf_str(&joined));
        buf_deinit(&joined);
    }
    *out = path;
    return NULL;
}

struct error *config_strs(const struct yaml_node *parent, const char *key, struct arena *arena,
                          const struct str **items, size_t *count)
{
    const struct yaml_node *node = yaml_get(parent, key);
    struct error *err = config_expect(node, YAML_SEQUENCE, key);
    if (err || yaml_is_null(node) || node->count == 0)
        return err;
    struct str *list = arena_array(arena, node->count, sizeof(*list));
    for (size_t i = 0; !err && i < node->count; i++) {
        struct str text = {0};
        err = yaml_str(node->items[i], &text);
        if (!err)
            list[i] = arena_str(arena, text);
    }
    *items = list;
    *count = node->count;
    return err;
}
