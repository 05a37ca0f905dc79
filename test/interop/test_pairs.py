"""One suite over every composition of Titan and the real Thanos 0.42.5 as sidecars and queries, in
front of two real Prometheus 3.16 replicas: each binary can be exchanged for the other and back."""

import gzip
import json

import pytest

from cluster import healthy

# (names of the queries from the top down, program of the sidecars)
COMPOSITIONS = [(("titan",), "titan"), (("titan",), "thanos"), (("thanos",), "titan"), (("thanos",), "thanos"),
                (("titan", "titan"), "titan"), (("thanos", "titan"), "thanos"), (("titan", "thanos"), "titan"),
                (("titan", "titan", "titan"), "titan"), (("thanos", "thanos", "thanos"), "thanos")]


class Composition:
    def __init__(self, replicas, cluster, queries, sidecars):
        self.replicas, self.end = replicas, replicas.end
        self.sidecars = [cluster.sidecar(sidecars, prometheus) for prometheus in (replicas.a, replicas.b)]
        endpoints = self.sidecars
        self.stack = []
        for program in reversed(queries):
            self.stack.insert(0, cluster.query(program, endpoints))
            endpoints = [self.stack[0]]
        self.query = self.stack[0]
        self.stacked = len(self.stack) > 1
        replicas.settled()

    def count(self, query, **params):
        """The value of an instant query that gives one number, at the settled end; None: nothing."""
        result = self.query.instant(query, self.end, **params)["result"]
        assert len(result) <= 1, result
        return float(result[0]["value"][1]) if result else None


@pytest.fixture(scope="module", params=COMPOSITIONS, ids=[f"{'-over-'.join(queries)}-over-{sidecars}-sidecars" for queries, sidecars in COMPOSITIONS])
def over(request, replicas, tmp_path_factory):
    from cluster import Cluster
    cluster = Cluster(tmp_path_factory.mktemp("composition"))
    composition = None
    try:
        composition = Composition(replicas, cluster, *request.param)
        yield composition
    finally:
        cluster.close()


def by_labels(result, dropped=()):
    return {tuple(sorted((k, v) for k, v in series["metric"].items() if k not in dropped)): series.get("values") or series["value"]
            for series in result}


# --- Instant and range queries, deduplicated and not

def test_instant_query_is_deduplicated(over):
    assert over.count('count(up{job="app"})') == 3
    result = over.query.instant('up{job="app"}', over.end)["result"]
    assert all("replica" not in series["metric"] and series["metric"]["cluster"] == "e2e" for series in result)


def test_without_deduplication_each_replica_has_its_series(over):
    assert over.count('count(up{job="app"})', dedup="false") == 6
    assert {series["metric"]["replica"] for series in over.query.instant("app_step", over.end, dedup="false")["result"]} == {"a", "b"}


def test_one_replica_equals_its_prometheus(over):
    for query in ("app_temperature", "sum by (code) (app_requests_total)", "rate(app_requests_total[10s])", "max_over_time(app_flapping[8s])"):
        mine = query.replace("app_temperature", 'app_temperature{replica="b"}').replace("_total", '_total{replica="b"}').replace("flapping", 'flapping{replica="b"}')
        got = over.query.range(mine, over.end - 30, over.end, 3, dedup="false")["result"]
        want = over.replicas.b.range(query, over.end - 30, over.end, 3)["result"]
        assert by_labels(got, ("replica", "cluster")) == by_labels(want), query


def test_range_query_is_deduplicated_without_gaps(over):
    result = over.query.range('count(app_step)', over.end - 30, over.end, 1)["result"]
    assert [point[0] for point in result[0]["values"]] == list(range(over.end - 30, over.end + 1))
    assert {point[1] for point in result[0]["values"]} <= {"2", "3"}


def test_external_labels_select(over):
    assert over.count('count(app_step{replica="a"})', dedup="false") == over.count('count(app_step{replica="b"})', dedup="false")
    assert over.count('count(app_step{replica="c"})', dedup="false") is None
    assert over.count('count(app_step{cluster=~"e.e"})') is not None
    assert over.count('count(app_step{cluster!="e2e"})') is None
    assert over.count('count by (cluster) (app_step)') == over.count("count(app_step)")


def test_scalar_string_and_matrix_results(over):
    assert over.query.instant("1 + 1", over.end) | {"analysis": {}} == {"resultType": "scalar", "result": [over.end, "2"], "analysis": {}}
    assert over.query.instant('"text"', over.end)["result"] == [over.end, "text"]
    matrix = over.query.instant('app_step{instance="app-0"}[5s]', over.end, dedup="false")
    assert matrix["resultType"] == "matrix" and all(len(series["values"]) >= 4 for series in matrix["result"])


def test_special_values_arrive_as_they_are(over):
    values = {series["metric"]["kind"]: series["value"][1] for series in over.query.instant('app_special{instance="app-0"}', over.end)["result"]}
    assert values == {"nan": "NaN", "inf": "+Inf", "ninf": "-Inf", "zero": "0", "negzero": "-0", "tiny": "5e-324", "huge": "1.7976931348623157e+308",
                      "third": "0.3333333333333333", "exp": "1.23e-07", "big": "1e+21"}


def test_text_in_labels_arrives_as_it_is(over):
    texts = {series["metric"]["text"] for series in over.query.instant('app_text{instance="app-1"}', over.end)["result"]}
    assert texts == {'quotes " and \\ and\nlines', "<b>&amp;</b>"}


# --- Parameters

def test_replica_labels_of_the_request_replace_those_of_the_flag(over):
    result = over.query.instant('up{job="app"}', over.end, **{"replicaLabels[]": "cluster"})["result"]
    assert len(result) == 6 and all("replica" in series["metric"] and "cluster" not in series["metric"] for series in result)
    result = over.query.instant('up{job="app"}', over.end, **{"replicaLabels[]": ["cluster", "replica"]})["result"]
    assert len(result) == 3 and all("replica" not in series["metric"] for series in result)


def test_store_match_chooses_endpoints(over):
    below = over.stack[1].grpc if over.stacked else over.sidecars[0].grpc
    chosen = over.count('count(up{job="app"})', dedup="false", **{"storeMatch[]": f'{{__address__="{below}"}}'})
    assert chosen == (6 if over.stacked else 3)
    assert over.count('count(up{job="app"})', **{"storeMatch[]": '{__address__="nowhere:1"}'}) is None
    assert over.count('count(up{job="app"})', dedup="false", **{"storeMatch[]": ['{__address__=~".*"}', '{__address__="nowhere:1"}']}) == 6


def test_answers_to_get_and_post_are_the_same(over):
    params = {"query": "sum by (code) (app_requests_total)", "time": over.end}
    got, posted = over.query.get("/api/v1/query", params), over.query.get("/api/v1/query", params, method="POST")
    assert by_labels(got.json["data"]["result"]) == by_labels(posted.json["data"]["result"])


def test_gzip_and_cors(over):
    answer = over.query.get("/api/v1/query", {"query": '{__name__=~"app_.*"}', "time": over.end}, headers={"Accept-Encoding": "gzip", "Origin": "http://x"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert json.loads(gzip.decompress(answer.body))["status"] == "success"


def test_times_in_both_forms(over):
    assert over.query.instant("time()", "2026-01-02T03:04:05.678Z")["result"][1] == "1767323045.678"
    assert over.query.instant("time()", "1767323045.678")["result"][1] == "1767323045.678"


def test_lookback_delta_of_the_request(over):
    answers = [over.query.instant("app_step", over.end - part / 7, lookback_delta="0.001")["result"] for part in range(7)]
    assert [] in answers  # samples are a second apart


# --- Series, labels, label values

def test_series_drop_the_replica_label(over):
    got = over.query.data("/series", {"match[]": "app_temperature", "start": over.end - 30, "end": over.end})
    want = over.replicas.a.data("/series", {"match[]": "app_temperature", "start": over.end - 30, "end": over.end})
    key = lambda labels: tuple(sorted(labels.items()))
    assert sorted(map(key, got)) == sorted(key(labels | {"cluster": "e2e"}) for labels in want)


def test_series_of_each_replica(over):
    got = over.query.data("/series", [("match[]", "app_step"), ("match[]", "app_limit"), ("dedup", "false"), ("start", over.end - 30), ("end", over.end)])
    assert len(got) == 3 * 2 + 6 * 2 and {labels["replica"] for labels in got} == {"a", "b"}


def test_label_names(over):
    got = over.query.data("/labels", {"start": over.end - 30, "end": over.end})
    assert got == sorted(set(got)) and {"__name__", "cluster", "replica", "instance", "job", "le", "shard"} <= set(got)
    got = over.query.data("/labels", {"match[]": "app_temperature", "start": over.end - 30, "end": over.end})
    assert got == ["__name__", "cluster", "instance", "job", "replica", "room", "shard"]


def test_label_values(over):
    times = {"start": over.end - 30, "end": over.end}
    assert over.query.data("/label/replica/values", times) == ["a", "b"]
    assert over.query.data("/label/cluster/values", times) == ["e2e"]
    assert over.query.data("/label/shard/values", times) == list("012345")
    assert over.query.data("/label/shard/values", {"match[]": 'app_temperature{room="r1"}', **times}) == ["1", "3", "5"]
    assert over.query.data("/label/nothing/values", times) == []
    names = over.query.data("/label/__name__/values", times)
    assert names == sorted(set(names)) and set(over.replicas.a.data("/label/__name__/values", times)) <= set(names)


def test_label_values_with_limit(over):
    assert len(over.query.data("/label/shard/values", {"limit": 2, "start": over.end - 30, "end": over.end})) == 2


# --- Endpoints and the process

def test_stores(over):
    stores = over.query.data("/stores")
    if over.stacked:
        assert list(stores) == ["query"] and [store["name"] for store in stores["query"]] == [over.stack[1].grpc]
        sets = stores["query"][0]["labelSets"]
    else:
        assert list(stores) == ["sidecar"]
        assert [store["name"] for store in stores["sidecar"]] == sorted(sidecar.grpc for sidecar in over.sidecars)
        sets = [labels for store in stores["sidecar"] for labels in store["labelSets"]]
    assert sorted(labels["replica"] for labels in sets) == ["a", "b"] and all(labels["cluster"] == "e2e" for labels in sets)
    assert len(healthy(over.query)) == (1 if over.stacked else 2)
    for store in (store for kind in stores.values() for store in kind):
        assert store["lastError"] is None and store["minTime"] < over.end * 1000 < store["maxTime"] and store["lastCheck"]


def test_build_info_and_flags(over):
    assert {"version", "revision", "branch", "buildUser", "buildDate", "goVersion"} <= set(over.query.data("/status/buildinfo"))
    flags = over.query.data("/status/flags")
    assert flags["query.replica-label"] == "replica" and flags["http-address"].endswith(str(over.query.port))


def test_probes_and_metrics(over):
    for component in [*over.stack, *over.sidecars]:
        for probe in ("/-/healthy", "/-/ready"):
            answer = component.get(probe)
            assert (answer.status, answer.body) == (200, b"OK")
        text = component.get("/metrics").body.decode()
        names = ["process_cpu_seconds_total", "process_resident_memory_bytes", "thanos_status", "grpc_server_handled_total"]
        if component in over.stack:
            names += ["http_requests_total", "http_request_duration_seconds_bucket", "grpc_client_handled_total"]
        for name in names:
            assert name in text, f"{component.process.name} has no {name}"


# --- Errors

ERRORS = [("/query", {"query": "sum("}, 400, "bad_data"), ("/query", {}, 400, "bad_data"), ("/query", {"query": "up", "time": "never"}, 400, "bad_data"),
          ("/query", {"query": "up", "timeout": "soon"}, 400, "bad_data"), ("/query", {"query": "up", "dedup": "perhaps"}, 400, "bad_data"),
          ("/query", {"query": "up", "partial_response": "perhaps"}, 400, "bad_data"), ("/query", {"query": "up", "storeMatch[]": "{"}, 400, "bad_data"),
          ("/query_range", {"query": "up", "start": 1, "end": 0, "step": 1}, 400, "bad_data"), ("/query_range", {"query": "up", "start": 1, "end": 2, "step": 0}, 400, "bad_data"),
          ("/query_range", {"query": "up", "start": 1, "end": 2, "step": -1}, 400, "bad_data"), ("/query_range", {"query": "up", "start": 0, "end": 20000, "step": 1}, 400, "bad_data"),
          ("/query_range", {"query": "up[5m]", "start": 1, "end": 2, "step": 1}, 400, "bad_data"), ("/query", {"query": "app_requests_total + on(instance) app_step"}, 422, "execution"),
          ("/series", {}, 400, "bad_data"), ("/series", {"match[]": "{"}, 400, "bad_data"), ("/label/a%20b/values", {"match[]": "{"}, 400, "bad_data"),
          ("/series", {"match[]": "up", "limit": "-1"}, 400, "bad_data"), ("/query", {"query": "up", "max_source_resolution": "-5s"}, 400, "bad_data")]


@pytest.mark.parametrize("path,params,status,kind", ERRORS, ids=[f"{path} {params}" for path, params, _, _ in ERRORS])
def test_errors(over, path, params, status, kind):
    if "time" not in params and path == "/query":
        params = {**params, "time": over.end}
    answer = over.query.get("/api/v1" + path, params)
    assert answer.status == status, answer
    assert answer.json["status"] == "error" and answer.json["errorType"] == kind and answer.json["error"]
    assert answer.headers["Cache-Control"] == "no-store" and answer.headers["Content-Type"].startswith("application/json")


def test_unknown_paths_are_not_found(over):
    assert over.query.get("/api/v1/nothing").status == 404
    assert over.query.get("/nothing").status == 404
