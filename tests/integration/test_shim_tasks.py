"""What a container gets, what a job may do to the shim, and two shims on one engine."""

import json
import subprocess

import pytest
from conftest import LABEL, containers_of, docker
from support.hosts import HostUser, stand_in_runner
from support.processes import Shim, wait_until
from support.shim_calls import Calls

SLEEP = "exec sleep 1000"


@pytest.fixture
def sleeping(tmp_path):
    return stand_in_runner(tmp_path / "sleeping", SLEEP)


def inspect(container: str) -> dict:
    return json.loads(docker("inspect", container))[0]


def test_a_container_is_what_the_contract_says(home, image, sleeping, tmp_path):
    keys = ['ssh-ed25519 AAAA o\'brien $(touch /x) "quoted"', "ssh-rsa BBBB -v"]
    odd = tmp_path / "in stance '\"$(x)"
    with Shim(
        home,
        *("--pjrt-device", "TPU", "--runner-log-level", "debug", "--runner-ssh-log-level", "VERBOSE"),
        runner=sleeping,
        environment={"http_proxy": "http://p:1/?a='b c'", "NO_PROXY": ""},
    ) as shim:
        calls = Calls(shim.wait_ready())
        info = calls.run(
            image,
            name="exact",
            network_mode="bridge",
            container_ssh_keys=keys,
            shm_size=64 << 20,
            cpu=0.5,
            memory=128 << 20,
            instance_mounts=[{"instance_path": str(odd), "path": "/o d'd\"$(x)", "optional": True}],
        )
        assert info["status"] == "running", info
        seen = inspect(info["container_id"])
        assert seen["Config"]["Labels"]["ai.dstack.shim.is-task"] == "true"
        assert seen["Config"]["Labels"]["ai.dstack.shim.task-id"] == info["id"]
        assert seen["Name"] == "/" + info["container_name"]
        command = [*seen["Config"]["Entrypoint"], *(seen["Config"]["Cmd"] or [])]
        assert command == [
            *("/usr/local/bin/dstack-runner", "--log-level", "debug", "start", "--temp-dir", "/tmp/runner"),
            *("--http-port", "10999", "--ssh-port", "10022"),
            *("--ssh-authorized-key", keys[0], "--ssh-authorized-key", keys[1], "--ssh-log-level", "VERBOSE"),
        ]
        assert "http_proxy=http://p:1/?a='b c'" in seen["Config"]["Env"]
        assert not any(entry.startswith("NO_PROXY") for entry in seen["Config"]["Env"])
        assert "PJRT_DEVICE=TPU" in seen["Config"]["Env"]
        # By number: an image may have no name for it.
        assert seen["Config"]["User"] == "0"
        host = seen["HostConfig"]
        assert (host["NanoCpus"], host["Memory"], host["ShmSize"]) == (500_000_000, 128 << 20, 64 << 20)
        assert host["LogConfig"]["Type"] == "json-file"
        assert host["PidsLimit"] == 32768
        mounts = {mount["Destination"]: mount for mount in seen["Mounts"]}
        assert mounts["/tmp/runner"]["Source"] == f"{home}/runners/{info['container_name']}"
        assert not mounts["/usr/local/bin/dstack-runner"]["RW"]
        assert mounts["/o d'd\"$(x)"]["Source"] == str(odd)
        assert odd.stat().st_mode & 0o777 == 0o777
        ports = {port["container"]: port["host"] for port in info["ports"]}
        assert sorted(ports) == [10022, 10999]
        calls.terminate(info["id"])


def test_the_number_of_a_container_s_processes_is_limited_as_the_host_says(home, image, tmp_path):
    script = "n=0; while [ $n -lt 60 ]; do sleep 100 & n=$((n + 1)); done; exec sleep 1000"
    with Shim(home, "--task-pids", "20", runner=stand_in_runner(tmp_path / "forking", script)) as shim:
        info = Calls(shim.wait_ready()).run(image)
        assert inspect(info["container_name"])["HostConfig"]["PidsLimit"] == 20
        output = wait_until(lambda: (said := docker_logs(info["container_name"])) and said, "what the job says")
        assert "fork" in output, output
        assert shim.stop() == 0
    with Shim(home, runner=stand_in_runner(tmp_path / "quiet", SLEEP), environment={"DSTACK_SHIM_TASK_PIDS": "0"}) as shim:
        info = Calls(shim.wait_ready()).run(image)
        assert not inspect(info["container_name"])["HostConfig"]["PidsLimit"]


def docker_logs(container: str) -> str:
    return subprocess.run(["docker", "logs", container], capture_output=True, text=True).stderr


def test_host_mode_binds_the_runner_to_loopback(home, image, sleeping):
    with Shim(home, runner=sleeping) as shim:
        calls = Calls(shim.wait_ready())
        info = calls.run(image)
        seen = inspect(info["container_id"])
        assert info["ports"] == []
        assert seen["HostConfig"]["NetworkMode"] == "host"
        command = [*seen["Config"]["Entrypoint"], *(seen["Config"]["Cmd"] or [])]
        assert command[-2:] == ["--http-address", "localhost"]
        calls.terminate(info["id"])


def test_the_last_lines_of_a_failed_container_are_its_message(home, image, tmp_path):
    runner = stand_in_runner(tmp_path / "r", "for i in 1 2 3 4 5 6; do echo line $i; done; echo bad; exit 9")
    with Shim(home, runner=runner) as shim:
        calls = Calls(shim.wait_ready())
        info = calls.wait_for(calls.submit(image), "terminated")
        assert info["termination_reason"] == "container_exited_with_error"
        assert info["termination_message"].splitlines() == ["The container exited with status 9", "line 3", "line 4", "line 5", "line 6", "bad"]


def test_what_a_hostile_job_leaves_is_neither_trusted_nor_followed(home, image, tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("precious")
    runner = stand_in_runner(
        tmp_path / "hostile",
        f"""cd /tmp/runner
echo '{{"config":{{"id":"evil"}},"container_name":"evil","status":"running"}}' > task.json
ln -s {precious} folder; ln -s {precious}/file pull.log; ln -s / root; mkfifo pipe
mkdir -p deep; cd deep
i=0; while [ $i -lt 1500 ]; do mkdir d; cd d; i=$((i+1)); done
exec sleep 1000""",
    )
    with Shim(home, runner=runner) as shim:
        calls = Calls(shim.wait_ready())
        info = calls.run(image)
        folder = home / "runners" / info["container_name"]
        wait_until((folder / "deep/d/d/d").exists, "the job's folders")
        wait_until(lambda: (folder / "pipe").exists(), "the job's pipe")
        shim.kill()
    with Shim(home, runner=runner) as shim:
        calls = Calls(shim.wait_ready())
        assert [task["id"] for task in calls.get("/api/tasks").json()["tasks"]] == [info["id"]]
        assert calls.info(info["id"])["status"] == "running"
        assert calls.terminate(info["id"]).status_code == 200
        assert calls.remove(info["id"]).status_code == 200
    assert not folder.exists()
    assert (precious / "file").read_text() == "precious"
    assert list((home / "tasks").iterdir()) == []


def test_two_shims_on_one_engine_leave_each_other_alone(tmp_path, image, sleeping):
    homes = [tmp_path / "one", tmp_path / "two"]
    try:
        with Shim(homes[0], runner=sleeping) as first, Shim(homes[1], runner=sleeping) as second:
            one, two = Calls(first.wait_ready()), Calls(second.wait_ready())
            # The same id, even.
            tasks = [one.run(image, id="same", name="one")["container_id"], two.run(image, id="same", name="two")["container_id"]]
            second.kill()
            with Shim(homes[1], runner=sleeping) as again:
                calls = Calls(again.wait_ready())
                assert calls.info("same")["container_id"] == tasks[1]
                assert calls.terminate("same").status_code == 200
                assert calls.remove("same").status_code == 200
            assert one.info("same")["status"] == "running"
            assert inspect(tasks[0])["State"]["Running"]
            assert containers_of(homes[1]) == []
            one.terminate("same")
            one.remove("same")
    finally:
        for home in homes:
            for container in containers_of(home):
                docker("rm", "-fv", container)


def test_a_container_of_the_reference_shim_is_taken_over(home, image, sleeping):
    folder = home / "runners/job-0-deadbeef"
    folder.mkdir(parents=True)
    container = docker(
        *("run", "--detach", "--name", "job-0-deadbeef", "--label", LABEL, "--label", "ai.dstack.shim.task-id=theirs"),
        *("--mount", f"type=bind,source={folder},target=/tmp/runner", "--publish", "127.0.0.1::10999"),
        *("--entrypoint", "/bin/sh", image, "-c", "sleep 1000"),
    ).strip()
    with Shim(home, runner=sleeping) as shim:
        calls = Calls(shim.wait_ready())
        info = calls.info("theirs")
        assert info["status"] == "running"
        assert (info["container_id"], info["container_name"]) == (container, "job-0-deadbeef")
        assert [port["container"] for port in info["ports"]] == [10999]
        docker("kill", "--signal", "KILL", container)
        assert calls.wait_for("theirs", "terminated")["termination_reason"] == "container_exited_with_error"
        assert calls.remove("theirs").status_code == 200
    assert containers_of(home) == []
    assert not folder.exists()


@pytest.fixture
def user():
    made = HostUser()
    yield made
    made.remove()


def test_host_keys_come_and_go_with_their_tasks(home, image, sleeping, user):
    user.keys.parent.mkdir(mode=0o700)
    user.keys.write_bytes(b"# mine\r\nssh-rsa FOREIGN me")
    user.keys.chmod(0o640)
    subprocess.run(["chown", "-R", user.name, str(user.keys.parent)], check=True)
    key = "ssh-ed25519 SHARED someone"
    with Shim(home, runner=sleeping) as shim:
        calls = Calls(shim.wait_ready())
        tasks = [calls.run(image, host_ssh_user=user.name, host_ssh_keys=[key, "ssh-rsa FOREIGN me"])["id"] for _ in range(2)]
        expected = b"# mine\r\nssh-rsa FOREIGN me\nssh-ed25519 SHARED someone # added by dstack-shim\n"
        assert user.keys.read_bytes() == expected
        calls.terminate(tasks[0])
        assert user.keys.read_bytes() == expected
        shim.kill()
    with Shim(home, runner=sleeping) as shim:
        calls = Calls(shim.wait_ready())
        assert user.keys.read_bytes() == expected
        calls.terminate(tasks[1])
        assert user.keys.read_bytes() == b"# mine\r\nssh-rsa FOREIGN me\n"
        assert user.keys.stat().st_mode & 0o777 == 0o640
        assert user.keys.owner() == user.name


def test_a_user_whose_home_is_closed_holds_no_task_up(home, image, sleeping, user):
    user.home.chmod(0)
    subprocess.run(["chown", "root:root", str(user.home)], check=True)
    with Shim(home, runner=sleeping) as shim:
        calls = Calls(shim.wait_ready())
        task = calls.submit(image, host_ssh_user=user.name, host_ssh_keys=["ssh-ed25519 KEY"])
        info = calls.wait_for(task, "running", "terminated")
        assert (info["status"], info["termination_reason"]) == ("terminated", "executor_error"), info
        assert "Permission denied" in info["termination_message"]
        assert calls.remove(task).status_code == 200


def test_lines_that_no_task_holds_go_at_the_start(home, sleeping, user):
    user.keys.parent.mkdir(mode=0o700)
    user.keys.write_text("ssh-rsa FOREIGN me\nssh-rsa LEFT over # added by dstack-shim\n")
    if subprocess.run(["pgrep", "^dstack-shim"]).returncode == 0:
        pytest.skip("another shim runs on this host: the lines may be its own")
    with Shim(home, runner=sleeping) as shim:
        shim.wait_ready()
        assert user.keys.read_text() == "ssh-rsa FOREIGN me\n"
