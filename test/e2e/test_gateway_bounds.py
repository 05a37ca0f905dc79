"""What many requests at once may take of a store gateway: memory under its limit, whatever they ask for;
and queries over two gateways that serve one stream at a time do not wait for each other for ever."""

import json
import random
import subprocess
from pathlib import Path

import pytest

import http2
from cluster import Background, CpuMeter, binary
from wire import grpc_message, matcher, series_request

TITAN = "titan-release"
MIB = 1 << 20
SERIES, SAMPLES, STEP, START = 3000, 400, 15, 1_700_000_000
LIMIT = 48 * MIB
CONSTANT = 48 * MIB  # what a gateway may have beside the limit
CALLS = 64
RESOURCE_EXHAUSTED = "8"


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A bucket with an hour and forty minutes of 3,000 series whose values do not compress."""
    folder, rng = tmp_path_factory.mktemp("blocks"), random.Random(3)
    with open(folder / "metrics.txt", "w") as out:
        out.write("# TYPE wide gauge\n")
        for series in range(SERIES):
            labels = f'wide{{n="{series:05d}",pod="pod-{series % 97}"}}'
            out.writelines(f"{labels} {rng.random()} {START + STEP * i}\n" for i in range(SAMPLES))
        out.write("# EOF\n")
    subprocess.run([binary("promtool"), "tsdb", "create-blocks-from", "openmetrics", folder / "metrics.txt", folder / "bucket"],
                   check=True, stdout=subprocess.DEVNULL)
    for path in Path(folder / "bucket").glob("*/meta.json"):
        meta = json.loads(path.read_text())
        meta["thanos"] = {"labels": {"replica": "a"}, "downsample": {"resolution": 0}, "source": "test"}
        path.write_text(json.dumps(meta))
    return json.dumps({"type": "FILESYSTEM", "config": {"directory": str(folder / "bucket")}})


def gateway(cluster, config, name, flags=()):
    store = cluster.start(TITAN, "store", name, [f"--objstore.config={config}", f"--data-dir={cluster.folder}/{name}", *flags])
    store.process.wait_ready(store.url + "/-/ready")
    return store


def read_all(store):
    request = series_request(START * 1000, (START + STEP * SAMPLES) * 1000, matcher("__name__", "wide"))
    return http2.call(store.grpc, "/thanos.Store/Series", grpc_message(request), timeout=120)


def test_64_reads_at_once_stay_under_the_limit(cluster, config):
    store = gateway(cluster, config, "bounded", [f"--store.memory-limit={LIMIT}B", f"--store.grpc.series-max-concurrency={CALLS}"])
    whole = read_all(store)
    assert whole.headers["grpc-status"] == "0" and len(whole.data) > SERIES * SAMPLES * 6, "random mantissas take most of their bits"
    meter = CpuMeter(store.process.child.pid)
    meter.reset_peak()
    before = meter.memory("VmRSS")
    calls = [Background(read_all, store) for _ in range(CALLS)]
    answers = [call.join(180) for call in calls]
    done = [answer for answer in answers if answer.headers["grpc-status"] == "0"]
    refused = [answer for answer in answers if answer.headers["grpc-status"] == RESOURCE_EXHAUSTED]
    assert len(done) + len(refused) == CALLS, {answer.headers["grpc-status"] + answer.headers.get("grpc-message", "") for answer in answers}
    assert all(len(answer.data) == len(whole.data) for answer in done)
    texts = {answer.headers["grpc-message"] for answer in refused}
    assert all("budget" in text and "bytes" in text for text in texts), texts
    assert meter.memory("VmHWM") < LIMIT + CONSTANT, f"{meter.memory('VmHWM') / MIB:.0f} MiB, {before / MIB:.0f} before"
    assert read_all(store).headers["grpc-status"] == "0", "afterwards all is as before"


def test_two_queries_over_two_gateways_that_serve_one_stream_at_a_time(cluster, config):
    stores = [gateway(cluster, config, f"narrow{i}", ["--store.grpc.series-max-concurrency=1"]) for i in range(2)]
    queries = [cluster.query(TITAN, order) for order in (stores, stores[::-1])]
    for _ in range(3):
        asked = [Background(query.get, "/api/v1/query", {"query": "count(wide) + count(wide)", "time": START + STEP * SAMPLES, "partial_response": "false"}, timeout=90)
                 for query in queries]
        for question in asked:
            answer = question.join(100)
            assert answer.status == 200 and answer.json["data"]["result"][0]["value"][1] == str(2 * SERIES), answer
