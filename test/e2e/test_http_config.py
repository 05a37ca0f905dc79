"""--http.config: TLS, client certificates, basic authentication, headers and the limit of requests on
the HTTP port, as the real Thanos answers them; the file and what it names may change while it runs."""

import base64
import http.client
import json
import socket
import ssl
import subprocess
import time

import pytest

from cluster import TOP, Background, wait_until
from fake_prometheus import FakePrometheus, honest

# of "secret", at bcrypt's least cost and at one that takes a while
HASH = "$2b$04$CdbcDz5leZRnFfai7wcM7uNiWpXSJDBvyBbewxK1poH9OtWRHYADS"
SLOW_HASH = "$2b$10$BW5JGBtDRqu7niTr9BYrmOkM9Nj25SRIqVPgCLVCpMDBUsJCl8sa."


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    subprocess.run([TOP / "test/support/make-certificates", folder], check=True)
    return folder


class Server:
    """A query with a configuration of its HTTP port."""

    def __init__(self, cluster, program, folder, config, wait=True, flags=()):
        self.folder, self.file = folder, cluster.folder / f"web-{len(cluster.processes.all)}.yml"
        self.file.write_text(config.replace("@", str(folder)))
        self.component = cluster.start(program, "query", "query", [f"--http.config={self.file}", *flags])
        self.port, self.process = self.component.port, self.component.process
        if wait:
            wait_until("the port is open", 20, lambda: socket.create_connection(("127.0.0.1", self.port)).close() is None)

    def context(self, certificate=None):
        context = ssl.create_default_context(cafile=f"{self.folder}/ca.crt")
        if certificate:
            context.load_cert_chain(f"{self.folder}/{certificate}.crt", f"{self.folder}/{certificate}.key")
        return context

    def ask(self, path="/-/healthy", user=None, password="secret", tls=False, certificate=None, method="GET"):
        connection = http.client.HTTPSConnection("localhost", self.port, context=self.context(certificate), timeout=20) if tls \
            else http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()} if user else {}
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            answer.text = answer.read().decode()
            return answer
        finally:
            connection.close()


@pytest.fixture(params=["titan", "thanos"])
def program(request):
    return request.param


def test_every_path_asks_for_a_known_user(cluster, certificates, program):
    server = Server(cluster, program, certificates, f"basic_auth_users: {{alice: {HASH}}}")
    for path in ("/-/healthy", "/metrics", "/api/v1/query?query=1", "/nothing-there"):
        for refused in (server.ask(path), server.ask(path, "alice", "wrong"), server.ask(path, "bob"), server.ask(path, "alice", "")):
            assert (refused.status, refused.text, refused.headers["WWW-Authenticate"]) == (401, "Unauthorized\n", "Basic")
    assert server.ask("/-/healthy", "alice").status == 200
    assert server.ask("/api/v1/query?query=1", "alice").status == 200
    assert server.ask("/api/v1/query?query=1", "alice", method="POST").status == 200
    assert server.ask("/nothing-there", "alice").status == 404
    # Users come and go with the file.
    server.file.write_text(f"basic_auth_users: {{carol: {HASH}}}")
    wait_until("carol is in", 5, lambda: server.ask("/-/healthy", "carol").status == 200)
    assert server.ask("/-/healthy", "alice").status == 401
    assert "secret" not in server.process.log() and HASH not in server.process.log()
    for page in ("/metrics", "/api/v1/status/flags", "/api/v1/status/runtimeinfo"):
        text = server.ask(page, "carol").text
        assert "secret" not in text and HASH not in text


def test_headers_go_with_every_answer(cluster, certificates, program):
    server = Server(cluster, program, certificates, """
http_server_config: {headers: {X-Frame-Options: deny, Strict-Transport-Security: max-age=1, Content-Security-Policy: "default-src 'self'"}}
basic_auth_users: {alice: "%s"}""" % HASH)
    for answer in (server.ask("/-/healthy", "alice"), server.ask("/-/healthy"), server.ask("/nothing", "alice")):
        assert answer.headers["X-Frame-Options"] == "deny"
        assert answer.headers["Strict-Transport-Security"] == "max-age=1"
        assert answer.headers["Content-Security-Policy"] == "default-src 'self'"


TLS = "tls_server_config: {cert_file: @/server.crt, key_file: @/server.key, client_ca_file: @/ca.crt, client_auth_type: %s}\n"


def refused(server, certificate):
    try:
        server.ask(tls=True, certificate=certificate)
    except (OSError, http.client.HTTPException):
        return True
    return False


def test_certificates_of_both_sides(cluster, certificates, program):
    server = Server(cluster, program, certificates, TLS % "RequireAndVerifyClientCert")
    assert server.ask(tls=True, certificate="client").text.startswith(("OK", "Thanos"))
    assert refused(server, None) and refused(server, "other-client")
    plain = server.ask()
    assert (plain.status, plain.text) == (400, "Client sent an HTTP request to an HTTPS server.\n")
    # Another way to treat clients, from the next connection on.
    server.file.write_text((TLS % "RequestClientCert").replace("@", str(certificates)))
    assert server.ask(tls=True).status == 200
    if program == "titan":
        wait_until("the log says why", 5, lambda: "client didn't provide a certificate" in server.process.log())


def test_the_certificate_of_the_port_is_replaced_while_it_is_used(cluster, tmp_path, program):
    subprocess.run([TOP / "test/support/make-certificates", tmp_path], check=True)
    server = Server(cluster, program, tmp_path, "tls_server_config: {cert_file: @/server.crt, key_file: @/server.key}")

    def serial():
        with socket.create_connection(("127.0.0.1", server.port)) as plain:
            with server.context().wrap_socket(plain, server_hostname="localhost") as connection:
                return connection.getpeercert()["serialNumber"]

    kept = http.client.HTTPSConnection("localhost", server.port, context=server.context(), timeout=20)
    kept.request("GET", "/-/healthy")
    assert kept.getresponse().read()
    first = serial()
    subprocess.run([TOP / "test/support/make-certificates", tmp_path, "server"], check=True)
    assert serial() != first
    kept.request("GET", "/-/healthy")
    assert kept.getresponse().status == 200, "an older connection goes on"


def test_over_the_limit_of_requests(cluster, certificates, program):
    server = Server(cluster, program, certificates, "rate_limit: {burst: 3, interval: 1h}")
    answers = [server.ask() for _ in range(5)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[-1].text == "Too Many Requests\n"


def test_the_tenant_of_a_certificate(cluster, certificates, program):
    """Its common name is the one replica of which there is data, or another one."""
    now_ms = int(time.time() * 1000)
    fake = FakePrometheus(honest(now_ms), replica="client")
    sidecar = cluster.sidecar("titan", fake.url)
    server = Server(cluster, program, certificates, TLS % "VerifyClientCertIfGiven", flags=[
        f"--endpoint={sidecar.grpc}", "--query.tenant-certificate-field=commonName", "--query.enforce-tenancy", "--query.tenant-label-name=replica"])
    query = f"/api/v1/query?query=count(fake)&time={now_ms / 1000}"

    def result(certificate):
        return json.loads(server.ask(query, tls=True, certificate=certificate).text)["data"]["result"]

    wait_until("the sidecar is in", 15, lambda: result("client"))
    assert result("client")[0]["value"][1] == "10"
    assert result("server") == []
    none = server.ask(query, tls=True)
    assert none.status in (400, 422, 500) and "could not get required certificate field from client cert" in none.text, none.text
    fake.stop()


@pytest.mark.parametrize("config, says", [
    ("tls_server_config: {cert_file: @/nothing.crt, key_file: @/server.key}", "no such file or directory"),
    ("tls_server_config: {cert_file: @/server.crt, key_file: @/client.key}", "private key does not match public key"),
    ("basic_auth_user: {a: b}", "field basic_auth_user not found in type web.Config"),
    ("http_server_config: {headers: {X-Foo: a}}", "can not be configured")])
def test_a_mistake_in_the_file_ends_the_process(cluster, certificates, program, config, says):
    server = Server(cluster, program, certificates, config, wait=False)
    wait_until("it has ended", 20, lambda: not server.process.running)
    assert server.process.child.returncode == 1
    assert "server could not be started" in server.process.log() and says.lower() in server.process.log().lower()
    server.process.child.returncode = 0  # as was to be


# --- What Titan does of its own

def test_a_file_that_is_broken_later_leaves_the_good_one(cluster, certificates):
    server = Server(cluster, "titan", certificates, f"basic_auth_users: {{alice: {HASH}}}")
    server.file.write_text("basic_auth_users: {alice: secret}")
    assert server.ask("/-/healthy", "alice").status == 200
    assert server.ask("/-/healthy").status == 401
    log = server.process.log()
    assert log.count("changed HTTP configuration cannot be used") == 1 and "web-0.yml" in log and "secret" not in log


def test_guessing_passwords_does_not_keep_those_out_who_know_theirs(cluster, certificates):
    server = Server(cluster, "titan", certificates, f'basic_auth_users: {{alice: "{SLOW_HASH}", bob: "{HASH}"}}')
    assert server.ask("/-/healthy", "bob").status == 200  # remembered from here on
    done = []

    def guess(number):
        statuses = set()
        while not done:
            statuses.add(server.ask("/-/healthy", "alice", f"guess {number} {time.monotonic()}").status)
        return statuses

    guessing = [Background(guess, number) for number in range(30)]
    time.sleep(0.5)
    slowest = 0
    for _ in range(20):
        begin = time.monotonic()
        assert server.ask("/api/v1/query?query=1", "bob").status == 200
        slowest = max(slowest, time.monotonic() - begin)
    done.append(True)
    for one in guessing:
        assert one.join(30) <= {401, 429}
    assert slowest < 0.5


def test_a_client_that_goes_while_its_password_is_compared_does_no_harm(cluster, certificates):
    server = Server(cluster, "titan", certificates, f'basic_auth_users: {{alice: "{SLOW_HASH}"}}')
    for number in range(20):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            credentials = base64.b64encode(f"alice:{number}".encode()).decode()
            connection.sendall(f"GET /-/healthy HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {credentials}\r\n\r\n".encode())
    assert server.ask("/-/healthy", "alice").status == 200
