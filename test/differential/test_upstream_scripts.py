"""Prometheus's own PromQL tests, where the machine has them: in Go's module cache, to which scripts/peers brings them. Every
evaluation passes, but for those accepted below; one that is accepted and passes is a failure, too."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from cluster import binary

TOP = Path(__file__).resolve().parent.parent.parent
FAILURE = re.compile(r"^(?:.*/)?([^/]+\.test):(\d+): (failed|skipped): (.*)$")
# {("name.test", line): "why a user would accept it"}
ACCEPTED = {}


def version():
    """Of the Prometheus that the tests are held against."""
    found = re.search(r"github\.com/prometheus/prometheus (v\S+)", (TOP / "test/peers/prometheus/go.mod").read_text())
    return found.group(1)


def scripts():
    cache = os.environ.get("GOMODCACHE") or Path(os.environ.get("GOPATH", "").split(os.pathsep)[0] or Path.home() / "go") / "pkg/mod"
    folder = Path(cache) / f"github.com/prometheus/prometheus@{version()}/promql/promqltest/testdata"
    return sorted(folder.glob("*.test"))


@pytest.mark.skipif(not scripts(), reason="Prometheus's sources are not in Go's module cache")
@pytest.mark.parametrize("threads", [0, 3])
def test_prometheus_own_scripts(threads):
    runner = Path(binary("titan")).parent / "test/titan-promqltest"
    if not runner.exists():
        pytest.skip(f"{runner} is not built")
    options = ["--late-names"] + (["--threads", str(threads)] if threads else [])
    run = subprocess.run([runner, *options, *scripts()], capture_output=True, text=True, timeout=120)
    assert not run.stderr, run.stderr[:4000]
    wrong = {}
    for line in run.stdout.splitlines():
        if match := FAILURE.match(line):
            wrong[match[1], int(match[2])] = f"{match[3]}: {match[4]}"
    passed = int(re.search(r"^(\d+) passed", run.stdout.splitlines()[-1]).group(1))
    assert passed > 2000
    assert {place: text for place, text in wrong.items() if place not in ACCEPTED} == {}, run.stdout[-4000:]
    assert [place for place in ACCEPTED if place not in wrong] == []
