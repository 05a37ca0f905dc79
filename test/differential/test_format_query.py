"""format_query and parse_query of Titan against those of the real Prometheus 3.16: every query of
queries.py and of the parser's corpus, and seeded combinations of them that need several lines."""

import random
from pathlib import Path

import pytest

from queries import CASES, ERRORS

CORPUS = Path(__file__).resolve().parent.parent / "fuzz/corpus/promql"
FEATURES = ["--enable-feature=promql-experimental-functions"]
WRAPS = ["sum by (instance, a_rather_long_label_name) ({0})", "sum without () ({0})", "topk(3, {0})", "quantile by (job) (scalar({0}), {1})",
         "({0})", "-({0})", "+({0})", "({0})[1h:5m]", "max_over_time(({0})[30m:1m] @ end() offset -5m)", "label_replace({0}, 'a', '$1', \"b\", '(.*)')",
         "({0}) + on (instance, job) group_left (version) ({1})", "({0}) == bool ignoring (a) ({1})", "({0}) and ({1})", "({0}) or -({1}) ^ 2",
         "clamp({0}, scalar({1}), 5)", "absent({0})", "rate(({0})[5m:])", "({0}) unless on () ({1})", "avg(count_values(\"x\", {0})) by (y)",
         "histogram_quantile(0.9, sum by (le) (rate(http_requests_total{{code=~\"2..\",handler!=\"/api/v1/query_range\",x=\"é\\n\\\"\"}}[{2}])))",
         "sum_over_time(foo[{2}] anchored)", "rate(foo[{2}:step()])", "increase(foo[max_of({2}, step() * 2)] @ 1.5e9 offset -({2} + 1))"]
DURATIONS = ["5m", "1h30m", "300", "step() + 5m", "-(1m - 10m)", "2 * 5m", "range()", "min_of(1m, range() / 4)", "1m ^ 1", "7 % 5"]


def combined(rng, basis, depth):
    if depth == 0:
        return rng.choice(basis)
    return rng.choice(WRAPS).format(combined(rng, basis, depth - 1), combined(rng, basis, rng.randrange(depth)), rng.choice(DURATIONS))


def queries():
    basis = [case.query for case in CASES]
    corpus = []
    for path in sorted(CORPUS.iterdir()):
        text = path.read_bytes()
        if 0 < len(text) < 4000 and b"\0" not in text:
            try:
                corpus.append(text.decode())
            except UnicodeDecodeError:
                pass
    rng = random.Random(3)
    return basis + ERRORS + corpus + [combined(rng, basis + corpus, 1 + number % 7) for number in range(600)]


@pytest.fixture(scope="module")
def pair(module_cluster):
    prometheus = module_cluster.prometheus("empty", scrape_self=False)
    return module_cluster.query("titan", [], flags=FEATURES), prometheus


def ask(component, path, query):
    return component.get("/api/v1/" + path, {"query": query}, method="POST")


def test_queries_are_formatted_and_parsed_as_by_prometheus(pair):
    titan, prometheus = pair
    problems, lines, refused = [], 0, 0
    for query in queries():
        for path in ("format_query", "parse_query"):
            got, want = ask(titan, path, query), ask(prometheus, path, query)
            refused += want.status == 400
            lines += path == "format_query" and want.status == 200 and "\n" in want.json["data"]
            if got.status != want.status:
                problems.append(f"{path} {query}: {got}, want {want}")
            elif want.status == 400:
                if got.json != want.json and "error parsing regexp" not in want.json["error"]:
                    problems.append(f"{path} {query}: {got}, want {want}")
            elif got.body != want.body:
                problems.append(f"{path} {query}:\n{got.body.decode()}\nwant\n{want.body.decode()}")
    assert lines > 200 and refused > 50, (lines, refused)
    assert not problems, f"{len(problems)} differences\n" + "\n".join(problems[:20])


def test_a_formatted_query_stays_as_it_is(pair):
    titan, _ = pair
    for query in queries()[-200:]:
        once = ask(titan, "format_query", query)
        if once.status == 200:
            assert ask(titan, "format_query", once.json["data"]).json == once.json, query
