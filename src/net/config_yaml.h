/* net/config_yaml.h: fields of YAML configurations that may hold secrets: error texts have line and
 * key, never the value. Absent and null leave *out as it is. Private to net/. */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include "codec/yaml.h"

/* That it is a mapping or list, or nothing. what: its name. */
MUST_CHECK struct error *config_expect(const struct yaml_node *node, enum yaml_kind kind,
                                       const char *what);
/* A mapping with these keys only; type: Go's name of it. */
MUST_CHECK struct error *config_section(const struct yaml_node *node, const char *what,
                                        const char *const *keys, size_t count, const char *type);
/* Copied to the arena. */
MUST_CHECK struct error *config_str(const struct yaml_node *parent, const char *key,
                                    struct arena *arena, struct str *out);
/* The path of a file; relative ones are put behind `directory`, unless that is empty. */
MUST_CHECK struct error *config_path(const struct yaml_node *parent, const char *key,
                                     struct str directory, struct arena *arena, struct str *out);
MUST_CHECK struct error *config_strs(const struct yaml_node *parent, const char *key,
                                     struct arena *arena, const struct str **items, size_t *count);
