"""Random queries from a seed: Titan over a sidecar and the real Prometheus 3.16 behind it must agree.

As a test, some hundred with a fixed seed, and with TITAN_LONG ten thousand with a new one each time
(printed). By hand:

    test/differential/random_queries.py [--seed N] [--count N] [--query TEXT [--at MS | --grid START END STEP]]
                                        [--capture test/golden/engine --eval build/debug/test/titan-promql-eval]

--capture writes samples, queries and answers on which both agree to the bit, for the test promql-answers,
which needs no Prometheus.

Samples are those of data_set.py. There are two servers with the same samples, one with all feature
flags of PromQL and one without any. They have one external label each, which is Titan's replica
label, so that the series of both sides have the same labels.

How answers are compared: to the bit, with warnings, infos, and for errors their type and the
beginning of their text. What may differ is docs/architecture.md, "What is exact", and no more: sums
by 1e-12 of the sum of absolute values, functions of libm by 1e-12, of equal ones which one topk
takes. To tell, the deepest part of a query is looked for whose answers differ though those of its
own parts do not: this part is what is judged, and printed."""

import argparse
import http.client
import json
import math
import os
import random
import re
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))

import pytest  # noqa: E402

import data_set  # noqa: E402
from cluster import Cluster  # noqa: E402
from random_expressions import LABELS, LEAVES, Expressions, Node, smaller  # noqa: E402

FLAGGED = ("--enable-feature=promql-experimental-functions,promql-binop-fill-modifiers,promql-delayed-name-removal,"
           "type-and-unit-labels,promql-unquoted-utf8-names,use-start-timestamps")
FIXED_SEED, FIXED_COUNT, LONG_COUNT = 7, 300, 10_000
DATA_SEED = 1

# What Titan cannot evaluate yet; a query with one of these is not asked.
NOT_YET = []

# Where Prometheus is at fault, or does not promise one answer: see docs/parity.md.
NOT_PROMISED = []

LIBM = re.compile(r"\b(exp|ln|log2|log10|sin|cos|tan|asin|acos|atan|sinh|cosh|tanh|asinh|acosh|atanh)\(|\^|atan2")
SUMS = re.compile(r"\b(sum|avg|stddev|stdvar)\b|_over_time|integral|deriv|predict_linear|histogram_")
PARAMETER = re.compile(r"(topk|bottomk|limitk|limit_ratio|quantile)\b")
MIX_NOTES = re.compile(r"a mix of histograms|mismatched custom buckets|conflicting counter resets")
MIXES = re.compile(r"(sum|avg)\b")
CHOICE = re.compile(r"\b(topk|bottomk|limitk)\b")
TIES = re.compile(r"\b(topk|bottomk)\b")


def is_left_out(tree):
    """Also where one of several equal ones is taken at each step of a subquery, which cannot be looked into."""
    return (any(re.search(pattern, tree.text()) for pattern in NOT_YET + NOT_PROMISED)
            or any(node.kind == "m" and CHOICE.search(part.text()) for node in tree.nodes() for part in node.parts if isinstance(part, Node)))


# --- Asking

class Side:
    """One of the two programs, over one connection."""

    def __init__(self, component, params=None):
        self.name, self.port, self.params = component.process.name, component.port, params or {}
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    def answer(self, times, text):
        start, end, step = times
        params = {"query": text, **self.params}
        if step == 0:
            path, params = "/api/v1/query", {**params, "time": start / 1000}
        else:
            path, params = "/api/v1/query_range", {**params, "start": start / 1000, "end": end / 1000, "step": step / 1000}
        try:
            self.connection.request("POST", path, urllib.parse.urlencode(params), {"Content-Type": "application/x-www-form-urlencoded"})
            response = self.connection.getresponse()
            body = response.read()
        except OSError as error:
            raise AssertionError(f"{self.name} is gone ({error}) after {path} {times} {text}") from None
        try:
            return Reply(response.status, json.loads(body))
        except ValueError:
            raise AssertionError(f"{self.name} answers {response.status} {body[:300]!r} to {text}") from None


class Reply:
    """error: (status, type, text) or None. series: labels -> [(time, text of the number or histogram)]."""

    def __init__(self, status, reply):
        self.error, self.type, self.order, self.series, self.notes = None, None, [], {}, []
        if reply["status"] != "success":
            self.error = status, reply["errorType"], reply["error"].removeprefix('invalid parameter "query": ')
            return
        data = reply["data"]
        self.type = data["resultType"]
        rows = data["result"] if self.type in ("vector", "matrix") else [{"metric": {}, "value": data["result"]}]
        for row in rows:
            if "value" in row or "histogram" in row:
                points = [row["value"] if "value" in row else row["histogram"]]
            else:
                points = row.get("values", []) + row.get("histograms", [])
            labels = tuple(sorted(row["metric"].items()))
            self.order.append(labels)
            self.series[labels] = sorted((round(float(at) * 1000), value) for at, value in points) if len(points) > 1 else [(round(float(points[0][0]) * 1000), points[0][1])]
        # Prometheus's count of repaired samples runs over.
        self.notes = sorted({kind + re.sub(r" over -?\d+ samples", "", note) for kind in ("warnings", "infos") for note in reply.get(kind, [])})

    def numbers(self):
        return [float(value) for points in self.series.values() for _, value in points if isinstance(value, str)]


# --- Comparing

def close(a, b, text, scale):
    """Of two numbers, or two histograms, within what may differ in such an expression."""
    if a == b:
        return True
    if isinstance(a, dict) and isinstance(b, dict):
        pairs = [(a["count"], b["count"]), (a["sum"], b["sum"])]
        mine, theirs = a.get("buckets", []), b.get("buckets", [])
        if len(mine) != len(theirs) or any(x[:3] != y[:3] for x, y in zip(mine, theirs)):
            return False
        return all(close(x, y, text, scale) for x, y in pairs + [(x[3], y[3]) for x, y in zip(mine, theirs)])
    if isinstance(a, dict) or isinstance(b, dict):
        return False
    a, b = float(a), float(b)
    if math.isinf(a) or math.isinf(b) or math.isnan(a) or math.isnan(b):
        return str(a) == str(b)
    tolerance = 0
    if LIBM.search(text):
        tolerance = 1e-12 * max(abs(a), abs(b))
    if SUMS.search(text):
        tolerance = max(tolerance, 1e-12 * max(scale, abs(a), abs(b)))
    return abs(a - b) <= tolerance


def error_text(text):
    """What two errors agree in: the beginning, without examples of series."""
    return re.split(r"[{\[]", text)[0].strip()[:80]


def same_notes(got, want):
    """Ten of a kind are shown, any ten, and how many more there are."""
    omitted = [[note for note in side if "omitted" in note] for side in (got, want)]
    return omitted[0] == omitted[1] and (bool(omitted[0]) or got == want)


def difference(got, want, text, scale=None, ordered=False, notes=True):
    """None, or in words. scale None: to the bit."""
    if got.error or want.error:
        if not (got.error and want.error):
            return f"titan: {got.error or 'no error'}\n  prometheus: {want.error or 'no error'}"
        same = got.error[:2] == want.error[:2] and error_text(got.error[2]) == error_text(want.error[2])
        return None if same else f"titan: {got.error}\n  prometheus: {want.error}"
    if got.type != want.type:
        return f"type {got.type}, prometheus {want.type}"
    if scale is not None and TIES.search(text):
        values = [sorted((at, str(v)) for points in side.series.values() for at, v in points) for side in (got, want)]
        if values[0] == values[1]:
            return None
    if got.series.keys() != want.series.keys():
        return f"{len(got.order)} series, prometheus {len(want.order)}\n  only titan: {list(got.series.keys() - want.series.keys())[:3]}\n  only prometheus: {list(want.series.keys() - got.series.keys())[:3]}"
    if len(got.order) != len(got.series):
        return "a label set occurs twice"
    for name, points in want.series.items():
        mine = got.series[name]
        if [at for at, _ in mine] != [at for at, _ in points]:
            missing, extra = {at for at, _ in points} - {at for at, _ in mine}, {at for at, _ in mine} - {at for at, _ in points}
            return f"{name}: {len(mine)} points, prometheus {len(points)}; missing {sorted(missing)[:3]}, not wanted {sorted(extra)[:3]}"
        for (at, a), (_, b) in zip(mine, points):
            if a != b and (scale is None or not close(a, b, text, scale)):
                return f"{name} at {at}: {a}\n  prometheus {b}"
    if ordered and got.order != want.order:
        return f"order {got.order[:4]}\n  prometheus {want.order[:4]}"
    if notes and not same_notes(got.notes, want.notes):
        return f"titan: {got.notes}\n  prometheus: {want.notes}"
    return None


class Pair:
    """Prometheus and Titan over the same samples."""

    def __init__(self, titan, prometheus, sorting=None):
        """sorting: a Prometheus that has sort_by_label."""
        self.titan, self.prometheus, self.sorting = titan, prometheus, sorting or prometheus

    def ask(self, times, text):
        return self.titan.answer(times, text), self.prometheus.answer(times, text)

    def strict(self, times, text):
        return difference(*self.ask(times, text), text, ordered=times[2] == 0 and text.startswith(("sort", "topk", "bottomk")))

    def scale(self, times, tree):
        """The largest sum of absolute values that an addition in `tree` has to do with."""
        biggest = 0.0
        for node in tree.nodes():
            if node.kind in "vs":
                reply = self.prometheus.answer(times, node.text())
                finite = [abs(value) for value in reply.numbers() if math.isfinite(value)]
                biggest = max(biggest, sum(finite) if len(finite) < 1e6 else 0)
        return biggest

    def judge(self, times, tree):
        """None when the answers agree; else (tree of the smallest part that differs, in words)."""
        if not self.strict(times, tree.text()):
            return None
        part = self.deepest(times, tree)
        got, want = self.ask(times, part.text())
        words = difference(got, want, part.text(), self.scale(times, part))
        if not words or self.excused(times, part, got, want):
            return None  # within what may differ, and so what is made of it
        if any(difference(self.prometheus.answer(times, part.text()), want, "") for _ in range(4)):
            return None  # Prometheus adds in no fixed order, and something hangs on the last bit
        if self.comes_of_subquery(times, part):
            return None
        return part, words

    def excused(self, times, part, got, want):
        """What no order of things is promised for: which of two errors comes first, and which series limitk takes."""
        if want.error and not got.error and part.text().startswith("limitk"):
            return True  # of equal ones that it takes, Prometheus says that they are equal
        if got.error and want.error:
            return any(not difference(got, self.prometheus.answer(times, part.replaced(node, Node(node.kind, LEAVES[node.kind][-1])).text()), "")
                       for node in part.nodes() if node is not part and node.kind in "vs")
        if MIXES.match(part.text()) and self.adds_in_order(times, part):
            return True
        if times[2] and PARAMETER.match(part.text()) and self.ignores_steps(times, part):
            return True
        if got.error or want.error:
            return False
        if not difference(got, want, part.text(), 0, notes=False):
            return self.notes_excused(times, part, set(got.notes), set(want.notes))
        if not part.text().startswith("limitk"):
            return False
        whole = self.prometheus.answer(times, next(node for node in part.nodes() if node.kind == "v" and node is not part).text())
        points = [sorted(at for points in side.series.values() for at, _ in points) for side in (got, want)]
        return points[0] == points[1] and (bool(whole.error) or all(point in whole.series.get(labels, []) for labels, series in got.series.items() for point in series))

    def notes_excused(self, times, part, got, want):
        """Of several pairs that do not go together at a step Prometheus tells the last one's types, in the order of
        its storage; and between the windows of a range query, where step and range leave gaps, it looks for counter
        resets in histograms without buckets only among the samples that it came by. Titan tells all types, and each
        step's answer is that of an instant query. Neither sorts where there is one step, or all are the same, but
        Prometheus may still warn of it."""
        if all("sort is ineffective" in note for note in got ^ want):
            return True
        if want <= got and all("incompatible sample types" in note for note in got - want):
            return True
        if MIXES.match(part.text()) and all(MIX_NOTES.search(note) for note in got ^ want):
            return True
        if not times[2] or not all("conflicting counter resets" in note for note in got ^ want):
            return False
        return not any(self.strict((at, at, 0), part.text()) for at in range(times[0], times[1] + 1, times[2]))

    def adds_in_order(self, times, part):
        """A sum of histograms, and what is told of those that do not go together, depends on the order of
        series. Prometheus's is that of its storage; Titan's is that of the labels. So here is Prometheus
        with series in Titan's order, step by step."""
        inner = next(node for node in part.parts if isinstance(node, Node) and node.kind == "v")
        labels = ", ".join('"' + name.strip('"') + '"' for name in sorted(LABELS, key=lambda name: name.strip('"')))
        ordered = part.replaced(inner, Node("v", "sort_by_label(", inner, f", {labels})")).text()
        steps = range(times[0], times[1] + 1, times[2] or 1) if times[2] else [times[0]]
        for at in steps:
            got, want = self.titan.answer((at, at, 0), part.text()), self.sorting.answer((at, at, 0), ordered)
            for side in (got, want):
                side.notes = sorted(re.sub(r" \(\d+:\d+\)$", "", note) for note in side.notes)
            if difference(got, want, part.text(), 0):
                return False
        return True

    def ignores_steps(self, times, part):
        """An aggregation of what is the same at each step: Prometheus takes its first parameter for all."""
        inner = next(node for node in part.parts if isinstance(node, Node) and node.kind == "v")
        reply = self.prometheus.answer(times, inner.text())
        return not reply.error and all(len({str(value) for _, value in points}) == 1 for points in reply.series.values())

    def comes_of_subquery(self, times, part):
        """Whether what a subquery is made of differs, as it may, at times between those of the query."""
        for node in part.nodes():
            inner = next((child for child in node.parts if isinstance(child, Node) and child.kind == "v"), None) if node.kind == "m" else None
            if inner and node.parts[0] == "(":
                begin, end = (times[0] - 3_600_000) // 30_000 * 30_000, times[1] + 300_000
                grid = (begin, end, 30_000 * max(1, (end - begin) // 30_000 // 2000))
                if self.strict(grid, inner.text()) and not self.judge(grid, inner):
                    return True
        return False

    def deepest(self, times, tree):
        for part in tree.parts:
            if isinstance(part, Node):
                for node in [part] if part.kind in "vs" else [node for node in part.parts if isinstance(node, Node) and node.kind in "vs"]:
                    if self.strict(times, node.text()):
                        return self.deepest(times, node)
        return tree

    def shrink(self, times, tree, seconds=60):
        """The smallest query that still shows an unexplained difference."""
        end = time.monotonic() + seconds
        progress = True
        while progress and time.monotonic() < end:
            progress = False
            for other_times in smaller_times(times):
                if self.judge(other_times, tree):
                    times, progress = other_times, True
                    break
            for other in smaller(tree):
                if time.monotonic() > end:
                    break
                found = not is_left_out(other) and self.judge(times, other)
                if found:
                    tree, progress = other, True
                    break
        return times, tree


def smaller_times(times):
    start, end, step = times
    if step == 0:
        return []
    at = [start + step * index for index in range((end - start) // step + 1)]
    return [(t, t, 0) for t in at[:60]] + [(t, t + step, step) for t in at[:30]] + [(start, start + (end - start) // 2 // step * step, step)] if len(at) > 1 else []


# --- The two pairs

class Setting:
    def __init__(self, cluster):
        data = data_set.make_data(DATA_SEED)
        self.pairs = {}
        for flagged in (True, False):
            features = [FLAGGED] if flagged else []
            prometheus = cluster.prometheus("flagged" if flagged else "plain", scrape_self=False, external={"replica": "a"}, features=False, flags=[
                "--web.enable-remote-write-receiver", "--storage.tsdb.retention.time=100y", *features])
            data_set.write(prometheus, data)
            sidecar = cluster.sidecar("titan", prometheus)
            query = cluster.query("titan", [sidecar], flags=features)
            self.pairs[flagged] = Pair(Side(query), Side(prometheus), None if flagged else self.pairs[True].prometheus)


def cases(seed, count):
    """[(flagged, times, tree)]"""
    rng = random.Random(seed)
    makers = {flagged: Expressions(rng, flagged) for flagged in (True, False)}
    out = []
    while len(out) < count:
        flagged = rng.random() < 0.75
        times, tree = makers[flagged].case()
        text = tree.text()
        if not is_left_out(tree):
            out.append((flagged, times, tree))
    return out


def run(setting, seed, count, shrink=True, most=20):
    """Prints and gives what differs."""
    print(f"seed {seed}", flush=True)
    found = []
    for number, (flagged, times, tree) in enumerate(cases(seed, count)):
        pair = setting.pairs[flagged]
        verdict = pair.judge(times, tree)
        if verdict:
            small_times, small = pair.shrink(times, tree) if shrink else (times, verdict[0])
            words = (pair.judge(small_times, small) or verdict)[1]
            found.append(f"seed {seed}, query {number}{'' if flagged else ' (no flags)'}, times {small_times}: {small.text()}\n  of {times}: {tree.text()}\n  {words}")
            print(found[-1], flush=True)
            if len(found) >= most:
                break
    return found


# --- Answers for a test without Prometheus

CAPTURE_BYTES = 1200  # of the longest answer that is kept
LABEL = re.compile(r'(?:"((?:[^"\\]|\\.)*)"|([A-Za-z_0-9]+))="((?:[^"\\]|\\.)*)"')


def go_float(value):
    return {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}.get(repr(value), repr(value))


class Evaluator:
    """titan-promql-eval with the float series."""

    def __init__(self, binary, data):
        quote = lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
        self.input = "".join("series\t{" + ", ".join(f"{quote(name)}={quote(value)}" for name, value in labels) + "}\t"
                             + " ".join(f"{at}:{go_float(value)}" for at, value in points if struct.pack("<d", value) != struct.pack("<d", data_set.STALE)) + "\n"
                             for labels, points in data.items())
        self.process = subprocess.Popen([binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdin.write(self.input)

    def answer(self, times, text):
        """(question, answer as text, series)"""
        question = f"query\t{times[0]}\t{times[1]}\t{times[2]}\t{text}\n"
        self.process.stdin.write(question)
        self.process.stdin.flush()
        answer, series = "", {}
        for line in self.process.stdout:
            answer += line
            if line == ".\n":
                break
            if line.startswith("{"):
                labels, points = line.rstrip("\n").rsplit("\t", 1)
                name = tuple(sorted((quoted or plain, value) for quoted, plain, value in LABEL.findall(labels)))
                series[name] = [(int(at), value) for at, value in (point.split(":", 1) for point in points.split())]
        return question, answer, series


def capture(setting, seed, count, binary, folder):
    data = {labels: [point for point in points if point[1] == point[1]] for labels, points in data_set.make_data(DATA_SEED, histograms=False).items()}
    evaluator, kept, rng = Evaluator(binary, data), [], random.Random(seed)
    for flagged, times, tree in cases(seed, count):
        text = tree.text()
        if flagged or re.search(r"native|mixed|odd|@|\.\*t\.\*", text):  # stale markers and NaN are not in it
            continue
        want = setting.pairs[False].prometheus.answer(times, text)
        question, answer, series = evaluator.answer(times, text)
        if not want.error and series == want.series and len(answer) < CAPTURE_BYTES and (series or rng.random() < 0.3):
            kept.append((question, answer))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "input.txt").write_text(evaluator.input + "".join(question for question, _ in kept))
    (folder / "answers.txt").write_text("".join(answer for _, answer in kept))
    print(f"{len(kept)} of {count} kept")


@pytest.fixture(scope="module")
def setting(module_cluster):
    return Setting(module_cluster)


def test_random_queries_are_answered_as_prometheus_does(setting):
    long = bool(os.environ.get("TITAN_LONG"))
    seed, count = (random.SystemRandom().randrange(10**9), LONG_COUNT) if long else (FIXED_SEED, FIXED_COUNT)
    found = run(setting, seed, count)
    assert not found, "\n".join(found)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=FIXED_SEED)
    parser.add_argument("--count", type=int, default=FIXED_COUNT)
    parser.add_argument("--most", type=int, default=20, help="differences after which to stop")
    parser.add_argument("--no-shrink", action="store_true")
    parser.add_argument("--query", action="append", help="these instead of random ones")
    parser.add_argument("--at", type=int)
    parser.add_argument("--grid", type=int, nargs=3)
    parser.add_argument("--plain", action="store_true", help="--query without feature flags")
    parser.add_argument("--capture", type=Path)
    parser.add_argument("--eval", help="titan-promql-eval, for --capture")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(folder)
        try:
            setting = Setting(cluster)
            if options.query:
                times = tuple(options.grid) if options.grid else (options.at or data_set.START + 3_600_000,) * 2 + (0,)
                for text in options.query:
                    got, want = setting.pairs[not options.plain].ask(times, text)
                    print(text, difference(got, want, text) or "same", sep="\n")
                return 0
            if options.capture:
                capture(setting, options.seed, options.count, options.eval, options.capture)
                return 0
            found = run(setting, options.seed, options.count, not options.no_shrink, options.most)
            print(f"{options.count} queries, {len(found)} differ")
            return 1 if found else 0
        finally:
            cluster.close()


if __name__ == "__main__":
    sys.exit(main())
