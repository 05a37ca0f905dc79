#!/usr/bin/env python3
"""test/golden/help/check.py TITAN [--update]: what titan says to a command line, and docs/flags.

Each case of CASES is run; stderr, stdout and the exit code are held against <name>.txt beside this
file, the pages that --help-docs writes against docs/flags/<command>.md."""

import difflib
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[2]
COMMANDS = ["sidecar", "store", "query"]
CASES = {
    "program": [],
    "program_help": ["--help"],
    "help_command": ["help"],
    "version": ["--version"],
    "sidecar": ["sidecar", "--help"],
    "sidecar_letter": ["sidecar", "-h"],
    "sidecar_asked_by_help": ["help", "sidecar"],
    "query": ["query", "--help"],
    "store": ["store", "--help"],
    "query_version": ["query", "--version"],
    "flags_before_the_command": ["--log.level", "debug", "--log.format=json", "query", "--version"],
    "unknown_command": ["querry"],
    "unknown_flag": ["query", "--what"],
    "unknown_flag_before_the_command": ["--http-address", "x", "query"],
    "unknown_letter": ["query", "-x"],
    "no_value": ["query", "--endpoint"],
    "stray_word": ["query", "up"],
    "stray_word_behind_dashes": ["query", "--", "--help"],
    "bad_enum": ["sidecar", "--log.level=loud"],
    "bad_duration": ["query", "--query.timeout=5"],
    "bad_time": ["sidecar", "--min-time=yesterday"],
    "bad_number": ["query", "--query.max-concurrent=many"],
    "repeated": ["query", "--http-address=a", "--http-address=b"],
    "both_halves_of_a_content": ["query", "--tracing.config=a", "--tracing.config-file=b"],
    "not_yet": ["store", "--index-cache.config=type: REDIS"],
    "bad_ratio": ["query", "--auto-gomemlimit.ratio=1.5"],
    "completion_of_commands": ["--completion-bash", "que"],
    "completion_of_program_flags": ["--completion-bash", "--l"],
    "completion_of_values": ["--completion-bash", "query", "--query.promql-engine", "th"],
    "completion_of_a_word": ["--completion-bash", "query", "x"],
    "completion_script_bash": ["--completion-script-bash"],
    "completion_script_zsh": ["--completion-script-zsh"],
    "journald": ["query", "--log.format=journald"],
    "no_file_of_arguments": ["@/nonexistent/arguments"],
}
CHANGING = [(r"ts=\S+", "ts=TIME"), (r"caller=\S+", "caller=FILE"), (r"titan, version .*", "titan, version VERSION"),
            (r"(build compiler:|platform:) .*", r"\1 ...")]


def said(titan, arguments):
    done = subprocess.run([titan, *arguments], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    text = f"$ titan {' '.join(arguments)}\n{done.stdout}{done.stderr}exit code {done.returncode}\n"
    for pattern, mask in CHANGING:
        text = re.sub(pattern, mask, text)
    return text


def without_rows(text):
    """Rows of flags are in the pages of the commands only, lest each new flag change all pages."""
    return re.sub(r"(?m)^  .*\n", "", text)


def docs(titan, command):
    return subprocess.run([titan, command, "--help-docs"], capture_output=True, text=True, timeout=60, check=True).stdout


def main():
    titan, update = sys.argv[1], "--update" in sys.argv
    pages = {}
    for name, arguments in CASES.items():
        text = said(titan, arguments)
        pages[HERE / f"{name}.txt"] = text if name in ["program", *COMMANDS] else without_rows(text)
    pages |= {TOP / "docs/flags" / f"{command}.md": docs(titan, command) for command in COMMANDS}
    wrong = 0
    for path, got in pages.items():
        if update:
            path.write_text(got)
        want = path.read_text() if path.exists() else ""
        if got != want:
            wrong += 1
            sys.stdout.writelines(difflib.unified_diff(want.splitlines(True), got.splitlines(True), str(path), "titan"))
    print(f"{len(pages) - wrong} as written, {wrong} not")
    sys.exit(wrong > 0)


main()
