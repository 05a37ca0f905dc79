"""Queries side by side, clients that hang up, and sidecars that come and go: what ThreadSanitizer has
to see. scripts/test --long runs it on a build with it; on other builds it is a short load test."""

import os
import random
import signal
import socket
import threading
import time
import urllib.parse

from cluster import http, wait_until
from exporter import Exporter
from processes import free_port

SECONDS = 90 if os.environ.get("TITAN_LONG") else 5
SUPPRESSIONS = os.path.join(os.path.dirname(__file__), "..", "tsan.supp")
THREADS = {"TSAN_OPTIONS": f"halt_on_error=0:exitcode=0:second_deadlock_stack=1:suppressions={os.path.abspath(SUPPRESSIONS)}"}
EXPRESSIONS = ["sum(rate(app_requests_total[5s]))", "app_requests_total", "count({__name__=~'app_.+'})",
               "sort_desc(app_requests_total) + on(instance) group_left() up", "absent(nothing)", "bad(",
               "quantile_over_time(0.5, app_requests_total[10s:1s])"]
PATHS = ["/labels", "/label/job/values", "/series?match[]=up", "/rules", "/targets", "/metadata", "/stores", "/status/flags"]


def random_path(chance):
    kind, now = chance.randrange(4), time.time() - 1
    expression = urllib.parse.quote(chance.choice(EXPRESSIONS))
    if kind == 0:
        return chance.choice(PATHS)
    if kind == 1:
        return f"/query_range?query={expression}&start={now - 20}&end={now}&step=1"
    return f"/query?query={expression}&time={now}"


class Users:
    """Threads that ask all the time; every other one hangs up before the answer. Metrics are read too."""

    def __init__(self, query, count=6):
        self.query, self.ends, self.answers, self.broken = query, threading.Event(), 0, []
        self.threads = [threading.Thread(target=self.run, args=(index,), daemon=True) for index in range(count)]
        for thread in self.threads:
            thread.start()

    def run(self, index):
        chance = random.Random(index)
        while not self.ends.is_set():
            try:
                if index % 2:
                    self.hang_up(chance)
                else:
                    self.ask(chance)
            except OSError as error:
                self.broken.append(error)

    def ask(self, chance):
        answer = http(self.query.url + "/api/v1" + random_path(chance), timeout=30)
        self.answers += 1
        if answer.status >= 500 and "error" not in answer.json:
            self.broken.append(answer)
        http(self.query.url + "/metrics", timeout=30)

    def hang_up(self, chance):
        with socket.create_connection(("127.0.0.1", self.query.port), timeout=30) as connection:
            connection.sendall(f"GET /api/v1{random_path(chance)} HTTP/1.1\r\nHost: titan\r\n\r\n".encode())
            time.sleep(chance.random() * 0.02)

    def stop(self):
        self.ends.set()
        for thread in self.threads:
            thread.join(60)


def test_users_that_come_and_go(cluster):
    exporter = Exporter([free_port()])
    prometheus = cluster.prometheus("a", exporter.targets)
    sidecars = [cluster.sidecar("titan", prometheus, env=THREADS) for _ in range(2)]
    query = cluster.query("titan", sidecars, env=THREADS)
    wait_until("samples are there", 30, lambda: query.instant("count(app_requests_total)", time.time())["result"])
    users, end, chance = Users(query), time.monotonic() + SECONDS, random.Random(1)
    while time.monotonic() < end:
        time.sleep(1 + chance.random())
        restart(cluster, sidecars[1], chance.choice([signal.SIGTERM, signal.SIGKILL]))
    users.stop()
    exporter.stop()
    assert users.answers and not users.broken, users.broken[:3]
    wait_until("all is well", 30, lambda: query.instant("count(app_requests_total)", time.time() - 1)["result"])


def restart(cluster, sidecar, how):
    sidecar.process.stop(how)
    process = cluster.processes.start("sidecar-again", sidecar.process.argv, env=THREADS)
    process.wait_ready(sidecar.url + "/-/ready")
    sidecar.process = process
