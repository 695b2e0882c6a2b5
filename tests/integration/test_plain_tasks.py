"""Tasks with a container of their own: the image's process, networks, volumes, health, owners."""

import fcntl
import json
import subprocess
import uuid

import pytest
import requests
from support.held import Held
from support.processes import Shim, wait_until
from support.shim_calls import Calls


@pytest.fixture
def calls(shim) -> Calls:
    return Calls(shim)


def details(calls: Calls, task: str) -> dict:
    answer = calls.get(f"/api/tasks/{task}?details=1")
    assert answer.status_code == 200, answer.text
    return answer.json()


def plain(calls: Calls, image: str, *command: str, **more) -> str:
    top = {name: more.pop(name) for name in ("container_user", "registry_password") if name in more}
    return calls.submit(image, local=True, network_mode="bridge", container={"process": "image", "command": command, **more}, **top)


def clean(calls: Calls, *tasks: str) -> None:
    for task in tasks:
        calls.terminate(task)
        assert calls.remove(task).status_code == 200


def names(kind: str) -> set[str]:
    done = subprocess.run(["docker", kind, "ls", "--format", "{{.Name}}"], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_a_plain_task_runs_the_image_and_says_how_it_ended(calls, image):
    script = 'echo "$GREETING"; id -u; pwd; echo problem >&2; exit 7'
    task = plain(calls, image, "/bin/sh", "-c", script, env={"GREETING": "hello"}, working_dir="/etc", container_user="12")
    calls.wait_for(task, "terminated")
    seen = details(calls, task)
    assert (seen["exit_code"], seen["ended_in"], seen["oom_killed"], seen["health"]) == (7, "running", False, "none")
    assert seen["termination_reason"] == "container_exited_with_error"
    assert seen["runner_token"] is None and seen["runner_port"] is None
    assert seen["image"]["id"].startswith("sha256:") and seen["image"]["digest"].startswith("sha256:")
    assert seen["image"]["env"] == ["PATH=/bin"]
    logs = calls.get(f"/api/tasks/{task}/logs")
    assert sorted(logs.text.split()) == ["/etc", "12", "hello", "problem"]
    assert calls.get(f"/api/tasks/{task}/logs?offset=3").text == logs.text[3:]
    clean(calls, task)


def test_the_environment_is_in_no_file_of_the_shims(calls, image, home):
    task = plain(calls, image, "sleep", "100", env={"PASSWORD": "hunter2"})
    calls.wait_for(task, "running")
    assert subprocess.run(["grep", "-r", "hunter2", home], capture_output=True).stdout == b""
    clean(calls, task)


def test_tasks_find_each_other_by_name_in_a_network_that_goes_with_the_last(calls, image):
    network, volume, kept = (f"t-{uuid.uuid4().hex[:8]}" for _ in range(3))
    volumes = [{"name": volume, "target": "/shared"}, {"name": kept, "target": "/kept", "keep": True}]
    server = plain(
        calls, image, "/bin/sh", "-c", "echo hello >/shared/index.html; exec httpd -f -p 80 -h /shared",
        network=network, aliases=["web", "web.example"], volumes=volumes, ports=[{"container": 80}],
        health={"test": "wget -q -O- http://127.0.0.1/index.html", "interval": 0.2, "retries": 50},
    )
    calls.wait_for(server, "running")
    wait_until(lambda: details(calls, server)["health"] == "healthy", "a healthy server")
    port = next(port["host"] for port in details(calls, server)["ports"] if port["container"] == 80)
    assert requests.get(f"http://127.0.0.1:{port}/index.html", timeout=9).text == "hello\n"
    assert details(calls, server)["address"]
    client = plain(
        calls, image, "/bin/sh", "-c", "wget -q -O- http://web/index.html http://web.example/index.html && cat /shared/index.html",
        network=network, volumes=volumes,
    )
    calls.wait_for(client, "terminated")
    assert calls.get(f"/api/tasks/{client}/logs").text == "hello\n" * 3
    clean(calls, client)
    assert network in names("network") and volume in names("volume")
    clean(calls, server)
    assert network not in names("network") and volume not in names("volume")
    assert kept in names("volume")
    subprocess.run(["docker", "volume", "rm", kept], check=True, capture_output=True)


def test_a_killed_shim_leaves_no_network_and_no_task(home, image):
    network = f"t-{uuid.uuid4().hex[:8]}"
    with Shim(home) as shim:
        calls = Calls(shim.wait_ready())
        task = plain(calls, image, "sleep", "1000", network=network, aliases=["x"])
        calls.wait_for(task, "running")
        shim.kill()
    with Shim(home) as shim:
        calls = Calls(shim.wait_ready())
        assert calls.info(task)["status"] == "running"
        clean(calls, task)
        assert network not in names("network")
        assert not subprocess.run(["docker", "ps", "-aq", "--filter", f"label=ai.dstack.shim.home={home}"], capture_output=True).stdout


def test_networks_and_volumes_of_somebody_else_stay(calls, image):
    name = f"t-{uuid.uuid4().hex[:8]}"
    subprocess.run(["docker", "network", "create", name], check=True, capture_output=True)
    subprocess.run(["docker", "volume", "create", name], check=True, capture_output=True)
    try:
        task = plain(calls, image, "true", network=name, volumes=[{"name": name, "target": "/v"}])
        calls.wait_for(task, "terminated")
        clean(calls, task)
        assert name in names("network") and name in names("volume")
    finally:
        subprocess.run(["docker", "network", "rm", name], capture_output=True)
        subprocess.run(["docker", "volume", "rm", name], capture_output=True)


def test_what_the_engine_is_asked_for_is_what_the_task_said(calls, image, tmp_path):
    (tmp_path / "file").write_text("content")
    task = plain(
        calls, image, "sleep", "1000", hostname="box", hosts={"db": "10.1.2.3"}, labels={"team": "ml"},
        ulimits=[{"Name": "nofile", "Soft": 100, "Hard": 200}], tmpfs={"/scratch": "size=1m"}, cap_add=["NET_ADMIN"],
        mounts=[{"source": str(tmp_path / "file"), "target": "/m/file", "read_only": True}], stdin=True, tty=True,
    )
    info = calls.wait_for(task, "running")
    seen = json.loads(subprocess.run(["docker", "inspect", info["container_id"]], check=True, capture_output=True).stdout)[0]
    assert (seen["Config"]["Hostname"], seen["Config"]["Tty"], seen["Config"]["OpenStdin"]) == ("box", True, True)
    assert seen["Config"]["Labels"]["team"] == "ml"
    host = seen["HostConfig"]
    assert host["ExtraHosts"] == ["db:10.1.2.3"] and host["Tmpfs"] == {"/scratch": "size=1m"}
    assert [cap.removeprefix("CAP_") for cap in host["CapAdd"]] == ["NET_ADMIN"]
    assert {"Name": "nofile", "Hard": 200, "Soft": 100} in host["Ulimits"]
    mount = seen["Mounts"][0]
    assert mount["Destination"] == "/m/file" and not mount["RW"]
    clean(calls, task)


def test_what_is_not_there_is_told_with_the_step_it_failed_in(calls, image, registry):
    task = plain(calls, image, "true", mounts=[{"source": "/absent/file", "target": "/x"}])
    info = calls.wait_for(task, "terminated")
    assert info["termination_reason"] == "executor_error" and "/absent/file" in info["termination_message"]
    other = plain(calls, f"{registry}/never-pulled:1", "true", pull="never")
    info = calls.wait_for(other, "terminated")
    assert info["termination_reason"] == "creating_container_error"
    assert details(calls, other)["ended_in"] == "pulling" and details(calls, other)["exit_code"] is None
    clean(calls, task, other)


@pytest.mark.parametrize("process", ["image", "hold"])
def test_what_is_in_the_hosts_network_may_not_call_the_shim(calls, image, shim, process):
    script = f"printf 'GET /api/tasks HTTP/1.0\\r\\nHost: x\\r\\n\\r\\n' | nc 127.0.0.1 {shim.port}"
    command = {"command": ["/bin/sh", "-c", script]} if process == "image" else {}
    task = calls.submit(image, local=True, network_mode="host", container={"process": process, **command})
    if process == "image":
        calls.wait_for(task, "terminated")
        answer = calls.get(f"/api/tasks/{task}/logs").text
    else:
        calls.wait_for(task, "running")
        runner = Held(details(calls, task))
        wait_until(runner.answers, "the runner")
        answer = runner.sh(script).text
    assert answer.startswith("HTTP/1.1 403") and "not allowed from a task's container" in answer
    clean(calls, task)


def test_a_wrong_field_is_refused_by_name(calls, image):
    answer = calls.post("/api/tasks", id="x", name="x", image_name=image, local=True, container={"ports": [{"container": "a"}]})
    assert answer.status_code == 400 and "container.ports[0].container" in answer.text
    # A server's task takes no notice of the field.
    task = calls.submit(image, container={"ports": 5})
    calls.terminate(task)
    calls.remove(task)


@pytest.mark.long
def test_a_task_goes_a_minute_after_its_owner(calls, image, tmp_path):
    owner = open(tmp_path / "owner", "w")
    fcntl.flock(owner, fcntl.LOCK_EX)
    task = plain(calls, image, "sleep", "1000", owner=str(tmp_path / "owner"))
    calls.wait_for(task, "running")
    owner.close()
    wait_until(lambda: calls.get(f"/api/tasks/{task}").status_code == 404, "the task's removal", 90)
