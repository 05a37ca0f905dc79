"""--query.active-query-path: the file is Prometheus's, whichever program writes and reads it."""

import json
import threading
import time

import pytest

from cluster import wait_until
from fake_prometheus import FakePrometheus

PROGRAMS = ["titan", "thanos"]


def left_in(path):
    """The entries of a file, as the next start reads them."""
    text = path.read_bytes().replace(b"\0", b"")
    return json.loads(text[:-1] + b"]") if len(text) > 1 else []


@pytest.mark.parametrize("writer", PROGRAMS)
@pytest.mark.parametrize("reader", PROGRAMS)
def test_a_query_that_a_crash_ended_is_logged_by_the_next_start(cluster, tmp_path, writer, reader):
    silent = FakePrometheus(lambda stream: stream.start().hang(30))
    try:
        sidecar = cluster.sidecar("titan", silent.url)
        folder = tmp_path / "a" / "b"
        query = cluster.query(writer, [sidecar], flags=[f"--query.active-query-path={folder}", "--query.max-concurrent=3"])
        long = "count(up{a='<&>'}) + " + " + ".join(f"up{{a=\"ü{n}\"}}" for n in range(200))
        threading.Thread(target=ask, args=(query, long), daemon=True).start()
        path = folder / "queries.active"
        wait_until("it is in the file", 10, lambda: path.read_bytes().count(b'"query"') == 1)
        assert path.stat().st_size == 1 + 3 * 1000
        assert path.read_bytes()[0:1] == b"["
        query.kill()
        text = path.read_bytes().replace(b"\0", b"").decode()
        assert text.startswith("[{\"query\":\"count(up{a='\\u003c\\u0026\\u003e'}) + up{a=\\\"ü0")
        if writer == "titan":  # Thanos's own entry runs into the next slot when its escapes make it longer
            assert text.endswith(",") and len(path.read_bytes().rstrip(b"\0")) % 1000 == 1
        second = cluster.query(reader, [], flags=[f"--query.active-query-path={folder}", "--query.max-concurrent=3"])
        wait_until("it says so", 10, lambda: "\\u003c" in second.process.log())
        assert left_in(path) == []
    finally:
        silent.stop()


def ask(query, text):
    try:
        query.get("/api/v1/query", {"query": text})
    except OSError:
        pass


def test_finished_queries_leave_the_file(cluster, tmp_path):
    query = cluster.query("titan", [], flags=[f"--query.active-query-path={tmp_path}", "--query.max-concurrent=2"])
    for _ in range(5):
        assert query.get("/api/v1/query", {"query": "1"}).status == 200
        assert query.get("/api/v1/query", {"query": "x("}).status == 400
    time.sleep(0.1)
    assert left_in(tmp_path / "queries.active") == []
