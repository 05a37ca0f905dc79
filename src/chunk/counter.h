/* chunk/counter.h: takes counter resets out of a column, so that values only rise. */
#pragma once

#include "chunk/samples.h"

/* In place, over the samples of one lane in the order of its chunks. After a reset an offset is
 * added; values before the first one stay bit for bit. A sample at the time of the one before tells
 * the true last value of a downsampled chunk and is not kept, nor are NaN and samples that go back
 * in time. Histograms stay as they are. */
void counter_remove_resets(struct samples *samples);
