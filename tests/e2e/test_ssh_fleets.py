"""The newest server takes a host into a fleet over SSH, installs our binaries there, runs tasks and updates them."""

import shutil
import sys
from pathlib import Path

import pytest
from support.dstack_server import ANY, Server
from support.machine import Machine
from support.processes import ARCHITECTURE, RUNNER, SHIM, wait_until
from support.releases import as_version, name_here
from support.ssh_server import PORT, make_key, start_ssh_server

RELEASE = "0.22.5"
DOWNLOADS = "http://127.0.0.1:8100"
STAND_IN = Path(__file__).resolve().parents[1] / "support/systemctl.sh"


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path


@pytest.fixture
def host(folder, image) -> Machine:
    """A host with Docker, an SSH server, a service manager of a kind, and nothing of ours."""
    with Machine(folder / "machine", image) as machine:
        machine.write("/usr/local/bin/systemctl", STAND_IN.read_text(), 0o755)
        key = make_key(machine, "/root/.ssh/fleet")
        start_ssh_server(machine, folder, key)
        yield machine


def offer(folder: Path, version: str) -> None:
    """Makes binaries of this version those that the server hands out for its own release."""
    binaries = folder / "downloads" / RELEASE / "binaries"
    binaries.mkdir(parents=True, exist_ok=True)
    for program, binary in (("dstack-shim", SHIM), ("dstack-runner", RUNNER)):
        made = binaries / f".{program}"
        if version == "latest":
            shutil.copy(binary, made)
        else:
            as_version(binary, version, made)
        made.rename(binaries / name_here(program))


@pytest.fixture
def server(host, folder) -> Server:
    downloads = folder / "downloads"
    downloads.mkdir()
    web = host.start(sys.executable, "-m", "http.server", "8100", "--bind", "127.0.0.1", "-d", downloads, log=folder / "web.log")
    binaries = f"{DOWNLOADS}/{{version}}/binaries"
    variables = {
        "DSTACK_SHIM_DOWNLOAD_URL": f"{binaries}/dstack-shim-linux-{{arch}}",
        "DSTACK_RUNNER_DOWNLOAD_URL": f"{binaries}/dstack-runner-linux-{{arch}}",
    }
    with web, Server(host, RELEASE, folder, **variables) as server:
        yield server


# The server looks an image up, over https only, unless user and architecture are given.
CPU = {"amd64": "x86:1..", "arm64": "arm:1.."}[ARCHITECTURE]

FLEET = {
    "type": "fleet",
    "name": "ours",
    "ssh_config": {"user": "root", "port": PORT, "identity_file": "/root/.ssh/fleet", "hosts": ["127.0.0.1"]},
}


def instance(server: Server) -> dict:
    return server.call("project/main/fleets/get", name="ours")["instances"][0]


def wait_idle(server: Server) -> dict:
    def idle():
        found = instance(server)
        assert found["status"] not in ("terminating", "terminated"), found
        return found["status"] == "idle" and found

    return wait_until(idle, "an idle instance", 120, pause=0.3)


def shim_api(host: Machine, path: str) -> str:
    return host.run("curl", "-s", f"http://127.0.0.1:10998{path}", check=False).stdout


def test_a_host_joins_a_fleet_runs_a_task_through_an_update_and_leaves(server, host, folder, image):
    offer(folder, "0.22.4")
    server.apply(FLEET)
    found = wait_idle(server)
    resources = found["instance_type"]["resources"]
    assert resources["cpus"] == int(host.run("nproc").stdout)
    assert resources["memory_mib"] > 0 and resources["disk"]["size_mib"] > 0
    assert "dstack-shim version 0.22.4" in host.run("/usr/local/bin/dstack-shim", "--version").stdout

    # A task that outlives the shim which started it.
    server.apply(
        {
            "type": "task",
            "name": "survivor",
            "image": image,
            "user": "root",
            "shell": "sh",
            "commands": ["echo started", "until [ -e /instance/go ]; do sleep 0.1; done", "echo went on"],
            "volumes": ["/srv/instance:/instance"],
            "resources": {**ANY, "cpu": CPU},
        }
    )
    server.wait_for("survivor", "running")
    before = host.run("pidof", "dstack-shim").stdout
    container = host.run("docker", "ps", "-q", "--no-trunc").stdout
    offer(folder, "latest")
    wait_until(lambda: '"version":"latest"' in shim_api(host, "/api/healthcheck"), "the new shim", 120, pause=0.3)
    assert host.run("pidof", "dstack-shim").stdout != before
    assert host.run("docker", "ps", "-q", "--no-trunc").stdout == container
    assert host.run("/usr/local/bin/dstack-runner", "--version").stdout == "dstack-runner version latest\n"
    host.write("/srv/instance/go", "")
    end = server.wait_end("survivor")
    assert (end["status"], end["exit_status"]) == ("done", 0), end
    assert server.logs("survivor").splitlines()[-2:] == ["started", "went on"]

    wait_idle(server)
    server.cli("fleet", "delete", "-y", "ours")
    assert host.run("docker", "ps", "-aq").stdout == ""
