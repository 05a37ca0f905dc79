#include "codec/yaml.h"

#include <stdlib.h>
#include <yaml.h>

#include "base/vec.h"
#include "codec/float_text.h"

struct yaml_anchor {
    struct str name;
    struct yaml_node *node; /* NULL while its value is being read */
};

struct yaml_loader {
    yaml_parser_t parser;
    struct arena *arena;
    VEC(struct yaml_anchor) anchors;
    size_t nodes;
};

static struct error *event_next(struct yaml_loader *loader, yaml_event_t *event)
{
    const yaml_parser_t *parser = &loader->parser;
    if (yaml_parser_parse(&loader->parser, event))
        return NULL;
    if (parser->error == YAML_MEMORY_ERROR)
        return error_create(ERROR_LIMIT, "yaml: out of memory");
    if (parser->error == YAML_READER_ERROR)
        return error_create(ERROR_INVALID, "yaml: offset %zu: %s", parser->problem_offset,
                            parser->problem ? parser->problem : "cannot be read");
    return error_create(ERROR_INVALID, "yaml: line %zu, column %zu: %s",
                        parser->problem_mark.line + 1, parser->problem_mark.column + 1,
                        parser->problem ? parser->problem : "cannot be read");
}

static struct error *error_at(const yaml_event_t *event, const char *text)
{
    return error_create(ERROR_INVALID, "yaml: line %zu, column %zu: %s", event->start_mark.line + 1,
                        event->start_mark.column + 1, text);
}

static struct str yaml_text(const yaml_char_t *text)
{
    return str_from((const char *)text);
}

static struct error *node_create(struct yaml_loader *loader, const yaml_event_t *event,
                                 enum yaml_kind kind, struct yaml_node **out)
{
    if (++loader->nodes > YAML_NODES_MAX)
        return error_at(event, "too many values");
    struct yaml_node *node = arena_zalloc(loader->arena, sizeof(*node));
    node->kind = kind;
    node->line = event->start_mark.line + 1;
    node->column = event->start_mark.column + 1;
    node->expanded = 1;
    *out = node;
    return arena_status(loader->arena);
}

/* Sums are of children already checked, so they cannot overflow. */
static struct error *node_adopt(struct yaml_node *parent, const struct yaml_node *child)
{
    parent->expanded += child->expanded;
    parent->height = size_max(parent->height, child->height + 1);
    if (parent->expanded > YAML_NODES_MAX)
        return yaml_error(parent, "document contains excessive aliasing");
    return NULL;
}

static size_t anchor_open(struct yaml_loader *loader, const yaml_char_t *name)
{
    if (name)
        (void)vec_push(&loader->anchors,
                       (struct yaml_anchor){.name = arena_str(loader->arena, yaml_text(name))});
    return loader->anchors.len;
}

static struct error *alias_load(struct yaml_loader *loader, const yaml_event_t *event, size_t depth,
                                struct yaml_node **out)
{
    struct str name = yaml_text(event->data.alias.anchor);
    for (size_t i = loader->anchors.len; i > 0; i--) {
        struct yaml_anchor *anchor = &loader->anchors.items[i - 1];
        if (!str_equal(anchor->name, name))
            continue;
        if (!anchor->node)
            return error_create(ERROR_INVALID, "yaml: anchor '%.*s' value contains itself",
                                STR_ARG(name));
        if (depth + anchor->node->height > YAML_DEPTH_MAX)
            return error_at(event, "nested too deep");
        *out = anchor->node;
        return NULL;
    }
    return error_create(ERROR_INVALID, "yaml: unknown anchor '%.*s' referenced", STR_ARG(name));
}

static struct error *scalar_load(struct yaml_loader *loader, const yaml_event_t *event,
                                 struct yaml_node **out)
{
    struct error *err = node_create(loader, event, YAML_SCALAR, out);
    if (err)
        return err;
    const char *tag = (const char *)event->data.scalar.tag;
    (*out)->text = arena_str(loader->arena, (struct str){(const char *)event->data.scalar.value,
                                                         event->data.scalar.length});
    (*out)->is_text = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE ||
                      (tag && strcmp(tag, YAML_STR_TAG) == 0);
    return arena_status(loader->arena);
}

static struct error *node_load(struct yaml_loader *loader, const yaml_event_t *event, size_t depth,
                               struct yaml_node **out);

/* Reads nodes until the closing event. */
static struct error *children_load(struct yaml_loader *loader, yaml_event_type_t close,
                                   size_t depth, struct yaml_node *parent,
                                   struct yaml_node ***items, size_t *count)
{
    VEC(struct yaml_node *) children = VEC_INIT(arena_budget(loader->arena));
    struct error *err = NULL;
    for (bool open = true; open && !err;) {
        yaml_event_t event;
        struct yaml_node *child = NULL;
        err = event_next(loader, &event);
        if (err)
            break;
        open = event.type != close;
        if (open)
            err = node_load(loader, &event, depth, &child);
        if (open && !err)
            err = node_adopt(parent, child);
        if (open && !err && !vec_push(&children, child))
            err = vec_status(&children);
        yaml_event_delete(&event);
    }
    if (!err) {
        *items = arena_array(loader->arena, children.len, sizeof(**items));
        if (children.len)
            memcpy(*items, children.items, children.len * sizeof(**items));
        *count = children.len;
    }
    vec_deinit(&children);
    return err;
}

static struct error *sequence_load(struct yaml_loader *loader, const yaml_event_t *event,
                                   size_t depth, struct yaml_node **out)
{
    struct error *err = node_create(loader, event, YAML_SEQUENCE, out);
    if (!err)
        err = children_load(loader, YAML_SEQUENCE_END_EVENT, depth + 1, *out, &(*out)->items,
                            &(*out)->count);
    return err;
}

static bool is_merge(const struct yaml_node *key)
{
    return key->kind == YAML_SCALAR && !key->is_text && str_equal(key->text, STR("<<"));
}

/* Order of keys, then of their place. */
static int pair_compare(const void *a, const void *b)
{
    const struct yaml_pair *x = *(struct yaml_pair *const *)a, *y = *(struct yaml_pair *const *)b;
    int order = str_compare(x->key->text, y->key->text);
    return order ? order : x < y ? -1 : x > y;
}

/* Own pairs come first in the array: of equal keys the first own one stays, and a second own one is
 * an error. */
static struct error *pairs_unify(struct yaml_loader *loader, struct yaml_node *node,
                                 struct yaml_pair *pairs, size_t own, size_t count)
{
    struct yaml_pair **order = arena_array(loader->arena, count, sizeof(struct yaml_pair *));
    for (size_t i = 0; i < count; i++)
        order[i] = &pairs[i];
    if (count)
        qsort(order, count, sizeof(struct yaml_pair *), pair_compare);
    for (size_t i = 1; i < count; i++) {
        if (!str_equal(order[i]->key->text, order[i - 1]->key->text))
            continue;
        if (order[i] < pairs + own)
            return yaml_error(order[i]->key, "key \"%.*s\" already set in map",
                              STR_ARG(order[i]->key->text));
        order[i]->value = NULL;
        struct yaml_pair *first = order[i - 1];
        order[i - 1] = order[i];
        order[i] = first; /* so that a third equal key meets the one that stays */
    }
    for (size_t i = 0; i < count; i++)
        if (pairs[i].value)
            pairs[node->count++] = pairs[i];
    node->pairs = pairs;
    return arena_status(loader->arena);
}

/* How many pairs a value of "<<" brings. */
static struct error *merge_count(const struct yaml_node *key, const struct yaml_node *value,
                                 size_t *count)
{
    if (value->kind == YAML_MAPPING) {
        *count += value->count;
        return NULL;
    }
    for (size_t i = 0; value->kind == YAML_SEQUENCE && i < value->count; i++) {
        if (value->items[i]->kind != YAML_MAPPING)
            return yaml_error(key, "map merge requires map or sequence of maps as the value");
        *count += value->items[i]->count;
    }
    if (value->kind == YAML_SEQUENCE)
        return NULL;
    return yaml_error(key, "map merge requires map or sequence of maps as the value");
}

static void merge_add(struct yaml_pair **at, const struct yaml_node *value)
{
    if (value->kind == YAML_SEQUENCE) {
        for (size_t i = 0; i < value->count; i++)
            merge_add(at, value->items[i]);
        return;
    }
    if (value->count)
        memcpy(*at, value->pairs, value->count * sizeof(**at));
    *at += value->count;
}

static struct error *mapping_fill(struct yaml_loader *loader, struct yaml_node *node,
                                  struct yaml_node **items, size_t count)
{
    size_t merged = 0;
    for (size_t i = 0; i < count; i += 2) {
        struct error *err = NULL;
        if (items[i]->kind != YAML_SCALAR)
            err = yaml_error(items[i], "a key must be a plain value");
        else if (is_merge(items[i]))
            err = merge_count(items[i], items[i + 1], &merged);
        if (err)
            return err;
    }
    if (merged > YAML_NODES_MAX)
        return yaml_error(node, "document contains excessive aliasing");
    struct yaml_pair *pairs =
        arena_try_alloc(loader->arena, (count / 2 + merged + 1) * sizeof(*pairs));
    if (!pairs)
        return arena_status(loader->arena);
    struct yaml_pair *at = pairs;
    for (size_t i = 0; i < count; i += 2)
        if (!is_merge(items[i]))
            *at++ = (struct yaml_pair){items[i], items[i + 1]};
    size_t own = (size_t)(at - pairs);
    for (size_t i = 0; i < count; i += 2)
        if (is_merge(items[i]))
            merge_add(&at, items[i + 1]);
    return pairs_unify(loader, node, pairs, own, (size_t)(at - pairs));
}

static struct error *mapping_load(struct yaml_loader *loader, const yaml_event_t *event,
                                  size_t depth, struct yaml_node **out)
{
    struct yaml_node **items = NULL;
    size_t count = 0;
    struct error *err = node_create(loader, event, YAML_MAPPING, out);
    if (!err)
        err = children_load(loader, YAML_MAPPING_END_EVENT, depth + 1, *out, &items, &count);
    return err ? err : mapping_fill(loader, *out, items, count);
}

static struct error *node_load(struct yaml_loader *loader, const yaml_event_t *event, size_t depth,
                               struct yaml_node **out)
{
    struct error *err = NULL;
    size_t anchor = 0, before = loader->anchors.len;
    if (depth > YAML_DEPTH_MAX)
        return error_at(event, "nested too deep");
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return alias_load(loader, event, depth, out);
    case YAML_SCALAR_EVENT:
        anchor = anchor_open(loader, event->data.scalar.anchor);
        err = scalar_load(loader, event, out);
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = anchor_open(loader, event->data.sequence_start.anchor);
        err = sequence_load(loader, event, depth, out);
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = anchor_open(loader, event->data.mapping_start.anchor);
        err = mapping_load(loader, event, depth, out);
        break;
    default:
        return error_at(event, "unexpected structure");
    }
    if (!err && anchor > before)
        loader->anchors.items[anchor - 1].node = *out;
    return err;
}

static struct error *document_load(struct yaml_loader *loader, struct yaml_node **root)
{
    struct error *err = NULL;
    for (bool done = false; !done && !err;) {
        yaml_event_t event;
        err = event_next(loader, &event);
        if (err)
            return err;
        switch (event.type) {
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_START_EVENT:
            break;
        case YAML_STREAM_END_EVENT:
        case YAML_DOCUMENT_END_EVENT:
            done = true;
            break;
        default:
            err = node_load(loader, &event, 1, root);
        }
        yaml_event_delete(&event);
    }
    return err;
}

struct error *yaml_parse(struct str text, struct arena *arena, struct yaml_node **root)
{
    *root = NULL;
    if (text.len > YAML_TEXT_MAX)
        return error_create(ERROR_LIMIT, "yaml: %zu bytes are too many", text.len);
    struct yaml_loader loader = {.arena = arena, .anchors = VEC_INIT(NULL)};
    if (!yaml_parser_initialize(&loader.parser))
        return error_create(ERROR_LIMIT, "yaml: out of memory");
    yaml_parser_set_encoding(&loader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&loader.parser, (const unsigned char *)text.data, text.len);
    struct error *err = document_load(&loader, root);
    yaml_parser_delete(&loader.parser);
    vec_deinit(&loader.anchors);
    if (err)
        *root = NULL;
    return err;
}

struct yaml_node *yaml_get(const struct yaml_node *node, const char *key)
{
    if (!node || node->kind != YAML_MAPPING)
        return NULL;
    for (size_t i = 0; i < node->count; i++)
        if (str_equal(node->pairs[i].key->text, str_from(key)))
            return node->pairs[i].value;
    return NULL;
}

static bool is_word(struct str text, const char *const *words)
{
    for (; *words; words++)
        if (str_equal(text, str_from(*words)))
            return true;
    return false;
}

bool yaml_is_null(const struct yaml_node *node)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL", NULL};
    return !node || (node->kind == YAML_SCALAR && !node->is_text && is_word(node->text, words));
}

struct error *yaml_error(const struct yaml_node *node, const char *format, ...)
{
    va_list args;
    struct buf text = {0};
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    struct error *err = error_create(ERROR_INVALID, "yaml: line %zu: %.*s", node ? node->line : 1,
                                     STR_ARG(buf_str(&text)));
    buf_deinit(&text);
    return err;
}

static bool parse_bool(struct str text, bool *out)
{
    static const char *const yes[] = {"y",    "Y",    "yes", "Yes", "YES", "true",
                                      "True", "TRUE", "on",  "On",  "ON",  NULL};
    static const char *const no[] = {"n",     "N",     "no",  "No",  "NO",  "false",
                                     "False", "FALSE", "off", "Off", "OFF", NULL};
    *out = is_word(text, yes);
    return *out || is_word(text, no);
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
}

/* A whole number with Go's base prefixes; underscores anywhere between are taken out, as Go's YAML
 * does. */
static bool parse_int64(struct str text, int64_t *out)
{
    bool negative = text.len && text.data[0] == '-';
    if (text.len && (text.data[0] == '-' || text.data[0] == '+'))
        text = str_slice(text, 1, text.len);
    int base = 10;
    if (text.len > 1 && text.data[0] == '0') {
        char mark = (char)(text.data[1] | 0x20);
        base = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 8;
        text = str_slice(text, base == 8 && mark != 'o' ? 1 : 2, text.len);
    }
    uint64_t value = 0;
    size_t digits = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '_')
            continue;
        int digit = digit_value(text.data[i]);
        if (digit >= base || __builtin_mul_overflow(value, (uint64_t)base, &value) ||
            __builtin_add_overflow(value, (uint64_t)digit, &value))
            return false;
        digits++;
    }
    if (digits == 0 || value > (uint64_t)INT64_MAX + negative)
        return false;
    *out = (int64_t)(negative ? 0 - value : value);
    return true;
}

static bool parse_double(struct str text, double *out)
{
    static const char *const infinity[] = {".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", NULL};
    static const char *const minus[] = {"-.inf", "-.Inf", "-.INF", NULL};
    static const char *const nan[] = {".nan", ".NaN", ".NAN", NULL};
    int64_t whole;
    if (is_word(text, infinity))
        return float_from_str(STR("inf"), out);
    if (is_word(text, minus))
        return float_from_str(STR("-inf"), out);
    if (is_word(text, nan))
        return float_from_str(STR("nan"), out);
    if (parse_int64(text, &whole)) {
        *out = (double)whole;
        return true;
    }
    bool starts_well = text.len && ((text.data[0] >= '0' && text.data[0] <= '9') ||
                                    strchr("+-.", text.data[0]) != NULL);
    return starts_well && text.data[0] && float_from_str(text, out);
}

static const char *tag_of(const struct yaml_node *node)
{
    bool yes;
    int64_t whole;
    double real;
    if (node->kind != YAML_SCALAR)
        return node->kind == YAML_MAPPING ? "!!map" : "!!seq";
    if (node->is_text)
        return "!!str";
    if (parse_bool(node->text, &yes))
        return "!!bool";
    if (parse_int64(node->text, &whole))
        return "!!int";
    return parse_double(node->text, &real) ? "!!float" : "!!str";
}

static struct error *wrong_type(const struct yaml_node *node, const char *wanted)
{
    if (node->kind != YAML_SCALAR)
        return yaml_error(node, "cannot unmarshal %s into %s", tag_of(node), wanted);
    struct str shown = str_slice(node->text, 0, 64);
    return yaml_error(node, "cannot unmarshal %s `%.*s` into %s", tag_of(node), STR_ARG(shown),
                      wanted);
}

struct error *yaml_str(const struct yaml_node *node, struct str *out)
{
    if (yaml_is_null(node))
        return NULL;
    if (node->kind != YAML_SCALAR)
        return wrong_type(node, "string");
    *out = node->text;
    return NULL;
}

struct error *yaml_bool(const struct yaml_node *node, bool *out)
{
    bool value;
    if (yaml_is_null(node))
        return NULL;
    if (node->kind != YAML_SCALAR || node->is_text || !parse_bool(node->text, &value))
        return wrong_type(node, "bool");
    *out = value;
    return NULL;
}

struct error *yaml_int64(const struct yaml_node *node, int64_t *out)
{
    int64_t value;
    double real;
    if (yaml_is_null(node))
        return NULL;
    if (node->kind != YAML_SCALAR || node->is_text)
        return wrong_type(node, "int");
    if (!parse_int64(node->text, &value)) { /* 1e3 and 5.0 are whole numbers too */
        if (!parse_double(node->text, &real) || !(real >= -9007199254740992.0) ||
            !(real <= 9007199254740992.0) || (double)(int64_t)real != real)
            return wrong_type(node, "int");
        value = (int64_t)real;
    }
    *out = value;
    return NULL;
}

struct error *yaml_double(const struct yaml_node *node, double *out)
{
    double value;
    if (yaml_is_null(node))
        return NULL;
    if (node->kind != YAML_SCALAR || node->is_text || !parse_double(node->text, &value))
        return wrong_type(node, "float64");
    *out = value;
    return NULL;
}

struct error *yaml_expect(const struct yaml_node *node, enum yaml_kind kind)
{
    static const char *const names[] = {"a plain value", "a list", "a map"};
    if (yaml_is_null(node) || node->kind == kind)
        return NULL;
    return wrong_type(node, names[kind]);
}

struct error *yaml_check_keys(const struct yaml_node *node, const char *const *names, size_t count,
                              const char *type)
{
    for (size_t i = 0; node && node->kind == YAML_MAPPING && i < node->count; i++) {
        struct str key = node->pairs[i].key->text;
        size_t at = 0;
        while (at < count && !str_equal(key, str_from(names[at])))
            at++;
        if (at == count)
            return yaml_error(node->pairs[i].key, "field %.*s not found in type %s", STR_ARG(key),
                              type);
    }
    return NULL;
}

static bool needs_quotes(struct str value)
{
    struct yaml_node node = {.kind = YAML_SCALAR, .text = value};
    if (yaml_is_null(&node) || strcmp(tag_of(&node), "!!str") != 0)
        return true;
    for (size_t i = 0; i < value.len; i++) {
        char c = value.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '_' || c == '/' || (i > 0 && (c == '-' || c == '.'));
        if (!plain)
            return true;
    }
    return false;
}

void yaml_append_str(struct buf *out, struct str value)
{
    if (!needs_quotes(value)) {
        buf_append_str(out, value);
        return;
    }
    buf_append_byte(out, '"');
    for (size_t at = 0; at < value.len;) {
        size_t start = at;
        uint32_t rune = str_next_rune(value, &at);
        if (rune == '"' || rune == '\\')
            buf_printf(out, "\\%c", (char)rune);
        else if (rune < 0x20 || rune == 0x7f)
            buf_printf(out, "\\x%02x", (unsigned)rune);
        else if (rune >= 0x80)
            buf_printf(out, rune < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)rune);
        else
            buf_append(out, value.data + start, at - start);
    }
    buf_append_byte(out, '"');
}
