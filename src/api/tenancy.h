/* api/tenancy.h: whose series a request may see (--query.enforce-tenancy). Does nothing where that
 * is not asked for. Everything lives in the request's arena. */
#pragma once

#include "api/query_api.h"
#include "base/error.h"
#include "net/http_server.h"
#include "store/store.h"

struct engine_query;

/* The query with the tenant's label in every selector; it is printed anew. ERROR_INVALID for text
 * that is no query. */
MUST_CHECK struct error *tenancy_enforce_query(const struct query_api_config *config,
                                               const struct http_request *req,
                                               struct engine_query *query);

/* match[]: each with the tenant's label; where there is none, one that asks for it alone. */
MUST_CHECK struct error *tenancy_enforce_matches(const struct query_api_config *config,
                                                 const struct http_request *req,
                                                 struct store_match **matches, size_t *count);
