"""Which processes of this host the shim serves: all but those in its tasks' containers."""

import signal
import socket
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from conftest import docker
from support.distribution_sshd import HostSshd
from support.hosts import stand_in_runner
from support.processes import ROOT, SHIM, Shim, free_port, wait_until
from support.shim_calls import Calls
from support.ssh_client import SshClient, make_key
from support.ssh_client import call as call_program

REFUSED = "not allowed from a task's container\n"


def call(path: str, port: int, address: str = "127.0.0.1") -> str:
    """A shell command that prints the answer, whatever it is."""
    return f"printf 'GET {path} HTTP/1.0\\r\\nHost: x\\r\\n\\r\\n' | nc {address} {port}"


def calling_runner(path: Path, port: int) -> Path:
    """Calls the shim as the first thing that its container does."""
    calls = "\n".join(
        f"{call(path, port)} > /tmp/runner/{name}.part; mv /tmp/runner/{name}.part /tmp/runner/{name}"
        for name, path in [("health", "/api/healthcheck"), ("legacy", "/api/pull"), ("unknown", "/nothing"), ("tasks", "/api/tasks")]
    )
    return stand_in_runner(path, f"{calls}\nexec sleep 1000")


def without_cgroup2(path: Path) -> Path:
    """The shim on a host that has cgroups of version 1 only, as far as it can see."""
    path.write_text(f"""#!/bin/sh
exec unshare --mount --propagation private sh -c '
    while read -r _ mount type _; do [ "$type" = cgroup2 ] && umount -l "$mount"; done < /proc/mounts
    exec "$@"' sh {SHIM} "$@"
""")
    path.chmod(0o755)
    return path


def status_of(answer: str) -> int:
    assert answer.startswith("HTTP/1."), answer
    return int(answer.split()[1])


def refuses(answer: str) -> bool:
    return status_of(answer) == 403 and answer.endswith("\n\n" + REFUSED)  # universal newlines


def through_ssh(client: SshClient, port: int) -> str:
    """As a server calls: the peer is the SSH server on this host."""
    request = "GET /api/tasks HTTP/1.0\r\nHost: x\r\n\r\n"
    return call_program(client.command("-W", f"127.0.0.1:{port}", "127.0.0.1"), input=request).stdout


@pytest.mark.parametrize("means", ["cgroup", "process"])
def test_a_job_in_the_hosts_network_is_refused_and_everybody_else_is_not(home, image, tmp_path, means):
    port = free_port()
    runner = calling_runner(tmp_path / "runner", port)
    options = {"port": port, "runner": runner, "binary": without_cgroup2(tmp_path / "v1") if means == "process" else SHIM}
    with Shim(home, **options) as shim:
        calls = Calls(shim.wait_ready())
        assert f"Checking API callers by socket {means}" in shim.log()
        info = calls.run(image)
        assert info["status"] == "running", info
        folder = home / "runners" / info["container_name"]
        wait_until((folder / "tasks").exists, "the container's calls")
        assert status_of((folder / "health").read_text()) == 200
        for name in ("legacy", "unknown", "tasks"):
            assert refuses((folder / name).read_text())
        with HostSshd(tmp_path, make_key(tmp_path / "key")) as sshd:
            assert status_of(through_ssh(sshd.ssh, port)) == 200
        # One that is no task's, in the host's network as well.
        shell = ["run", "--rm", "--network", "host", "--entrypoint", "/bin/sh", image, "-c"]
        assert status_of(docker(*shell, call("/api/tasks", port))) == 200
        assert Calls(shim).info(info["id"])["status"] == "running"
        shim.kill()
    inside = ["exec", info["container_id"], "sh", "-c"]
    with Shim(home, **options) as shim:
        shim.wait_ready()
        assert refuses(docker(*inside, call("/api/tasks", port)))
        assert Calls(shim).info(info["id"])["status"] == "running"
        shim.kill()
    with Shim(home, "--allow-task-callers", **options) as shim:
        calls = Calls(shim.wait_ready())
        assert status_of(docker(*inside, call("/api/tasks", port))) == 200
        calls.terminate(info["id"])


def shout(shim: Shim, task: str) -> None:
    """Asks for the task's end and is gone before the shim can look."""
    shim.signal(signal.SIGSTOP)
    with socket.create_connection(("127.0.0.1", shim.port)) as connection:
        path = f"/api/tasks/{task}/terminate"
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}".encode())
    shim.signal(signal.SIGCONT)


def test_a_socket_that_nobody_owns_is_refused_while_a_job_is_in_the_hosts_network(home, image, tmp_path):
    with Shim(home, runner=stand_in_runner(tmp_path / "runner", "exec sleep 1000")) as shim:
        calls = Calls(shim.wait_ready())
        in_bridge = calls.run(image, network_mode="bridge")["id"]
        in_host = calls.run(image)["id"]
        shout(shim, in_bridge)
        wait_until(lambda: "Refused an API call from an unknown process" in shim.log(), "the refusal")
        assert calls.info(in_bridge)["status"] == "running"
        assert calls.terminate(in_host).status_code == 200
        shout(shim, in_bridge)
        calls.wait_for(in_bridge, "terminated")


@pytest.fixture
def way_to_loopback():
    """Lets containers of the default network reach a port of this host's loopback interface."""
    bridge = docker("network", "inspect", "bridge", "--format", '{{index .Options "com.docker.network.bridge.name"}}').strip()
    setting = Path(f"/proc/sys/net/ipv4/conf/{bridge}/route_localnet")
    before = setting.read_text()
    rules = []

    def open_way(port: int) -> str:
        setting.write_text("1")
        rule = ["PREROUTING", "-i", bridge, "-p", "tcp", "--dport", str(port), "-j", "DNAT", "--to-destination", f"127.0.0.1:{port}"]
        subprocess.run(["iptables", "-w", "-t", "nat", "-I", *rule], check=True)
        rules.append(rule)
        # "3: docker0    inet 172.17.0.1/16 brd …"
        shown = subprocess.run(["ip", "-4", "-o", "address", "show", "dev", bridge], check=True, capture_output=True, text=True)
        return shown.stdout.split()[3].partition("/")[0]

    yield open_way
    for rule in rules:
        subprocess.run(["iptables", "-w", "-t", "nat", "-D", *rule], check=True)
    setting.write_text(before)


def test_a_job_in_a_bridge_network_is_refused_where_it_reaches_the_shim(home, image, tmp_path, way_to_loopback):
    with Shim(home, runner=stand_in_runner(tmp_path / "runner", "exec sleep 1000")) as shim:
        calls = Calls(shim.wait_ready())
        gateway = way_to_loopback(shim.port)
        info = calls.run(image, network_mode="bridge")
        inside = ["exec", info["container_id"], "sh", "-c"]
        assert refuses(docker(*inside, call("/api/tasks", shim.port, gateway)))
        assert status_of(docker(*inside, call("/api/healthcheck", shim.port, gateway))) == 200
        shell = ["run", "--rm", "--entrypoint", "/bin/sh", image, "-c"]
        assert status_of(docker(*shell, call("/api/tasks", shim.port, gateway))) == 200
        calls.terminate(info["id"])


@pytest.fixture(scope="session")
def callers(tmp_path_factory) -> Path:
    program = tmp_path_factory.mktemp("callers") / "callers"
    subprocess.run(["clang-19", "-static", "-O2", "-Wall", "-Werror", "-o", program, ROOT / "tests/support/callers.c"], check=True)
    return program


def answers(*command) -> dict[str, int]:
    """How often each status was answered: what a run of the program `callers` printed."""
    printed = subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout
    assert not printed.startswith("unavailable"), printed
    return {status: int(count) for status, count in (line.split() for line in printed.splitlines())}


def passed_out_answers(folder: Path, container: str, port: int, times: int) -> dict[str, int]:
    """What a process outside is answered on connections that a process in the container made and passed to it."""
    statuses = Counter()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
        listener.listen()
        command = ["docker", "exec", container, "/callers", "passed_out", str(port), str(times), "/tmp/runner/socket"]
        with subprocess.Popen(command) as caller:
            channel = listener.accept()[0]
            for _ in range(times):
                _, (descriptor,), _, _ = socket.recv_fds(channel, 1, 1)
                with socket.socket(fileno=descriptor) as connection:
                    connection.sendall(b"GET /api/tasks HTTP/1.0\r\nHost: x\r\n\r\n")
                    statuses[connection.recv(64).split()[1].decode()] += 1
        assert caller.returncode == 0
    (folder / "socket").unlink()
    return dict(statuses)


def joins_cgroups_of(container: str) -> list:
    """The begin of a command that runs in all the container's cgroups, without what else a container forbids."""
    process = docker("inspect", "--format", "{{.State.Pid}}", container).strip()
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    files = []
    for line in Path(f"/proc/{process}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for _, mount, kind, options, *_ in mounts:
            wanted = set(controllers.split(",")) <= set(options.split(",")) if controllers else kind == "cgroup2"
            if kind.startswith("cgroup") and wanted:
                files.append(f"{mount}{path}/cgroup.procs")
                break
    join = 'while [ "$1" != -- ]; do echo $$ >"$1" || exit; shift; done; shift; exec "$@"'
    return ["sh", "-c", join, "sh", *files, "--"]


def sees_every_process() -> bool:
    """Whether root's processes here may look at the descriptors of all others: not of one with more capabilities."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            for descriptor in (process / "fd").iterdir():
                descriptor.readlink()
        except PermissionError:
            return False
        except OSError:
            continue  # it has ended
    return True


WAYS = ["plain", "mptcp", "queued", "inherited"]
WAYS_THAT_CONTAINERS_FORBID = ["io_uring", "namespaces"]


@pytest.mark.parametrize("times", [25, pytest.param(1000, marks=[pytest.mark.long, pytest.mark.timeout(1800)])])
@pytest.mark.parametrize("means", ["cgroup", "process"])
def test_a_caller_is_told_by_its_container_however_it_calls(home, image, tmp_path, callers, means, times):
    options = {
        "runner": stand_in_runner(tmp_path / "runner", "exec sleep 100000"),
        "binary": without_cgroup2(tmp_path / "v1") if means == "process" else SHIM,
    }
    ways = WAYS + WAYS_THAT_CONTAINERS_FORBID
    refused = dict.fromkeys(ways, {"403": times})
    # Only processes can be looked at, and not all of them: then what none of them has open is served (decision 0008).
    if means == "process" and not sees_every_process():
        refused |= {"io_uring": {"200": times}}
        del refused["queued"]  # seen or not, as it happens
    with Shim(home, **options) as shim:
        calls = Calls(shim.wait_ready())
        assert f"Checking API callers by socket {means}" in shim.log()
        info = calls.run(image)
        assert info["status"] == "running", info
        container = info["container_id"]
        docker("cp", str(callers), f"{container}:/callers")
        inside = {way: answers("docker", "exec", container, "/callers", way, shim.port, 25) for way in WAYS if way in refused}
        assert inside == dict.fromkeys(inside, {"403": 25})
        joined = {way: answers(*joins_cgroups_of(container), callers, way, shim.port, times) for way in refused}
        assert joined == refused
        outside = {way: answers(callers, way, shim.port, times) for way in ways}
        assert outside == dict.fromkeys(ways, {"200": times})
        # The cgroup is the one that the socket was made in; without it, whether a process outside has it counts.
        folder = home / "runners" / info["container_name"]
        expected = "403" if means == "cgroup" else "200"
        assert passed_out_answers(folder, container, shim.port, times) == {expected: times}
        calls.terminate(info["id"])
