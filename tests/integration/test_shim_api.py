"""Statuses, refusals and load of the shim's API."""

import concurrent.futures
import json
import socket
import time

import pytest
import requests
from support.hosts import stand_in_runner
from support.processes import Shim
from support.shim_calls import Calls

TASK = {"id": "1", "name": "test", "image_name": "127.0.0.1:5000/busybox:1"}


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    """One shim for requests that leave no task."""
    with Shim(tmp_path_factory.mktemp("api") / "home") as shim:
        yield Calls(shim.wait_ready())


def post(calls, path, body: bytes | str, **headers) -> requests.Response:
    return calls.session.post(calls.url + path, data=body, headers=headers, timeout=20)


@pytest.mark.parametrize(
    "method, path, status",
    [
        ("GET", "/", 404),
        ("GET", "/api/nothing", 404),
        ("GET", "/api/tasks/unknown", 404),
        ("POST", "/api/tasks/unknown/remove", 404),
        ("GET", "/api/tasks/unknown/remove", 405),
        ("DELETE", "/api/tasks", 405),
        ("POST", "/api/healthcheck", 405),
        ("GET", "/metrics/tasks/unknown", 404),
    ],
)
def test_paths_and_methods_that_do_not_exist(calls, method, path, status):
    answer = calls.session.request(method, calls.url + path, timeout=20)
    assert answer.status_code == status
    assert answer.text.endswith("\n")


@pytest.mark.parametrize(
    "body, word",
    [
        (b"", ""),
        (b"{", ""),
        (b"[]", ""),
        (json.dumps(TASK).encode() + b" {}", ""),
        (json.dumps({**TASK, "name": "\udcff"}).encode().replace(b"\\udcff", b"\xff"), ""),
        (json.dumps({**TASK, "id": ""}), "empty id"),
        (json.dumps({**TASK, "name": ""}), "empty name"),
        (json.dumps({**TASK, "image_name": None}), "empty image_name"),
        (json.dumps({**TASK, "cpu": "one"}), "cpu"),
        (json.dumps({**TASK, "volumes": {}}), "volumes"),
        (json.dumps({**TASK, "memory": -1}), "memory"),
        (json.dumps({**TASK, "gpu": 1.5}), "gpu"),
        (json.dumps({**TASK, "id": "../../etc"}), "id"),
        (json.dumps({**TASK, "id": "a\0b"}), "id"),
        (json.dumps({**TASK, "id": "x" * 10240}), "id"),
        (json.dumps({**TASK, "name": "a/../b"}), "name"),
        (json.dumps({**TASK, "name": "a\nb"}), "name"),
        (json.dumps({**TASK, "container_ssh_keys": ["ssh-rsa A\nssh-rsa B"]}), "container_ssh_keys"),
    ],
)
def test_bad_tasks_are_refused_by_field(calls, body, word):
    answer = post(calls, "/api/tasks", body, **{"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert word in answer.text
    assert calls.get("/api/tasks").json() == {"tasks": []}


def test_another_content_type_is_415_and_none_is_fine(calls):
    for path in ("/api/tasks", "/api/submit", "/api/shutdown", "/api/tasks/1/terminate", "/api/components/install"):
        assert post(calls, path, "{}", **{"Content-Type": "text/plain"}).status_code == 415
    answer = requests.post(calls.url + "/api/tasks/unknown/terminate", data=iter([b"{}"]), timeout=20)
    assert answer.status_code == 404


def test_a_body_over_the_limit_is_413(calls):
    assert post(calls, "/api/tasks", b" " * ((1 << 20) + 1), **{"Content-Type": "application/json"}).status_code == 413
    chunks = (b" " * 65536 for _ in range(20))
    assert post(calls, "/api/tasks", chunks, **{"Content-Type": "application/json"}).status_code == 413


def test_a_browser_is_refused(calls):
    for path in ("/api/healthcheck", "/api/tasks", "/nothing"):
        assert requests.get(calls.url + path, headers={"Origin": "http://evil"}, timeout=9).status_code == 403
    answer = post(calls, "/api/shutdown", b'{"force":true}', Origin="null")
    assert answer.status_code == 403


def test_a_host_without_gpus_tells_none(calls):
    assert calls.get("/api/instance/info").json() == {}
    assert calls.get("/api/instance/health").json() == {"dcgm": None}


def test_components_are_named_with_their_versions(calls):
    components = calls.get("/api/components").json()["components"]
    assert [component["name"] for component in components] == ["dstack-runner", "dstack-shim"]
    assert {component["status"] for component in components} == {"installed"}
    assert all(component["version"] for component in components)


@pytest.mark.parametrize(
    "body, text", [({"name": ""}, "empty name"), ({"name": "x", "url": "u"}, "unknown component"), ({"name": "dstack-shim"}, "empty url")]
)
def test_an_installation_that_names_nothing_is_refused(calls, body, text):
    answer = calls.post("/api/components/install", **body)
    assert (answer.status_code, answer.text) == (400, text + "\n")


def test_conflicts_are_409(home, image, tmp_path):
    with Shim(home, runner=stand_in_runner(tmp_path / "runner", "exec sleep 1000")) as shim:
        calls = Calls(shim.wait_ready())
        task = calls.run(image)["id"]
        assert calls.post("/api/tasks", id=task, name="test", image_name=image).status_code == 409
        assert calls.remove(task).status_code == 409
        assert calls.terminate(task, termination_reason="").json()["termination_reason"] == "terminated_by_server"
        again = calls.terminate(task, termination_reason="aborted_by_user").json()
        assert again["termination_reason"] == "terminated_by_server"
        assert (calls.remove(task).status_code, calls.remove(task).status_code) == (200, 404)


def test_two_hundred_connections_at_once(calls):
    def ask(_):
        # A connection each, open at the same time.
        with socket.create_connection(("127.0.0.1", int(calls.url.rsplit(":", 1)[1])), timeout=20) as connection:
            connection.sendall(b"GET /api/tasks HTTP/1.1\r\nHost: x\r\n\r\n")
            return connection.recv(65536)

    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(ask, range(200)))
    assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)


def test_clients_that_never_finish_their_request_do_not_keep_others_waiting(calls):
    port = int(calls.url.rsplit(":", 1)[1])
    slow = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(300)]
    try:
        for connection in slow:
            connection.sendall(b"POST /api/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nX-")
        began = time.monotonic()
        assert Calls.get(calls, "/api/healthcheck").status_code == 200
        # Seconds, where a queue behind the slow ones would take half a minute.
        assert time.monotonic() - began < 10
    finally:
        for connection in slow:
            connection.close()
