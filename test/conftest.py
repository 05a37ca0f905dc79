"""What the end-to-end, interop and differential tests share: two real Prometheus 3.16 replicas over
one set of targets, started once and old enough for fixed times in the past."""

import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "e2e"))

from cluster import Cluster, binary, free_port, wait_until  # noqa: E402
from exporter import Exporter  # noqa: E402

HISTORY = 45  # seconds of scraped data that queries at a fixed time may look at
SETTLED = 30  # seconds that a fixed time lies in the past

collect_ignore_glob = ["unit/*", "peers/*"]


def pytest_report_header(config):
    return ["held against Prometheus 3.16 and Thanos 0.42.5, built from test/peers",
            f"titan: {binary('titan')}"]


class Replicas:
    """Two Prometheus servers, and a time at which what they hold will not change any more."""

    def __init__(self, cluster, exporter):
        self.cluster, self.exporter = cluster, exporter
        self.a = cluster.prometheus("a", exporter.targets)
        self.b = cluster.prometheus("b", exporter.targets)
        for prometheus in (self.a, self.b):  # they look for their targets seconds after they are ready
            wait_until("samples are there", 15, lambda: prometheus.instant("count(app_step)", time.time())["result"])
        self.began = time.time()
        self.end = int(self.began) + HISTORY + 2

    def settled(self):
        """Waits until `end`, the last time that queries ask for, is SETTLED seconds in the past."""
        left = self.end + SETTLED - time.time()
        if left > 0:
            print(f"waiting {left:.0f} s for {HISTORY} s of data to be {SETTLED} s old", file=sys.stderr)
            time.sleep(left)
        return self


@pytest.fixture(scope="session")
def replicas(tmp_path_factory):
    folder = tmp_path_factory.mktemp("replicas")
    cluster, exporter = Cluster(folder), Exporter([free_port() for _ in range(3)])
    try:
        yield Replicas(cluster, exporter)
    finally:
        exporter.stop()
        cluster.close()


@pytest.fixture
def cluster(tmp_path):
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def module_cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("module"))
    yield cluster
    cluster.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failing test shows where the logs of its processes are."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for value in item.funcargs.values():
            folder = getattr(getattr(value, "cluster", value), "folder", None)
            if folder:
                report.sections.append(("logs of the processes", "\n".join(sorted(map(str, folder.glob("*.log"))))))
