"""What one query, reader or peer may take: memory under a budget, a stalled reader stalls its own
stream only, a client that hangs up ends all work down to the remote read, and queries that wait for
each other's streams do not wait for ever. By the release build: sanitizers have a memory of their own.

The data comes from fake_prometheus.py, for what is looked at is when its reads stall and end."""

import http.client
import re
import statistics
import struct
import time

import pytest

import http2
from cluster import Background, Cluster, CpuMeter, wait_until
from fake_prometheus import FakePrometheus
from wire import chunk_message, field, grpc_message, labels_message, matcher, read_frame, series_request

TITAN = "titan-release"
MIB = 1 << 20
SERIES = 200_000
NOW = int(time.time() * 1000)
BUDGET = 64 * MIB  # of one query
QUERY_CONSTANT = 64 * MIB  # what a query process may have beside the budget
SIDECAR_MAX = 32 * MIB  # a sidecar that streams, however much; each further stream may take
STREAM_MAX = 8 * MIB
HANG_UP = 0.1  # seconds
MEMORY_FLAG = "--query.max-memory"
CONCURRENCY_FLAG = "--store.grpc.series-max-concurrency"


def many_series(count=SERIES, name="fake"):
    """One body with so many series, each of one small chunk."""
    chunk = field(2, chunk_message([(NOW - 2000, 1.0), (NOW - 1000, 1.0), (NOW, 1.0)]))
    return b"".join(read_frame(field(1, labels_message([("__name__", name), ("n", f"{i:07d}"), ("pod", f"pod-{i % 977}")]) + chunk)) for i in range(count))


@pytest.fixture(scope="module")
def body():
    return many_series()


def sends(body, piece=64 << 10):
    def read(stream):
        stream.start()
        for at in range(0, len(body), piece):
            stream.write(body[at:at + piece])
        stream.end()
    return read


@pytest.fixture
def over_fakes(request):
    """Makes fakes with a sidecar each and a query over them; ends them all."""
    made = []

    def make(cluster, *reads, query_flags=(), sidecar_flags=()):
        fakes = [FakePrometheus(read, replica=f"fake{index}") for index, read in enumerate(reads)]
        made.extend(fakes)
        sidecars = [cluster.sidecar(TITAN, fake.url, sidecar_flags) for fake in fakes]
        return fakes, sidecars, cluster.query(TITAN, sidecars, flags=query_flags)
    yield make
    for fake in made:
        fake.stop()


# --- Memory

@pytest.mark.parametrize("expression,must_answer", [("count(fake)", True), ("sum by (pod) (fake)", True), ("fake", False), ("sort(fake)", False),
                                                    ("fake + on(n) fake", False), ("quantile(0.5, fake)", False), ("count_over_time(fake[1m])", False)])
@pytest.mark.parametrize("kind", ["instant", "range"])
def test_200000_series_stay_under_the_budget(cluster, over_fakes, body, expression, must_answer, kind):
    _, (sidecar,), query = over_fakes(cluster, sends(body), query_flags=[f"{MEMORY_FLAG}={BUDGET}B"])
    path, times = ("/query", {"time": NOW / 1000}) if kind == "instant" else ("/query_range", {"start": NOW / 1000 - 60, "end": NOW / 1000, "step": 5})
    answer = query.get("/api/v1" + path, {"query": expression, "dedup": "false", "partial_response": "false", **times}, timeout=120)
    if answer.status == 200:
        assert answer.json["data"]["result"]
    else:
        assert not must_answer, answer
        assert answer.status == 422 and answer.json["errorType"] == "execution", answer
        assert re.search(r"memory|budget", answer.json["error"]), answer
    if expression == "count(fake)":
        values = answer.json["data"]["result"][0].get("values") or [answer.json["data"]["result"][0]["value"]]
        assert values[-1][1] == str(SERIES)
    assert CpuMeter(query.process.pid).memory("VmHWM") < BUDGET + QUERY_CONSTANT
    assert CpuMeter(sidecar.process.pid).memory("VmHWM") < SIDECAR_MAX
    assert query.instant("1 + 1", NOW / 1000)["result"][1] == "2"


# --- A reader that stops reading

def test_a_stalled_reader_stalls_its_own_stream_only(cluster, over_fakes, body):
    (fake,), (sidecar,), _ = over_fakes(cluster, sends(body))
    request = grpc_message(series_request(NOW - 60000, NOW, matcher("__name__", "fake"), more=field(16, 64)))
    stalled = http2.Http2(sidecar.grpc, window=65535, timeout=60)
    stalled.grant(0, 1 << 20)  # there is room on the connection, not on the stream
    stream = stalled.request("/thanos.Store/Series")
    stalled.data(stream, request)
    while stalled.read_frame()[0] != http2.DATA:
        pass
    wait_until("the read has begun", 5, lambda: fake.reads == 1)
    time.sleep(0.5)
    assert fake.running == 1, "the whole answer was taken in, though nobody reads it"
    # Others come through, on connections of their own and on the same one.
    others = [Background(http2.call, sidecar.grpc, "/thanos.Store/Series", request, timeout=60) for _ in range(3)]
    for other in others:
        answer = other.join(90)
        assert answer.grpc_status == 0 and len(answer.messages) >= SERIES / 64
    second = stalled.request("/thanos.info.Info/Info")
    stalled.data(second, grpc_message(b""))
    assert http2.finish(stalled, second).grpc_status == 0
    assert fake.running == 1 and CpuMeter(sidecar.process.pid).memory("VmHWM") < SIDECAR_MAX + 3 * STREAM_MAX
    # Once it reads on, it gets the rest.
    stalled.grant(0, 1 << 29)
    stalled.grant(stream, 1 << 29)
    answer = http2.finish(stalled, stream, timeout=60)
    assert answer.grpc_status == 0
    stalled.close()


def test_an_http_reader_that_stops_reading_holds_no_slot(cluster, over_fakes, body):
    """As many readers as there are query slots take a large answer and do not read it: others go on."""
    _, _, query = over_fakes(cluster, sends(many_series(20000)), query_flags=["--query.max-concurrent=2"])
    stuck = []
    for _ in range(4):
        connection = http.client.HTTPConnection("127.0.0.1", query.port, timeout=30)
        connection.connect()
        connection.sock.setsockopt(http2.socket.SOL_SOCKET, http2.socket.SO_RCVBUF, 4096)
        connection.request("GET", f"/api/v1/query?query=fake&dedup=false&time={NOW / 1000}")
        stuck.append(connection)
    begin = time.monotonic()
    assert query.instant("count(fake)", NOW / 1000)["result"][0]["value"][1] == "20000"
    assert time.monotonic() - begin < 20
    for connection in stuck:
        connection.close()


# --- A client that hangs up

def silent(stream):
    stream.hang(60)


def silent_after_the_headers(stream):
    stream.start()
    stream.hang(60)


def endless(stream):
    stream.start()
    frame, index = b"", 0
    while True:
        frame = b"".join(read_frame(field(1, labels_message([("__name__", "fake"), ("n", f"{index + i:012d}")]) + field(2, chunk_message([(NOW, 1.0)])))) for i in range(50))
        index += 50
        stream.write(frame)


@pytest.mark.parametrize("read", [silent, silent_after_the_headers, endless])
@pytest.mark.parametrize("stacked", [False, True], ids=["query", "query over query"])
def test_hanging_up_ends_the_remote_read(cluster, over_fakes, read, stacked):
    (fake,), _, query = over_fakes(cluster, read)
    if stacked:
        query = cluster.query(TITAN, [query])
    seconds = []
    for path in ("/query?query=count(fake)&time={}", "/query_range?query=sum(fake)&start={}&end={}&step=5") * 2:
        fake.gone_at, reads = None, fake.reads
        connection = http.client.HTTPConnection("127.0.0.1", query.port, timeout=30)
        connection.request("GET", "/api/v1" + path.format(NOW / 1000, NOW / 1000))
        wait_until("the read goes on", 10, lambda: fake.reads > reads and fake.running)
        time.sleep(0.1)
        left = time.monotonic()
        connection.close()
        seconds.append(wait_until("the read has ended", 10, lambda: fake.gone_at, pause=0.005) - left)
        wait_until("nothing goes on", 5, lambda: fake.running == 0)
    assert statistics.median(seconds) < HANG_UP, seconds


def test_a_grpc_client_that_leaves_ends_the_remote_read(cluster, over_fakes):
    (fake,), (sidecar,), _ = over_fakes(cluster, silent_after_the_headers)
    request = grpc_message(series_request(0, NOW, matcher("__name__", "fake")))
    for leave in (lambda connection, stream: connection.send(http2.frame(http2.RST_STREAM, 0, stream, struct.pack(">I", 8))),
                  lambda connection, stream: connection.close()):
        fake.gone_at = None
        connection = http2.Http2(sidecar.grpc)
        stream = connection.request("/thanos.Store/Series")
        connection.data(stream, request)
        wait_until("the read goes on", 10, lambda: fake.running == 1)
        left = time.monotonic()
        leave(connection, stream)
        assert wait_until("the read has ended", 5, lambda: fake.gone_at, pause=0.005) - left < HANG_UP
        wait_until("nothing goes on", 5, lambda: fake.running == 0)


def test_a_timeout_ends_the_remote_read(cluster, over_fakes):
    (fake,), _, query = over_fakes(cluster, silent_after_the_headers)
    begin = time.monotonic()
    answer = query.get("/api/v1/query", {"query": "count(fake)", "time": NOW / 1000, "timeout": "1s", "partial_response": "false"})
    assert 0.9 < time.monotonic() - begin < 2 and answer.status in (422, 503), answer
    wait_until("the read has ended", 2, lambda: fake.running == 0)


def test_a_slow_endpoint_does_not_hold_the_query(cluster, over_fakes):
    """--store.response-timeout: what is silent for so long is left out, with a warning."""
    (fake, _), _, query = over_fakes(cluster, silent_after_the_headers, sends(many_series(100)), query_flags=["--store.response-timeout=1s"])
    begin = time.monotonic()
    answer = query.get("/api/v1/query", {"query": "count(fake)", "time": NOW / 1000})
    assert time.monotonic() - begin < 3 and answer.status == 200, answer
    assert answer.json["data"]["result"][0]["value"][1] == "100" and answer.json["warnings"]
    wait_until("the silent read has ended", 2, lambda: fake.running == 0)


# --- Streams that wait for each other

def test_two_queries_over_two_stores_that_serve_one_stream_at_a_time(cluster, over_fakes, body):
    _, sidecars, query = over_fakes(cluster, sends(body), sends(body), sidecar_flags=[f"{CONCURRENCY_FLAG}=1"])
    other = cluster.query(TITAN, sidecars[::-1])
    for _ in range(3):
        asked = [Background(one.get, "/api/v1/query", {"query": "count(fake)", "dedup": "false", "time": NOW / 1000, "partial_response": "false"}, timeout=90)
                 for one in (query, other)]
        for question in asked:
            answer = question.join(100)
            assert answer.status == 200 and answer.json["data"]["result"][0]["value"][1] == str(2 * SERIES), answer
