"""The APIs between components besides the Store API: rules and alerts, targets, metadata, exemplars,
the status of databases; over two real Prometheus replicas, through every pair of Titan and the real
Thanos as sidecars and query, and through queries over queries. What Thanos answers over Thanos is
the golden answer; only what moves from one evaluation or scrape to the next is left out."""

import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cluster import free_port, wait_until

RULES = """
groups:
- name: "sums & <more>"
  interval: 1s
  limit: 100
  labels: {of_group: all}
  rules:
  - {record: "job:api_requests:sum", expr: "sum by (job) (api_requests_total)", labels: {level: job}}
  - {record: "job:api_requests:sum", expr: "sum by (job) (api_requests_total)", labels: {level: job, extra: x}}
- name: broken
  interval: 1s
  rules:
  - {record: twice, expr: "label_replace(up, 'instance', 'x', '', '') * on (instance) group_left up"}
- name: alerts
  interval: 1s
  rules:
  - {alert: Firing, expr: "api_up == 1", labels: {severity: page, templated: "{{ $labels.job }}"}, annotations: {text: "<b>{{ $value }}</b> & more"}}
  - {alert: Pending, expr: "api_up == 1", for: 1h, keep_firing_for: 5m, labels: {severity: ticket}}
  - {alert: Inactive, expr: "api_up == 0"}
"""

PAGE = """# TYPE api_requests counter
# HELP api_requests Requests, of "all" <kinds> & more.
api_requests_total{{path="/a"}} 5 # {{trace_id="one",span="<x>"}} 0.5 {t:.3f}
api_requests_total{{path="/b"}} 7 # {{trace_id="two"}} 12.25 {t:.3f}
# TYPE api_up gauge
# HELP api_up Whether it is up.
api_up 1
# TYPE api_seconds histogram
# UNIT api_seconds seconds
# HELP api_seconds Time.
api_seconds_bucket{{le="0.1"}} 1 # {{trace_id="three"}} 0.05 {t:.3f}
api_seconds_bucket{{le="+Inf"}} 2 # {{trace_id="four"}} 1e+22 {t:.3f}
api_seconds_sum 3
api_seconds_count 2
# EOF
"""

SCRAPES = """
- job_name: api
  static_configs: [{{targets: ['127.0.0.1:{port}'], labels: {{instance: api}}}}]
- job_name: gone
  static_configs: [{{targets: ['127.0.0.1:1'], labels: {{instance: gone}}}}]
- job_name: unwanted
  static_configs: [{{targets: ['127.0.0.1:2', '127.0.0.1:3']}}]
  relabel_configs: [{{action: drop, source_labels: [__address__], regex: '.*'}}]
rule_files: [rules.yml]
"""


class Exporter:
    def __init__(self):
        page = PAGE.format(t=time.time()).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, *args):
                pass

        self.port = free_port()
        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


PAIRS = [(query, sidecar) for query in ("titan", "thanos") for sidecar in ("titan", "thanos")]
STACKS = [("titan", "titan"), ("titan", "thanos"), ("thanos", "titan")]


class World:
    """Two replicas, sidecars of both programs over each, a query of each program over each pair of
    sidecars, and queries over queries over Titan's sidecars."""

    def __init__(self, cluster):
        self.cluster = cluster
        exporter = Exporter()
        self.prometheus = []
        for name in ("a", "b"):
            folder = cluster.folder / f"prometheus-{name}"
            folder.mkdir()
            (folder / "rules.yml").write_text(RULES)
            self.prometheus.append(cluster.prometheus(
                name, extra_config=SCRAPES.format(port=exporter.port), flags=["--enable-feature=exemplar-storage"]))
        self.sidecars = {program: [cluster.sidecar(program, prometheus) for prometheus in self.prometheus]
                         for program in ("titan", "thanos")}
        self.query = {}
        for query, sidecar in PAIRS:
            self.query[f"{query}-over-{sidecar}-sidecars"] = cluster.query(query, self.sidecars[sidecar], wait=False)
        for upper, lower in STACKS:
            self.query[f"{upper}-over-{lower}"] = cluster.query(upper, [self.query[f"{lower}-over-titan-sidecars"]], wait=False)
        for query in self.query.values():
            query.process.wait_ready(query.url + "/-/ready")
        for prometheus in self.prometheus:
            wait_until("alerts fire", 30, lambda: {"firing", "pending"} <= {alert["state"] for alert in prometheus.data("/alerts")["alerts"]})
            wait_until("exemplars are there", 30, lambda: len(prometheus.data("/query_exemplars", {"query": '{job="api"}'})) == 4)
            wait_until("everything was scraped", 30, lambda: all(
                target["health"] in ("up", "down") for target in prometheus.data("/targets")["activeTargets"]))
            wait_until("rules were evaluated", 30, lambda: all(
                rule["health"] != "unknown" for group in prometheus.data("/rules")["groups"] for rule in group["rules"]))
        for query in self.query.values():
            wait_until("all endpoints are in", 30, lambda: query.data("/rules")["groups"])
        self.golden = self.query["thanos-over-thanos-sidecars"]


@pytest.fixture(scope="module")
def world(module_cluster):
    return World(module_cluster)


NAMES = [f"{query}-over-{sidecar}-sidecars" for query, sidecar in PAIRS] + [f"{upper}-over-{lower}" for upper, lower in STACKS]


@pytest.fixture(params=NAMES)
def query(request, world):
    return world.query[request.param]


VOLATILE = re.compile(rb'"(evaluationTime|lastEvaluation|lastScrape|lastScrapeDuration|activeAt)":("[^"]*"|[^,}]*)')


def text(query, path, params=None):
    """The answer as text, without what moves."""
    answer = query.get("/api/v1" + path, params)
    return answer.status, VOLATILE.sub(rb'"\1":0', answer.body).decode()


def check_golden(world, query, path, params=None):
    end = time.monotonic() + 5
    while (got := text(query, path, params)) != (want := text(world.golden, path, params)):
        if time.monotonic() > end:
            assert got == want
        time.sleep(0.2)
    return got[1]


RULE_PARAMS = [
    {}, {"type": "alert"}, {"type": "Record"}, {"type": "other"}, {"rule_name[]": ["Firing", "twice"]},
    {"rule_group[]": "alerts"}, {"file[]": "none"}, {"match[]": '{severity="page"}'}, {"match[]": '{templated=""}'},
    {"match[]": '{level=~".+",extra=""}'}, {"match[]": ['{cluster="e2e"}', '{severity!="page"}']}, {"match[]": '{cluster="other"}'},
    {"rule_name[]": "Firing", "rule_group[]": "broken"},
]


@pytest.mark.parametrize("params", RULE_PARAMS, ids=str)
def test_rules(world, query, params):
    check_golden(world, query, "/rules", params)


def test_rules_of_replicas_are_one(world, query):
    groups = {group["name"]: group for group in query.data("/rules")["groups"]}
    assert set(groups) == {"sums & <more>", "broken", "alerts"} and len(groups["alerts"]["rules"]) == 3
    firing = next(rule for rule in groups["alerts"]["rules"] if rule["name"] == "Firing")
    assert firing["state"] == "firing" and firing["labels"]["cluster"] == "e2e" and "replica" not in firing["labels"]


def test_alerts(world, query):
    assert '"state":"firing"' in check_golden(world, query, "/alerts")


@pytest.mark.parametrize("params", [{}, {"state": "active"}, {"state": "DROPPED"}, {"state": "any"}, {"state": "other"}], ids=str)
def test_targets(world, query, params):
    check_golden(world, query, "/targets", params)


@pytest.mark.parametrize("params", [{}, {"metric": "api_seconds"}, {"metric": "none"}, {"limit": 0}, {"limit": "x"},
                                    {"limit": "99999999999"}, {"metric": "api_requests", "limit": 1}], ids=str)
def test_metadata(world, query, params):
    check_golden(world, query, "/metadata", params)


def test_metadata_is_limited(query):
    assert len(query.data("/metadata", {"limit": 3})) == 3


EXEMPLAR_QUERIES = [
    "api_requests_total", 'rate(api_requests_total{path="/a"}[5m]) / sum(api_seconds_bucket)', '{job="api"}', "none",
    'api_requests_total{cluster="e2e"}', 'api_requests_total{cluster="other"}', 'api_requests_total{replica="a"}',
    'api_requests_total{replica=~"a|b",cluster!="x",path!~"/b"}', 'histogram_quantile(0.9, api_seconds_bucket{path=""})',
]


@pytest.mark.parametrize("expr", EXEMPLAR_QUERIES)
def test_exemplars(world, query, expr):
    check_golden(world, query, "/query_exemplars", {"query": expr})


def test_exemplars_of_a_time_range(world, query):
    for params in ({"start": 1, "end": 2}, {"start": "2020-01-01T00:00:00Z"}, {"start": "x"}, {"end": "y"}):
        check_golden(world, query, "/query_exemplars", {"query": "api_requests_total", **params})


# --- Statistics of databases

LISTS = ("seriesCountByMetricName", "labelValueCountByLabelName", "memoryInBytesByLabelName", "seriesCountByLabelValuePair")


def test_tsdb_status_over_thanos_sidecars(world):
    """Thanos's sidecars mix the lists up; both queries pass on what they say."""
    for params in ({}, {"limit": 2}, {"limit": 0}, {"limit": "x"}, {"limit": -1}, {"match[]": '{cluster="e2e"}'}, {"match[]": '{cluster="x"}'},
                   {"match[]": '{'}):
        def ask(program):
            answer = world.query[f"{program}-over-thanos-sidecars"].get("/api/v1/status/tsdb", params)
            return re.sub(rb'"(numSeries|numLabelPairs|maxTime|value)":[0-9]+', rb'"\1":0', answer.body)
        wait_until(f"equal status {params}", 15, lambda: ask("titan") == ask("thanos"))


@pytest.mark.parametrize("name", [name for name in NAMES if "thanos-sidecars" not in name])
def test_tsdb_status_over_titan_sidecars(world, name):
    """The sum of what the Prometheus servers say."""
    def ask():
        parts = [prometheus.data("/status/tsdb", {"limit": 5}) for prometheus in world.prometheus]
        return world.query[name].data("/status/tsdb", {"limit": 5}), parts

    def is_sum():  # not while series appear between one question and the next
        got, parts = ask()
        return all(got["headStats"][key] == sum(part["headStats"][key] for part in parts) for key in ("numSeries", "numLabelPairs"))

    wait_until("it is the sum", 20, is_sum)
    got, parts = ask()
    assert got["headStats"]["chunkCount"] > 0
    assert got["headStats"]["minTime"] == min(part["headStats"]["minTime"] for part in parts)
    assert all(len(got[key]) == 5 for key in LISTS)
    metric = got["seriesCountByMetricName"][0]
    assert metric["value"] >= max(entry["value"] for part in parts for entry in part["seriesCountByMetricName"] if entry["name"] == metric["name"])
    nothing = world.query[name].data("/status/tsdb", {"match[]": '{cluster="other"}'})
    assert nothing["headStats"]["numSeries"] == 0 and nothing["seriesCountByMetricName"] == []


# --- When peers fail

PATHS = {"/rules": "rule", "/alerts": "rule", "/targets": "target", "/metadata": "metric-metadata",
         "/query_exemplars?query=up": "exemplar", "/status/tsdb": "status"}


@pytest.fixture(scope="module")
def mourning(tmp_path_factory):
    """Queries of both programs over a sidecar of each whose Prometheus is dead, and a store gateway,
    which has none of these APIs; with partial response and without."""
    from cluster import Cluster
    cluster = Cluster(tmp_path_factory.mktemp("mourning"))
    try:
        bucket = cluster.folder / "bucket"
        bucket.mkdir()
        prometheus = cluster.prometheus("a")
        # Of an empty database Thanos's sidecar cannot tell the status: it panics.
        wait_until("data is there", 20, lambda: prometheus.instant("up", time.time())["result"])
        store = cluster.start("thanos", "store", "store", [
            f"--data-dir={cluster.folder}/store", f"--objstore.config={{type: FILESYSTEM, config: {{directory: {bucket}}}}}"])
        store.process.wait_ready(store.url + "/-/ready")
        queries = {}
        for sidecar in ("titan", "thanos"):
            endpoints = [cluster.sidecar(sidecar, prometheus), store]
            for program in ("titan", "thanos"):
                strict = [f"--no-{kind}.partial-response" for kind in sorted(set(PATHS.values()))]
                queries[program, sidecar] = (cluster.query(program, endpoints), cluster.query(program, endpoints, flags=strict))
        for forgiving, strict in queries.values():
            for query in (forgiving, strict):  # the store gateway is not asked
                for path in PATHS:
                    assert "warnings" not in query.get("/api/v1" + path).json, path
        prometheus.kill()
        yield queries
    finally:
        cluster.close()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("query,sidecar", PAIRS)
def test_a_dead_prometheus_is_a_warning_or_an_error(mourning, query, sidecar, path):
    forgiving, strict = mourning[query, sidecar]
    answer = forgiving.get("/api/v1" + path)
    assert answer.status == 200 and len(answer.json["warnings"]) == 1, answer
    assert answer.headers["Cache-Control"] == "no-store"
    answer = strict.get("/api/v1" + path)
    assert answer.status == 500 and answer.json["errorType"] == "internal", answer
    assert "client" in answer.json["error"] and "connect" in answer.json["error"], answer
