"""Every query of queries.py over live scraped data, at fixed times 30 seconds and more in the past.

- Deduplication off, over one sidecar: Titan's answers equal those of the real Prometheus 3.16 behind
  the sidecar, its external labels taken away.
- Deduplication on, over both sidecars: Titan's answers equal those of the real Thanos 0.42.5 query
  over the same endpoints."""

import math
import re

import pytest

from cluster import CLUSTER_LABEL
from queries import CASES, ERRORS, EXACT, LIBM, ORDER, SUM, VALUES

EXTERNAL = {CLUSTER_LABEL[0], "replica"}
FEATURES = ["--enable-feature=promql-experimental-functions"]

GRIDS = [(40, 0, 5), (33, 0.5, 3), (12, 2.25, 0.5), (41, 7, 34)]  # (from, to: seconds before the end; step)


@pytest.fixture(scope="module")
def setting(replicas, module_cluster):
    """Sidecars and queries over the replicas: (titan over a's sidecar, titan and thanos over both)."""
    a = module_cluster.sidecar("titan", replicas.a)
    b = module_cluster.sidecar("thanos", replicas.b)

    class Setting:
        end = replicas.end
        prometheus = replicas.a
        titan_one = module_cluster.query("titan", [a], flags=FEATURES)
        titan_both = module_cluster.query("titan", [a, b], flags=FEATURES)
        thanos_both = module_cluster.query("thanos", [a, b], flags=FEATURES)
    replicas.settled()
    return Setting


# --- Comparing two answers

def plain(metric, dropped=EXTERNAL):
    return tuple(sorted((name, value) for name, value in metric.items() if name not in dropped))


def points(series):
    """[(time, text of the value, or the histogram)]"""
    if "value" in series or "histogram" in series:
        single = series.get("value") or series.get("histogram")
        return [(float(single[0]), single[1])]
    return [(float(t), v) for t, v in series.get("values", []) + series.get("histograms", [])]


def same_value(got, want, how, scale):
    if got == want:
        return True
    if isinstance(got, dict) and isinstance(want, dict):
        mine, theirs = ([side["count"], side["sum"], *(bucket[3] for bucket in side.get("buckets", []))] for side in (got, want))
        bounds = [[bucket[:3] for bucket in side.get("buckets", [])] for side in (got, want)]
        return bounds[0] == bounds[1] and all(same_value(a, b, how, scale) for a, b in zip(mine, theirs))
    if isinstance(got, dict) or isinstance(want, dict):
        return False
    if how in (EXACT, ORDER, VALUES):
        return False
    try:
        a, b = float(got), float(want)
    except ValueError:
        return False
    if math.isnan(a) or math.isnan(b) or math.isinf(a) or math.isinf(b):
        return str(a) == str(b)
    return abs(a - b) <= 1e-12 * max(abs(a), abs(b), scale if how == SUM else 0)


def difference(case, got, want, dropped):
    """None, or what is different, in words."""
    if got["resultType"] != want["resultType"]:
        return f"type {got['resultType']}, want {want['resultType']}"
    if got["resultType"] in ("scalar", "string"):
        mine, theirs = got["result"], want["result"]
        return None if mine[0] == theirs[0] and same_value(mine[1], theirs[1], case.how, case.scale) else f"{mine}, want {theirs}"
    mine = [(plain(series["metric"], dropped), points(series)) for series in got["result"]]
    theirs = [(plain(series["metric"], ()), points(series)) for series in want["result"]]
    if case.how == VALUES:
        numbers = [sorted((t, repr(float(v) + 0)) for _, series in side for t, v in series) for side in (mine, theirs)]
        return None if numbers[0] == numbers[1] else f"values {numbers[0][:10]}, want {numbers[1][:10]}"
    if case.how != ORDER:
        mine.sort()
        theirs.sort()
    labels = [[labels for labels, _ in side] for side in (mine, theirs)]
    if labels[0] != labels[1]:
        extra, missing = [x for x in labels[0] if x not in labels[1]], [x for x in labels[1] if x not in labels[0]]
        return f"{len(mine)} series, want {len(theirs)}; not wanted: {extra[:3]}, missing: {missing[:3]}" if extra or missing else "order or number of series"
    for (name, series), (_, wanted) in zip(mine, theirs):
        times = [[t for t, _ in side] for side in (series, wanted)]
        if times[0] != times[1]:
            return f"{dict(name)}: times {times[0][:20]}, want {times[1][:20]}"
        for (t, value), (_, text) in zip(series, wanted):
            if not same_value(value, text, case.how, case.scale):
                return f"{dict(name)} at {t}: {value}, want {text}"
    return None


def annotations(answer):
    """The kinds of warnings and infos: their text without the example that it names. Prometheus has
    infos in a list of their own, Thanos has them among the warnings."""
    texts = answer.json.get("warnings", []) + answer.json.get("infos", [])
    return sorted({re.split(r'["(]', text)[0].strip() for text in texts})


def grid(number, end):
    """One of the grids, by the place of the case, so that all queries together use them all."""
    before, after, step = GRIDS[number % len(GRIDS)]
    return {"start": end - before, "end": end - after, "step": step}


IDS = [f"{number}-{case.query[:60]}" for number, case in enumerate(CASES)]


@pytest.mark.parametrize("number", range(len(CASES)), ids=IDS)
class TestLiveQueries:
    def both(self, number, mine, theirs, mine_params, dropped, end):
        case = CASES[number]
        problems = []
        kinds = [("/query", {"time": end - 1.3 * (number % 3)})]
        if case.range:
            kinds.append(("/query_range", grid(number, end)))
        for path, times in kinds:
            params = {"query": case.query, **times}
            got, want = mine.get("/api/v1" + path, {**params, **mine_params}), theirs.get("/api/v1" + path, {**params, **(mine_params if theirs.program == "thanos" else {})})
            assert want.status == 200, f"the reference refuses {case.query}: {want}"
            if got.status != 200:
                problems.append(f"{path}: {got}")
                continue
            problem = difference(case, got.json["data"], want.json["data"], dropped)
            if problem:
                problems.append(f"{path} {times}: {problem}")
            if annotations(got) != annotations(want):
                problems.append(f"{path} {times}: annotations {annotations(got)}, want {annotations(want)}")
        assert not problems, case.query + "\n" + "\n".join(problems)

    def test_equals_prometheus(self, setting, number):
        self.both(number, setting.titan_one, setting.prometheus, {"dedup": "false"}, EXTERNAL, setting.end)

    def test_deduplicated_equals_thanos(self, setting, number):
        if CASES[number].thanos:
            self.both(number, setting.titan_both, setting.thanos_both, {"dedup": "true"}, (), setting.end)


def beginning(text):
    """What two answers to a wrong query agree in: the text up to the example it names."""
    text = text.removeprefix('invalid parameter "query": ')
    return text.split("{")[0].split("[")[0].strip()[:60]


@pytest.mark.parametrize("query", ERRORS, ids=[f"{number}-{query[:40]!a}" for number, query in enumerate(ERRORS)])
def test_wrong_query_is_refused_as_thanos_does(setting, query):
    for path, times in (("/query", {"time": setting.end}), ("/query_range", grid(0, setting.end))):
        params = {"query": query, "dedup": "false", **times}
        got, want = setting.titan_both.get("/api/v1" + path, params), setting.thanos_both.get("/api/v1" + path, params)
        assert got.status == want.status, f"{path}: {got}, want {want}"
        if want.status != 200:
            assert got.json["errorType"] == want.json["errorType"]
            assert beginning(got.json["error"]) == beginning(want.json["error"]), f"{got} want {want}"
