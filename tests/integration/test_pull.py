"""Pulls as a server sees them: numbers, credentials, retries, the end in the middle of one."""

import socket
import stat
import threading

import pytest
from conftest import docker
from support.hosts import stand_in_runner
from support.processes import Shim, free_port, wait_until
from support.registries import closed_image, closed_registry, layer_bytes, layered, start_registry  # noqa: F401
from support.shim_calls import Calls


@pytest.fixture
def running(home, tmp_path):
    with Shim(home, runner=stand_in_runner(tmp_path / "sleeping", "exec sleep 1000")) as shim:
        yield shim.wait_ready()


def all_text_below(folder) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_the_numbers_of_a_pull(running, home, layered):
    calls = Calls(running)
    task = calls.submit(layered)
    seen = []

    def note():
        info = calls.info(task)
        if info["image_pull_progress"] and info["image_pull_progress"] not in seen:
            seen.append(info["image_pull_progress"])
        return info["status"] in ("running", "terminated") and info

    info = wait_until(note, "the pull", 60)
    assert info["status"] == "running", info
    total = layer_bytes(layered)
    last = {"downloaded_bytes": total, "extracted_bytes": total, "total_bytes": total, "is_total_bytes_final": True}
    assert seen[-1] == last
    for name in ("downloaded_bytes", "extracted_bytes", "total_bytes"):
        assert [numbers[name] for numbers in seen] == sorted(numbers[name] for numbers in seen)
    log = home / "tasks" / info["container_name"] / "pull.log"
    assert "Status: Downloaded newer image" in log.read_text()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    # A second task finds the image there.
    again = calls.run(layered)
    assert again["status"] == "running" and again["image_pull_progress"] is None


def test_credentials_are_used_and_kept_nowhere(running, home, closed_image, closed_registry):
    _, user, password = closed_registry
    calls = Calls(running)
    refused = calls.run(closed_image, registry_username=user, registry_password="not the one")
    assert refused["termination_reason"] == "creating_container_error"
    assert "unauthorized" in refused["termination_message"]
    assert "attempt 2" not in running.log()
    given = calls.run(closed_image, registry_username=user, registry_password=password)
    assert given["status"] == "running", given
    for word in (password, "not the one"):
        assert word not in running.log()
        assert word.encode() not in all_text_below(home)


def test_an_unknown_tag_is_told_in_the_registry_s_words(running, registry):
    info = Calls(running).run(f"{registry}/busybox:no-such-tag")
    assert info["termination_reason"] == "creating_container_error"
    assert "manifest unknown" in info["termination_message"]
    assert "attempt 2" not in running.log()


def test_a_registry_that_comes_back_is_tried_again(running, image, tmp_path):
    address = f"127.0.0.1:{free_port()}"
    configuration = tmp_path / "late.yml"
    configuration.write_text(
        f"{{version: '0.1', storage: {{filesystem: {{rootdirectory: {tmp_path}/late}}}}, http: {{addr: '{address}'}}}}"
    )
    name = f"{address}/late:1"
    docker("pull", image)
    docker("tag", image, name)
    with start_registry(configuration, address):
        docker("push", name)
    docker("rmi", name)
    calls = Calls(running)
    task = calls.submit(name)
    wait_until(lambda: "attempt 2 of 4" in running.log(), "the first failure")
    assert calls.info(task)["status"] == "pulling"
    with start_registry(configuration, address):
        assert calls.wait_for(task, "running", "terminated")["status"] == "running"
    docker("rmi", "-f", name)


def test_terminate_ends_a_pull_from_a_registry_that_hangs(running):
    closed = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hold():
            connection, _ = listener.accept()
            with connection:
                asked.set()
                while connection.recv(65536):
                    pass
            closed.set()

        asked = threading.Event()
        threading.Thread(target=hold, daemon=True).start()
        calls = Calls(running)
        task = calls.submit(f"127.0.0.1:{listener.getsockname()[1]}/hangs:1")
        assert asked.wait(30)
        assert calls.info(task)["status"] == "pulling"
        answer = calls.terminate(task, termination_reason="aborted_by_user")
        assert answer.status_code == 200, answer.text
        assert answer.json()["status"] == "terminated"
        assert answer.json()["termination_reason"] == "aborted_by_user"
        # The engine has heard of it.
        assert closed.wait(30)


def test_two_tasks_pull_the_same_image_at_once(running, layered):
    calls = Calls(running)
    tasks = [calls.submit(layered) for _ in range(2)]
    for task in tasks:
        assert calls.wait_for(task, "running", "terminated")["status"] == "running"
