import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest
from support.ci.fake_github import FakeGitHub
from support.ci.fake_gitlab import FakeGitLab
from support.processes import Shim
from support.sanitizers import FOLDER as SANITIZER_REPORTS
from support.sanitizers import take_reports

LABEL = "ai.dstack.shim.is-task=true"

# A shell's background job ignores it, and so would every program that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=SANITIZER_REPORTS is not None)
def no_sanitizer_reports_a_fault(tmp_path):
    """In a run with programs that have sanitizers. It comes first, so that what other fixtures started has ended when it looks."""
    yield
    reports = take_reports(tmp_path)
    assert not reports, reports


@pytest.fixture(scope="session", autouse=SANITIZER_REPORTS is not None)
def no_sanitizer_reports_a_fault_at_the_end():
    """Of what the tests of a module shared."""
    yield
    reports = take_reports()
    assert not reports, reports


@pytest.fixture(scope="session")
def registry() -> str:
    """The registry that scripts/test starts."""
    return os.environ.get("DSTACK_TEST_REGISTRY", "127.0.0.1:5000")


@pytest.fixture(scope="session")
def image(registry) -> str:
    """An image of busybox and nothing else (but libraries, where the programs need some), in the registry."""
    return os.environ.get("DSTACK_TEST_IMAGE", f"{registry}/busybox:1")


@pytest.fixture
def gitlab():
    """A strict GitLab; whatever it refused to understand fails the test."""
    fake = FakeGitLab()
    yield fake
    fake.close()
    assert fake.violations == []


@pytest.fixture
def github():
    """A strict GitHub, as above."""
    fake = FakeGitHub()
    yield fake
    fake.close()
    assert fake.violations == []


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout


def task_containers(folder: str) -> list[str]:
    """Those with a mount below this folder, running or not."""
    # One call: between two, a container of somebody else may be gone.
    lines = docker("ps", "--all", "--no-trunc", "--filter", f"label={LABEL}", "--format", "{{.ID}} {{.Mounts}}").splitlines()
    return [line.split()[0] for line in lines if f"{folder}/" in line]


def containers_of(home: Path) -> list[str]:
    """The task containers of this home, with a runner or without, running or not."""
    plain = docker("ps", "--all", "--no-trunc", "--quiet", "--filter", f"label=ai.dstack.shim.home={home}").split()
    return task_containers(f"{home}/runners") + plain


def remove(containers: list[str]) -> None:
    for name in containers:
        subprocess.run(["docker", "rm", "-fv", name], capture_output=True)


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_of_tests_that_were_killed(tmp_path_factory) -> None:
    """The same folders are used again, and a shim takes over what runs in its home."""
    with contextlib.suppress(FileNotFoundError, subprocess.CalledProcessError):  # no Docker, nothing left
        remove(task_containers(f"{tmp_path_factory.getbasetemp()}"))


@pytest.fixture
def home(tmp_path) -> Path:
    """A shim's home; whatever containers its shims leave behind are removed after the test."""
    path = tmp_path / "home"
    yield path
    remove(containers_of(path))


@pytest.fixture
def shim(home) -> Shim:
    with Shim(home) as running:
        yield running.wait_ready()
