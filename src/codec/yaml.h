/* codec/yaml.h: a YAML document as a tree in an arena. libyaml reads the text, so what Go's YAML
 * (a port of it) takes is taken and what it refuses is refused; on top of that keys must be plain
 * values and unique, nesting is at most 64 deep, and aliases may not blow the document up. "<<"
 * merges as in Go: own keys win over merged ones. Only the first document of a text is read. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

enum { YAML_DEPTH_MAX = 64, YAML_TEXT_MAX = 16 << 20, YAML_NODES_MAX = 1000000 };

enum yaml_kind { YAML_SCALAR, YAML_SEQUENCE, YAML_MAPPING };

struct yaml_pair;

struct yaml_node { /* immutable; aliases share nodes */
    enum yaml_kind kind;
    bool is_text; /* scalar that is quoted, a block, or tagged !!str: never a number or null */
    size_t line, column; /* from 1 */
    struct str text;     /* scalar */
    size_t count;
    struct yaml_node **items; /* sequence */
    struct yaml_pair *pairs;  /* mapping, in the order of the text, merged pairs last */
    size_t expanded, height;  /* nodes below with aliases written out; levels below */
};

struct yaml_pair {
    struct yaml_node *key, *value;
};

/* *root is NULL for an empty document. ERROR_INVALID "yaml: line 3: ..." (column where known),
 * ERROR_LIMIT when the arena refuses. */
MUST_CHECK struct error *yaml_parse(struct str text, struct arena *arena, struct yaml_node **root);

/* Value of a key; NULL when absent or when node is no mapping. node may be NULL. */
struct yaml_node *yaml_get(const struct yaml_node *node, const char *key);
/* NULL, "", ~, null: decodes to the zero value of anything. node may be NULL. */
bool yaml_is_null(const struct yaml_node *node);

/* Typed values by Go's rules: yes/no/on/off are bools; 0x, 0o, 0b, leading 0 and _ in numbers; text
 * takes any scalar. A null leaves *out as it is. ERROR_INVALID "line 3: cannot unmarshal !!str `x`
 * into int". */
MUST_CHECK struct error *yaml_str(const struct yaml_node *node, struct str *out);
MUST_CHECK struct error *yaml_bool(const struct yaml_node *node, bool *out);
MUST_CHECK struct error *yaml_int64(const struct yaml_node *node, int64_t *out);
MUST_CHECK struct error *yaml_double(const struct yaml_node *node, double *out);
/* That it is a sequence, or a mapping (null passes as empty). */
MUST_CHECK struct error *yaml_expect(const struct yaml_node *node, enum yaml_kind kind);
/* ERROR_INVALID "line 3: field x not found in type <type>" for a key that is not in the list. */
MUST_CHECK struct error *yaml_check_keys(const struct yaml_node *node, const char *const *names,
                                         size_t count, const char *type);
/* An error at a node: "line 3: <text>". */
MUST_CHECK struct error *yaml_error(const struct yaml_node *node, const char *format, ...)
    PRINTF_LIKE(2, 3);

/* Appends a scalar for a YAML text, quoted where it has to be. */
void yaml_append_str(struct buf *out, struct str value);
