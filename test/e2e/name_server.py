"""A real DNS server (dnsmasq) on an address of its own, and processes that ask it: each runs in a mount
namespace where /etc/resolv.conf names it. Needs root, or sudo for none: see why_not()."""

import shutil
import subprocess
import time

from cluster import wait_until

ADDRESS = "127.0.0.153"  # port 53 there is free where a resolver of the machine has 127.0.0.53


def why_not():
    """None, or why there can be no name server here."""
    if not shutil.which("dnsmasq"):
        return "no dnsmasq: scripts/test installs it"
    probe = subprocess.run(["unshare", "-m", "true"], stderr=subprocess.PIPE, text=True)
    return None if probe.returncode == 0 else f"no mount namespaces: {probe.stderr.strip()}"


class NameServer:
    """hosts: name -> addresses; services: name -> [(target, port)]."""

    def __init__(self, cluster):
        self.cluster, self.process, self.started = cluster, None, 0
        self.hosts, self.services = {}, {}
        self.resolv_conf = cluster.folder / "resolv.conf"
        self.resolv_conf.write_text(f"nameserver {ADDRESS}\n")
        self.wrap = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', str(self.resolv_conf)]

    def serve(self, hosts=None, services=None):
        """From now on these, and nothing else under .test."""
        self.hosts = self.hosts if hosts is None else hosts
        self.services = self.services if services is None else services
        self.stop()
        lines = ["no-resolv", "no-hosts", "no-daemon", "bind-interfaces", f"listen-address={ADDRESS}", "port=53", "local=/test/",
                 "user=root"]
        lines += [f"host-record={name},{address}" for name, addresses in self.hosts.items() for address in addresses]
        lines += [f"srv-host={name},{target},{port}" for name, members in self.services.items() for target, port in members]
        config = self.cluster.folder / "dnsmasq.conf"
        config.write_text("\n".join(lines) + "\n")
        self.started += 1
        self.process = self.cluster.processes.start(f"dnsmasq-{self.started}", ["dnsmasq", f"--conf-file={config}"])
        wait_until("the name server is up", 10, lambda: "started" in self.process.log())

    def stop(self):
        if self.process:
            self.process.stop()
            self.process = None
            time.sleep(0.05)
