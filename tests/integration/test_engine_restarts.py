"""What becomes of tasks when Docker is restarted, with and without live-restore."""

import pytest
from support.hosts import stand_in_runner
from support.own_engine import OwnEngine
from support.processes import Shim
from support.shim_calls import Calls

ENDS_WHEN_ASKED = "trap 'echo asked; exit 143' TERM; while :; do sleep 0.1; done"


@pytest.fixture
def engine(tmp_path) -> OwnEngine:
    with OwnEngine(tmp_path) as running:
        yield running


def shim_on(engine: OwnEngine, folder, script: str) -> Shim:
    runner = stand_in_runner(folder / "runner", script)
    return Shim(folder / "home", runner=runner, environment={"DOCKER_HOST": engine.host})


@pytest.mark.parametrize(
    "script, status", [(ENDS_WHEN_ASKED, 143), ("trap '' TERM; while :; do sleep 0.1; done", 137)], ids=["asked", "killed"]
)
def test_a_task_that_a_restart_of_docker_ends_says_so(engine, image, tmp_path, script, status):
    engine.configure(**{"shutdown-timeout": 3})
    engine.restart()
    with shim_on(engine, tmp_path, script) as shim:
        calls = Calls(shim.wait_ready())
        task = calls.run(image)["id"]
        engine.restart()
        info = calls.wait_for(task, "terminated")
        assert info["termination_reason"] == "container_exited_with_error"
        lines = info["termination_message"].splitlines()
        assert lines[:2] == ["Docker was restarted while the task was running", f"The container exited with status {status}"]
        # And the next one runs.
        assert calls.run(image)["status"] == "running"


def test_a_task_that_docker_kill_ends_does_not_blame_docker(engine, image, tmp_path):
    with shim_on(engine, tmp_path, ENDS_WHEN_ASKED) as shim:
        calls = Calls(shim.wait_ready())
        info = calls.run(image)
        engine.call("kill", info["container_name"])
        message = calls.wait_for(info["id"], "terminated")["termination_message"]
        assert message.splitlines()[0] == "The container exited with status 137"


def test_a_task_of_an_engine_that_was_killed_says_so(engine, image, tmp_path):
    with shim_on(engine, tmp_path, ENDS_WHEN_ASKED) as shim:
        calls = Calls(shim.wait_ready())
        task = calls.run(image)["id"]
        engine.kill()
        engine.start()
        message = calls.wait_for(task, "terminated")["termination_message"]
        assert message.splitlines()[0] == "Docker was restarted while the task was running"


def test_with_live_restore_a_restart_of_docker_ends_nothing_and_ends_are_seen(engine, image, tmp_path):
    script = "until [ -e /tmp/runner/go ]; do sleep 0.1; done; exit 5"
    with shim_on(engine, tmp_path, script) as shim:
        calls = Calls(shim.wait_ready())
        engine.reload(**{"live-restore": True})
        task = calls.run(image)
        while_away = calls.run(image)
        engine.stop()
        runner_folder = tmp_path / "home/runners"
        (runner_folder / while_away["container_name"] / "go").touch()
        engine.start()
        ended = calls.wait_for(while_away["id"], "terminated")
        assert ended["termination_message"].splitlines()[0] == "The container exited with status 5"
        assert calls.info(task["id"])["status"] == "running"
        # Switched off again, the next restart ends it.
        engine.reload(**{"live-restore": False})
        engine.restart()
        ended = calls.wait_for(task["id"], "terminated")
        assert ended["termination_message"].splitlines()[0] == "Docker was restarted while the task was running"
