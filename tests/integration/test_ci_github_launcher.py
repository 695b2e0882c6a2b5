"""The launcher of GitHub runners against a strict GitHub, with a stand-in of the Actions agent whose jobs run on this host: no containers."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest
from support.ci.fake_github import FakeGitHub, agent_tarball
from support.ci.launcher import FOLDER, AnyShim, Launcher, Launchers, below, command_line, is_alive
from support.processes import SHIM, wait_until

TOKEN = "ghp-good"
LABELS = ["self-hosted", "cml"]


@pytest.fixture(scope="module")
def shim_port():
    shim = AnyShim()
    yield shim.port
    shim.close()


@pytest.fixture
def start(tmp_path, github, shim_port):
    """Starts a launcher in tmp_path/work/r with an agent that is downloaded; all are killed at the end."""
    usual = {"--shim-http-port": shim_port, "--driver": "github"}
    environment = {"REPO_TOKEN": TOKEN, "CML_RUNNER_AGENT_CACHE": str(tmp_path / "cache"), "STANDIN_RETRY": "0.2"}
    with Launchers(tmp_path, github.url + "/acme/demo", usual, environment) as launchers:

        def start(*arguments, host_jobs: bool = True, **more) -> Launcher:
            return launchers.start(*(["--host-jobs"] if host_jobs else []), *arguments, **more)

        yield start


def runners(github) -> list[str]:
    return [runner["name"] for runner in github.runners.values()]


def await_message(launcher, part: str):
    wait_until(lambda: any(part in message for message in launcher.messages()), f"{part} in the log")


def add_job(github, script: str = "true", **more):
    return github.add_job(LABELS, [{"run": script}], **more)


def running_job(github, launcher, script: str = "echo begun; exec sleep 600", **more):
    job = add_job(github, script, **more)
    launcher.await_status("job_started")
    github.wait(lambda: "begun" in job["log"], what="the step")
    return job


def gated(gate: Path) -> str:
    return f"echo begun; while ! test -e {gate}; do sleep 0.1; done"


def listener(launcher) -> int:
    """The agent's process that speaks to GitHub."""
    return wait_until(lambda: next((pid for pid in below(launcher.process.pid) if "Runner.Listener" in command_line(pid)), None), "the agent")


def test_a_job_is_run_and_an_idle_launcher_leaves_nothing(tmp_path, github, start):
    launcher = start("--idle-timeout", "2s", "--labels", "gpu, CML ,,linux")
    ready = launcher.await_status("ready")
    runner = github.runners[ready["runner"]]
    assert runner["name"] == "r" and runner["jit"] and runner["ephemeral"]
    architecture = {"x86_64": "X64", "aarch64": "ARM64"}[os.uname().machine]
    assert runner["labels"] == ["self-hosted", "Linux", architecture, "gpu", "CML"]
    job = add_job(github, "echo from-the-job")
    assert launcher.await_end() == 0
    assert launcher.statuses() == ["ready", "job_started", "job_ended", "terminated"]
    for line in launcher.lines():
        assert line["repo"] == github.url + "/acme/demo" and line["level"] and line["date"]
    started, ended = launcher.find("job_started"), launcher.find("job_ended")
    assert (started["job"], started["pipeline"]) == ("train", job["run"])
    assert (ended["job"], ended["pipeline"], ended["result"]) == ("train", job["run"], "success") and ended["seconds"] > 0
    assert launcher.find("terminated")["reason"] == "idle"
    assert "from-the-job" in job["log"] and job["conclusion"] == "success"
    assert runners(github) == [] and not (tmp_path / "work/r").exists()
    for request in github.requests:
        if request.path.startswith("/api/"):
            assert request.headers["User-Agent"].startswith("dstack-shim/")


def test_jobs_one_after_another_each_have_a_runner_of_the_same_name_and_a_fresh_folder(tmp_path, github, start):
    folder = "cd ../../..; test ! -e traces; touch traces; pwd"
    jobs = [add_job(github, folder, name=f"job{number}") for number in range(3)]
    launcher = start("--idle-timeout", "2")
    assert launcher.await_end() == 0
    assert [job["conclusion"] for job in jobs] == ["success"] * 3
    assert {job["runner_name"] for job in jobs} == {"r"} and len({job["runner_id"] for job in jobs}) == 3
    assert launcher.statuses() == ["ready"] + ["job_started", "job_ended"] * 3 + ["terminated"]
    places = [next(line for line in job["log"].splitlines() if line.startswith(str(tmp_path))) for job in jobs]
    assert len(set(places)) == 3
    # One download, though the newest agent is looked up for each.
    assert github.count("GET /_dl/") == 1 and github.count("GET .*/downloads") == 4
    assert runners(github) == [] and not (tmp_path / "work/r").exists()


def test_a_job_longer_than_the_idle_time_is_not_killed(github, start):
    launcher = start("--idle-timeout", "1")
    launcher.await_status("ready")
    job = add_job(github, "sleep 3")
    assert launcher.await_end() == 0 and job["conclusion"] == "success"


def test_a_job_that_comes_while_the_launcher_leaves_is_finished(github, start):
    launcher = start("--idle-timeout", "1")
    # The runner is busy at GitHub when it is to be removed.
    late = github.fault("DELETE .*/runners/", status=422, body={"message": "Bad request - Runner is still running a job"}, times=2)
    assert launcher.await_end() == 0
    assert late.hits == 2 and runners(github) == []


def test_single_ends_after_one_job_whatever_its_result(github, start):
    jobs = [add_job(github, "exit 3") for _ in range(2)]
    launcher = start("--single")
    assert launcher.await_end() == 0
    assert launcher.find("terminated")["reason"] == "single" and launcher.find("job_ended")["result"] == "failed"
    assert [job["status"] for job in jobs] == ["completed", "queued"] and jobs[0]["conclusion"] == "failure"
    assert runners(github) == []


def test_a_job_cancelled_by_a_person_is_not_run_again(github, start):
    launcher = start("--idle-timeout", "2")
    job = running_job(github, launcher)
    github.cancel(job)
    assert launcher.await_end() == 0
    assert job["conclusion"] == "cancelled" and launcher.find("job_ended")["result"] == "cancelled"
    assert github.count("rerun") == 0 and len(github.jobs) == 1


def test_the_first_signal_waits_for_the_job(tmp_path, github, start):
    launcher = start()
    gate = tmp_path / "gate"
    job = running_job(github, launcher, gated(gate))
    launcher.signal(signal.SIGTERM)
    later = add_job(github)
    await_message(launcher, "SIGTERM")
    github.wait(lambda: github.count("DELETE") > 0, what="the try to remove the runner")
    gate.touch()
    assert launcher.await_end() == 0
    assert job["conclusion"] == "success" and later["status"] == "queued"
    assert launcher.find("terminated")["reason"] == "signal" and runners(github) == []


def test_a_first_signal_without_a_job_leaves_at_once(github, start):
    launcher = start()
    launcher.await_status("ready")
    launcher.signal(signal.SIGTERM)
    assert launcher.await_end(20) == 0
    assert launcher.find("terminated")["reason"] == "signal" and runners(github) == []


@pytest.mark.parametrize(
    "way", ["second signal", pytest.param("going-away", marks=pytest.mark.long), pytest.param("no retry", marks=pytest.mark.long)]
)
def test_a_job_that_is_cut_off_is_run_again_and_nothing_else(tmp_path, github, start, way):
    launcher = start(*(["--no-retry"] if way == "no retry" else []))
    job = running_job(github, launcher)
    # Its run goes on for a moment after the job has ended.
    sibling = github.add_job(["other"], [{"run": "true"}], name="sibling", run=job["run"])
    begun = time.monotonic()
    if way == "going-away":
        (tmp_path / "work/r/going-away").touch()
    else:
        launcher.signal(signal.SIGINT)
        await_message(launcher, "no more jobs")
        launcher.signal(signal.SIGINT)
    github.wait(lambda: not github.runners, 40, "the runner's removal")
    assert time.monotonic() - begun < 40 and job["conclusion"] == "cancelled"
    if way != "no retry":
        github.wait(lambda: github.count("POST .*/rerun") > 0, what="a request to run it again")
    sibling.update(status="completed", conclusion="success")
    assert launcher.await_end() == 0, launcher.log()
    again = [other for other in github.jobs.values() if other["attempt"] > 1]
    assert [other["name"] for other in again] == ([] if way == "no retry" else ["train"])


@pytest.mark.long
def test_an_agent_that_is_killed_loses_its_job_which_runs_again_under_another_name(github, start):
    github.lost_after = 45
    launcher = start()
    job = running_job(github, launcher)
    os.kill(listener(launcher), signal.SIGKILL)
    # GitHub takes the old runner for busy, and keeps its name, for longer than the launcher waits.
    github.wait(lambda: "r-2" in [runner["name"] for runner in github.online()], 60, "a runner with a number")
    assert runners(github) == ["r", "r-2"]
    github.wait(lambda: job["status"] == "completed", 60, "the end of the lost job")
    again = wait_until(lambda: [other for other in github.jobs.values() if other["attempt"] > 1], "the job again")[0]
    again["cancel"] = True
    launcher.await_status("job_ended", 2, 60)
    launcher.signal(signal.SIGTERM)
    assert launcher.await_end() == 0
    assert runners(github) == [] and "r" in [name for name, how, _ in github.removed if how == "deleted"]


def test_an_idle_agent_that_dies_is_replaced_with_a_new_runner(github, start):
    launcher = start()
    launcher.await_status("ready")
    first = next(iter(github.runners))
    os.kill(listener(launcher), signal.SIGKILL)
    github.wait(lambda: first not in github.runners and github.online(), what="another runner")
    assert runners(github) == ["r"]
    job = add_job(github)
    github.wait(lambda: job["conclusion"] == "success", what="the job")
    launcher.signal(signal.SIGTERM)
    assert launcher.await_end() == 0
    assert launcher.statuses().count("ready") == 1 and runners(github) == []


def test_a_third_signal_kills_at_once_and_the_next_start_removes_the_rest(tmp_path, github, start):
    github.lost_after = 3
    launcher = start()
    running_job(github, launcher, "trap '' INT TERM; echo begun; sleep 600")
    processes = below(launcher.process.pid)
    launcher.signal(signal.SIGTERM)
    await_message(launcher, "no more jobs")
    launcher.signal(signal.SIGTERM)
    await_message(launcher, "stopping job")
    launcher.signal(signal.SIGTERM)
    assert launcher.await_end(10) == 1
    wait_until(lambda: not any(map(is_alive, processes)), "the end of all processes", 10)
    assert runners(github) == ["r"] and (tmp_path / "work/r/launcher.json").exists()
    assert start("--idle-timeout", "1").await_end() == 0
    assert runners(github) == [] and not (tmp_path / "work/r").exists()


@pytest.mark.parametrize("cleaner", ["same folder", "beside it", "ci clean"])
def test_a_killed_launcher_leaves_no_process_and_its_runner_is_removed(tmp_path, github, start, cleaner):
    github.lost_after = 3
    launcher = start()
    running_job(github, launcher, "echo begun; setsid sh -c 'sleep 611 & sleep 612' & sleep 613")
    hidden = wait_until(lambda: {pid for pid in below(launcher.process.pid) if "sleep 61" in command_line(pid)}, "the job's processes")
    processes = [pid for pid in {*below(launcher.process.pid), *hidden} if pid != launcher.process.pid]
    launcher.process.kill()
    wait_until(lambda: not any(map(is_alive, processes)), "the end of all processes", 10)
    assert runners(github) == ["r"]
    journal = tmp_path / "work/r/launcher.json"
    assert TOKEN not in journal.read_text() and oct(journal.stat().st_mode & 0o777) == "0o600"
    if cleaner == "ci clean":
        done = subprocess.run(
            [SHIM, "ci", "clean", "--workdir", tmp_path / "work/r"], env={**os.environ, "REPO_TOKEN": TOKEN}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    else:
        assert start("--idle-timeout", "1", name="r" if cleaner == "same folder" else "other").await_end() == 0
    assert runners(github) == [] and list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize("name", ["r", "other"])
def test_a_launcher_killed_before_it_registers_is_cleaned_up_after(tmp_path, github, start, name):
    fault = github.fault("GET .*/downloads", status=503, times=-1)
    launcher = start()
    wait_until(lambda: github.count("GET .*/downloads"), "the question for the agent")
    assert (tmp_path / "work/r").exists()
    launcher.process.kill()
    launcher.process.wait()
    fault.times = 0
    assert start("--idle-timeout", "1", name=name).await_end() == 0
    assert runners(github) == [] and list((tmp_path / "work").iterdir()) == []


def test_the_journal_of_a_killed_launcher_stays_until_its_runner_can_be_removed(tmp_path, github, start):
    launcher = start()
    launcher.await_status("ready")
    launcher.process.kill()
    launcher.process.wait()
    journal = tmp_path / "work/r/launcher.json"
    left = {**json.loads(journal.read_text()), "repo": github.url + "/acme/hidden", "path": "acme/hidden"}
    journal.write_text(json.dumps(left))
    github.fault("/acme/hidden", status=403, body={"message": "Forbidden"}, times=-1)
    assert start().await_end() == 1
    assert json.loads(journal.read_text()) == left


def test_no_secret_is_seen_by_others_and_the_agent_gets_what_it_needs(tmp_path, github, start):
    foreign = {"GITHUB_TOKEN": "gh", "AWS_SECRET_ACCESS_KEY": "aws", "DSTACK_TOKEN": "ds", "RUNNER_TEMP": "/x", "ACTIONS_RUNTIME_TOKEN": "art"}
    launcher = start("--token", TOKEN, environment={"REPO_TOKEN": "", **foreign}, host_jobs=False)
    launcher.await_status("ready")
    agent = listener(launcher)
    processes = below(launcher.process.pid)
    environment = dict(entry.split("=", 1) for entry in Path(f"/proc/{agent}/environ").read_text().split("\0") if "=" in entry)
    configuration = environment["ACTIONS_RUNNER_INPUT_JITCONFIG"]
    for pid in processes:
        assert TOKEN not in command_line(pid) and configuration not in command_line(pid)
    assert not [name for name in foreign if name in environment] and "REPO_TOKEN" not in environment
    assert TOKEN not in environment.values()
    assert environment["RUNNER_MANUALLY_TRAP_SIG"] == "1"
    assert environment["ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE"] == "1"
    assert environment["ACTIONS_RUNNER_REQUIRE_JOB_CONTAINER"] == "true"
    assert environment.get("RUNNER_ALLOW_RUNASROOT") == ("1" if os.geteuid() == 0 else None)
    for name in ("ACTIONS_RUNNER_CONTAINER_HOOKS", "ACTIONS_RUNNER_HOOK_JOB_STARTED", "ACTIONS_RUNNER_HOOK_JOB_COMPLETED"):
        assert environment[name].endswith(".sh") and Path(environment[name]).is_file()
    for file in (tmp_path / "work/r").rglob("*"):
        if file.is_file() and file.stat().st_size < 1 << 20:
            content = file.read_bytes()
            assert TOKEN.encode() not in content and configuration.encode() not in content, file
    assert TOKEN not in launcher.log() and configuration not in launcher.log()
    assert oct((tmp_path / "work/r").stat().st_mode & 0o777) == "0o700"
    job = add_job(github)
    github.wait(lambda: job["status"] == "completed", what="the job")
    assert job["conclusion"] == "failure" and "Jobs without a job container are forbidden" in job["log"]


def test_by_the_name_cml_runner_jobs_run_on_the_host_unless_told_otherwise(tmp_path, github, start):
    program = tmp_path / "cml-runner"
    program.symlink_to(SHIM)
    job = add_job(github)
    # No shim is needed for that.
    launcher = start("--single", "--shim-http-port", "1", host_jobs=False, program=[program])
    assert launcher.await_end() == 0 and job["conclusion"] == "success"
    assert any("--host-jobs" in message for message in launcher.messages())
    refused = start("--single", "--shim-http-port", "1", host_jobs=False, program=[program], environment={"CML_RUNNER_HOST_JOBS": "0"})
    assert refused.await_end() == 1 and "port 1" in refused.messages()[-1]


def test_a_user_who_is_not_root_has_folders_at_home(github, start):
    home = Path(tempfile.mkdtemp())
    os.chown(home, 65534, 65534)
    copy = shutil.copy(SHIM, home)  # the checkout may be out of that user's reach
    program = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", copy, "ci-runner"]
    environment = {"HOME": str(home), "CML_RUNNER_AGENT_CACHE": ""}
    job = add_job(github, "id -u; pwd")
    launcher = start("--single", "--workdir", home / ".dstack/ci/r", program=program, environment=environment)
    assert launcher.await_end() == 0, launcher.log()
    assert f"65534\n{home}/.dstack/ci/r/agents/" in job["log"] and job["conclusion"] == "success"
    assert list((home / ".cache/dstack-ci").glob("*.tar.gz")) and not (home / ".dstack/ci/r").exists()
    shutil.rmtree(home)


@pytest.mark.parametrize("form", ["folder", "tar.gz"])
def test_a_given_agent_is_only_read_and_what_is_left_in_it_is_not_used(tmp_path, github, start, form):
    given = tmp_path / "agent"
    shutil.copytree(FOLDER / "actions-runner", given)
    if form == "folder":
        (given / "_work").mkdir()
        (given / "_work/secret").write_text("of another job")
        (given / ".runner").write_text("{}")
        (given / "bin.real").mkdir()
        for file in (given / "bin").iterdir():
            file.rename(given / "bin.real" / file.name)
        (given / "bin").rmdir()
        (given / "bin").symlink_to(given / "bin.real")  # as an update of the agent leaves it
    else:
        (tmp_path / "agent.tar.gz").write_bytes(agent_tarball("1.0"))
        given = tmp_path / "agent.tar.gz"
    before = {str(path): path.lstat().st_mtime_ns for path in [given, *given.rglob("*")]}
    job = add_job(github, "cd ../../..; ls -A . _work; readlink bin || true")
    launcher = start("--agent", given, "--single")
    assert launcher.await_end() == 0 and job["conclusion"] == "success", launcher.log()
    assert "secret" not in job["log"] and "bin.real\n" not in job["log"].split("run.sh")[-1]
    assert before == {str(path): path.lstat().st_mtime_ns for path in [given, *given.rglob("*")]}
    assert github.count("downloads") == 0


def test_an_agent_with_a_wrong_checksum_is_not_started(tmp_path, github, start):
    github.checksum = hashlib.sha256(b"another").hexdigest()
    launcher = start()
    assert launcher.await_end() == 1
    assert "checksum" in launcher.messages()[-1] and github.checksum in launcher.messages()[-1]
    assert github.count("POST") == 0 and github.count("/_agent/") == 0
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["lock"] and not (tmp_path / "work/r").exists()


def test_an_agent_in_the_cache_that_was_changed_is_downloaded_again(tmp_path, github, start):
    assert start("--idle-timeout", "1").await_end() == 0
    cached = next((tmp_path / "cache").glob("*.tar.gz"))
    cached.write_bytes(b"changed")
    assert start("--idle-timeout", "1").await_end() == 0
    assert github.count("GET /_dl/") == 2


def test_a_download_that_is_redirected_and_fails_at_first_is_tried_again_without_the_token(github, start):
    elsewhere = FakeGitHub()
    elsewhere.tarball = github.tarball  # one that is packed a second later differs by its time
    elsewhere.routes.append(("GET", "/(.+)", FakeGitHub.download))
    github.downloads_at = elsewhere.url
    elsewhere.fault("GET /", status=503, times=2)
    assert start("--idle-timeout", "1").await_end() == 0
    assert len(elsewhere.requests) == 3 and elsewhere.violations == []
    elsewhere.close()


def test_an_agent_that_is_too_old_is_downloaded_anew_once(github, start):
    github.max_age_version = "9.9.9"
    launcher = start()
    github.wait(lambda: github.count("POST /_agent/session") > 0, what="the first agent")
    github.version_ = "9.9.9"
    github.tarball = agent_tarball("9.9.9")
    github.checksum = hashlib.sha256(github.tarball).hexdigest()
    launcher.await_status("ready")
    assert github.count("GET /_dl/") == 2
    launcher.signal(signal.SIGTERM)
    assert launcher.await_end() == 0 and runners(github) == []


def test_an_agent_that_stays_too_old_is_given_up(tmp_path, github, start):
    github.max_age_version = "9.9.9"
    launcher = start()
    assert launcher.await_end() == 1
    assert "too old" in launcher.messages()[-1] and github.count("GET /_dl/") == 2 and runners(github) == []
    shutil.copytree(FOLDER / "actions-runner", tmp_path / "agent")
    given = start("--agent", tmp_path / "agent")
    assert given.await_end() == 1 and "--agent" in given.messages()[-1] and runners(github) == []


def test_an_agent_that_ends_for_no_reason_is_given_up_after_three_times(tmp_path, github, start):
    broken = tmp_path / "agent"
    broken.mkdir()
    (broken / "run.sh").write_text("#!/bin/sh\necho something is missing\nexit 1\n")
    (broken / "run.sh").chmod(0o755)
    launcher = start("--agent", broken)
    assert launcher.await_end() == 1
    assert "exited with status 1, 3 times" in launcher.messages()[-1] and runners(github) == []
    assert any("something is missing" in message for message in launcher.messages())


@pytest.mark.parametrize("given", ["nothing", "a file", "an empty folder"])
def test_a_wrong_agent_is_named(tmp_path, github, start, given):
    path = tmp_path / "agent"
    if given == "a file":
        path.write_text("x")
    elif given == "an empty folder":
        path.mkdir()
    launcher = start("--agent", path)
    assert launcher.await_end() == 1
    assert "--agent" in launcher.messages()[-1] and str(path) in launcher.messages()[-1] and github.count("POST") == 0


def test_an_organisation_has_runners_too(github, start):
    launcher = start("--single", repo=github.url + "/acme/")
    job = add_job(github)
    assert launcher.await_end() == 0
    assert job["conclusion"] == "success" and launcher.find("job_started")["pipeline"] == job["run"]
    assert github.count("POST /api/v3/orgs/acme/actions/runners/generate-jitconfig") == 1


def test_a_job_of_an_organisations_runner_is_run_again_in_its_own_repository(github, start):
    launcher = start(repo=github.url + "/acme")
    running_job(github, launcher)
    launcher.signal(signal.SIGINT)
    await_message(launcher, "no more jobs")
    launcher.signal(signal.SIGINT)
    assert launcher.await_end() == 0
    assert github.count("POST /api/v3/repos/acme/demo/actions/jobs/[0-9]+/rerun") >= 1


@pytest.mark.parametrize(
    ("environment", "named"),
    [({"REPO_TOKEN": "ghp-bad"}, "HTTP 401"), ({"REPO_TOKEN": "ghp-weak"}, 'HTTP 403: "Resource not accessible')],
)
def test_a_refusal_is_quoted_with_its_status(github, start, environment, named):
    github.tokens["ghp-weak"] = {"none"}
    launcher = start(environment=environment)
    assert launcher.await_end() == 1
    assert named in launcher.messages()[-1] and environment["REPO_TOKEN"] not in launcher.log()


def test_a_repository_that_is_not_there_is_quoted(github, start):
    launcher = start(repo=github.url + "/acme/nothing")
    assert launcher.await_end() == 1 and "HTTP 404" in launcher.messages()[-1]


@pytest.mark.parametrize("fault", [{"drop": True}, {"status": 502}])
def test_a_registration_whose_answer_was_lost_leaves_one_runner(github, start, fault):
    github.fault("POST .*/generate-jitconfig", carried_out=True, **fault)
    launcher = start("--idle-timeout", "1")
    assert launcher.await_end() == 0
    assert github.count("POST .*/generate-jitconfig") == 2 and runners(github) == []
    assert len(github.removed) == 2


def test_limits_are_waited_for_as_told(github, start):
    github.fault("GET .*/runners\\?", status=429, headers={"Retry-After": "2"})
    reset = str(int(time.time()) + 3)
    github.fault("POST .*/generate-jitconfig", status=403, headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset})
    launcher = start("--idle-timeout", "1")
    assert launcher.await_end() == 0
    asked = [request.at for request in github.requests if re.search("actions/runners$", request.path)]
    assert asked[1] - asked[0] >= 2
    assert github.count("POST .*/generate-jitconfig") == 2


def test_faults_of_the_network_are_lived_through(github, start):
    github.fault("GET .*/runners\\?", drop=True)
    github.fault("GET .*/downloads", status=503)
    github.fault("DELETE .*/runners/", status=503, times=2)
    assert start("--idle-timeout", "1").await_end() == 0
    assert runners(github) == []


def test_idle_time_does_not_pass_while_the_agent_cannot_reach_github(github, start):
    launcher = start("--idle-timeout", "3")
    launcher.await_status("ready")
    github.down = True
    await_message(launcher, "the CI cannot be reached")
    time.sleep(4)
    assert launcher.process.poll() is None
    github.down = False
    await_message(launcher, "the CI can be reached again")
    assert launcher.await_end() == 0 and runners(github) == []


def test_a_name_that_is_in_use_is_refused_and_one_that_is_offline_is_taken(github, start):
    other = github.make("acme/demo", "r", ["x"], False, False)
    other.update(session="s", heard=time.monotonic() + 3600)
    launcher = start()
    assert launcher.await_end() == 1
    assert launcher.messages()[-1] == "runner r is already in use" and runners(github) == ["r"]
    other["session"] = None
    assert start("--idle-timeout", "1").await_end() == 0
    assert other["id"] not in github.runners and runners(github) == []


@pytest.mark.long
def test_a_name_that_is_taken_between_two_jobs_gets_a_number(github, start):
    github.ephemeral_lag = 3600  # the used runner stays listed
    keep = github.fault("DELETE .*/runners/", status=422, body={"message": "still running a job"}, times=-1)
    launcher = start()
    first = add_job(github)
    launcher.await_status("job_ended")
    github.wait(lambda: "r-2" in runners(github), 60, "a runner with a number")
    second = add_job(github)
    github.wait(lambda: second["status"] == "completed", what="the second job")
    assert first["conclusion"] == second["conclusion"] == "success" and second["runner_name"] == "r-2"
    keep.times = 0
    launcher.signal(signal.SIGTERM)
    assert launcher.await_end() == 0 and runners(github) == []


def test_reuse_ends_at_once_for_an_online_runner_of_this_name_or_with_these_labels(github, start):
    other = github.make("acme/demo", "other", ["self-hosted", "CML", "gpu"], False, False)
    assert start("--reuse", "--idle-timeout", "1").find_reason() == "idle"  # it is not online
    other.update(session="s", heard=time.monotonic() + 3600)
    assert start("--reuse").find_reason() == "reuse"
    assert start("--reuse", "--labels", "cml,other", "--idle-timeout", "1").find_reason() == "idle"
    other["busy"] = 1
    assert start("--reuse").find_reason() == "reuse"
    assert start("--reuse-idle", "--idle-timeout", "1").find_reason() == "idle"


def test_more_than_a_page_of_runners_is_looked_through(github, start):
    for number in range(150):
        github.make("acme/demo", f"other-{number}", ["x"], False, False)
    github.make("acme/demo", "r", ["x"], False, False).update(session="s", heard=time.monotonic() + 3600)
    launcher = start()
    assert launcher.await_end() == 1 and launcher.messages()[-1] == "runner r is already in use"
    assert github.count("per_page=100&page=2") == 1


def test_a_runner_removed_at_the_ci_ends_the_launcher(github, start):
    launcher = start()
    ready = launcher.await_status("ready")
    github.drop(github.runners[ready["runner"]], "by a person")
    assert launcher.await_end() == 1
    assert launcher.messages()[-1] == "runner r was removed at the CI"


def test_a_token_that_expires_lets_the_job_end_first(tmp_path, github, start):
    launcher = start()
    gate = tmp_path / "gate"
    job = running_job(github, launcher, gated(gate))
    github.tokens.clear()
    gate.touch()
    assert launcher.await_end() == 1
    assert job["conclusion"] == "success"
    assert launcher.messages()[-1].startswith("the token is no longer accepted: runner r (")


def test_the_driver_and_the_repository_are_inferred_from_a_step_of_a_workflow(tmp_path, github, shim_port):
    launcher = Launcher(
        tmp_path / "log",
        *("--shim-http-port", shim_port, "--workdir", tmp_path / "w", "--idle-timeout", "1"),
        environment={
            "GITHUB_TOKEN": TOKEN,
            "GITHUB_SERVER_URL": github.url,
            "GITHUB_REPOSITORY": "acme/demo",
            "CML_RUNNER_AGENT_CACHE": str(tmp_path / "cache"),
        },
    )
    assert launcher.await_end() == 0, launcher.log()
    asked = Launcher(
        tmp_path / "asked.log",
        *("--shim-http-port", shim_port, "--workdir", tmp_path / "w", "--idle-timeout", "1", "--repo", github.url + "/acme/demo.git"),
        environment={"REPO_TOKEN": TOKEN, "CML_RUNNER_AGENT_CACHE": str(tmp_path / "cache")},
    )
    assert asked.await_end() == 0, asked.log()
    github.violations = [violation for violation in github.violations if "/api/v4/version" not in violation]
    assert runners(github) == []


@pytest.mark.long
@pytest.mark.parametrize("tenths", range(0, 20))
def test_a_launcher_killed_at_any_moment_is_cleaned_up_after(tmp_path, github, start, tenths):
    github.lost_after = 3
    add_job(github, "sleep 0.3")
    launcher = start("--idle-timeout", "1")
    time.sleep(tenths * 0.2)
    launcher.process.kill()
    launcher.process.wait()
    assert start("--idle-timeout", "1").await_end() == 0
    assert runners(github) == [] and list((tmp_path / "work").iterdir()) == []


def ask(github, path: str, body: dict | None = None):
    headers = {"Authorization": f"Bearer {TOKEN}", "User-Agent": "test", "Content-Type": "application/json"}
    data = json.dumps(body).encode() if body else None
    with urllib.request.urlopen(urllib.request.Request(f"{github.url}/api/v3/repos/acme/demo/actions/runners{path}", data, headers)) as answer:
        return json.load(answer)


def test_a_runner_that_was_registered_elsewhere_has_its_job_without_a_token(tmp_path, github, start):
    made = ask(github, "/generate-jitconfig", {"name": "r", "runner_group_id": 1, "labels": LABELS, "work_folder": "_work"})
    agent = next(
        each
        for each in ask(github, "/downloads")
        if each["os"] == "linux" and each["architecture"] == ("arm64" if os.uname().machine == "aarch64" else "x64")
    )
    offer = {"file_name": agent["filename"], "url": agent["download_url"], "sha256": agent["sha256_checksum"]}
    github.requests.clear()
    given = {
        "DSTACK_CI_RUNNER": str(made["runner"]["id"]),
        "DSTACK_CI_RUNNER_TOKEN": made["encoded_jit_config"],
        "DSTACK_CI_AGENT": json.dumps(offer),
    }
    launcher = start("--single", environment={"REPO_TOKEN": "", **given})
    assert launcher.await_status("ready")["runner"] == made["runner"]["id"]
    job = add_job(github, "env | grep DSTACK_CI && exit 3; echo from-the-job")
    assert launcher.find_reason() == "single"
    assert job["conclusion"] == "success" and "from-the-job" in job["log"]
    assert runners(github) == [] and not (tmp_path / "work/r").exists()
    assert not any(TOKEN in (request.headers.get("Authorization") or "") for request in github.requests)
    assert made["encoded_jit_config"] not in launcher.log()
