"""How a query finds its endpoints, Titan and the real Thanos side by side: DNS under a real name server
with members that come and go, files that change on disk, strict endpoints."""

import json
import subprocess
import time

import pytest

from cluster import TOP, Cluster, wait_until
from name_server import NameServer, why_not

PROGRAMS = ("titan", "thanos")
QUICK = ["--store.sd-dns-interval=1s", "--endpoint.info-timeout=1s"]

needs_dns = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


class World:
    pass


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """One Prometheus behind four sidecars, and a name server for them."""
    world = World()
    world.cluster = Cluster(tmp_path_factory.mktemp("discovery"))
    world.prometheus = world.cluster.prometheus("a")
    world.sidecars = [world.cluster.sidecar("titan", world.prometheus, wait=False) for _ in range(4)]
    world.names = NameServer(world.cluster)
    for sidecar in world.sidecars:
        sidecar.process.wait_ready(sidecar.url + "/-/ready")
    wait_until("samples are there", 15, lambda: world.prometheus.instant("count(up)", time.time())["result"])
    yield world
    world.names.stop()
    world.cluster.close()


def query(world, program, *flags, wrap=()):
    started = world.cluster.query(program, [], flags=[*QUICK, *flags], wait=False, wrap=wrap)
    started.process.wait_ready(started.url + "/-/ready")
    return started


def names_of(started):
    return sorted(store["name"] for stores in started.data("/stores").values() for store in stores)


def wait_names(started, *wanted):
    """They are the endpoints, and none has an error."""
    def are_there():
        stores = [store for stores in started.data("/stores").values() for store in stores]
        return sorted(store["name"] for store in stores if store["lastError"] is None) == sorted(wanted)
    try:
        wait_until("endpoints", 15, are_there)
    except TimeoutError:
        raise AssertionError(f"{started.process.name} has {names_of(started)}, not {sorted(wanted)}: {started.data('/stores')}")


def metric(started, name):
    for line in started.get("/metrics").body.decode().splitlines():
        if line.startswith(name + " ") or line.startswith(name + "{"):
            return float(line.rsplit(" ", 1)[1])
    return None


@needs_dns
def test_members_of_a_service_come_and_go(world):
    a, b, c, _ = world.sidecars
    hosts = {"here.test": ["127.0.0.1"]}
    service = "_grpc._tcp.sidecars.test"
    world.names.serve(hosts, {service: [("here.test", a.grpc_port), ("here.test", b.grpc_port)]})
    queries = [query(world, program, f"--endpoint=dnssrv+{service}", wrap=world.names.wrap) for program in PROGRAMS]
    queries.append(query(world, "titan", f"--store=dnssrv+{service}", wrap=world.names.wrap))
    for started in queries:  # at once: the first round of DNS comes before ready
        wait_names(started, a.grpc, b.grpc)
        assert started.instant("count(up)", time.time())["result"][0]["value"][1] == "1"
    world.names.serve(services={service: [("here.test", sidecar.grpc_port) for sidecar in (a, b, c)]})
    for started in queries:
        wait_names(started, a.grpc, b.grpc, c.grpc)
    world.names.serve(services={service: [("here.test", c.grpc_port)]})
    for started in queries:
        wait_names(started, c.grpc)
        assert metric(started, f'thanos_query_endpoints_dns_provider_results{{addr="dnssrv+{service}"}}') == 1

    # A name server that does not answer: the last good set stays.
    failures = [metric(started, "thanos_query_endpoints_dns_failures_total") for started in queries]
    world.names.stop()
    for started, before in zip(queries, failures):
        wait_until("lookups fail", 20, lambda: metric(started, "thanos_query_endpoints_dns_failures_total") >= before + 2)
        wait_names(started, c.grpc)
        assert metric(started, "thanos_query_endpoints_dns_lookups_total") > before
        if started.program == "titan":  # what the mixin's alerts ask for
            assert metric(started, "thanos_query_store_apis_dns_failures_total") >= before + 2

    # One that says there is nothing: then there is nothing.
    world.names.serve(services={})
    for started in queries:
        wait_names(started)
    world.names.serve(services={service: [("here.test", a.grpc_port)]})
    for started in queries:
        wait_names(started, a.grpc)
        started.stop()


@needs_dns
@pytest.mark.parametrize("resolver", ["miekgdns", "golang"])
def test_both_resolvers_find_what_thanos_finds(world, resolver):
    a, b, c, d = world.sidecars
    world.names.serve({"one.test": ["127.0.0.1"], "two.test": ["127.0.0.1", "127.0.0.2"], "six.test": ["127.0.0.1", "::1"]},
                      {"_x._tcp.test": [("one.test", b.grpc_port), ("gone.test", 1)], "_y._tcp.test": [("one.test", c.grpc_port)]})
    flags = [f"--endpoint=dns+one.test:{a.grpc_port}", "--endpoint=dnssrv+_x._tcp.test", "--endpoint=dnssrvnoa+_y._tcp.test",
             f"--endpoint=dns+gone.test:{a.grpc_port}", f"--endpoint=dnsdualstack+one.test:{d.grpc_port}", "--endpoint=dns+one.test",
             f"--store.sd-dns-resolver={resolver}"]
    wanted = [a.grpc, b.grpc, d.grpc, f"one.test:{c.grpc_port}"]
    results = []
    for program in PROGRAMS:
        started = query(world, program, *flags, wrap=world.names.wrap)
        wait_names(started, *wanted)
        results.append({line.split(" ")[0]: line.split(" ")[1] for line in started.get("/metrics").body.decode().splitlines()
                        if line.startswith("thanos_query_endpoints_dns_provider_results")})
        started.stop()
    assert results[0] == results[1]


def test_files_with_addresses_change_on_disk(world):
    a, b, c, _ = world.sidecars
    folder = world.cluster.folder / "sd"
    folder.mkdir()
    # Thanos may read a file while it is written, and then waits for its interval
    queries = [query(world, program, f"--store.sd-files={folder}/*.yml", f"--store.sd-files={folder}/one.json",
                     *(["--store.sd-interval=2s"] if program == "thanos" else [])) for program in PROGRAMS]
    for started in queries:
        wait_names(started)
    (folder / "a.yml").write_text(f"- targets: ['{a.grpc}', '{b.grpc}']\n  labels: {{zone: x}}\n")
    (folder / "one.json").write_text(json.dumps([{"targets": [c.grpc, a.grpc]}]))
    for started in queries:
        wait_names(started, a.grpc, b.grpc, c.grpc)
    (folder / "a.yml").write_text("- targets: [")  # nothing changes
    time.sleep(1.5)
    for started in queries:
        wait_names(started, a.grpc, b.grpc, c.grpc)
    (folder / "next").write_text(f"- targets: ['{b.grpc}']\n")
    (folder / "next").rename(folder / "a.yml")
    (folder / "one.json").unlink()
    for started in queries:
        wait_names(started, b.grpc)
        started.stop()


def test_the_file_of_endpoints_is_read_again(world):
    a, b, c, _ = world.sidecars
    path = world.cluster.folder / "endpoints.yml"
    path.write_text(f"endpoints: [{{address: '{a.grpc}'}}]")
    queries = [query(world, program, f"--endpoint.sd-config-file={path}", "--endpoint.sd-config-reload-interval=1s", f"--endpoint={c.grpc}")
               for program in PROGRAMS]
    for started in queries:
        wait_names(started, a.grpc, c.grpc)
    path.write_text(f"endpoints: [{{address: '{b.grpc}', strict: true}}, {{address: '{c.grpc}'}}]")
    for started in queries:
        wait_names(started, b.grpc, c.grpc)
    path.write_text(f"endpoints: [{{address: 'dns+{a.grpc}', strict: true}}]")
    time.sleep(2.5)
    for started in queries:
        wait_names(started, b.grpc, c.grpc)
        assert "is a dynamically specified endpoint i.e. it uses SD and that is not permitted under strict mode" in started.process.log()
        started.stop()


@pytest.mark.parametrize("flags, text", [
    (["--endpoint-strict=dns+a.test:1"], "dns+a.test:1 is a dynamically specified endpoint i.e. it uses SD and that is not permitted under strict mode"),
    (["--endpoint.sd-config=endpoints: [{address: a:1, service_config: x}]"], "a:1 service_config is only valid for endpoint groups"),
    (["--endpoint.sd-config=endpoints: [{address: a:1, client_config: {compression: lz4}}]"],
     "invalid compression: lz4, must be 'none' or 'snappy'"),
    (["--endpoint.sd-config-file=/nowhere/endpoints.yml"], "/nowhere/endpoints.yml"),
])
def test_what_is_wrong_ends_the_start(world, flags, text):
    for program in PROGRAMS:
        started = world.cluster.query(program, [], flags=flags, wait=False)
        code = started.process.child.wait(20)
        assert code not in (0, None) and text in started.process.log(), started.process.log()
        world.cluster.processes.all.remove(started.process)


def test_a_strict_endpoint_is_missed(world):
    a, b, _, _ = world.sidecars
    gone = "127.0.0.1:9"
    for program in PROGRAMS:
        started = query(world, program, f"--endpoint-strict={gone}", f"--endpoint-strict={a.grpc}", f"--endpoint={b.grpc}")
        wait_names(started, a.grpc, b.grpc)  # nothing is known of the third
        ask = {"query": "count(up)", "time": time.time()}
        answer = started.get("/api/v1/query", {**ask, "partial_response": "true"})
        assert answer.status == 200 and any(gone in warning for warning in answer.json["warnings"]), answer
        answer = started.get("/api/v1/query", {**ask, "partial_response": "false"})
        assert answer.status == 422 and gone in answer.json["error"], answer
        assert metric(started, 'thanos_store_nodes_grpc_connections{external_labels="no_external_labels",store_type="unknown-store-api"}') == 1
        started.stop()


def test_connections_are_counted_by_the_labels_that_are_asked_for(world):
    a, b, _, _ = world.sidecars
    lines = []
    for program in PROGRAMS:
        started = query(world, program, f"--endpoint={a.grpc}", f"--endpoint={b.grpc}", "--query.conn-metric.label=ip_port",
                        "--query.conn-metric.label=external_labels")
        wait_names(started, a.grpc, b.grpc)
        lines.append(sorted(line for line in started.get("/metrics").body.decode().splitlines()
                            if line.startswith("thanos_store_nodes_grpc_connections{")))
        log = started.process.log()
        assert "adding new sidecar with [storeEndpoints rulesAPI exemplarsAPI targetsAPI MetricMetadataAPI]" in log
        started.stop()
    assert lines[0] == lines[1] and len(lines[0]) == 2


def handled(sidecar, method):
    for line in sidecar.get("/metrics").body.decode().splitlines():
        if line.startswith("grpc_server_handled_total{") and f'grpc_method="{method}"' in line and 'grpc_code="OK"' in line:
            return float(line.rsplit(" ", 1)[1])
    return 0


@needs_dns
def test_calls_to_a_group_take_turns(world):
    """One endpoint over two sidecars; one of them leaves and comes back without a failed query."""
    a, b, _, _ = world.sidecars
    extra = world.cluster.sidecar("titan", world.prometheus)
    service = "_grpc._tcp.group.test"
    world.names.serve({"here.test": ["127.0.0.1"]}, {service: [("here.test", a.grpc_port), ("here.test", extra.grpc_port)]})
    for program in PROGRAMS:
        started = query(world, program, f"--endpoint-group=dnssrv+{service}", f"--endpoint-group-strict={b.grpc}", wrap=world.names.wrap)
        wait_names(started, f"thanos:///dnssrv+{service}", f"thanos:///{b.grpc}")
        assert metric(started, "thanos_query_endpoint_groups_dns_lookups_total") >= 1
        assert metric(started, f'thanos_query_endpoint_groups_dns_provider_results{{addr="dnssrv+{service}"}}') == 2
        before = [handled(sidecar, "Series") for sidecar in (a, extra, b)]
        for _ in range(20):
            assert started.instant("count(up)", time.time())["result"][0]["value"][1] == "1"
        calls = [handled(sidecar, "Series") - count for sidecar, count in zip((a, extra, b), before)]
        assert min(calls[:2]) >= 5 and sum(calls[:2]) == 20 and calls[2] == 20, f"{program}: {calls}"
        if program == "titan":
            extra.stop()
            for _ in range(20):
                answer = started.data("/query", {"query": "count(up)", "time": time.time(), "partial_response": "false"})
                assert answer["result"][0]["value"][1] == "1"
            extra = world.cluster.sidecar("titan", world.prometheus)
            world.names.serve(services={service: [("here.test", extra.grpc_port)]})
            wait_until("the new member is asked", 20, lambda: started.instant("count(up)", time.time()) and handled(extra, "Series") > 3)
            world.names.serve(services={service: [("here.test", a.grpc_port), ("here.test", extra.grpc_port)]})
        started.stop()
    extra.stop()


def test_stores_are_chosen_by_relabelling_and_announced_with_labels(world):
    """Of two replicas one is dropped; a querier above sees what is left, with the querier's own label."""
    other = world.cluster.prometheus("b")
    sidecar = world.cluster.sidecar("titan", other)
    wait_until("samples are there", 15, lambda: other.instant("count(up)", time.time())["result"])
    rules = "[{action: keep, source_labels: [replica], regex: $(WANTED)}]"
    answers = []
    for program in PROGRAMS:
        started = world.cluster.query(program, [], replica_labels=(), env={"WANTED": "b"}, wait=False, flags=[
            *QUICK, f"--endpoint={world.sidecars[0].grpc}", f"--endpoint={sidecar.grpc}", f"--selector.relabel-config={rules}",
            '--selector-label=site="north"'])
        started.process.wait_ready(started.url + "/-/ready")
        wait_names(started, sidecar.grpc)
        assert [series["metric"]["replica"] for series in started.instant("up", time.time())["result"]] == ["b"]
        # Label calls of Thanos pass the selector by.
        if program == "titan":
            assert started.data("/label/replica/values") == ["b"]
        assert len(started.instant('up{site="north"}', time.time())["result"]) == 1
        assert started.instant('up{site="south"}', time.time())["result"] == []
        above = world.cluster.query("thanos" if program == "titan" else "titan", [started], replica_labels=(), flags=QUICK)
        answers.append(above.data("/stores")["query"][0]["labelSets"])
        assert [series["metric"]["replica"] for series in above.instant('up{site=~"n.*"}', time.time())["result"]] == ["b"]
        assert above.instant('up{site="south"}', time.time())["result"] == []
        above.stop()
        started.stop()
    assert answers[0] == answers[1] == [{"cluster": "e2e", "replica": "b", "site": "north"}], answers
    for program in PROGRAMS:
        for flag, text in (("--selector.relabel-config=[{target_label: a}]", "unsupported relabel action: replace"),
                           ("--selector-label=site=north", "unquote label value"), ("--selector-label=site", 'unrecognized label')):
            started = world.cluster.query(program, [], flags=[flag], wait=False)
            assert started.process.child.wait(20) != 0 and text in started.process.log(), started.process.log()
            world.cluster.processes.all.remove(started.process)
    other.stop()
    sidecar.stop()


def test_limits_of_a_select(world):
    """Thanos 0.42.5 counts nothing of what comes in batches, so its limits never bind here."""
    a = world.sidecars[0]
    for flag, text in (("--store.limits.request-series=5", "limit 5 violated"), ("--store.limits.request-samples=240", "limit 240 violated")):
        limited = query(world, "titan", f"--endpoint={a.grpc}", flag)
        wait_names(limited, a.grpc)
        for partial in ("true", "false"):
            answer = limited.get("/api/v1/query", {"query": 'count({__name__=~"prometheus_http_.*"})', "time": time.time(),
                                                   "partial_response": partial})
            assert answer.status == 422 and text in answer.json["error"], answer
        assert limited.instant("count(up)", time.time())["result"][0]["value"][1] == "1"
        limited.stop()


def test_partial_response_by_flag_is_that_of_thanos(world):
    a = world.sidecars[0]
    answers = []
    for program in PROGRAMS:
        strict = query(world, program, f"--endpoint={a.grpc}", "--endpoint-strict=127.0.0.1:9", "--no-query.partial-response")
        wait_names(strict, a.grpc)
        ask = {"query": "count(up)", "time": time.time()}
        refused, allowed = strict.get("/api/v1/query", ask), strict.get("/api/v1/query", {**ask, "partial_response": "true"})
        answers.append((refused.status, refused.json["errorType"], allowed.status, len(allowed.json["warnings"])))
        strict.stop()
    assert answers[0] == answers[1], answers


def test_each_endpoint_has_its_own_tls(world):
    """Two sidecars with TLS, one of another authority, and one in the clear, behind one query."""
    folder = world.cluster.folder / "certificates"
    folder.mkdir()
    subprocess.run([TOP / "test/support/make-certificates", folder], check=True)
    sidecars = [world.cluster.sidecar("titan", world.prometheus, [f"--grpc-server-tls-cert={folder}/{name}.crt", f"--grpc-server-tls-key={folder}/{name}.key"])
                for name in ("server", "other-server")]
    good, other, plain = sidecars[0].grpc, sidecars[1].grpc, world.sidecars[0].grpc
    config = f"""
default_client_config: {{tls_config: {{ca_file: {folder}/ca.crt}}}}
endpoints:
- address: {good}
- address: {other}
  client_config: {{tls_config: {{enabled: true, insecure_skip_verify: true, min_version: "1.2"}}, compression: snappy}}
- address: {plain}
  client_config: {{tls_config: {{enabled: false}}}}
- address: 127.0.0.1:9
  client_config: {{tls_config: {{enabled: true, ca_file: /nowhere/ca.crt}}}}
"""
    for program in PROGRAMS:
        started = query(world, program, f"--endpoint.sd-config={config}")
        wait_names(started, good, other, plain)
        answer = started.data("/query", {"query": "count(up)", "time": time.time(), "partial_response": "false"})
        assert answer["result"][0]["value"][1] == "1"
        assert "skipping endpoint due to TLS configuration error" in started.process.log()
        started.stop()
    for sidecar in sidecars:
        sidecar.stop()


def test_what_is_repeated_needs_an_interval(world):
    for flag in ("--store.sd-dns-interval=0s", "--store.sd-interval=0s", "--endpoint.sd-config-reload-interval=0s"):
        started = world.cluster.query("titan", [], flags=[flag], wait=False)
        assert started.process.child.wait(20) != 0 and "must be longer than 0" in started.process.log(), started.process.log()
        world.cluster.processes.all.remove(started.process)
