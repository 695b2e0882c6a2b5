"""The shim's API over plain HTTP, for what the real client does not send or does not show."""

import uuid

import requests
from support.processes import Shim, wait_until


class Calls:
    def __init__(self, shim: Shim):
        self.url = shim.url
        self.session = requests.Session()

    def get(self, path: str) -> requests.Response:
        return self.session.get(self.url + path, timeout=20)

    def post(self, path: str, **body) -> requests.Response:
        return self.session.post(self.url + path, json=body, timeout=20)

    def submit(self, image: str, **more) -> str:
        task = more.pop("id", None) or str(uuid.uuid4())
        answer = self.post("/api/tasks", **{"id": task, "name": "test", "image_name": image, **more})
        assert answer.status_code == 200, answer.text
        return task

    def info(self, task: str) -> dict:
        answer = self.get(f"/api/tasks/{task}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def wait_for(self, task: str, *statuses: str) -> dict:
        return wait_until(lambda: (info := self.info(task))["status"] in statuses and info, f"{statuses}")

    def run(self, image: str, **more) -> dict:
        """Submits and waits until the container runs, or the task ended."""
        return self.wait_for(self.submit(image, **more), "running", "terminated")

    def terminate(self, task: str, **more) -> requests.Response:
        return self.post(
            f"/api/tasks/{task}/terminate", **{"termination_reason": "", "termination_message": "", "timeout": 0, **more}
        )

    def remove(self, task: str) -> requests.Response:
        return self.session.post(f"{self.url}/api/tasks/{task}/remove", timeout=20)
