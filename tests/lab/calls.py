"""The API of the shim in a guest, through the guest's SSH server, as a server calls it."""

import requests
from dstack._internal.server.services.runner.client import RunnerClient
from support.processes import wait_until

from lab.guest import Guest
from lab.context import IMAGE

SHIM_PORT = 10998
RUNNER_PORT = 10999
# Under emulation everything takes ten times as long as on a machine of its own.
PATIENCE = 900
CALL_LIMIT = 300


class Calls:
    def __init__(self, guest: Guest):
        self.guest = guest
        self.reconnect()

    def reconnect(self) -> None:
        """After a boot: the forwarded port is gone."""
        self.url = f"http://127.0.0.1:{self.guest.forward(SHIM_PORT)}"
        wait_until(self.answers, "the shim's healthcheck", PATIENCE, pause=0.5)

    def answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/api/healthcheck", timeout=30).ok
        except requests.RequestException:
            return False

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, timeout=CALL_LIMIT)

    def post(self, path: str, **body) -> requests.Response:
        return requests.post(self.url + path, json=body, timeout=CALL_LIMIT)

    def submit(self, task: str, **more) -> dict:
        answer = self.post("/api/tasks", **{"id": task, "name": task, "image_name": IMAGE, **more})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def info(self, task: str) -> dict:
        answer = self.get(f"/api/tasks/{task}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def wait_for(self, task: str, *statuses: str) -> dict:
        def reached():
            info = self.info(task)
            assert info["status"] in statuses or info["status"] != "terminated", info
            return info["status"] in statuses and info

        return wait_until(reached, f"{task}: {statuses}", PATIENCE, pause=0.3)

    def run(self, task: str, **more) -> dict:
        self.submit(task, **more)
        return self.wait_for(task, "running")

    def terminate(self, task: str, **more) -> requests.Response:
        body = {"termination_reason": "", "termination_message": "", "timeout": 0, **more}
        return self.post(f"/api/tasks/{task}/terminate", **body)

    def end(self, task: str) -> None:
        """Terminates and removes. Docker may need longer for that on an emulated machine than the 8 s that the shim waits: it
        answers 500 and goes on, and a server asks again."""
        wait_until(lambda: self.has_terminated(task), f"the end of {task}", PATIENCE, pause=0.5)
        wait_until(lambda: self._succeeded(self.post(f"/api/tasks/{task}/remove")), f"the removal of {task}", PATIENCE, pause=0.5)

    def has_terminated(self, task: str) -> bool:
        return self._succeeded(self.terminate(task))

    @staticmethod
    def _succeeded(answer: requests.Response) -> bool:
        assert answer.status_code in (200, 500), answer.text
        return answer.status_code == 200

    def ids(self) -> list[str]:
        return [task["id"] for task in self.get("/api/tasks").json()["tasks"]]

    def runner(self, info: dict) -> RunnerClient:
        """The runner of a running task, through a tunnel of its own."""
        port = next((pair["host"] for pair in info["ports"] if pair["container"] == RUNNER_PORT), RUNNER_PORT)
        client = RunnerClient(port=self.guest.forward(port))
        wait_until(lambda: healthy(client), "the runner's healthcheck", PATIENCE, pause=0.5)
        return client


def healthy(client: RunnerClient) -> bool:
    try:
        return client.healthcheck() is not None
    except requests.RequestException:
        return False
