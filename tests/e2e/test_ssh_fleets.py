"""The newest server takes a host into a fleet over SSH, installs our binaries there, runs tasks and updates them."""

import shutil
import sys
import time
from pathlib import Path

import pytest
from support.dstack_server import ANY, Server
from support.machine import Machine
from support.processes import ARCHITECTURE, RUNNER, SHIM, wait_until
from support.releases import as_version, make_release, name_here, upload_from
from support.ssh_server import PORT, make_key, start_ssh_server

# A first run installs the server and makes its data base.
pytestmark = pytest.mark.timeout(600)

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


def start_server(host: Machine, folder: Path, binaries: str) -> Server:
    variables = {
        "DSTACK_SHIM_DOWNLOAD_URL": f"{binaries}/dstack-shim-linux-{{arch}}",
        "DSTACK_RUNNER_DOWNLOAD_URL": f"{binaries}/dstack-runner-linux-{{arch}}",
    }
    return Server(host, RELEASE, folder, **variables)


@pytest.fixture
def server(host, folder) -> Server:
    downloads = folder / "downloads"
    downloads.mkdir()
    web = host.start(sys.executable, "-m", "http.server", "8100", "--bind", "127.0.0.1", "-d", downloads, log=folder / "web.log")
    with web, start_server(host, folder, f"{DOWNLOADS}/{{version}}/binaries") as server:
        yield server


# The server looks an image up, over https only, unless user and architecture are given.
CPU = {"amd64": "x86:1..", "arm64": "arm:1.."}[ARCHITECTURE]

FLEET = {
    "type": "fleet",
    "name": "ours",
    "ssh_config": {"user": "root", "port": PORT, "identity_file": "/root/.ssh/fleet", "hosts": ["127.0.0.1"]},
}


def shim_api(host: Machine, path: str) -> str:
    return host.run("curl", "-s", f"http://127.0.0.1:10998{path}", check=False).stdout


def task(image: str, name: str, *commands: str) -> dict:
    return {
        "type": "task",
        "name": name,
        "image": image,
        "user": "root",
        "shell": "sh",
        "commands": list(commands),
        "volumes": ["/srv/instance:/instance"],
        "resources": {**ANY, "cpu": CPU},
    }


def test_a_host_joins_a_fleet_runs_a_task_through_an_update_and_leaves(server, host, folder, image):
    offer(folder, "0.22.4")
    server.apply(FLEET)
    found = server.wait_idle("ours")
    resources = found["instance_type"]["resources"]
    assert resources["cpus"] == int(host.run("nproc").stdout)
    assert resources["memory_mib"] > 0 and resources["disk"]["size_mib"] > 0
    assert "dstack-shim version 0.22.4" in host.run("/usr/local/bin/dstack-shim", "--version").stdout

    # A task that outlives the shim which started it.
    patience = "until [ -e /instance/go ]; do sleep 0.1; done"
    server.apply(task(image, "survivor", "echo started", patience, "echo went on"))
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

    server.wait_idle("ours")
    server.cli("fleet", "delete", "-y", "ours")
    assert host.run("docker", "ps", "-aq").stdout == ""


@pytest.mark.long
def test_a_run_waits_while_its_host_is_drained(server, host, folder, image):
    offer(folder, "latest")
    server.apply(FLEET)
    server.wait_idle("ours")
    assert host.run("/usr/local/bin/dstack-shim", "drain", "--reason", "new disk").returncode == 0
    server.apply(task(image, "patient", "echo at last"))
    wait_until(lambda: "did not accept the task submission" in server.log.read_text(), "the server's try", 120, pause=0.5)
    assert server.job_of("patient")["status"] == "provisioning"
    assert 'this host is drained and takes no new tasks: "new disk"' in server.log.read_text()
    assert host.run("/usr/local/bin/dstack-shim", "undrain").returncode == 0
    end = server.wait_end("patient")
    assert (end["status"], end["exit_status"]) == ("done", 0), end
    assert server.logs("patient").splitlines()[-1] == "at last"


@pytest.mark.long
def test_a_run_whose_host_goes_down_is_retried_as_interrupted(server, host, folder, image):
    offer(folder, "latest")
    server.apply(FLEET)
    server.wait_idle("ours")
    patience = "while [ ! -e /instance/go ]; do sleep 0.1; done"
    run = task(image, "spot", "trap 'echo saved; exit 0' INT", "echo started", patience, "echo went on")
    server.apply({**run, "retry": {"on_events": ["interruption"], "duration": "1h"}})
    server.wait_for("spot", "running")
    wait_until(lambda: "started" in server.logs("spot"), "the job's first line", 60, pause=0.5)

    # In a minute and a half, say, by another user's `shutdown`.
    host.write("/run/systemd/shutdown/scheduled", f"USEC={int((time.time() + 90) * 1e6)}\nWARN_WALL=1\nMODE=poweroff\n")

    def interrupted():
        first = server.run_of("spot")["jobs"][0]["job_submissions"][0]
        return first["termination_reason"] and first

    first = wait_until(interrupted, "the end of the first job", 120, pause=0.5)
    assert (first["termination_reason"], first["exit_status"]) == ("interrupted_by_no_capacity", None), first
    assert "a shutdown is scheduled" in first["termination_reason_message"]
    host.run("rm", "/run/systemd/shutdown/scheduled")
    host.write("/srv/instance/go", "")
    end = server.wait_end("spot")
    assert (end["status"], end["exit_status"]) == ("done", 0), end
    assert end["id"] != first["id"]


S3 = "http://127.0.0.1:8200"


@pytest.mark.long
def test_uploaded_binaries_make_a_fleet_whose_tasks_are_logged_in_to(host, folder, image):
    release = make_release(folder / "dist", sums=False)
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": S3}
    store = host.start(sys.executable, "-m", "moto.server", "-p", "8200", log=folder / "s3.log")
    with store:
        wait_until(lambda: host.run("curl", "-sf", S3, check=False).returncode == 0, "the store", pause=0.2)
        host.run("curl", "-sf", "-X", "PUT", "-H", "x-amz-acl: public-read", f"{S3}/releases")
        where = {"DSTACK_SHIM_UPLOAD_S3_BUCKET": "releases", "DSTACK_SHIM_UPLOAD_VERSION": RELEASE}
        told = upload_from(host, release, {**keys, **where})
        assert f"DSTACK_SHIM_DOWNLOAD_URL={S3}/releases/{{version}}/binaries/dstack-shim-linux-{{arch}}\n" in told
        with start_server(host, folder, f"{S3}/releases/{{version}}/binaries") as server:
            server.apply(FLEET)
            server.wait_idle("ours")
            assert host.run("/usr/local/bin/dstack-shim", "--version").stdout == "dstack-shim version latest\n"
            server.apply(task(image, "visited", "echo started", "until [ -e /instance/go ]; do sleep 0.1; done"))
            server.wait_for("visited", "running")
            attach = ["env", "--chdir=/root/project", server.binaries / "dstack", "attach", "visited"]
            with host.start(*attach, log=folder / "attach.log", environment={"HOME": "/root", "COLUMNS": "200"}) as attached:
                # Over the host's SSH server and through it to the one that the runner brought along.
                login = ["ssh", "visited", "echo $DSTACK_RUN_NAME; touch /instance/go"]

                def logged_in() -> bool:
                    assert attached.process.poll() is None, attached.log()
                    return host.run(*login, check=False, environment={"HOME": "/root"}).stdout == "visited\n"

                wait_until(logged_in, "a login", 60, pause=0.5)
            end = server.wait_end("visited")
            assert (end["status"], end["exit_status"]) == ("done", 0), end
            server.cli("fleet", "delete", "-y", "ours")
