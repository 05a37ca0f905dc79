/* Deduplication of lanes, as Thanos does it.
 *
 * Penalty: D(D(lane 0, lane 1), lane 2) ... Each D has two inputs, both at their next sample, and
 * goes on with the one that is earlier (the first on a tie). The other one may only come back with
 * a sample more than twice the last interval behind the last time (5 s before there is one): it
 * wins when the chosen one has a gap. So replicas are not mixed, which would double the rate of
 * samples.
 *
 *     lane 0 --a\
 *                D0 --a\
 *     lane 1 --b/       D1 -> result
 *     lane 2 ---------b/
 *
 * Columns are folded pair by pair, except where a counter has more than two lanes: there a switch
 * in an outer D raises all lanes below it from there on, so all D are stepped together and the
 * outermost one pulls. */
#include "chunk/dedup.h"

#include <math.h>

#include "base/loser_tree.h"
#include "model/histogram.h"

enum { FIRST_PENALTY_MS = 5000 }; /* before an interval is known */

struct fold_lane {
    const int64_t *times;
    const double *values;
    struct histogram *const *histograms;
    const int64_t *starts;
    size_t at, count; /* at == count: ended */
    double offset;    /* added to counters */
};

/* D number i: input b is lane i + 1, input a is D number i - 1, of the first one lane 0. */
struct fold_node {
    int64_t last_time; /* INT64_MIN: none yet */
    int64_t penalty_a, penalty_b;
    bool use_a, ended_a, ended_b;
};

struct fold {
    struct fold_lane *lanes;
    struct fold_node *nodes;
};

/* ---- what an input shows ---- */

/* The lane that a D (or, for -1, lane 0 itself) stands on. */
static size_t shown_lane(const struct fold *fold, ptrdiff_t node)
{
    while (node >= 0 && fold->nodes[node].use_a)
        node--;
    return (size_t)(node + 1);
}

static bool lane_is_float(const struct fold_lane *lane)
{
    return !lane->histograms || !lane->histograms[lane->at];
}

static double lane_value(const struct fold_lane *lane)
{
    return lane->values[lane->at] + lane->offset;
}

static int64_t lane_time(const struct fold_lane *lane)
{
    return lane->times[lane->at];
}

/* ---- steps ---- */

static bool lane_seek(struct fold_lane *lane, int64_t time)
{
    while (lane->at < lane->count && lane->times[lane->at] < time)
        lane->at++;
    return lane->at < lane->count;
}

static bool node_next(struct fold *fold, size_t at);

/* Moves input a of a D to `time` or later; false at its end. */
static bool seek_a(struct fold *fold, size_t at, int64_t time)
{
    if (at == 0)
        return lane_seek(&fold->lanes[0], time);
    /* step by step: an inner D must not miss gaps */
    while (lane_time(&fold->lanes[shown_lane(fold, (ptrdiff_t)at - 1)]) < time)
        if (!node_next(fold, at - 1))
            return false;
    return true;
}

static int64_t seek_time(const struct fold_node *node, int64_t penalty)
{
    return int64_add_saturating(int64_add_saturating(node->last_time, 1), penalty);
}

static int64_t new_penalty(const struct fold_node *node, int64_t time)
{
    if (node->last_time == INT64_MIN)
        return FIRST_PENALTY_MS;
    int64_t interval = int64_sub_saturating(time, node->last_time);
    return int64_add_saturating(interval, interval);
}

/* Raises what lies below an input to the last value. */
static void lift_lane(struct fold_lane *lane, double last)
{
    if (lane->at < lane->count && lane_is_float(lane) && last > lane_value(lane))
        lane->offset += last - lane_value(lane);
}

static void lift_node(struct fold *fold, size_t at, double last)
{
    const struct fold_node *node = &fold->nodes[at];
    struct fold_lane *b = &fold->lanes[at + 1];
    if (!node->ended_a) {
        if (at == 0)
            lift_lane(&fold->lanes[0], last);
        else if (lane_is_float(&fold->lanes[shown_lane(fold, (ptrdiff_t)at - 1)]))
            lift_node(fold, at - 1, last);
    }
    if (!node->ended_b)
        lift_lane(b, last);
}

static bool node_choose(struct fold *fold, size_t at)
{
    struct fold_node *node = &fold->nodes[at];
    node->ended_a = node->ended_a || !seek_a(fold, at, seek_time(node, node->penalty_a));
    node->ended_b =
        node->ended_b || !lane_seek(&fold->lanes[at + 1], seek_time(node, node->penalty_b));
    if (node->ended_a && node->ended_b) {
        node->use_a = false;
        return false;
    }
    int64_t time_a = 0, time_b = 0;
    if (!node->ended_a)
        time_a = lane_time(&fold->lanes[shown_lane(fold, (ptrdiff_t)at - 1)]);
    if (!node->ended_b)
        time_b = lane_time(&fold->lanes[at + 1]);
    node->use_a = node->ended_b || (!node->ended_a && time_a <= time_b);
    int64_t time = node->use_a ? time_a : time_b;
    if (!node->ended_a && !node->ended_b)
        *(node->use_a ? &node->penalty_b : &node->penalty_a) = new_penalty(node, time);
    *(node->use_a ? &node->penalty_a : &node->penalty_b) = 0;
    node->last_time = time;
    return true;
}

/* One step of a D; false at its end. */
static bool node_next(struct fold *fold, size_t at)
{
    struct fold_node *node = &fold->nodes[at];
    if (node->last_time == INT64_MAX)
        return false; /* nothing can come behind it */
    /* Before the first step the last value is that of input a, though it was not given out. */
    bool used_a = node->use_a, was_float = false;
    double last = 0;
    if (!(used_a ? node->ended_a : node->ended_b)) {
        const struct fold_lane *shown = &fold->lanes[shown_lane(fold, (ptrdiff_t)at)];
        was_float = lane_is_float(shown);
        last = lane_value(shown);
    }
    bool more = node_choose(fold, at);
    if (was_float && node->use_a != used_a)
        lift_node(fold, at, last);
    return more;
}

/* ---- two columns ---- */

struct pair_side {
    const struct samples *samples;
    size_t at;
    int64_t penalty;
    double offset; /* of a counter */
};

static inline bool side_seek(struct pair_side *side, int64_t last_time)
{
    int64_t time = int64_add_saturating(int64_add_saturating(last_time, 1), side->penalty);
    const int64_t *times = side->samples->times;
    size_t at = side->at, count = side->samples->count;
    while (at < count && times[at] < time)
        at++;
    side->at = at;
    return at < count;
}

static inline bool side_is_float(const struct pair_side *side)
{
    return !side->samples->histograms || !side->samples->histograms[side->at];
}

static void side_lift(struct pair_side *side, double last)
{
    if (side->at == side->samples->count || !side_is_float(side))
        return;
    double value = side->samples->values[side->at] + side->offset;
    if (last > value)
        side->offset += last - value;
}

static inline void side_take(const struct pair_side *side, bool lift, struct samples *out)
{
    out->times[out->count] = side->samples->times[side->at];
    out->values[out->count] = side->samples->values[side->at];
    if (out->histograms)
        out->histograms[out->count] =
            side->samples->histograms ? side->samples->histograms[side->at] : NULL;
    if (lift && side_is_float(side))
        out->values[out->count] += side->offset;
    if (out->starts)
        out->starts[out->count] = side->samples->starts ? side->samples->starts[side->at] : 0;
    out->count++;
}

/* The value shown last, NaN (which lifts nothing) when it is no float. */
static double last_float(const struct samples *out, const struct samples *a)
{
    const struct samples *from = out->count ? out : a; /* before the first step a is shown */
    size_t at = out->count ? out->count - 1 : 0;
    if (from->count == 0 || (from->histograms && from->histograms[at]))
        return NAN;
    return from->values[at];
}

/* D of two columns; the same steps as node_choose(), in one loop. */
static inline void fold_pair(const struct samples *a, const struct samples *b, bool lift,
                             struct samples *out)
{
    struct pair_side left = {.samples = a}, right = {.samples = b};
    int64_t last_time = INT64_MIN;
    bool used_left = true;
    while (last_time != INT64_MAX) {
        bool more_left = side_seek(&left, last_time), more_right = side_seek(&right, last_time);
        if (!more_left && !more_right)
            break;
        bool use_left = more_left && (!more_right || a->times[left.at] <= b->times[right.at]);
        struct pair_side *used = use_left ? &left : &right, *other = use_left ? &right : &left;
        int64_t time = used->samples->times[used->at];
        if (more_left && more_right) {
            int64_t interval = int64_sub_saturating(time, last_time);
            other->penalty = last_time == INT64_MIN ? FIRST_PENALTY_MS
                                                    : int64_add_saturating(interval, interval);
        }
        used->penalty = 0;
        if (lift && use_left != used_left) {
            double last = last_float(out, a);
            side_lift(&left, last);
            side_lift(&right, last);
        }
        side_take(used, lift, out);
        used_left = use_left;
        last_time = time;
    }
}

static void pair_penalty(const struct samples *a, const struct samples *b, bool lift,
                         struct samples *out)
{
    out->count = 0;
    if (lift)
        fold_pair(a, b, true, out);
    else
        fold_pair(a, b, false, out);
}

struct error *samples_penalty(const struct samples *a, const struct samples *b, struct arena *arena,
                              struct samples *out)
{
    struct error *err =
        samples_reserve(arena, a->count + b->count, a->histograms || b->histograms, out);
    if (!err && (a->starts || b->starts))
        err = samples_reserve_starts(arena, a->count + b->count, out);
    if (!err)
        pair_penalty(a, b, false, out);
    return err;
}

/* ---- the whole ---- */

/* Room for the samples of all lanes. */
static struct error *reserve_all(const struct samples *lanes, size_t count, struct arena *arena,
                                 struct samples *out)
{
    size_t total = 0;
    bool histograms = false, starts = false;
    for (size_t i = 0; i < count; i++) {
        total += lanes[i].count;
        histograms = histograms || lanes[i].histograms;
        starts = starts || lanes[i].starts;
    }
    struct error *err = samples_reserve(arena, total, histograms, out);
    return err || !starts ? err : samples_reserve_starts(arena, total, out);
}

static struct fold fold_create(const struct samples *lanes, size_t count, struct arena *arena)
{
    struct fold fold = {
        .lanes = arena_array(arena, count, sizeof(*fold.lanes)),
        .nodes = arena_array(arena, count - 1, sizeof(*fold.nodes)),
    };
    for (size_t i = 0; i < count; i++)
        fold.lanes[i] = (struct fold_lane){
            .times = lanes[i].times,
            .values = lanes[i].values,
            .histograms = lanes[i].histograms,
            .starts = lanes[i].starts,
            .count = lanes[i].count,
        };
    for (size_t i = 0; i + 1 < count; i++) {
        fold.nodes[i] = (struct fold_node){.last_time = INT64_MIN, .use_a = true};
        fold.nodes[i].ended_a = i == 0 ? lanes[0].count == 0 : !node_next(&fold, i - 1);
        fold.nodes[i].ended_b = lanes[i + 1].count == 0;
    }
    return fold;
}

/* All lanes of a counter at once. */
static struct error *fold_lifted(const struct samples *lanes, size_t count, struct arena *arena,
                                 struct samples *out)
{
    struct error *err = reserve_all(lanes, count, arena, out);
    if (err)
        return err;
    struct fold fold = fold_create(lanes, count, arena);
    while (node_next(&fold, count - 2)) {
        const struct fold_lane *lane = &fold.lanes[shown_lane(&fold, (ptrdiff_t)count - 2)];
        out->times[out->count] = lane->times[lane->at];
        out->values[out->count] = lane_is_float(lane) ? lane_value(lane) : lane->values[lane->at];
        if (!lane_is_float(lane))
            out->histograms[out->count] = lane->histograms[lane->at];
        if (lane->starts)
            out->starts[out->count] = lane->starts[lane->at];
        out->count++;
    }
    return NULL;
}

struct error *dedup_penalty(const struct samples *lanes, size_t count, bool lift,
                            struct arena *arena, struct samples *out)
{
    struct samples folded = lanes[0], columns[2]; /* in turn the result and what it is made of */
    if (lift && count > 2)
        return fold_lifted(lanes, count, arena, out);
    for (size_t i = 1; i < count; i++) {
        struct samples *into = &columns[i % 2];
        struct error *err = i <= 2 ? reserve_all(lanes, count, arena, into) : NULL;
        if (err)
            return err;
        pair_penalty(&folded, &lanes[i], lift, into);
        folded = *into;
    }
    *out = folded;
    return NULL;
}

/* ---- chain ---- */

struct chain {
    const struct samples *lanes;
    size_t *at;
};

static bool chain_less(void *self, size_t a, size_t b)
{
    const struct chain *chain = self;
    bool ended_a = chain->at[a] == chain->lanes[a].count;
    bool ended_b = chain->at[b] == chain->lanes[b].count;
    if (ended_a || ended_b)
        return !ended_a && ended_b;
    return chain->lanes[a].times[chain->at[a]] < chain->lanes[b].times[chain->at[b]];
}

/* Nothing is known about resets between samples of different lanes. */
static struct histogram *forget_reset(struct histogram *histogram, struct arena *arena)
{
    if (histogram->reset == HISTOGRAM_GAUGE || histogram->reset == HISTOGRAM_RESET_UNKNOWN)
        return histogram;
    struct histogram *copy = arena_alloc(arena, sizeof(*copy));
    *copy = *histogram;
    copy->reset = HISTOGRAM_RESET_UNKNOWN;
    return copy;
}

static void chain_take(const struct samples *lane, size_t at, bool changed, struct arena *arena,
                       struct samples *out)
{
    out->times[out->count] = lane->times[at];
    out->values[out->count] = lane->values[at];
    if (lane->histograms && lane->histograms[at])
        out->histograms[out->count] =
            changed ? forget_reset(lane->histograms[at], arena) : lane->histograms[at];
    if (lane->starts)
        out->starts[out->count] = lane->starts[at];
    out->count++;
}

struct error *dedup_chain(const struct samples *lanes, size_t count, struct arena *arena,
                          struct samples *out)
{
    struct error *err = reserve_all(lanes, count, arena, out);
    if (err)
        return err;
    struct chain chain = {lanes, arena_zalloc(arena, count * sizeof(*chain.at))};
    struct loser_tree tree;
    size_t last_lane = count;
    loser_tree_init(&tree, count, chain_less, &chain);
    for (;;) {
        size_t winner = loser_tree_winner(&tree);
        size_t at = chain.at[winner];
        if (at == lanes[winner].count)
            break;
        if (out->count == 0 || lanes[winner].times[at] > out->times[out->count - 1]) {
            chain_take(&lanes[winner], at, winner != last_lane, arena, out);
            last_lane = winner;
        }
        chain.at[winner]++;
        loser_tree_replay(&tree);
    }
    loser_tree_deinit(&tree);
    return NULL;
}
