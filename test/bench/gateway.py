#!/usr/bin/env python3
"""Store gateways side by side: Titan's and the real Thanos 0.42.5's over one bucket on a file system,
asked the same Series calls. By hand, on a quiet machine: `test/bench/gateway.py [--write]`; --write puts
the tables into docs/benchmarks.md. Needs build/release/titan, build/bench/test/bench/make_blocks, peers.

- A day of 5,000 series of two replicas every 15 s in 2 h blocks: cold and warm calls; CPU-seconds of the
  gateway, time, memory, bucket requests and bytes.
- A thousand small blocks: start to ready, idle memory, a call."""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "test/e2e"))
os.environ.setdefault("TITAN", str(TOP / "build/release/titan"))

import http2  # noqa: E402
from cluster import Cluster, CpuMeter  # noqa: E402
from wire import grpc_message, matcher, series_request  # noqa: E402

START, DAY = 1_700_006_400, 86_400
MARK = "<!-- gateway.py writes below -->"
QUESTIONS = [  # what, matchers, from and to in seconds after START
    ("one series, a day", [matcher("path", "/api/v1/00042"), matcher("__name__", "bench_requests_total")], 0, DAY),
    ("a metric of one job (500 series), 2 h", [matcher("__name__", "bench_requests_total"), matcher("job", "job-1")], 6 * 3600, 8 * 3600),
    ("a metric (2,500 series), 2 h", [matcher("__name__", "bench_requests_total")], 10 * 3600, 12 * 3600),
    ("a metric of one job (500 series), 12 h", [matcher("__name__", "bench_queue_length"), matcher("job", "job-2")], 0, DAY // 2),
    ("everything (5,000 series), 1 h", [matcher("__name__", "bench_.*", 2)], 0, 3600),
]


def make(folder, name, *numbers):
    bucket = Path(folder) / name
    bucket.mkdir()
    subprocess.run([TOP / "build/bench/test/bench/make_blocks", bucket, *map(str, numbers)], check=True)
    return bucket


def gateway(cluster, program, bucket, name):
    config = json.dumps({"type": "FILESYSTEM", "config": {"directory": str(bucket)}})
    begin = time.monotonic()
    store = cluster.start(program, "store", name, [f"--objstore.config={config}", f"--data-dir={cluster.folder}/{name}-{program}", "--index-cache-size=250MB"])
    store.process.wait_ready(store.url + "/-/ready", timeout=120)
    return store, time.monotonic() - begin


def bucket_operations(store):
    text = store.get("/metrics").body.decode()
    count = sum(float(value) for operation, value in re.findall(r'^thanos_objstore_bucket_operations_total\{[^}]*operation="(\w+)"[^}]*\} (\S+)$', text, re.M)
                if operation in ("get", "get_range", "attributes", "exists", "iter"))
    fetched = sum(map(float, re.findall(r"^thanos_objstore_bucket_operation_fetched_bytes_total\{[^}]*\} (\S+)$", text, re.M)))
    return count, fetched


def call(store, matchers, begin, end):
    request = series_request((START + begin) * 1000, (START + end) * 1000, *matchers)
    answer = http2.call(store.grpc, "/thanos.Store/Series", grpc_message(request), timeout=300)
    assert answer.headers["grpc-status"] == "0", answer.headers
    return len(answer.data)


def measure(store, question, times):
    meter = CpuMeter(store.process.child.pid)
    what, matchers, begin, end = question
    before, cpu, seconds = bucket_operations(store), meter.cpu(), []
    for _ in range(times):
        start = time.monotonic()
        size = call(store, matchers, begin, end)
        seconds.append(time.monotonic() - start)
    after = bucket_operations(store)
    return {"cpu": (meter.cpu() - cpu) / times, "seconds": statistics.median(seconds), "bytes": size,
            "requests": (after[0] - before[0]) / times, "fetched": (after[1] - before[1]) / times}


def row(*cells):
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args()
    lines = [f"{platform.machine()}, {os.cpu_count()} cores; {time.strftime('%Y-%m-%d')}. CPU is the gateway's, seconds a call; titan / thanos.", ""]
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(folder)
        try:
            day = make(folder, "day", START, 24, 5000, 15, 2, 2)
            many = make(folder, "many", START, 1000, 100, 60, 1, 1)
            stores = {program: gateway(cluster, program, day, "day") for program in ("titan", "thanos")}
            lines += [row("Series call", "answer", "CPU cold", "CPU warm", "time warm", "bucket requests cold", "bytes read cold"), row(*["---"] * 7)]
            totals = {program: 0.0 for program in stores}
            for question in QUESTIONS:
                cold = {program: measure(store, question, 1) for program, (store, _) in stores.items()}
                warm = {program: measure(store, question, options.times) for program, (store, _) in stores.items()}
                for program in stores:
                    totals[program] += cold[program]["cpu"] + warm[program]["cpu"]
                both = lambda values, key, form: " / ".join(form.format(values[program][key]) for program in ("titan", "thanos"))  # noqa: E731
                lines.append(row(question[0], f"{warm['titan']['bytes'] / 1e6:.2f} MB", both(cold, "cpu", "{:.3f}"), both(warm, "cpu", "{:.3f}"),
                                 both(warm, "seconds", "{:.3f} s"), both(cold, "requests", "{:.0f}"),
                                 " / ".join(f"{cold[program]['fetched'] / 1e6:.1f} MB" for program in ("titan", "thanos"))))
                print(lines[-1], flush=True)
            peaks = {program: CpuMeter(store.process.child.pid).memory("VmHWM") / 2**20 for program, (store, _) in stores.items()}
            lines += ["", f"All calls together: CPU {totals['titan']:.2f} / {totals['thanos']:.2f} s, 1/{totals['thanos'] / totals['titan']:.1f}; "
                          f"peak memory {peaks['titan']:.0f} / {peaks['thanos']:.0f} MiB, 1/{peaks['thanos'] / peaks['titan']:.1f}.", ""]
            for store, _ in stores.values():
                store.stop()
            lines += [row("a thousand blocks", "titan", "thanos"), row("---", "---", "---")]
            starts, idle, one = {}, {}, {}
            for program in ("titan", "thanos"):
                store, starts[program] = gateway(cluster, program, many, "many")
                time.sleep(3)
                idle[program] = CpuMeter(store.process.child.pid).memory("VmRSS") / 2**20
                one[program] = measure(store, ("", [matcher("path", "/api/v1/00042")], 0, 1000 * 3600), 1)
                store.stop()
                starts[program, "again"] = gateway(cluster, program, many, "many")[1]
            lines += [row("start to ready, nothing on disk", *(f"{starts[program]:.1f} s" for program in ("titan", "thanos"))),
                      row("start to ready, index headers on disk", *(f"{starts[program, 'again']:.1f} s" for program in ("titan", "thanos"))),
                      row("memory, idle", *(f"{idle[program]:.0f} MiB" for program in ("titan", "thanos"))),
                      row("a call over all of them: time", *(f"{one[program]['seconds']:.2f} s" for program in ("titan", "thanos"))),
                      row("its CPU", *(f"{one[program]['cpu']:.2f} s" for program in ("titan", "thanos"))),
                      row("its bucket requests", *(f"{one[program]['requests']:.0f}" for program in ("titan", "thanos")))]
        finally:
            cluster.close()
    text = "\n".join(lines) + "\n"
    print(text)
    if options.write:
        page = TOP / "docs/benchmarks.md"
        before = page.read_text()
        head, found, rest = before.partition(MARK)
        tail = rest[rest.index("\n## "):] if found and "\n## " in rest else ""
        if not found:
            head = before.rstrip("\n") + "\n\n## The store gateway\n\n`test/bench/gateway.py` over one bucket on a file system.\n\n"
        page.write_text(head + MARK + "\n\n" + text + tail)


if __name__ == "__main__":
    main()
