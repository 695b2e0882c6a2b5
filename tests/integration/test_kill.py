"""kill -9 at any instant: nothing leaks, and reasons stay right."""

import threading
import time

import pytest
import requests
from conftest import containers_of
from support.hosts import HostUser, stand_in_runner
from support.processes import Shim, wait_until

ROUNDS = 200
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKilledAtAnyInstant"


class Server:
    """Does with a task what a server does, and goes on after the shim died under a request."""

    def __init__(self, shim: Shim, image: str, user: str):
        self.shim = shim
        self.image = image
        self.user = user
        self.session = requests.Session()

    def call(self, method: str, path: str, **body) -> requests.Response:
        return self.session.request(method, self.shim.url + path, json=body or None, timeout=20)

    def submit(self, task: str, name: str) -> int:
        return self.call(
            "POST",
            "/api/tasks",
            id=task,
            name=name,
            image_name=self.image,
            host_ssh_user=self.user,
            host_ssh_keys=[f"{KEY} {task}"],
        ).status_code

    def info(self, task: str) -> dict | None:
        answer = self.call("GET", f"/api/tasks/{task}")
        return answer.json() if answer.status_code == 200 else None

    def wait_for(self, task: str, *statuses: str) -> dict:
        return wait_until(lambda: (info := self.info(task)) and info["status"] in statuses and info, f"{statuses}")

    def terminate(self, task: str, reason: str, may_be_gone: bool) -> dict | None:
        answer = self.call(
            "POST", f"/api/tasks/{task}/terminate", termination_reason=reason, termination_message="", timeout=0
        )
        if answer.status_code == 404 and may_be_gone:
            return None
        assert answer.status_code == 200, answer.text
        return answer.json()

    def remove(self, task: str) -> None:
        answer = self.call("POST", f"/api/tasks/{task}/remove")
        assert answer.status_code in (200, 404), answer.text


class Life:
    """One task from submit to remove, with what the server has been told so far."""

    def __init__(self, name: str, ends_by_itself: bool):
        self.id = f"{name}-id"
        self.name = name
        self.ends_by_itself = ends_by_itself
        self.submitted = False
        self.ran = False
        self.reason = None
        self.terminating = False
        self.removed = False

    def go_on(self, server: Server) -> None:
        if not self.terminating:
            self.reach_the_end(server)
        # A removal that was cut off goes on by itself, so that the task may be gone at any moment.
        may_be_gone = self.terminating
        self.terminating = True
        if info := server.terminate(self.id, "aborted_by_user", may_be_gone):
            self.note(info)
            server.remove(self.id)
        self.removed = True

    def reach_the_end(self, server: Server) -> None:
        """Until the server would terminate the task."""
        if server.info(self.id) is None:
            assert not self.submitted, f"{self.name} is lost"
            assert server.submit(self.id, self.name) in (200, 409)
        self.submitted = True
        if self.ends_by_itself:
            info = server.wait_for(self.id, "terminated")
        else:
            info = server.wait_for(self.id, "running", "terminated")
            self.ran = self.ran or info["status"] == "running"
        self.note(info)

    def note(self, info: dict) -> None:
        if info["status"] != "terminated":
            return
        reason = info["termination_reason"]
        assert reason, info
        # Once told, it stays.
        assert self.reason in (None, reason), (self.reason, info)
        self.reason = reason
        if self.ran:
            assert reason == "aborted_by_user", info
        elif self.ends_by_itself:
            cut_off = reason in ("executor_error", "creating_container_error") and "restarted" in info["termination_message"]
            ended = reason == "container_exited_with_error" and info["termination_message"].endswith("\nlast words")
            assert cut_off or ended, info
        else:
            assert reason in ("aborted_by_user", "executor_error", "creating_container_error"), info


@pytest.fixture
def user():
    made = HostUser()
    yield made
    made.remove()


@pytest.mark.timeout(900)
def test_a_shim_killed_at_any_instant_loses_and_leaks_nothing(home, image, tmp_path, user):
    stays = stand_in_runner(tmp_path / "stays", "exec sleep 1000")
    ends = stand_in_runner(tmp_path / "ends", "echo last words; exit 7")

    def round_of(number: int, moment: float | None) -> float:
        ends_by_itself = number % 2 == 1
        arguments = dict(runner=ends if ends_by_itself else stays)
        life = Life(f"life-{number}", ends_by_itself)
        began = time.monotonic()
        with Shim(home, **arguments) as shim:
            shim.wait_ready()
            began = time.monotonic()
            killer = None
            if moment is not None:
                killer = threading.Timer(moment, shim.process.kill)
                killer.start()
            try:
                life.go_on(Server(shim, image, user.name))
            except requests.RequestException:
                pass
            took = time.monotonic() - began
            if killer:
                killer.join()
            shim.process.kill()
            shim.process.wait()
        with Shim(home, **arguments) as shim:
            shim.wait_ready()
            if not life.removed:
                life.go_on(Server(shim, image, user.name))
            assert requests.get(f"{shim.url}/api/tasks", timeout=9).json() == {"tasks": []}
            assert shim.stop() == 0
        if containers_of(home):
            # The engine may carry out a create after its caller was killed and the task has been removed. What the next
            # start then takes up is a task that a server does not know, and removes.
            with Shim(home, **arguments) as shim:
                shim.wait_ready()
                server = Server(shim, image, user.name)
                if server.info(life.id):
                    assert server.wait_for(life.id, "terminated")["termination_reason"] == "creating_container_error"
                    server.remove(life.id)
                wait_until(lambda: containers_of(home) == [], "the removal of a container without a task")
        assert user.our_lines() == []
        assert [path.name for folder in ("tasks", "runners") for path in (home / folder).iterdir()] == []
        return took

    durations = [max(round_of(-2 + kind, None) for _ in range(2)) for kind in range(2)]
    for number in range(ROUNDS):
        # The moments of each kind of life are spread evenly over a little more than its usual length.
        kind = number % 2
        round_of(number, durations[kind] * 1.1 * (number + 1) / ROUNDS)
