"""A whole CI job, from the launcher to the containers: a strict GitLab, a stand-in of gitlab-runner, our driver, and a shim of the launcher's own."""

import signal
import socket

import pytest
from conftest import docker, remove, task_containers
from support.ci.launcher import AGENT, Launcher, below, is_alive
from support.processes import RUNNER, Shim, wait_until

TOKEN = "glpat-good"


@pytest.fixture
def start(tmp_path, gitlab, image):
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 10998)) == 0:
            pytest.skip("a shim answers on port 10998: a launcher would use it")
    started = []
    project = gitlab.add_project("team/project")

    def start(*arguments):
        launcher = Launcher(
            tmp_path / f"launcher-{len(started)}.log",
            *("--repo", gitlab.base + "/team/project", "--driver", "gitlab", "--agent", AGENT, "--workdir", tmp_path / "work/r", "--name", "r"),
            *("--image", image, "--helper-image", image),
            *arguments,
            environment={"REPO_TOKEN": TOKEN, "DSTACK_RUNNER_BINARY_PATH": str(RUNNER)},
        )
        launcher.project = project
        started.append(launcher)
        return launcher

    yield start
    for launcher in started:
        launcher.kill()
    remove(task_containers(f"{tmp_path}/work"))


def test_a_job_runs_in_a_container_of_an_own_shim_and_nothing_is_left(tmp_path, gitlab, start):
    launcher = start("--single")
    script = ["echo user $(id -u)", "echo in $PWD", "test ! -e /var/run/docker.sock", "env | grep -c glpat || true"]
    job = gitlab.add_job(launcher.project, script, after=["echo afterwards"], strategy="none")
    assert launcher.await_end(150) == 0, launcher.log() + gitlab.log(job)
    assert job["status"] == "success", gitlab.log(job)
    log = gitlab.log(job)
    assert "user 0" in log and "in /builds/team/project" in log and "afterwards" in log
    assert launcher.statuses() == ["ready", "job_started", "job_ended", "terminated"]
    assert launcher.find("job_started")["pipeline"] == job["pipeline"]
    assert not (tmp_path / "work/r").exists() and gitlab.runners == {}
    assert task_containers(f"{tmp_path}/work") == []
    assert docker("network", "ls", "--format", "{{.Name}}").split() == ["bridge", "host", "none"] or "dstack" not in docker("network", "ls")


def test_the_status_of_a_script_is_the_jobs(gitlab, start):
    launcher = start("--single")
    job = gitlab.add_job(launcher.project, ["exit 7"], strategy="none")
    assert launcher.await_end(150) == 0
    assert (job["status"], job["failure_reason"], job["exit_code"]) == ("failed", "script_failure", 7), gitlab.log(job)


def test_a_killed_launcher_takes_its_own_shim_and_its_containers_with_it(tmp_path, gitlab, start):
    launcher = start()
    job = gitlab.add_job(launcher.project, ["echo begun", "sleep 600"], strategy="none")
    wait_until(lambda: "begun" in gitlab.log(job), f"the job's script: {launcher.log()}", 120)
    processes = below(launcher.process.pid)
    assert task_containers(f"{tmp_path}/work") != []
    launcher.process.send_signal(signal.SIGKILL)
    launcher.process.wait()
    wait_until(lambda: not any(is_alive(pid) for pid in processes), "the end of all processes", 10)
    for other in gitlab.jobs.values():
        other["status"] = "failed"
    second = start("--idle-timeout", "1")
    assert second.await_end(150) == 0, second.log()
    assert task_containers(f"{tmp_path}/work") == [] and gitlab.runners == {}
    assert not (tmp_path / "work/r").exists()


def test_a_launcher_killed_at_a_shim_that_was_there_leaves_containers_to_the_next(tmp_path, gitlab, home, start):
    with Shim(home) as shim:
        shim.wait_ready()
        launcher = start("--shim-http-port", shim.port)
        job = gitlab.add_job(launcher.project, ["echo begun", "sleep 600"], strategy="none")
        wait_until(lambda: "begun" in gitlab.log(job), f"the job's script: {launcher.log()}", 120)
        launcher.process.send_signal(signal.SIGKILL)
        launcher.process.wait()
        for other in gitlab.jobs.values():
            other["status"] = "failed"
        assert task_containers(f"{home}/runners") != []
        second = start("--shim-http-port", shim.port, "--idle-timeout", "1")
        assert second.await_end(150) == 0, second.log()
        assert task_containers(f"{home}/runners") == []
