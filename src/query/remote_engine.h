/* query/remote_engine.h: queriers among the endpoints as engines for parts of a query (distributed
 * mode). */
#pragma once

#include "promql/remote.h"

/* self is the struct endpoint_set. There are engines only while every healthy endpoint with data
 * serves thanos.Query: what a plain store has, none of them would see. */
extern const struct remote_ops remote_engine_ops;
