"""A Prometheus that does what no Prometheus does: its remote read lies, drips, never ends or hangs.
Everything else a sidecar asks for is answered properly. A real server can't be made to do this."""

import select
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from processes import free_port
from wire import chunk_message, read_frame, read_response

STREAMED = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"


class Gone(Exception):
    """The client closed its connection."""


class Stream:
    """The body of a remote read, chunked; notices within milliseconds that the client is gone."""

    def __init__(self, handler):
        self.handler, self.sent = handler, 0

    def start(self, status=200, kind=STREAMED):
        self.handler.send_response(status)
        self.handler.send_header("Content-Type", kind)
        self.handler.send_header("Transfer-Encoding", "chunked")
        self.handler.end_headers()
        return self

    def write(self, data):
        self.look()
        try:
            self.handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        except OSError:
            raise Gone from None
        self.sent += len(data)

    def end(self):
        self.handler.wfile.write(b"0\r\n\r\n")

    def look(self):
        """Raises Gone when the client has closed its side."""
        connection = self.handler.connection
        poll = select.poll()  # descriptors may be many
        poll.register(connection, select.POLLIN)
        if poll.poll(0):
            try:
                if connection.recv(1, socket.MSG_PEEK) == b"":
                    raise Gone
            except ConnectionError:
                raise Gone from None

    def hang(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.look()
            time.sleep(0.005)


class FakePrometheus:
    """`read(stream)` answers a remote read: it calls stream.start(), write(), end()."""

    def __init__(self, read, replica="fake", lowest=0):
        self.read, self.replica = read, replica
        self.reads = 0
        self.running = 0  # reads that go on now
        self.gone_at = None  # monotonic time at which a client was seen to leave
        self.sent = 0
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.lowest = lowest
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), self.handler())
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.1,), daemon=True).start()

    def handler(self):
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self, body, kind="application/json"):
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def do_GET(self):
                path = self.path.split("?")[0]
                if path == "/api/v1/status/config":
                    self.answer('{"status":"success","data":{"yaml":"global:\\n  external_labels:\\n    cluster: e2e\\n    replica: %s\\n"}}' % fake.replica)
                elif path == "/api/v1/status/buildinfo":
                    self.answer('{"status":"success","data":{"version":"3.16.0","revision":"","branch":"","buildUser":"","buildDate":"","goVersion":""}}')
                elif path == "/metrics":
                    self.answer(f"prometheus_tsdb_lowest_timestamp_seconds {fake.lowest}\n", "text/plain; version=0.0.4")
                elif path.startswith("/api/v1/") and path.endswith(("/labels", "/values", "/series")):
                    self.answer('{"status":"success","data":[]}')
                else:
                    self.answer("", "text/plain")

            def do_POST(self):
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.path.split("?")[0] != "/api/v1/read":
                    self.answer('{"status":"success","data":[]}')
                    return
                with fake.lock:
                    fake.reads += 1
                    fake.running += 1
                stream = Stream(self)
                try:
                    fake.read(stream)
                except Gone:
                    fake.gone_at = time.monotonic()
                except OSError:
                    fake.gone_at = time.monotonic()
                finally:
                    with fake.lock:
                        fake.running -= 1
                        fake.sent += stream.sent
                    self.close_connection = True

            def log_message(self, *args):
                pass

        return Handler

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


# --- What a remote read may say

def series(index, end_ms, count=3, name="fake", pad=""):
    """A frame with one series of `count` samples that end at end_ms."""
    samples = [(end_ms - 1000 * (count - 1 - i), float(index + i)) for i in range(count)]
    labels = [("__name__", name), ("n", f"{index:07d}")] + ([("pad", pad)] if pad else [])
    return read_response(labels, [chunk_message(samples)])


def honest(end_ms, count=10):
    frames = b"".join(read_frame(series(i, end_ms)) for i in range(count))

    def read(stream):
        stream.start().write(frames)
        stream.end()
    return read
