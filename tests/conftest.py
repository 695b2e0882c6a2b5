import os
import subprocess
from pathlib import Path

import pytest
from support.processes import Shim

LABEL = "ai.dstack.shim.is-task=true"


@pytest.fixture(scope="session")
def registry() -> str:
    """The registry that scripts/test starts."""
    return os.environ.get("DSTACK_TEST_REGISTRY", "127.0.0.1:5000")


@pytest.fixture(scope="session")
def image(registry) -> str:
    """An image of busybox and nothing else, in the registry."""
    return f"{registry}/busybox:1"


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout


def containers_of(home: Path) -> list[str]:
    """The task containers whose runner folder lies in this home, running or not."""
    names = docker("ps", "-aq", "--filter", f"label={LABEL}").split()
    mounts = "{{range .Mounts}}{{.Source}}\n{{end}}"
    return [name for name in names if f"{home}/runners/" in docker("inspect", "-f", mounts, name)]


@pytest.fixture
def home(tmp_path) -> Path:
    """A shim's home; whatever containers its shims leave behind are removed after the test."""
    path = tmp_path / "home"
    yield path
    for name in containers_of(path):
        subprocess.run(["docker", "rm", "-fv", name], capture_output=True)


@pytest.fixture
def shim(home) -> Shim:
    with Shim(home) as running:
        yield running.wait_ready()
