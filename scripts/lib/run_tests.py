"""Runs the steps of scripts/test one after another, shows how far each is, sums up their results."""

import argparse
import json
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
FUZZ_SECONDS = int(os.environ.get("TITAN_FUZZ_SECONDS", "3600"))  # --long: shared by all targets
# One compiler each: clang and its thread-safety analysis for the tests, gcc for the release.
CLANG, GCC = {"CC": "clang-14", "CXX": "clang++-14"}, {"CC": "gcc", "CXX": "g++"}
SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:detect_stack_use_after_return=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}
CMOCKA = {"passed": re.compile(r"^\[  PASSED  \] (\d+) test", re.M), "failed": re.compile(r"^\[  FAILED  \] (\d+) test", re.M),
          "skipped": re.compile(r"^\[  SKIPPED \] (\d+) test", re.M)}


class Summary:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures, self.skips = [], []

    def add(self, name, passed=0, failed=0, skipped=0):
        self.passed, self.failed, self.skipped = self.passed + passed, self.failed + failed, self.skipped + skipped
        if failed:
            self.failures.append(name)
        if skipped:
            self.skips.append(name)


summary = Summary()
began = time.monotonic()


def say(text):
    minutes, seconds = divmod(int(time.monotonic() - began), 60)
    print(f"\n[{minutes:2d}:{seconds:02d}] {text}", flush=True)


def run(argv, **more):
    return subprocess.run([str(arg) for arg in argv], cwd=TOP, env={**os.environ, **SANITIZERS, **more.pop("env", {})}, **more)


def check(name, argv, env=None):
    """A command that is one test: it passes when it exits with 0."""
    say(name)
    good = run(argv, env=env or {}).returncode == 0
    summary.add(name, passed=int(good), failed=int(not good))
    return good


def build(folder, compilers, *options):
    """meson setup where it is needed, then ninja, which shows how far it is."""
    say(f"build/{folder}: {' '.join(options)}")
    target = TOP / "build" / folder
    if not (target / "build.ninja").exists():
        if run(["meson", "setup", target, *options], env=compilers).returncode:
            sys.exit(f"meson setup build/{folder} failed")
    if run(["ninja", "-C", target]).returncode:
        summary.add(f"build/{folder}", failed=1)
        return False
    summary.add(f"build/{folder}", passed=1)
    return True


def meson_tests(folder):
    """All tests that meson knows; a cmocka program counts as many as it ran."""
    say(f"unit, property, golden and corpus tests of build/{folder}")
    target = TOP / "build" / folder
    run(["meson", "test", "-C", target, "--no-rebuild", "--timeout-multiplier", "3", "--print-errorlogs"])
    for line in (target / "meson-logs/testlog.json").read_text().splitlines():
        test = json.loads(line)
        name, text = f"{folder}: {test['name']}", test.get("stdout", "") + "\n" + test.get("stderr", "")
        counts = {word: sum(map(int, pattern.findall(text))) for word, pattern in CMOCKA.items()}
        if test["result"] in ("OK", "EXPECTEDFAIL"):
            summary.add(name, passed=counts["passed"] or 1, skipped=counts["skipped"])
        elif test["result"] == "SKIP":
            summary.add(name, skipped=1)
        else:
            summary.add(name, passed=counts["passed"], failed=counts["failed"] or 1)


def pytests(arguments, env):
    """The tests that start real processes."""
    say("the real Prometheus and Thanos")
    if run(["scripts/peers"]).returncode:
        summary.add("scripts/peers", failed=1)
        return
    say("end-to-end, interop and differential tests")
    report = TOP / "build/pytest.xml"
    run([sys.executable, "-m", "pytest", f"--junitxml={report}", *arguments], env={"PYTHONDONTWRITEBYTECODE": "1", **env})
    if not report.exists():
        summary.add("pytest", failed=1)
        return
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            summary.add(name, failed=1)
        elif "skipped" in kinds:
            summary.add(name, skipped=1)
        else:
            summary.add(name, passed=1)
    report.unlink()


def fuzz():
    """Each fuzz target for its share of the hour, on its corpus, two at a time."""
    if not build("fuzz", CLANG, "-Dfuzzers=true", "-Db_sanitize=address,undefined", "-Db_lundef=false"):
        return
    targets = sorted(path for path in (TOP / "build/fuzz/test/fuzz").glob("*_fuzz") if os.access(path, os.X_OK))
    seconds = max(10, 2 * FUZZ_SECONDS // max(1, len(targets)))
    say(f"{len(targets)} fuzz targets, {seconds} s each")
    found = TOP / "build/fuzz/found"
    while targets:
        pair, targets = targets[:2], targets[2:]
        children = []
        for path in pair:
            name = path.name.removesuffix("_fuzz")
            fresh = TOP / "build/fuzz/corpus" / name
            fresh.mkdir(parents=True, exist_ok=True)
            found.mkdir(exist_ok=True)
            log = open(found / f"{name}.log", "w")
            children.append((name, subprocess.Popen(
                [path, fresh, TOP / "test/fuzz/corpus" / name, f"-max_total_time={seconds}", f"-artifact_prefix={found}/{name}-", "-rss_limit_mb=2048",
                 "-timeout=10"], env={**os.environ, **SANITIZERS}, stdout=log, stderr=log)))
        for name, child in children:
            good = child.wait() == 0
            print(f"  {name}: {'nothing found' if good else f'see build/fuzz/found/{name}.log'}", flush=True)
            summary.add(f"fuzz {name}", passed=int(good), failed=int(not good))


def main():
    parser = argparse.ArgumentParser(prog="scripts/test")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--no-skips", action="store_true")
    parser.add_argument("-k", dest="select")
    options = parser.parse_args()

    if build("test", CLANG, "-Db_sanitize=address,undefined", "-Db_lundef=false"):
        meson_tests("test")
    check("layers, lengths of functions and files", ["scripts/check-layers"])
    check("formatting", ["scripts/format"])
    if not options.quick:
        build("release", GCC, "--buildtype=release", "-Db_pie=true", "-Dtests=false")
        pytests(["-k", options.select] if options.select else [], {
            "TITAN": str(TOP / "build/test/titan"), "TITAN_RELEASE": str(TOP / "build/release/titan"), "TITAN_LONG": "1" if options.long else ""})
    if options.long:
        if build("thread", CLANG, "-Db_sanitize=thread", "-Db_lundef=false"):
            meson_tests("thread")
            pytests(["test/interop", "test/e2e/test_replica_killed.py", "test/e2e/test_kill9.py"], {"TITAN": str(TOP / "build/thread/titan")})
            check("races of running processes", [sys.executable, "-m", "pytest", "-q", "test/e2e/test_races.py"],
                  {"TITAN": str(TOP / "build/thread/titan"), "TITAN_LONG": "1", "PYTHONDONTWRITEBYTECODE": "1"})
        fuzz()

    for name in summary.failures:
        print(f"failed: {name}")
    for name in summary.skips:
        print(f"skipped: {name}")
    say(f"done{', and skipped tests count as failed here' if options.no_skips and summary.skipped else ''}")
    print(f"{summary.passed} passed, {summary.failed} failed, {summary.skipped} skipped")
    return 1 if summary.failed or (options.no_skips and summary.skipped) else 0


if __name__ == "__main__":
    sys.exit(main())
