"""Distributed mode: queries evaluated by remote queries, one per replica, whose parts are put together
above. Every mix of Titan and the real Thanos must give what one query over all sidecars gives."""

import math
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "differential"))
from queries import CASES, VALUES  # noqa: E402

QUERIES = [
    "app_temperature", "sum(app_temperature)", "sum by (room) (app_temperature)", "avg by (shard) (app_temperature)",
    "count(app_temperature > 0)", "max without (shard) (app_temperature)", "min(app_temperature)", "group by (replica) (up)",
    "topk(2, app_temperature)", "bottomk by (room) (1, app_temperature)", "quantile(0.5, app_temperature)", "stddev(app_temperature)",
    "sum by (code) (rate(app_requests_total[10s]))", "rate(app_requests_total{code=\"200\"}[10s])", "sum(rate(app_resets_total[15s])) by (replica)",
    "sum(rate(app_requests_total{code=\"500\"}[10s])) / sum(rate(app_requests_total[10s]))",
    "sum by (instance) (app_temperature) * on (instance) group_left sum by (instance) (up{job=\"app\"})",
    "max_over_time(sum(app_temperature)[20s:2s])", "avg_over_time(app_temperature[10s] offset 5s)", "sum(app_temperature @ end())",
    "absent(nothing)", "absent(app_temperature)", "absent_over_time(nothing[5s])", "scalar(sum(up))", "vector(1)", "1 + 2", "time()",
    "sum(nothing)", "count_values(\"value\", up)", "label_replace(sum by (room) (app_temperature), \"x\", \"$1\", \"room\", \"(.*)\")",
    "app_temperature{replica=\"a\"}", "sum(app_temperature{replica!~\"a\"})", "app_special", "-app_temperature ^ 2", "sum(app_temperature) or vector(0)",
    "histogram_quantile(0.9, sum by (le) (rate(app_latency_seconds_bucket[10s])))", "timestamp(app_temperature)", "sgn(app_temperature)",
]


class World:
    def __init__(self, replicas, cluster):
        self.end = replicas.end
        # Thanos leaves out an engine whose data begins after another's, until it is old enough to look back in.
        since = time.strftime("--min-time=%Y-%m-%dT%H:%M:%SZ", time.gmtime(replicas.began + 1))
        self.sidecars = [cluster.sidecar("titan", prometheus, flags=[since]) for prometheus in (replicas.a, replicas.b)]
        # Titan and Thanos differ in rates of counters (docs/parity.md), so each is held against itself.
        self.golden = {program: cluster.query(program, self.sidecars, replica_labels=()) for program in ("titan", "thanos")}
        self.engines = {program: [cluster.query(program, [sidecar], replica_labels=()) for sidecar in self.sidecars]
                        for program in ("titan", "thanos")}
        self.over = {}
        for upper, lower in MIXES:
            self.over[upper, lower] = cluster.query(upper, self.engines[lower], replica_labels=(),
                                                    flags=["--query.mode=distributed", "--query.promql-engine=thanos"])
        replicas.settled()


MIXES = [("thanos", "titan"), ("titan", "titan"), ("titan", "thanos")]


@pytest.fixture(scope="module")
def world(replicas, module_cluster):
    return World(replicas, module_cluster)


def close(got, want):
    return got == want or (math.isnan(got) and math.isnan(want)) or math.isclose(got, want, rel_tol=1e-9, abs_tol=1e-9)


def rows(data):
    """{labels: [(time, value)]} of any result."""
    if data["resultType"] == "scalar":
        return {(): [(data["result"][0], float(data["result"][1]))]}
    return {tuple(sorted(row["metric"].items())): [(at, float(value)) for at, value in row.get("values") or [row["value"]]]
            for row in data["result"]}


def check(got, want, query):
    got, want = rows(got), rows(want)
    assert set(got) == set(want), query
    for labels, points in want.items():
        assert [at for at, _ in got[labels]] == [at for at, _ in points], (query, labels)
        for (_, mine), (_, theirs) in zip(got[labels], points):
            assert close(mine, theirs), (query, labels, mine, theirs)


@pytest.mark.parametrize("mix", MIXES, ids=lambda mix: "-over-".join(mix))
@pytest.mark.parametrize("query", QUERIES)
def test_distributed_queries_give_what_one_query_gives(world, mix, query):
    over, golden = world.over[mix], world.golden[mix[1]]
    check(over.instant(query, world.end), golden.instant(query, world.end), query)
    times = (world.end - 30, world.end, 5)
    check(over.range(query, *times), golden.range(query, *times), query)


@pytest.mark.parametrize("mix", MIXES, ids=lambda mix: "-over-".join(mix))
def test_many_series_come_whole(world, mix):
    query = '{job=~".+"}'
    got = world.over[mix].range(query, world.end - 20, world.end, 1)["result"]
    assert len(got) == len(world.golden[mix[1]].range(query, world.end - 20, world.end, 1)["result"]) > 500


@pytest.mark.parametrize("mix", MIXES, ids=lambda mix: "-over-".join(mix))
def test_the_work_is_done_below(world, mix):
    def calls(method):
        text = [engine.get("/metrics").body.decode() for engine in world.engines[mix[1]]]
        return [sum(float(line.rsplit(" ", 1)[1]) for line in page.splitlines()
                    if line.startswith("grpc_server_handled_total") and f'grpc_method="{method}"' in line) for page in text]
    before = calls("Query"), calls("QueryRange"), calls("Series")
    world.over[mix].instant("sum(app_temperature)", world.end)
    world.over[mix].range("sum(app_temperature)", world.end - 30, world.end, 5)
    after = calls("Query"), calls("QueryRange"), calls("Series")
    assert after == ([count + 1 for count in before[0]], [count + 1 for count in before[1]], before[2])


@pytest.mark.parametrize("mix", MIXES, ids=lambda mix: "-over-".join(mix))
def test_what_is_wrong_below_is_told(world, mix):
    for query in ("app_temperature + on () app_temperature", "rate(app_temperature)"):
        answer = world.over[mix].get("/api/v1/query", {"query": query, "time": world.end})
        assert answer.status in (400, 422) or answer.json.get("warnings"), answer


def histograms(data):
    return {tuple(sorted(row["metric"].items())): row.get("histograms") or row.get("histogram") for row in data["result"]}


def check_alike(got, want, case):
    """Two answers, also errors and histograms; of ties only the values count."""
    assert got.status == want.status, (case, got, want)
    if want.status != 200:
        return
    got, want = got.json["data"], want.json["data"]
    assert got["resultType"] == want["resultType"], case
    if want["resultType"] == "string" or any("histogram" in row or "histograms" in row for row in want["result"] if isinstance(row, dict)):
        assert want["resultType"] == "string" or set(histograms(got)) == set(histograms(want)), case
    elif case.how == VALUES:
        mine, theirs = (sorted(value for points in rows(data).values() for _, value in points) for data in (got, want))
        assert len(mine) == len(theirs) and all(map(close, mine, theirs)), case
    else:
        check(got, want, case)


def test_all_kinds_of_queries_give_what_one_query_gives(world):
    over, golden = world.over["titan", "titan"], world.golden["titan"]
    for case in CASES:
        params = {"query": case.query, "time": world.end}
        check_alike(over.get("/api/v1/query", params), golden.get("/api/v1/query", params), case)
        if case.range:
            params = {"query": case.query, "start": world.end - 30, "end": world.end, "step": 5}
            check_alike(over.get("/api/v1/query_range", params), golden.get("/api/v1/query_range", params), case)
