"""A target to scrape whose series have everything PromQL distinguishes: counters that reset, gauges,
classic histograms, special values, series that come and go, targets that fail, joins that change.

All values are functions of the time and the instance, so that two Prometheus servers which scrape
the same targets are true replicas. Each instance listens on a port of its own."""

import math
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LATENCY_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
SPECIAL = {"nan": "NaN", "inf": "+Inf", "ninf": "-Inf", "zero": "0", "negzero": "-0", "tiny": "5e-324",
           "huge": "1.7976931348623157e308", "third": repr(1 / 3), "exp": "1.23e-07", "big": "1e21"}


def escape(value):
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r'\"')


class Page:
    def __init__(self):
        self.lines = []

    def type(self, name, kind):
        self.lines.append(f"# HELP {name} what the tests look at\n# TYPE {name} {kind}")

    def add(self, name, value, **labels):
        inside = ",".join(f'{key}="{escape(str(text))}"' for key, text in labels.items())
        self.lines.append(f"{name}{{{inside}}} {value!r}" if not isinstance(value, str)
                          else f"{name}{{{inside}}} {value}")

    def text(self):
        return "\n".join(self.lines) + "\n"


def counters(page, now, instance):
    page.type("app_requests_total", "counter")
    for index, (method, code) in enumerate((m, c) for m in ("GET", "POST", "PUT") for c in (200, 404, 500)):
        rate = (index + 1) * (instance + 1)
        page.add("app_requests_total", math.floor(now * rate) - 1700000000 * rate, method=method, code=code)
    page.type("app_resets_total", "counter")  # starts anew every 13 seconds and more
    for index in range(3):
        page.add("app_resets_total", int(now % (13 + 4 * index) * (index + 1)), worker=index)
    page.type("app_bytes_total", "counter")  # a fractional one
    page.add("app_bytes_total", round((now - 1700000000) * 1234.567, 3), direction="in")
    page.add("app_bytes_total", round((now - 1700000000) * 345.678, 3), direction="out")


def gauges(page, now, instance):
    page.type("app_temperature", "gauge")
    for shard in range(6):
        page.add("app_temperature", 20 * math.sin(now / (7 + shard) + shard) + shard, shard=shard, room=f"r{shard % 2}")
    page.type("app_queue_length", "gauge")
    for queue in ("fast", "slow", "dead"):
        page.add("app_queue_length", int(abs(math.sin(now / 9 + len(queue))) * 100) if queue != "dead" else 0, queue=queue)
    page.type("app_limit", "gauge")
    for queue in ("fast", "slow"):
        page.add("app_limit", 100 + 10 * instance, queue=queue)
    page.type("app_special", "gauge")
    for kind, text in SPECIAL.items():
        page.add("app_special", text, kind=kind)
    page.type("app_step", "gauge")
    page.add("app_step", int(now / 5) % 4)
    page.type("app_start_time_seconds", "gauge")
    page.add("app_start_time_seconds", 1700000000.25 + instance)


def comes_and_goes(page, now):
    page.type("app_flapping", "gauge")
    for slot in range(5):
        if (now + 2 * slot) % 10 < 7:
            page.add("app_flapping", int(now) % 100, slot=slot)
    page.type("app_info", "gauge")  # what a join meets when a version changes
    page.add("app_info", 1, version=f"v{int(now / 20) % 3}", commit="abc")
    page.type("app_text", "gauge")
    page.add("app_text", 1, text='quotes " and \\ and\nlines', lang="ünï")
    page.add("app_text", 2, text="<b>&amp;</b>", lang="日本")


def histograms(page, now, instance):
    page.type("app_latency_seconds", "histogram")
    for index, path in enumerate(("/", "/api", "/idle")):
        total, observed = int((now - 1700000000) * (5 + index + instance)) if path != "/idle" else 7, 0
        for place, bound in enumerate(LATENCY_BOUNDS):
            share = min(1.0, (place + 1 + 0.3 * math.sin(now / 11)) / (len(LATENCY_BOUNDS) + index))
            observed = max(observed, int(total * share)) if path != "/idle" else 7
            page.add("app_latency_seconds_bucket", observed, path=path, le=bound)
        page.add("app_latency_seconds_bucket", max(total, observed), path=path, le="+Inf")
        page.add("app_latency_seconds_sum", total * 0.125, path=path)
        page.add("app_latency_seconds_count", max(total, observed), path=path)
    page.type("app_duration_seconds", "summary")
    for quantile in ("0.5", "0.9", "0.99"):
        page.add("app_duration_seconds", float(quantile) * (1 + instance), quantile=quantile)
    page.add("app_duration_seconds_sum", int(now) * 0.25)
    page.add("app_duration_seconds_count", int(now))


def render(now, instance):
    page = Page()
    counters(page, now, instance)
    gauges(page, now, instance)
    comes_and_goes(page, now)
    histograms(page, now, instance)
    return page.text()


def fails(now, instance):
    """The last instance is away for 6 seconds of every 25."""
    return instance == 2 and now % 25 < 6


class Exporter:
    """`instances` targets, in threads of this process."""

    def __init__(self, ports):
        self.servers = [self.serve(instance, port) for instance, port in enumerate(ports)]
        self.targets = [f"127.0.0.1:{port}" for port in ports]

    @staticmethod
    def serve(instance, port):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                now = time.time()
                body = b"" if fails(now, instance) else render(now, instance).encode()
                self.send_response(200 if body else 500)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.2,), daemon=True).start()
        return server

    def stop(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()
