"""--prometheus.http-client: how a sidecar reaches a Prometheus that asks for certificates, passwords or
tokens, or that is behind a proxy. In front of the real Prometheus stands a small server that lets pass
only what it is told to."""

import base64
import http.server
import json
import ssl
import subprocess
import threading
import time
import urllib.parse
import urllib.error
import urllib.request

import pytest

import http2
from cluster import TOP, free_port, peers, wait_until
from fake_prometheus import FakePrometheus
from wire import chunk_message, field, grpc_message, labels_message, matcher, read_frame, series_request

HASH = "$2b$04$KQQNGe0xcryUQdeVhTA6MugPBQ25K1A.18Lt.83Nh.ZpAV6Xrrf0O"  # of "secret"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    subprocess.run([TOP / "test/support/make-certificates", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def prometheus(module_cluster):
    return module_cluster.prometheus("client")


class Door:
    """Forwards to Prometheus the requests for which check(handler) is true; others get 401. Gives out
    tokens; stands in as a proxy."""

    def __init__(self, prometheus, check, context=None):
        self.prometheus, self.check, self.seen, self.tokens = prometheus, check, [], 0
        self.grants = []  # (authorization, form) of requests for a token
        self.port = free_port()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), self.handler())
        self.server.daemon_threads = True
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.port}"

    def handler(door):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self, status, body, kind="text/plain"):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.path == "/token":
                    door.grants.append((self.headers["Authorization"], urllib.parse.parse_qs(body.decode())))
                    if not self.headers["Authorization"]:
                        door.tokens += 1
                        self.answer(200, json.dumps({"access_token": f"token{door.tokens}", "token_type": "bearer", "expires_in": 11}).encode(), "application/json")
                    else:
                        self.answer(401, b"{}")
                    return
                door.seen.append((self.path, dict(self.headers)))
                if not door.check(self):
                    self.answer(401, b"who are you?")
                    return
                path = self.path[self.path.index("/", 8):] if self.path.startswith("http://") else self.path
                request = urllib.request.Request(door.prometheus.url + path, data=body or None, method=self.command,
                                                 headers={name: value for name, value in self.headers.items() if name not in ("Host", "Authorization", "Accept-Encoding")})
                try:
                    with urllib.request.urlopen(request, timeout=10) as response:
                        self.answer(response.status, response.read(), response.headers["Content-Type"])
                except urllib.error.HTTPError as error:
                    self.answer(error.code, error.read())

            do_POST = do_GET

            def log_message(self, *args):
                pass
        return Handler

    def close(self):
        self.server.shutdown()


def sidecar(cluster, program, url, config, wait=True):
    file = cluster.folder / f"client-{len(cluster.processes.all)}.yml"
    file.write_text(config)
    return cluster.sidecar(program, url, [f"--prometheus.http-client-file={file}", "--prometheus.get_config_interval=300ms"], wait=wait)


@pytest.fixture(params=["titan", "thanos"])
def program(request):
    return request.param


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_tls_with_both_certificates_and_a_password(cluster, certificates, program):
    (cluster.folder / "web.yml").write_text(
        f"tls_server_config: {{cert_file: {certificates}/wrong-name.crt, key_file: {certificates}/wrong-name.key, "
        f"client_ca_file: {certificates}/ca.crt, client_auth_type: RequireAndVerifyClientCert}}\n"
        f"basic_auth_users: {{alice: {HASH}}}\n")
    port = free_port()
    data = cluster.folder / "data"
    (cluster.folder / "prometheus.yml").write_text("global: {external_labels: {a: b}}\n")
    cluster.processes.start("prometheus", [peers()["prometheus"], f"--config.file={cluster.folder}/prometheus.yml", f"--storage.tsdb.path={data}",
                                           f"--web.listen-address=127.0.0.1:{port}", f"--web.config.file={cluster.folder}/web.yml"])
    (cluster.folder / "password").write_text("secret\n")
    good = (f"basic_auth: {{username: alice, password_file: {cluster.folder}/password}}\n"
            f"tls_config: {{ca_file: {certificates}/ca.crt, cert_file: {certificates}/client.crt, key_file: {certificates}/client.key, server_name: elsewhere.example}}\n")
    well = sidecar(cluster, program, f"https://127.0.0.1:{port}", good)
    assert well.get("/-/ready").status == 200
    if program == "thanos":
        return
    for wrong, says in ((good.replace("elsewhere", "other"), "other.example"), (good.replace("/ca.crt", "/other-ca.crt"), "certificate"),
                        (good.replace("client.", "other-client."), ""), (good.replace("alice", "bob"), "401")):
        bad = sidecar(cluster, program, f"https://127.0.0.1:{port}", wrong, wait=False)
        wait_until(f"the log says {says}", 15, lambda: says in bad.process.log() and "err=" in bad.process.log())
        assert bad.get("/-/ready").status == 503
        assert "secret" not in bad.process.log()


@pytest.mark.parametrize("config", ["bearer_token: t1", "bearer_token_file: @/token"])
def test_a_token_from_the_configuration_or_from_a_file(cluster, prometheus, program, config):
    good = ["Bearer t1"]
    door = Door(prometheus, lambda handler: handler.headers["Authorization"] == good[0])
    (cluster.folder / "token").write_text("\n t1 \n")
    well = sidecar(cluster, program, door.url, config.replace("@", str(cluster.folder)))
    if "file" in config:  # is read again
        (cluster.folder / "token").write_text("t2")
        good[0] = "Bearer t2"
        before = len(door.seen)
        wait_until("it asks again", 10, lambda: len(door.seen) > before + 3)
        assert well.get("/-/ready").status == 200
    door.close()


def test_a_proxy(cluster, prometheus, program):
    door = Door(prometheus, lambda handler: handler.path.startswith("http://nowhere.example/"))
    well = sidecar(cluster, program, "http://nowhere.example", f"proxy_url: {door.url}")
    assert well.get("/-/ready").status == 200
    door.close()


def test_a_long_read_over_tls_that_is_read_slowly(cluster, certificates, program):
    """Far more than buffers hold, through a query that takes it at its own pace, and through one that stops for a while."""
    now, series = int(time.time() * 1000), 60_000
    chunk = field(2, chunk_message([(now - 2000, 1.0), (now - 1000, 1.0)]))
    body = b"".join(read_frame(field(1, labels_message([("__name__", "fake"), ("n", f"{n:07d}"), ("pad", "x" * 200)]) + chunk)) for n in range(series))

    def read(stream):
        stream.start()
        for at in range(0, len(body), 100_000):
            stream.handler.wfile.write(b"%x\r\n%s\r\n" % (len(body[at:at + 100_000]), body[at:at + 100_000]))
        stream.end()

    fake = FakePrometheus(read)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{certificates}/server.crt", f"{certificates}/server.key")
    fake.server.socket = context.wrap_socket(fake.server.socket, server_side=True)
    side = sidecar(cluster, program, f"https://127.0.0.1:{fake.port}", f"tls_config: {{ca_file: {certificates}/ca.crt}}")
    query = cluster.query("titan", [side])
    assert query.instant("count(fake)", now / 1000, partial_response="false")["result"][0]["value"][1] == str(series)
    slow = http2.Http2(side.grpc, window=65535)
    stream = slow.request("/thanos.Store/Series")
    slow.data(stream, grpc_message(series_request(0, now + 1000, matcher("__name__", "fake"))))
    time.sleep(1)
    slow.grant(stream, 1 << 30)
    slow.grant(0, 1 << 30)
    answer = http2.finish(slow, stream, timeout=30, grant=False)
    assert answer.grpc_status == 0 and len(answer.data) > len(body) / 2
    slow.close()
    fake.stop()


def test_transport_is_in_nanoseconds(cluster, prometheus, program):
    door = Door(prometheus, lambda handler: time.sleep(1) is None)
    slow = sidecar(cluster, program, door.url, "transport_config: {response_header_timeout: 200000000, max_idle_conns: 1, dialer_timeout: 1000000000}", wait=False)
    wait_until("it gives up", 10, lambda: "timeout awaiting response headers" in slow.process.log())
    door.close()


# --- What Titan has beyond Thanos

def test_authorization_of_any_type(cluster, prometheus):
    door = Door(prometheus, lambda handler: handler.headers["Authorization"] == "Token abc")
    sidecar(cluster, "titan", door.url, "authorization: {type: Token, credentials: abc}")
    door.close()


def test_oauth2_tokens_are_asked_for_and_renewed(cluster, prometheus):
    door = Door(prometheus, lambda handler: handler.headers["Authorization"] == f"Bearer token{door.tokens}")
    (cluster.folder / "client-secret").write_text("s3cr3t\n")
    well = sidecar(cluster, "titan", door.url,
                   f"oauth2: {{client_id: me, client_secret_file: {cluster.folder}/client-secret, token_url: '{door.url}/token', scopes: [a, b], endpoint_params: {{audience: x y}}}}")
    first, second = door.grants[:2]
    assert first[0] == basic("me", "s3cr3t")
    assert second == (None, {"grant_type": ["client_credentials"], "client_id": ["me"], "client_secret": ["s3cr3t"], "scope": ["a b"], "audience": ["x y"]})
    wait_until("there is a second token", 10, lambda: door.tokens >= 2)  # ten seconds before the end of the first
    wait_until("and it is used", 10, lambda: any(headers.get("Authorization") == "Bearer token2" for _, headers in door.seen))
    assert well.get("/-/ready").status == 200
    assert "s3cr3t" not in well.process.log()
    door.close()


def test_no_proxy_of_the_environment_unless_asked_for(cluster, prometheus):
    assert cluster.sidecar("titan", prometheus, env={"http_proxy": "http://127.0.0.1:1"}).get("/-/ready").status == 200
    door = Door(prometheus, lambda handler: handler.path.startswith("http://nowhere.example/"))
    cluster.sidecar("titan", "http://nowhere.example", ["--prometheus.http-client=proxy_from_environment: true"], env={"http_proxy": door.url})
    door.close()


def test_secrets_are_not_in_the_log(cluster):
    for config in ("basic_auth: hunter2", "basic_auth: {username: a, password: hunter2, password_file: x}", "bearer_token: [hunter2]",
                   "hunter2", "bearer_token: hunter2\nbearer_token_file: x"):
        process = cluster.start("titan", "sidecar", "sidecar", [f"--prometheus.http-client={config}"]).process
        wait_until("it has ended", 10, lambda: not process.running)
        assert "--prometheus.http-client: " in process.log() and "hunter2" not in process.log(), process.log()
        process.child.returncode = 0  # as was to be
    hidden = cluster.start("titan", "sidecar", "sidecar", ["--prometheus.url=http://alice:hunter2@127.0.0.1:1"]).process
    wait_until("it fails", 10, lambda: "err=" in hidden.log())
    assert "hunter2" not in hidden.log(), hidden.log()
    wrong = cluster.start("titan", "sidecar", "sidecar", ["--prometheus.http-client=bearer_token: hunter2", "--prometheus.get_config_interval=soon"]).process
    wait_until("it has ended", 10, lambda: not wrong.running)
    assert "hunter2" not in wrong.log()
    wrong.child.returncode = 0
    unknown = cluster.start("titan", "sidecar", "sidecar", ["--prometheus.http-client=bearer_tokn: hunter2"]).process
    wait_until("it is told", 10, lambda: "a key that is not known" in unknown.log())
    assert "bearer_tokn" in unknown.log() and "hunter2" not in unknown.log()
