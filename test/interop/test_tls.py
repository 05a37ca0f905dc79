"""TLS between Titan and the real Thanos 0.42.5 as sidecars and stacked queries: servers with client
CAs, clients with certificates; who is refused, and what the log says then; certificates that change
under load."""

import hashlib
import shutil
import socket
import ssl
import subprocess
import time

import pytest

from cluster import TOP, Background, healthy, wait_until

MIXES = [("titan", "titan", "titan"), ("titan", "thanos", "titan"), ("thanos", "titan", "thanos"), ("titan", "titan", "thanos"),
         ("thanos", "thanos", "titan")]


def make_certificates(folder, *names):
    subprocess.run([TOP / "test/support/make-certificates", folder, *names], check=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


@pytest.fixture(scope="module")
def prometheus(module_cluster):
    prometheus = module_cluster.prometheus("tls")
    wait_until("samples are there", 15, lambda: prometheus.instant("up", time.time())["result"])
    return prometheus


def server_flags(folder, name="server", ca="ca", more=()):
    flags = [f"--grpc-server-tls-cert={folder}/{name}.crt", f"--grpc-server-tls-key={folder}/{name}.key"]
    return [*flags, *([f"--grpc-server-tls-client-ca={folder}/{ca}.crt"] if ca else []), *more]


def client_flags(folder, name="client", ca="ca", more=()):
    flags = ["--grpc-client-tls-secure", f"--grpc-client-tls-ca={folder}/{ca}.crt"]
    return [*flags, *([f"--grpc-client-tls-cert={folder}/{name}.crt", f"--grpc-client-tls-key={folder}/{name}.key"] if name else []), *more]


@pytest.mark.parametrize("upper, lower, sidecar", MIXES, ids=["-over-".join(mix) for mix in MIXES])
def test_two_stacked_queries_with_certificates_on_both_sides(cluster, certificates, prometheus, upper, lower, sidecar):
    bottom = cluster.sidecar(sidecar, prometheus, server_flags(certificates))
    both = [*server_flags(certificates), *client_flags(certificates)]
    middle = cluster.query(lower, [bottom], flags=both)
    top = cluster.query(upper, [middle], flags=client_flags(certificates))
    assert top.instant("count(up)", time.time())["result"][0]["value"][1] == "1"


# What is wrong: flags of the server and of the client, what the client's log says, and the server's.
REFUSED = {
    "a server of an unknown authority": (
        lambda at: server_flags(at, "other-server"), client_flags, "certificate signed by unknown authority", None),
    "a server whose certificate is over": (
        lambda at: server_flags(at, "expired"), client_flags, "certificate has expired or is not yet valid", None),
    "a server with another name": (
        lambda at: server_flags(at, "wrong-name"), client_flags, "x509: ", None),
    "a name that is not the server's": (
        server_flags, lambda at: client_flags(at, more=["--grpc-client-server-name=elsewhere.example"]), "not elsewhere.example", None),
    "a client of an unknown authority": (
        server_flags, lambda at: client_flags(at, "other-client"), "tls: ", "certificate signed by unknown authority"),
    "a client without a certificate": (
        server_flags, lambda at: client_flags(at, None), "certificate required", "client didn't provide a certificate"),
    "a client in the clear": (
        server_flags, lambda at: [], "", "first record does not look like a TLS handshake"),
    "a server in the clear": (
        lambda at: [], client_flags, "first record does not look like a TLS handshake", None),
}


@pytest.fixture(scope="module")
def servers(module_cluster, certificates, prometheus):
    """Sidecars of either program, one for each set of flags."""
    made = {}

    def get(program, flags):
        key = (program, *flags)
        if key not in made:
            made[key] = module_cluster.sidecar(program, prometheus, flags)
        return made[key]
    return get


@pytest.mark.parametrize("client, server", [("titan", "titan"), ("titan", "thanos"), ("thanos", "titan")],
                         ids=["titan-asks-titan", "titan-asks-thanos", "thanos-asks-titan"])
def test_who_is_not_to_be_trusted_is_refused_and_the_log_says_why(cluster, certificates, servers, client, server):
    asked = {}
    for name, (server_side, client_side, _, _) in REFUSED.items():
        sidecar = servers(server, server_side(certificates))
        query = cluster.query(client, [sidecar], flags=client_side(certificates), wait=False)
        asked[name] = (sidecar, query)
    for name, (sidecar, query) in asked.items():
        _, _, client_says, server_says = REFUSED[name]
        query.process.wait_ready(query.url + "/-/ready")
        if client == "titan" and server == "thanos" and server_says:
            client_says = "error reading from server: "  # Go's server often resets the connection before its alert is read
        if client == "titan":
            wait_until(f"{name}: {client_says}", 15, lambda: client_says in query.process.log())
            assert "update of endpoint failed" in query.process.log(), name
        if server == "titan" and server_says:
            wait_until(f"{name}: {server_says}", 15, lambda: server_says in sidecar.process.log())
        assert sidecar.grpc not in healthy(query), name


@pytest.mark.parametrize("program", ["titan", "thanos"])
def test_each_endpoint_has_its_own_tls(cluster, certificates, servers, tmp_path, program):
    """One with a client's certificate, one whose certificate is for another name, one in the clear."""
    both, other, plain = servers("titan", server_flags(certificates)), servers("thanos", server_flags(certificates, "wrong-name", None)), servers("titan", [])
    (tmp_path / "endpoints.yml").write_text(f"""
default_client_config: {{tls_config: {{enabled: true, ca_file: {certificates}/ca.crt, cert_file: {certificates}/client.crt, key_file: {certificates}/client.key}}}}
endpoints:
- address: {both.grpc}
- {{address: {other.grpc}, client_config: {{tls_config: {{ca_file: {certificates}/ca.crt}}, server_name: elsewhere.example}}}}
- {{address: {plain.grpc}, client_config: {{tls_config: {{enabled: false}}}}}}
""")
    query = cluster.query(program, [], flags=[f"--endpoint.sd-config-file={tmp_path}/endpoints.yml"])
    wait_until("all three are in", 20, lambda: set(healthy(query)) == {both.grpc, other.grpc, plain.grpc})


def served_certificate(component, folder, client="client"):
    context = ssl.create_default_context(cafile=f"{folder}/ca.crt")
    context.load_cert_chain(f"{folder}/{client}.crt", f"{folder}/{client}.key")
    context.set_alpn_protocols(["h2"])
    with socket.create_connection(("127.0.0.1", component.grpc_port)) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as connection:
            return hashlib.sha256(connection.getpeercert(binary_form=True)).hexdigest()


def replace_files(folder):
    """One after the other: for a moment the certificate and the key do not belong together."""
    make_certificates(folder, "server", "client")


def replace_folder(folder):
    """All at once, as Kubernetes does with secrets. Thanos refuses a connection that meets half of a change."""
    new = folder.parent / f"version-{time.time_ns()}"
    shutil.copytree(folder, new)
    make_certificates(new, "server", "client")
    link = folder.parent / "link"
    link.symlink_to(new.name)
    link.rename(folder)


@pytest.mark.parametrize("upper, sidecar, replace", [
    ("titan", "titan", replace_files), ("titan", "titan", replace_folder), ("thanos", "titan", replace_folder),
    ("titan", "thanos", replace_folder)],
    ids=["titan-over-titan-by-file", "titan-over-titan", "thanos-over-titan", "titan-over-thanos"])
def test_certificates_are_replaced_under_load_without_a_failed_query(cluster, tmp_path, prometheus, upper, sidecar, replace):
    folder = tmp_path / "certificates"
    (tmp_path / "first").mkdir()
    folder.symlink_to("first")
    make_certificates(folder)
    # Connections are made anew all the time, so that every certificate gets used.
    bottom = cluster.sidecar(sidecar, prometheus, server_flags(folder, more=["--grpc-server-max-connection-age=300ms"]))
    query = cluster.query(upper, [bottom], flags=client_flags(folder))
    done = []

    def load():
        while not done:
            answer = query.get("/api/v1/query", {"query": "count(up)", "partial_response": "false"})
            assert answer.status == 200, answer
            assert answer.json["data"]["result"][0]["value"][1] == "1", answer

    loads = [Background(load) for _ in range(3)]
    seen = {served_certificate(bottom, folder)}
    for _ in range(4):
        replace(folder)
        seen.add(wait_until("the new certificate is served", 5, lambda: {served_certificate(bottom, folder)} - seen).pop())
        time.sleep(0.5)
    done.append(True)
    for one in loads:
        one.join(20)
    assert len(seen) == 5
