"""Whatever comes in from outside is answered by a clear error: wrong PromQL and parameters, bodies
too large, broken HTTP and gRPC frames, a remote read that lies. The process goes on, its memory
stays where it was, and the sanitizers say nothing (Cluster.close() looks at what they said).

Where the text or code is Thanos's own, it is that of Thanos 0.42.5; see test/interop/test_pairs.py."""

import socket
import struct
import time

import pytest

import http2
from cluster import Background, Cluster, CpuMeter, http, wait_until
from fake_prometheus import FakePrometheus, honest, series
from wire import chunk_message, crc32c, field, grpc_message, labels_message, matcher, read_frame, read_response, series_request, varint

MEMORY_MAY_GROW = 256 << 20  # bytes, the sanitizers' own included


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    class Site:
        cluster = Cluster(tmp_path_factory.mktemp("bad"))
        now_ms = int(time.time() * 1000)
        fake = FakePrometheus(honest(now_ms))
        sidecar = cluster.sidecar("titan", fake.url)
        query = cluster.query("titan", [sidecar], flags=["--query.timeout=20s", "--enable-feature=promql-experimental-functions,promql-binop-fill-modifiers"])
    yield Site
    Site.fake.stop()
    Site.cluster.close()


@pytest.fixture(autouse=True)
def still_alive(request):
    """After each test both processes answer as before, and have not grown beyond measure."""
    if "site" not in request.fixturenames:
        yield
        return
    site = request.getfixturevalue("site")
    meters = [CpuMeter(component.process.pid) for component in (site.query, site.sidecar)]
    before = [meter.memory("VmRSS") for meter in meters]
    yield
    assert site.query.process.running and site.sidecar.process.running
    result = site.query.instant("count(fake)", site.now_ms / 1000, partial_response="false")["result"]
    assert result[0]["value"][1] == "10"
    for meter, size in zip(meters, before):
        assert meter.memory("VmRSS") - size < MEMORY_MAY_GROW


# --- HTTP: parameters

DEEP = 50000
HOUR = {"start": 1_000_000_000, "end": 1_000_003_600, "step": 0.36}
PARAMETERS = {
    "deep parentheses": ("/query", {"query": "(" * DEEP + "1" + ")" * DEEP}),
    "deep unary minus": ("/query", {"query": "-" * DEEP + "1"}),
    "deep binary": ("/query", {"query": "1" + "+1" * DEEP}),
    "deep power": ("/query", {"query": "1" + "^1" * DEEP}),
    "deep functions": ("/query", {"query": "abs(" * DEEP + "up" + ")" * DEEP}),
    "deep aggregations": ("/query", {"query": "sum(" * DEEP + "up" + ")" * DEEP}),
    "deep subqueries": ("/query", {"query": "max_over_time(" * 5000 + "fake" + "[1m:1s])" * 5000}),
    "a megabyte of sums": ("/query", {"query": "fake" + " + fake" * 149000}),
    "a megabyte of unions": ("/query", {"query": "fake" + " or fake" * 130000}),
    "a megabyte of text": ("/query", {"query": '"' + "x" * 1040000 + '"'}),
    "a megabyte of blanks": ("/query", {"query": "1" + " " * 1040000}),
    "a megabyte of comments": ("/query", {"query": "#\n" * 520000 + "1"}),
    "more than a megabyte": ("/query", {"query": "1" + " " * 1100000}),
    "ten thousand alternatives": ("/query_range", {"query": 'sum(fake{n=~"%s"})' % "|".join(f"a{i}" for i in range(10000)), **HOUR}),
    "ten thousand alternatives with tails": ("/query", {"query": 'fake{n=~"(%s)+.*x"}' % "|".join(f"a{i}.*b" for i in range(10000))}),
    "ten thousand alternatives, many times": ("/query", {"query": " or ".join('fake{n=~"%s"}' % "|".join(f"a{i}{j}" for i in range(10000)) for j in range(9))}),
    "ten thousand alternatives in label_replace": ("/query", {"query": 'label_replace(fake, "a", "$1", "n", "(%s)")' % "|".join(f"a{i}" for i in range(10000))}),
    "deep parentheses of a duration": ("/query", {"query": "fake[" + "(" * DEEP + "1m" + ")" * DEEP + "]"}),
    "a duration of many signs": ("/query", {"query": "fake offset (" + "-" * DEEP + "1m)"}),
    "a duration of many parts": ("/query", {"query": "fake[1m" + "+1m" * DEEP + "]"}),
    "a duration of powers": ("/query", {"query": "fake[1m" + "^1m" * DEEP + "]"}),
    "a duration of deep choices": ("/query", {"query": "fake[" + "max_of(1m," * 20000 + "1m" + ")" * 20000 + "]"}),
    "a year at a millisecond": ("/query", {"query": "sum_over_time(sum(fake)[1y:1ms])"}),
    "an hour at a millisecond, many times": ("/query_range", {"query": "max_over_time(sum(fake)[1h:1ms])", **HOUR}),
    "windows of a day at each step": ("/query_range", {"query": "quantile_over_time(0.5, fake[1d])", **HOUR}),
    "a range query at a millisecond": ("/query_range", {"query": "fake", "start": 0, "end": 1e9, "step": 0.001}),
    "eleven thousand steps of a thousand": ("/query_range", {"query": "count_over_time(vector(1)[1000ms:1ms])", **HOUR}),
    "many kinds of warnings": ("/query", {"query": " or ".join(f"quantile({i + 2}, fake)" for i in range(60))}),
    "many kinds of warnings over a range": ("/query_range", {"query": "quantile(time(), fake) or " * 30 + "fake", **HOUR}),
    "info of many labels": ("/query", {"query": "info(fake, {" + ",".join(f'a{i}=~".+"' for i in range(9000)) + "})"}),
    "info of info": ("/query", {"query": "info(" * 100 + "fake" + ")" * 100}),
    "too many quantiles": ("/query", {"query": 'histogram_quantiles(fake, "q"' + ", 0.5" * 50000 + ")"}),
    "smoothed many times": ("/query", {"query": "fake" + " smoothed" * 100000}),
    "as many values as samples": ("/query_range", {"query": 'count_values("v", fake * time())', **HOUR}),
    "a long name": ("/query", {"query": "a" * 1000000}),
    "many matchers": ("/query", {"query": "fake{" + ",".join(f'a{i}="b"' for i in range(50000)) + "}"}),
    "many groupings": ("/query", {"query": "sum by (" + ",".join(f"a{i}" for i in range(100000)) + ") (fake)"}),
    "a huge regular expression": ("/query", {"query": 'fake{a=~"(((a{1000}){1000}){1000})"}'}),
    "a nested regular expression": ("/query", {"query": 'fake{a=~"%s"}' % ("(" * 20000 + ")" * 20000)}),
    "a broken regular expression": ("/query", {"query": 'fake{a=~"[z-a]"}'}),
    "bytes that are no text": ("/query", b"query=%FF%FE%00"),
    "a NUL in the query": ("/query", b"query=up%00up"),
    "a broken escape": ("/query", b"query=%zz"),
    "a number beyond range": ("/query", {"query": "1e999999999"}),
    "a hexadecimal beyond range": ("/query", {"query": "0x" + "F" * 1000}),
    "a duration beyond range": ("/query", {"query": "fake[99999999999999y]"}),
    "a zero range": ("/query", {"query": "fake[0s]"}),
    "an offset beyond range": ("/query", {"query": "fake offset 99999999999y"}),
    "at a time beyond range": ("/query", {"query": "fake @ 1e300"}),
    "at NaN": ("/query", {"query": "fake @ NaN"}),
    "a subquery of too many steps": ("/query", {"query": "count_over_time(vector(1)[100y:1ms])"}),
    "subqueries that multiply": ("/query", {"query": "count_over_time(count_over_time(count_over_time(vector(1)[1d:1s])[1d:1s])[1d:1s])"}),
    "time NaN": ("/query", {"query": "1", "time": "NaN"}),
    "time Inf": ("/query", {"query": "1", "time": "+Inf"}),
    "time beyond range": ("/query", {"query": "1", "time": "1e400"}),
    "time that is a date in no month": ("/query", {"query": "1", "time": "2026-13-45T99:99:99Z"}),
    "timeout NaN": ("/query", {"query": "1", "timeout": "NaN"}),
    "timeout negative": ("/query", {"query": "1", "timeout": "-1s"}),
    "lookback beyond range": ("/query", {"query": "fake", "lookback_delta": "1e300"}),
    "a step of nothing": ("/query_range", {"query": "1", "start": 0, "end": 1, "step": "1e-12"}),
    "a step of NaN": ("/query_range", {"query": "1", "start": 0, "end": 1, "step": "NaN"}),
    "steps without number": ("/query_range", {"query": "1", "start": "-1e15", "end": "1e15", "step": "0.001"}),
    "start and end beyond range": ("/query_range", {"query": "1", "start": "-9e18", "end": "9e18", "step": "1e17"}),
    "resolution beyond range": ("/query", {"query": "fake", "max_source_resolution": "1e30"}),
    "many store matchers": ("/query", [("query", "fake"), *(("storeMatch[]", '{__address__="a"}') for _ in range(5000))]),
    "a store matcher of another language": ("/query", {"query": "fake", "storeMatch[]": "{{{{"}),
    "many replica labels": ("/query", [("query", "fake"), *(("replicaLabels[]", f"r{i}") for i in range(5000))]),
    "an empty replica label": ("/query", {"query": "fake", "replicaLabels[]": ""}),
    "many parameters": ("/query", [("query", "1"), *((f"p{i}", "x") for i in range(50000))]),
    "many selectors": ("/series", [("match[]", f'{{a="{i}"}}') for i in range(2000)]),
    "a limit beyond range": ("/series", {"match[]": "fake", "limit": "99999999999999999999"}),
    "a label that is no name": ("/label/%FF%00/values", {}),
    "an empty label": ("/label//values", {}),
    "a way out of the tree": ("/../../../../etc/passwd", {}),
    "topk of too many": ("/query", {"query": "topk(1e308, fake)"}),
    "quantile of a string": ("/query", {"query": 'quantile("a", fake)'}),
    "an endless label_replace": ("/query", {"query": 'label_replace(fake, "a", "%s", "n", "(.*)")' % ("$1" * 20000)}),
    "a template out of range": ("/query", {"query": 'label_replace(fake, "a", "$99999999999", "n", "(.*)")'}),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_absurd_parameters_get_an_answer(site, name):
    """An answer, right away: a result where it makes sense, else an error of the caller's or of a
    limit; never an internal one."""
    path, params = PARAMETERS[name]
    body = params if isinstance(params, bytes) else None
    begin = time.monotonic()
    answer = http(site.query.url + "/api/v1" + path, None if body is not None else params, method="POST" if path in ("/query", "/query_range", "/series") else "GET",
                  body=body, headers={"Content-Type": "application/x-www-form-urlencoded"}, timeout=40)
    assert time.monotonic() - begin < 30
    assert answer.status in (200, 204, 400, 404, 413, 422, 503), f"{name}: {answer}"
    if answer.status in (400, 422, 503):
        assert answer.json["status"] == "error" and answer.json["error"] and len(answer.body) < 100000


def test_a_body_that_is_too_large_is_refused(site):
    body = b"query=" + b"1" * (100 << 20)
    with socket.create_connection(("127.0.0.1", site.query.port), timeout=20) as connection:
        connection.sendall(b"POST /api/v1/query HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n" % len(body))
        try:
            for at in range(0, len(body), 1 << 20):
                connection.sendall(body[at:at + (1 << 20)])
        except OSError:
            pass  # it has closed by now
        try:
            status = connection.recv(100)
        except ConnectionError:
            status = b""
    assert status == b"" or status.startswith((b"HTTP/1.1 413", b"HTTP/1.1 400")), status


# --- HTTP: frames

RAW_HTTP = {
    "noise": bytes(range(256)) * 40,
    "nothing but newlines": b"\r\n" * 20000,
    "no version": b"GET /-/healthy\r\n\r\n",
    "a version to come": b"GET /-/healthy HTTP/9.9\r\nHost: x\r\n\r\n",
    "no host": b"GET /-/healthy HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /-/healthy HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a long line": b"GET /" + b"a" * 300000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a long header": b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 2000000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X%d: y\r\n" % i for i in range(50000)) + b"\r\n",
    "a header without a colon": b"GET / HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost: x\r\nX : y\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nHost: x\r\nX: y\r\n z\r\n\r\n",
    "a NUL in a header": b"GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
    "a bare newline": b"GET / HTTP/1.1\nHost: x\n\n",
    "two lengths": b"POST /api/v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nquery=",
    "a negative length": b"POST /api/v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    "a length beyond range": b"POST /api/v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    "a length that is no number": b"POST /api/v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: 5x\r\n\r\nquery",
    "length and chunks": b"POST /api/v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "another encoding": b"POST /api/v1/query HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a chunk of no size": b"POST /api/v1/query HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a chunk beyond range": b"POST /api/v1/query HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
    "a chunk longer than it says": b"POST /api/v1/query HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
    "a chunk extension without end": b"POST /api/v1/query HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"a" * 200000,
    "half a request": b"GET /-/healthy HT",
    "a body that is no gzip": b"POST /api/v1/query HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
    "half an HTTP/2 preface": http2.PREFACE[:10],
    "an HTTP/2 preface and noise": http2.PREFACE + b"\xff" * 1000,
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,
}


@pytest.mark.parametrize("name", RAW_HTTP)
@pytest.mark.parametrize("who", ["query", "sidecar"])
def test_broken_http_is_refused(site, who, name):
    with socket.create_connection(("127.0.0.1", getattr(site, who).port), timeout=15) as connection:
        try:
            connection.sendall(RAW_HTTP[name])
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while more := connection.recv(65536):
                answer += more
        except OSError:
            return  # cut off: fine
    assert not answer or answer.startswith((b"HTTP/1.1 ", b"\0")), answer[:200]  # \0: frames of HTTP/2
    if answer.startswith(b"HTTP/1.1 ") and name not in ("a version to come", "no host", "a bare newline", "two hosts"):
        assert answer[9:12] in (b"400", b"404", b"408", b"411", b"413", b"414", b"417", b"431", b"501", b"505"), answer[:200]


def test_a_slow_request_holds_nothing_up(site):
    """Two hundred connections that send a byte a second; others are served meanwhile."""
    slow = [socket.create_connection(("127.0.0.1", site.query.port), timeout=15) for _ in range(200)]
    for letter in b"GET":
        for connection in slow:
            connection.sendall(bytes([letter]))
        begin = time.monotonic()
        assert site.query.get("/-/healthy").status == 200
        assert time.monotonic() - begin < 1
        time.sleep(0.3)
    for connection in slow:
        connection.close()


# --- gRPC: calls that are wrong

SERIES, INFO, NAMES, VALUES = "/thanos.Store/Series", "/thanos.info.Info/Info", "/thanos.Store/LabelNames", "/thanos.Store/LabelValues"
NOW = int(time.time() * 1000)
GOOD_SERIES = series_request(0, NOW + 10 ** 7, matcher("__name__", "fake"))
# name: (path, framed payload, headers, codes allowed)
CALLS = {
    "an unknown method": ("/thanos.Store/Nothing", grpc_message(b""), [], {12}),
    "an unknown service": ("/some.Thing/Series", grpc_message(b""), [], {12}),
    "no path": ("/", grpc_message(b""), [], {12, None}),
    "no message": (SERIES, b"", [], {3, 13, 2, 12}),
    "two messages": (SERIES, grpc_message(GOOD_SERIES) * 2, [], {0, 2, 3, 8, 12, 13}),
    "half a message": (SERIES, grpc_message(GOOD_SERIES)[:-3], [], {3, 13, 2, None}),
    "half a header": (SERIES, b"\0\0\0", [], {3, 13, 2, None}),
    "a message of 4 GiB": (SERIES, grpc_message(b"abc", size=0xFFFFFFFF), [], {8, 13, 3, 2, None}),
    "compressed without a codec": (SERIES, grpc_message(GOOD_SERIES, compressed=1), [], {12, 13, 15, 3, 2}),
    "compressed by an unknown codec": (SERIES, grpc_message(GOOD_SERIES, compressed=1), [("grpc-encoding", "zigzag")], {12, 13}),
    "noise for a message": (SERIES, grpc_message(bytes(range(256)) * 100), [], {3, 13}),
    "a field longer than the message": (SERIES, grpc_message(b"\x1a\xff\xff\xff\x7f"), [], {3, 13}),
    "an endless varint": (SERIES, grpc_message(b"\x08" + b"\xff" * 30), [], {3, 13}),
    "groups": (SERIES, grpc_message(b"\x1b" * 10000), [], {3, 13}),
    "no matchers": (SERIES, grpc_message(series_request(0, NOW)), [], {3}),
    "a broken regular expression": (SERIES, grpc_message(series_request(0, NOW, matcher("a", "[", 2))), [], {3}),
    "a huge regular expression": (SERIES, grpc_message(series_request(0, NOW, matcher("a", "((a{1000}){1000}){1000}", 2))), [], {3, 8}),
    "an unknown kind of matcher": (SERIES, grpc_message(series_request(0, NOW, matcher("a", "b", 77))), [], {3, 2, 13}),
    "a matcher without a name": (SERIES, grpc_message(series_request(0, NOW, matcher("", "b"))), [], {0, 3}),
    "many matchers": (SERIES, grpc_message(series_request(0, NOW, *(matcher(f"a{i}", "") for i in range(3000)), matcher("__name__", "fake"))), [], {0, 3, 8, 2}),
    "times turned round": (SERIES, grpc_message(series_request(NOW, 0, matcher("__name__", "fake"))), [], {0, 3, 2}),
    "times beyond range": (SERIES, grpc_message(series_request(-2 ** 63, 2 ** 63 - 1, matcher("__name__", "fake"))), [], {0}),
    "an absurd shard": (SERIES, grpc_message(GOOD_SERIES + field(13, field(1, 5) + field(2, -1))), [], {0, 3, 2}),
    "a field of another type": (SERIES, grpc_message(GOOD_SERIES + field(10, b"abc")), [], {0, 3, 13}),
    "an absurd limit": (SERIES, grpc_message(GOOD_SERIES + field(15, -5)), [], {0, 3, 2}),
    "values of no label": (VALUES, grpc_message(b""), [], {3}),
    "names of noise": (NAMES, grpc_message(b"\xff" * 50), [], {3, 13}),
    "an info of noise": (INFO, grpc_message(b"\xff" * 50), [], {0, 3, 13}),
    "a timeout that is no number": (SERIES, grpc_message(GOOD_SERIES), [("grpc-timeout", "abc")], {0, 3, 13, None}),
    "a timeout beyond range": (SERIES, grpc_message(GOOD_SERIES), [("grpc-timeout", "9" * 30 + "H")], {0, 3, 13, None}),
    "a timeout of nothing": (SERIES, grpc_message(GOOD_SERIES), [("grpc-timeout", "0n")], {4, 1, None}),
    "metadata with noise": (SERIES, grpc_message(GOOD_SERIES), [("x-bin", "!!!"), ("thanos-tenant", "\x7f" * 100)], {0, 3, 13, None}),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("who", ["query", "sidecar"])
def test_wrong_calls_get_a_status(site, who, name):
    path, payload, headers, codes = CALLS[name]
    answer = http2.call(getattr(site, who).grpc, path, payload, headers)
    if answer.grpc_status is None:  # refused below gRPC: a reset or an HTTP status
        assert None in codes and (answer.reset is not None or answer.closed or answer.headers.get(":status", "200") != "200"), answer
    else:
        assert answer.grpc_status in codes, answer


def settings(**numbers):
    ids = {"table": 1, "push": 2, "streams": 3, "window": 4, "frame": 5, "headers": 6}
    return b"".join(struct.pack(">HI", ids[name], number) for name, number in numbers.items())


F = http2.frame
HEADER = http2.header_block([(":method", "POST"), (":scheme", "http"), (":path", SERIES), (":authority", "x"), ("content-type", "application/grpc")])
# What follows the preface and the client's settings.
FRAMES = {
    "no settings but noise": b"\xff" * 5000,
    "a frame beyond the limit": F(http2.DATA, 0, 1, b"", length=0xFFFFFF),
    "data on no stream": F(http2.DATA, 0, 0, b"abc"),
    "data on an idle stream": F(http2.DATA, 0, 99, b"abc"),
    "headers on an even stream": F(http2.HEADERS, 5, 2, HEADER),
    "headers that are no HPACK": F(http2.HEADERS, 5, 1, b"\xff" * 200),
    "an index out of the table": F(http2.HEADERS, 5, 1, b"\xff\xff\xff\xff\x7f"),
    "no pseudo headers": F(http2.HEADERS, 5, 1, http2.header_block([("a", "b")])),
    "two paths": F(http2.HEADERS, 5, 1, HEADER + http2.header_block([(":path", "/x")])),
    "upper-case names": F(http2.HEADERS, 5, 1, HEADER + http2.header_block([("ABC", "d")])),
    "continuation out of place": F(http2.CONTINUATION, 4, 1, HEADER),
    "headers without end": F(http2.HEADERS, 0, 1, HEADER) + F(http2.PING, 0, 0, b"\0" * 8),
    "a flood of continuations": F(http2.HEADERS, 0, 1, HEADER) + F(http2.CONTINUATION, 0, 1, b"\0\1a\1b" * 100) * 3000,
    "a header bomb": F(http2.HEADERS, 4, 1, HEADER + b"\x40\1a" + http2.hpack_length(4000) + b"x" * 4000 + b"\xbe" * 10000),
    "a long header": F(http2.HEADERS, 0, 1, HEADER + b"\0\1a" + http2.hpack_length(1 << 30)) + F(http2.CONTINUATION, 0, 1, b"x" * 16000) * 200,
    "a ping of wrong size": F(http2.PING, 0, 0, b"abc"),
    "a flood of pings": F(http2.PING, 0, 0, b"\0" * 8) * 20000,
    "settings of wrong size": F(http2.SETTINGS, 0, 0, b"abc"),
    "settings out of range": F(http2.SETTINGS, 0, 0, settings(window=0xFFFFFFFF)),
    "a tiny frame size": F(http2.SETTINGS, 0, 0, settings(frame=1)),
    "a flood of settings": F(http2.SETTINGS, 0, 0, settings(window=1)) * 10000,
    "a window update of nothing": F(http2.WINDOW_UPDATE, 0, 0, b"\0\0\0\0"),
    "windows that overflow": F(http2.WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff") * 3,
    "a reset of nothing": F(http2.RST_STREAM, 0, 33, b"\0\0\0\1"),
    "rapid resets": b"".join(F(http2.HEADERS, 4, 1 + 2 * i, HEADER) + F(http2.RST_STREAM, 0, 1 + 2 * i, b"\0\0\0\x08") for i in range(20000)),
    "too many streams": b"".join(F(http2.HEADERS, 4, 1 + 2 * i, HEADER) for i in range(20000)),
    "a push": F(http2.PUSH_PROMISE, 4, 1, b"\0\0\0\2" + HEADER),
    "a priority on itself": F(http2.PRIORITY, 0, 1, b"\0\0\0\1\0"),
    "an unknown frame": F(200, 255, 1, b"abc") * 1000,
    "goaway": F(http2.GOAWAY, 0, 0, b"\0" * 8) + F(http2.HEADERS, 5, 1, HEADER),
    "padding longer than the frame": F(http2.HEADERS, 0x0D, 1, b"\xff" + HEADER[:20]),
}


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("who", ["query", "sidecar"])
def test_broken_frames_end_the_connection_only(site, who, name):
    connection = http2.Http2(getattr(site, who).grpc)
    try:
        try:
            connection.send(FRAMES[name])
            end = time.monotonic() + 3
            while time.monotonic() < end and connection.read_frame(0.5) is not None:
                pass
        except OSError:
            pass
    finally:
        connection.close()
    answer = http2.call(getattr(site, who).grpc, INFO, grpc_message(b""))
    assert answer.grpc_status == 0, answer


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01" + b"\0" * 500, b"\xff" * 5000, http2.PREFACE[:12], b""],
                         ids=["HTTP/1.1", "TLS", "noise", "half a preface", "nothing"])
def test_what_is_no_http2_ends_the_connection(site, data):
    with socket.create_connection(("127.0.0.1", site.sidecar.grpc_port), timeout=10) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
        except OSError:
            pass


# --- A remote read that lies

def one(data):
    """A read that sends these bytes and ends properly."""
    def read(stream):
        stream.start().write(data)
        stream.end()
    return read


def cut_short(data):
    """A read that promises more and closes."""
    def read(stream):
        stream.start()
        stream.handler.wfile.write(b"%x\r\n%s" % (len(data) + 1000, data))
    return read


def endless(frames, seconds=60):
    def read(stream):
        stream.start()
        end, index = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            stream.write(frames(index))
            index += 1
    return read


FIRST = series(0, NOW)
LABELS = [("__name__", "fake"), ("n", "1")]
CHUNK = [(NOW - 1000, 1.0), (NOW, 2.0)]
# name: the read, and whether sense can be made of it (then an answer may come)
LIES = {
    "a wrong checksum": (one(read_frame(FIRST) + read_frame(series(1, NOW), crc=12345)), False),
    "unsorted series": (one(b"".join(read_frame(series(i, NOW)) for i in (5, 3, 9, 1))), True),
    "a series twice": (one(read_frame(FIRST) * 3), True),
    "a series that comes back later": (one(b"".join(read_frame(series(i, NOW)) for i in (1, 2, 1))), True),
    "unsorted labels": (one(read_frame(read_response(LABELS[::-1], [chunk_message(CHUNK)]))), True),
    "a label twice": (one(read_frame(read_response([*LABELS, ("n", "2")], [chunk_message(CHUNK)]))), True),
    "a label without a name": (one(read_frame(read_response([("", "x"), *LABELS], [chunk_message(CHUNK)]))), True),
    "labels that are no text": (one(read_frame(field(1, field(1, field(1, b"\xff\xfe") + field(2, b"\xff")) + labels_message(LABELS) + field(2, chunk_message(CHUNK))))), True),
    "no labels": (one(read_frame(read_response([], [chunk_message(CHUNK)]))), True),
    "no chunks": (one(read_frame(read_response(LABELS, []))), True),
    "half a frame": (one(read_frame(FIRST) + read_frame(series(1, NOW))[:-4]), False),
    "half a length": (one(read_frame(FIRST) + b"\xff"), False),
    "an endless length": (one(b"\xff" * 20), False),
    "a frame of 2 GiB": (one(varint(1 << 31) + b"\0" * 1000), False),
    "a frame of 16 EiB": (one(varint((1 << 64) - 1) + b"\0" * 1000), False),
    "an empty frame": (one(read_frame(b"") + read_frame(FIRST)), True),
    "noise": (one(bytes(range(256)) * 1000), False),
    "noise in a frame": (one(read_frame(b"\xff" * 1000)), False),
    "a connection cut in a frame": (cut_short(read_frame(FIRST) + read_frame(series(1, NOW))[:-7]), False),
    "a connection cut between frames": (cut_short(read_frame(FIRST)), False),
    "a chunk of noise": (one(read_frame(read_response(LABELS, [chunk_message(CHUNK, data=b"\xff" * 50)]))), False),
    "an empty chunk": (one(read_frame(read_response(LABELS, [chunk_message(CHUNK, data=b"")]))), False),
    "a chunk that promises more": (one(read_frame(read_response(LABELS, [chunk_message(CHUNK, data=b"\xff\xff" + b"\0" * 20)]))), False),
    "a chunk of an unknown kind": (one(read_frame(read_response(LABELS, [chunk_message(CHUNK, encoding=99)]))), False),
    "times that don't fit the chunk": (one(read_frame(read_response(LABELS, [chunk_message(CHUNK, times=(2 ** 62, -2 ** 62))]))), True),
    "chunks in no order": (one(read_frame(read_response(LABELS, [chunk_message([(NOW - 1000 * i, 1.0)]) for i in (1, 5, 3)]))), True),
    "samples in no order": (one(read_frame(read_response(LABELS, [chunk_message([(NOW, 1.0), (NOW - 5000, 2.0), (NOW - 2000, 3.0)])]))), True),
    "ten thousand chunks": (one(read_frame(read_response(LABELS, [chunk_message([(NOW - 10 * i, 1.0)]) for i in range(10000, 0, -1)]))), True),
    "a label of a megabyte": (one(read_frame(series(1, NOW, pad="x" * (1 << 20)))), True),
    "a thousand labels": (one(read_frame(read_response([("__name__", "fake"), *((f"l{i:04d}", "x") for i in range(1000))], [chunk_message(CHUNK)]))), True),
    "another content type": (lambda stream: (stream.start(kind="text/html").write(b"<html>"), stream.end()), False),
    "samples that are no snappy": (lambda stream: (stream.start(kind="application/x-protobuf").write(b"\xff" * 100), stream.end()), False),
    "a snappy bomb": (lambda stream: (stream.start(kind="application/x-protobuf").write(varint(0xFFFFFFFF) + b"\xfe\x01\x00" * 10000), stream.end()), False),
    "status 500": (lambda stream: (stream.start(status=500, kind="text/plain").write(b"no <b>way</b>"), stream.end()), False),
    "status 400": (lambda stream: (stream.start(status=400, kind="text/plain").write(b"no"), stream.end()), False),
    "status 302": (lambda stream: (stream.start(status=302, kind="text/plain").write(b"elsewhere"), stream.end()), False),
    "no answer": (lambda stream: None, False),
    "nothing but silence": (lambda stream: (stream.start(), stream.hang(60)), False),
    "series without end": (endless(lambda index: read_frame(series(index, NOW))), False),
    "one series without end": (endless(lambda index: read_frame(FIRST)), False),
    "an error text without end": (lambda stream: (stream.start(status=500, kind="text/plain"), [stream.write(b"no " * 10000) for _ in range(100000)]), False),
}


@pytest.fixture(scope="module")
def liar(tmp_path_factory):
    class Liar:
        cluster = Cluster(tmp_path_factory.mktemp("liar"))
        fake = FakePrometheus(honest(NOW))
        sidecar = cluster.sidecar("titan", fake.url)
        query = cluster.query("titan", [sidecar], flags=["--query.timeout=8s"])
    yield Liar
    Liar.fake.stop()
    Liar.cluster.close()


@pytest.mark.parametrize("name", LIES)
def test_a_remote_read_that_lies(liar, name):
    liar.fake.read, sense = LIES[name]
    meters = [CpuMeter(component.process.pid) for component in (liar.query, liar.sidecar)]
    before = [meter.memory("VmRSS") for meter in meters]
    for partial in ("false", "true"):
        begin = time.monotonic()
        answer = liar.query.get("/api/v1/query", {"query": "count(fake) + sum(fake)", "time": NOW / 1000, "partial_response": partial})
        assert time.monotonic() - begin < 12, "it went on past its timeout"
        if sense and answer.status == 200:
            continue
        if partial == "false":
            assert answer.status in (422, 503, 500), answer
            assert answer.json["errorType"] in ("execution", "timeout", "internal") and answer.json["error"], answer
        elif answer.status == 200:
            assert answer.json.get("warnings"), f"data is missing, and no warning says so: {answer}"
        else:  # 500: what is stored is broken
            assert answer.status in (422, 500, 503) and answer.json["error"], answer
    wait_until("the sidecar has let go of the read", 5, lambda: liar.fake.running == 0)
    liar.fake.read = honest(NOW)
    answer = liar.query.instant("count(fake)", NOW / 1000, partial_response="false")
    assert answer["result"][0]["value"][1] == "10"
    for meter, size in zip(meters, before):
        assert meter.memory("VmRSS") - size < 3 * MEMORY_MAY_GROW


def test_own_encoders_know_the_check_value():
    assert crc32c(b"123456789") == 0xE3069283
