/* promql/annotations.h: what a query tells its user beside the result: warnings and hints, each
 * with the place in the text it speaks of. A set: a text is kept once, with the place given by the
 * expression that is evaluated last, wherever it was found first.
 * Thread-safe.
 */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/str.h"
#include "promql/ast.h"
#include "promql/quantile.h"
#include "store/store.h"

struct annotations;

enum annotation_kind { ANNOTATION_WARNING, ANNOTATION_INFO };

/* At most this many texts of a kind are kept; more only change nothing. */
enum { ANNOTATIONS_MAX = 1000 };

/* text: the query's, for places; must live as long. */
struct annotations *annotations_create(struct str text);
void annotations_free(struct annotations *annotations); /* NULL is fine */

/* Without "PromQL warning: " and without the place: both are put around it at the end. */
void annotations_add(struct annotations *annotations, enum annotation_kind kind,
                     struct position position, const char *format, ...) PRINTF_LIKE(4, 5);
/* The same, for something that happened count times; the sum is told when it is more than one, with
 * the first place. */
void annotations_add_counted(struct annotations *annotations, enum annotation_kind kind,
                             struct position position, uint64_t count, const char *format, ...)
    PRINTF_LIKE(5, 6);
/* The same for a place before the argument that is evaluated last: `call` is the whole call. */
void annotations_add_of_argument(struct annotations *annotations, enum annotation_kind kind,
                                 struct position position, struct position call, const char *format,
                                 ...) PRINTF_LIKE(5, 6);
/* A float as Go's %g prints it, NUL-terminated. Gives out. */
enum { ANNOTATION_FLOAT_MAX = 360 };
const char *annotation_float(char out[ANNOTATION_FLOAT_MAX], double value);
/* Repairs of histograms are summed up in one text per metric name (may be empty). */
void annotations_add_repair(struct annotations *annotations, struct position position,
                            struct str metric_name, int64_t time_ms,
                            const struct bucket_repair *repair);

/* Complete texts, sorted, in the arena. */
void annotations_list(struct annotations *annotations, enum annotation_kind kind,
                      struct arena *arena, struct str_list *out);
