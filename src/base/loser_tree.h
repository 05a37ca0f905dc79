/* base/loser_tree.h: which of k sorted inputs has the smallest head, in log2(k) comparisons a step.
 *
 * The inner nodes of a binary tournament hold the loser of their match, the winner stands above the
 * root. When the winner's input moves on, only the matches on its path are played again. The tree
 * knows inputs by number; `less` compares two heads and treats an ended input as larger than all.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef bool (*loser_tree_less)(void *self, size_t a, size_t b);

struct loser_tree {
    size_t *nodes; /* [0] the winner, [1..count) losers */
    size_t count;
    loser_tree_less less;
    void *self;
};

/* All inputs must have their first head. Among equals the smaller number wins. */
void loser_tree_init(struct loser_tree *tree, size_t count, loser_tree_less less, void *self);
void loser_tree_deinit(struct loser_tree *tree);

/* Number of the input with the smallest head; count must not be 0. */
static inline size_t loser_tree_winner(const struct loser_tree *tree)
{
    return tree->nodes[0];
}

/* Any heads have changed: play all matches again. */
void loser_tree_rebuild(struct loser_tree *tree);
/* The winner's head has changed: play its matches again. */
void loser_tree_replay(struct loser_tree *tree);
