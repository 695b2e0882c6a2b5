"""schemathesis reads docs/api and asks the running programs: what the document allows is accepted, what it forbids is refused,
and every answer is one that the document has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support.machine import Machine
from support.processes import ROOT, RUNNER, SHIM, wait_until
from support.runner_container import RunnerContainer

DOCUMENTS = ROOT / "docs/api"
ENDING = ["/api/shutdown"]
# Afterwards every submit is 503.
DRAIN = ["/local/drain", "/local/undrain"]
RESTARTS = ["--request-retries", "10"]
# These end a runner's life or begin its job, so that everything else is 409 afterwards.
JOB = ["/api/run", "/api/stop", "/logs_ws"]
# What they start has to be in the image.
EXEC = ["/api/exec", "/api/exec/{id}/stop"]
# What they take is no JSON, or a WebSocket: the document's data cannot be judged.
RAW = ["/api/upload_archive", "/api/upload_code"]
ANY_DATA = ["--exclude-checks", "positive_data_acceptance,negative_data_rejection"]
pytestmark = pytest.mark.timeout(300)


def comparable(folder: Path) -> Path:
    """The shim's document without fields whose right values depend on other fields, which the examples do not heed."""
    document = yaml.safe_load((DOCUMENTS / "shim.yaml").read_text())
    fields = document["components"]["schemas"]["ContainerConfig"]["properties"]
    for name in ("entrypoint", "command", "stdin", "tty", "init", "network", "aliases", "ports"):
        del fields[name]
    limit = fields["ulimits"]["items"]
    limit["required"].remove("Soft")
    del limit["properties"]["Soft"]
    (folder / "shim.yaml").write_text(yaml.safe_dump(document))
    return folder / "shim.yaml"


def schemathesis(document: str | Path, url: str, *options: str) -> list:
    program = Path(sys.executable).with_name("schemathesis")
    # Everything, with the same examples each time.
    fixed = ["--mode", "all", "--phases", "coverage,fuzzing", "--max-examples", "25", "--seed", "1", "--no-color"]
    return [program, "run", DOCUMENTS / document, "--url", url, *fixed, *options]


def only(paths: list[str]) -> list[str]:
    return [word for path in paths for word in ("--include-path", path)]


def but(paths: list[str]) -> list[str]:
    return [word for path in paths for word in ("--exclude-path", path)]


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """Random tasks ask for folders and keys of this host: so the host is one that is thrown away."""
    with Machine(tmp_path_factory.mktemp("asked") / "machine") as host:
        # As a service manager would: started again when a shutdown has ended it.
        command = ["sh", "-c", 'while :; do "$@"; done', "sh", SHIM, "--shim-home", "/shim", "--runner-binary-path", RUNNER]
        with host.start(*command, log=tmp_path_factory.mktemp("shim") / "log"):
            wait_until(lambda: host.run("curl", "-sf", "http://127.0.0.1:10998/api/healthcheck", check=False).returncode == 0, "the shim")
            yield host


@pytest.mark.parametrize("selection", [but(ENDING + DRAIN), only(DRAIN), only(ENDING) + RESTARTS], ids=["all else", "drain", "shutdown"])
def test_the_shim_keeps_to_its_document(machine, selection, tmp_path):
    done = machine.run(*schemathesis(comparable(tmp_path), "http://127.0.0.1:10998", *selection), check=False)
    assert done.returncode == 0, done.stdout


def test_a_runner_that_holds_keeps_to_its_document(image, tmp_path):
    # Random users and folders are not in the image.
    with RunnerContainer(image, "--hold") as runner:
        runner.wait_ready()
        done = subprocess.run(schemathesis("runner.yaml", runner.url, *only(EXEC), *ANY_DATA), capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("selection", [but(JOB + RAW + EXEC), only(RAW) + ANY_DATA, only(JOB) + ANY_DATA], ids=["before a job", "uploads", "job"])
def test_the_runner_keeps_to_its_document(image, tmp_path, selection):
    with RunnerContainer(image) as runner:
        runner.wait_ready()
        done = subprocess.run(schemathesis("runner.yaml", runner.url, *selection), capture_output=True, text=True, cwd=tmp_path, env={**os.environ})
    assert done.returncode == 0, done.stdout
