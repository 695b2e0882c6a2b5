"""A host that can only connect outward becomes a runner through the relay at the server's machine: a real OpenSSH sshd."""

import subprocess
import sys

import pytest
from support.dstack_server import TOKEN
from support.joined_host import JoinedHost, job, offer_binaries, start_server
from support.machine import Machine
from support.machine_network import connect
from support.processes import SHIM, wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

SERVER_ADDRESS = "10.77.0.1"
HOST_ADDRESS = "10.77.0.2"
URL = f"http://{SERVER_ADDRESS}:3000"


def cable(one: Machine, other: Machine) -> None:
    """A network of two machines; the second lets nobody in."""
    device = connect(one, other)
    for machine, address in ((one, SERVER_ADDRESS), (other, HOST_ADDRESS)):
        machine.run("ip", "address", "add", f"{address}/24", "dev", device)
    other.run("iptables", "-A", "INPUT", "-i", device, "-m", "conntrack", "--ctstate", "NEW,INVALID", "-j", "DROP")


@pytest.fixture
def machines(tmp_path, image):
    with Machine(tmp_path / "server", systemd=True) as server, Machine(tmp_path / "host", image, systemd=True) as host:
        cable(server, host)
        yield server, host


@pytest.fixture
def server(machines, tmp_path):
    machine, _ = machines
    machine.run("sh", "-c", f"install -m 755 {SHIM} /usr/local/bin/dstack-shim && ssh-keygen -A && systemctl start ssh")
    folder = tmp_path / "files"
    folder.mkdir()
    downloads = offer_binaries(folder)
    web = machine.start(sys.executable, "-m", "http.server", "8100", "--bind", SERVER_ADDRESS, "-d", downloads, log=folder / "web.log")
    with web, start_server(machine, folder, SERVER_ADDRESS, DSTACK_SERVER_HOST="0.0.0.0", DSTACK_UPDATE_DEFAULT_PROJECT="1") as made:
        machine.run("/usr/local/bin/dstack-shim", "relay", "install", "--token", "-", input=TOKEN + "\n", environment={"HOME": "/nonexistent"})
        yield made


def refused(server: Machine, host: Machine, *arguments: str) -> bool:
    login = ["ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "ExitOnForwardFailure=yes"]
    return host.run(*login, "-i", "/root/.dstack/join/user_key", *arguments, check=False, timeout=30, stdin=subprocess.DEVNULL).returncode != 0


def test_a_host_behind_a_router_joins_through_the_relay_and_comes_back_when_the_line_was_cut(machines, server, image, tmp_path):
    server_machine, machine = machines
    again = server_machine.run("/usr/local/bin/dstack-shim", "relay", "install", "--token", "-", input=TOKEN + "\n", environment={"HOME": "/nonexistent"})
    assert "already" in again.stdout
    host = JoinedHost(machine, tmp_path)
    host.configure(URL)
    assert host.runner("start", "--name", "far-1").stdout == "far-1 is live\n"
    server.apply(job(image, "far", "echo from afar"))
    assert server.wait_end("far")["exit_status"] == 0
    assert "from afar" in server.logs("far")

    # The login may listen on its own addresses and do nothing else.
    assert refused(server_machine, machine, "-N", "-R", "127.0.0.1:2222:127.0.0.1:22", f"dstack-relay@{SERVER_ADDRESS}")
    assert refused(server_machine, machine, "-W", "127.0.0.1:3000", f"dstack-relay@{SERVER_ADDRESS}")

    # Cut without a word: the relay frees the address by itself, and the host comes back.
    device = machine.run("sh", "-c", f"ip -o address | awk '/{HOST_ADDRESS}/ {{print $2}}'").stdout.strip()
    for direction in ("INPUT", "OUTPUT"):
        machine.run("iptables", "-I", direction, "-p", "tcp", "-j", "DROP")
    wait_until(lambda: host_state(server) == "unreachable", "the server's notice", 120, pause=1)
    for direction in ("INPUT", "OUTPUT"):
        machine.run("iptables", "-D", direction, "-p", "tcp", "-j", "DROP")
    wait_until(lambda: host_state(server) == "reachable", f"the host's return over {device}", 120, pause=1)

    arguments = machine.run("sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '").stdout
    assert TOKEN not in arguments
    log = machine.read("/root/.dstack/join/agent.log")
    assert TOKEN not in log and "PRIVATE KEY" not in log

    assert host.runner("leave", "--purge").stdout == "far-1 has left\n"
    removed = server_machine.run("/usr/local/bin/dstack-shim", "relay", "remove")
    assert removed.stdout == "the relay is removed\n"
    assert server_machine.run("id", "dstack-relay", check=False).returncode != 0


def host_state(server) -> str:
    instances = server.call("project/main/fleets/get", name="far-1")["instances"]
    return "unreachable" if instances[0]["unreachable"] else "reachable"
