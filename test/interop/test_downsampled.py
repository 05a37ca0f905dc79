"""Downsampled data: ten days of counters, gauges and native histograms, downsampled to 5 minutes and
1 hour by the real Thanos 0.42.5 and served by its store gateway. Titan's query over it answers as
Thanos's does, for every function, every way to ask for a resolution, and with the lookback that fits
coarse data."""

import json
import math
import random
import re
import subprocess

import pytest

import data_set
from cluster import binary, free_port, wait_until

DAYS = 10.3  # 1 hour needs blocks of 10 days
INTERVAL = 120_000
START, END = data_set.START, data_set.START + int(DAYS * 86_400_000)
FEATURES = ["--enable-feature=promql-experimental-functions", "--query.enable-x-functions"]
GRIDS = [(86_400, 1_800), (7 * 86_400, 4 * 3_600), (86_400, 7_777)]  # length, step: seconds
RESOLUTIONS = ["0s", "5m", "1h", "auto", "301s", "2h"]

FUNCTIONS = {
    "gauge_level": ["{}", "avg_over_time({}[2h])", "min_over_time({}[2h])", "max_over_time({}[2h])", "sum_over_time({}[2h])", "count_over_time({}[2h])",
                    "last_over_time({}[2h])", "stddev_over_time({}[3h])", "quantile_over_time(0.5, {}[3h])", "delta({}[2h])", "idelta({}[2h])", "deriv({}[4h])",
                    "predict_linear({}[4h], 3600)", "changes({}[3h])", "present_over_time({}[2h])", "absent_over_time({}[2h])", "stdvar_over_time({}[3h])",
                    "sum({})", "avg({})", "min({})", "max({})", "count({})", "group({})", "stddev({})", "quantile(0.5, {})", "topk(1, {})", "bottomk(1, {})",
                    "min by (zone) ({})", "count by (zone) ({})", "abs({})", "max(max_over_time({}[2h]))", "max(min_over_time({}[2h]))", "count(sum({}))",
                    "max_over_time(avg({})[6h:1h])", "min_over_time({}[6h:1h])", "sum(min_over_time({}[2h]))", "{} > 0", "min({}) / max({})", "timestamp({})",
                    "mad_over_time({}[3h])", "first_over_time({}[2h])", "ts_of_max_over_time({}[3h])", "double_exponential_smoothing({}[4h], 0.5, 0.5)", "xdelta({}[2h])",
                    "clamp_max(min({}), 5)", "-min({})", "scalar(min({}))", "absent({})", "{} offset 1d", "max_over_time({}[1d] offset 1d)"],
    "total": ["{}", "rate({}[2h])", "increase({}[2h])", "irate({}[3h])", "rate({}[5m])", "rate({}[10m])", "increase({}[1d])", "sum(rate({}[2h]))", "max(increase({}[3h]))",
              "rate({}[2h:10m])", "max_over_time(rate({}[2h])[6h:30m])", "xrate({}[2h])", "xincrease({}[2h])", "count_over_time({}[2h])", "delta({}[2h])",
              "sum by (zone) (rate({}[1h]))", "topk(1, rate({}[2h]))", "rate({}[6h] offset 1d)", "rate({}[2h] @ end())"],
    "histograms": ["{}", "histogram_count({})", "histogram_sum({})", "histogram_quantile(0.9, {})", "sum({})", "avg({})", "count({})", "rate({}[2h])",
                   "increase({}[2h])", "histogram_quantile(0.5, sum(rate({}[3h])))", "sum_over_time({}[2h])", "avg_over_time({}[2h])", "count_over_time({}[2h])",
                   "last_over_time({}[2h])", "histogram_avg({})", "histogram_fraction(0.1, 1, rate({}[2h]))", "histogram_stddev({})"],
}
METRICS = {"gauge_level": ["gauge_level"], "total": ["total"], "histograms": ["native", "native_gauge"]}
CASES = [(function, metric) for kind, functions in FUNCTIONS.items() for function in functions for metric in METRICS[kind]]
OF_AVERAGES = {"histogram_quantile(0.9, {})", "histogram_stddev({})"}  # whose buckets Thanos gets wrong, see all_buckets()


def make_data(seed=5):
    rng = random.Random(seed)
    data = {}

    def add(name, make, skip=lambda at: False, **labels):
        points = [(at, make(number)) for number, at in enumerate(range(START + rng.randrange(INTERVAL), END, INTERVAL)) if not skip(at)]
        data[tuple(sorted({"__name__": name, **labels}.items()))] = points
    for index, zone in enumerate("xyx"):
        add("gauge_level", lambda n, i=index: round(50 * math.sin(n / (40 + 9 * i)) + rng.gauss(0, 5), 3), zone=zone, id=index)
        add("total", data_set.counter(rng), zone=zone, id=index)
    add("gauge_level", lambda n: float(n % 17), skip=lambda at: at // 7_200_000 % 5 == 2 or rng.random() < 0.3, zone="gaps", id=3)
    add("total", data_set.counter(rng), skip=lambda at: at // 7_200_000 % 7 == 3, zone="gaps", id=3)
    for index in range(2):
        add("native", data_set.native_counter(rng), id=index)
    add("native_gauge", data_set.native_gauge(rng), id=0)
    return {tuple((name, str(value)) for name, value in labels): points for labels, points in data.items()}


def make_bucket(cluster, folder):
    """A bucket with one raw block and what the real compactor's downsampling makes of it."""
    prometheus = cluster.prometheus("writer", scrape_self=False, external={"replica": "a"}, block="31d", flags=[
        "--web.enable-remote-write-receiver", "--web.enable-admin-api", "--storage.tsdb.retention.time=100y"])
    data_set.write(prometheus, make_data(), slice_ms=6 * 3_600_000)
    name = prometheus.get("/api/v1/admin/tsdb/snapshot", method="POST").json["data"]["name"]
    prometheus.stop()
    bucket = folder / "bucket"
    config = json.dumps({"type": "FILESYSTEM", "config": {"directory": str(bucket)}})
    thanos = binary("thanos")
    subprocess.run([thanos, "tools", "bucket", "upload-blocks", f"--path={folder}/prometheus-writer/data/snapshots/{name}", f"--objstore.config={config}",
                    '--label=replica="a"', "--log.level=warn"], check=True)
    downsample = cluster.processes.start("downsample", [thanos, "tools", "bucket", "downsample", f"--objstore.config={config}", f"--data-dir={folder}/downsample",
                                                        f"--http-address=127.0.0.1:{free_port()}", "--http-grace-period=0s"], env={"GOMAXPROCS": "2"})
    wait_until("blocks of 5 minutes and 1 hour are there", 60, lambda: {0, 300_000, 3_600_000} <= resolutions(bucket))
    downsample.stop()
    return config


def resolutions(bucket):
    return {json.loads(path.read_text())["thanos"]["downsample"]["resolution"] for path in bucket.glob("*/meta.json")}


@pytest.fixture(scope="module")
def both(module_cluster, tmp_path_factory):
    folder = module_cluster.folder
    config = make_bucket(module_cluster, folder)
    store = module_cluster.start("thanos", "store", "store", [f"--objstore.config={config}", f"--data-dir={folder}/store"])
    store.process.wait_ready(store.url + "/-/ready")

    class Both:
        titan = module_cluster.query("titan", [store], flags=FEATURES)
        thanos = module_cluster.query("thanos", [store], flags=FEATURES)
        titan_auto = module_cluster.query("titan", [store], flags=[*FEATURES, "--query.auto-downsampling"])
        thanos_auto = module_cluster.query("thanos", [store], flags=[*FEATURES, "--query.auto-downsampling"])
    return Both


def same(got, want):
    """Numbers to the bit, but for sums, whose order is not promised."""
    if got == want:
        return True
    if isinstance(got, dict) and isinstance(want, dict):
        if not all_buckets(want):
            return same(got["count"], want["count"]) and same(got["sum"], want["sum"])
        pairs = [(got["count"], want["count"]), (got["sum"], want["sum"])] + list(zip(got.get("buckets", []), want.get("buckets", [])))
        return len(got.get("buckets", [])) == len(want.get("buckets", [])) and all(same(a, b) for a, b in pairs)
    if isinstance(got, list) and isinstance(want, list):
        return got[:3] == want[:3] and same(got[3], want[3])
    if isinstance(got, dict) or isinstance(want, dict):
        return False
    a, b = float(got), float(want)
    return str(a) == str(b) or abs(a - b) <= 1e-12 * max(abs(a), abs(b))


def all_buckets(histogram):
    """Whether the buckets are sound: Thanos shares memory between the sum and the count of downsampled
    histograms, and what it divides is mostly what was left there."""
    return math.isclose(sum(float(bucket[3]) for bucket in histogram.get("buckets", [])), float(histogram["count"]), rel_tol=1e-9)


def is_of_raw_counters(function, resolution, params):
    """Thanos works on running totals there; Titan is equal to Prometheus (docs/parity.md)."""
    found = re.search(r"\b(rate|irate|increase)\(", function)
    if not found:
        return False
    ms = {"0s": 0, "5m": 300_000, "1h": 3_600_000, "301s": 301_000, "2h": 7_200_000, "auto": params.get("step", 0) * 200}[resolution]
    window = re.search(r"\{\}\[(\d+)([mhd])\]", function)
    if window:
        ms = min(ms, int(window[1]) * {"m": 60_000, "h": 3_600_000, "d": 86_400_000}[window[2]] // 2)
    return ms < 300_000


def rows(answer):
    data = answer.json["data"]
    if data["resultType"] == "scalar":
        return {(): [tuple(data["result"])]}
    out = {}
    for series in data["result"]:
        points = series.get("values", []) + series.get("histograms", []) + [series[key] for key in ("value", "histogram") if key in series]
        out[tuple(sorted(series["metric"].items()))] = sorted((at, value) for at, value in points)
    return out


def difference(got, want):
    if got.status != want.status:
        return f"{got}, thanos {want}"
    if want.status != 200:
        return None if got.json["errorType"] == want.json["errorType"] else f"{got}, thanos {want}"
    mine, theirs = rows(got), rows(want)
    if mine.keys() != theirs.keys():
        return f"{len(mine)} series, thanos {len(theirs)}: {sorted(mine.keys() ^ theirs.keys())[:3]}"
    for name, points in theirs.items():
        times = [[at for at, _ in side] for side in (mine[name], points)]
        if times[0] != times[1]:
            return f"{dict(name)}: times {times[0][:5]} ({len(times[0])}), thanos {times[1][:5]} ({len(times[1])})"
        for (at, a), (_, b) in zip(mine[name], points):
            if not same(a, b):
                return f"{dict(name)} at {at}: {str(a)[:300]}, thanos {str(b)[:300]}"
    return None


def compare(titan, thanos, query, params):
    if query.startswith("x"):
        params = {"engine": "thanos", **params}
    return difference(*(side.get(f"/api/v1/query{'_range' if 'start' in params else ''}", {"query": query, "dedup": "false", **params}) for side in (titan, thanos)))


def grids(number, function):
    length, step = GRIDS[0 if function.startswith("x") else number % len(GRIDS)]  # Thanos errs where the step is longer than the range
    end = END // 1000 - 3_600 * (number % 5)
    return [{"start": end - length, "end": end, "step": step}, {"time": end - 1_234}]


@pytest.mark.parametrize("number", range(len(CASES)), ids=[function.replace("{}", metric) for function, metric in CASES])
def test_function_reads_the_aggregate_that_thanos_reads(both, number):
    function, metric = CASES[number]
    query = function.replace("{}", metric)
    problems = []
    for turn, resolution in enumerate(RESOLUTIONS):
        for params in grids(number + turn, function):
            if is_of_raw_counters(function, resolution, params) or (function in OF_AVERAGES and resolution != "0s"):
                continue
            problem = compare(both.titan, both.thanos, query, {"max_source_resolution": resolution, **params})
            if problem:
                problems.append(f"{resolution} {params}: {problem}")
    for params in grids(number, function):
        if is_of_raw_counters(function, "auto", params) or function in OF_AVERAGES:
            continue
        problem = compare(both.titan_auto, both.thanos_auto, query, params)
        if problem:
            problems.append(f"--query.auto-downsampling {params}: {problem}")
    assert not problems, query + "\n" + "\n".join(problems)
