/* cmd/flag_labels.h: labels given by flags: --selector-label=name="value". */
#pragma once

#include "model/labels.h"
#include "runtime/flags.h"

/* The label set lives in the arena. ERROR_INVALID in Thanos's words: 'unrecognized label "a"',
 * 'unsupported format for label ...', 'unquote label value: invalid syntax'. */
MUST_CHECK struct error *flag_labels_parse(const struct flag_strings *strings, struct arena *arena,
                                           struct labels *out);
