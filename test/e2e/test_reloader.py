"""The sidecar's reloader beside a real Prometheus: templates, rules, ConfigMaps that are swapped, what is
broken, and both ways to tell."""

import contextlib
import gzip
import os
import re
import shutil
from pathlib import Path

import pytest

from cluster import binary, wait_until

SECONDS = 8  # in which a change reaches Prometheus


class Setting:
    def __init__(self, cluster, program="titan", flags=(), env=None, executable=None):
        self.cluster, self.folder = cluster, cluster.folder
        self.template, self.rules = self.folder / "template/prometheus.yml.tmpl", self.folder / "rules"
        self.template.parent.mkdir()
        self.rules.mkdir()
        self.prometheus = cluster.prometheus("a", scrape_self=False, external={"replica": "before"})
        self.output = self.folder / "prometheus-a/prometheus.yml"
        self.write("1")
        self.sidecar = cluster.sidecar(program, self.prometheus, [
            f"--reloader.config-file={self.template}", f"--reloader.config-envsubst-file={self.output}", f"--reloader.rule-dir={self.rules}",
            "--reloader.watch-interval=1m", "--reloader.retry-interval=1s", "--prometheus.get_config_interval=1s", *flags],
            env={"POD_NAME": "prom-0", **(env or {})})

    def text(self, version, more=""):
        return (f'global: {{scrape_interval: 1s, external_labels: {{replica: "$(POD_NAME)", version: "{version}"}}}}\n'
                f"rule_files: ['{self.rules}/*.yml']\n{more}")

    def write(self, version, more=""):
        self.template.write_text(self.text(version, more))

    def config(self):
        return self.prometheus.data("/status/config")["yaml"]

    def wait_version(self, version):
        wait_until(f"version {version} is read", SECONDS, lambda: re.search(rf'version: "{version}"', self.config()))

    def metric(self, name):
        found = re.search(rf"^thanos_sidecar_reloader_{name}(?:{{[^}}]*}})? (\S+)$", self.sidecar.get("/metrics").body.decode(), re.M)
        return float(found.group(1))

    def rule_names(self):
        return {rule["name"] for group in self.prometheus.data("/rules")["groups"] for rule in group["rules"]}


def rule(name):
    return f"groups: [{{name: g, rules: [{{record: {name}, expr: '1'}}]}}]\n"


@pytest.fixture
def setting(cluster):
    return Setting(cluster)


def test_template_and_rules_reach_prometheus(setting):
    setting.wait_version("1")
    assert "replica: prom-0" in setting.config() and "$(" not in setting.output.read_text()
    assert setting.output.stat().st_mode & 0o777 == 0o644
    setting.write("2")
    setting.wait_version("2")
    (setting.rules / "one.yml").write_text(rule("first"))
    wait_until("the rule is read", SECONDS, lambda: setting.rule_names() == {"first"})
    (setting.rules / "one.yml").unlink()
    wait_until("the rule is gone", SECONDS, lambda: setting.rule_names() == set())
    assert setting.metric("reloads_total") >= 3 and setting.metric("last_reload_successful") == 1 and setting.metric("watches") == 2


def test_what_is_broken_leaves_the_last_good_file_and_shows(setting):
    setting.wait_version("1")
    good = setting.output.read_text()
    setting.write("2", "# $(NOBODY_SET_THIS)\n")
    wait_until("the metric shows it", SECONDS, lambda: setting.metric("config_environment_variable_expansion_errors") == 1)
    assert setting.output.read_text() == good and setting.metric("config_apply_operations_failed_total") >= 1
    assert 'found reference to unset environment variable \\"NOBODY_SET_THIS\\"' in setting.sidecar.process.log()
    setting.write("3", "nonsense: here\n")  # Prometheus refuses it
    wait_until("the refusal shows", SECONDS, lambda: setting.metric("reloads_failed_total") >= 1 and setting.metric("last_reload_successful") == 0)
    setting.write("4")
    setting.wait_version("4")
    wait_until("all is well again", SECONDS, lambda: setting.metric("last_reload_successful") == 1)


def test_a_swapped_configmap_is_seen(cluster):
    """Kubernetes changes a mounted ConfigMap by renaming the link `..data` to another directory."""
    class Mounted(Setting):
        def write(self, version, more=""):
            folder = self.template.parent / f"..version{version}"
            folder.mkdir()
            (folder / self.template.name).write_text(self.text(version, more))
            fresh = self.template.parent / "..data_tmp"
            fresh.symlink_to(folder.name)
            os.rename(fresh, self.template.parent / "..data")
            if not self.template.exists():
                self.template.symlink_to(f"..data/{self.template.name}")
    setting = Mounted(cluster)
    setting.wait_version("1")
    setting.write("2")
    setting.wait_version("2")
    shutil.rmtree(setting.template.parent / "..version1")


def test_a_compressed_template_is_read(setting):
    setting.wait_version("1")
    setting.template.write_bytes(gzip.compress(setting.text("2").encode()))
    setting.wait_version("2")


def processes_named(name):
    """The ids of the machine's processes; not of those that end meanwhile."""
    found = []
    for comm in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if comm.read_text().rstrip("\n") == name:
                found.append(comm.parent.name)
    return found


def test_prometheus_is_told_by_a_signal(cluster):
    name = os.path.basename(binary("prometheus"))
    setting = Setting(cluster, flags=["--reloader.method=signal", f"--reloader.process-name={name}-none"])
    wait_until("nobody of that name", SECONDS, lambda: "no process of executable" in setting.sidecar.process.log())
    setting.sidecar.stop()
    if processes_named(name) != [str(setting.prometheus.process.child.pid)]:
        return  # the signal would go to somebody else's
    setting.sidecar = cluster.sidecar("titan", setting.prometheus, [
        f"--reloader.config-file={setting.template}", f"--reloader.config-envsubst-file={setting.output}", "--reloader.method=signal",
        f"--reloader.process-name={name}"], env={"POD_NAME": "prom-0"})
    setting.write("2")
    setting.wait_version("2")


def test_an_unset_variable_at_the_start_ends_the_sidecar(cluster):
    prometheus = cluster.prometheus("a", scrape_self=False)
    template = cluster.folder / "template.yml"
    template.write_text("# $(NOBODY_SET_THIS)\n")
    sidecar = cluster.start("titan", "sidecar", "sidecar", [f"--prometheus.url={prometheus.url}", f"--reloader.config-file={template}",
                                                            f"--reloader.config-envsubst-file={cluster.folder}/out.yml"])
    wait_until("it ends", 10, lambda: not sidecar.process.running)
    assert "NOBODY_SET_THIS" in sidecar.process.log() and not (cluster.folder / "out.yml").exists()
    cluster.processes.all.remove(sidecar.process)
