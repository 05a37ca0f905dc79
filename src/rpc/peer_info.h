/* rpc/peer_info.h: what a peer says of itself: thanos.info.InfoResponse as a plain struct. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "store/store.h"

struct peer_info {
    struct str type; /* "sidecar", "store", ... */
    struct labels *label_sets;
    size_t label_set_count;
    /* The APIs it serves. */
    bool has_store, has_rules, has_targets, has_metadata, has_exemplars, has_query, has_status;
    /* Of the Store API. */
    int64_t min_time, max_time;
    bool shards, drops_labels;
    struct store_range *ranges; /* one per database or group of blocks; may be none */
    size_t range_count;
    int64_t exemplars_min_time, exemplars_max_time;
};

/* All of it lives in the arena. ERROR_CORRUPT for what is malformed, ERROR_LIMIT. */
MUST_CHECK struct error *peer_info_decode(struct bytes message, struct arena *arena,
                                          struct peer_info *out);
void peer_info_encode(struct buf *out, const struct peer_info *info);

/* As the info of a store that is reached at `address`: the ranges, or the label sets over the whole
 * time. Shares what `info` points to. */
void peer_info_to_store(const struct peer_info *info, struct str address, struct arena *arena,
                        struct store_info *out);
/* The Store part of what a component says of itself, from its store: ranges, and their label sets
 * without those that are empty or there twice. */
void peer_info_from_store(const struct store_info *store, struct arena *arena,
                          struct peer_info *out);
