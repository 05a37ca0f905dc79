"""Store gateways over one bucket: the answers over history are those of the Prometheus that wrote it,
whichever programs serve and ask, and go together with live data."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "differential"))

import data_set  # noqa: E402
import random_queries  # noqa: E402
from cluster import binary, wait_until  # noqa: E402

PROGRAMS = ["titan", "thanos"]
FEATURES = [random_queries.FLAGGED]
SEED, COUNT = 11, 200
AT = data_set.END // 1000 - 600

QUERIES = [
    "count({__name__=~'.+'})", "count by (__name__) ({__name__=~'.+'})", "sum by (job) ({__name__=~'.+_total'})", "up", "{__name__=~'native.*'}",
    "topk(3, {__name__=~'.*gauge.*'})", "count_over_time({__name__=~'.+'}[1h])", "rate({__name__=~'.+_total'}[10m])", "histogram_count({__name__=~'native.*'})",
    "{__name__=~'.+', replica='a'}", "count({replica!='a'})", "count({__name__!=''})", "count({__name__=~'.+', job=''})",
    "count({__name__=~'.+', job=~'.*'})", "count({__name__=~'.+', zone!~'x|y'})", "sum(count_over_time({__name__=~'.+'}[30s]))", "{__name__='none'}",
    "max_over_time({__name__=~'gauge.*'}[2h])", "count({__name__=~'[a-m].*', __name__!~'.*_bucket'})", "avg by (le) ({__name__=~'.+_bucket'})",
]


def bucket_config(folder):
    return json.dumps({"type": "FILESYSTEM", "config": {"directory": str(folder)}})


def snapshot_blocks(cluster, prometheus):
    name = prometheus.get("/api/v1/admin/tsdb/snapshot", method="POST").json["data"]["name"]
    return cluster.folder / f"prometheus-{prometheus.name}" / "data/snapshots" / name


def upload(blocks, bucket, replica):
    subprocess.run([binary("thanos"), "tools", "bucket", "upload-blocks", f"--path={blocks}", f"--objstore.config={bucket_config(bucket)}",
                    f'--label=replica="{replica}"', "--log.level=warn"], check=True)


def gateway(cluster, program, bucket, flags=()):
    store = cluster.start(program, "store", f"store-{bucket.name}", [
        f"--objstore.config={bucket_config(bucket)}", f"--data-dir={cluster.folder}/{program}-{bucket.name}", *flags])
    store.process.wait_ready(store.url + "/-/ready")
    return store


class History:
    """Two replicas, b without a tenth of its series; a bucket with a's blocks and one with those of both."""

    def __init__(self, cluster):
        self.cluster = cluster
        data = data_set.make_data(random_queries.DATA_SEED)
        flags = ["--web.enable-remote-write-receiver", "--web.enable-admin-api", "--storage.tsdb.retention.time=100y", *FEATURES]
        self.prometheus = cluster.prometheus("a", scrape_self=False, external={"replica": "a"}, features=False, flags=flags)
        other = cluster.prometheus("b", scrape_self=False, external={"replica": "b"}, features=False, flags=flags)
        data_set.write(self.prometheus, data)
        data_set.write(other, {labels: points for number, (labels, points) in enumerate(data.items()) if number % 10})
        self.one, self.both = cluster.folder / "one", cluster.folder / "both"
        for bucket, prometheus in ((self.one, self.prometheus), (self.both, self.prometheus), (self.both, other)):
            upload(snapshot_blocks(cluster, prometheus), bucket, prometheus.replica)
        other.stop()
        self.stores = {program: gateway(cluster, program, self.both) for program in PROGRAMS}
        self.queries = {(store, query): cluster.query(query, [self.stores[store]], flags=["--enable-feature=promql-experimental-functions"])
                        for store in PROGRAMS for query in PROGRAMS}


@pytest.fixture(scope="module")
def history(module_cluster):
    return History(module_cluster)


def test_random_queries_over_blocks_are_answered_as_by_their_prometheus(history):
    query = history.cluster.query("titan", [gateway(history.cluster, "titan", history.one)], flags=FEATURES)

    class Setting:
        pairs = {flagged: random_queries.Pair(random_queries.Side(query), random_queries.Side(history.prometheus)) for flagged in (True, False)}
    found = random_queries.run(Setting, SEED, COUNT)
    assert not found, "\n".join(found)


def rows(answer):
    assert answer.status == 200, answer
    return sorted((sorted(series["metric"].items()), str(series.get("value") or series.get("values")),
                   str(series.get("histogram") or series.get("histograms"))) for series in answer.json["data"]["result"])


@pytest.mark.parametrize("dedup", ["true", "false"])
@pytest.mark.parametrize("text", QUERIES)
def test_every_pair_of_programs_gives_the_same_answers(history, text, dedup):
    requests = [("/api/v1/query", {"query": text, "time": AT, "dedup": dedup}),
                ("/api/v1/query_range", {"query": text, "start": AT - 3600, "end": AT, "step": 173, "dedup": dedup})]
    for path, params in requests:
        answers = {pair: query.get(path, params) for pair, query in history.queries.items()}
        if answers["thanos", "thanos"].status != 200:
            assert {answer.status for answer in answers.values()} == {answers["thanos", "thanos"].status}, answers
            continue
        titan, thanos = (rows(answers["thanos", program]) for program in PROGRAMS)
        assert rows(answers["titan", "titan"]) == titan, "titan's query: over titan's store, over that of thanos"
        assert rows(answers["titan", "thanos"]) == thanos, "thanos's query: over titan's store, over that of thanos"


@pytest.mark.parametrize("path, params", [
    ("/api/v1/labels", {}), ("/api/v1/labels", {"match[]": "{__name__=~'native.*'}"}), ("/api/v1/label/__name__/values", {}),
    ("/api/v1/label/replica/values", {}), ("/api/v1/label/zone/values", {"match[]": "{__name__=~'.+_total'}"}), ("/api/v1/label/none/values", {}),
    ("/api/v1/series", {"match[]": "{__name__=~'.+_total'}"}), ("/api/v1/series", {"match[]": "{replica='b', __name__=~'gauge.*'}"}),
    ("/api/v1/labels", {"start": AT + 10**7, "end": AT + 2 * 10**7}),
])
def test_every_pair_of_programs_names_the_same_labels(history, path, params):
    params = {"start": AT - 7200, "end": AT, **params}
    answers = {pair: query.get(path, params).json["data"] for pair, query in history.queries.items()}
    for pair, data in answers.items():
        assert sorted(map(str, data)) == sorted(map(str, answers["thanos", "thanos"])), pair


def test_either_program_takes_over_the_data_directory_of_the_other(history):
    for first, second in (PROGRAMS, PROGRAMS[::-1]):
        folder = history.cluster.folder / f"taken-{first}"
        shutil.copytree(history.cluster.folder / f"{first}-both", folder)
        before = {path: path.stat().st_mtime_ns for path in folder.glob("*/index-header")}
        assert len(before) >= 2
        store = history.cluster.start(second, "store", f"store-taken-{first}", [f"--objstore.config={bucket_config(history.both)}", f"--data-dir={folder}"])
        store.process.wait_ready(store.url + "/-/ready")
        query = history.cluster.query("titan", [store])
        assert rows(query.get("/api/v1/query", {"query": QUERIES[0], "time": AT})) == \
            rows(history.queries["thanos", "thanos"].get("/api/v1/query", {"query": QUERIES[0], "time": AT}))
        assert {path: path.stat().st_mtime_ns for path in folder.glob("*/index-header")} == before


def test_blocks_come_and_go(history, cluster):
    bucket = cluster.folder / "changing"
    blocks = sorted(path for path in history.both.iterdir() if path.is_dir())
    shutil.copytree(blocks[0], bucket / blocks[0].name)
    store = gateway(cluster, "titan", bucket, ["--sync-block-duration=1s"])

    def loaded():
        return [block["ulid"] for block in store.get("/api/v1/blocks", {"view": "loaded"}).json["data"]["blocks"]]
    assert loaded() == [blocks[0].name]
    shutil.copytree(blocks[1], bucket / blocks[1].name)
    (bucket / "01HB0000000000000000000009").mkdir()
    (bucket / "01HB0000000000000000000009/index").write_text("a partial upload")
    (bucket / "01HB000000000000000000000A").mkdir()
    (bucket / "01HB000000000000000000000A/meta.json").write_text("{")
    wait_until("the new block is served", 10, lambda: loaded() == [blocks[0].name, blocks[1].name])
    answer = store.get("/api/v1/blocks/mark", method="POST", params={"id": blocks[0].name, "action": "DELETION", "detail": "by a test"})
    assert answer.status == 204 and json.loads((bucket / blocks[0].name / "deletion-mark.json").read_text())["details"] == "by a test"
    shutil.rmtree(bucket / blocks[0].name)
    wait_until("the old block is let go", 10, lambda: loaded() == [blocks[1].name])
    metrics = store.get("/metrics").body.decode()
    for line in ("thanos_bucket_store_blocks_loaded 1", 'thanos_blocks_meta_synced{state="no-meta-json"} 1',
                 'thanos_blocks_meta_synced{state="corrupted-meta-json"} 1', "thanos_bucket_store_block_drops_total 1"):
        assert line in metrics, line


def test_a_broken_block_is_named_and_the_others_are_answered(history, cluster):
    bucket = cluster.folder / "broken"
    shutil.copytree(history.both, bucket)
    victim = next(path for path in sorted(bucket.iterdir()) if json.loads((path / "meta.json").read_text())["thanos"]["labels"] == {"replica": "b"})
    for chunks in (victim / "chunks").iterdir():
        content = bytearray(chunks.read_bytes())
        for at in range(100, len(content), 50):
            content[at] ^= 0xff
        chunks.write_bytes(content)
    query = cluster.query("titan", [gateway(cluster, "titan", bucket)])
    answer = query.get("/api/v1/query", {"query": "count({__name__=~'.+'})", "time": AT, "dedup": "false"})
    assert answer.status == 200 and any(victim.name in warning for warning in answer.json["warnings"]), answer
    assert answer.json["data"]["result"], "the other replica's series"
    answer = query.get("/api/v1/query", {"query": "count({__name__=~'.+'})", "time": AT, "partial_response": "false"})
    assert answer.status >= 400 and victim.name in answer.json["error"], answer


def test_external_labels_alone_select_all_series(history):
    answer = history.queries["titan", "titan"].get("/api/v1/query", {"query": "count({replica='b'})", "time": AT, "dedup": "false"})
    assert rows(answer) == rows(history.queries["thanos", "thanos"].get(
        "/api/v1/query", {"query": "count({__name__!='', replica='b'})", "time": AT, "dedup": "false"})) != []


def test_relabelling_chooses_blocks(history, cluster):
    rules = "[{source_labels: [replica], regex: b, action: keep}]"
    store = gateway(cluster, "titan", history.both, [f"--selector.relabel-config={rules}"])
    loaded = store.get("/api/v1/blocks", {"view": "loaded"}).json["data"]["blocks"]
    assert loaded and all(block["thanos"]["labels"] == {"replica": "b"} for block in loaded)
    assert 'thanos_blocks_meta_synced{state="label-excluded"}' in store.get("/metrics").body.decode()
