#include "base/loser_tree.h"

#include <stdlib.h>

#include "base/memory.h"

static bool loser_tree_beats(const struct loser_tree *tree, size_t a, size_t b)
{
    if (tree->less(tree->self, a, b))
        return true;
    return a < b && !tree->less(tree->self, b, a);
}

/* Leaves are the nodes count .. 2*count-1; node n has the children 2n and 2n+1. */
static size_t loser_tree_play(struct loser_tree *tree, size_t node)
{
    if (node >= tree->count)
        return node - tree->count;
    size_t left = loser_tree_play(tree, 2 * node);
    size_t right = loser_tree_play(tree, 2 * node + 1);
    bool left_wins = loser_tree_beats(tree, left, right);
    tree->nodes[node] = left_wins ? right : left;
    return left_wins ? left : right;
}

void loser_tree_init(struct loser_tree *tree, size_t count, loser_tree_less less, void *self)
{
    *tree = (struct loser_tree){xcalloc(count + 1, sizeof(size_t)), count, less, self};
    loser_tree_rebuild(tree);
}

void loser_tree_rebuild(struct loser_tree *tree)
{
    if (tree->count)
        tree->nodes[0] = loser_tree_play(tree, 1);
}

void loser_tree_deinit(struct loser_tree *tree)
{
    free(tree->nodes);
    *tree = (struct loser_tree){0};
}

void loser_tree_replay(struct loser_tree *tree)
{
    size_t winner = tree->nodes[0];
    for (size_t node = (winner + tree->count) / 2; node > 0; node /= 2)
        if (loser_tree_beats(tree, tree->nodes[node], winner)) {
            size_t loser = winner;
            winner = tree->nodes[node];
            tree->nodes[node] = loser;
        }
    tree->nodes[0] = winner;
}
