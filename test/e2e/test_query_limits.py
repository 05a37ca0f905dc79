"""What ends a query early, and what a request may be: time-outs, clients that leave, points, long texts,
forms of times."""

import http.client
import time
import urllib.parse

import pytest

from cluster import wait_until
from fake_prometheus import FakePrometheus

TITAN = "titan"


@pytest.fixture(scope="module")
def silent(module_cluster):
    """A query over a sidecar whose Prometheus never ends an answer."""
    fake = FakePrometheus(lambda stream: stream.start().hang(30))
    sidecar = module_cluster.sidecar(TITAN, fake.url)
    yield module_cluster.query(TITAN, [sidecar], flags=["--query.timeout=2s"]), fake
    fake.stop()


@pytest.mark.parametrize("params,seconds", [({}, 2), ({"timeout": "400ms"}, 0.4), ({"timeout": "0.4"}, 0.4), ({"timeout": "1h"}, 2),
                                            ({"timeout": "400ms", "partial_response": "false"}, 0.4)])
def test_a_query_ends_with_its_time(silent, params, seconds):
    query, _ = silent
    for path, times in (("/query", {}), ("/query_range", {"start": 1, "end": 2, "step": 1})):
        began = time.monotonic()
        answer = query.get("/api/v1" + path, {"query": "sum(up)", **times, **params}, method="POST")
        took = time.monotonic() - began
        assert answer.status == 503 and answer.json["errorType"] == "timeout"
        assert answer.json["error"] == "query timed out in expression evaluation"
        assert seconds - 0.05 < took < seconds + 1.5, took


def test_a_query_whose_client_leaves_ends_in_the_store(silent):
    query, fake = silent
    wait_until("nothing runs", 10, lambda: fake.running == 0)
    connection = http.client.HTTPConnection("127.0.0.1", query.port)
    connection.request("GET", "/api/v1/query?query=up")
    wait_until("it is read", 10, lambda: fake.running > 0)
    connection.close()
    left = time.monotonic()
    wait_until("the read ends", 5, lambda: fake.running == 0)
    assert time.monotonic() - left < 1.5, "before the query's own time"


@pytest.fixture(scope="module")
def empty(module_cluster):
    return module_cluster.query(TITAN, [])


@pytest.mark.parametrize("text,want", [("1", 1), ("-1.5", -1.5), ("1.0004", 1), ("1.0006", 1.001), ("1e3", 1000), ("1970-01-01T00:00:01Z", 1),
                                       ("1970-01-01T01:00:01.25+01:00", 1.25), ("2024-02-29T23:59:59.999Z", 1709251199.999)])
def test_times_have_several_forms(empty, text, want):
    assert empty.data("/query", {"query": "time()", "time": text})["result"] == [want, repr(want) if want % 1 else str(int(want))]


def test_long_queries_fit_into_forms_up_to_their_limit(empty):
    def ask(query):
        return empty.get("/api/v1/query", body=urllib.parse.urlencode({"query": query, "time": 1}).encode(), method="POST",
                         headers={"Content-Type": "application/x-www-form-urlencoded"})
    spaces = " " * 1_000_000
    assert ask(f"1{spaces}+ 1").json["data"]["result"] == [1, "2"]
    answer = ask(f"1{spaces}{spaces}+ 1")
    assert answer.status == 400 and answer.json["errorType"] == "bad_data"
    assert empty.get("/api/v1/format_query", {"query": f"1{spaces}+1"}, method="POST").json["data"] == "1 + 1"
    assert ask("(" * 2000 + "1" + ")" * 2000).status == 400
    assert empty.get("/-/ready").status == 200


def test_points_of_a_series_are_limited(empty):
    params = {"query": "1", "start": 0, "step": 1}
    assert len(empty.data("/query_range", {**params, "end": 11000})["result"][0]["values"]) == 11001
    answer = empty.get("/api/v1/query_range", {**params, "end": 11001})
    assert answer.status == 400 and "exceeded maximum resolution of 11,000 points per timeseries" in answer.json["error"]
    for step in ("0", "-1", "1e-9"):
        assert empty.get("/api/v1/query_range", {**params, "end": 1, "step": step}).json["errorType"] == "bad_data"
