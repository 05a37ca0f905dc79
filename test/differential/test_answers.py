"""Answers of Titan as text beside those of the real Prometheus 3.16 over the same samples: the shape of
each kind of result, annotations, statistics, errors. And of a Titan and a Thanos over one sidecar."""

import gzip
import http.client
import json
import re

import pytest

import data_set

EXTERNAL = {"zz_cluster": "1"}  # the last of the labels by name: easily taken away again
FEATURES = "promql-experimental-functions"
END = data_set.END // 1000
AT = END - 600

SHAPES = [
    "1", "-1.5e-7", "NaN", "Inf", "-Inf", "1e21", "vector(1e-7)", "vector(-0)", "time()", "'<a> & \"b\" \\u2028 \\t é'", "\"\"", "`\\n`",
    "temperature", "odd", "nope", "nope[5m]", "temperature[1m]", "temperature[1m:10s]", "odd[2m]", "vector(1)[1m:20s]",
    "native", "native[1m]", "native_signs", "native_custom", "native_gauge", "native_float[2m]", "mixed", "mixed[10m]", "{__name__=~'mixed|level'}",
    "{__name__=\"http.requests\"}", "sum without (job) ({\"http.requests\"})", "label_replace(level, 'x', '<&>\\\\ \\n', '', '')", "count(level) by (nothing)",
    "typed", "scalar(nope)", "sort_desc(level)", "absent(nope{a='b'})", "group(level) by (job, instance)", "native == native"]
ANNOTATED = [
    "quantile(1.5, level)", "rate(level[5m])", "rate(temperature[5m]) + rate(odd[5m])", "sum(rate(level[5m]))\n  / on (job)\nquantile(-1, temperature) by (job)",
    "histogram_quantile(2, latency_bucket)", "histogram_quantile(0.5, latency_bucket)", "sum(mixed)", "avg(mixed)", "quantile_over_time(7, level[5m])",
    " + ".join(f"scalar(quantile({2 + n}, level))" for n in range(13)), " or ".join(f"rate({name}[5m])" for name in ("level", "temperature", "odd", "alpha", "beta", "when", "version")),
    " or ".join(f"quantile({-1 - n}, level)" for n in range(10)), "sort(level)", "increase(sparse[30m])"]
COUNTED = [
    "temperature", "sum(temperature)", "rate(requests_total[5m])", "rate(requests_total[30s])", "native", "mixed", "count_over_time(mixed[10m])",
    "max_over_time(temperature[10m:1m])", "max_over_time(rate(requests_total[5m])[20m:2m])", "sum_over_time(temperature[1m:10s] offset 5m)",
    "temperature @ end()", f"temperature @ {AT}", "max_over_time(temperature[10m:1m] @ end())", "temperature + on (job, instance) level",
    "predict_linear(temperature[5m] @ end(), time())", "timestamp(temperature)", "absent(nope)", "absent_over_time(temperature[5m])", "1", "vector(1)",
    "topk(2, temperature) or level", "count_over_time(max_over_time(temperature[2m:30s])[10m:1m])", "native_custom", "temperature offset -3m",
    "quantile_over_time(scalar(level{job='api', instance='a:1'}) / 10, temperature[5m])", "sum_over_time(temperature[1m:3m])", "last_over_time(sparse[3m])",
    "scalar(sum(level)) * temperature", "odd", "label_replace(temperature, 'a', 'b', '', '')", "time() - timestamp(level)", "count_over_time(native[3m])",
    "sum(rate(requests_total[5m])) / count(rate(requests_total[5m]))", "max(level) - min(level)", "sum(level @ end()) + count(level @ end())",
    "max_over_time((sum(level) / count(level))[10m:1m])", "last_over_time(native_float[2m:20s])", "increase(requests_total[10m]) / rate(requests_total[10m])"]
ERRORS = [
    {"query": "up{"}, {"query": ""}, {"query": "level[5m]", "range": True}, {"query": "'a'", "range": True}, {"query": "level", "start": "2", "end": "1", "step": "1"},
    {"query": "level", "start": "1", "end": "20000", "step": "1"}, {"query": "level", "start": "1", "end": "2", "step": "0"}, {"query": "level", "start": "1", "end": "2", "step": "-1"},
    {"query": "level + on (job) temperature"}, {"query": "level * on (job) group_left level"}, {"query": "label_replace(level, 'a', '$1', 'job', '(')"},
    {"query": "count_values('', level)"}, {"query": "abs({__name__=~'level|temperature'})"}]


@pytest.fixture(scope="module")
def setting(module_cluster):
    prometheus = module_cluster.prometheus("answers", scrape_self=False, external=EXTERNAL, flags=[
        "--web.enable-remote-write-receiver", f"--enable-feature={FEATURES},promql-per-step-stats"], features=False)
    data_set.write(prometheus, data_set.make_data(4))
    sidecar = module_cluster.sidecar("titan", prometheus)

    class Setting:
        titan = module_cluster.query("titan", [sidecar], flags=[f"--enable-feature={FEATURES}"])
        thanos = module_cluster.query("thanos", [sidecar], flags=[f"--enable-feature={FEATURES}"])
    Setting.prometheus = prometheus
    return Setting


def plain(answer):
    """The text without what only Titan has."""
    text = answer.body.decode()
    text = text.replace(',"analysis":{}', "")
    return re.sub(r',?"zz_cluster":"1"', "", text)


def ordered(text):
    """Series of an instant vector come in any order, and so do annotations."""
    answer = json.loads(text)
    data = answer.get("data")
    if data and data["resultType"] == "vector":
        data["result"].sort(key=json.dumps)
    for kind in ("warnings", "infos"):
        answer.get(kind, []).sort()
    return answer


def both(setting, path, params, other=None):
    return setting.titan.get("/api/v1" + path, {"dedup": "false", **params}), (other or setting.prometheus).get("/api/v1" + path, params)


def requests(queries, **more):
    for query in queries:
        yield "/query", {"query": query, "time": AT, **more}
        if "[1m]" not in query and not re.search(r"^['\"`]|\[(5m|1m|2m|10m|20s)?(:\w+)?\]$", query):
            yield "/query_range", {"query": query, "start": AT - 1800, "end": AT, "step": 61.5, **more}


def test_results_have_the_text_of_prometheus(setting):
    problems = []
    for path, params in requests(SHAPES):
        got, want = both(setting, path, params)
        got_text, want_text = plain(got), plain(want)
        same = ordered(got_text) == ordered(want_text) if path == "/query" else got_text == want_text
        if got.status != 200 or want.status != 200 or not same or len(got_text) != len(want_text):
            problems.append(f"{path} {params}:\n{got_text[:1500]}\nwant\n{want_text[:1500]}")
    assert not problems, f"{len(problems)} differ\n" + "\n".join(problems[:5])


def test_results_have_the_text_of_thanos(setting):
    problems = []
    for path, params in requests(SHAPES):
        if params["query"].startswith("sort") and path == "/query_range":
            continue  # its Prometheus is older: no warning
        got, want = (component.get("/api/v1" + path, params) for component in (setting.titan, setting.thanos))
        same = ordered(got.body) == ordered(want.body) if path == "/query" else got.body == want.body
        if got.status != 200 or want.status != 200 or not same or len(got.body) != len(want.body):
            problems.append(f"{path} {params}:\n{got.body[:1500]}\nwant\n{want.body[:1500]}")
    assert not problems, f"{len(problems)} differ\n" + "\n".join(problems[:5])


def test_annotations_are_those_of_prometheus(setting):
    problems = []
    for path, params in requests(ANNOTATED):
        got, want = both(setting, path, params)
        if got.status != 200 or want.status != 200:
            problems.append(f"{path} {params}: {got}, want {want}")
            continue
        for kind in ("warnings", "infos"):
            ours, theirs = got.json.get(kind, []), want.json.get(kind, [])
            if any("omitted" in text for text in theirs):  # which ones are shown is by chance there
                same = len(ours) == len(theirs) and ours[-1] == theirs[-1]
            else:
                same = sorted(ours) == sorted(theirs)
            if not same or ours[:10] != sorted(ours[:10]):
                problems.append(f"{path} {params['query']} {kind}:\n{ours}\nwant\n{sorted(theirs)}")
    assert not problems, f"{len(problems)} differ\n" + "\n".join(problems[:8])


def test_samples_are_counted_as_by_prometheus(setting):
    problems = []
    for path, params in list(requests(COUNTED, stats="all")) + [("/query_range", {"query": query, "start": AT - 3000, "end": AT, "step": 600, "stats": "all"}) for query in COUNTED]:
        got, want = both(setting, path, params)
        if got.status != 200 or want.status != 200:
            problems.append(f"{path} {params}: {got}, want {want}")
            continue
        ours, theirs = got.json["data"]["stats"], want.json["data"]["stats"]
        assert list(ours["timings"]) == list(theirs["timings"]) and list(ours["samples"]) == list(theirs["samples"])
        for key, value in theirs["samples"].items():
            if key == "seriesTouched" and ours["samples"][key] <= value:
                continue  # a store gives no series without samples
            if key != "peakSamples" and ours["samples"][key] != value:
                problems.append(f"{path} {params['query']} {key}: {str(ours['samples'][key])[:300]}, want {str(value)[:300]}")
    assert not problems, f"{len(problems)} differ\n" + "\n".join(problems[:12])


def test_errors_are_those_of_thanos(setting):
    """Status and type are Thanos's (it says execution where Prometheus does too); texts agree up to the example they name."""
    problems = []
    for case in ERRORS:
        params = {key: value for key, value in case.items() if key != "range"}
        path = "/query_range" if "range" in case or "start" in case else "/query"
        if "range" in case:
            params.update(start=AT - 60, end=AT, step=15)
        elif "start" not in case:
            params["time"] = AT
        got, want = both(setting, path, params, setting.thanos)
        prometheus = setting.prometheus.get("/api/v1" + path, params)
        beginnings = [answer.json.get("error", "").removeprefix('invalid parameter "query": ').split("{")[0][:50] for answer in (got, want)]
        if (got.status, got.json.get("errorType")) != (want.status, want.json.get("errorType")) or beginnings[0] != beginnings[1] or got.status != prometheus.status:
            problems.append(f"{path} {params}: {got}\nwant {want}\nprometheus {prometheus}")
        for name in ("Content-Type", "Cache-Control", "Access-Control-Allow-Origin"):
            if got.headers.get(name) != want.headers.get(name):
                problems.append(f"{path} {params}: {name} {got.headers.get(name)}, want {want.headers.get(name)}")
    assert not problems, "\n".join(problems)


RIM = [("GET", "/api/v1/query?query=1&time=1", {}), ("HEAD", "/api/v1/query?query=1", {}), ("PUT", "/api/v1/query", {}), ("DELETE", "/api/v1/stores", {}),
       ("POST", "/api/v1/stores", {}), ("POST", "/api/v1/label/job/values", {}), ("OPTIONS", "/api/v1/query", {}), ("OPTIONS", "/api/v1/nothing", {}),
       ("OPTIONS", "/nothing", {}), ("GET", "/api/v1/nothing", {}), ("GET", "/api/v1", {}), ("GET", "/nothing", {}), ("GET", "/api//v1/query?query=1", {}),
       ("GET", "/api/v1/../v1/labels", {}),
       ("GET", "/api/v1/query/?query=1", {}), ("POST", "/api/v1/query/", {}), ("OPTIONS", "/api/v1/query/", {}), ("PUT", "/api/v1/stores/", {}),
       ("GET", "/metrics/", {}), ("GET", "/api/v1/label/job/values/", {}), ("GET", "/nothing/", {}), ("GET", "/api/v1/query?query=%zz", {}),
       ("GET", "/api/v1/query_range?query=temperature&start=1700003600&end=1700006600&step=5", {"Accept-Encoding": "gzip"}),
       ("GET", "/api/v1/query_range?query=temperature&start=1700003600&end=1700006600&step=5", {"Accept-Encoding": "zstd, br"}),
       ("GET", "/api/v1/query_range?query=temperature&start=1700003600&end=1700006600&step=5", {"Accept-Encoding": "zstd;q=1, gzip;q=0.5"}),
       ("GET", "/api/v1/query_range?query=temperature&start=1700003600&end=1700006600&step=5", {"Accept-Encoding": "gzip;q=0"}),
       ("GET", "/api/v1/query?query=1&time=1", {"Accept-Encoding": "gzip"}), ("GET", "/api/v1/query?query=1&time=1", {"Origin": "http://example.com"}),
       ("GET", "/api/v1/query?query=1&time=1", {"X-Request-ID": "abc"}), ("OPTIONS", "/api/v1/query", {"Access-Control-Request-Method": "POST"})]


def test_methods_paths_and_headers_are_answered_as_by_thanos(setting):
    problems = []
    for method, path, headers in RIM:
        answers = []
        for component in (setting.titan, setting.thanos):
            connection = http.client.HTTPConnection("127.0.0.1", component.port, timeout=30)
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            response = connection.getresponse()
            body = response.read()
            if response.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            answers.append({"status": response.status, "body": len(body) if method == "GET" and response.status < 300 else b"", **{
                name: response.headers.get(name) for name in ("Content-Type", "Content-Encoding", "Vary", "Location", "Cache-Control", "Access-Control-Allow-Origin",
                                                              "Access-Control-Allow-Methods", "Access-Control-Allow-Headers", "Access-Control-Expose-Headers")}})
        if answers[0]["Location"]:
            answers[1]["Content-Type"] = answers[0]["Content-Type"]  # the bodies of redirects differ: docs/parity.md
        if answers[0] != answers[1]:
            different = {key: (answers[0][key], answers[1][key]) for key in answers[0] if answers[0][key] != answers[1][key]}
            problems.append(f"{method} {path} {headers}: (titan, thanos) {different}")
    assert not problems, "\n".join(problems)
