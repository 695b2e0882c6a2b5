"""docs/api describes what the programs answer."""

from pathlib import Path

import jsonschema
import openapi_spec_validator
import pytest
import requests
import yaml
from support.hosts import stand_in_runner
from support.processes import Shim
from support.runner_container import RunnerContainer
from support.shim_calls import Calls

DOCUMENTS = Path(__file__).parents[2] / "docs/api"


class Document:
    def __init__(self, name: str):
        self.content = yaml.safe_load((DOCUMENTS / name).read_text())

    def methods(self) -> dict[str, set[str]]:
        return {path: set(item) & {"get", "post"} for path, item in self.content["paths"].items()}

    def check(self, answer: requests.Response, method: str, path: str) -> None:
        """The status is a documented one, and the body is what the document says it is."""
        responses = self.content["paths"][path][method]["responses"]
        assert str(answer.status_code) in responses, (path, answer.status_code, answer.text)
        if answer.headers.get("content-type", "").startswith("application/json"):
            response = self.resolve(responses[str(answer.status_code)])
            schema = response["content"]["application/json"]["schema"]
            jsonschema.validate(answer.json(), {**schema, "components": self.content["components"]})

    def resolve(self, item: dict) -> dict:
        if "$ref" not in item:
            return item
        found = self.content
        for name in item["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        return found


def check_every_path(document: Document, url: str, but: str = "/api/shutdown") -> None:
    for path, methods in document.methods().items():
        if path.startswith(but):
            continue
        real = url + path.replace("{id}", "unknown")
        for method in ("get", "post", "put", "delete"):
            answer = requests.request(method, real, timeout=20)
            if method in methods:
                document.check(answer, method, path)
            else:
                assert answer.status_code == 405, (method, path)


@pytest.mark.parametrize("name", ["shim.yaml", "runner.yaml"])
def test_a_document_is_valid_openapi(name):
    openapi_spec_validator.validate(Document(name).content)


def test_the_shim_answers_as_documented(home, image, tmp_path):
    document = Document("shim.yaml")
    with Shim(home, runner=stand_in_runner(tmp_path / "sleeping", "exec sleep 1000")) as shim:
        calls = Calls(shim.wait_ready())
        check_every_path(document, calls.url)
        task = calls.submit(image, network_mode="bridge")
        document.check(calls.get(f"/api/tasks/{task}"), "get", "/api/tasks/{id}")
        calls.wait_for(task, "running")
        document.check(calls.get(f"/api/tasks/{task}"), "get", "/api/tasks/{id}")
        document.check(calls.get("/api/tasks"), "get", "/api/tasks")
        known = calls.get(f"/api/tasks/{task}?details=1")
        document.check(known, "get", "/api/tasks/{id}")
        assert set(document.content["components"]["schemas"]["TaskInspection"]["allOf"][1]["required"]) <= set(known.json())
        document.check(calls.remove(task), "post", "/api/tasks/{id}/remove")
        document.check(calls.terminate(task), "post", "/api/tasks/{id}/terminate")
        document.check(calls.remove(task), "post", "/api/tasks/{id}/remove")


def test_the_runner_answers_as_documented(image):
    document = Document("runner.yaml")
    with RunnerContainer(image) as runner:
        runner.wait_ready()
        runner.submit(["/bin/sh", "-c", "echo hello; exit 3"])
        document.check(runner.post("/api/run"), "post", "/api/run")
        runner.wait_over()
        page = runner.get("/api/pull")
        document.check(page, "get", "/api/pull")
        assert [state["state"] for state in page.json()["job_states"]] == ["running", "failed"]
    with RunnerContainer(image) as runner:
        runner.wait_ready()
        check_every_path(document, runner.url, but="/api/exec")


def test_a_runner_that_holds_answers_as_documented(image):
    document = Document("runner.yaml")
    with RunnerContainer(image, "--hold") as runner:
        runner.wait_ready()
        check_every_path(document, runner.url, but="/api/stop")
        done = runner.post("/api/exec", json={"id": "1", "argv": ["true"]})
        document.check(done, "post", "/api/exec")
        assert b'"exit_status":0' in done.content
