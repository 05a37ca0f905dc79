#include "model/relabel.h"

#include <locale.h>
#include <pthread.h>
#include <stdlib.h>
#include <wctype.h>

#include "base/memory.h"
#include "codec/digest.h"
#include "codec/regex.h"
#include "codec/yaml.h"
#include "runtime/log.h"

static const char *const action_names[] = {
    [RELABEL_REPLACE] = "replace",
    [RELABEL_KEEP] = "keep",
    [RELABEL_DROP] = "drop",
    [RELABEL_KEEP_EQUAL] = "keepequal",
    [RELABEL_DROP_EQUAL] = "dropequal",
    [RELABEL_HASH_MOD] = "hashmod",
    [RELABEL_LABEL_MAP] = "labelmap",
    [RELABEL_LABEL_DROP] = "labeldrop",
    [RELABEL_LABEL_KEEP] = "labelkeep",
    [RELABEL_LOWERCASE] = "lowercase",
    [RELABEL_UPPERCASE] = "uppercase",
};

enum {
    TARGETED = RELABEL_BIT(RELABEL_REPLACE) | RELABEL_BIT(RELABEL_HASH_MOD) |
               RELABEL_BIT(RELABEL_LOWERCASE) | RELABEL_BIT(RELABEL_UPPERCASE) |
               RELABEL_BIT(RELABEL_KEEP_EQUAL) | RELABEL_BIT(RELABEL_DROP_EQUAL),
    EQUALS = RELABEL_BIT(RELABEL_KEEP_EQUAL) | RELABEL_BIT(RELABEL_DROP_EQUAL),
    CASES = RELABEL_BIT(RELABEL_LOWERCASE) | RELABEL_BIT(RELABEL_UPPERCASE),
    NAMES = RELABEL_BIT(RELABEL_LABEL_DROP) | RELABEL_BIT(RELABEL_LABEL_KEEP),
};

struct rule {
    enum relabel_action action;
    bool has_sources;
    struct str *sources;
    size_t source_count;
    struct str separator, target, replacement;
    uint64_t modulus;
    struct regex *regex;
    bool has_regex; /* one of its own */
    size_t groups;  /* of the regex, with the whole */
};

struct relabel_rules {
    struct arena *arena; /* of the texts */
    struct rule *items;
    size_t count;
};

/* -- reading -- */

static bool is_template(struct str text)
{
    return str_find_char(text, '$') < text.len;
}

static bool is_one_of(const struct rule *rule, unsigned actions)
{
    return (RELABEL_BIT(rule->action) & actions) != 0;
}

static struct error *invalid_name(const struct rule *rule, struct str name, const char *field)
{
    return error_create(ERROR_INVALID, "\"%.*s\" is invalid '%s' for %s action", STR_ARG(name),
                        field, action_names[rule->action]);
}

/* In the order of Prometheus, so that of several mistakes the same one is named. */
static struct error *rule_check(const struct rule *rule)
{
    const char *name = action_names[rule->action];
    bool is_plain = str_equal(rule->separator, STR(";")) &&
                    str_equal(rule->replacement, STR("$1")) && rule->modulus == 0;
    if (rule->modulus == 0 && rule->action == RELABEL_HASH_MOD)
        return error_create(ERROR_INVALID,
                            "relabel configuration for hashmod requires non-zero modulus");
    if (is_one_of(rule, TARGETED) && rule->target.len == 0)
        return error_create(ERROR_INVALID,
                            "relabel configuration for %s action requires 'target_label' value",
                            name);
    if (is_one_of(rule, TARGETED) && !label_name_is_valid(rule->target))
        return invalid_name(rule, rule->target, "target_label");
    if (is_one_of(rule, CASES | EQUALS) && !str_equal(rule->replacement, STR("$1")))
        return error_create(ERROR_INVALID, "'replacement' can not be set for %s action", name);
    if (rule->action == RELABEL_LABEL_MAP && !label_name_is_valid(rule->replacement))
        return invalid_name(rule, rule->replacement, "replacement");
    if (is_one_of(rule, EQUALS) && (rule->has_regex || !is_plain))
        return error_create(ERROR_INVALID,
                            "%s action requires only 'source_labels' and `target_label`, and no "
                            "other fields",
                            name);
    if (is_one_of(rule, NAMES) && (rule->has_sources || rule->target.len || !is_plain))
        return error_create(ERROR_INVALID, "%s action requires only 'regex', and no other fields",
                            name);
    return NULL;
}

static struct error *read_action(const struct yaml_node *node, enum relabel_action *out)
{
    struct str text = STR("replace");
    struct error *err = yaml_str(node, &text);
    for (size_t i = 0; !err && i < countof(action_names); i++)
        if (str_equal_nocase(text, str_from(action_names[i]))) {
            *out = (enum relabel_action)i;
            return NULL;
        }
    return err ? err : yaml_error(node, "unknown relabel action \"%.*s\"", STR_ARG(text));
}

static struct error *read_sources(const struct yaml_node *node, struct arena *arena,
                                  struct rule *rule)
{
    struct error *err = yaml_expect(node, YAML_SEQUENCE);
    size_t count = node && !err && node->kind == YAML_SEQUENCE ? node->count : 0;
    rule->has_sources = node && node->kind == YAML_SEQUENCE;
    rule->sources = arena_array(arena, count, sizeof(*rule->sources));
    for (size_t i = 0; i < count && !err; i++) {
        struct str name = STR("");
        err = yaml_str(node->items[i], &name);
        if (!err && !label_name_is_valid(name))
            err = yaml_error(node->items[i], "\"%.*s\" is not a valid label name", STR_ARG(name));
        rule->sources[rule->source_count++] = arena_str(arena, name);
    }
    return err;
}

static struct error *read_modulus(const struct yaml_node *node, uint64_t *out)
{
    int64_t value = 0;
    if (node && node->kind == YAML_SCALAR && !node->is_text && str_to_uint64(node->text, out))
        return NULL;
    struct error *err = yaml_int64(node, &value);
    if (!err && value < 0)
        err = yaml_error(node, "cannot unmarshal !!int `%lld` into uint64", (long long)value);
    *out = (uint64_t)value;
    return err;
}

static struct error *read_regex(const struct yaml_node *node, struct rule *rule)
{
    struct str text = node ? STR("") : STR("(.*)");
    struct error *err = yaml_str(node, &text);
    rule->has_regex = node != NULL;
    if (!err)
        err = regex_compile(text, &rule->regex);
    if (!err)
        rule->groups = regex_group_count(rule->regex) + 1;
    if (!err && rule->groups > REGEX_GROUPS_MAX)
        err = error_create(ERROR_LIMIT, "more than %d groups", REGEX_GROUPS_MAX);
    return err;
}

static struct error *read_text(const struct yaml_node *node, const char *key, struct arena *arena,
                               struct str *text)
{
    struct error *err = yaml_str(yaml_get(node, key), text);
    *text = arena_str(arena, *text);
    return error_wrap(err, "%s", key);
}

static void warn_of_unknown(const struct yaml_node *node, struct log *log)
{
    static const char *const keys[] = {"source_labels", "separator",   "regex", "modulus",
                                       "target_label",  "replacement", "action"};
    for (size_t i = 0; log && i < node->count; i++) {
        const struct yaml_node *key = node->pairs[i].key;
        size_t at = 0;
        while (at < countof(keys) && !str_equal(key->text, str_from(keys[at])))
            at++;
        if (at == countof(keys))
            log_warn(log, "unknown key in a relabelling rule is passed over", KV("key", key->text),
                     KV("line", key->line));
    }
}

static struct error *rule_read(const struct yaml_node *node, struct arena *arena, struct log *log,
                               struct rule *rule)
{
    *rule = (struct rule){.separator = STR(";"), .target = STR(""), .replacement = STR("$1")};
    struct error *err = yaml_expect(node, YAML_MAPPING);
    if (!err && yaml_is_null(node))
        err = error_create(ERROR_INVALID, "relabel action cannot be empty");
    if (err)
        return err;
    warn_of_unknown(node, log);
    err = read_sources(yaml_get(node, "source_labels"), arena, rule);
    if (!err)
        err = read_text(node, "separator", arena, &rule->separator);
    if (!err)
        err = read_text(node, "target_label", arena, &rule->target);
    if (!err)
        err = read_text(node, "replacement", arena, &rule->replacement);
    if (!err)
        err = read_modulus(yaml_get(node, "modulus"), &rule->modulus);
    if (!err)
        err = read_action(yaml_get(node, "action"), &rule->action);
    if (!err)
        err = read_regex(yaml_get(node, "regex"), rule);
    return err ? err : rule_check(rule);
}

struct error *relabel_from_yaml(const struct yaml_node *list, unsigned allowed, struct log *log,
                                struct relabel_rules **out)
{
    struct relabel_rules *rules = xcalloc(1, sizeof(*rules));
    struct error *err = yaml_expect(list, YAML_SEQUENCE);
    size_t count = list && !err && list->kind == YAML_SEQUENCE ? list->count : 0;
    rules->arena = arena_create(NULL);
    rules->items = arena_zalloc(rules->arena, (count + 1) * sizeof(*rules->items));
    for (size_t i = 0; i < count && !err; i++) {
        struct rule *rule = &rules->items[rules->count++];
        err = rule_read(list->items[i], rules->arena, log, rule);
        if (!err && !is_one_of(rule, allowed))
            err = error_create(ERROR_INVALID, "unsupported relabel action: %s",
                               action_names[rule->action]);
    }
    if (err) {
        relabel_free(rules);
        rules = NULL;
    }
    *out = rules;
    return err;
}

struct error *relabel_parse(struct str text, unsigned allowed, struct log *log,
                            struct relabel_rules **out)
{
    struct arena *arena = arena_create(NULL);
    struct yaml_node *root = NULL;
    *out = NULL;
    struct error *err = text.len ? yaml_parse(text, arena, &root) : NULL;
    if (!err)
        err = relabel_from_yaml(root, allowed, log, out);
    arena_unref(arena);
    return error_wrap(err, "parsing relabel configuration");
}

void relabel_free(struct relabel_rules *rules)
{
    if (!rules)
        return;
    for (size_t i = 0; i < rules->count; i++)
        regex_free(rules->items[i].regex);
    arena_unref(rules->arena);
    free(rules);
}

size_t relabel_count(const struct relabel_rules *rules)
{
    return rules ? rules->count : 0;
}

/* -- applying -- */

static locale_t utf8_locale;

static void make_locale(void)
{
    utf8_locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

static void append_rune(struct buf *out, uint32_t rune)
{
    if (rune < 0x80) {
        buf_append_byte(out, (uint8_t)rune);
        return;
    }
    int more = rune < 0x800 ? 1 : rune < 0x10000 ? 2 : 3;
    static const uint8_t lead[] = {0, 0xc0, 0xe0, 0xf0};
    buf_append_byte(out, (uint8_t)(lead[more] | rune >> (6 * more)));
    while (more--)
        buf_append_byte(out, (uint8_t)(0x80 | (rune >> (6 * more) & 0x3f)));
}

/* Letter by letter, of any script; where the system lacks the tables, of ASCII. */
static struct str change_case(struct arena *arena, struct str text, bool upper)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct buf out = BUF_INIT(NULL);
    pthread_once(&once, make_locale);
    for (size_t at = 0; at < text.len;) {
        uint32_t rune = str_next_rune(text, &at);
        if (rune < 0x80)
            rune = upper ? (rune >= 'a' && rune <= 'z' ? rune - 32 : rune)
                         : (rune >= 'A' && rune <= 'Z' ? rune + 32 : rune);
        else if (utf8_locale)
            rune = (uint32_t)(upper ? towupper_l((wint_t)rune, utf8_locale)
                                    : towlower_l((wint_t)rune, utf8_locale));
        append_rune(&out, rune);
    }
    struct str copy = arena_str(arena, buf_str(&out));
    buf_deinit(&out);
    return copy;
}

static struct str rule_expand(const struct rule *rule, struct arena *arena, struct str template,
                              const struct str *groups)
{
    struct buf out = BUF_INIT(NULL);
    if (!is_template(template))
        return template;
    regex_expand(rule->regex, template, groups, rule->groups, &out);
    struct str text = arena_str(arena, buf_str(&out));
    buf_deinit(&out);
    return text;
}

static void rule_replace(const struct rule *rule, struct labels_builder *builder, struct str value)
{
    struct str groups[REGEX_GROUPS_MAX];
    if (!regex_match_groups(rule->regex, value, groups, rule->groups))
        return;
    struct str target = rule_expand(rule, builder->arena, rule->target, groups);
    if (label_name_is_valid(target))
        labels_builder_set(builder, target,
                           rule_expand(rule, builder->arena, rule->replacement, groups));
}

static void rule_map_names(const struct rule *rule, struct labels_builder *builder)
{
    struct str groups[REGEX_GROUPS_MAX];
    struct labels_reader reader = labels_read(labels_builder_finish(builder));
    struct label label;
    while (labels_next(&reader, &label)) {
        bool matches = regex_match_groups(rule->regex, label.name, groups, rule->groups);
        if (rule->action == RELABEL_LABEL_MAP) {
            if (matches)
                labels_builder_set(builder,
                                   rule_expand(rule, builder->arena, rule->replacement, groups),
                                   label.value);
        } else if (matches == (rule->action == RELABEL_LABEL_DROP)) {
            labels_builder_remove(builder, label.name);
        }
    }
}

static struct str rule_hash(const struct rule *rule, struct arena *arena, struct str value)
{
    uint8_t digest[DIGEST_MD5_SIZE];
    uint64_t hash = 0;
    digest_md5(str_bytes(value), digest);
    for (size_t i = 8; i < sizeof(digest); i++)
        hash = hash << 8 | digest[i];
    return arena_printf(arena, "%llu", (unsigned long long)(hash % rule->modulus));
}

/* The values of the source labels, with the separator between. */
static struct str rule_value(const struct rule *rule, const struct labels_builder *builder)
{
    struct buf joined = BUF_INIT(NULL);
    if (rule->source_count == 1)
        return labels_builder_get(builder, rule->sources[0]);
    for (size_t i = 0; i < rule->source_count; i++) {
        if (i)
            buf_append_str(&joined, rule->separator);
        buf_append_str(&joined, labels_builder_get(builder, rule->sources[i]));
    }
    struct str value = arena_str(builder->arena, buf_str(&joined));
    buf_deinit(&joined);
    return value;
}

static bool rule_apply(const struct rule *rule, struct labels_builder *builder)
{
    struct str value = rule_value(rule, builder);
    switch (rule->action) {
    case RELABEL_KEEP:
        return regex_matches(rule->regex, value);
    case RELABEL_DROP:
        return !regex_matches(rule->regex, value);
    case RELABEL_KEEP_EQUAL:
        return str_equal(labels_builder_get(builder, rule->target), value);
    case RELABEL_DROP_EQUAL:
        return !str_equal(labels_builder_get(builder, rule->target), value);
    case RELABEL_REPLACE:
        rule_replace(rule, builder, value);
        return true;
    case RELABEL_HASH_MOD:
        labels_builder_set(builder, rule->target, rule_hash(rule, builder->arena, value));
        return true;
    case RELABEL_LOWERCASE:
    case RELABEL_UPPERCASE:
        labels_builder_set(builder, rule->target,
                           change_case(builder->arena, value, rule->action == RELABEL_UPPERCASE));
        return true;
    case RELABEL_LABEL_MAP:
    case RELABEL_LABEL_DROP:
    case RELABEL_LABEL_KEEP:
        rule_map_names(rule, builder);
        return true;
    }
    return true;
}

bool relabel_apply(const struct relabel_rules *rules, struct labels_builder *builder)
{
    for (size_t i = 0; rules && i < rules->count; i++)
        if (!rule_apply(&rules->items[i], builder))
            return false;
    return true;
}

bool relabel_labels(const struct relabel_rules *rules, struct arena *arena, struct labels labels,
                    struct labels *out)
{
    struct labels_builder builder = labels_builder_from(arena, labels);
    if (!relabel_apply(rules, &builder))
        return false;
    *out = labels_builder_finish(&builder);
    return true;
}
