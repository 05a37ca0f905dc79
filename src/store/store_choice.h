/* store/store_choice.h: whether a store can have anything for a query, by what it says of itself.
 */
#pragma once

#include <stdbool.h>

#include "store/store.h"

/* NULL when the store must be asked, else the reason why not, for the log. The tests in order: time
 * (both ends inclusive); storeMatch selectors on __address__; external labels: the store has no
 * label sets, or one of them has data in the time range and does not contradict the matchers. A set
 * contradicts when it has a matcher's name with a value that does not match; a name it lacks never
 * does. */
const char *store_choice(const struct store_info *info, const struct store_query *query);

/* "Addr: A MinTime: x MaxTime: y", as Thanos names a store in texts; in info->arena. */
struct str store_info_text(const struct store_info *info);
/* The label sets of a store in texts: {a="1"},{a="2"}, or "Store Gateway" when there are none. */
struct str store_info_labels_text(const struct store_info *info);
