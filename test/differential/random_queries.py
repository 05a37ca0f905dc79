#!/usr/bin/env python3
"""Random queries over random samples: the engine and a real Prometheus (held against 3.16) must agree.

    random_queries.py --prometheus build/peers/prometheus --promtool build/peers/promtool
                      --titan build/debug/test/titan-promql-eval [--count 3000] [--seed 1] [--threads 2]
                      [--hours 2] [--capture test/golden/engine]

--capture writes samples, queries and answers on which both agree to the last digit, for the test
promql-answers, which needs no Prometheus.

Values are compared as the API prints them, so to the bit, but for functions of libm (1e-12) and sums
(1e-12 of the sum of absolute values, which is bounded by the largest value met). Errors agree in being
errors and in the beginning of their text."""
import argparse, http.client, json, math, pathlib, random, re, socket, subprocess, sys, tempfile, time, urllib.parse

START = 1700000000_000
HOURS = 2
CAPTURE_BYTES = 1200  # of the longest answer that is captured
FEATURES = "promql-experimental-functions,promql-binop-fill-modifiers"
LIBM = re.compile(r"\b(exp|ln|log2|log10|sin|cos|tan|asin|acos|atan|sinh|cosh|tanh|asinh|acosh|atanh)\(|\^|atan2")
SUMS = re.compile(r"\b(sum|avg|stddev|stdvar)\b")


# --- Samples

def samples(rng, make, interval=15_000, gaps=0.02, begin=0, end=None):
    out, at, number = [], int(begin) + rng.randrange(interval), 0
    end = HOURS * 3600_000 if end is None else end
    while at < end:
        if rng.random() < 0.005:
            at += rng.randrange(1, 40) * interval  # a longer gap
        if rng.random() >= gaps:
            out.append((START + at + rng.randrange(-20, 21), make(number)))
        number += 1
        at += interval
    return out


def counter(rng):
    state = [float(rng.randrange(1000))]

    def make(_):
        state[0] = 0.0 if rng.random() < 0.01 else state[0] + rng.choice([0, 1, 2.5, rng.random() * 10])
        return state[0]
    return make


def gauge(rng):
    return lambda _: rng.choice([rng.gauss(0, 100), rng.random(), float(rng.randrange(-3, 4)), rng.gauss(0, 1) * 1e6])


def odd(rng):
    return lambda _: rng.choice([math.nan, math.inf, -math.inf, 1.7e308, -1.7e308, 3e-308, -0.0, 0.0, 1.0, 2.0 ** 60])


def make_data(rng):
    data = {}
    for job in ("api", "db"):
        for instance in ("a:1", "b:1", "c:1"):
            labels = f'job="{job}",instance="{instance}"'
            data[f"requests_total{{{labels}}}"] = samples(rng, counter(rng))
            data[f"requests_total{{{labels},code=\"500\"}}"] = samples(rng, counter(rng))
            data[f"temperature{{{labels},zone=\"{rng.choice('xyz')}\"}}"] = samples(rng, gauge(rng), rng.choice([5_000, 15_000, 61_000]))
            data[f"level{{{labels}}}"] = samples(rng, lambda n: float(n // 7 % 5))
            data[f"odd{{{labels}}}"] = samples(rng, odd(rng))
        total = {}
        for bound in ("0.1", "0.5", "1", "5", "+Inf"):
            data[f'latency_bucket{{job="{job}",le="{bound}"}}'] = samples(rng, lambda n, b=float(bound.replace("+Inf", "9")): round(n * b * 3) + rng.choice([0, 0, -2]))
        data[f'version{{job="{job}",version="{job}1"}}'] = samples(rng, lambda _: 1.0, end=HOURS * 1800_000)
        data[f'version{{job="{job}",version="{job}2"}}'] = samples(rng, lambda _: 1.0, begin=HOURS * 1800_000 + 400_000)
    data['alpha{env="1"}'] = samples(rng, gauge(rng), end=HOURS * 1500_000)
    data['beta{env="1"}'] = samples(rng, gauge(rng), begin=HOURS * 1800_000)
    data['beta{env="2"}'] = samples(rng, gauge(rng))
    data['sparse{job="api"}'] = samples(rng, gauge(rng), interval=400_000)
    data['when{job="db"}'] = samples(rng, lambda _: float(rng.randrange(-10**9, 4 * 10**9)))
    return {name: points for name, points in data.items() if points}


def go_float(value):
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)


def open_metrics(data):
    families = {}
    for name, points in data.items():
        families.setdefault(name.split("{")[0], []).append((name, points))
    lines = []
    for family, members in families.items():
        for name, points in members:
            lines += [f"{name} {go_float(value)} {at // 1000}.{at % 1000:03d}" for at, value in points]
    return "\n".join(lines) + "\n# EOF\n"


# --- Queries

NAMES = ["requests_total", "temperature", "level", "odd", "version", "alpha", "beta", "sparse", "when", "latency_bucket"]
LABELS = ["job", "instance", "zone", "code", "le", "version", "env", "__name__"]
RANGES = ["30s", "1m", "2m", "5m", "7m", "20m", "1h"]
WINDOWS = ["rate", "increase", "delta", "irate", "idelta", "resets", "changes", "deriv", "avg_over_time", "min_over_time", "max_over_time",
           "sum_over_time", "count_over_time", "last_over_time", "first_over_time", "present_over_time", "stddev_over_time",
           "stdvar_over_time", "mad_over_time", "absent_over_time", "ts_of_max_over_time", "ts_of_min_over_time", "ts_of_first_over_time",
           "ts_of_last_over_time", "integral"]
VALUES = ["abs", "ceil", "floor", "exp", "sqrt", "ln", "log2", "log10", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh",
          "asinh", "acosh", "atanh", "rad", "deg", "sgn", "round", "timestamp", "hour", "minute", "month", "year", "day_of_month",
          "day_of_week", "day_of_year", "days_in_month", "sort", "sort_desc"]
AGGREGATES = ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"]
COMPARE = ["==", "!=", ">", "<", ">=", "<="]
ARITHMETIC = ["+", "-", "*", "/", "%", "^", "atan2"]


class Queries:
    def __init__(self, rng):
        self.rng = rng

    def pick(self, *items):
        return self.rng.choice(items)

    def selector(self):
        rng = self.rng
        if rng.random() < 0.08:
            return '{__name__=~"' + self.pick("alpha|beta", "requests_total|level", "version|alpha", ".*t.*") + '"}'
        name = rng.choice(NAMES)
        matcher = self.pick("", "", "", '{job="api"}', '{job!="api"}', '{instance=~"a.*|b.*"}', '{instance!~"a:1"}', '{code=""}', '{nothing="x"}')
        return name + matcher

    def modifiers(self):
        out = ""
        if self.rng.random() < 0.12:
            out += " offset " + self.pick("1m", "7m", "-3m", "90s")
        if self.rng.random() < 0.08:
            out += f" @ {self.pick('start()', 'end()', (START + 3000_000) / 1000)}"
        return out

    def range(self, depth):
        if depth > 0 and self.rng.random() < 0.25:
            return f"({self.vector(depth - 1)})[{self.pick('5m', '10m', '1h')}:{self.pick('', '1m', '30s', '45s')}]{self.modifiers()}"
        return f"{self.selector()}[{self.rng.choice(RANGES)}]{self.modifiers()}"

    def scalar(self, depth):
        kind = self.rng.randrange(10)
        if kind < 5 or depth == 0:
            return self.pick("0", "1", "2", "-1.5", "0.5", "100", "NaN", "Inf", "time()", "pi()", "1e308")
        if kind < 7:
            return f"scalar({self.vector(depth - 1)})"
        return f"({self.scalar(depth - 1)} {self.pick(*ARITHMETIC)} {self.scalar(depth - 1)})"

    def grouping(self):
        if self.rng.random() < 0.3:
            return ""
        names = ", ".join(self.rng.sample(LABELS, self.rng.randrange(0, 3)))
        return f" {self.pick('by', 'without')} ({names}) "

    def matching(self, is_set):
        rng = self.rng
        if rng.random() < 0.4:
            return ""
        names = ", ".join(rng.sample(LABELS[:-1], rng.randrange(0, 3)))
        out = f" {self.pick('on', 'ignoring')} ({names})"
        if not is_set and rng.random() < 0.5:
            out += f" {self.pick('group_left', 'group_right')} ({self.pick('', '', 'version', 'zone')})"
        return out

    def binary(self, depth):
        left, right = self.vector(depth - 1), self.vector(depth - 1)
        kind = self.rng.randrange(3)
        if kind == 0:
            return f"{left} {self.pick('and', 'or', 'unless')}{self.matching(True)} {right}"
        if kind == 1:
            return f"{left} {self.pick(*COMPARE)}{self.pick('', ' bool')}{self.matching(False)} {right}"
        return f"{left} {self.pick(*ARITHMETIC)}{self.matching(False)} {right}"

    def aggregate(self, depth):
        inner = self.vector(depth - 1)
        kind = self.rng.randrange(12)
        if kind < 7:
            return f"{self.rng.choice(AGGREGATES)}{self.grouping()}({inner})"
        if kind == 7:
            return f"quantile{self.grouping()}({self.pick('0.5', '0', '1', '0.9', '-1', '2', self.scalar(depth - 1))}, {inner})"
        if kind == 8:
            return f'count_values{self.grouping()}("v", {inner})'
        if kind == 9:
            return f"limit_ratio{self.grouping()}({self.pick('0.5', '-0.5', '0.3')}, {inner})"
        return f"{self.pick('topk', 'bottomk')}{self.grouping()}({self.pick('1', '2', '3', '100')}, {inner})"

    def call(self, depth):
        rng = self.rng
        kind = rng.randrange(14)
        if kind < 6:
            return f"{rng.choice(WINDOWS)}({self.range(depth)})"
        if kind == 6:
            return f"quantile_over_time({self.pick('0.5', '0.1', '0.99', self.scalar(depth - 1))}, {self.range(depth)})"
        if kind == 7:
            return f"predict_linear({self.range(depth)}, {self.scalar(depth - 1)})"
        if kind == 8:
            inner = self.vector(depth - 1)
            return self.pick(f"clamp({inner}, {self.scalar(0)}, {self.scalar(0)})", f"clamp_min({inner}, {self.scalar(0)})",
                             f"clamp_max({inner}, {self.scalar(0)})", f"round({inner}, {self.pick('0.1', '5', '10')})")
        if kind == 9:
            return (f'label_replace({self.vector(depth - 1)}, "{self.pick("new", "job", "__name__")}", "{self.pick("x$1", "$1", "", "c")}", '
                    f'"{self.pick("job", "instance", "__name__", "zone")}", "{self.pick("(.*)", "a(.*)", "(.).*", "nothing")}")')
        if kind == 10:
            return f'label_join({self.vector(depth - 1)}, "{self.pick("new", "job")}", "-", "job", "instance")'
        if kind == 11:
            return self.pick(f"absent({self.vector(depth - 1)})", f"vector({self.scalar(depth - 1)})",
                             f"double_exponential_smoothing({self.range(depth)}, 0.3, 0.6)")
        if kind == 12:
            return self.pick(f"histogram_quantile({self.pick('0.9', '0.5', '0')}, rate(latency_bucket[{rng.choice(RANGES)}]))",
                             f"histogram_quantile(0.9, sum by (le) (latency_bucket))",
                             f"histogram_fraction(0.2, 3, latency_bucket)")
        return f"{rng.choice(VALUES)}({self.vector(depth - 1)})"

    def vector(self, depth):
        if depth <= 0 or self.rng.random() < 0.12:
            return self.selector() + self.modifiers()
        kind = self.rng.randrange(10)
        if kind < 4:
            return self.call(depth)
        if kind < 6:
            return self.aggregate(depth)
        if kind < 8:
            return f"({self.binary(depth)})"
        if kind == 8:
            return f"-{self.selector()}"
        vector, scalar = self.vector(depth - 1), self.scalar(depth - 1)
        op = self.pick(*ARITHMETIC, *COMPARE, *[f"{c} bool" for c in COMPARE])
        return f"({vector} {op} {scalar})" if self.rng.random() < 0.6 else f"({scalar} {op} {vector})"

    def query(self):
        depth = self.pick(1, 1, 2, 2, 2, 3)
        text = self.vector(depth) if self.rng.random() < 0.95 else self.scalar(depth)
        end = START + int(HOURS * 3600_000)
        if self.rng.random() < 0.3:
            return self.rng.randrange(START, end), 0, 0, text
        start = self.rng.randrange(START - 600_000, end)
        step = self.pick(1_000, 15_000, 60_000, 137_000, 600_000)
        return start, min(start + step * self.rng.randrange(1, 150), end + 600_000), step, text


# --- The two engines

class Prometheus:
    def __init__(self, binary, promtool, data):
        self.dir = tempfile.TemporaryDirectory()
        folder = pathlib.Path(self.dir.name)
        (folder / "samples").write_text(open_metrics(data))
        (folder / "c.yml").write_text("global: {scrape_interval: 1h}\n")
        subprocess.run([promtool, "tsdb", "create-blocks-from", "openmetrics", folder / "samples", folder / "data"], check=True, stdout=subprocess.DEVNULL)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = subprocess.Popen(
            [binary, f"--config.file={folder}/c.yml", f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{self.port}",
             "--storage.tsdb.retention.time=100y", "--enable-feature=" + FEATURES], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        for _ in range(600):
            try:
                if self.get("/-/ready")[0] == 200:
                    return
            except OSError:
                self.connection.close()
            time.sleep(0.1)
        raise SystemExit("prometheus did not start")

    def get(self, path, body=None):
        self.connection.request("POST" if body else "GET", path, body, {"Content-Type": "application/x-www-form-urlencoded"} if body else {})
        response = self.connection.getresponse()
        return response.status, response.read()

    def answer(self, start, end, step, text):
        if step == 0:
            path, params = "/api/v1/query", {"query": text, "time": start / 1000}
        else:
            path, params = "/api/v1/query_range", {"query": text, "start": start / 1000, "end": end / 1000, "step": step / 1000}
        answer = json.loads(self.get(path, urllib.parse.urlencode(params))[1])
        if answer["status"] != "success":
            return None, answer["error"].removeprefix('invalid parameter "query": ')
        data = answer["data"]
        rows = data["result"] if data["resultType"] in ("vector", "matrix") else [{"metric": {}, "value": data["result"]}]
        out = {}
        for row in rows:
            points = row["values"] if "values" in row else [row["value"]]
            name = tuple(sorted(row["metric"].items()))
            out[name] = [(round(float(at) * 1000), value) for at, value in points]
        notes = sorted(note for note in answer.get("warnings", []) + answer.get("infos", []))
        return out, notes

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.dir.cleanup()


LABEL = re.compile(r'(?:"((?:[^"\\]|\\.)*)"|([A-Za-z_0-9]+))="((?:[^"\\]|\\.)*)"')


class Titan:
    def __init__(self, binary, data, threads):
        self.process = subprocess.Popen([binary] + (["--threads", str(threads)] if threads else []), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.series = "".join(f"series\t{name}\t" + " ".join(f"{at}:{go_float(value)}" for at, value in points) + "\n" for name, points in data.items())
        self.process.stdin.write(self.series)

    def answer(self, start, end, step, text):
        self.question = f"query\t{start}\t{max(start, end)}\t{step}\t{text}\n"
        self.process.stdin.write(self.question)
        self.process.stdin.flush()
        out, notes, error, self.text = {}, [], None, ""
        while True:
            line = self.process.stdout.readline()
            if not line:
                raise SystemExit(f"titan died of {text}")
            self.text += line
            line = line.rstrip("\n")
            if line == ".":
                return (None, error) if error is not None else (out, sorted(notes))
            if line.startswith("! "):
                error = line.split("\t", 1)[1]
            elif line[:2] in ("W ", "I "):
                notes.append(line[2:])
            elif line.startswith("{"):
                labels, points = line.rsplit("\t", 1)
                name = tuple(sorted((quoted or plain, value) for quoted, plain, value in LABEL.findall(labels)))
                out[name] = [(int(at), value) for at, value in (point.split(":", 1) for point in points.split())]


# --- Comparing

def close(got, want, text, scale):
    if got == want:
        return True
    a, b = float(got), float(want)
    if math.isinf(a) or math.isinf(b) or math.isnan(a) or math.isnan(b):
        return a == b
    tolerance = 0
    if LIBM.search(text):
        tolerance = 1e-11 * max(abs(a), abs(b))
    if SUMS.search(text):
        tolerance = max(tolerance, 1e-12 * max(scale, abs(a), abs(b)))
    return abs(a - b) <= tolerance


def difference(got, want, text):
    if (got[0] is None) != (want[0] is None):
        return f"titan: {got[1] if got[0] is None else 'no error'}\n  prometheus: {want[1] if want[0] is None else 'no error'}"
    if want[0] is None:
        if got[1][:30] != want[1][:30] and not ("labelset" in got[1] + want[1] and "match" in got[1] + want[1]):
            return f"titan: {got[1]}\n  prometheus: {want[1]}"
        return None
    if re.search(r"\b(top|bottom)k\b", text):  # equal ones are chosen at random
        values = [sorted((at, v) for points in side[0].values() for at, v in points) for side in (got, want)]
        return None if len(values[0]) == len(values[1]) or "(" in text.split("k", 1)[0] else f"{len(values[0])} points, not {len(values[1])}"
    if got[0].keys() != want[0].keys():
        return f"only titan: {list(got[0].keys() - want[0].keys())[:3]}\n  only prometheus: {list(want[0].keys() - got[0].keys())[:3]}"
    scale = max((abs(float(v)) for points in want[0].values() for _, v in points if v not in ("NaN", "+Inf", "-Inf")), default=0)
    for name, points in want[0].items():
        if [at for at, _ in got[0][name]] != [at for at, _ in points]:
            return f"{name}: times differ: {len(got[0][name])} and {len(points)}"
        for (at, a), (_, b) in zip(got[0][name], points):
            if not close(a, b, text, scale):
                return f"{name} at {at}: {a}, prometheus {b}"
    # The position of one of several equal ones, and Prometheus's count of repaired samples, are not to be relied on.
    strip = lambda notes: sorted({re.sub(r"( over -?\d+ samples)|( \(\d+:\d+\)$)", "", note) for note in notes})
    if strip(got[1]) != strip(want[1]) and not any("omitted" in note for note in want[1]):
        return f"titan: {got[1]}\n  prometheus: {want[1]}"
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--prometheus", required=True)
    parser.add_argument("--promtool", required=True)
    parser.add_argument("--titan", required=True)
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--hours", type=float, default=2)
    parser.add_argument("--capture")
    parser.add_argument("--query", action="append", help="these instead of random ones, as ranges over all samples and at their middle")
    options = parser.parse_args()
    global HOURS
    HOURS = options.hours
    rng = random.Random(options.seed)
    print(f"seed {options.seed}")
    data = make_data(rng)
    queries = Queries(rng)
    prometheus, titan = Prometheus(options.prometheus, options.promtool, data), Titan(options.titan, data, options.threads)
    failed = errors = 0
    captured = []
    cases = [queries.query() for _ in range(options.count)]
    # With @, Prometheus's timestamp() forgets the offset, but only looks for samples where it would be.
    cases = [case for case in cases if not re.search(r"timestamp\([^)]*(offset.*@|@.*offset)", case[3])]
    if options.query:
        cases = [(START, START + int(HOURS * 3600_000), 60_000, text) for text in options.query] + [(START + 3600_000, 0, 0, text) for text in options.query]
    try:
        for case in cases:
            want = prometheus.answer(*case)
            got = titan.answer(*case)
            errors += want[0] is None
            found = difference(got, want, case[3])
            same = got[0] == want[0] if want[0] is not None else got[1] == want[1]
            if same and not found and len(titan.text) < CAPTURE_BYTES and (got[0] or rng.random() < 0.3):
                captured.append((titan.question, titan.text))
            if found:
                failed += 1
                print(f"{case[3]}\n  {case[:3]}\n  {found}", flush=True)
    finally:
        prometheus.close()
    if options.capture:
        folder = pathlib.Path(options.capture)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "input.txt").write_text(titan.series + "".join(question for question, _ in captured))
        (folder / "answers.txt").write_text("".join(answer for _, answer in captured))
    print(f"{len(cases)} queries, {errors} of them errors, {failed} differ")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
