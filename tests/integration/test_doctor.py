"""`dstack-shim doctor` on this host, with the real daemon."""

import json
import os
import pty
import socket
import subprocess
import sys
import uuid

import pytest
from conftest import docker
from support.hosts import stand_in_runner
from support.processes import SHIM, Shim, free_port
from support.shim_calls import Calls

CHECKS = [
    "docker",
    "engine-mode",
    "live-restore",
    "cgroups",
    "home",
    "disk",
    "gpu",
    "container-toolkit",
    "sick-gpus",
    "gpu-heat",
    "gpu-memory",
    "shim-port",
    "runner-ports",
    "runner",
    "capabilities",
    "peer-look-up",
    "drained",
    "tools",
    "unpigz",
    "downloads",
    "noexec",
    "limits",
    "network",
    "clock",
    "images",
    "containers",
    "folders",
    "volumes",
]


# What this machine has in the way of GPUs is its own affair.
GPUS = {"gpu", "container-toolkit"}


def broken(findings: dict[str, dict]) -> list[str]:
    return [name for name, check in findings.items() if check["verdict"] == "broken" and name not in GPUS]


class Doctor:
    def __init__(self, home, runner, port):
        self.arguments = [SHIM, "doctor", "--shim-home", home, "--runner-binary-path", runner, "--shim-http-port", str(port)]

    def ask(self, *more, **environment) -> subprocess.CompletedProcess:
        # A limit for whatever hangs; it is no measure.
        return subprocess.run(
            [*self.arguments, *more], capture_output=True, text=True, timeout=120, env={**os.environ, **environment}
        )

    def findings(self, **environment) -> dict[str, dict]:
        report = json.loads(self.ask("--json", **environment).stdout)
        return {check["name"]: check for check in report["checks"]}


@pytest.fixture
def runner(tmp_path):
    return stand_in_runner(tmp_path / "sleeping", "exec sleep 1000")


@pytest.fixture
def doctor(home, runner):
    return Doctor(home, runner, free_port())


def listing(home) -> list[str]:
    return sorted(str(path) for path in home.parent.rglob("*"))


def test_a_healthy_host_passes_and_every_check_is_listed(doctor, home):
    before = listing(home)
    answer = doctor.ask()
    lines = answer.stdout.splitlines()
    found = {line.split()[1]: line.split()[0] for line in lines if line.split()[0] in ("ok", "warning", "broken")}
    assert list(found) == CHECKS
    assert "broken" not in [verdict for name, verdict in found.items() if name not in GPUS], answer.stdout
    assert answer.returncode == (1 if "broken" in found.values() else 0)
    assert "Traceback" not in answer.stderr and "\033" not in answer.stdout
    version = docker("version", "--format", "{{.Server.Version}}").strip()
    assert f"Docker {version}, API " in lines[0] and "/var/run/docker.sock" in lines[0]
    # Whoever warns says what to do.
    for line, following in zip(lines, [*lines[1:], ""]):
        assert line.startswith(("warning", "broken")) == following.strip().startswith("→")
    assert listing(home) == before


def test_the_json_has_the_same_checks(doctor):
    report = json.loads(doctor.ask("--json").stdout)
    assert [check["name"] for check in report["checks"]] == CHECKS
    verdicts = [check["verdict"] for check in report["checks"]]
    assert (report["broken"], report["warnings"]) == (verdicts.count("broken"), verdicts.count("warning"))
    for check in report["checks"]:
        assert set(check) == {"name", "verdict", "found", "remedy"} and check["found"]
        assert (check["remedy"] is None) == (check["verdict"] == "ok")


def test_a_docker_that_is_not_there_is_told_with_its_socket(doctor):
    answer = doctor.ask(DOCKER_HOST="unix:///no/such.sock")
    assert answer.returncode == 1
    assert answer.stdout.startswith("broken") and "unix:///no/such.sock" in answer.stdout.splitlines()[0]
    findings = doctor.findings(DOCKER_HOST="unix:///no/such.sock")
    assert list(findings) == CHECKS
    assert broken(findings) == ["docker"]
    nonsense = doctor.findings(DOCKER_HOST="ftp://somewhere")
    assert nonsense["docker"]["verdict"] == "broken" and "DOCKER_HOST" in nonsense["docker"]["found"]


def test_a_port_that_another_program_has_is_told_by_its_name(home, runner):
    with socket.socket() as taker:
        taker.bind(("127.0.0.1", 0))
        taker.listen()
        doctor = Doctor(home, runner, taker.getsockname()[1])
        answer = doctor.ask("--json")
    finding = next(check for check in json.loads(answer.stdout)["checks"] if check["name"] == "shim-port")
    assert answer.returncode == 1
    assert finding["verdict"] == "broken"
    # The kernel's name of this very process; one that is a plain word.
    name = open("/proc/self/comm").read().strip()
    assert f"{name} ({os.getpid()})" in finding["found"], (finding, sys.executable)


def test_a_running_shim_and_its_task_are_as_they_should_be(home, runner, image):
    with Shim(home, runner=runner) as shim:
        calls = Calls(shim.wait_ready())
        task = calls.submit(image, network_mode="bridge")
        calls.wait_for(task, "running")
        doctor = Doctor(home, runner, shim.port)
        findings = doctor.findings()
        assert not broken(findings)
        version = calls.get("/api/healthcheck").json()["version"]
        assert f"dstack-shim, version {version}" in findings["shim-port"]["found"]
        assert findings["containers"]["found"].startswith("1 of known tasks")
        assert calls.info(task)["status"] == "running"
        calls.terminate(task)


def test_a_running_shim_is_asked_for_its_settings_before_anything_is_said_of_them(home, runner, tmp_path):
    """The doctor is started from a shell that knows nothing of the service's settings."""
    other = tmp_path / "elsewhere"
    with Shim(home, "--runner-http-port", 20999, "--runner-ssh-port", 20022, "--allow-task-callers", runner=runner) as shim:
        shim.wait_ready()
        settings = Calls(shim).get("/local/settings").json()
        assert (settings["home"], settings["runner_binary_path"], settings["pid"]) == (str(home), str(runner), shim.process.pid)
        assert {part["name"] for part in settings["components"]} == {"dstack-runner", "dstack-shim"}
        findings = Doctor(other / "home", other / "runner", shim.port).findings()
    assert "20999 and 20022" in findings["runner-ports"]["found"]
    assert findings["runner"]["verdict"] == "ok" and str(runner) in findings["runner"]["found"]
    assert "--allow-task-callers" in findings["peer-look-up"]["found"]
    assert "the running dstack-shim" in findings["capabilities"]["found"]
    assert not other.exists()


def test_a_container_that_no_journal_knows_is_named(doctor, home, image):
    name = f"left-{uuid.uuid4().hex[:8]}"
    (home / "runners" / name).mkdir(parents=True)
    docker("pull", image)
    labels = ["--label", "ai.dstack.shim.is-task=true", "--label", "ai.dstack.shim.task-id=left"]
    docker("create", "--name", name, *labels, "-v", f"{home}/runners/{name}:/tmp/runner", image, "true")
    finding = doctor.findings()["containers"]
    assert finding["verdict"] == "warning" and name in finding["found"]
    assert docker("ps", "-aq", "--filter", f"name={name}").strip()


def test_only_a_terminal_gets_colours(doctor):
    def on_terminal(**environment) -> bytes:
        ours, theirs = pty.openpty()
        program = subprocess.Popen(doctor.arguments, stdout=theirs, stderr=subprocess.DEVNULL, env={**os.environ, **environment})
        os.close(theirs)
        text = b""
        while piece := read(ours):
            text += piece
        os.close(ours)
        program.wait()
        return text

    def read(terminal) -> bytes:
        try:
            return os.read(terminal, 65536)
        except OSError:  # nobody has its other end any more
            return b""

    assert b"\033[32mok" in on_terminal(NO_COLOR="")
    assert b"\033" not in on_terminal(NO_COLOR="1")
