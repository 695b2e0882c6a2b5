"""A whole job of GitHub Actions', from the launcher to the containers: a strict GitHub, a stand-in of its agent, our hooks, a shim and Docker."""

import os
import signal
import socket
import subprocess

import pytest
from conftest import docker, remove, task_containers
from support.ci.launcher import Launcher, below, command_line, is_alive
from support.processes import RUNNER, Shim, wait_until

TOKEN = "ghp-good"
LABELS = ["self-hosted", "cml"]
WEB_SERVER = 'sh -c "mkdir /www; echo hello from $OWN >/www/index.html; exec httpd -f -p 8080 -h /www"'


@pytest.fixture
def start(tmp_path, github):
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 10998)) == 0:
            pytest.skip("a shim answers on port 10998: a launcher would use it")
    started = []

    def start(*arguments) -> Launcher:
        launcher = Launcher(
            tmp_path / f"launcher-{len(started)}.log",
            *("--repo", github.url + "/acme/demo", "--driver", "github", "--workdir", tmp_path / "work/r", "--name", "r"),
            *arguments,
            environment={"REPO_TOKEN": TOKEN, "CML_RUNNER_AGENT_CACHE": str(tmp_path / "cache"), "DSTACK_RUNNER_BINARY_PATH": str(RUNNER)},
        )
        started.append(launcher)
        return launcher

    yield start
    for launcher in started:
        launcher.kill()
    remove(task_containers(f"{tmp_path}/work"))


def leftovers(tmp_path) -> list[str]:
    """Containers of the test's shims, and what they shared. A GitLab project's cache stays on its host, by intention."""
    networks = docker("network", "ls", "--format", "{{.Name}}", "--filter", "name=dstack-ci-").split()
    volumes = docker("volume", "ls", "--format", "{{.Name}}", "--filter", "name=dstack-ci-").split()
    volumes = [name for name in volumes if not name.startswith("dstack-ci-cache-")]
    return task_containers(f"{tmp_path}") + networks + volumes


def test_a_job_runs_in_containers_of_an_own_shim_and_nothing_is_left(tmp_path, github, start, image):
    launcher = start("--single")
    steps = [
        {
            "run": "echo user $(id -u) in $PWD; echo NAME=value >>$GITHUB_ENV; echo /added >>$GITHUB_PATH; test ! -e /var/run/docker.sock; echo made >made"
        },
        {"run": "echo $NAME $PATH; wget -q -O- http://web:8080/; cat made; env | grep -c ghp- || true"},
        {"docker": {"image": image, "entrypoint": "sh", "args": ["-c", 'echo action in $PWD of $(cat made): "$0"', "a word"]}},
    ]
    services = {
        "db": {"image": image, "command": WEB_SERVER, "env": {"OWN": "service"}, "options": "--name web --health-cmd true --health-interval 1s"}
    }
    job = github.add_job(LABELS, steps, container={"image": image, "volumes": ["data:/data"]}, services=services)
    assert launcher.await_end(150) == 0, launcher.log() + job["log"]
    assert job["conclusion"] == "success", job["log"]
    assert "user 0 in /__w/demo/demo\n" in job["log"] and "value /added:" in job["log"]
    # What "$OWN" is in a workflow's command is for its own shell.
    assert "hello from service\nmade\n0\n" in job["log"]
    assert "action in /github/workspace of made: a word\n" in job["log"]
    assert launcher.statuses() == ["ready", "job_started", "job_ended", "terminated"]
    assert launcher.find("job_started")["pipeline"] == job["run"]
    assert not (tmp_path / "work/r").exists() and github.runners == {}
    assert leftovers(tmp_path) == []


def test_jobs_at_a_shim_that_is_there_leave_nothing(tmp_path, github, start, shim, image):
    service = {"image": image, "command": "httpd -f -p 8080 -h /etc", "ports": ["8080"]}
    steps = [{"run": "echo made here >file"}, {"run": "cat file; wget -qO- http://busybox:8080/passwd"}]
    jobs = [github.add_job(LABELS, steps, container={"image": image}, services={"web": service}) for _ in range(2)]
    launcher = start("--shim-http-port", shim.port, "--idle-timeout", "2")
    assert launcher.await_end(120) == 0, launcher.log()
    for job in jobs:
        assert job["conclusion"] == "success", job["log"]
        assert "made here\n" in job["log"] and "root:" in job["log"] and TOKEN not in job["log"]
    assert [line["result"] for line in launcher.lines() if line.get("status") == "job_ended"] == ["success"] * 2
    assert not (tmp_path / "work/r").exists() and github.runners == {}
    assert leftovers(tmp_path) == []


def test_containers_of_a_job_whose_agent_was_killed_are_gone_before_the_next_job(tmp_path, github, start, shim, image):
    github.lost_after = 2
    launcher = start("--shim-http-port", shim.port, "--no-retry")
    job = github.add_job(LABELS, [{"run": "echo begun; sleep 600"}], container={"image": image})
    launcher.await_status("job_started")
    github.wait(lambda: "begun" in job["log"], 60, "the step")
    assert leftovers(tmp_path) != []
    agent = next(pid for pid in below(launcher.process.pid) if "Runner.Listener" in command_line(pid))
    os.kill(agent, signal.SIGKILL)
    first = job["runner_id"]
    github.wait(lambda: github.online() and first not in github.runners, 60, "the next runner")
    wait_until(lambda: leftovers(tmp_path) == [], "the end of the job's containers")
    launcher.signal(signal.SIGTERM)
    assert launcher.await_end() == 0 and not is_alive(agent)


@pytest.mark.long
def test_a_failed_step_and_a_job_without_a_container(tmp_path, github, start, image):
    launcher = start("--idle-timeout", "2")
    failed = github.add_job(LABELS, [{"run": "echo before; exit 7"}, {"run": "echo NEVER"}], container={"image": image})
    github.wait(lambda: github.finished(failed), 120)
    assert failed["conclusion"] == "failure" and "exit code 7" in failed["log"] and "NEVER" not in failed["log"]
    refused = github.add_job(LABELS, [{"run": "echo NEVER"}])
    github.wait(lambda: github.finished(refused), 120)
    assert refused["conclusion"] == "failure" and "NEVER" not in refused["log"] and "forbidden" in refused["log"]
    assert launcher.await_end(60) == 0
    assert leftovers(tmp_path) == []


@pytest.mark.long
def test_a_cancelled_job_is_stopped_and_its_containers_removed(tmp_path, github, start, image):
    launcher = start("--single")
    script = "trap 'echo got INT; exit 3' INT; echo begun; while :; do sleep 0.2; done"
    job = github.add_job(LABELS, [{"run": script}, {"run": "echo NEVER"}], container={"image": image})
    github.wait(lambda: "begun" in job["log"], 120)
    github.cancel(job)
    assert launcher.await_end(90) == 0, launcher.log()
    assert job["conclusion"] == "cancelled" and "got INT" in job["log"] and "NEVER" not in job["log"], job["log"]
    assert leftovers(tmp_path) == []


@pytest.mark.long
def test_a_second_signal_stops_the_job_removes_its_containers_and_runs_it_again(tmp_path, github, start, image):
    launcher = start()
    job = github.add_job(LABELS, [{"run": "echo begun; sleep 600"}], container={"image": image})
    github.wait(lambda: "begun" in job["log"], 120)
    launcher.process.send_signal(signal.SIGTERM)
    wait_until(lambda: any("SIGTERM" in message for message in launcher.messages()), "the first signal in the log")
    launcher.process.send_signal(signal.SIGTERM)
    assert launcher.await_end(90) == 0, launcher.log()
    assert leftovers(tmp_path) == [] and github.runners == {}
    again = [other for other in github.jobs.values() if other["run"] == job["run"] and other is not job]
    assert [other["status"] for other in again] == ["queued"]


@pytest.mark.long
def test_a_killed_launcher_takes_its_own_shim_and_its_containers_with_it(tmp_path, github, start, image):
    launcher = start()
    job = github.add_job(LABELS, [{"run": "echo begun; sleep 600"}], container={"image": image})
    github.wait(lambda: "begun" in job["log"], 120)
    processes = below(launcher.process.pid)
    assert task_containers(f"{tmp_path}/work") != []
    launcher.process.send_signal(signal.SIGKILL)
    launcher.process.wait()
    wait_until(lambda: not any(is_alive(pid) for pid in processes), "the end of all processes", 10)
    github.wait(lambda: github.finished(job), 60)
    second = start("--idle-timeout", "1")
    assert second.await_end(150) == 0, second.log()
    assert leftovers(tmp_path) == [] and github.runners == {}
    assert not (tmp_path / "work/r").exists()


@pytest.mark.long
def test_a_launcher_killed_at_a_shim_that_was_there_leaves_containers_to_the_next(tmp_path, github, home, start, image):
    with Shim(home) as shim:
        shim.wait_ready()
        launcher = start("--shim-http-port", shim.port)
        job = github.add_job(LABELS, [{"run": "echo begun; sleep 600"}], container={"image": image})
        github.wait(lambda: "begun" in job["log"], 120)
        launcher.process.send_signal(signal.SIGKILL)
        launcher.process.wait()
        assert task_containers(f"{home}/runners") != []
        github.wait(lambda: github.finished(job), 60)
        second = start("--shim-http-port", shim.port, "--idle-timeout", "1")
        assert second.await_end(150) == 0, second.log()
        assert task_containers(f"{home}/runners") == [] and github.runners == {}


@pytest.mark.long
def test_a_secret_of_a_job_is_in_no_argument_list_and_in_no_file_of_the_launcher(tmp_path, github, start, image):
    launcher = start()
    secret = "job-secret-4711"
    job = github.add_job(LABELS, [{"run": "echo begun; sleep 600", "env": {"SECRET": secret}}], container={"image": image, "env": {"OTHER": secret}})
    github.wait(lambda: "begun" in job["log"], 120)
    assert not [pid for pid in below(1) if secret in command_line(pid)]
    assert secret not in launcher.log()
    found = subprocess.run(["grep", "-rla", secret, tmp_path / "work"], capture_output=True, text=True).stdout.splitlines()
    # The agent's own files are not ours to judge.
    assert [path for path in found if "/agents/" not in path] == []
    github.cancel(job)
