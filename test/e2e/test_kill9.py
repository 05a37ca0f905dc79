"""Titan's processes killed with SIGKILL under load, again and again: what is in front answers or says
clearly that it can't, and all is well as soon as the killed one is started again. Held against a real
Prometheus 3.16. Five rounds; hundreds with scripts/test --long."""

import os
import random
import threading
import time

import pytest

from cluster import http, wait_until
from exporter import Exporter
from processes import free_port

ROUNDS = 200 if os.environ.get("TITAN_LONG") else 5
QUERY = "sum(count_over_time(app_requests_total[10s]))"


class Load:
    """Threads that ask all the time and remember each answer that was neither right nor a clear error."""

    def __init__(self, url, threads=3):
        self.url, self.wrong, self.answers, self.ends = url, [], 0, threading.Event()
        self.threads = [threading.Thread(target=self.ask, daemon=True) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def ask(self):
        while not self.ends.is_set():
            try:
                answer = http(self.url + "/api/v1/query", {"query": QUERY, "time": time.time() - 1}, timeout=20)
            except OSError:
                time.sleep(0.02)  # the query itself is the one that is dead
                continue
            self.answers += 1
            try:
                good = answer.json["status"] == "success" if answer.status == 200 else answer.json["error"]
            except ValueError:
                good = False
            if not good:
                self.wrong.append(answer)

    def stop(self):
        self.ends.set()
        for thread in self.threads:
            thread.join(20)


@pytest.mark.parametrize("victim", ["sidecar", "query"])
def test_killed_under_load(cluster, victim):
    exporter = Exporter([free_port()])
    prometheus = cluster.prometheus("a", exporter.targets)
    sidecar = cluster.sidecar("titan", prometheus)
    query = cluster.query("titan", [sidecar])
    wait_until("samples are there", 15, lambda: query.instant(QUERY, time.time())["result"])
    load = Load(query.url)
    chance = random.Random(1)
    for _ in range(ROUNDS):
        time.sleep(chance.random() * 0.3)
        if victim == "sidecar":
            sidecar.kill()
            sidecar = again(cluster, sidecar, "sidecar", [f"--prometheus.url={prometheus.url}"])
        else:
            query.kill()
            query = again(cluster, query, "query", [f"--endpoint={sidecar.grpc}", "--query.replica-label=replica"])
        wait_until("all data is there again", 15, lambda: complete(query))
    load.stop()
    exporter.stop()
    assert not load.wrong, load.wrong[:3]
    assert load.answers >= ROUNDS


def complete(query):
    answer = query.get("/api/v1/query", {"query": QUERY, "time": time.time() - 1, "partial_response": "false"})
    return answer.status == 200 and answer.json["data"]["result"]


def again(cluster, component, name, flags):
    """The same on the same ports."""
    process = cluster.processes.start(f"{name}-again", [
        component.process.argv[0], name, f"--http-address=127.0.0.1:{component.port}", f"--grpc-address={component.grpc}",
        "--http-grace-period=1s", "--grpc-grace-period=1s", *flags])
    process.wait_ready(component.url + "/-/ready")
    component.process = process
    return component
