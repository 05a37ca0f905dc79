"""Attacks at the ports of a sidecar and a query: connections that never finish what they begin, floods
of what is cheap to send, bombs of what is cheap to compress, windows that stay shut, TLS that stops
half-way. Meanwhile others are served as ever, and memory stays bounded. By the release build:
sanitizers have a memory of their own. What is merely wrong is in test_bad_input.py."""

import contextlib
import re
import resource
import select
import socket
import ssl
import statistics
import struct
import subprocess
import time

import pytest

import http2
from cluster import TOP, Background, Cluster, CpuMeter, http, wait_until
from fake_prometheus import FakePrometheus, honest
from wire import grpc_message, matcher, series_request

MIB = 1 << 20
MEMORY_MAY_GROW = 96 * MIB
SLOWEST = 2.0  # seconds for an answer to others, on a busy machine
HEADER = http2.header_block([(":method", "POST"), (":scheme", "http"), (":path", "/thanos.Store/Series"), (":authority", "x"),
                             ("content-type", "application/grpc"), ("te", "trailers")])
F = http2.frame


@pytest.fixture(scope="module", autouse=True)
def many_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Site:
    """A sidecar over a fake Prometheus, a query over it; the query's ports are attacked, and once more
    a query with TLS on both ports."""

    def __init__(self, folder):
        self.cluster = Cluster(folder)
        subprocess.run([TOP / "test/support/make-certificates", folder], check=True)
        self.folder = folder
        self.now_ms = int(time.time() * 1000)
        self.fake = FakePrometheus(honest(self.now_ms))
        self.sidecar = self.cluster.sidecar("titan-release", self.fake.url)
        self.query = self.cluster.query("titan-release", [self.sidecar])
        (folder / "web.yml").write_text("tls_server_config: {cert_file: server.crt, key_file: server.key}\n")
        self.secure = self.cluster.start("titan-release", "query", "secure", [
            f"--endpoint={self.sidecar.grpc}", f"--http.config={folder}/web.yml", "--grpc-server-tls-min-version=1.2",
            f"--grpc-server-tls-cert={folder}/server.crt", f"--grpc-server-tls-key={folder}/server.key"])
        self.context = ssl.create_default_context(cafile=f"{folder}/ca.crt")
        wait_until("the secure one answers", 20, lambda: self.ask_secure() == b"HTTP/1.1 200")

    def ask_secure(self):
        with socket.create_connection(("127.0.0.1", self.secure.port), timeout=10) as plain:
            with self.context.wrap_socket(plain, server_hostname="localhost") as connection:
                connection.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
                return connection.recv(12)

    def ask_all(self):
        """One answer from each port; the longest time that one took."""
        times = []

        def clock(ask):
            begin = time.monotonic()
            assert ask()
            times.append(time.monotonic() - begin)

        clock(lambda: http(self.query.url + "/-/healthy", timeout=10).status == 200)
        clock(lambda: self.query.instant("count(fake)", self.now_ms / 1000, partial_response="false")["result"][0]["value"][1] == "10")
        clock(lambda: self.call(self.query.grpc) == 0)
        clock(lambda: self.ask_secure() == b"HTTP/1.1 200")
        return max(times)

    def call(self, address):
        """The status of a Series call."""
        connection = http2.Http2(address, window=1 << 20)
        try:
            stream = connection.request("/thanos.Store/Series")
            connection.data(stream, grpc_message(series_request(0, self.now_ms + 1000, matcher("__name__", "fake"))))
            return http2.finish(connection, stream).grpc_status
        finally:
            connection.close()

    def close(self):
        self.fake.stop()
        self.cluster.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("attacks"))
    yield site
    site.close()


@pytest.fixture(autouse=True)
def all_well(site):
    """The processes are there afterwards, and none of them has grown much, at its worst too."""
    site.ask_all()
    meters = [CpuMeter(component.process.pid) for component in (site.sidecar, site.query, site.secure)]
    before = [meter.memory("VmRSS") for meter in meters]
    for meter in meters:
        meter.reset_peak()
    yield
    site.ask_all()
    for meter, size in zip(meters, before):
        grown = meter.memory("VmHWM") - size
        assert grown < MEMORY_MAY_GROW, f"{grown >> 20} MiB"


@contextlib.contextmanager
def many(count, port):
    """So many connections, not blocking."""
    opened = []
    try:
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port), timeout=10)
            connection.setblocking(False)
            opened.append(connection)
        yield opened
    finally:
        for connection in opened:
            connection.close()


def push(connection, data):
    """Sends what the socket takes; False when the peer has closed."""
    try:
        connection.send(data)
    except BlockingIOError:
        pass
    except OSError:
        return False
    return True


def serves_others(site, attack, rounds=5):
    """Attacks for some rounds, and asks in each."""
    times = []
    for number in range(rounds):
        attack(number)
        times.append(site.ask_all())
    assert statistics.median(times) < SLOWEST, times


# --- Connections that never finish

def test_slow_loris(site):
    """More connections than may be open drip their heads; they make room for others."""
    with many(1500, site.query.port) as slow:
        serves_others(site, lambda number: [push(connection, b"GET /-/healthy HTTP/1.1\r\nX: "[number * 4:number * 4 + 4]) for connection in slow])


def test_slow_bodies(site):
    head = b"POST /api/v1/query HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 8000000\r\n\r\nquery="
    with many(300, site.query.port) as slow:
        for connection in slow:
            push(connection, head)
        serves_others(site, lambda number: [push(connection, b"1" * 4096) for connection in slow])


def test_connections_that_say_nothing(site):
    with many(1300, site.query.port), many(1300, site.query.grpc_port), many(1300, site.secure.port), many(1300, site.secure.grpc_port):
        serves_others(site, lambda number: time.sleep(0.1))


def test_handshakes_that_stop_half_way(site):
    """A hello, then nothing, or noise."""
    client = ssl.MemoryBIO(), ssl.MemoryBIO()
    hello = site.context.wrap_bio(*client, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        hello.do_handshake()
    first = client[1].read()
    with many(600, site.secure.port) as slow, many(600, site.secure.grpc_port) as slow_grpc:
        def attack(number):
            for index, connection in enumerate([*slow, *slow_grpc]):
                push(connection, first if number == 0 else b"" if index % 2 else b"\x16\x03\x03\x00\x10" + bytes(16))
        serves_others(site, attack)
    lines = site.secure.process.log().count("TLS handshake failed")
    assert lines < 200, "the log is not flooded"


def test_renegotiation_is_refused(site):
    for port in (site.secure.port, site.secure.grpc_port):
        client = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_2", "-CAfile", f"{site.folder}/ca.crt", "-alpn", "h2,http/1.1"],
                                input="R\n", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20, errors="replace")
        assert "RENEGOTIATING" in client.stdout and "no renegotiation" in client.stdout, client.stdout[-500:]


# --- Floods and bombs

def test_giant_heads(site):
    with many(200, site.query.port) as attackers:
        def attack(number):
            for connection in attackers:
                push(connection, (b"GET / HTTP/1.1\r\nHost: x\r\n" if number == 0 else b"") + b"X: " + b"a" * 60000 + b"\r\n")
        serves_others(site, attack)


def test_pipelined_requests(site):
    """More requests than are ever read ahead; each is answered, in order, as far as the client reads."""
    with socket.create_connection(("127.0.0.1", site.query.port), timeout=20) as connection:
        requests = b"".join(b"GET /api/v1/query?query=%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(2000))
        sending = Background(connection.sendall, requests)
        answers = b""
        while answers.count(b"HTTP/1.1 200") < 2000 or not answers.endswith(b"}"):
            more = connection.recv(65536)
            assert more
            answers += more
        sending.join(10)
    values = [int(value) for value in re.findall(rb'\[[0-9.]+,"(\d+)"\]', answers)]
    assert values == list(range(2000))
    with many(100, site.query.port) as attackers:  # and nobody who reads
        serves_others(site, lambda number: [push(connection, requests[:65536]) for connection in attackers])


def flood(address, data, seconds=1.5):
    """Sends the same again and again over connections that are made anew when they are closed."""
    host, port = address.rsplit(":", 1)
    end, sent = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            try:
                connection.sendall(http2.PREFACE + F(http2.SETTINGS, 0, 0))
                poll = select.poll()
                poll.register(connection, select.POLLIN)
                while time.monotonic() < end:
                    connection.sendall(data)
                    sent += len(data)
                    while poll.poll(0):
                        if not connection.recv(65536):
                            raise ConnectionError
            except OSError:
                continue
    return sent


def rapid_resets():
    return b"".join(F(http2.HEADERS, 4, 1 + 2 * n, HEADER) + F(http2.RST_STREAM, 0, 1 + 2 * n, b"\0\0\0\x08") for n in range(20000))


FLOODS = {
    "rapid resets": rapid_resets(),
    "settings": F(http2.SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)) * 1000,
    "pings": F(http2.PING, 0, 0, b"\0" * 8) * 1000,
    "priorities": F(http2.PRIORITY, 0, 1, b"\0\0\0\3\0") * 1000,
    "window updates": F(http2.WINDOW_UPDATE, 0, 0, b"\0\0\0\1") * 1000,
    "empty data": F(http2.HEADERS, 4, 1, HEADER) + F(http2.DATA, 0, 1) * 5000,
    "continuations": F(http2.HEADERS, 0, 1, HEADER) + F(http2.CONTINUATION, 0, 1, b"") * 5000,
    "a header bomb": F(http2.HEADERS, 4, 1, HEADER + b"\x40\1a" + http2.hpack_length(4000) + b"x" * 4000 + b"\xbe" * 12000),
    "oversized frames": F(http2.DATA, 0, 1, b"x" * 100000, length=0xFFFFFF),
    "unknown frames": F(77, 0, 0, b"x" * 10000) * 20,
}


@pytest.mark.parametrize("name", FLOODS)
def test_floods_of_frames(site, name):
    floods = [Background(flood, site.query.grpc, FLOODS[name]) for _ in range(4)]
    times = [site.ask_all() for _ in range(4)]
    for one in floods:
        one.join(20)
    assert statistics.median(times) < SLOWEST, times


def test_requests_that_never_become_whole(site):
    """Thousands of streams, each with the better part of a large message."""
    part = grpc_message(b"", size=4 * MIB - 1)[:5] + b"x" * 250_000
    connections = []
    for _ in range(8):
        connection = http2.Http2(site.query.grpc, window=65535)
        connection.socket.setblocking(False)
        connections.append(connection)

    def attack(number):
        for connection in connections:
            data = b"".join(F(http2.HEADERS, 4, 1 + 2 * n, HEADER) + b"".join(F(http2.DATA, 0, 1 + 2 * n, part[at:at + 16384]) for at in range(0, len(part), 16384))
                            for n in range(number * 40, number * 40 + 40))
            push(connection.socket, data)
    serves_others(site, attack)
    for connection in connections:
        connection.close()


def test_readers_that_never_read(site):
    """Streams whose windows stay shut, and answers over HTTP that nobody takes."""
    connections = []
    for _ in range(20):
        connection = http2.Http2(site.query.grpc, window=0)
        for _ in range(50):
            stream = connection.request("/thanos.Store/Series")
            connection.data(stream, grpc_message(series_request(0, site.now_ms + 1000, matcher("__name__", "fake"))))
        connections.append(connection)
    with many(200, site.query.port) as attackers:
        serves_others(site, lambda number: [push(connection, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 20) for connection in attackers])
    for connection in connections:
        connection.close()


# --- Ways out of the tree

@pytest.mark.parametrize("path", ["/../../etc/passwd", "/..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/api/v1/../../../etc/passwd",
                                  "/api/v1/label/..%2F..%2Fetc%2Fpasswd/values", "\\..\\..\\etc\\passwd", "/%00/etc/passwd", "http://elsewhere/etc/passwd", "file:///etc/passwd"])
def test_no_path_leads_out(site, path):
    with socket.create_connection(("127.0.0.1", site.query.port), timeout=10) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while more := connection.recv(65536):
            answer += more
    assert b"root:" not in answer
    assert answer[9:12] in (b"307", b"400", b"404", b"200") and (answer[9:12] != b"200" or b'"data":[' in answer), answer[:300]
