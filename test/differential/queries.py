"""The expressions that live_queries.py asks of Titan and of the real programs, over the series of
test/e2e/exporter.py and Prometheus's own.

A case is an expression, how exact the answer has to be, and where it applies:
- EXACT: the same text for each value.
- SUM: within 1e-12 of the sum of absolute values (`scale` where values of both signs are added).
- LIBM: within 1e-12, for functions of the C library.
- VALUES: the same numbers, whichever series of equal value they belong to (ties of topk).
- ORDER: EXACT, and in the same order."""

from collections import namedtuple

EXACT, SUM, LIBM, VALUES, ORDER = "exact", "sum", "libm", "values", "order"

Case = namedtuple("Case", "query how scale thanos range")
CASES = []


def ask(*queries, how=EXACT, scale=0.0, thanos=True, range=True):
    """thanos=False: Prometheus is right and Thanos differs, see docs/parity.md. range=False: instant only."""
    for query in queries:
        CASES.append(Case(query, how, scale, thanos, range))


# --- Selectors: matchers, lookback, staleness, offset, @, left-open ranges

ask("up", "app_temperature", 'app_temperature{shard="3"}', 'app_temperature{shard!="3"}', 'app_temperature{shard=~"1|2|5"}',
    'app_temperature{shard!~"[0-2]"}', '{__name__="app_step"}', '{__name__=~"app_(step|limit)"}',
    'app_requests_total{method="GET",code=~"2.."}', 'app_requests_total{absent=""}', 'app_requests_total{method=~".+"}',
    'app_requests_total{method=~"get|(?i)post"}', 'app_requests_total{code=~"(?:4|5)0[04]"}', 'app_text{lang="ünï"}',
    'app_text{text=~"(?s).*lines"}', 'app_special', 'app_flapping', 'app_info', 'app_info{version="v1"}',
    'app_nothing', 'up{job="none"}', 'prometheus_build_info', 'app_duration_seconds', 'app_latency_seconds_bucket{le="0.1"}',
    'app_latency_seconds_bucket{le="+Inf"}', '{job="app",__name__!~"app_latency.*|app_requests.*"}')
ask("app_step offset 5s", "app_step offset 12s500ms", "app_flapping offset 3s", "app_step offset -3s",
    "app_requests_total offset 1s", "app_step @ end()", "app_step @ start()", "app_step @ end() offset 7s",
    "sum(app_temperature @ end()) - sum(app_temperature)", "app_flapping @ start() offset 2s", how=SUM, scale=900)
ask("app_step[5s]", "app_flapping[7s]", "app_step[5s] offset 4s", "app_special[3s]", "app_temperature[3s] @ end()",
    "app_step[1s]", "app_text[2s]", range=False)
ask("count_over_time(app_step[1s])", "count_over_time(app_step[10s])", "count_over_time(app_flapping[9s])",
    "count_over_time(app_step[10s] offset 4s)", "count_over_time(up[5s] @ end())")

# --- Literals, scalars, strings

ask("1", "-1.5e3", "0x1F", "Inf", "NaN", "1 + 2 * 3 ^ 2 % 5", "-1 ^ 2", "2 ^ 3 ^ 2", "(1 + 2) * 3", "1 / 0", "-1 / 0", "0 / 0",
    "1 == bool 1", "1 < bool 0", "5 atan2 2", "time()", "pi()", "scalar(app_step)", "scalar(app_step{instance=\"app-0\"})",
    "vector(1)", "vector(time())", "1e21", "1.23e-07", "5e-324", "0.1 + 0.2", "7 % 2.5", "-7 % 3", "1h30m", "100_000 + 1")
ask('"a string"', "'single'", "`raw \\n`", range=False)

# --- Arithmetic, comparison, set operators; matching and grouping

ask("app_step + 1", "1 - app_step", "app_step * 2.5", "app_temperature / 3", "app_requests_total % 7", "app_step ^ 2", "2 ^ app_step",
    "-app_temperature", "+app_step", "app_queue_length / on(instance, queue) app_limit",
    "app_queue_length / ignoring(job) app_limit", "app_queue_length - app_queue_length", "app_special * app_special",
    "app_special + app_special", "app_special / app_special")
ask("app_temperature atan2 2", how=LIBM)
ask("app_temperature > 10", "app_temperature > bool 10", "10 < app_temperature", "app_temperature == app_temperature",
    "app_special == app_special", "app_special != app_special", "app_special >= bool 0", "app_queue_length < on(instance, queue) app_limit",
    "app_queue_length < bool on(instance, queue) app_limit", "app_step != 2", "app_step <= 1", "app_temperature >= 5 <= 15",
    "up == 1", "up == 0", "time() > bool 5", "app_special == Inf", "app_special < 1")
ask("app_queue_length and app_limit", "app_queue_length and on(queue, instance) app_limit", "app_queue_length unless on(queue) app_limit",
    "app_queue_length or app_limit", "app_flapping or app_step", "app_flapping{slot=\"1\"} or app_flapping{slot=\"2\"} or on(instance) up",
    "app_temperature > 10 or app_temperature < 0", "app_temperature and on() vector(1)", "app_temperature unless on() vector(1)",
    "vector(1) or app_step", "app_flapping unless on(instance) (up == 0)", "up{job=\"app\"} and on(instance) (app_step > 1)",
    "app_step and app_step > 1", "app_step or on(job) up", "app_queue_length and ignoring(queue) app_step")
ask("app_requests_total / on(instance) group_left app_start_time_seconds", "app_queue_length * on(instance) group_left(version) app_info",
    "app_info * on(instance) group_right(version) app_queue_length", "app_requests_total / ignoring(method, code) group_left app_step",
    "app_requests_total * on(job, instance) group_left(version, commit) app_info", "app_limit * on(queue, instance) group_right app_queue_length",
    "app_requests_total > on(instance) group_left app_step", "app_requests_total / on(instance) group_left sum by (instance) (app_requests_total)",
    "app_temperature - on(room) group_left avg by (room) (app_temperature)", "app_step + on(instance) group_left() up",
    "app_requests_total == bool on(instance) group_left () (app_step * 0)", how=SUM, scale=900)
ask("app_flapping + on(instance, slot) app_flapping offset 1s", "app_flapping - app_flapping offset 2s", "app_info + on(instance, version) app_info offset 10s")

# --- Aggregations

ask("sum(app_requests_total)", "sum by (method) (app_requests_total)", "sum without (instance) (app_requests_total)", "count(up)",
    "count by (job) (up)", "count by (job, instance) (app_requests_total)", "min(app_temperature)", "max by (room) (app_temperature)",
    "min without (shard, room) (app_temperature)", "group(app_temperature)", "group by (room) (app_temperature)", "sum by (nothing) (up)",
    "count(app_flapping)", "sum(app_flapping)", "count without (le) (app_latency_seconds_bucket)", "sum by (instance, le) (app_latency_seconds_bucket)",
    "max(app_special)", "min(app_special)", "sum(app_special{kind!~\"inf|ninf|huge\"})", "count({__name__=~\"prometheus_.*\"})", "sum(up) by (job)",
    "count by (__name__) ({job=\"app\"})", "sum(sum by (code) (app_requests_total))", "max by (method) (sum by (method, code) (app_requests_total))")
ask("sum(app_temperature)", "sum by (room) (app_temperature)", "avg(app_temperature)", "avg by (room) (app_temperature)",
    "avg without (shard) (app_temperature)", "sum(app_bytes_total)", "avg(app_bytes_total)", "avg(app_requests_total)", how=SUM, scale=900)
ask("stddev(app_temperature)", "stdvar by (room) (app_temperature)", "stddev by (instance) (app_queue_length)", "stdvar(app_step)", how=SUM, scale=9000)
ask("sum(app_special)", "avg(app_special)", "stddev(app_special)", "avg(app_special{kind!=\"nan\"})", how=SUM)
ask("quantile(0.5, app_temperature)", "quantile by (room) (0.9, app_temperature)", "quantile(0, app_temperature)", "quantile(1, app_temperature)",
    "quantile(-1, app_step)", "quantile(2, app_step)", "quantile(NaN, app_step)", "quantile(0.3, app_special{kind!~\"nan|negzero\"})")
ask("topk(3, app_temperature)", "bottomk(2, app_temperature)", "topk by (room) (1, app_temperature)", "bottomk without (shard) (1, app_temperature)",
    "topk(1000, app_temperature)", "topk(0, app_temperature)", "topk(scalar(app_step{instance=\"app-0\"}) + 1, app_temperature)")
ask("topk(2, app_requests_total)", "topk(2, app_step)", "bottomk(3, app_limit)", "topk(4, app_special)", "bottomk(4, app_special)",
    "limitk(0, app_step)", how=VALUES)
ask('count_values("step", app_step)', 'count_values by (instance) ("length", app_queue_length)', 'count_values("v", app_special)',
    'count_values without (queue) ("limit", app_limit)', "limit_ratio(1, app_step)", "count(limitk(5, app_temperature))", "count by (room) (limitk by (room) (2, app_temperature))")

# Which series are taken depends on their hash, and Thanos's is not Prometheus's; together they are all.
ask("count(limit_ratio(0.5, app_temperature) or limit_ratio(-0.5, app_temperature))",
    "count(limit_ratio(0.3, app_temperature) and limit_ratio(-0.7, app_temperature))")
ask("limit_ratio(0.5, sum without (cluster, replica) (app_temperature))", "limit_ratio(-0.3, sum without (cluster, replica) (app_temperature))", thanos=False)

# --- Counters

ask("rate(app_requests_total[5s])", "rate(app_requests_total[10s])", "rate(app_bytes_total[7s])", "increase(app_requests_total[10s])",
    "increase(app_bytes_total[13s])", "irate(app_requests_total[10s])", "irate(app_bytes_total[3s])", "rate(app_requests_total[1s])",
    "rate(app_requests_total[5s] offset 5s)", "rate(app_latency_seconds_count[10s])", "rate(app_requests_total[10s] @ end())",
    "sum by (code) (increase(app_requests_total[10s])) > 50", "app_requests_total / rate(app_requests_total[10s])", how=SUM)
ask("rate(app_resets_total[10s])", "increase(app_resets_total[20s])", "irate(app_resets_total[10s])", "rate(app_resets_total[30s])",
    "increase(app_resets_total[5s])", how=SUM)
ask("resets(app_resets_total[20s])", "resets(app_temperature[10s])", "resets(app_requests_total[10s])", thanos=False)
ask("sum(rate(app_requests_total[10s]))", "sum by (method) (rate(app_requests_total[10s]))", "sum without (instance) (rate(app_bytes_total[10s]))",
    "avg by (code) (increase(app_requests_total[10s]))", "sum(irate(app_requests_total[10s])) by (instance)",
    "sum(rate(app_requests_total{code=\"500\"}[10s])) / sum(rate(app_requests_total[10s]))",
    "sum by (instance) (rate(app_requests_total{code!=\"200\"}[10s])) / sum by (instance) (rate(app_requests_total[10s])) * 100",
    "sum(rate(prometheus_http_requests_total[10s]))", "sum by (handler) (rate(prometheus_http_requests_total[20s])) > 0",
    "rate(app_latency_seconds_sum[10s]) / rate(app_latency_seconds_count[10s])",
    "sum(rate(app_latency_seconds_bucket{le=\"0.1\"}[10s])) / sum(rate(app_latency_seconds_count[10s]))", how=SUM)
ask("delta(app_temperature[10s])", "idelta(app_temperature[10s])", "delta(app_flapping[10s])", "changes(app_step[20s])", "changes(app_info[20s])",
    "changes(app_temperature[10s])", "deriv(app_temperature[10s])", "deriv(app_step[20s])", "predict_linear(app_temperature[10s], 30)",
    "predict_linear(app_temperature[10s], -5)", "predict_linear(app_step[20s] offset 3s, 60)", "idelta(app_step[3s])", "delta(app_step[30s])")

# --- Over time

ask(*(f"{name}_over_time(app_temperature[10s])" for name in ("avg", "min", "max", "sum", "count", "last", "present", "stddev", "stdvar")),
    "quantile_over_time(0.5, app_temperature[10s])", "quantile_over_time(0.9, app_temperature[20s])", "quantile_over_time(-1, app_step[5s])",
    "quantile_over_time(1.1, app_step[5s])", "mad_over_time(app_temperature[10s])")
ask(*(f"{name}_over_time(app_special[5s])" for name in ("avg", "min", "max", "sum", "count", "last", "stddev", "stdvar")),
    *(f"{name}_over_time(app_flapping[15s])" for name in ("avg", "min", "max", "sum", "count", "last", "present", "stddev")),
    "first_over_time(app_step[10s])", "ts_of_max_over_time(app_step[10s])", "ts_of_min_over_time(app_step[10s])", "ts_of_last_over_time(app_step[10s])",
    "ts_of_first_over_time(app_step[10s])", "double_exponential_smoothing(app_temperature[10s], 0.5, 0.5)",
    "last_over_time(app_info[30s])", "max_over_time(app_text[5s])", "min_over_time(up[25s])", "avg_over_time(up[25s])")
ask("sum(avg_over_time(app_temperature[10s]))", "max by (room) (max_over_time(app_temperature[10s]))", "avg by (room) (sum_over_time(app_temperature[5s]))",
    how=SUM, scale=9000)

# --- Absent

ask("absent(app_nothing)", 'absent(app_nothing{a="b",c=~"d",e="f"})', "absent(up)", "absent(sum(app_nothing))", 'absent(app_flapping{slot="0"})',
    'absent_over_time(app_nothing{x="y"}[5s])', "absent_over_time(up[5s])", 'absent_over_time(app_flapping{slot="0"}[2s])', 'absent(app_info{version="v1"})')

# --- Subqueries

ask("max_over_time(app_temperature[20s:5s])", "count_over_time(app_step[20s:3s])", "count_over_time(app_step[20s:3s] offset 4s)",
    "avg_over_time(rate(app_requests_total[5s])[20s:5s])", "max_over_time(sum by (room) (app_temperature)[15s:5s])", "last_over_time(app_flapping[10s:2s])",
    "rate(app_requests_total[20s:2s])", "sum_over_time((app_step > 1)[15s:1s])", "min_over_time(absent(app_flapping{slot=\"0\"})[20s:2s])",
    "max_over_time((max_over_time(app_temperature[5s]))[15s:3s])", "count_over_time(vector(1)[20s:5s])",
    "deriv(app_temperature[20s:4s])", "quantile_over_time(0.5, app_step[20s:3s])", "increase(app_resets_total[20s:2s])",
    "max_over_time(app_step[20s:5s] @ end())", "stddev_over_time(app_step[10s:1s])", how=SUM, scale=900)
ask("app_step[10s:3s]", "(app_temperature > 0)[10s:5s]", "rate(app_requests_total[5s])[10s:5s]", how=SUM, range=False)

# --- Labels

ask('label_replace(app_temperature, "half", "h$1", "shard", "([0-2])")', 'label_replace(app_temperature, "room", "", "room", "r1")',
    'label_replace(app_step, "new", "constant", "", "")', 'label_replace(up, "instance", "$2-$1", "instance", "(.*)-(.*)")',
    'label_replace(app_text, "lang", "${1}x", "lang", "(.).*")', 'label_join(app_requests_total, "both", "/", "method", "code")',
    'label_join(app_requests_total, "both", "", "method", "absent", "code")', 'label_join(app_step, "job", "-")',
    'sum by (half) (label_replace(app_step, "half", "$1", "instance", "app-(.)"))', 'label_replace(app_step, "__name__", "renamed", "", "")',
    'label_replace(rate(app_requests_total[10s]), "kind", "$1xx", "code", "(.).*")',
    'app_step * on(instance) group_left label_replace(up{job="app"}, "x", "y", "", "")')

# --- Histograms, classic

ask("histogram_quantile(0.9, app_latency_seconds_bucket)", "histogram_quantile(0.5, rate(app_latency_seconds_bucket[10s]))",
    "histogram_quantile(0.99, sum by (le) (rate(app_latency_seconds_bucket[10s])))", "histogram_quantile(0, app_latency_seconds_bucket)",
    "histogram_quantile(1, app_latency_seconds_bucket)", "histogram_quantile(-1, app_latency_seconds_bucket)", "histogram_quantile(2, app_latency_seconds_bucket)",
    "histogram_quantile(NaN, app_latency_seconds_bucket)", "histogram_quantile(0.95, sum by (le, path) (increase(app_latency_seconds_bucket[20s])))",
    'histogram_quantile(0.9, app_latency_seconds_bucket{le!="+Inf"})', "histogram_quantile(0.5, app_step)",
    'histogram_quantile(scalar(vector(0.25)), app_latency_seconds_bucket)', how=SUM)

# --- Native histograms: Prometheus's own

H = "prometheus_http_request_duration_seconds"
ask(f"count({H})", f"count by (handler) ({H})", f"group({H})", f"count_over_time({H}[10s])", f"present_over_time({H}[10s])", f"timestamp({H})", f"absent({H})",
    H, f"{H} offset 5s", f"last_over_time({H}[10s])", f"first_over_time({H}[10s])", f"-{H}", f"{H} * 2", f"{H} / 4", f"2 * {H}", f"{H} == {H}", f"{H} != {H}",
    f"histogram_count({H})", f"changes({H}[10s])", f"resets({H}[10s])", f"{H} + 1", f"{H} > 1", f"min({H})", f"max_over_time({H}[5s])",
    f"topk(2, {H})", f"{H} and on (handler) up", f"{H} or up", f'label_replace({H}, "h", "$1", "handler", "/(.*)")', f"absent_over_time({H}[3s])",
    f"ts_of_last_over_time({H}[5s])", f"scalar({H})", f"abs({H})", f"count_over_time({H}[20s:5s])", f"last_over_time({H}[20s:5s])")
ask(f"histogram_sum({H})", f"histogram_avg({H})", f"histogram_stddev({H})", f"histogram_stdvar({H})", f"histogram_quantile(0.9, {H})", f"histogram_quantile(0.5, rate({H}[10s]))",
    f"histogram_quantile(0, {H})", f"histogram_quantile(1, {H})", f"histogram_quantile(2, {H})", f"histogram_quantile(NaN, {H})", f"histogram_fraction(0, 0.001, {H})",
    f"histogram_fraction(-Inf, Inf, {H})", f"histogram_fraction(0.01, 0.001, {H})", f"rate({H}[10s])", f"increase({H}[10s])", f"irate({H}[10s])", f"idelta({H}[10s])", f"delta({H}[10s])",
    f"sum({H})", f"sum by (handler) ({H})", f"avg({H})", f"avg by (handler) (rate({H}[10s]))", f"sum(rate({H}[10s]))", f"histogram_quantile(0.99, sum by (handler) (rate({H}[10s])))",
    f"histogram_count(sum(rate({H}[10s])))", f"sum_over_time({H}[5s])", f"avg_over_time({H}[5s])", f"{H} + {H}", f"{H} - {H} offset 5s", f"{H} * on (handler) histogram_count({H})",
    f"rate({H}[20s:5s])", f"sum_over_time(rate({H}[5s])[15s:5s])", f"histogram_count({H}) / histogram_sum({H})", f"{H} / on (handler) (histogram_count({H}) > 0)", how=SUM)
ask(f"sort({H})", f"{H} </ 0.01", f"{H} >/ 0.01", f"{H} </ Inf", f'count_values("h", {H})', f'histogram_quantiles({H}, "q", 0.5, 0.9)', f'histogram_quantiles(rate({H}[10s]), "q", 0.1)', how=SUM, thanos=False)

# --- Newer than the parser of Thanos 0.42.5, or behind flags that it has not

ask("rate(app_requests_total[10s] anchored)", "increase(app_requests_total[10s] smoothed)", "delta(app_temperature[7s] smoothed)", "resets(app_resets_total[20s] anchored)",
    "changes(app_step[20s] anchored)", "app_temperature smoothed", "app_flapping smoothed", "rate(app_bytes_total[5s] smoothed offset 3s)", "increase(app_flapping[9s] anchored)",
    "sum(rate(app_requests_total[10s] smoothed))", how=SUM, thanos=False, scale=900)
ask("rate(app_requests_total[2s * 5])", "app_step offset (1s + 2s)", "max_over_time(app_temperature[min_of(10s, 20s)])", "count_over_time(app_step[max_of(step(), 3s)])",
    "count_over_time(app_step[20s:step() + 1s])", "app_step + step()", "time() - start()", "end() - range()", "app_step offset -(1s)", "max_of(1, 2) + min_of(3, 4)", how=SUM, thanos=False)
ask('info(app_step, {__name__="app_info", version=~".+"})', 'info(app_queue_length, {__name__="app_info"})', 'info(up, {__name__="app_info", version=~"v.*"})', "info(app_step)",
    'info(rate(app_requests_total[10s]), {__name__="app_info", commit="abc"})', thanos=False)
ask("integral(app_temperature[10s])", "integral(app_step[10s], 1)", "sort_by_label(app_step, \"instance\")", how=SUM, thanos=False, scale=9000)

# --- Math

ask("abs(app_temperature)", "ceil(app_temperature)", "floor(app_temperature)", "round(app_temperature)", "round(app_temperature, 0.5)",
    "round(app_special)", "sgn(app_temperature)", "sqrt(abs(app_temperature))", "clamp(app_temperature, 0, 10)", "clamp_min(app_temperature, 5)",
    "clamp_max(app_temperature, 5)", "clamp(app_temperature, 10, 0)", "clamp(app_temperature, NaN, 10)", "abs(app_special)", "ceil(app_special)",
    "floor(app_special)", "sgn(app_special)", "sqrt(app_special)")
ask("deg(app_temperature)", "rad(app_temperature)", thanos=False)  # Thanos has an older definition of both
ask(*(f"{name}(app_temperature)" for name in ("exp", "sin", "cos", "tan", "asinh", "sinh", "cosh", "tanh", "atan")),
    *(f"{name}(abs(app_temperature))" for name in ("ln", "log2", "log10")), *(f"{name}(app_temperature / 30)" for name in ("asin", "acos", "atanh")),
    "acosh(abs(app_temperature) + 1)", "exp(app_special)", 'ln(app_special{kind!="tiny"})', "log2(app_limit)", "log10(app_limit * 10)", "log2(2 ^ app_step)",
    "app_temperature ^ 0.5", "2.5 ^ app_temperature", how=LIBM)

# --- Time

ask("timestamp(app_step)", "timestamp(app_flapping)", "timestamp(app_step offset 5s)", "timestamp(app_step + 0)", "time() - timestamp(up)",
    "time() - app_start_time_seconds", *(f"{name}()" for name in ("minute", "hour", "day_of_week", "day_of_month", "day_of_year", "days_in_month", "month", "year")),
    *(f"{name}(app_start_time_seconds)" for name in ("minute", "hour", "day_of_week", "day_of_month", "day_of_year", "days_in_month", "month", "year")),
    "hour(vector(1136239445))", "year(vector(-1))", "days_in_month(vector(951782400))", "minute(app_special{kind!~\"huge|big\"})")

# --- Sorting

ask("sort(app_temperature)", "sort_desc(app_temperature)", "sort_by_label(app_temperature, \"shard\", \"instance\")",
    "sort_by_label_desc(app_temperature, \"instance\", \"shard\")", "sort(topk(3, app_temperature))", "sort_desc(sum by (instance) (app_requests_total))",
    "sort(app_queue_length{instance=\"app-1\"} * 1)", "topk(5, app_temperature)", how=ORDER, range=False)

# --- Names that a function drops or a set of names keeps

ask('abs({__name__=~"app_step|app_nothing"})', '{__name__=~"app_(step|start_time_seconds)"} > 0', '-{__name__="app_step"}',
    'sum by (__name__) ({__name__=~"app_(step|limit)"})', 'last_over_time({__name__=~"app_(step|limit)"}[5s])',
    'count by (__name__, job) ({__name__=~"up|scrape_.*"})', range=True)

# --- What is refused, and how: status, type of error, and the text's beginning

ERRORS = [
    "", "1 +", "sum(", "up{", "up{job=}", 'up{job="a"', "up{job=~\"(\"}", "up[5]", "up[5s", "up offset", "rate(up)", "rate(up[5s], 1)", "abs()",
    "no_such_function(up)", "sum by (up)", "topk(up)", "topk(\"a\", up)", "up and 1", "1 and up", "up == bool", "1 == 1", "{}", "{a=\"\"}",
    '{__name__="a",__name__="b"}', "up[5s][5s]", "up[5s:1s:1s]", "up @ now", "up @ start", "count_values(1, up)", "label_replace(up, \"a\", \"b\")",
    "up on(job) up", "up / on(job) group_left", "up and on(job) group_left up", "histogram_quantile(up)", "\"a\" + 1", "-\"a\"", "up{a=\"b\",,c=\"d\"}",
    "up offset 5s offset 5s", "5m[5m]", "(up", "up)", "up up", "1 2", "by (a) sum(up)", "sum(up) by (a) by (b)", "\x01", "\"unterminated", "up{\"a\"}",
    "app_requests_total + on(instance) app_step", "app_requests_total / on(instance) group_left app_requests_total",
    "app_step / on(job) group_left app_limit", 'label_replace(app_step, "~", "x", "", "")', 'label_replace(app_step, "a", "$1", "job", "(")',
    'label_join(app_step, "", "-", "job")', 'count_values("", app_step)', 'label_replace(app_requests_total, "method", "", "method", ".*")',
    'abs({__name__=~"app_step|app_start_time_seconds"})', "topk(NaN, app_step)", "limit_ratio(NaN, app_step)",
    'count_over_time({job="app"}[5s])', "sum_over_time(time()[10s:5s])", 'max_over_time({__name__=~"app_s.*",kind=""}[5s]) or vector(0)',
]
