/* promql/active_queries.h: the queries that are being evaluated, in a file that outlives a crash:
 * the next start tells which ones the last run did not finish. The file is Prometheus's
 * queries.active:
 *
 *     [{"query":"up","timestamp_sec":1795512020} NUL... ,NUL ... NUL
 *     |<------------------- 1,000 bytes ------------->|
 *
 * a bracket, then a slot for each query that may run; free ones are NULs, a query's ends with a
 * comma, which also cuts off one that is too long. Thread-safe. */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "base/str.h"

struct active_queries;
struct log;

/* Makes the directory if need be; logs what an earlier run left, then begins anew. */
MUST_CHECK struct error *active_queries_open(struct str directory, size_t queries_max,
                                             struct log *log, struct active_queries **out);
void active_queries_close(struct active_queries *active); /* NULL is fine */

/* Gives the query's slot for active_queries_end(); a query beyond queries_max has none and is not
 * in the file. active may be NULL. */
enum { ACTIVE_QUERY_NONE = 0 };
size_t active_queries_begin(struct active_queries *active, struct str text);
void active_queries_end(struct active_queries *active, size_t slot);
