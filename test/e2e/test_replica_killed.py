"""One of two real Prometheus 3.16 replicas is killed, or its sidecar: the deduplicated answer has no
gap, partial response decides between a warning and an error, and the endpoint comes back by itself."""

import time

import pytest

from cluster import Cluster, free_port, healthy, wait_until
from exporter import Exporter


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two replicas with 12 seconds of data, sidecars by Titan, a query by Titan."""
    class Pair:
        cluster = Cluster(tmp_path_factory.mktemp("killed"))
        exporter = Exporter([free_port() for _ in range(2)])
        a = cluster.prometheus("a", exporter.targets)
        b = cluster.prometheus("b", exporter.targets)
        sidecar_a = cluster.sidecar("titan", a)
        sidecar_b = cluster.sidecar("titan", b)
        query = cluster.query("titan", [sidecar_a, sidecar_b])
    for prometheus in (Pair.a, Pair.b):  # they look for their targets seconds after they are ready
        wait_until("samples are there", 15, lambda: prometheus.instant("count(app_step)", time.time())["result"])
    time.sleep(12)
    yield Pair
    Pair.exporter.stop()
    Pair.cluster.close()


def ask(pair, **params):
    return pair.query.get("/api/v1/query", {"query": "count(app_step)", "time": time.time(), **params})


def gaps(pair, start, end):
    """Seconds without a point in a deduplicated range query that looks back 5 seconds."""
    result = pair.query.range("count(app_step)", start, end, 1, lookback_delta=5)["result"]
    times = [int(point[0]) for point in result[0]["values"]] if result else []
    return sorted(set(range(start, end + 1)) - set(times))


def test_killed_prometheus(pair):
    pair.a.kill()
    killed = int(time.time())
    answer = ask(pair, partial_response="true")
    assert answer.status == 200 and answer.json["data"]["result"][0]["value"][1] == "2"
    assert any(pair.sidecar_a.grpc in warning for warning in answer.json["warnings"]), answer
    answer = ask(pair, partial_response="false")
    assert answer.status == 422 and answer.json["errorType"] == "execution" and pair.sidecar_a.grpc in answer.json["error"], answer
    # Also for labels and series, where no engine stands between.
    for path, params in (("/labels", {}), ("/label/job/values", {}), ("/series", {"match[]": "app_step"})):
        answer = pair.query.get("/api/v1" + path, {**params, "partial_response": "false"})
        assert answer.status >= 400, f"{path}: {answer}"
    time.sleep(6)
    assert gaps(pair, killed - 10, killed + 5) == []

    # Back on the same port with the same data: no restart of anything else.
    pair.a = pair.cluster.prometheus("a", pair.exporter.targets, port=pair.a.port)
    back = time.monotonic()

    def answers_again():
        answer = ask(pair, dedup="false", partial_response="false")
        return answer.status == 200 and answer.json["data"]["result"][0]["value"][1] == "4"
    wait_until("both replicas answer", 10, answers_again)
    assert time.monotonic() - back < 10
    now = int(time.time())
    assert gaps(pair, killed - 10, now - 1) == []


def test_killed_sidecar(pair):
    wait_until("a has 10 seconds of its own again", 30, lambda: pair.a.instant(
        'count_over_time(app_step{instance="app-0"}[11s]) >= 10', time.time())["result"])
    pair.sidecar_b.kill()
    killed = int(time.time())
    answer = ask(pair)
    assert answer.status == 200 and answer.json["data"]["result"][0]["value"][1] == "2"
    wait_until("the dead endpoint shows an error in /stores", 12, lambda: healthy(pair.query) == [pair.sidecar_a.grpc])
    store = next(store for store in pair.query.data("/stores")["sidecar"] if store["name"] == pair.sidecar_b.grpc)
    assert store["lastError"]
    time.sleep(3)
    assert gaps(pair, killed - 6, int(time.time()) - 1) == []

    # Another one on the same address.
    flags = [f"--grpc-address={pair.sidecar_b.grpc}"]
    sidecar = pair.cluster.start("titan", "sidecar", "sidecar-again", [f"--prometheus.url={pair.b.url}", *flags], grpc=False)
    back = time.monotonic()
    wait_until("the endpoint is back", 12, lambda: len(healthy(pair.query)) == 2)
    assert time.monotonic() - back < 12
    answer = ask(pair, dedup="false")
    assert answer.json["data"]["result"][0]["value"][1] == "4" and "warnings" not in answer.json
    pair.sidecar_b = sidecar


def test_sidecar_is_not_ready_without_its_prometheus(cluster):
    prometheus = cluster.prometheus("c")
    sidecar = cluster.sidecar("titan", prometheus, ["--prometheus.get_config_interval=1s", "--prometheus.get_config_timeout=1s"])
    prometheus.kill()
    wait_until("the sidecar is not ready", 10, lambda: sidecar.get("/-/ready").status == 503)
    assert sidecar.get("/-/healthy").status == 200
    assert "thanos_sidecar_prometheus_up 0" in sidecar.get("/metrics").body.decode()
    cluster.prometheus("c", port=prometheus.port)
    wait_until("the sidecar is ready again", 10, lambda: sidecar.get("/-/ready").status == 200)


def test_sidecar_waits_for_its_prometheus(cluster):
    port = free_port()
    sidecar = cluster.sidecar("titan", f"http://127.0.0.1:{port}", ["--prometheus.get_config_interval=1s"], wait=False)
    wait_until("the sidecar is up", 10, lambda: sidecar.get("/-/healthy").status == 200)
    assert sidecar.get("/-/ready").status == 503
    cluster.prometheus("d", port=port)
    wait_until("the sidecar is ready", 15, lambda: sidecar.get("/-/ready").status == 200)
