"""Blocks between Titan and Prometheus: each reads what the other wrote, and a block written again is
the same, byte by byte."""

import random
import subprocess
from pathlib import Path

import pytest

from cluster import binary

BLOCK_TOOL = Path(binary("titan")).parent / "test/titan-block"
START, HOURS = 1700000000, 5


def run(*command):
    return subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, check=True, text=True).stdout


def open_metrics(seed):
    """Many shapes of values, times and labels; some series begin late or end early."""
    rng, lines = random.Random(seed), []
    for metric in range(12):
        lines.append(f"# TYPE metric_{metric} gauge")
        for i in range(rng.randint(1, 15)):
            labels = ",".join(f'{name}="{rng.choice(["", "a", "b c", "é", "x" * 200])}{i}"'
                              for name in sorted(rng.sample(["instance", "job", "a_long_name", "z"], rng.randint(1, 4))))
            begin, end = sorted(rng.sample(range(HOURS * 3600), 2))
            value = float(rng.randint(0, 1000))
            for second in range(begin, end, rng.choice([7, 15, 60])):
                value = rng.choice([value, value + 1, value * 1.5, rng.random(), float("nan"), float("inf"), -0.0])
                lines.append(f"metric_{metric}{{{labels}}} {value} {START + second}.{rng.choice(['0', '005', '5'])}")
    return "\n".join(lines + ["# EOF"]) + "\n"


@pytest.fixture(scope="module", params=[1, 2])
def blocks(request, tmp_path_factory):
    """A directory of blocks that promtool wrote, and one of the same blocks written by Titan."""
    folder = tmp_path_factory.mktemp("blocks")
    (folder / "metrics.txt").write_text(open_metrics(request.param))
    run(binary("promtool"), "tsdb", "create-blocks-from", "openmetrics", folder / "metrics.txt", folder / "real")
    for block in sorted((folder / "real").iterdir()):
        run(BLOCK_TOOL, "copy", block, folder / "copies")
    for name in ("real", "copies"):
        (folder / name / "wal").mkdir()
    return folder


def block_folders(folder):
    return sorted(path for path in folder.iterdir() if path.name != "wal")


def test_a_block_of_prometheus_written_again_is_the_same(blocks):
    real = block_folders(blocks / "real")
    assert len(real) >= 2
    for block in real:
        for path in (path for path in block.rglob("*") if path.is_file() and path.name != "tombstones"):
            copy = blocks / "copies" / path.relative_to(blocks / "real")
            assert copy.read_bytes() == path.read_bytes(), path


def test_promtool_reads_in_titans_blocks_what_it_wrote(blocks):
    real, copies = (run(binary("promtool"), "tsdb", "dump", blocks / name) for name in ("real", "copies"))
    assert len(real) > 100_000 and copies == real


def test_titan_reads_the_samples_that_promtool_reads(blocks):
    dumps = "".join(run(BLOCK_TOOL, "dump", block) for block in block_folders(blocks / "real"))
    promtool = run(binary("promtool"), "tsdb", "dump", blocks / "real")
    assert sorted(dumps.splitlines()) == sorted(promtool.splitlines())


def test_thanos_finds_nothing_wrong_with_titans_blocks(blocks):
    bucket = blocks / "bucket"
    bucket.mkdir()
    for block in block_folders(blocks / "copies"):
        run(binary("thanos"), "tools", "bucket", "upload-blocks", f"--path={blocks / 'copies'}", "--label=replica=\"a\"",
            "--objstore.config={type: FILESYSTEM, config: {directory: " + str(bucket) + "}}")
    report = subprocess.run([binary("thanos"), "tools", "bucket", "verify", "--issues=index_known_issues",
                             "--issues=overlapped_blocks",
                             "--objstore.config={type: FILESYSTEM, config: {directory: " + str(bucket) + "}}"],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True).stdout
    assert "level=warn" not in report and "level=error" not in report, report
