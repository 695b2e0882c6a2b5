"""CI runners on machines of a cloud: `ci-runner --cloud` with a real dstack server, its AWS backend against moto, and a strict GitLab."""

import base64
import json
import signal

import pytest
from support.aws_cloud import REGION, SERVER_ADDRESS, Cloud, Instance
from support.ci.docker_in_docker import DIND_IMAGE, JOB_IMAGES, allow_privileged, docker_in_docker
from support.ci.fake_github import FakeGitHub
from support.ci.fake_gitlab import FakeGitLab
from support.ci.launcher import Launcher
from support.dstack_server import TOKEN, URL
from support.machine import Machine, ProgramInside
from support.machine_network import made_in_network_of
from support.processes import SHIM, wait_until

pytestmark = pytest.mark.timeout(900)

CI_TOKEN = "glpat-good"
GITHUB_TOKEN = "ghp-good"
HERE = ("--cloud", "aws", "--cloud-region", REGION)
SMALL = (*HERE, "--cloud-type", "c5.large")


@pytest.fixture
def cloud(tmp_path) -> Cloud:
    folder = tmp_path / "cloud"
    with Machine(folder / "machine") as machine, Cloud(machine, folder) as made:
        yield made


@pytest.fixture
def server(cloud):
    with cloud.server(DSTACK_DIND_IMAGE=DIND_IMAGE) as made:
        cloud.upload()
        cloud.configure()
        yield made


@pytest.fixture
def gitlab(cloud):
    fake = made_in_network_of(cloud.machine, lambda: FakeGitLab(host=SERVER_ADDRESS))
    fake.project = fake.add_project("team/project")
    yield fake
    fake.close()
    assert fake.violations == []


class CloudLauncher(ProgramInside, Launcher):
    """On the server's machine."""

    def failure(self) -> str:
        """The last line of one that has failed."""
        assert self.await_end(120) == 1, self.log()
        return self.messages()[-1]


@pytest.fixture
def start(tmp_path, cloud, server, gitlab):
    started = []

    def start(*arguments, name: str = "gpu-1", driver: str = "gitlab", repo: str | None = None, environment: dict | None = None):
        variables = {
            "REPO_TOKEN": CI_TOKEN,
            "HOME": "/root",
            "DSTACK_URL": URL,
            "DSTACK_PROJECT": "main",
            "DSTACK_TOKEN": TOKEN,
            **(environment or {}),
        }
        flags = ["--repo", repo or f"{gitlab.base}/team/project", "--driver", driver, "--name", name, "--workdir", f"/root/ci/{name}"]
        program = cloud.machine.inside("env", *(f"{key}={value}" for key, value in variables.items()), SHIM, "ci-runner")
        launcher = CloudLauncher(tmp_path / f"launcher-{len(started)}.log", *flags, *arguments, program=program)
        started.append(launcher)
        return launcher

    yield start
    for launcher in started:
        launcher.kill()


def nothing_is_left(cloud, server, gitlab, name: str = "gpu-1") -> None:
    assert gitlab.runners == {}
    runs = [run for run in server.call("runs/list", project_name="main", only_active=True) if run["status"] != "terminating"]
    assert runs == []
    assert cloud.machine.run("ls", f"/root/ci/{name}", check=False).returncode != 0
    wait_until(lambda: cloud.running() == [], "the end of the instances", 120, pause=1)


# Flags, and how many machines of the catalogue they leave.
ROWS = [
    (["--cloud-type", "c5.large"], 1),
    (["--cloud-type", "m"], 3),
    (["--cloud-type", "l"], 2),
    (["--cloud-type", "xl"], 1),
    (["--cloud-type", "m", "--cloud-gpu", "A10G"], 1),
    (["--cloud-type", "l", "--cloud-gpu", "A10G"], 1),
    (["--cloud-type", "xl", "--cloud-gpu", "A10G"], 1),
    (["--cloud-gpu", "A10G"], 3),
    (["--cloud-gpu", "k80"], 0),
    (["--cloud-type", "m", "--cloud-gpu", "tesla"], 0),
    (["--cloud-type", "g5.xlarge"], 0),
    (["--cloud-type", "m", "--cloud-hdd-size", "30"], 3),
    (["--cloud-spot", "--cloud-type", "c5.large"], 1),
    (["--cloud-spot", "--cloud-type", "c5.large", "--cloud-spot-price", "0.01"], 0),
    (["--cloud-region", "us-west"], 0),
]
NO_FLEET = "no fleet of project main at http://127.0.0.1:3000 takes the run"
NO_MACHINE = "the backend of project main at http://127.0.0.1:3000 has no machine that fits"


@pytest.mark.long
def test_the_server_takes_every_row_of_the_flags_and_says_what_is_missing(cloud, server, gitlab, start):
    for flags, offers in ROWS:
        message = start(*HERE, *flags).failure()
        expected = f"(offers of machines without a fleet: {offers})" if offers else NO_MACHINE
        assert expected in message, (flags, message)
        assert (NO_FLEET in message) == (offers > 0)
    message = start("--cloud", "gcp").failure()
    assert 'project main at http://127.0.0.1:3000 has no backend "gcp"; it has aws' in message
    assert "there is no project other" in start(*HERE, "--dstack-project", "other").failure()
    assert "the token is not valid" in start(*HERE, "--dstack-token", "wrong").failure()
    nothing_is_left(cloud, server, gitlab)
    assert gitlab.count("POST .*/user/runners") == 0


@pytest.fixture
def instance(cloud, registry, image, tmp_path) -> Instance:
    """A machine that waits to be started as one of AWS's, with the image of a run with Docker."""
    folder = tmp_path / "instance"
    folder.mkdir()
    dind = docker_in_docker(folder, image, image)
    with Machine(folder / "machine", dind) as machine:
        allow_privileged(machine)
        yield Instance(machine, cloud, folder)


def launched(cloud: Cloud, count: int = 1) -> list[dict]:
    return wait_until(lambda: len(found := cloud.running()) >= count and found, f"{count} instances", 120, pause=1)


STARTUP = base64.b64encode(f"docker load -i {JOB_IMAGES}".encode()).decode()


def test_a_job_runs_on_a_machine_of_the_cloud_which_is_gone_when_it_is_idle(cloud, server, gitlab, instance, image, start):
    cloud.shim("autoscale", "allow", "c5.large", "-m", "1", "-d", "--idle", "10s")
    launcher = start(*SMALL, "--image", image, "--idle-timeout", "15s", "--labels", "gpu", "--cloud-startup-script", STARTUP, name="GPU-1")
    (made,) = launched(cloud)
    assert (made["type"], made["spot"]) == ("c5.large", False)
    instance.boot(made)
    ready = launcher.await_status("ready", limit=240)
    assert launcher.await_end() == 0
    (runner,) = gitlab.runners.values()
    assert (ready["name"], ready["runner"], ready["run"], ready["project"]) == ("GPU-1", runner["id"], "gpu-1", "main")
    assert (runner["description"], runner["tag_list"]) == ("GPU-1", ["gpu"])
    assert cloud.machine.run("ls", "/root/ci/GPU-1", check=False).returncode != 0

    # The CI's own token has gone nowhere, the runner's is in no argument list.
    run = server.run_of("gpu-1")
    assert CI_TOKEN not in json.dumps(run) and TOKEN not in json.dumps(run)
    assert run["run_spec"]["configuration"]["env"]["DSTACK_CI_RUNNER_TOKEN"] == runner["token"]
    arguments = instance.machine.run("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout
    assert "ci-runner --name GPU-1" in arguments and runner["token"] not in arguments and STARTUP not in arguments
    assert CI_TOKEN not in instance.machine.run("sh", "-c", "cat /proc/[0-9]*/environ | tr '\\0' ' '").stdout

    job = gitlab.add_job(gitlab.project, ["echo in-the-cloud", "hostname"], strategy="none", tags=["gpu"])
    gitlab.wait(lambda: job["status"] == "success", 90, "the job")
    assert "in-the-cloud" in gitlab.log(job)
    assert server.wait_end("gpu-1")["exit_status"] == 0
    output = server.logs("gpu-1")
    assert "idle" in output and runner["token"] not in output
    nothing_is_left(cloud, server, gitlab, "GPU-1")


def waiting(cloud, start, *arguments, **more) -> CloudLauncher:
    """One whose machine has been asked for, and does not answer yet."""
    cloud.shim("autoscale", "allow", "c5.large", "-m", "1", "-d", "--idle", "10s")
    launcher = start(*SMALL, *arguments, **more)
    launched(cloud)
    return launcher


@pytest.mark.long
def test_a_signal_leaves_nothing_and_a_server_that_restarts_meanwhile_is_waited_for(cloud, server, gitlab, start):
    launcher = waiting(cloud, start)
    server.program.kill()
    wait_until(lambda: any("trying again" in message for message in launcher.messages()), "a warning", 30)
    server.program = server._start()
    # Another of that name hears that it is taken, and disturbs nothing.
    other = start(*SMALL, "--workdir", "/root/ci/other")
    assert "run gpu-1 of project main at http://127.0.0.1:3000 is already in use" in other.failure()
    assert launcher.process.poll() is None and len(gitlab.runners) == 1

    launcher.signal(signal.SIGTERM)
    assert launcher.find_reason() == "signal"
    nothing_is_left(cloud, server, gitlab)
    assert server.run_of("gpu-1")["status"] in ("terminating", "terminated")


def kill_at_once(launcher: CloudLauncher) -> None:
    """Until it has ended its work folder is in use."""
    launcher.signal(signal.SIGKILL)
    launcher.await_end()


@pytest.mark.long
def test_what_a_killed_one_has_made_is_removed_by_clean_and_by_the_next_start(cloud, server, gitlab, start):
    kill_at_once(waiting(cloud, start))
    cleaned = cloud.shim("ci", "clean", "--token", CI_TOKEN, "--workdir", "/root/ci/gpu-1", environment={"DSTACK_URL": URL})
    assert "removed runner gpu-1" in cleaned.stdout
    nothing_is_left(cloud, server, gitlab)

    kill_at_once(waiting(cloud, start))
    (first,) = gitlab.runners
    launcher = start(*SMALL)
    wait_until(lambda: any("is submitted" in message for message in launcher.messages()), "the second run", 240, pause=0.5)
    assert first not in gitlab.runners and len(gitlab.runners) == 1
    launcher.signal(signal.SIGINT)
    assert launcher.find_reason() == "signal"
    nothing_is_left(cloud, server, gitlab)


@pytest.mark.long
def test_a_run_that_ends_before_its_runner_is_online_leaves_nothing(cloud, server, gitlab, start):
    launcher = waiting(cloud, start)
    server.call("project/main/runs/stop", runs_names=["gpu-1"], abort=True)
    assert "run gpu-1 of project main at http://127.0.0.1:3000 is termina" in launcher.failure()
    nothing_is_left(cloud, server, gitlab)


@pytest.mark.long
def test_a_startup_script_that_fails_ends_the_run_and_leave_nothing(cloud, server, gitlab, instance, image, start):
    launcher = waiting(cloud, start, "--cloud-startup-script", base64.b64encode(b"echo to-be-seen; exit 7").decode())
    instance.boot(launched(cloud)[0])
    assert "exited with status 7" in launcher.failure()
    assert "to-be-seen" in server.logs("gpu-1")
    assert gitlab.runners == {}


@pytest.mark.long
def test_at_github_the_run_of_a_single_runner_gets_its_configuration_and_no_token(cloud, server, gitlab, start):
    github = made_in_network_of(cloud.machine, lambda: FakeGitHub(host=SERVER_ADDRESS))
    try:
        more = {"driver": "github", "repo": f"{github.url}/acme/demo", "environment": {"REPO_TOKEN": GITHUB_TOKEN}}
        launcher = waiting(cloud, start, "--single", **more)
        (runner,) = github.runners.values()
        variables = server.run_of("gpu-1")["run_spec"]["configuration"]["env"]
        assert (runner["name"], variables["DSTACK_CI_RUNNER"]) == ("gpu-1", str(runner["id"]))
        assert variables["DSTACK_CI_RUNNER_TOKEN"] and json.loads(variables["DSTACK_CI_AGENT"])["sha256"]
        assert GITHUB_TOKEN not in json.dumps(server.run_of("gpu-1"))
        launcher.signal(signal.SIGTERM)
        assert launcher.find_reason() == "signal"
        assert github.runners == {}
        nothing_is_left(cloud, server, gitlab)

        # One that takes job after job makes its runners itself.
        launcher = waiting(cloud, start, name="gpu-2", **more)
        assert server.run_of("gpu-2")["run_spec"]["configuration"]["env"]["REPO_TOKEN"] == GITHUB_TOKEN
        assert github.runners == {}
        launcher.signal(signal.SIGTERM)
        assert launcher.find_reason() == "signal"
        nothing_is_left(cloud, server, gitlab, "gpu-2")
        assert github.violations == []
    finally:
        github.close()
