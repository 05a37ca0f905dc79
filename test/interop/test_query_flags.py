"""Flags of query that change what its API answers, on both programs: tenancy, prefixes."""

import http.client

import pytest

from cluster import wait_until

PROGRAMS = ["titan", "thanos"]


@pytest.fixture(scope="module")
def prometheus(module_cluster):
    """Two jobs' worth of series that tell tenants apart by the label job."""
    prometheus = module_cluster.prometheus("a", extra_config="- {job_name: other, static_configs: [{targets: ['127.0.0.1:1']}]}")
    wait_until("both jobs are scraped", 20, lambda: len(prometheus.instant("up", now())["result"]) == 2)
    return prometheus


def now():
    import time
    return time.time()


def raw(component, path, method="GET", headers=None):
    """Status, headers and body, without following redirects."""
    connection = http.client.HTTPConnection("127.0.0.1", component.port, timeout=30)
    connection.request(method, path, headers=headers or {})
    response = connection.getresponse()
    return response.status, response.headers, response.read()


def test_tenants_are_enforced_alike(module_cluster, prometheus):
    flags = ["--query.enforce-tenancy", "--query.tenant-label-name=job", "--query.tenant-header=X-Team", "--query.default-tenant-id=other"]
    sidecar = module_cluster.sidecar("titan", prometheus)
    queries = [module_cluster.query(program, [sidecar], flags=flags) for program in PROGRAMS]
    at = now()
    asks = [("/api/v1/query", {"query": query, "time": at}) for query in (
        "count(up)", "count(up{job='prometheus'})", "sum by (job) (up{job=~'.*'}) or vector(2)", "max_over_time((count({__name__='up'}))[5s:1s])", "up{",
        "count_values('job', up)", "1", "'text'")]
    asks += [("/api/v1/query_range", {"query": "count(up) by (job)", "start": at, "end": at, "step": 1}), ("/api/v1/labels", {}),
             ("/api/v1/labels", {"match[]": "up"}), ("/api/v1/label/job/values", {}), ("/api/v1/label/job/values", {"match[]": "up{job='prometheus'}"}),
             ("/api/v1/series", {"match[]": ["up", "up{job='prometheus'}"]}), ("/api/v1/series", {})]
    for headers in ({}, {"X-Team": "prometheus"}, {"THANOS-TENANT": "prometheus"}, {"X-Team": "nobody"}, {"X-Team": "a/b"}):
        for path, params in asks:
            got, want = (query.get(path, params, headers=headers) for query in queries)
            assert (got.status, got.json) == (want.status, want.json), f"{headers} {path} {params}: {got} want {want}"


@pytest.mark.parametrize("flags", [["--web.route-prefix=/foo/"], ["--web.external-prefix=foo"], ["--web.route-prefix=foo", "--web.external-prefix=/bar"]])
def test_prefixes_are_alike(module_cluster, flags):
    queries = [module_cluster.start(program, "query", "query", flags) for program in PROGRAMS]
    for query in queries:
        query.process.wait_ready(query.url + "/-/ready")
    for path in ("/", "/foo", "/foo/api/v1/query?query=1&time=1", "/api/v1/query?query=1", "/foo/-/ready", "/foo/metrics", "/-/healthy"):
        got, want = (raw(query, path) for query in queries)
        assert got[0] == want[0], f"{path}: {got} want {want}"
        assert got[1].get("Location") == want[1].get("Location"), path
