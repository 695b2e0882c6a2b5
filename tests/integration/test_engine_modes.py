"""Tasks on engines that are set up otherwise than usual."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest
import requests
from support.own_engine import OwnEngine
from support.processes import SHIM, Program, Shim, free_port, wait_until
from support.shim_calls import Calls

NOBODY = 65534
# A user of every system whose group has the same name.
USER = "daemon"
SUBORDINATES = f"{USER}:200000:65536\n"


@pytest.fixture
def remapping_engine(tmp_path) -> OwnEngine:
    """One with userns-remap, on a host whose files of subordinate ids have a line for it."""
    (tmp_path / "subordinates").write_text(SUBORDINATES)
    engine = OwnEngine(tmp_path, **{"userns-remap": USER})
    mounts = "".join(f"mount --bind {tmp_path}/subordinates /etc/{name}; " for name in ("subuid", "subgid"))
    engine.prefix = ["unshare", "--mount", "sh", "-ec", f'{mounts} exec "$@"', "sh"]
    with engine:
        yield engine


def test_a_task_runs_on_an_engine_that_remaps_users(remapping_engine, image, tmp_path):
    environment = {"DOCKER_HOST": remapping_engine.host}
    port = free_port()
    ports = ["--runner-http-port", port, "--runner-ssh-port", free_port()]
    with Shim(tmp_path / "home", *ports, environment=environment) as shim:
        calls = Calls(shim.wait_ready())
        info = calls.run(image)
        assert info["status"] == "running", info

        def answers():
            try:
                return requests.get(f"http://127.0.0.1:{port}/api/healthcheck", timeout=5).ok
            except requests.ConnectionError:
                assert calls.info(info["id"])["status"] == "running", calls.info(info["id"])
                return False

        wait_until(answers, "the runner's answer")
        # What it writes is the host's root's.
        folder = tmp_path / "home/runners" / info["container_name"]
        assert {entry.stat().st_uid for entry in folder.rglob("*")} <= {0}
        examined = subprocess.run(
            [SHIM, "--shim-http-port", str(shim.port), "doctor", "--json"], capture_output=True, env=environment | {"PATH": "/usr/bin"}
        )
        checks = {check["name"]: check for check in json.loads(examined.stdout)["checks"]}
        assert any("userns-remap" in check["found"] for check in checks.values())
        assert calls.terminate(info["id"]).json()["status"] == "terminated"
        assert calls.remove(info["id"]).status_code == 200


@pytest.fixture
def rootless_podman(tmp_path) -> str:
    """DOCKER_HOST of a Podman that runs as an ordinary user."""
    if not shutil.which("podman"):
        pytest.skip("Podman is not installed")
    folder = Path(tempfile.mkdtemp(prefix="dstack-podman-"))
    os.chown(folder, NOBODY, NOBODY)
    user = ["setsid", "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "env", "-C", folder]
    storage = ["--root", folder / "root", "--runroot", folder / "run", "--storage-driver", "vfs"]
    path = folder / "podman.sock"
    with Program(
        [*user, "podman", *storage, "system", "service", "--time=0", f"unix://{path}"],
        tmp_path / "podman.log",
        {"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)},
    ) as service:
        wait_until(lambda: path.exists() or service.process.poll() is not None, "Podman's socket")
        assert path.exists(), service.log()
        yield f"unix://{path}"
        # It has started itself anew in a user namespace, and something that keeps that namespace.
        os.killpg(service.process.pid, signal.SIGKILL)
        for pause in folder.rglob("pause.pid"):
            os.kill(int(pause.read_text()), signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def test_a_rootless_engine_is_named_by_the_task_and_by_doctor(rootless_podman, image, tmp_path):
    environment = {"DOCKER_HOST": rootless_podman}
    with Shim(tmp_path / "home", environment=environment) as shim:
        calls = Calls(shim.wait_ready())
        info = calls.run(image)
        assert info["termination_reason"] == "creating_container_error"
        assert "rootless" in info["termination_message"] and "DOCKER_HOST" in info["termination_message"]
        doctor = [SHIM, "--shim-http-port", str(shim.port), "doctor", "--json"]
        examined = subprocess.run(doctor, capture_output=True, env=environment | {"PATH": "/usr/bin"})
        checks = {check["name"]: check for check in json.loads(examined.stdout)["checks"]}
        assert checks["engine-mode"]["verdict"] == "broken"
        assert "rootless" in checks["engine-mode"]["found"]
