"""Real processes for the end-to-end tests: Prometheus servers, and sidecars and queries of either
program, "titan" or "thanos". Only flags that both programs have are used here.

Where the programs are: TITAN (default build/test/titan, else build/debug/titan), and for the real
peers what scripts/peers prints. TITAN may name a Thanos: the whole suite then proves itself."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from functools import lru_cache
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "scripts/lib"))

from processes import Processes, free_port, http, wait_until  # noqa: E402

SCRAPE_INTERVAL = 1  # seconds
CLUSTER_LABEL = ("cluster", "e2e")

# The sanitizers' words for what they find; a process that says one of them fails its test.
FINDINGS = re.compile(r"ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|\.(c|cc|h):\d+:\d+: runtime error")


@lru_cache(None)
def peers():
    """name -> path of the real Prometheus, promtool and Thanos; builds them where they are missing."""
    lines = subprocess.run([TOP / "scripts/peers"], stdout=subprocess.PIPE, check=True, text=True).stdout
    return dict(line.split(" ", 1) for line in lines.splitlines())


def binary(program):
    """titan: the build to test. titan-release: the release build, for what sanitizers would distort."""
    if program == "titan-release":
        return os.environ.get("TITAN_RELEASE") or str(TOP / "build/release/titan")
    if program != "titan":
        return peers()[program]
    if os.environ.get("TITAN"):
        return os.environ["TITAN"]
    for folder in ("test", "debug", "release"):
        if (TOP / "build" / folder / "titan").exists():
            return str(TOP / "build" / folder / "titan")
    raise FileNotFoundError("no titan: run scripts/test, or set TITAN")


class Component:
    """A running process with an HTTP address, and a gRPC address where it has one."""

    def __init__(self, program, process, port, grpc_port=None):
        self.program, self.process, self.port, self.grpc_port = program, process, port, grpc_port
        self.url = f"http://127.0.0.1:{port}"
        self.grpc = f"127.0.0.1:{grpc_port}" if grpc_port else None

    def get(self, path, params=None, **more):
        return http(self.url + path, params, **more)

    def data(self, path, params=None, **more):
        """The data of an API answer that must be a success."""
        answer = self.get("/api/v1" + path, params, **more)
        assert answer.status == 200, f"{self.process.name} {path} {params}: {answer}"
        assert answer.json["status"] == "success", answer
        return answer.json["data"]

    def instant(self, query, at, **params):
        return self.data("/query", {"query": query, "time": at, **params})

    def range(self, query, start, end, step, **params):
        return self.data("/query_range", {"query": query, "start": start, "end": end, "step": step, **params})

    def stop(self, **more):
        return self.process.stop(**more)

    def kill(self):
        return self.process.kill()


class Cluster:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.processes = Processes(str(folder))

    # --- Prometheus

    def prometheus(self, name, targets=(), replica=None, scrape_self=True, extra_config="", flags=(), port=None,
                   external=None, features=True, block="2h"):
        """Real Prometheus with external labels cluster and replica, or those given, scraping every
        second. Its data and port stay when it is started again under the same name."""
        external = external or {CLUSTER_LABEL[0]: CLUSTER_LABEL[1], "replica": replica or name}
        data = self.folder / f"prometheus-{name}"
        data.mkdir(exist_ok=True)
        port = port or free_port()
        config = [f"global: {{scrape_interval: {SCRAPE_INTERVAL}s, scrape_timeout: {SCRAPE_INTERVAL}s, "
                  f"external_labels: {json.dumps(external)}}}",
                  "scrape_configs:"]
        if targets:
            config.append("- {job_name: app, static_configs: [" + ", ".join(
                f"{{targets: ['{target}'], labels: {{instance: app-{index}}}}}"
                for index, target in enumerate(targets)) + "]}")
        if scrape_self:
            # Its own native histograms beside their classic form.
            config.append("- {job_name: prometheus, scrape_native_histograms: true, always_scrape_classic_histograms: true, "
                          f"static_configs: [{{targets: ['127.0.0.1:{port}'], labels: {{instance: self}}}}]}}")
        config.append(extra_config)
        (data / "prometheus.yml").write_text("\n".join(config) + "\n")
        process = self.processes.start(f"prometheus-{name}", [
            peers()["prometheus"], f"--config.file={data}/prometheus.yml", f"--storage.tsdb.path={data}/data",
            f"--web.listen-address=127.0.0.1:{port}", f"--storage.tsdb.min-block-duration={block}",
            f"--storage.tsdb.max-block-duration={block}", "--web.enable-lifecycle",
            *(["--enable-feature=promql-experimental-functions"] if features else []), "--log.level=warn", *flags],
            env={"GOMAXPROCS": "2"})
        component = Component("prometheus", process, port)
        process.wait_ready(component.url + "/-/ready")
        component.name, component.replica = name, replica or name
        return component

    # --- Thanos's components, by either program

    def start(self, program, component, name, flags, grpc=True, env=None, wrap=()):
        """wrap: words in front of the command line, of a program that becomes this one."""
        port, grpc_port = free_port(), free_port() if grpc else None
        argv = [binary(program), component, f"--http-address=127.0.0.1:{port}"]
        if grpc:
            argv.append(f"--grpc-address=127.0.0.1:{grpc_port}")
        argv += ["--http-grace-period=1s", "--grpc-grace-period=1s", *flags]
        process = self.processes.start(f"{name}-{program}", [*wrap, *argv], env={
            "GOMAXPROCS": "2", "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
            "ASAN_OPTIONS": "detect_leaks=1:quarantine_size_mb=16", **(env or {})})
        return Component(program, process, port, grpc_port)

    def sidecar(self, program, prometheus, flags=(), wait=True, env=None):
        url = prometheus if isinstance(prometheus, str) else prometheus.url
        sidecar = self.start(program, "sidecar", "sidecar", [f"--prometheus.url={url}", *flags], env=env)
        if wait:
            sidecar.process.wait_ready(sidecar.url + "/-/ready")
        return sidecar

    def query(self, program, endpoints, replica_labels=("replica",), flags=(), wait=True, env=None, wrap=()):
        """endpoints: components or addresses; ready when all of them are in."""
        addresses = [getattr(endpoint, "grpc", endpoint) for endpoint in endpoints]
        query = self.start(program, "query", "query", [
            *(f"--endpoint={address}" for address in addresses),
            *(f"--query.replica-label={label}" for label in replica_labels), *flags], env=env, wrap=wrap)
        if wait:
            query.process.wait_ready(query.url + "/-/ready")
            wait_until(f"{query.process.name} knows {addresses}", 30, lambda: set(addresses) <= set(healthy(query)))
        return query

    # --- The end

    def close(self):
        """Ends all; raises when a process said something that no process of ours may say."""
        stubborn = self.processes.stop_all()
        complaints = [f"{name} had to be killed" for name in stubborn]
        for process in self.processes.all:
            text = process.log()
            found = FINDINGS.search(text)
            if found:
                complaints.append(f"{process.name}: {text[found.start():found.start() + 4000]}")
            if process.child.returncode not in (0, -2, -9, -15):
                complaints.append(f"{process.name} ended with {process.child.returncode}: {text[-2000:]}")
        assert not complaints, "\n".join(complaints)


def healthy(query):
    """Addresses in /stores without an error."""
    stores = query.data("/stores")
    return [store["name"] for kind in stores.values() for store in kind if store["lastError"] is None]


class CpuMeter:
    """CPU-seconds and memory of a process, from /proc."""

    def __init__(self, pid):
        self.pid = pid

    def cpu(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self, what):
        """Bytes; what: VmRSS, VmHWM."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(what + ":"):
                return int(line.split()[1]) * 1024
        raise KeyError(what)

    def reset_peak(self):
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")


class Background:
    """Runs a function in a thread and hands back what it gave or raised."""

    def __init__(self, function, *args, **more):
        self.result = self.error = None

        def run():
            try:
                self.result = function(*args, **more)
            except BaseException as error:  # handed to whoever joins
                self.error = error
        self.seconds = None
        self.begin = time.monotonic()
        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def join(self, timeout):
        self.thread.join(timeout)
        assert not self.thread.is_alive(), f"still running after {timeout} s"
        if self.error:
            raise self.error
        return self.result
