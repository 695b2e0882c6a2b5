"""A host comes over from the Go shim and goes back: with the home, labels and keys that each program leaves the other. What the
other program does was seen with the program itself (docs/operating.md); here its traces are made by hand."""

import json
import subprocess
import uuid

import pytest
from conftest import LABEL, containers_of, docker
from support.hosts import HostUser
from support.processes import Shim, wait_until
from support.shim_calls import Calls


@pytest.fixture
def user():
    made = HostUser()
    yield made
    made.remove()


def left_by_the_other(home, image: str, name: str, command: str) -> str:
    """A task's container as the Go shim makes it, and the folder that it sees; the task's id."""
    task = str(uuid.uuid4())
    folder = home / "runners" / name
    folder.mkdir(parents=True)
    docker(
        *["run", "--detach", "--name", name, "--label", LABEL, "--label", f"ai.dstack.shim.task-id={task}"],
        *["--volume", f"{folder}:/tmp/runner", "--publish", "127.0.0.1::10999", "--publish", "127.0.0.1::10022"],
        *[image, "/bin/sh", "-c", command],
    )
    return task


def test_tasks_of_the_go_shim_go_on_end_and_are_removed(home, image):
    suffix = uuid.uuid4().hex[:8]
    running = left_by_the_other(home, image, f"running-{suffix}", "until [ -e /tmp/runner/go ]; do sleep 0.05; done; echo last; exit 4")
    stopped = left_by_the_other(home, image, f"stopped-{suffix}", "exec sleep 1000")
    ended = left_by_the_other(home, image, f"ended-{suffix}", "exit 0")
    docker("wait", f"ended-{suffix}")
    facts = '{"gpu_vendor":"none","cpus":4}'
    (home / "host_info.json").write_text(facts)
    (home / "shim.log").write_text("the other's\n")

    with Shim(home, "--service") as shim:
        shim.wait_ready()
        calls = Calls(shim)
        assert {task["id"] for task in calls.get("/api/tasks").json()["tasks"]} == {running, stopped, ended}
        assert calls.wait_for(ended, "terminated")["termination_reason"] == "done_by_runner"
        info = calls.info(running)
        assert info["status"] == "running"
        assert sorted(port["container"] for port in info["ports"]) == [10022, 10999]
        # The server stops one; another ends by itself, and its end is told as ever.
        assert calls.terminate(stopped).status_code == 200
        (home / f"runners/running-{suffix}/go").touch()
        end = calls.wait_for(running, "terminated")
        assert end["termination_reason"] == "container_exited_with_error"
        assert "last" in end["termination_message"]
        for task in (running, stopped, ended):
            assert calls.remove(task).status_code == 200
        assert calls.get("/api/tasks").json() == {"tasks": []}
        assert containers_of(home) == []
        assert list((home / "runners").iterdir()) == []
        assert (home / "host_info.json").read_text() == facts
        assert (home / "shim.log").read_text().startswith("the other's\n")


def test_keys_that_were_there_stay_and_ours_go_when_the_go_shim_ended_the_task(home, image, user):
    user.keys.parent.mkdir(mode=0o700)
    # The Go shim's lines have no mark: they cannot be told from the user's own.
    user.keys.write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHlH6Qh0b1zX0cC0zRVeV2JjW4sB7bG6d6p2h0cTn1Qa theirs\n")
    subprocess.run(["chown", "-R", f"{user.name}:{user.name}", user.keys.parent], check=True)
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHlH6Qh0b1zX0cC0zRVeV2JjW4sB7bG6d6p2h0cTn1Qb ours"
    with Shim(home) as shim:
        shim.wait_ready()
        task = Calls(shim).run(image, host_ssh_user=user.name, host_ssh_keys=[key], network_mode="bridge")
        assert task["status"] == "running", task
        assert len(user.our_lines()) == 1
        assert shim.stop() == 0

    # What the Go shim looks for, and then how it ends and removes the task.
    container = json.loads(docker("inspect", task["container_id"]))[0]
    assert container["State"]["Running"]
    assert container["Name"] == f"/{task['container_name']}"
    assert container["Config"]["Labels"]["ai.dstack.shim.is-task"] == "true"
    assert container["Config"]["Labels"]["ai.dstack.shim.task-id"] == task["id"]
    docker("rm", "--force", "--volumes", task["container_id"])

    with Shim(home) as shim:
        shim.wait_ready()
        calls = Calls(shim)
        assert calls.wait_for(task["id"], "terminated")["termination_reason"]
        wait_until(lambda: user.our_lines() == [], "our key's end")
        assert user.keys.read_text().endswith(" theirs\n")
        assert calls.remove(task["id"]).status_code == 200
