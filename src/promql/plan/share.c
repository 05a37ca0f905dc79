/* Aggregations that fold the same rows: sum(rate(x[5m])) / count(rate(x[5m])). Their inputs are
 * equal but for their places in the text, so one pass over the data feeds them all. */
#include "base/hash.h"
#include "base/hash_index.h"
#include "promql/plan/pass.h"

/* ---- equal nodes ---- */

static bool matchers_equal(const struct matcher *a, const struct matcher *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (a[i].op != b[i].op || !str_equal(a[i].name, b[i].name) ||
            !str_equal(a[i].value, b[i].value))
            return false;
    return true;
}

static bool names_equal(const struct str *a, const struct str *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!str_equal(a[i], b[i]))
            return false;
    return true;
}

static bool doubles_equal(double a, double b)
{
    return memcmp(&a, &b, sizeof(a)) == 0;
}

static bool read_is_of_counter(enum aggr_read read)
{
    return read == READ_COUNTER || read == READ_COUNTER_UNLIFTED || read == READ_RESETS;
}

/* Of raw data all that are not of counters read the same. */
static bool reads_equal(const struct plan_selector *a, const struct plan_selector *b)
{
    if (a->read == b->read && a->aggrs == b->aggrs)
        return true;
    return a->max_resolution_ms == 0 && !read_is_of_counter(a->read) &&
           !read_is_of_counter(b->read);
}

static bool selectors_equal(const struct plan_selector *a, const struct plan_selector *b)
{
    return a->matcher_count == b->matcher_count &&
           matchers_equal(a->matchers, b->matchers, a->matcher_count) &&
           a->range_ms == b->range_ms && a->offset_ms == b->offset_ms &&
           a->lookback_ms == b->lookback_ms && a->before_ms == b->before_ms &&
           a->has_at == b->has_at && (!a->has_at || a->at_ms == b->at_ms) &&
           a->extended == b->extended && a->read_times == b->read_times &&
           a->read_starts == b->read_starts && a->keep_histograms == b->keep_histograms &&
           a->skip_buckets == b->skip_buckets && a->max_resolution_ms == b->max_resolution_ms &&
           a->select_min_ms == b->select_min_ms && a->select_max_ms == b->select_max_ms &&
           reads_equal(a, b);
}

static bool matchings_equal(const struct vector_matching *a, const struct vector_matching *b)
{
    if (!a || !b)
        return a == b;
    return a->card == b->card && a->on == b->on && a->label_count == b->label_count &&
           names_equal(a->labels, b->labels, a->label_count) &&
           a->include_count == b->include_count &&
           names_equal(a->include, b->include, a->include_count) &&
           a->has_fill_left == b->has_fill_left && a->has_fill_right == b->has_fill_right &&
           doubles_equal(a->fill_left, b->fill_left) && doubles_equal(a->fill_right, b->fill_right);
}

static bool infos_equal(const struct plan_info *a, const struct plan_info *b)
{
    if (!a || !b)
        return a == b;
    return a->name_count == b->name_count && a->data_count == b->data_count &&
           matchers_equal(a->names, b->names, a->name_count) &&
           matchers_equal(a->data, b->data, a->data_count);
}

/* The nodes themselves, without their children. */
static bool contents_equal(const struct plan_node *a, const struct plan_node *b)
{
    switch (a->kind) {
    case PLAN_NUMBER:
        return doubles_equal(a->number, b->number);
    case PLAN_STRING:
        return str_equal(a->string, b->string);
    case PLAN_SELECTOR:
        return selectors_equal(&a->selector, &b->selector);
    case PLAN_SUBQUERY:
        return a->subquery.range_ms == b->subquery.range_ms &&
               a->subquery.step_ms == b->subquery.step_ms &&
               a->subquery.offset_ms == b->subquery.offset_ms &&
               a->subquery.has_at == b->subquery.has_at && a->subquery.at_ms == b->subquery.at_ms;
    case PLAN_BINARY:
        return a->binary.op == b->binary.op && a->binary.is_bool == b->binary.is_bool &&
               matchings_equal(a->binary.matching, b->binary.matching);
    case PLAN_AGGREGATE:
        return a->aggregate.op == b->aggregate.op && a->aggregate.without == b->aggregate.without &&
               a->aggregate.label_count == b->aggregate.label_count &&
               names_equal(a->aggregate.labels, b->aggregate.labels, a->aggregate.label_count);
    case PLAN_CALL:
        return a->call.function == b->call.function && infos_equal(a->call.info, b->call.info);
    case PLAN_REMOTE:
        return str_equal(a->remote.text, b->remote.text);
    case PLAN_NEGATE:
    case PLAN_STEP_INVARIANT:
    case PLAN_MERGE_ROWS:
        return true;
    }
    return false;
}

static bool grids_equal(const struct step_grid *a, const struct step_grid *b)
{
    return a->start_ms == b->start_ms && a->step_ms == b->step_ms && a->count == b->count;
}

static bool nodes_equal(struct plan_node *a, struct plan_node *b)
{
    if (a->kind != b->kind || a->type != b->type || !grids_equal(a->grid, b->grid) ||
        !contents_equal(a, b))
        return false;
    for (size_t i = 0;; i++) {
        struct plan_node **left = plan_child(a, i), **right = plan_child(b, i);
        if (!left || !right)
            return !left && !right;
        if (!nodes_equal(*left, *right))
            return false;
    }
}

/* ---- aggregations that fold equal inputs ---- */

struct share_search {
    struct planner *planner;
    struct hash_index shares; /* by the hash of the input */
    struct error *err;
};

static uint64_t hash_add(uint64_t hash, const void *data, size_t len)
{
    return hash * 0x9e3779b97f4a7c15 ^ hash_bytes(data, len);
}

static uint64_t hash_text(uint64_t hash, struct str text)
{
    return hash_add(hash, text.data, text.len);
}

static uint64_t hash_names(uint64_t hash, const struct str *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hash = hash_text(hash, names[i]);
    return hash;
}

static uint64_t hash_selector(uint64_t hash, const struct plan_selector *selector)
{
    const int64_t times[] = {selector->range_ms, selector->offset_ms,
                             selector->has_at ? selector->at_ms : 0, selector->has_at};
    for (size_t i = 0; i < selector->matcher_count; i++) {
        const struct matcher *matcher = &selector->matchers[i];
        hash = hash_add(hash, &matcher->op, sizeof(matcher->op));
        hash = hash_text(hash_text(hash, matcher->name), matcher->value);
    }
    return hash_add(hash, times, sizeof(times));
}

static uint64_t hash_binary(uint64_t hash, const struct plan_binary *binary)
{
    const struct vector_matching *matching = binary->matching;
    hash = hash_add(hash, &binary->op, sizeof(binary->op));
    if (!matching)
        return hash;
    hash = hash_names(hash, matching->labels, matching->label_count);
    hash = hash_names(hash, matching->include, matching->include_count);
    hash = hash_add(hash, &matching->fill_left, sizeof(matching->fill_left));
    return hash_add(hash, &matching->fill_right, sizeof(matching->fill_right));
}

/* What tells nodes apart, mostly: equal ones have equal hashes. */
static uint64_t hash_contents(const struct plan_node *node)
{
    uint64_t hash = (uint64_t)node->kind;
    switch (node->kind) {
    case PLAN_NUMBER:
        return hash_add(hash, &node->number, sizeof(node->number));
    case PLAN_STRING:
        return hash_text(hash, node->string);
    case PLAN_SELECTOR:
        return hash_selector(hash, &node->selector);
    case PLAN_SUBQUERY:
        hash = hash_add(hash, &node->subquery.range_ms, sizeof(node->subquery.range_ms));
        return hash_add(hash, &node->subquery.step_ms, sizeof(node->subquery.step_ms));
    case PLAN_BINARY:
        return hash_binary(hash, &node->binary);
    case PLAN_AGGREGATE:
        hash = hash_add(hash, &node->aggregate.op, sizeof(node->aggregate.op));
        return hash_names(hash, node->aggregate.labels, node->aggregate.label_count);
    case PLAN_CALL:
        return hash_add(hash, &node->call.function->id, sizeof(node->call.function->id));
    case PLAN_REMOTE:
        return hash_text(hash, node->remote.text);
    case PLAN_NEGATE:
    case PLAN_STEP_INVARIANT:
    case PLAN_MERGE_ROWS:
        break;
    }
    return hash;
}

/* The last one's input is the one that is read: places that annotations name are its. */
static void join(struct share_search *search, struct plan_node *node, uint64_t hash)
{
    size_t at;
    struct plan_share *share = hash_index_first(&search->shares, hash, &at);
    while (share && (share->consumer_count == PLAN_SHARE_MAX ||
                     !nodes_equal(share->input, node->aggregate.input)))
        share = hash_index_next(&search->shares, hash, &at);
    if (!share) {
        share = arena_zalloc(search->planner->arena, sizeof(*share));
        error_keep_first(&search->err, hash_index_add(&search->shares, hash, share));
    }
    share->consumer_count++;
    share->input = node->aggregate.input;
    node->aggregate.share = share;
}

static uint64_t visit(struct share_search *search, struct plan_node *node)
{
    uint64_t hash = hash_contents(node), input_hash = 0;
    struct plan_node **child;
    for (size_t i = 0; (child = plan_child(node, i)) != NULL; i++) {
        uint64_t own = visit(search, *child);
        hash = hash_add(hash, &own, sizeof(own));
        if (i == 0)
            input_hash = own;
    }
    bool folds = node->kind == PLAN_AGGREGATE && !aggregate_op_has_param(node->aggregate.op);
    if (folds && node->aggregate.input->reads_data && !search->err)
        join(search, node, input_hash);
    return hash;
}

/* Shares of one are none. What is read once for many counts as often as it is in the text: readers
 * is how many places of the text a node stands for. Only the last member's input is gone into, for
 * those of the others are not read. */
static void settle(struct planner *planner, struct plan_node *node, size_t readers)
{
    struct plan_node **child;
    if (node->kind == PLAN_SELECTOR)
        node->selector.readers = readers;
    struct plan_share *share = node->kind == PLAN_AGGREGATE ? node->aggregate.share : NULL;
    if (share && share->consumer_count < 2) {
        node->aggregate.share = NULL;
    } else if (share) {
        if (share->readers == 0)
            share->number = ++planner->plan->share_count;
        share->readers += readers;
        readers = share->readers;
        if (share->input != node->aggregate.input)
            return;
    }
    for (size_t i = 0; (child = plan_child(node, i)) != NULL; i++)
        settle(planner, *child, readers);
}

struct error *plan_share(struct planner *planner, struct plan_node *root)
{
    struct share_search search = {planner, HASH_INDEX_INIT(arena_budget(planner->arena)), NULL};
    visit(&search, root);
    settle(planner, root, 1);
    hash_index_deinit(&search.shares);
    return search.err;
}
