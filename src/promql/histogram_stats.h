/* promql/histogram_stats.h: native histograms of which only the numbers count: how many
 * observations, their sum, and whether the counter was reset. */
#pragma once

#include "chunk/samples.h"

/* Drops the buckets of all histograms, in place. Before that each that says nothing about resets is
 * compared with the one before it, as without buckets nobody can any more. */
void histogram_stats_only(struct samples *samples);
