"""--request.logging-config: the same lines as the real Thanos's, for HTTP and gRPC."""

import re
import time

import pytest

from cluster import wait_until

ALL = "options: {level: DEBUG, decision: {log_start: true, log_end: true}}"
ERRORS = "options: {level: ERROR, decision: {log_end: true}}"
ONLY = "grpc: {options: {level: DEBUG, decision: {log_end: true}}, config: [{service: thanos.Store, method: Series}]}"
PROGRAMS = ["titan", "thanos"]


def lines(component, protocol):
    """[{key: value}] of the lines about requests, without times and addresses."""
    found = []
    for line in component.process.log().splitlines():
        pairs = dict(re.findall(r'([\w.-]+)=("(?:[^"\\]|\\.)*"|\S*)', line))
        if pairs.get("protocol") == protocol and "call" in pairs.get("msg", ""):
            found.append({key: value.strip('"') for key, value in pairs.items()})
    return found


def shape(found, keys):
    return sorted(tuple((key, line.get(key)) for key in keys) for line in found)


@pytest.fixture
def prometheus(cluster):
    return cluster.prometheus("a")


@pytest.mark.parametrize("config", [ALL, ERRORS])
def test_http_requests_are_logged_as_by_thanos(cluster, config):
    logged = []
    for program in PROGRAMS:
        query = cluster.start(program, "query", "query", ["--log.level=debug", f"--request.logging-config={config}"])
        query.process.wait_ready(query.url + "/-/ready")
        for path in ("/api/v1/query?query=1&time=1", "/api/v1/query?query=x(", "/api/v1/labels", "/api/v1/series?a=%zz", "/-/ready", "/metrics", "/nothing"):
            query.get(path, headers={"X-Request-ID": "id-7", "User-Agent": "us & them"})
        time.sleep(0.2)
        logged.append(lines(query, "http"))
    keys = ("msg", "level", "http.method", "http.request_id", "http.user_agent", "http.status_code", "thanos.method_name", "component", "http.component")
    keys = [key for key in keys if key not in ("component", "http.user_agent")]  # urllib names itself in its own letters
    assert shape(logged[0], keys) == shape(logged[1], keys)
    assert len(logged[0]) == (8 if config == ALL else 1) and all(float(line["http.time_ms"]) >= 0 for line in logged[0] if "http.time_ms" in line)


@pytest.mark.parametrize("config,count", [(ALL, 2), (ONLY, 1)])
def test_grpc_calls_are_logged_as_by_thanos(cluster, prometheus, config, count):
    wait_until("there is data", 20, lambda: prometheus.instant("up", time.time())["result"])
    logged = []
    for program in PROGRAMS:
        sidecar = cluster.sidecar(program, prometheus, flags=["--log.level=debug", f"--request.logging-config={config}"])
        query = cluster.query("titan", [sidecar])
        query.instant("up", time.time())
        query.stop()
        time.sleep(0.3)
        logged.append([line for line in lines(sidecar, "grpc") if line["grpc.method"] == "Series"])
    keys = ("msg", "level", "grpc.service", "grpc.method", "grpc.method_type", "grpc.code", "grpc.component")
    assert shape(logged[0], keys) == shape(logged[1], keys)
    assert len(logged[0]) == count


@pytest.mark.parametrize("config", ["options: {level: info, decision: {log_end: true}}", "options: {decision: {log_end: true}}", "nonsense: {}"])
def test_a_bad_configuration_ends_the_start(cluster, config):
    for program in PROGRAMS:
        query = cluster.start(program, "query", "query", [f"--request.logging-config={config}"])
        wait_until("it has ended", 10, lambda: query.process.child.poll() is not None)
        assert "error while parsing config for request logging" in query.process.log()
        cluster.processes.all.remove(query.process)


def test_request_ids_are_given_back(cluster):
    query = cluster.start("titan", "query", "query", [])
    query.process.wait_ready(query.url + "/-/ready")
    assert query.get("/api/v1/labels", headers={"X-Request-ID": "abc"}).headers["X-Request-ID"] == "abc"
    made = {query.get("/api/v1/query", {"query": "1"}).headers["X-Request-ID"] for _ in range(3)}
    assert len(made) == 3 and all(re.fullmatch("[0-9A-Z]{26}", text) for text in made)
