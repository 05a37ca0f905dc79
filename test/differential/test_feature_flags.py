"""Constructs behind feature flags, over nothing: with the flag Titan takes them, without it refuses them in the words of
Prometheus 3.16 (with the same flags)."""

import pytest

EXPERIMENTAL, FILL, NAMES = "promql-experimental-functions", "promql-binop-fill-modifiers", "promql-unquoted-utf8-names"
CASES = {
    "info(up)": EXPERIMENTAL, "limitk(2, up)": EXPERIMENTAL, "limit_ratio(0.5, up)": EXPERIMENTAL, "sort_by_label(up, \"job\")": EXPERIMENTAL,
    "sort_by_label_desc(up)": EXPERIMENTAL, "double_exponential_smoothing(up[5m], 0.1, 0.2)": EXPERIMENTAL, "mad_over_time(up[5m])": EXPERIMENTAL,
    "first_over_time(up[5m])": None, "ts_of_max_over_time(up[5m])": EXPERIMENTAL, "ts_of_last_over_time(up[5m])": EXPERIMENTAL,
    "start_timestamp(up)": EXPERIMENTAL, "histogram_quantiles(up, \"q\", 0.5)": EXPERIMENTAL, "start()": EXPERIMENTAL, "end()": EXPERIMENTAL,
    "step()": EXPERIMENTAL, "range()": EXPERIMENTAL, "max_of(1, 2)": EXPERIMENTAL, "min_of(1, 2)": EXPERIMENTAL, "integral(up[5m])": EXPERIMENTAL,
    "up + fill(0) up": FILL, "up / fill_left(1) fill_right(2) up": FILL, "up - on (job) group_left fill (0) up": FILL,
    "http.requests": NAMES, "{service.name=\"a\"}": NAMES, "température": NAMES, "sum by (service.name) (up)": NAMES,
    # Without a flag.
    "up[step() + 5m] offset (1m * 2)": None, "rate(up[5m] anchored)": None, "rate(up[5m] smoothed)": None, "up smoothed": None,
    "up offset max_of(1m, step())": None, "up @ start() + up @ end()": None,
    # Not Prometheus's: behind --query.enable-x-functions.
    "xrate(up[5m])": "x", "xincrease(up[5m])": "x", "xdelta(up[5m])": "x",
}


def answer(component, query, **more):
    reply = component.get("/api/v1/query", {"query": query, "time": 1000}, **more)
    return (reply.status, reply.json["status"], reply.json.get("errorType"), (reply.json.get("error") or "").removeprefix("invalid parameter \"query\": "))


@pytest.mark.parametrize("features", [(), (EXPERIMENTAL,), (FILL, NAMES), (EXPERIMENTAL, FILL, NAMES)], ids=lambda names: "+".join(names) or "none")
def test_constructs_need_their_flags(cluster, features):
    flags = ["--enable-feature=" + ",".join(features)] if features else []
    titan = cluster.query("titan", [], flags=flags)
    prometheus = cluster.prometheus("p", [], flags=flags, features=False)
    for query, needed in CASES.items():
        got, want = answer(titan, query), answer(prometheus, query)
        assert got == want, query
        assert (got[1] == "success") == (needed is None or needed in features), (query, got)


def test_start_timestamps_are_a_matter_of_one_query_too(cluster):
    titan, prometheus = cluster.query("titan", []), cluster.prometheus("p", [])
    for word in ("true", "0", "F", "yes", " "):
        headers = {"X-Prometheus-Use-Start-Timestamps": word}
        got, want = answer(titan, "up", headers=headers), answer(prometheus, "up", headers=headers)
        assert got[:3] == want[:3] and want[3].endswith(got[3]), word


def test_functions_of_thanos_need_their_flag(cluster):
    titan = cluster.query("titan", [], flags=["--query.enable-x-functions"])
    for query in (query for query, needed in CASES.items() if needed == "x"):
        assert answer(titan, query)[1] == "success", query
