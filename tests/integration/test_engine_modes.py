"""Tasks on engines that are set up otherwise than usual."""

import json
import subprocess

import pytest
import requests
from support.own_engine import OwnEngine
from support.processes import SHIM, Shim, free_port, wait_until
from support.shim_calls import Calls

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
