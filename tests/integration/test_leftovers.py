"""What tasks left that the shim does not know: removed if it is certainly its own, kept if not."""

import json
import subprocess

import pytest
from conftest import docker, remove
from support.person import Client
from support.processes import SHIM, Shim, wait_until


def made(home, name: str, image: str, command: list[str], run: bool) -> str:
    """A container as the shim makes it, of a task that it has never heard of."""
    folder = home / "runners" / name
    folder.mkdir(parents=True)
    labels = ["--label", "ai.dstack.shim.is-task=true", "--label", f"ai.dstack.shim.task-id={name}"]
    arguments = ["--name", name, *labels, "-v", f"{folder}:/tmp/runner", image, *command]
    return docker("run", *(["-d"] if run else []), *arguments).strip() if run else docker("create", *arguments).strip()


@pytest.fixture
def stranger(tmp_path, image):
    """The same of another home."""
    made(tmp_path / "other", "stranger-00000001", image, ["true"], True)
    yield "stranger-00000001"
    remove(["stranger-00000001"])


def names() -> list[str]:
    return docker("ps", "--all", "--format", "{{.Names}}").split()


def test_what_is_the_shims_own_is_removed_and_what_runs_or_is_anothers_stays(shim, home, image, stranger):
    # A running shim removes containers that are made in its name at once.
    shim.stop()
    made(home, "ended-00000001", image, ["true"], True)
    made(home, "runs-00000001", image, ["sleep", "1000"], True)
    (home / "runners/folder-00000001/sub").mkdir(parents=True)
    docker("network", "create", "--label", f"ai.dstack.shim.home={home}", "left-00000001")
    found = subprocess.run([SHIM, "doctor", "--json", "--shim-home", home, "--shim-http-port", str(shim.port)], capture_output=True)
    checks = {check["name"]: check for check in json.loads(found.stdout)["checks"]}
    for name in ("ended-00000001", "runs-00000001"):
        assert name in checks["containers"]["found"]
    assert "folder-00000001" in checks["folders"]["found"]
    assert "stranger" not in checks["containers"]["found"]
    with Shim(home) as again:
        again.wait_ready()
        wait_until(lambda: not (home / "runners/folder-00000001").exists(), "the removal of the folder")
        assert "left-00000001" not in docker("network", "ls", "--format", "{{.Name}}").split()
        # Containers are taken over, also one that has ended.
        client = Client(again.port, image)
        client.wait_ended("ended-00000001")
        assert client.list()["runs-00000001"]["status"] == "running"
        assert stranger in names()


def test_the_logs_of_a_removed_task_are_kept_with_keep_logs(home, image):
    with Shim(home, "--keep-logs", "10M,1h") as shim:
        shim.wait_ready()
        client = Client(shim.port, image)
        client.text("run", "--image", image, "--name", "job", "--", "echo", "hello from a job")
        plain = ["run", "--image", image, "--name", "plain", "-d", "--entrypoint", "echo", "--", "hello from a program"]
        client.text(*plain)
        client.wait_ended("plain")
        containers = {name: task["container_name"] for name, task in client.list().items()}
        client.text("rm", "job", "plain")
    assert "hello from a job" in (home / "logs" / containers["job"] / "job.log").read_text()
    assert (home / "logs" / containers["plain"] / "output.log").read_text() == "hello from a program\n"
    assert not (home / "runners" / containers["job"]).exists()


def test_a_wrong_limit_of_kept_logs_is_named(home):
    ended = subprocess.run([SHIM, "--shim-home", home, "--keep-logs", "lots"], capture_output=True, text=True)
    assert ended.returncode != 0 and "SIZE,AGE" in ended.stderr
