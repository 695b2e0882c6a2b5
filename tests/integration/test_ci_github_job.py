"""A whole job of GitHub: the launcher, the stand-in of the Actions agent, the container hooks, a real shim and Docker."""

import os
import signal
from pathlib import Path

import pytest
from conftest import docker
from support.ci.launcher import Launcher, below, command_line
from support.processes import wait_until

TOKEN = "ghp-good"


@pytest.fixture
def start(tmp_path, github, shim):
    started = []

    def start(*arguments):
        work = tmp_path / "work"
        flags = ["--shim-http-port", shim.port, "--driver", "github", "--workdir", work, "--name", "r", "--repo", github.url + "/acme/demo"]
        environment = {"REPO_TOKEN": TOKEN, "CML_RUNNER_AGENT_CACHE": str(tmp_path / "cache")}
        started.append(Launcher(tmp_path / "launcher.log", *flags, *arguments, environment=environment))
        return started[-1]

    yield start
    for launcher in started:
        launcher.kill()


def leftovers() -> set[str]:
    containers = docker("ps", "-aq", "--filter", "label=ai.dstack.shim.is-task=true").split()
    networks = docker("network", "ls", "--format", "{{.Name}}", "--filter", "name=dstack-ci-").split()
    return {*containers, *networks}


def test_jobs_run_in_a_container_with_a_service_and_leave_nothing(tmp_path, github, start, image):
    before = leftovers()
    service = {"image": image, "command": "httpd -f -p 8080 -h /etc", "ports": ["8080"]}
    steps = [
        {"run": "id -u; pwd; echo made here >file; echo NAME=value >>$GITHUB_ENV"},
        {"run": "cat file; echo $NAME; wget -qO- http://busybox:8080/passwd"},
    ]
    jobs = [github.add_job(["cml"], steps, container={"image": image}, services={"web": service}) for _ in range(2)]
    launcher = start("--idle-timeout", "2")
    assert launcher.await_end(120) == 0, launcher.log()
    for job in jobs:
        assert job["conclusion"] == "success", job["log"]
        assert "/__w/demo/demo" in job["log"] and "made here\nvalue\n" in job["log"] and "root:" in job["log"]
        assert TOKEN not in job["log"]
    assert [line["result"] for line in launcher.lines() if line.get("status") == "job_ended"] == ["success"] * 2
    assert not (tmp_path / "work").exists() and github.runners == {} and leftovers() == before


def test_containers_of_a_job_whose_agent_was_killed_are_gone_before_the_next_job(github, start, image):
    github.lost_after = 2
    before = leftovers()
    launcher = start("--no-retry")
    job = github.add_job(["cml"], [{"run": "echo begun; sleep 600"}], container={"image": image})
    launcher.await_status("job_started")
    github.wait(lambda: "begun" in job["log"], 60, "the step")
    assert leftovers() != before
    agent = next(pid for pid in below(launcher.process.pid) if "Runner.Listener" in command_line(pid))
    os.kill(agent, signal.SIGKILL)
    first = job["runner_id"]
    github.wait(lambda: github.online() and first not in github.runners, 60, "the next runner")
    wait_until(lambda: leftovers() == before, "the end of the job's containers")
    launcher.signal(signal.SIGTERM)
    assert launcher.await_end() == 0 and Path(f"/proc/{agent}").exists() is False
