#!/usr/bin/env python3
"""One querier over 200 endpoints, Titan beside the real Thanos 0.42.5. By hand, on a quiet machine:

    meson setup build/bench --buildtype=release && ninja -C build/bench titan test/bench/fake_stores
    test/bench/endpoints.py [--endpoints 200] [--write]

The endpoints are small stores in one process (fake_stores.c), two replicas for each of 100 clusters. Both
queriers run at rest, then under queries that external labels rule out for all but two endpoints, then under
queries that go to all. CPU-seconds come from /proc/PID/stat, memory from VmRSS and VmHWM."""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "test/e2e"))
BUILD = Path(os.environ.get("BUILD", TOP / "build/bench"))
os.environ.setdefault("TITAN", str(BUILD / "titan"))

from cluster import Cluster, CpuMeter, wait_until  # noqa: E402

MARK = "<!-- endpoints.py writes below -->"
REST = 30  # seconds


def measure(meter, work):
    """Runs work; CPU-seconds, wall seconds, what it gave."""
    meter.reset_peak()
    cpu, begin = meter.cpu(), time.monotonic()
    result = work()
    return meter.cpu() - cpu, time.monotonic() - begin, result


def ask(query, text, times):
    taken = []
    for _ in range(times):
        begin = time.monotonic()
        answer = query.get("/api/v1/query", {"query": text, "time": time.time()})
        assert answer.status == 200 and answer.json["data"]["result"], answer
        taken.append(time.monotonic() - begin)
    return statistics.median(taken) * 1000


def one(cluster, program, addresses, rounds):
    begin = time.monotonic()
    query = cluster.query(program, [], wait=False, flags=[f"--endpoint={address}" for address in addresses])
    query.process.wait_ready(query.url + "/-/ready")
    meter, row = CpuMeter(query.process.pid), {}
    row["ready, ms"] = (time.monotonic() - begin) * 1000
    wait_until("all are there", 60, lambda: sum(map(len, query.data("/stores").values())) == len(addresses))
    row["start, CPU-s"] = meter.cpu()
    time.sleep(2)
    cpu, wall, _ = measure(meter, lambda: time.sleep(REST))
    row["at rest, % of a core"] = 100 * cpu / wall
    row["at rest, MiB"] = meter.memory("VmRSS") / 2**20
    ask(query, 'count(up{cluster="c000"})', 20)
    cpu, wall, median = measure(meter, lambda: ask(query, 'sum by (instance) (up{cluster="c007"})', 200 * rounds))
    row["one cluster, ms"], row["one cluster, CPU-ms a query"] = median, 1000 * cpu / (200 * rounds)
    row["one cluster, peak MiB"] = meter.memory("VmHWM") / 2**20
    cpu, wall, median = measure(meter, lambda: ask(query, "sum by (cluster) (up)", 20 * rounds))
    row["all, ms"], row["all, CPU-ms a query"] = median, 1000 * cpu / (20 * rounds)
    row["all, peak MiB"] = meter.memory("VmHWM") / 2**20
    query.stop()
    return row


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--endpoints", type=int, default=200)
    parser.add_argument("--series", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--programs", default="titan,thanos")
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    options = parser.parse_args()
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(folder)
        fakes = subprocess.Popen([BUILD / "test/bench/fake_stores", str(options.endpoints), str(options.series)],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        addresses = [line.strip() for line in iter(fakes.stdout.readline, "\n")]
        for program in options.programs.split(","):
            rows[program] = one(cluster, program, addresses, options.rounds)
        fakes.stdin.close()
        fakes.wait(30)
        cluster.close()
    programs = list(rows)
    table = ["| | " + " | ".join(programs) + " |", "| --- |" + " --: |" * len(programs)]
    table += [f"| {name} | " + " | ".join(f"{rows[program][name]:.2f}" for program in programs) + " |" for name in rows[programs[0]]]
    text = (f"{options.endpoints} endpoints, {options.series} series each, on {os.cpu_count()} cores, measured {time.strftime('%Y-%m-%d')}. "
            f"Repeat: `test/bench/endpoints.py --write`.\n\n" + "\n".join(table) + "\n")
    print(text)
    if options.write:
        path = TOP / "docs/benchmarks.md"
        head, _, rest = path.read_text().partition(MARK)
        following = rest.partition("\n## ")
        path.write_text(head + MARK + "\n\n" + text + ("\n## " + following[2] if following[1] else ""))


main()
