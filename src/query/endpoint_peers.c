#include "query/endpoint_peers.h"

#include "query/endpoint_set.h"
#include "query/exemplar_query.h"
#include "rpc/grpc_store.h"

static bool serves(const struct peer_info *info, enum peers_topic topic)
{
    const bool announced[PEERS_TOPICS] = {
        [PEERS_RULES] = info->has_rules,        [PEERS_TARGETS] = info->has_targets,
        [PEERS_METADATA] = info->has_metadata,  [PEERS_EXEMPLARS] = info->has_exemplars,
        [PEERS_TSDB_STATUS] = info->has_status,
    };
    return announced[topic];
}

/* What to ask this endpoint; false: nothing. */
static bool question_for(const struct peer_info *info, const struct exemplar_selectors *selectors,
                         struct arena *arena, struct peers_question *question)
{
    if (!serves(info, question->topic))
        return false;
    if (question->topic != PEERS_EXEMPLARS)
        return true;
    struct str *query = &question->exemplars.query;
    *query = exemplar_query_for(selectors, info->label_sets, info->label_set_count,
                                str_equal(info->type, STR("query")), arena);
    return query->len > 0;
}

struct error *endpoint_peers_answer(void *self, struct context *ctx,
                                    const struct peers_question *question, struct arena *arena,
                                    struct peers_answer *out)
{
    struct exemplar_selectors selectors;
    struct error *err = NULL;
    if (question->topic == PEERS_EXEMPLARS)
        err = exemplar_selectors_parse(question->exemplars.query, arena, &selectors);
    if (err)
        return err;
    struct store_list *peers = endpoint_set_peers(self);
    struct peers_call **calls =
        arena_array(arena, store_list_count(peers), sizeof(struct peers_call *));
    size_t count = 0;
    for (size_t i = 0; i < store_list_count(peers); i++) {
        struct peer_info info;
        struct peers_question asked = *question;
        grpc_store_get_info(store_list_at(peers, i), arena, &info);
        if (question_for(&info, &selectors, arena, &asked))
            calls[count++] = grpc_store_ask(store_list_at(peers, i), ctx, &asked);
    }
    err = peers_join(ctx, question, calls, count, arena, out);
    store_list_unref(peers);
    return err;
}
