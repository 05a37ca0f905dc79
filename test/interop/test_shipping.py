"""Blocks of a real Prometheus on their way into an S3 bucket: shipped by either program's sidecar and
served by either program's store gateway; each once and whole, also when the sidecar is killed at any
moment of it."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from cluster import binary, wait_until  # noqa: E402
from test_s3 import S3  # noqa: E402

PROGRAMS = ["titan", "thanos"]
START, HOURS, STEP = 1_700_000_000, 9, 15
KILLS = 200 if os.environ.get("TITAN_LONG") else 30


def make_blocks(folder, seed, series=60):
    """Some blocks of level 1, as Prometheus would have written them."""
    rng = random.Random(seed)
    with open(folder / "metrics.txt", "w") as out:
        out.write("# TYPE shipped gauge\n")
        for number in range(series):
            out.writelines(f'shipped{{n="{number}"}} {rng.random()} {at}\n' for at in range(START, START + HOURS * 3600, STEP))
        out.write("# EOF\n")
    subprocess.run([binary("promtool"), "tsdb", "create-blocks-from", "openmetrics", folder / "metrics.txt", folder / "blocks"],
                   check=True, stdout=subprocess.DEVNULL)
    return folder / "blocks"


@pytest.fixture(scope="module")
def blocks(tmp_path_factory):
    return make_blocks(tmp_path_factory.mktemp("blocks"), 1)


@pytest.fixture(scope="module")
def s3(module_cluster):
    return S3(module_cluster, "shipping")


def prometheus_over(cluster, blocks, name):
    """A Prometheus whose directory has these blocks; it keeps them."""
    data = cluster.folder / f"prometheus-{name}" / "data"
    data.mkdir(parents=True)
    for block in blocks.iterdir():
        shutil.copytree(block, data / block.name)
    prometheus = cluster.prometheus(name, scrape_self=False, external={"replica": name}, flags=["--storage.tsdb.retention.time=100y"])
    return prometheus, data


def in_bucket(folder):
    """block -> its meta.json"""
    return {path.parent.name: json.loads(path.read_text()) for path in folder.glob("*/meta.json")}


def check_complete(folder, blocks):
    metas = in_bucket(folder)
    assert sorted(metas) == sorted(block.name for block in blocks.iterdir())
    for name, meta in metas.items():
        files = {file["rel_path"]: file.get("size_bytes") for file in meta["thanos"]["files"]}
        assert "index" in files and "meta.json" in files and "chunks/000001" in files
        for path, size in files.items():
            if path != "meta.json":
                stored = (folder / name / path).read_bytes()
                assert len(stored) == size and stored == (blocks / name / path).read_bytes(), (name, path)


@pytest.mark.parametrize("sidecar", PROGRAMS)
@pytest.mark.parametrize("store", PROGRAMS)
def test_what_a_sidecar_ships_a_gateway_serves(cluster, s3, blocks, sidecar, store):
    name = f"{sidecar}-{store}"
    prometheus, data = prometheus_over(cluster, blocks, name)
    config = s3.bucket(name)
    cluster.sidecar(sidecar, prometheus, [f"--tsdb.path={data}", f"--objstore.config={config}"])
    wait_until("all blocks are in the bucket", 40, lambda: len(in_bucket(s3.folder / name)) == len(list(blocks.iterdir())))
    check_complete(s3.folder / name, blocks)
    wait_until("the note is written", 10, lambda: (data / "thanos.shipper.json").exists())
    note = json.loads((data / "thanos.shipper.json").read_text())
    assert note["version"] == 1 and sorted(note["uploaded"]) == sorted(block.name for block in blocks.iterdir())
    meta = next(iter(in_bucket(s3.folder / name).values()))["thanos"]
    assert meta["labels"] == {"replica": name} and meta["source"] == "sidecar" and meta["segment_files"] == ["000001"]
    gateway = cluster.start(store, "store", "store", [f"--objstore.config={config}", f"--data-dir={cluster.folder}/store"])
    gateway.process.wait_ready(gateway.url + "/-/ready")
    query = cluster.query("titan", [gateway])
    answer = query.instant("sum(count_over_time(shipped[10h]))", at=START + HOURS * 3600)
    assert answer["result"][0]["value"][1] == str(60 * HOURS * 3600 // STEP)


def test_a_sidecar_that_is_killed_at_any_moment_ships_each_block_once(cluster, s3, blocks):
    rng = random.Random(5)
    prometheus, data = prometheus_over(cluster, blocks, "killed")
    config = s3.bucket("killed", part_size=5 << 20)
    folder = s3.folder / "killed"
    seen_partial = 0
    for number in range(KILLS):
        sidecar = cluster.start("titan", "sidecar", f"sidecar{number}", [
            f"--prometheus.url={prometheus.url}", f"--tsdb.path={data}", f"--objstore.config={config}"])
        time.sleep(rng.uniform(0.02, 0.6))
        sidecar.kill()
        for meta in in_bucket(folder):
            assert (folder / meta / "index").exists() and (folder / meta / "chunks/000001").exists(), "meta.json comes last"
        seen_partial += any(path.name not in in_bucket(folder) for path in folder.iterdir() if len(path.name) == 26)
        if number % 10 == 9 and number + 1 < KILLS:  # from the beginning again
            for path in folder.iterdir():
                shutil.rmtree(path)
            (data / "thanos.shipper.json").unlink(missing_ok=True)
    cluster.sidecar("titan", prometheus, [f"--tsdb.path={data}", f"--objstore.config={config}"])
    wait_until("all blocks are in the bucket", 40, lambda: len(in_bucket(folder)) == len(list(blocks.iterdir())))
    check_complete(folder, blocks)
    wait_until("nothing is left over", 10, lambda: not list((data / "thanos/upload").iterdir()))
    for block in blocks.iterdir():
        for path in (path for path in block.rglob("*") if path.is_file()):
            assert (data / block.name / path.relative_to(block)).read_bytes() == path.read_bytes(), "Prometheus's own files are as they were"


def test_no_external_labels_end_the_sidecar_with_a_reason(cluster, s3, blocks):
    data = cluster.folder / "unlabelled"
    data.mkdir()
    port_prometheus = cluster.prometheus("unlabelled", scrape_self=False, external={"a": ""})
    sidecar = cluster.start("titan", "sidecar", "sidecar", [f"--prometheus.url={port_prometheus.url}", f"--tsdb.path={data}",
                                                            f"--objstore.config={s3.bucket('unlabelled')}"])
    wait_until("the sidecar ends", 20, lambda: not sidecar.process.running)
    assert "no external labels configured" in sidecar.process.log()
    cluster.processes.all.remove(sidecar.process)
