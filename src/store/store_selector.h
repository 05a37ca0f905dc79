/* store/store_selector.h: which part of the stores' data a proxy stands for: by relabelling rules
 * over their external label sets (--selector.relabel-config), and by labels of its own
 * (--selector-label). Immutable, used from any thread. */
#pragma once

#include "store/store.h"

struct relabel_rules;

struct store_selector {
    const struct relabel_rules *rules; /* a label set counts when they keep it; NULL: all do */
    struct labels labels; /* announced with each label set; matchers on them are tested here and not
                             sent on. They are not part of any series. */
};

/* Leaves those of the store's label sets that count. False: none does, though it has some; then
 * it is not asked. *narrowed: some were taken away. */
bool store_selector_narrow(const struct store_selector *selector, struct store_info *info,
                           bool *narrowed);

/* The query's matchers, and for a store with narrowed sets those that keep out the others: for each
 * label name that occurs, that the value is one of the values in its sets. In info->arena. */
MUST_CHECK struct error *store_selector_matchers(const struct store_info *info,
                                                 const struct store_query *query,
                                                 struct matcher **out, size_t *count);

/* The matchers that are not on labels of the selector, in the arena; false when one of those
 * contradicts it: then nothing matches. */
bool store_selector_strip(const struct store_selector *selector, const struct store_query *query,
                          struct arena *arena, struct matcher **out, size_t *count);

/* Puts the selector's labels into each label set of an info; where there is none, they are one. */
void store_selector_announce(const struct store_selector *selector, struct store_info *info);
