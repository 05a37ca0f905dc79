/* test/promql/script.h: scripts in Prometheus's test language, read into commands.
 *
 *     load 1m
 *       metric{a="b"}@st -1m-1mx3
 *       metric{a="b"} 1+2x3 _ stale {{schema:0 count:3 sum:2 buckets:[1 2]}}
 *     eval instant at 2m sum(metric)
 *       expect no_warn
 *       {} 5
 *     eval range from 0 to 2m step 1m metric
 *       metric{a="b"} 1 3 5
 *     clear                                                                              */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "chunk/chunk.h"
#include "model/histogram.h"
#include "model/labels.h"
#include "promql/options.h"

struct script_value {
    bool is_omitted;
    bool has_reset; /* the histogram's reset hint was given and counts */
    bool has_start; /* load: when the counter began, as a distance from the sample's time */
    int64_t start_ms;
    double value;
    struct histogram *histogram; /* NULL: a float */
};

struct script_series {
    struct labels labels;
    struct script_value *values;
    size_t count;
    struct script_series *next;
};

enum expect_kind {
    EXPECT_FAIL,
    EXPECT_WARN,
    EXPECT_INFO,
    EXPECT_NO_WARN,
    EXPECT_NO_INFO,
    EXPECT_ORDERED,
};

struct script_expect {
    enum expect_kind kind;
    bool is_regex;
    struct str text; /* empty regex: anything */
    struct script_expect *next;
};

enum command_kind { COMMAND_LOAD, COMMAND_CLEAR, COMMAND_EVAL };

struct script_command {
    enum command_kind kind;
    size_t line;
    bool with_nhcb;               /* load: add native histograms made of the classic ones */
    int64_t step_ms;              /* of load and of a range */
    struct script_series *series; /* to load, or expected; in the script's order */
    /* Of evaluations. */
    struct str query;
    bool is_range;
    int64_t start_ms, end_ms;
    struct script_expect *expects;
    bool expects_scalar, expects_string;
    double scalar;
    struct str string;
    bool expects_range_vector; /* the result's points are at these times */
    int64_t points_start_ms, points_end_ms, points_step_ms;
    struct script_command *next;
};

/* In the arena; the text must outlive it. Errors name the line. */
MUST_CHECK struct error *script_parse(struct str text, struct arena *arena,
                                      struct script_command **out);

/* metric{a="b"} 1 2 3: labels and values. */
MUST_CHECK struct error *script_series_parse(struct str line, struct arena *arena,
                                             struct script_series *out);
/* Native histograms with custom buckets, made of the classic ones among the series: a list of its
 * own. */
struct script_series *script_custom_histograms(const struct script_series *series,
                                               struct arena *arena);
/* Whether a line gives the start times of the series in the next one; reads it. */
bool script_line_has_starts(struct str line);
MUST_CHECK struct error *script_starts_parse(struct str line, struct arena *arena,
                                             struct script_series *out);
/* Puts them there: metric and number of values must be the same. */
MUST_CHECK struct error *script_add_starts(struct script_series *series,
                                           const struct script_series *starts);
/* A chunk of one sample; start: NULL for none. */
struct chunk script_start_chunk(int64_t time, double value, const struct histogram *histogram,
                                const int64_t *start, struct arena *arena);
/* The query with "@ at_ms" at each selector and subquery that has no time of its own: its result is
 * the same at any step then. False when it is not, or does not parse. */
bool script_at_variant(struct str query, const struct parse_options *options, int64_t at_ms,
                       struct arena *arena, struct buf *out);
/* A number alone. */
bool script_number_parse(struct str text, double *out);
