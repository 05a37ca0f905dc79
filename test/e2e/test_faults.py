"""Titan's processes with one operation that fails: the n-th on a socket or file, or the n-th charge to
a memory budget. What asks meanwhile gets an answer or a clear error; after the one fault all is well.
A spread of n; hundreds with scripts/test --long."""

import os
import subprocess
import time
from http.client import HTTPException

import pytest

from cluster import TOP, Cluster, healthy, wait_until
from exporter import Exporter
from processes import free_port

SPREAD = range(1, 400) if os.environ.get("TITAN_LONG") else (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233)
ROUNDS, GOOD_ROUNDS = 6, 2  # of all requests; so many in a row are right at the end
REQUESTS = [("/query", {"query": "sum(count_over_time(app_requests_total[10s]))"}),
            ("/query", {"query": "app_requests_total"}),
            ("/query_range", {"query": "rate(app_requests_total[5s])", "step": 1}),
            ("/labels", {}), ("/series", {"match[]": "app_requests_total"})]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    cluster, exporter = Cluster(tmp_path_factory.mktemp("faults")), Exporter([free_port()])
    prometheus = cluster.prometheus("a", exporter.targets)
    wait_until("samples are there", 20, lambda: prometheus.instant("count(app_requests_total)", time.time())["result"])
    yield prometheus
    exporter.stop()
    cluster.close()


def ask(query, path, params):
    """True: answered in full. False: refused in so many words, or the connection was the one that failed."""
    now = time.time() - 1
    times = {"time": now, "start": now - 5, "end": now} if path.startswith("/query") else {}
    try:
        answer = query.get("/api/v1" + path, {"partial_response": "false", **params, **times}, timeout=20)
    except TimeoutError:
        raise  # neither an answer nor an end
    except (OSError, HTTPException):
        return False
    if answer.status == 200:
        return answer.json["status"] == "success" and bool(answer.json["data"])
    assert answer.json["error"], answer
    return False


def ready_or_ended(component):
    return component.process.child.poll() is not None or component.get("/-/ready", timeout=5).status == 200


def start_refused(component):
    """A process that met the fault while it started may end, but has to say why."""
    assert component.process.child.returncode == 1, component.process.log()[-2000:]
    assert "level=error" in component.process.log() or "titan:" in component.process.log()
    component.process.child.returncode = 0  # as was to be


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    subprocess.run([TOP / "test/support/make-certificates", folder], check=True)
    return folder


@pytest.mark.parametrize("victim", ["sidecar", "query"])
@pytest.mark.parametrize("n", range(1, 400) if os.environ.get("TITAN_LONG") else (1, 3, 6, 9, 12, 15, 18, 22, 27, 35, 55, 89))
def test_one_operation_fails_under_tls(cluster, prometheus, certificates, victim, n):
    server = [f"--grpc-server-tls-cert={certificates}/server.crt", f"--grpc-server-tls-key={certificates}/server.key",
              f"--grpc-server-tls-client-ca={certificates}/ca.crt"]
    client = ["--grpc-client-tls-secure", f"--grpc-client-tls-cert={certificates}/client.crt", f"--grpc-client-tls-key={certificates}/client.key",
              f"--grpc-client-tls-ca={certificates}/ca.crt"]
    test_one_operation_fails(cluster, prometheus, victim, "TITAN_FAULT_IO", n, server, client)


@pytest.mark.parametrize("kind", ["TITAN_FAULT_IO", "TITAN_FAULT_BUDGET"])
@pytest.mark.parametrize("victim", ["sidecar", "query"])
@pytest.mark.parametrize("n", SPREAD)
def test_one_operation_fails(cluster, prometheus, victim, kind, n, sidecar_flags=(), query_flags=()):
    fault = {kind: str(n)}
    sidecar = cluster.sidecar("titan", prometheus, ["--prometheus.get_config_interval=1s", *sidecar_flags], wait=False, env=fault if victim == "sidecar" else None)
    wait_until("the sidecar is up", 20, lambda: ready_or_ended(sidecar))  # else the query asks again in 5 s only
    query = cluster.query("titan", [sidecar], flags=query_flags, wait=False, env=fault if victim == "query" else None)
    broken = sidecar if victim == "sidecar" else query
    deadline = time.monotonic() + 40
    right = rounds = 0
    while right < GOOD_ROUNDS or rounds < ROUNDS:  # the fault may come in any of them
        assert time.monotonic() < deadline, f"no right answer in time: {broken.process.log()[-3000:]}"
        if broken.process.child.poll() is not None:
            start_refused(broken)
            return
        right = right + 1 if all([ask(query, path, params) for path, params in REQUESTS]) else 0
        rounds += 1
        time.sleep(0.05)
    assert sidecar.grpc in healthy(query)
    for component in (query, sidecar):
        component.stop()
        assert component.process.child.returncode == 0, component.process.log()[-2000:]
