/* promql/options.h: which of the constructs behind feature flags a text may have. The flags are
 * Prometheus's: its `--enable-feature=` names stand beside the fields. Duration expressions
 * (promql-duration-expr), anchored and smoothed (promql-extended-range-selectors) need none in
 * Prometheus 3.16. */
#pragma once

#include <stdbool.h>

struct parse_options {
    bool experimental_functions; /* promql-experimental-functions */
    bool fill_modifiers;         /* promql-binop-fill-modifiers */
    bool unquoted_utf8_names;    /* promql-unquoted-utf8-names */
    bool extended_functions;     /* xrate, xincrease, xdelta: Thanos's --query.enable-x-functions */
};
