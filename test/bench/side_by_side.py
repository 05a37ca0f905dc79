#!/usr/bin/env python3
"""Titan and the real Thanos 0.42.5 side by side: the same queries, the same data, the same sidecars.
By hand, on a quiet machine: `test/bench/side_by_side.py [--write]`; --write puts the tables into
docs/benchmarks.md. Needs build/release/titan (scripts/build) and the peers (scripts/peers).

Two real Prometheus 3.16 replicas hold an hour of backfilled samples. Each round asks all questions of
each composition in turn, so that whatever else the machine does hits both alike. CPU-seconds come from
/proc/PID/stat, memory from VmHWM and VmRSS, times from this client."""

import argparse
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "test/e2e"))
os.environ.setdefault("TITAN", str(TOP / "build/release/titan"))

sys.path.insert(0, str(TOP / "test/differential"))

import data_set  # noqa: E402
from cluster import Cluster, CpuMeter, binary, free_port, http, peers  # noqa: E402

STEP, MINUTES = 15, 60
INSTANCES, HANDLERS, CODES = 100, 40, 5  # 20,000 counters
NATIVES = 200  # native histograms
FEATURES = ["--enable-feature=promql-experimental-functions", "--query.enable-x-functions"]
GAUGES, LATENCIES, BOUNDS = 2000, 60, (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, "+Inf")

MARK = "<!-- side_by_side.py writes below -->"


def openmetrics(path, begin, offset, seed):
    """An hour of samples every 15 seconds; `offset` shifts this replica's scrapes."""
    chance = random.Random(seed)
    times = [begin + offset + STEP * i for i in range(MINUTES * 60 // STEP)]
    texts = [f"{t:.3f}" for t in times]
    series = 0
    with open(path, "w") as out:
        def write(name, labels, values):
            nonlocal series
            series += 1
            out.writelines(f"{name}{{{labels}}} {value} {text}\n" for value, text in zip(values, texts))

        out.write("# TYPE http_requests counter\n")
        for instance in range(INSTANCES):
            for handler in range(HANDLERS):
                for code in ("200", "201", "404", "500", "503"):
                    rate = chance.random() * 100
                    write("http_requests_total", f'job="api",instance="host-{instance:03d}:9100",handler="/api/v1/path{handler:02d}",code="{code}"',
                          [int((t - begin) * rate) for t in times])
        out.write("# TYPE room_temperature gauge\n")
        for index in range(GAUGES):
            value, values = 20.0, []
            for _ in times:
                value += chance.gauss(0, 0.1)
                values.append(round(value, 2))
            write("room_temperature", f'job="rooms",room="r{index:04d}",floor="{index % 20}"', values)
        out.write("# TYPE latency_seconds histogram\n")
        for instance in range(LATENCIES):
            for place, bound in enumerate(BOUNDS):
                write("latency_seconds_bucket", f'job="api",instance="host-{instance:03d}:9100",le="{bound}"', [int((t - begin) * 7 * (place + 1)) for t in times])
        out.write("# TYPE target_info gauge\n")
        for instance in range(INSTANCES):
            write("target_info", f'job="api",instance="host-{instance:03d}:9100",version="v{instance % 7}",region="r{instance % 3}"', [1 for _ in times])
        out.write("# EOF\n")
    return series


def natives(begin, offset, seed):
    """Native histograms: running totals of observations around a tenth of a second."""
    data = {}
    for number in range(NATIVES):
        chance, value = random.Random(seed * 1000 + number), data_set.Histogram()
        points = []
        for index in range(MINUTES * 60 // STEP):
            for _ in range(chance.randrange(8)):
                value.observe(chance.lognormvariate(-2.3, 0.6))
            points.append((int((begin + offset + STEP * index) * 1000), value.copy()))
        labels = {"__name__": "request_seconds", "job": "api", "instance": f"host-{number % INSTANCES:03d}:9100", "handler": f"/api/v1/path{number // INSTANCES:02d}"}
        data[tuple(sorted(labels.items()))] = points
    return data


def replica(cluster, name, begin, offset, folder):
    """A Prometheus over backfilled blocks that scrapes nothing."""
    data = cluster.folder / f"prometheus-{name}" / "data"
    data.mkdir(parents=True)
    text = Path(folder) / f"{name}.om"
    series = openmetrics(text, begin, offset, seed=1)
    subprocess.run([peers()["promtool"], "tsdb", "create-blocks-from", "openmetrics", text, data], check=True, stdout=subprocess.DEVNULL)
    text.unlink()
    writer = cluster.prometheus(name + "-writer", scrape_self=False, flags=["--web.enable-remote-write-receiver", "--web.enable-admin-api"])
    data_set.write(writer, natives(begin, offset, seed=1))
    snapshot = writer.get("/api/v1/admin/tsdb/snapshot", method="POST").json["data"]["name"]
    writer.stop()
    for block in (cluster.folder / f"prometheus-{name}-writer/data/snapshots" / snapshot).iterdir():
        shutil.move(block, data)
    return cluster.prometheus(name, scrape_self=False, flags=["--storage.tsdb.retention.time=30d"]), series + NATIVES


def questions(begin):
    """[(name, path, parameters)]"""
    end, later = begin + MINUTES * 60 - 60, begin + 600
    whole = {"start": later, "end": end, "step": 30}
    return [
        ("sum of rates, range", "/query_range", {"query": "sum(rate(http_requests_total[5m]))", **whole}),
        ("rates by handler, range", "/query_range", {"query": "sum by (handler) (rate(http_requests_total[5m]))", **whole}),
        ("error ratio by instance, range", "/query_range", {
            "query": 'sum by (instance) (rate(http_requests_total{code=~"5.."}[5m])) / sum by (instance) (rate(http_requests_total[5m]))', **whole}),
        ("quantile of a histogram, range", "/query_range", {"query": "histogram_quantile(0.9, sum by (le) (rate(latency_seconds_bucket[5m])))", **whole}),
        ("200 rooms as they are, range", "/query_range", {"query": 'room_temperature{floor=~"1|2"}', **whole}),
        ("a day's kind of dashboard panel", "/query_range", {"query": "avg by (floor) (avg_over_time(room_temperature[5m]))", **whole}),
        ("top ten, instant", "/query", {"query": "topk(10, rate(http_requests_total[5m]))", "time": end}),
        ("count of all, instant", "/query", {"query": "count(http_requests_total)", "time": end}),
        ("4,000 series, instant", "/query", {"query": 'http_requests_total{code="500"}', "time": end}),
        ("rates of native histograms, range", "/query_range", {"query": "sum by (handler) (rate(request_seconds[5m]))", **whole}),
        ("quantile of native histograms, range", "/query_range", {"query": "histogram_quantile(0.9, sum by (handler) (rate(request_seconds[5m])))", **whole}),
        ("mean of native histograms, range", "/query_range", {"query": "histogram_avg(sum(rate(request_seconds[5m])))", **whole}),
        ("sum of native histograms, instant", "/query", {"query": "sum(request_seconds)", "time": end}),
        ("subquery, range", "/query_range", {"query": "max_over_time(sum by (floor) (room_temperature)[10m:1m])", **whole}),
        ("join with group_left, range", "/query_range", {
            "query": 'sum by (version) (rate(http_requests_total{code="500"}[5m]) * on (job, instance) group_left (version) target_info)', **whole}),
        ("top five, range", "/query_range", {"query": 'topk(5, rate(http_requests_total{code="404"}[5m]))', **whole}),
        ("quantile of rooms, range", "/query_range", {"query": "quantile by (floor) (0.9, room_temperature)", **whole}),
        ("quantile over time, range", "/query_range", {"query": "max by (floor) (quantile_over_time(0.9, room_temperature[5m]))", **whole}),
        ("count of values, range", "/query_range", {"query": 'count_values("celsius", round(room_temperature))', **whole}),
        ("xrate, range", "/query_range", {"query": 'sum by (handler) (xrate(http_requests_total{code="200"}[5m]))', "engine": "thanos", **whole}),
        ("series", "/series", {"match[]": 'http_requests_total{handler="/api/v1/path07"}', "start": later, "end": end}),
        ("label values", "/label/instance/values", {"start": later, "end": end}),
    ]


def newer_questions(begin):
    """What Thanos 0.42.5 cannot answer over stores; not counted in CPU."""
    end, later = begin + MINUTES * 60 - 60, begin + 600
    whole = {"start": later, "end": end, "step": 30}
    return [
        ("info, range", "/query_range", {"query": 'sum by (version) (info(rate(http_requests_total{code="500"}[5m]), {version=~".+"}))', **whole}),
        ("smoothed rates, range", "/query_range", {"query": 'sum by (handler) (rate(http_requests_total{code="200"}[5m] smoothed))', **whole}),
        ("anchored increases, range", "/query_range", {"query": 'sum by (handler) (increase(http_requests_total{code="200"}[5m] anchored))', **whole}),
    ]


class Composition:
    """Sidecars of one program and a query of one program over both replicas."""

    def __init__(self, cluster, query, sidecars):
        self.query, self.sidecars = query, sidecars
        self.name = f"{query.program} query over {sidecars[0].program} sidecars"
        self.meters = {"query": [CpuMeter(query.process.pid)], "sidecars": [CpuMeter(sidecar.process.pid) for sidecar in sidecars]}
        self.seconds = {}  # question -> [latency]
        self.cpu = {"query": [], "sidecars": []}  # per round

    def used(self, part):
        return sum(meter.cpu() for meter in self.meters[part])

    def round(self, asked, repeats):
        before = {part: self.used(part) for part in self.cpu}
        self.ask(asked, repeats)
        for part in self.cpu:
            self.cpu[part].append(self.used(part) - before[part])

    def ask(self, asked, repeats):
        for name, path, params in asked:
            for _ in range(repeats):
                begin = time.monotonic()
                answer = self.query.get("/api/v1" + path, params, timeout=300)
                self.seconds.setdefault(name, []).append(time.monotonic() - begin)
                assert answer.status == 200 and answer.json["status"] == "success", f"{self.name}: {name}: {answer}"
                data = answer.json["data"]
                assert (data["result"] if isinstance(data, dict) else data) and not answer.json.get("warnings"), f"{self.name}: {name}: {answer}"

    def peak(self, part):
        return sum(meter.memory("VmHWM") for meter in self.meters[part])


def start_times(program, component, flags, count=10):
    """Seconds from exec to a 200 of /-/ready, each in a fresh process."""
    folder, out = tempfile.mkdtemp(), []
    cluster = Cluster(folder)
    for _ in range(count):
        port = free_port()
        begin = time.monotonic()
        process = cluster.processes.start("start", [binary(program), component, f"--http-address=127.0.0.1:{port}", f"--grpc-address=127.0.0.1:{free_port()}", *flags])
        while True:
            try:
                if http(f"http://127.0.0.1:{port}/-/ready", timeout=1).status == 200:
                    break
            except OSError:
                pass
            time.sleep(0.001)
        out.append(time.monotonic() - begin)
        process.stop()
    shutil.rmtree(folder)
    return out


MIB = 1 << 20


def row(*cells):
    return "| " + " | ".join(str(cell) for cell in cells) + " |\n"


def report(compositions, idle, starts, series, rounds, repeats):
    def text(value, digits=2):
        return f"{value:.{digits}f}"

    out = f"Measured {time.strftime('%Y-%m-%d')} on {os.cpu_count()} cores ({platform.machine()}, Linux {platform.release().split('-')[0]}); "
    out += f"two Prometheus 3.16 replicas with {series:,} series each, {MINUTES} minutes every {STEP} s; {rounds} alternating rounds, each question {repeats} times a round; "
    out += "deduplication on. Repeat: `test/bench/side_by_side.py --write`.\n\n"
    out += row("composition", "query CPU-s a round", "sidecars CPU-s a round", "query peak MiB", "sidecars peak MiB (both)")
    out += row("---", "--:", "--:", "--:", "--:")
    for composition in compositions:
        out += row(composition.name, *(text(statistics.median(composition.cpu[part])) for part in ("query", "sidecars")),
                   *(text(composition.peak(part) / MIB, 0) for part in ("query", "sidecars")))
    out += "\n" + row("question", *(f"{composition.name}, ms" for composition in compositions)) + row("---", *("--:" for _ in compositions))
    for name in compositions[0].seconds:
        out += row(name, *(text(statistics.median(composition.seconds[name]) * 1000, 1) if name in composition.seconds else "" for composition in compositions))
    out += "\n" + row("at rest", "titan", "thanos") + row("---", "--:", "--:")
    for part in ("query", "sidecar"):
        out += row(f"{part}, resident MiB before the first question", *(text(idle[program, part] / MIB, 1) for program in ("titan", "thanos")))
    for part in ("query", "sidecar"):
        out += row(f"{part}, ms from start to ready", *(text(statistics.median(starts[program, part]) * 1000, 1) for program in ("titan", "thanos")))
    by_name = {composition.name: composition for composition in compositions}
    titan, thanos = by_name["titan query over thanos sidecars"], by_name["thanos query over thanos sidecars"]
    all_titan = by_name["titan query over titan sidecars"]
    out += "\nOver the same (Thanos's) sidecars Titan's query takes 1/"
    out += f"{statistics.median(thanos.cpu['query']) / max(0.01, statistics.median(titan.cpu['query'])):.1f} of the CPU and 1/{thanos.peak('query') / titan.peak('query'):.1f} of the peak memory of Thanos's; "
    cpu = [sum(statistics.median(composition.cpu[part]) for part in composition.cpu) for composition in (thanos, all_titan)]
    peak = [sum(composition.peak(part) for part in composition.cpu) for composition in (thanos, all_titan)]
    out += f"query and sidecars together 1/{cpu[0] / max(0.01, cpu[1]):.1f} of the CPU and 1/{peak[0] / peak[1]:.1f} of the memory.\n"
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="titan-bench-")
    cluster = Cluster(folder)
    try:
        begin = (int(time.time()) - 4 * 3600) // 7200 * 7200  # one block
        print("backfilling two replicas", flush=True)
        (a, series), (b, _) = replica(cluster, "a", begin, 1.25, folder), replica(cluster, "b", begin, 8.5, folder)
        print(f"{series} series each", flush=True)
        sidecars = {program: [cluster.sidecar(program, prometheus) for prometheus in (a, b)] for program in ("titan", "thanos")}
        compositions = [Composition(cluster, cluster.query(query, sidecars[below], flags=FEATURES), sidecars[below])
                        for query in ("titan", "thanos") for below in ("titan", "thanos")]
        time.sleep(10)
        idle = {}
        for composition in compositions:
            idle[composition.query.program, "query"] = composition.meters["query"][0].memory("VmRSS")
            idle[composition.sidecars[0].program, "sidecar"] = composition.meters["sidecars"][0].memory("VmRSS")
        asked = questions(begin)
        for number in range(options.rounds):
            for composition in compositions:
                composition.round(asked, options.repeats)
                if composition.query.program == "titan":
                    composition.ask(newer_questions(begin), options.repeats)
            print(f"round {number + 1} of {options.rounds}", flush=True)
        starts = {}
        for program in ("titan", "thanos"):
            starts[program, "query"] = start_times(program, "query", [f"--endpoint={sidecars['thanos'][0].grpc}", "--query.replica-label=replica"])
            starts[program, "sidecar"] = start_times(program, "sidecar", [f"--prometheus.url={a.url}"])
        text = report(compositions, idle, starts, series, options.rounds, options.repeats)
        print("\n" + text)
        if options.write:
            page = TOP / "docs/benchmarks.md"
            head, _, rest = page.read_text().partition(MARK)
            tail = rest[rest.index("\n## "):] if "\n## " in rest else ""
            page.write_text(head + MARK + "\n\n" + text + tail)
    finally:
        cluster.processes.stop_all()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
