/* store/store_external_labels.h: the labels that tell one source from the others, put on all its
 * series. */
#pragma once

#include "store/store.h"

/* Takes inner, which knows nothing of external labels, of without_labels, and of shards. The labels
 * can be exchanged at any time; a select keeps those it began with.
 *
 * Select. Matchers on external labels are answered here: a mismatch is an empty set; when no other
 * matcher is left, ERROR_INVALID "no matchers specified (excluding external labels)". External
 * labels win over labels of the same name in the series. Names in without_labels are dropped from
 * the whole set: an external label is then not added in the first place; as series may have such
 * labels too, those that do are selected separately (name!="") and sorted in full, the others
 * (name="") stream.
 *
 * Label names: the external ones are added when inner has any. Label values: an external label has
 * its one value, when inner has a series for the other matchers; a name in without_labels has none;
 * ERROR_INVALID for an empty name. */
struct store *store_external_labels_create(struct store *inner);

/* Before use: a select whose matchers are all on external labels gives all series, instead of the
 * error. */
void store_external_labels_allow_all(struct store *store);
/* Thread-safe. Copies. */
void store_external_labels_set(struct store *store, struct labels labels);
/* A copy in the arena. */
struct labels store_external_labels_get(struct store *store, struct arena *arena);
