"""Two hours of samples that have everything PromQL distinguishes, and their way into a real
Prometheus by remote write.

Floats: counters that reset, gauges, gaps, stale markers, NaN and the infinities, classic histograms,
sparse and short-lived series, info metrics whose labels change. Native histograms: integers and
floats, all kinds of buckets, schemas and bounds that change, counters and gauges, resets, stale
markers. Series of both kinds of samples. Names and labels with other letters than ASCII; labels of
type and unit.

Everything follows from a seed: a difference can be found again."""

import math
import random
import struct
from dataclasses import dataclass, field as field_of, replace

import wire

START = 1_700_000_000_000  # ms
HOURS = 2
END = START + HOURS * 3_600_000
STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
CUSTOM = -53  # the schema of custom bounds
UNKNOWN, GAUGE = 0, 3  # reset hints of remote write


@dataclass
class Histogram:
    schema: int = 3
    zero_threshold: float = 1e-3
    zero_count: float = 0
    sum: float = 0
    positive: dict = field_of(default_factory=dict)  # bucket -> observations in it
    negative: dict = field_of(default_factory=dict)
    bounds: tuple = ()
    hint: int = UNKNOWN
    is_float: bool = False

    @property
    def count(self):
        return self.zero_count + sum(self.positive.values()) + sum(self.negative.values())

    def observe(self, value, weight=1):
        self.sum += value * weight
        if self.schema == CUSTOM:
            bucket = next((i for i, bound in enumerate(self.bounds) if value <= bound), len(self.bounds))
            self.positive[bucket] = self.positive.get(bucket, 0) + weight
        elif abs(value) <= self.zero_threshold:
            self.zero_count += weight
        else:
            side = self.positive if value > 0 else self.negative
            bucket = math.ceil(math.log2(abs(value)) * 2.0 ** self.schema)
            side[bucket] = side.get(bucket, 0) + weight

    def copy(self, **changes):
        return replace(self, positive=dict(self.positive), negative=dict(self.negative), **changes)


# --- When samples come

def times(rng, interval=15_000, gaps=0.02, begin=0.0, end=1.0):
    """Begin and end: shares of the whole time. Yields None where a sample is stale."""
    at = START + int(begin * (END - START)) + rng.randrange(interval)
    while at < START + end * (END - START):
        if rng.random() < 0.004:
            yield at, True
            at += rng.randrange(1, 40) * interval
        elif rng.random() >= gaps:
            yield at + rng.randrange(-20, 21), False
        at += interval


def floats(rng, make, **when):
    return [(at, STALE if stale else make(number)) for number, (at, stale) in enumerate(times(rng, **when))]


def histograms(rng, make, **when):
    out = []
    for number, (at, stale) in enumerate(times(rng, **when)):
        value = make(number)
        if stale and isinstance(value, Histogram) and value.hint == GAUGE:
            continue  # a marker has no buckets
        out.append((at, value.copy(sum=STALE) if stale and isinstance(value, Histogram) else STALE if stale else value))
    return out


# --- What they are

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


def native_counter(rng, schemas=(3,), signs=(1,), thresholds=(1e-3,), is_float=False, bounds=((),), spread=1.0):
    """A running total of observations that starts anew now and then, and changes its buckets when it does."""
    def fresh():
        return Histogram(schema=rng.choice(schemas), zero_threshold=rng.choice(thresholds), is_float=is_float, bounds=rng.choice(bounds))
    state = [fresh()]

    def make(_):
        if rng.random() < 0.012:
            state[0] = fresh()
        for _ in range(rng.choice([0, 0, 1, 3, 8])):
            value = rng.choice(signs) * rng.lognormvariate(-1, spread) if rng.random() < 0.93 else 0.0
            state[0].observe(value, rng.choice([0.5, 1, 2.25]) if is_float else 1)
        return state[0].copy()
    return make


def native_gauge(rng, schema=2, is_float=False, bounds=()):
    """All have the same buckets, empty ones too: Prometheus cannot cut a chunk of others for remote read
    ("iterate chunk while re-encoding: float histogram schema change")."""
    buckets = range(-3, 6) if not bounds else range(len(bounds) + 1)

    def make(_):
        value = Histogram(schema=schema, hint=GAUGE, is_float=is_float, bounds=bounds, zero_threshold=0 if bounds else 0.01,
                          zero_count=0 if bounds else rng.randrange(3), sum=rng.gauss(5, 3))
        value.positive = {bucket: rng.randrange(4) * (1.5 if is_float else 1) for bucket in buckets}
        value.negative = {} if bounds else {bucket: rng.choice((0, 0, 0, 2)) for bucket in buckets}
        return value
    return make


def mixed(rng):
    """Turns from floats to histograms and back; sometimes every other sample."""
    number, histogram = counter(rng), native_counter(rng)

    def make(index):
        phase = index // 37 % 4
        is_histogram = phase == 1 or (phase == 3 and index % 2 == 0)
        return histogram(index) if is_histogram else number(index)
    return make


def make_floats(rng):
    data = {}

    def add(name, points, **labels):
        data[tuple(sorted({"__name__": name, **labels}.items()))] = points
    for job in ("api", "db"):
        for instance in ("a:1", "b:1", "c:1"):
            own = {"job": job, "instance": instance}
            add("requests_total", floats(rng, counter(rng)), **own)
            add("requests_total", floats(rng, counter(rng)), code="500", **own)
            add("temperature", floats(rng, gauge(rng), interval=rng.choice([5_000, 15_000, 61_000])), zone=rng.choice("xyz"), **own)
            add("level", floats(rng, lambda n: float(n // 7 % 5)), **own)
            add("odd", floats(rng, odd(rng)), **own)
        for bound in ("0.1", "0.5", "1", "5", "+Inf"):
            add("latency_bucket", floats(rng, lambda n, b=float(bound.replace("+Inf", "9")): round(n * b * 3) + rng.choice([0, 0, -2]), gaps=0.005), job=job, le=bound)
        add("version", floats(rng, lambda _: 1.0, end=0.5), job=job, version=job + "1")
        add("version", floats(rng, lambda _: 1.0, begin=0.55), job=job, version=job + "2")
    add("alpha", floats(rng, gauge(rng), end=0.4), env="1")
    add("beta", floats(rng, gauge(rng), begin=0.5), env="1")
    add("beta", floats(rng, gauge(rng)), env="2")
    add("sparse", floats(rng, gauge(rng), interval=400_000), job="api")
    add("when", floats(rng, lambda _: float(rng.randrange(-10**9, 4 * 10**9))), job="db")
    add("http.requests", floats(rng, counter(rng)), **{"job": "api", "service.name": "größe", "instance": "a:1"})
    add("http.requests", floats(rng, counter(rng)), **{"job": "db", "service.name": "日本", "instance": "a:1"})
    for kind, unit in (("counter", "bytes"), ("counter", "seconds"), ("gauge", "bytes")):
        add("typed", floats(rng, counter(rng)), __type__=kind, __unit__=unit, job="api")
    return data


def make_info(rng):
    data = {}
    for job in ("api", "db"):
        for instance in ("a:1", "b:1", "c:1"):
            own = {"job": job, "instance": instance}
            turn = 0.3 + 0.4 * rng.random()
            for part, (begin, end) in enumerate(((0, turn), (turn, 1))):
                labels = {"__name__": "target_info", **own, "release": f"v{part}", "region": rng.choice(("eu", "us"))}
                data[tuple(sorted(labels.items()))] = floats(rng, lambda _: 1.0, begin=begin, end=end)
            labels = {"__name__": "build_info", **own, "revision": rng.choice("abc")}
            data[tuple(sorted(labels.items()))] = floats(rng, lambda _: 1.0)
    return data


def make_histograms(rng):
    data = {}

    def add(name, make, **labels):
        when = {key: labels.pop(key) for key in ("interval", "begin", "end") if key in labels}
        data[tuple(sorted({"__name__": name, **labels}.items()))] = histograms(rng, make, **when)
    some, others = (0.1, 0.5, 1.0, 5.0), (0.1, 0.25, 1.0, 2.5, 5.0)
    for job in ("api", "db"):
        for instance in ("a:1", "b:1"):
            own = {"job": job, "instance": instance}
            add("native", native_counter(rng), **own)
            add("native_schemas", native_counter(rng, schemas=(0, 1, 3), thresholds=(1e-3, 0.02, 0.3)), **own)
            add("native_float", native_counter(rng, schemas=(-1, 2), is_float=True), **own)
            add("native_signs", native_counter(rng, schemas=(1,), signs=(1, -1), thresholds=(0.1,)), **own)
            add("native_gauge", native_gauge(rng, 2 if job == "api" else 0 if instance == "a:1" else 3), **own)
            add("native_custom", native_counter(rng, schemas=(CUSTOM,), bounds=(some,) if instance == "a:1" else (some, others), thresholds=(0,)), **own)
            add("mixed", mixed(rng), **own)
        add("native_gauge", native_gauge(rng, is_float=True), job=job, instance="c:1")
        add("native_custom_gauge", native_gauge(rng, CUSTOM, True, some if job == "api" else others), job=job, instance="a:1")
        add("native", native_counter(rng, schemas=(8, -4), spread=0.2), job=job, instance="c:1", interval=61_000)
    add("native", counter(rng), job="api", instance="d:1")  # a float series under the same name
    add("native_short", native_counter(rng), job="api", instance="a:1", end=0.4)
    return data


def make_data(seed, histograms=True):
    """label pairs -> [(time in ms, number or Histogram)]"""
    data = make_floats(random.Random(seed))
    data.update(make_info(random.Random(seed + 1)))
    if histograms:
        data.update(make_histograms(random.Random(seed + 2)))
    return {labels: sorted(points, key=lambda point: point[0]) for labels, points in data.items() if points}


# --- Remote write

def double(number, value):
    return wire.varint(number << 3 | 1) + struct.pack("<d", value)


def spans_of(buckets):
    """[(distance, length)], as histograms have them, and the counts in their order."""
    spans, counts, before = [], [], 0
    for index in sorted(buckets):
        if spans and index == before:
            spans[-1][1] += 1
        else:
            spans.append([index - before, 1])
        before = index + 1
        counts.append(buckets[index])
    return spans, counts


def packed_doubles(number, values):
    return wire.field(number, b"".join(struct.pack("<d", value) for value in values)) if values else b""


def histogram_message(at, value):
    out = double(2, value.count) if value.is_float else wire.field(1, int(value.count))
    out = (double(2, value.count) if value.is_float else wire.field(1, int(value.count))) + double(3, value.sum)
    out += wire.field(4, wire.zigzag(value.schema)) + double(5, 0 if value.schema == CUSTOM else value.zero_threshold)
    if value.schema != CUSTOM:
        out += double(7, value.zero_count) if value.is_float else wire.field(6, int(value.zero_count))
    for buckets, spans_at, deltas_at, counts_at in ((value.negative, 8, 9, 10), (value.positive, 11, 12, 13)):
        spans, counts = spans_of(buckets)
        out += b"".join(wire.field(spans_at, wire.field(1, wire.zigzag(distance)) + wire.field(2, length)) for distance, length in spans)
        if value.is_float:
            out += packed_doubles(counts_at, counts)
        elif counts:
            deltas = [b - a for a, b in zip([0] + counts, counts)]
            out += wire.field(deltas_at, b"".join(wire.varint(wire.zigzag(int(delta))) for delta in deltas))
    return out + wire.field(14, value.hint) + wire.field(15, at) + packed_doubles(16, value.bounds)


def series_message(labels, points):
    out = wire.labels_message(labels)
    for at, value in points:
        if isinstance(value, Histogram):
            out += wire.field(4, histogram_message(at, value))
        else:
            out += wire.field(2, double(1, value) + wire.field(2, at))
    return wire.field(1, out)


def snappy(data):
    """Snappy's format with nothing compressed."""
    out = bytearray(wire.varint(len(data)))
    for at in range(0, len(data), 65536):
        part = data[at:at + 65536]
        out += bytes([61 << 2]) + struct.pack("<H", len(part) - 1) + part
    return bytes(out)


def write(component, data, slice_ms=900_000):
    """Into a Prometheus with --web.enable-remote-write-receiver; in the order of time, as its head wants it."""
    first = min(points[0][0] for points in data.values())
    last = max(points[-1][0] for points in data.values())
    for begin in range(first, last + 1, slice_ms):
        parts = ((labels, [point for point in points if begin <= point[0] < begin + slice_ms]) for labels, points in data.items())
        # A series of both kinds of samples: each run of one kind on its own, as one message has them in two lists.
        body = b"".join(series_message(labels, run) for labels, part in parts for run in runs(part))
        answer = component.get("/api/v1/write", method="POST", body=snappy(body), headers={
            "Content-Encoding": "snappy", "Content-Type": "application/x-protobuf", "X-Prometheus-Remote-Write-Version": "0.1.0"})
        assert answer.status in (200, 204), answer


def runs(points):
    out = []
    for point in points:
        if out and isinstance(out[-1][-1][1], Histogram) == isinstance(point[1], Histogram):
            out[-1].append(point)
        else:
            out.append([point])
    return out
