"""The launcher of CI runners against a strict GitLab, with a stand-in of gitlab-runner whose jobs run on this host: no containers."""

import json
import os
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
from support.ci.fake_gitlab import FakeGitLab
from support.ci.launcher import AGENT, FOLDER, AnyShim, Launcher, Launchers, below, command_line, is_alive
from support.processes import SHIM, wait_until

TOKEN = "glpat-good"


@pytest.fixture
def project(gitlab):
    return gitlab.add_project("team/project")


@pytest.fixture(scope="module")
def shim_port():
    shim = AnyShim()
    yield shim.port
    shim.close()


@pytest.fixture
def start(tmp_path, gitlab, project, shim_port):
    """Starts a launcher in tmp_path/work/r; all are killed at the end."""
    usual = {"--agent": FOLDER / "gitlab-runner", "--shim-http-port": shim_port, "--driver": "gitlab"}
    environment = {"REPO_TOKEN": TOKEN, "STAND_IN_DRIVER": str(FOLDER / "host_driver")}
    with Launchers(tmp_path, gitlab.base + "/team/project", usual, environment) as launchers:
        yield launchers.start


def runners(gitlab) -> list[str]:
    return [runner["description"] for runner in gitlab.runners.values()]


def await_message(launcher, part: str):
    """Two signals that are sent at once may arrive as one."""
    wait_until(lambda: any(part in message for message in launcher.messages()), f"{part} in the log")


def running_job(gitlab, project, launcher, script=("sleep 600",), **more):
    job = gitlab.add_job(project, list(script), strategy="none", **more)
    launcher.await_status("job_started")
    gitlab.wait(lambda: "Running on" in gitlab.log(job), what="the script")
    return job


def test_a_job_is_run_and_an_idle_launcher_leaves_nothing(tmp_path, gitlab, project, start):
    launcher = start("--idle-timeout", "2s", "--labels", "gpu, cuda ,,")
    ready = launcher.await_status("ready")
    runner = gitlab.runners[ready["runner"]]
    assert runner["description"] == "r" and runner["tag_list"] == ["gpu", "cuda"]
    assert runner["run_untagged"] and runner["locked"] and runner["access_level"] == "not_protected"
    job = gitlab.add_job(project, ["echo from-the-job"], strategy="none")
    assert launcher.await_end() == 0
    assert launcher.statuses() == ["ready", "job_started", "job_ended", "terminated"]
    for line in launcher.lines():
        assert line["repo"] == gitlab.base + "/team/project" and line["level"] and line["date"]
    started, ended = launcher.find("job_started"), launcher.find("job_ended")
    assert (started["job"], started["pipeline"]) == (job["id"], job["pipeline"])
    assert (ended["job"], ended["pipeline"], ended["result"]) == (job["id"], job["pipeline"], "success") and ended["seconds"] > 0
    assert launcher.find("terminated")["reason"] == "idle"
    assert "from-the-job" in gitlab.log(job) and job["status"] == "success"
    assert runners(gitlab) == [] and not (tmp_path / "work/r").exists()
    assert gitlab.count("PUT .*/runners/") == 1
    for request in gitlab.requests:
        if request.headers.get("PRIVATE-TOKEN"):
            assert request.headers["User-Agent"].startswith("dstack-shim/")


def test_a_job_longer_than_the_idle_time_is_not_killed(gitlab, project, start):
    launcher = start("--idle-timeout", "1")
    launcher.await_status("ready")
    job = gitlab.add_job(project, ["sleep 3", "echo done"], strategy="none")
    assert launcher.await_end() == 0
    assert job["status"] == "success"


def test_single_ends_after_one_job_whatever_its_result(gitlab, project, start):
    jobs = [gitlab.add_job(project, ["exit 3"], strategy="none") for _ in range(2)]
    launcher = start("--single", "--idle-timeout", "-1")
    assert launcher.await_end() == 0
    assert launcher.find("terminated")["reason"] == "single" and launcher.find("job_ended")["result"] == "failed"
    assert [job["status"] for job in jobs] == ["failed", "pending"] and jobs[0]["exit_code"] == 3
    assert runners(gitlab) == []


def test_the_first_signal_waits_for_the_job(tmp_path, gitlab, project, start):
    launcher = start()
    gate = tmp_path / "gate"
    job = running_job(gitlab, project, launcher, [f"while ! test -e {gate}; do sleep 0.1; done"])
    launcher.signal(signal.SIGTERM)
    later = gitlab.add_job(project, ["true"], strategy="none")
    await_message(launcher, "SIGTERM")
    gate.touch()
    assert launcher.await_end() == 0
    assert job["status"] == "success" and later["status"] == "pending"
    assert launcher.find("terminated")["reason"] == "signal" and runners(gitlab) == []


@pytest.mark.parametrize("way", ["second signal", "going-away", "no retry"])
def test_a_job_that_is_cut_off_is_run_again_and_nothing_else(tmp_path, gitlab, project, start, way):
    launcher = start(*(["--no-retry"] if way == "no retry" else []))
    job = running_job(gitlab, project, launcher)
    begun = time.monotonic()
    if way == "going-away":
        (tmp_path / "work/r/going-away").touch()
    else:
        launcher.signal(signal.SIGINT)
        await_message(launcher, "no more jobs")
        launcher.signal(signal.SIGINT)
    gitlab.wait(lambda: not gitlab.runners, 40, "the runner's removal")
    assert launcher.await_end() == 0 and time.monotonic() - begun < 40
    assert (job["status"], job["failure_reason"]) == ("failed", "runner_system_failure")
    again = [other for other in gitlab.jobs.values() if other.get("retry_of") == job["id"]]
    assert len(again) == (0 if way == "no retry" else 1) and len(gitlab.jobs) == 1 + len(again)


def test_a_third_signal_kills_at_once_and_the_next_start_removes_the_rest(tmp_path, gitlab, project, start):
    launcher = start()
    running_job(gitlab, project, launcher)
    processes = below(launcher.process.pid)
    launcher.signal(signal.SIGTERM)
    await_message(launcher, "no more jobs")
    launcher.signal(signal.SIGTERM)
    await_message(launcher, "stopping job")
    launcher.signal(signal.SIGTERM)
    assert launcher.await_end(10) == 1
    wait_until(lambda: not any(map(is_alive, processes)), "the end of all processes", 10)
    assert runners(gitlab) == ["r"] and (tmp_path / "work/r/launcher.json").exists()
    fail_job_of_dead_agent(gitlab)
    second = start("--idle-timeout", "1")
    assert second.await_end() == 0
    assert len(gitlab.deleted_runners) == 2 and runners(gitlab) == []


def fail_job_of_dead_agent(gitlab):
    """As GitLab does it after an hour."""
    for job in gitlab.jobs.values():
        if job["status"] == "running":
            job["status"] = "failed"


@pytest.mark.parametrize("cleaner", ["same folder", "beside it", "ci clean"])
def test_a_killed_launcher_leaves_no_process_and_its_runner_is_removed(tmp_path, gitlab, project, start, cleaner):
    launcher = start()
    running_job(gitlab, project, launcher, ["setsid sh -c 'sleep 611 & sleep 612' & sleep 613"])
    hidden = wait_until(lambda: {pid for pid in below(launcher.process.pid) if "sleep 61" in command_line(pid)}, "the job's processes")
    processes = below(launcher.process.pid) + list(hidden)
    launcher.process.kill()
    wait_until(lambda: not any(is_alive(pid) for pid in processes if pid != launcher.process.pid), "the end of all processes", 10)
    assert runners(gitlab) == ["r"]
    assert TOKEN not in (tmp_path / "work/r/launcher.json").read_text()
    assert oct((tmp_path / "work/r/launcher.json").stat().st_mode & 0o777) == "0o600"
    fail_job_of_dead_agent(gitlab)
    if cleaner == "ci clean":
        done = subprocess.run(
            [SHIM, "ci", "clean", "--workdir", tmp_path / "work/r"], env={**os.environ, "REPO_TOKEN": TOKEN}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    else:
        assert start("--idle-timeout", "1", name="r" if cleaner == "same folder" else "other").await_end() == 0
    assert runners(gitlab) == [] and list((tmp_path / "work").iterdir()) == []


def test_no_token_is_seen_by_others(tmp_path, gitlab, project, start):
    launcher = start("--token", TOKEN, environment={"REPO_TOKEN": "", "GITHUB_TOKEN": "gh", "AWS_SECRET_ACCESS_KEY": "aws", "DSTACK_TOKEN": "ds"})
    ready = launcher.await_status("ready")
    token = gitlab.runners[ready["runner"]]["token"]
    running_job(gitlab, project, launcher)
    processes = below(launcher.process.pid)
    agent = next(pid for pid in processes if "run-single" in command_line(pid) and "ci keep" not in command_line(pid))
    for pid in processes:
        assert TOKEN not in command_line(pid) and token not in command_line(pid)
    environment = Path(f"/proc/{agent}/environ").read_text()
    assert f"CI_SERVER_TOKEN={token}" in environment
    for secret in (TOKEN, "GITHUB_TOKEN", "AWS_SECRET", "DSTACK_TOKEN"):
        assert secret not in environment
    assert TOKEN not in launcher.log() and token not in launcher.log()
    assert oct((tmp_path / "work/r").stat().st_mode & 0o777) == "0o700"


@pytest.mark.parametrize(
    ("arguments", "environment", "named"),
    [
        (["--no-such-flag"], {}, "--no-such-flag"),
        (["--idle-timeout", "soon"], {}, "--idle-timeout"),
        ([], {"CML_RUNNER_IDLE_TIMEOUT": "soon"}, "CML_RUNNER_IDLE_TIMEOUT"),
        (["--name", "a b"], {}, "--name"),
        (["--name", ""], {}, "--name"),
        (["--labels", " , "], {}, "--labels"),
        ([], {"CML_RUNNER_SINGLE": "yes"}, "CML_RUNNER_SINGLE"),
        (["--single", "--reuse"], {}, "--single"),
        (["--driver", "bitbucket"], {}, "--driver"),
        (["--log-format", "xml"], {}, "--log-format"),
        (["--gpus", "some"], {}, "--gpus"),
        (["--shim-http-port", "x"], {}, "--shim-http-port"),
        (["--cloud", "aws"], {"HOME": "/nowhere"}, "--dstack-url, --dstack-project, --dstack-token"),
        (["--cloud", "aws"], {"HOME": "/nowhere", "DSTACK_URL": "http://127.0.0.1:1", "DSTACK_PROJECT": "p"}, "--dstack-token"),
        (["--cloud", "aws", "--name", "gpu_1"], {}, "--name"),
        (["--cloud", "aws", "--cloud-startup-script", "no!"], {}, "--cloud-startup-script"),
        (["--cloud", "aws", "--cloud-ssh-private", "/nowhere"], {}, "--cloud-ssh-private"),
        ([], {"CML_RUNNER_CLOUD_HDD_SIZE": "big"}, "CML_RUNNER_CLOUD_HDD_SIZE"),
        ([], {"REPO_TOKEN": ""}, "--token"),
        (["--repo", "nowhere"], {}, "--repo"),
    ],
)
def test_a_wrong_command_line_is_exit_status_2_and_asks_nobody(tmp_path, gitlab, project, arguments, environment, named):
    flags = ["--repo", gitlab.base + "/team/project"] if "--repo" not in arguments else []
    launcher = Launcher(tmp_path / "log", *flags, *arguments, environment={"REPO_TOKEN": TOKEN, **environment})
    assert launcher.await_end() == 2, launcher.log()
    assert named in launcher.log()
    assert gitlab.requests == []


def test_the_version_is_told_whatever_else_is_said(tmp_path):
    for program in ([SHIM, "ci-runner"], [tmp_path / "cml-runner"]):
        if len(program) == 1:
            program[0].symlink_to(SHIM)
        done = subprocess.run([*program, "--bad", "--idle-timeout", "x", "--version"], capture_output=True, text=True)
        assert done.returncode == 0 and done.stdout.startswith("dstack-shim version ")


def test_flags_come_from_variables_and_cmls_others_are_ignored_with_a_warning(gitlab, project, start):
    launcher = start(
        "--cloud-region",
        "us-west",
        "--log",
        "debug",
        "--gcp-access-token",
        "not-for-us",
        name=None,
        environment={"CML_RUNNER_NAME": "by-variable", "CML_RUNNER_LABELS": "a,b", "CML_RUNNER_IDLE_TIMEOUT": "1", "CML_RUNNER_SINGLE": "0"},
    )
    ready = launcher.await_status("ready")
    assert gitlab.runners[ready["runner"]]["tag_list"] == ["a", "b"] and ready["name"] == "by-variable"
    assert launcher.await_end() == 0
    for flag in ("--cloud-region", "--log", "--gcp-access-token"):
        assert any(message.startswith(flag) for message in launcher.messages())
    assert "not-for-us" not in launcher.log()


def test_a_refused_token_is_quoted_with_its_status(gitlab, project, start):
    launcher = start(environment={"REPO_TOKEN": "glpat-bad"})
    assert launcher.await_end() == 1
    assert "401" in launcher.messages()[-1] and "glpat-bad" not in launcher.log()


def test_a_token_without_the_right_to_make_runners_makes_nothing(gitlab, project, start):
    gitlab.tokens["glpat-reader"] = {"read_api"}
    launcher = start(environment={"REPO_TOKEN": "glpat-reader"})
    assert launcher.await_end() == 1
    assert "403" in launcher.messages()[-1] and "higher privileges" in launcher.messages()[-1]
    assert gitlab.count("DELETE") == 0


@pytest.mark.parametrize("fault", [{"drop": True}, {"status": 502}])
def test_a_registration_whose_answer_was_lost_leaves_one_runner(gitlab, project, start, fault):
    gitlab.fault("POST .*/user/runners", carried_out=True, **fault)
    launcher = start("--idle-timeout", "1")
    assert launcher.await_end() == 0
    assert gitlab.count("POST .*/user/runners") == 2 and runners(gitlab) == []
    assert len(gitlab.deleted_runners) == 2


def test_a_limit_is_waited_for_as_told(gitlab, project, start):
    gitlab.fault("GET .*/projects/team", status=429, headers={"Retry-After": "2"})
    gitlab.fault("GET .*/runners", status=403, headers={"Retry-After": "1"})
    launcher = start("--idle-timeout", "1")
    assert launcher.await_end() == 0
    asked = [request.at for request in gitlab.requests if "/projects/team" in request.path]
    assert asked[1] - asked[0] >= 2


def test_a_failing_deletion_is_tried_again(gitlab, project, start):
    gitlab.fault("DELETE .*/runners/", status=503, times=2)
    assert start("--idle-timeout", "1").await_end() == 0
    assert runners(gitlab) == [] and gitlab.count("DELETE") == 3


def test_a_name_that_is_in_use_is_refused_and_one_that_is_offline_is_taken(gitlab, project, start):
    other = gitlab.make({"description": "r", "tag_list": ["x"]}, project, "project_type")
    other["contacted_at"] = time.monotonic()
    launcher = start()
    assert launcher.await_end() == 1
    assert launcher.messages()[-1] == "runner r is already in use"
    assert runners(gitlab) == ["r"]
    other["offline"] = True
    assert start("--idle-timeout", "1").await_end() == 0
    assert other in gitlab.deleted_runners and runners(gitlab) == []


def test_reuse_ends_at_once_for_an_online_runner_of_this_name_or_with_these_labels(gitlab, project, start):
    other = gitlab.make({"description": "other", "tag_list": ["CML", "gpu"]}, project, "project_type")
    assert start("--reuse", "--idle-timeout", "1").find_reason() == "idle"  # it is not online
    other["contacted_at"] = time.monotonic()
    assert start("--reuse").find_reason() == "reuse"
    assert start("--reuse", "--labels", "cml,other", "--idle-timeout", "1").find_reason() == "idle"
    job = gitlab.add_job(project, ["true"])
    gitlab.queue.clear()
    job.update(status="running", runner=other["id"])
    assert start("--reuse").find_reason() == "reuse"
    assert start("--reuse-idle", "--idle-timeout", "1").find_reason() == "idle"


def test_a_runner_removed_at_the_ci_ends_the_launcher(gitlab, project, start):
    launcher = start()
    ready = launcher.await_status("ready")
    del gitlab.runners[ready["runner"]]
    assert launcher.await_end() == 1
    assert launcher.messages()[-1] == "runner r was removed at the CI"


def test_a_token_that_expires_lets_the_job_end_and_the_runner_is_removed_by_its_own(tmp_path, gitlab, project, start):
    launcher = start("--single")
    gate = tmp_path / "gate"
    job = running_job(gitlab, project, launcher, [f"while ! test -e {gate}; do sleep 0.1; done"])
    gitlab.tokens.clear()
    gate.touch()
    assert launcher.await_end() == 1
    assert job["status"] == "success" and runners(gitlab) == []
    assert launcher.messages()[-1].startswith("the token is no longer accepted")


def test_where_the_runners_own_token_does_not_help_the_runner_is_named(gitlab, project, start):
    launcher = start("--idle-timeout", "2")
    ready = launcher.await_status("ready")
    gitlab.tokens.clear()
    gitlab.fault(r"DELETE /api/v4/runners$", status=401, times=-1)
    assert launcher.await_end() == 1
    expected = f"the token is no longer accepted: runner r ({ready['runner']}) stays in the list until it is removed by hand"
    assert launcher.messages()[-1] == expected


def test_an_agent_that_dies_is_replaced_with_a_new_runner(gitlab, project, start):
    launcher = start()
    launcher.await_status("ready")
    first = next(iter(gitlab.runners))
    agent = next(pid for pid in below(launcher.process.pid) if "run-single" in command_line(pid) and "ci keep" not in command_line(pid))
    os.kill(agent, signal.SIGKILL)
    gitlab.wait(lambda: gitlab.runners and first not in gitlab.runners, what="another runner")
    job = gitlab.add_job(project, ["true"], strategy="none")
    gitlab.wait(lambda: job["status"] == "success", what="the job")
    launcher.signal(signal.SIGTERM)
    assert launcher.await_end() == 0
    assert launcher.statuses().count("ready") == 1 and runners(gitlab) == []


def test_an_agent_that_never_starts_is_given_up(tmp_path, gitlab, project, start):
    broken = tmp_path / "gitlab-runner"
    broken.write_text("#!/bin/sh\necho no such option >&2\nexit 2\n")
    broken.chmod(0o755)
    launcher = start("--agent", broken)
    assert launcher.await_end() == 1
    assert "exited with status 2" in launcher.messages()[-1] and runners(gitlab) == []
    assert any("no such option" in message for message in launcher.messages())


def test_a_group_has_runners_too(gitlab, project, start):
    group = gitlab.add_group("team")
    launcher = start("--single", repo=gitlab.base + "/team/")
    job = gitlab.add_job(project, ["true"], strategy="none")
    assert launcher.await_end() == 0
    assert job["status"] == "success" and gitlab.deleted_runners[0]["group"] is group


def test_gitlab_below_a_path_is_found_and_the_driver_inferred(tmp_path, shim_port, start):
    fake = FakeGitLab(subpath="/git/lab")
    fake.add_project("team/project")
    launcher = start("--driver", "gitlab", "--idle-timeout", "1", repo=fake.base + "/team/project.git")
    assert launcher.await_end() == 0
    inferred = Launcher(
        tmp_path / "inferred.log",
        *("--agent", AGENT, "--shim-http-port", shim_port, "--workdir", tmp_path / "inferred", "--idle-timeout", "1"),
        environment={"REPO_TOKEN": TOKEN, "CI_PROJECT_URL": fake.base + "/team/project"},
    )
    assert inferred.await_end() == 0
    fake.close()
    nothing = Launcher(tmp_path / "nothing.log", "--repo", fake.base + "/team/project", environment={"REPO_TOKEN": TOKEN})
    assert nothing.await_end() == 1
    assert "--driver" in nothing.messages()[-1]


def test_a_work_folder_that_is_in_use_is_named(tmp_path, gitlab, project, start):
    start().await_status("ready")
    second = start("--workdir", tmp_path / "work/r", name="s")
    assert second.await_end() == 1
    assert str(tmp_path / "work/r") in second.messages()[-1] and "in use" in second.messages()[-1]
    assert runners(gitlab) == ["r"]


def test_a_missing_agent_and_a_missing_shim_are_named(tmp_path, gitlab, project, start):
    missing = start("--agent", "/no/such/agent")
    assert missing.await_end() == 1 and "/no/such/agent" in missing.messages()[-1]
    no_shim = start("--shim-http-port", "1")
    assert no_shim.await_end() == 1 and "port 1" in no_shim.messages()[-1]
    assert gitlab.count("POST") == 0


@pytest.mark.long
@pytest.mark.parametrize("tenths", range(0, 12))
def test_a_launcher_killed_at_any_moment_is_cleaned_up_after(tmp_path, gitlab, project, start, tenths):
    launcher = start("--idle-timeout", "1")
    time.sleep(tenths * 0.1 if tenths < 8 else 1 + (tenths - 8) * 0.15)  # beyond: while it leaves
    launcher.process.kill()
    launcher.process.wait()
    assert start("--idle-timeout", "1").await_end() == 0
    assert runners(gitlab) == [] and list((tmp_path / "work").iterdir()) == []


def registered_elsewhere(gitlab, project) -> dict[str, str]:
    """The variables by which a run of --cloud gets its runner, and no token of the CI."""
    body = {
        "runner_type": "project_type",
        "project_id": project["id"],
        "description": "r",
        "tag_list": ["cml"],
        "run_untagged": True,
        "locked": True,
        "access_level": "not_protected",
    }
    headers = {"PRIVATE-TOKEN": TOKEN, "Content-Type": "application/json", "User-Agent": "test"}
    with urllib.request.urlopen(urllib.request.Request(f"{gitlab.base}/api/v4/user/runners", json.dumps(body).encode(), headers)) as answer:
        made = json.load(answer)
    gitlab.requests.clear()
    return {"REPO_TOKEN": "", "DSTACK_CI_RUNNER": str(made["id"]), "DSTACK_CI_RUNNER_TOKEN": made["token"]}


def test_a_runner_that_was_registered_elsewhere_is_used_and_removed_by_its_own_token(gitlab, project, start):
    given = registered_elsewhere(gitlab, project)
    launcher = start("--idle-timeout", "3s", environment=given)
    assert launcher.await_status("ready")["runner"] == int(given["DSTACK_CI_RUNNER"])
    job = gitlab.add_job(project, ["env | grep DSTACK_CI && exit 3; true"], strategy="none")
    # An agent that ends is started again for the same runner.
    launcher.await_status("job_ended")
    os.kill(next(pid for pid in below(launcher.process.pid) if "run-single" in command_line(pid) and "keep" not in command_line(pid)), signal.SIGKILL)
    assert launcher.find_reason() == "idle"
    assert job["status"] == "success", gitlab.log(job)
    assert runners(gitlab) == [] and gitlab.count("POST .*/user/runners") == 0
    assert not any(request.headers.get("PRIVATE-TOKEN") for request in gitlab.requests)
    assert given["DSTACK_CI_RUNNER_TOKEN"] not in launcher.log()


def test_a_runner_that_was_registered_elsewhere_and_is_gone_ends_the_launcher(gitlab, project, start):
    given = registered_elsewhere(gitlab, project)
    launcher = start(environment=given)
    launcher.await_status("ready")
    gitlab.runners.clear()
    assert launcher.await_end() == 1
    assert launcher.messages()[-1] == "runner r was removed at the CI"
    again = start(environment=given)
    assert again.await_end() == 1
    assert "is not known" in again.messages()[-1]
