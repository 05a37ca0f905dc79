"""Child processes on free ports, for the demo and the tests: each with its log in a file, each gone
when this program is gone, however it ends."""

import ctypes
import json
import os
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

_taken = set()
_libc = ctypes.CDLL(None)


def free_port():
    """A port nobody listens on, below the range that the kernel hands out to clients."""
    while True:
        port = random.randint(20000, 31999)
        if port in _taken:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _taken.add(port)
        return port


def port_or_free(port):
    """The port itself where it is free, else another."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
            return port
        except OSError:
            return free_port()


class Answer:
    """One HTTP answer: .status, .headers, .body (bytes), .json."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.body[:500]!r}>"


def http(url, params=None, method="GET", headers=None, body=None, timeout=60):
    """Asks once; any status is an answer. params: a dict or a list of pairs; they go into the body
    of a POST without one of its own."""
    query = urllib.parse.urlencode(params or [], doseq=True)
    if query and method == "POST" and body is None:
        body = query.encode()
    elif query:
        url += "?" + query
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return Answer(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.headers, error.read())


def wait_until(what, timeout, condition, pause=0.05):
    """Calls condition until it gives something true, and gives that."""
    end = time.monotonic() + timeout
    last = None
    while True:
        try:
            result = condition()
            if result:
                return result
        except (OSError, ValueError, KeyError) as error:
            last = error
        if time.monotonic() > end:
            raise TimeoutError(f"not within {timeout} s: {what}" + (f" ({last})" if last else ""))
        time.sleep(pause)


def _die_with_parent():
    _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Process:
    def __init__(self, name, argv, log_path, env=None):
        self.name, self.argv, self.log_path = name, argv, log_path
        with open(log_path, "ab") as log:
            self.child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                          env={**os.environ, **(env or {})},
                                          start_new_session=True, preexec_fn=_die_with_parent)

    @property
    def pid(self):
        return self.child.pid

    @property
    def running(self):
        return self.child.poll() is None

    def log(self):
        with open(self.log_path, errors="replace") as log:
            return log.read()

    def wait_ready(self, url, timeout=60):
        def ready():
            if not self.running:
                raise RuntimeError(f"{self.name} ended with {self.child.returncode}:\n{self.log()[-3000:]}")
            return http(url, timeout=5).status == 200
        try:
            wait_until(f"{self.name} is ready at {url}", timeout, ready)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.log()[-3000:]}") from None
        return self

    def stop(self, how=signal.SIGTERM, timeout=20):
        """Ends it and gives its exit code; kills it when it does not end in time."""
        if self.running:
            self.child.send_signal(how)
        try:
            return self.child.wait(timeout)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise TimeoutError(f"{self.name} did not end within {timeout} s of {how!r}") from None

    def kill(self):
        return self.stop(signal.SIGKILL)


class Processes:
    """Starts them, and ends them all, the last one first."""

    def __init__(self, folder):
        self.folder, self.all = folder, []

    def start(self, name, argv, env=None):
        path = os.path.join(self.folder, f"{len(self.all):02d}-{name}.log")
        process = Process(name, [str(arg) for arg in argv], path, env)
        self.all.append(process)
        return process

    def stop_all(self, timeout=20):
        """Gives the names of those that had to be killed."""
        for process in reversed(self.all):
            if process.running:
                process.child.terminate()
        stubborn = []
        for process in reversed(self.all):
            try:
                process.stop(timeout=timeout)
            except TimeoutError:
                stubborn.append(process.name)
        return stubborn
