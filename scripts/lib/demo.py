"""The demo: starts the parts, asks a few questions, checks the answers. See scripts/demo."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from processes import Processes, http, port_or_free, wait_until

SCRAPE_SECONDS = 2
HISTORY_DAYS, HISTORY_STEP = 3, 60  # seconds


class Parts:
    def __init__(self, titan, prometheus, promtool, node_exporter, folder):
        self.folder, self.processes = Path(folder), Processes(folder)
        self.node = port_or_free(9100)
        self.make_history(promtool)
        start = self.processes.start
        start("node-exporter", [node_exporter, f"--web.listen-address=127.0.0.1:{self.node}"])
        self.prometheus = {replica: port_or_free(port) for replica, port in (("a", 9090), ("b", 9091))}
        for replica in self.prometheus:
            self.start_prometheus(prometheus, replica)
        self.sidecars = {}
        for place, replica in enumerate(self.prometheus):
            self.sidecars[replica] = (port_or_free(10902 + 10 * place), port_or_free(10901 + 10 * place))
            http_port, grpc_port = self.sidecars[replica]
            start(f"sidecar-{replica}", [titan, "sidecar", f"--prometheus.url=http://127.0.0.1:{self.prometheus[replica]}",
                                         f"--http-address=127.0.0.1:{http_port}", f"--grpc-address=127.0.0.1:{grpc_port}"])
        self.store = (port_or_free(10932), port_or_free(10931))
        bucket = json.dumps({"type": "FILESYSTEM", "config": {"directory": str(self.folder / "bucket")}})
        start("store", [titan, "store", f"--objstore.config={bucket}", f"--data-dir={self.folder}/store", "--consistency-delay=0s",
                        f"--http-address=127.0.0.1:{self.store[0]}", f"--grpc-address=127.0.0.1:{self.store[1]}"])
        self.query = port_or_free(10922)
        start("query", [titan, "query", f"--http-address=127.0.0.1:{self.query}", f"--grpc-address=127.0.0.1:{port_or_free(10921)}",
                        "--query.replica-label=replica", *(f"--endpoint=127.0.0.1:{grpc}" for _, grpc in [*self.sidecars.values(), self.store])])

    def make_history(self, promtool):
        """Days of `up` of this machine in a bucket, as the sidecar of replica a would have left them."""
        bucket, now = self.folder / "bucket", int(time.time())
        self.history = range(now - HISTORY_DAYS * 86400, now - 300, HISTORY_STEP)
        text = self.folder / "history.txt"
        text.write_text("# TYPE up gauge\n" + "".join(f'up{{instance="127.0.0.1:{self.node}",job="node"}} 1 {at}\n' for at in self.history) + "# EOF\n")
        subprocess.run([promtool, "tsdb", "create-blocks-from", "openmetrics", text, bucket], check=True, stdout=subprocess.DEVNULL)
        for path in bucket.glob("*/meta.json"):
            meta = json.loads(path.read_text())
            meta["thanos"] = {"labels": {"cluster": "demo", "replica": "a"}, "downsample": {"resolution": 0}, "source": "sidecar"}
            path.write_text(json.dumps(meta))

    def start_prometheus(self, program, replica):
        targets = {"prometheus": [f"127.0.0.1:{port}" for port in self.prometheus.values()], "node": [f"127.0.0.1:{self.node}"]}
        jobs = "".join(f"- {{job_name: {job}, static_configs: [{{targets: {addresses}}}]}}\n" for job, addresses in targets.items())
        config = self.folder / f"prometheus-{replica}.yml"
        config.write_text(f"global: {{scrape_interval: {SCRAPE_SECONDS}s, external_labels: {{cluster: demo, replica: {replica}}}}}\nscrape_configs:\n{jobs}")
        self.processes.start(f"prometheus-{replica}", [
            program, f"--config.file={config}", f"--storage.tsdb.path={self.folder}/data-{replica}",
            f"--web.listen-address=127.0.0.1:{self.prometheus[replica]}"])

    def wait(self):
        """Until each part is ready and both replicas have scraped each target a few times."""
        for process, port in zip(self.processes.all[1:], [*self.prometheus.values(), *(http_port for http_port, _ in self.sidecars.values()), self.store[0], self.query]):
            process.wait_ready(f"http://127.0.0.1:{port}/-/ready")
            print(f"  {process.name} is ready", flush=True)

        def scraped():
            for process in self.processes.all:
                if not process.running:
                    sys.exit(f"{process.name} ended:\n{process.log()[-3000:]}")
            answer = self.ask("min(count_over_time(up[1m])) and count(up) == 6", dedup="false")
            return answer.json["data"]["result"] and float(answer.json["data"]["result"][0]["value"][1]) >= 3
        print("  waiting for a few scrapes of each target", flush=True)
        wait_until("six series of `up` with three samples each", 90, scraped, pause=0.5)

    def ask(self, query, path="/api/v1/query", **params):
        return http(f"http://127.0.0.1:{self.query}{path}", {"query": query, **params})


def total_memory():
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024


def questions(parts):
    """(what, query, parameters, what the numbers have to be)"""
    old = len(parts.history)
    return [
        ("targets, each once", "count(up)", {}, lambda numbers: numbers == [3]),
        ("the same without deduplication", "count(up)", {"dedup": "false"}, lambda numbers: numbers == [6]),
        ("all targets up", "up", {}, lambda numbers: numbers == [1, 1, 1]),
        ("replicas that answer", "count(count by (replica) (up))", {"dedup": "false"}, lambda numbers: numbers == [2]),
        ("one replica alone", 'count(up{replica="a"})', {"dedup": "false"}, lambda numbers: numbers == [3]),
        ("this machine's memory", "node_memory_MemTotal_bytes", {}, lambda numbers: numbers == [total_memory()]),
        ("its idle CPUs", 'sum(rate(node_cpu_seconds_total{mode="idle"}[10s]))', {},
         lambda numbers: len(numbers) == 1 and 0 <= numbers[0] <= (os.cpu_count() or 1) * 1.2),
        ("samples scraped a second", "sum(rate(prometheus_tsdb_head_samples_appended_total[10s]))", {}, lambda numbers: len(numbers) == 1 and numbers[0] > 0),
        ("the slowest tenth of HTTP requests", "histogram_quantile(0.9, sum by (le) (prometheus_http_request_duration_seconds_bucket))", {},
         lambda numbers: len(numbers) == 1 and numbers[0] >= 0),
        (f"history of {HISTORY_DAYS} days, and live samples", f'count_over_time(up{{job="node"}}[{HISTORY_DAYS + 1}d])', {},
         lambda numbers: len(numbers) == 1 and numbers[0] > old),
        ("history alone, a day ago", 'up{job="node"} offset 1d', {}, lambda numbers: numbers == [1]),
    ]


def answers(parts):
    """Prints each question with its answer; gives the number of wrong ones."""
    wrong = 0

    def show(good, what, text, answer):
        nonlocal wrong
        wrong += not good
        print(f"  {'ok   ' if good else 'WRONG'} {what:36} {text:92.92} = {answer}", flush=True)

    for what, query, params, right in questions(parts):
        answer = parts.ask(query, **params)
        try:
            result = answer.json["data"]["result"]
            numbers = [float(series["value"][1]) for series in result]
            clean = not answer.json.get("warnings") and (params or all("replica" not in series["metric"] for series in result))
            show(right(numbers) and clean, what, query, ", ".join(f"{number:g}" for number in numbers))
        except (ValueError, KeyError):
            show(False, what, query, answer)
    now = int(time.time())
    answer = parts.ask("sum(up)", path="/api/v1/query_range", start=now - 4, end=now, step=1)
    try:
        values = [point[1] for point in answer.json["data"]["result"][0]["values"]]
        show(values == ["3"] * 5, "targets up, second by second", "sum(up)", " ".join(values))
    except (ValueError, KeyError, IndexError):
        show(False, "targets up, second by second", "sum(up)", answer)
    stores = http(f"http://127.0.0.1:{parts.query}/api/v1/stores").json["data"]
    healthy = sorted(labels["replica"] for store in stores.get("sidecar", []) if store["lastError"] is None for labels in store["labelSets"])
    show(healthy == ["a", "b"], "endpoints of the query", "/api/v1/stores", "sidecars of " + " and ".join(healthy))
    return wrong


def main():
    parser = argparse.ArgumentParser(prog="scripts/demo")
    parser.add_argument("titan")
    parser.add_argument("prometheus")
    parser.add_argument("promtool")
    parser.add_argument("node_exporter")
    parser.add_argument("--once", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = tempfile.mkdtemp(prefix="titan-demo-")
    parts = None
    try:
        print("starting two Prometheus servers, two sidecars, a store gateway, a query", flush=True)
        parts = Parts(os.path.abspath(options.titan), options.prometheus, options.promtool, options.node_exporter, folder)
        parts.wait()
        wrong = answers(parts)
        if not options.once:
            print(f"\n  query        http://127.0.0.1:{parts.query}/api/v1/query?query=up")
            print(f"  endpoints    http://127.0.0.1:{parts.query}/api/v1/stores")
            print(f"  blocks       http://127.0.0.1:{parts.store[0]}/api/v1/blocks?view=loaded")
            for replica, port in parts.prometheus.items():
                print(f"  Prometheus {replica} http://127.0.0.1:{port}   its sidecar http://127.0.0.1:{parts.sidecars[replica][0]}/metrics")
            print("\nCtrl-C ends it all", flush=True)
            while all(process.running for process in parts.processes.all):
                time.sleep(0.5)
            sys.exit("\n".join(f"{process.name} ended:\n{process.log()[-3000:]}" for process in parts.processes.all if not process.running))
        return 1 if wrong else 0
    except KeyboardInterrupt:
        return 0
    except (RuntimeError, TimeoutError) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if parts:
            parts.processes.stop_all(timeout=10)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
