"""Random PromQL expressions over the series of data_set.py, as trees, so that one that shows a
difference can be made smaller.

A node has a kind, and parts: text and further nodes. Kinds: v (instant vector), m (range vector),
s (scalar), d (duration), o (may be left out). Whatever is in place of a node may be replaced by
another node of its kind."""

import data_set

FLOATS = ["requests_total", "temperature", "level", "odd", "version", "alpha", "beta", "sparse", "when", "latency_bucket", "target_info",
          "build_info", '{"http.requests"}', "typed"]
NATIVE = ["native", "native_schemas", "native_float", "native_signs", "native_gauge", "native_custom", "native_custom_gauge", "native_short", "mixed"]
LABELS = ["job", "instance", "zone", "code", "le", "version", "env", "release", "__name__", '"service.name"', "__type__"]
RANGES = ["30s", "1m", "2m", "5m", "7m", "20m", "1h"]
ON_FLOATS = ["rate", "increase", "delta", "irate", "idelta", "resets", "changes", "deriv", "avg_over_time", "min_over_time", "max_over_time",
             "sum_over_time", "count_over_time", "last_over_time", "first_over_time", "present_over_time", "stddev_over_time", "stdvar_over_time",
             "mad_over_time", "absent_over_time", "ts_of_max_over_time", "ts_of_min_over_time", "ts_of_first_over_time", "ts_of_last_over_time", "integral"]
TO_HISTOGRAMS = ["rate", "increase", "delta", "irate", "idelta", "avg_over_time", "sum_over_time", "last_over_time", "first_over_time"]
SMOOTHED, ANCHORED = ["rate", "increase", "delta"], ["rate", "increase", "delta", "resets", "changes"]
VALUES = ["abs", "ceil", "floor", "exp", "sqrt", "ln", "log2", "log10", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh",
          "asinh", "acosh", "atanh", "rad", "deg", "sgn", "round", "timestamp", "start_timestamp", "hour", "minute", "month", "year", "day_of_month",
          "day_of_week", "day_of_year", "days_in_month", "sort", "sort_desc"]
PLAIN_AGGREGATES = ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"]
COMPARE = ["==", "!=", ">", "<", ">=", "<="]
ARITHMETIC = ["+", "-", "*", "/", "%", "^", "atan2"]
TRIM = ["</", ">/"]


class Node:
    def __init__(self, kind, *parts):
        self.kind = kind
        self.parts = [part for part in parts if part != ""]

    def text(self):
        return "".join(part if isinstance(part, str) else part.text() for part in self.parts)

    def nodes(self):
        yield self
        for part in self.parts:
            if isinstance(part, Node):
                yield from part.nodes()

    def replaced(self, old, new):
        """A copy of the tree in which `new` is where `old` was."""
        if self is old:
            return new
        return Node(self.kind, *(part if isinstance(part, str) else part.replaced(old, new) for part in self.parts))


LEAVES = {"v": ['level{job="api"}', "native", "vector(1)"], "m": ["level[5m]", "native[5m]"], "s": ["1"], "d": ["5m"], "o": [""]}


def smaller(tree):
    """Trees with less in them, those that lose most first."""
    size = len(tree.text())
    out = []
    for node in tree.nodes():
        inner = list(node.nodes())[1:]
        choices = [other for other in inner if other.kind == node.kind] + [Node(node.kind, leaf) for leaf in LEAVES[node.kind]]
        out += [tree.replaced(node, other) for other in choices]
    return sorted((other for other in out if len(other.text()) < size), key=lambda other: len(other.text()))


class Expressions:
    """flagged: with what needs a feature flag."""

    def __init__(self, rng, flagged=True):
        self.rng, self.flagged = rng, flagged

    def pick(self, *items):
        return self.rng.choice(items)

    def chance(self, share):
        return self.rng.random() < share

    # --- Selectors

    def selector(self, histograms):
        if self.chance(0.06):
            return Node("v", '{__name__=~"' + self.pick("alpha|beta", "requests_total|level", "version|alpha", ".*t.*", "native|level", "native_.*") + '"}')
        name = self.pick(*NATIVE) if histograms else self.pick(*FLOATS)
        matcher = self.pick("", "", "", '{job="api"}', '{job!="api"}', '{instance=~"a.*|b.*"}', '{instance!~"a:1"}', '{code=""}', '{nothing="x"}')
        if name.startswith("{"):
            return Node("v", name)
        return Node("v", name, Node("o", matcher))

    def duration(self, plain, depth=2):
        if self.chance(0.85):
            return Node("d", plain)
        kind = self.rng.randrange(9 if self.flagged else 5)
        inner = lambda: self.duration(self.pick("30s", "1m", "90", "2m30s"), depth - 1) if depth else Node("d", "1m")
        if kind == 0:
            return Node("d", "(", inner(), " + ", inner(), ")")
        if kind == 1:
            return Node("d", "(", Node("d", plain), self.pick(" * ", " / "), self.pick("2", "1.5", "-(-3)"), ")")
        if kind == 2:
            return Node("d", "(", Node("d", plain), " - ", self.pick("1s", "29s"), ")")
        if kind == 3:
            return Node("d", "(", Node("d", plain), self.pick(" % 7m", " ^ 1", " ^ 1.1"), ")")
        if kind == 4:
            return Node("d", self.pick("300", "60.5", "0x40", "1e2"))
        if kind < 7:
            return Node("d", self.pick("max_of", "min_of"), "(", inner(), ", ", self.pick("1m", "step()", "range()"), ")")
        return Node("d", self.pick("(step() + 1m)", "(range() / 3 + 1s)", "(step() * 2 + 30s)", "max_of(step(), 5s)"))

    def offset(self):
        plain = self.pick("1m", "7m", "-3m", "90s")
        if self.chance(0.8):
            return plain
        return self.pick("step()", "-step()", "(1m + 30s)", "-(step() / 2)", "max_of(1m, step())", "range()", "-min_of(range(), 2m)", "(2m * -1)", "90", "-0.5")

    def modifiers(self):
        out = ""
        if self.chance(0.12):
            out += " offset " + self.offset()
        if self.chance(0.08):
            out += f" @ {self.pick('start()', 'end()', (data_set.START + 3_000_000) / 1000)}"
        return Node("o", out)

    def range_vector(self, depth, histograms, extended=""):
        if depth > 0 and self.chance(0.25) and not extended:
            return Node("m", "(", self.vector(depth - 1, histograms), ")[", self.duration(self.pick("5m", "10m", "1h")), ":",
                        Node("o", self.pick("", "1m", "30s", "45s")), "]", self.modifiers())
        modifiers = self.modifiers()
        return Node("m", self.selector(histograms), "[", self.duration(self.rng.choice(RANGES)), "]", f" {extended}" if extended else "", modifiers)

    # --- Scalars

    def scalar(self, depth):
        kind = self.rng.randrange(11)
        if kind < 5 or depth <= 0:
            return Node("s", self.pick("0", "1", "2", "-1.5", "0.5", "100", "NaN", "Inf", "time()", "pi()", "1e308", "0x1F", "1m30s"))
        if kind < 7:
            return Node("s", "scalar(", self.vector(depth - 1), ")")
        if kind == 7 and self.flagged:
            return Node("s", self.pick("start()", "end()", "step()", "range()", "max_of(1, 2)", "min_of(step(), time())"))
        if kind == 8 and self.flagged:
            return Node("s", self.pick("max_of", "min_of"), "(", self.scalar(depth - 1), ", ", self.scalar(depth - 1), ")")
        if kind == 9:
            return Node("s", "-(", self.scalar(depth - 1), ")")
        op = self.pick(*ARITHMETIC, *(f"{op} bool" for op in COMPARE))
        return Node("s", "(", self.scalar(depth - 1), f" {op} ", self.scalar(depth - 1), ")")

    # --- Operators

    def grouping(self):
        if self.chance(0.3):
            return Node("o", "")
        names = ", ".join(self.rng.sample(LABELS, self.rng.randrange(0, 3)))
        return Node("o", f" {self.pick('by', 'without')} ({names}) ")

    def matching(self, is_set, comparison):
        rng = self.rng
        out = ""
        if self.chance(0.6):
            names = ", ".join(rng.sample([label for label in LABELS if label != "__name__"], rng.randrange(0, 3)))
            out = f" {self.pick('on', 'ignoring')} ({names})"
            if not is_set and self.chance(0.5):
                out += f" {self.pick('group_left', 'group_right')} ({self.pick('', '', 'version', 'zone', 'release')})"
        if not is_set and self.flagged and self.chance(0.12):
            fill = self.pick("0", "23", "-5", "NaN", "Inf")
            out += self.pick(f" fill ({fill})", f" fill_left ({fill})", f" fill_right ({fill})", f" fill_left ({fill}) fill_right (1)")
        return Node("o", out)

    def operands(self, depth, histograms):
        """Often over the same names, so that something matches."""
        left = self.vector(depth - 1, histograms)
        if self.chance(0.3):
            return left, left
        return left, self.vector(depth - 1, histograms)

    def binary(self, depth, histograms):
        if self.chance(0.3):
            left, right = self.operands(depth, histograms)
            return Node("v", "(", left, " ", self.pick("and", "or", "unless"), self.matching(True, False), " ", right, ")")
        if histograms:
            return self.histogram_binary(depth)
        left, right = self.operands(depth, self.chance(0.1))
        if self.chance(0.4):
            op, bool_ = self.pick(*COMPARE), Node("o", self.pick("", " bool"))
            return Node("v", "(", left, f" {op}", bool_, self.matching(False, True), " ", right, ")")
        return Node("v", "(", left, " ", self.pick(*ARITHMETIC, *TRIM) if self.chance(0.95) else "</", self.matching(False, False), " ", right, ")")

    def histogram_binary(self, depth):
        kind = self.rng.randrange(8)
        left = self.vector(depth - 1, True)
        if kind < 3:
            right = left if self.chance(0.3) else self.vector(depth - 1, self.chance(0.9))
            return Node("v", "(", left, " ", self.pick("+", "-", "+", "-", "*", "/", "==", "!=", "=="), self.matching(False, False), " ", right, ")")
        if kind < 5:
            return Node("v", "(", left, " ", self.pick("*", "/", "*", "/", *ARITHMETIC), " ", self.scalar(depth - 1), ")")
        if kind < 7:
            return Node("v", "(", left, " ", self.pick(*TRIM), " ", self.pick("0", "0.1", "0.3", "1", "2.5", "-0.2", "Inf", "-Inf", "NaN"), ")")
        if self.chance(0.5):
            return Node("v", "(", self.scalar(depth - 1), " ", self.pick("*", "/", "-", *COMPARE, *TRIM), " ", left, ")")
        return Node("v", "(", left, " ", self.pick(*TRIM), self.matching(False, False), " ", self.vector(depth - 1, False), ")")

    # --- Aggregations and functions

    def aggregate(self, depth, histograms):
        kind = self.rng.randrange(12)
        if histograms:
            inner = self.vector(depth - 1, True)
            if kind < 8:
                return Node("v", self.pick("sum", "avg"), self.grouping(), "(", inner, ")")
            return Node("v", self.pick(f"limitk", "limitk", "topk"), self.grouping(), "(", self.pick("1", "2", "100"), ", ", inner, ")") if self.flagged and kind < 10 else inner
        inner = self.vector(depth - 1, self.chance(0.15))
        if kind < 7:
            return Node("v", self.pick(*PLAIN_AGGREGATES), self.grouping(), "(", inner, ")")
        if kind == 7:
            return Node("v", "quantile", self.grouping(), "(", self.scalar(depth - 1) if self.chance(0.3) else self.pick("0.5", "0", "1", "0.9", "-1", "2"), ", ", inner, ")")
        if kind == 8:
            return Node("v", "count_values", self.grouping(), '("', self.pick("v", "v", "job"), '", ', inner, ")")
        if kind == 9 and self.flagged:
            return Node("v", "limit_ratio", self.grouping(), "(", self.pick("0.5", "-0.5", "0.3", "1.5", "NaN") if self.chance(0.8) else self.scalar(depth - 1), ", ", inner, ")")
        if kind == 10 and self.flagged:
            return Node("v", "limitk", self.grouping(), "(", self.pick("1", "2", "3", "100", "0"), ", ", inner, ")")
        return Node("v", self.pick("topk", "bottomk"), self.grouping(), "(", self.pick("1", "2", "3", "100", "0"), ", ", inner, ")")

    def over_time(self, depth, histograms):
        if self.chance(0.12):
            extended = self.pick("smoothed", "anchored")
            name = self.rng.choice(SMOOTHED if extended == "smoothed" else ANCHORED)
            return Node("v", name, "(", self.range_vector(depth, histograms, extended), ")")
        names = TO_HISTOGRAMS if histograms else ON_FLOATS
        if not self.flagged:
            names = [name for name in names if not name.startswith(("mad", "ts_of", "first_", "integral"))] if not self.chance(0.02) else names
        return Node("v", self.rng.choice(names), "(", self.range_vector(depth, histograms if histograms else self.chance(0.12)), ")")

    def of_histogram(self, depth):
        """A function that makes numbers of histograms."""
        kind = self.rng.randrange(10)
        inner = self.vector(depth - 1, self.chance(0.95))
        if kind < 3:
            quantile = self.scalar(depth - 1) if self.chance(0.1) else self.pick("0.9", "0.5", "0.1", "0", "1", "0.999", "-1", "2", "NaN")
            return Node("v", "histogram_quantile(", quantile, ", ", inner, ")")
        if kind < 5:
            low, high = self.pick(("0", "1"), ("0.1", "0.5"), ("-Inf", "0.3"), ("0.2", "Inf"), ("-1", "1"), ("2", "1"), ("NaN", "1"), ("0.123", "0.789"))
            return Node("v", f"histogram_fraction({low}, {high}, ", inner, ")")
        if kind == 5 and self.flagged:
            return Node("v", "histogram_quantiles(", inner, f', "{self.pick("q", "q", "le")}", {self.pick("0.5", "0.1, 0.9", "0, 1, 2", "0.5, NaN")})')
        return Node("v", "histogram_", self.pick("count", "sum", "avg", "stddev", "stdvar"), "(", inner, ")")

    def classic(self):
        """Of classic histograms: buckets with le."""
        buckets = Node("v", self.pick("latency_bucket", f"rate(latency_bucket[{self.rng.choice(RANGES)}])", "sum by (le) (latency_bucket)",
                                      "sum by (le, job) (increase(latency_bucket[10m]))", 'latency_bucket{le!="+Inf"}', '{__name__=~"latency_bucket|native"}'))
        if self.chance(0.3):
            return Node("v", "histogram_fraction(0.2, 3, ", buckets, ")")
        if self.flagged and self.chance(0.2):
            return Node("v", "histogram_quantiles(", buckets, ', "q", 0.5, 0.9)')
        return Node("v", "histogram_quantile(", self.pick("0.9", "0.5", "0", "1", "-1", "NaN"), ", ", buckets, ")")

    def labels(self, depth, histograms):
        if self.chance(0.25):
            return Node("v", "label_join(", self.vector(depth - 1, histograms), f', "{self.pick("new", "job", "__name__")}", "-", "job", "instance")')
        return Node("v", "label_replace(", self.vector(depth - 1, histograms), f', "{self.pick("new", "job", "__name__", "größe")}", "{self.pick("x$1", "$1", "", "c")}", '
                    f'"{self.pick("job", "instance", "__name__", "zone")}", "{self.pick("(.*)", "a(.*)", "(.).*", "nothing")}")')

    def sort(self, depth, histograms):
        if self.flagged and self.chance(0.5):
            return Node("v", self.pick("sort_by_label", "sort_by_label_desc"), "(", self.vector(depth - 1, histograms), f', "{self.pick("job", "instance", "zone")}", "code")')
        return Node("v", self.pick("sort", "sort_desc"), "(", self.vector(depth - 1, histograms), ")")

    def info(self, depth):
        base = self.vector(depth - 1, self.chance(0.3))
        selector = self.pick("", "", ', {release=~".+"}', ', {region="eu"}', ', {__name__="build_info"}', ', {__name__=~".*_info"}', ", {release=\"v0\"}", ', {nothing=""}',
                             ', {__name__=~"target_info|build_info", revision=~"a|b"}')
        return Node("v", "info(", base, Node("o", selector), ")")

    def call(self, depth, histograms):
        kind = self.rng.randrange(20)
        if kind < 6:
            return self.over_time(depth, histograms)
        if kind == 6:
            return self.labels(depth, histograms)
        if kind == 7 and self.flagged:
            return self.info(depth)
        if kind == 8 and self.chance(0.4):
            return self.sort(depth, histograms)
        if histograms:
            return self.over_time(depth, True)
        if kind < 11:
            return self.of_histogram(depth)
        if kind == 11:
            return self.classic()
        if kind == 12:
            rest = self.range_vector(depth, False)
            return self.rng.choice([Node("v", "quantile_over_time(", self.scalar(depth - 1), ", ", rest, ")"), Node("v", "predict_linear(", rest, ", ", self.scalar(depth - 1), ")"),
                                    Node("v", "double_exponential_smoothing(", rest, ", 0.3, 0.6)") if self.flagged else Node("v", "quantile_over_time(0.5, ", rest, ")"),
                                    Node("v", "integral(", rest, ", ", self.pick("0", "1", "0.5"), ")") if self.flagged else Node("v", "deriv(", rest, ")")])
        if kind == 13:
            inner = self.vector(depth - 1)
            return self.rng.choice([Node("v", "clamp(", inner, ", ", self.scalar(0), ", ", self.scalar(0), ")"), Node("v", "clamp_min(", inner, ", ", self.scalar(0), ")"),
                                    Node("v", "clamp_max(", inner, ", ", self.scalar(0), ")"), Node("v", "round(", inner, f", {self.pick('0.1', '5', '10', '0')})")])
        if kind == 14:
            return self.rng.choice([Node("v", "absent(", self.vector(depth - 1, self.chance(0.3)), ")"), Node("v", "vector(", self.scalar(depth - 1), ")"),
                                    Node("v", self.pick("hour", "minute", "month", "year", "day_of_week"), "()")])
        name = self.pick(*VALUES)
        if name == "start_timestamp" and not self.flagged:
            name = "timestamp"
        return Node("v", name, "(", self.vector(depth - 1, self.chance(0.08)), ")")

    def vector(self, depth, histograms=None):
        """histograms: mostly of them; None: of either."""
        if histograms is None:
            histograms = self.chance(0.25)
        if depth <= 0 or self.chance(0.12):
            selector = self.selector(histograms)
            modifiers = self.modifiers()
            if self.chance(0.03):
                return Node("v", selector, " ", "smoothed", modifiers)
            return Node("v", selector, modifiers)
        kind = self.rng.randrange(10)
        if kind < 4:
            return self.call(depth, histograms)
        if kind < 6:
            return self.aggregate(depth, histograms)
        if kind < 8:
            return self.binary(depth, histograms)
        if kind == 8 and not self.chance(0.3):
            return Node("v", self.pick("-", "-", "+"), self.vector(0, histograms))
        if histograms:
            return self.histogram_binary(depth)
        vector, scalar = self.vector(depth - 1, False), self.scalar(depth - 1)
        op = self.pick(*ARITHMETIC, *COMPARE, *[f"{c} bool" for c in COMPARE])
        return Node("v", "(", vector, f" {op} ", scalar, ")") if self.chance(0.6) else Node("v", "(", scalar, f" {op} ", vector, ")")

    def expression(self):
        depth = self.pick(1, 1, 2, 2, 2, 3, 3, 4)
        kind = self.rng.random()
        if kind < 0.03:
            return self.scalar(depth)
        if kind < 0.05:
            return self.range_vector(1, self.chance(0.5))  # an instant query only
        return self.vector(depth)

    def case(self):
        """(start, end, step in ms; step 0: an instant query at start), tree"""
        rng, tree = self.rng, self.expression()
        if self.chance(0.35) or tree.kind == "m":
            at = rng.randrange(data_set.START, data_set.END)
            return (at, at, 0), tree
        start = rng.randrange(data_set.START - 600_000, data_set.END)
        step = self.pick(1_000, 15_000, 60_000, 137_000, 600_000)
        return (start, min(start + step * rng.randrange(1, 60), data_set.END + 600_000), step), tree
