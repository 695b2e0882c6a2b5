"""A soak of half a minute, and one that has to fail. How long it takes is for scripts/soak to say."""

import os
import platform
import subprocess
import sys

import pytest
from support.processes import ROOT

pytestmark = pytest.mark.release

NAMESPACES = ["unshare", "--mount", "--propagation", "private", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]


def soak(*options: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    return subprocess.run([*NAMESPACES, sys.executable, "-m", "soak", *options], env=environment, capture_output=True, text=True)


@pytest.mark.timeout(600)
def test_a_short_soak_leaves_nothing_behind():
    done = soak("--minutes", "0.5", "--seed", "7")
    assert done.returncode == 0, done.stdout + done.stderr
    # The second round of this seed.
    assert "fault over: shim killed" in done.stdout
    assert done.stdout.endswith("0 problems\n")


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the leak is planted with the registers of x86-64")
def test_a_soak_sees_a_leak_of_one_descriptor_in_a_hundred_tasks():
    done = soak("--minutes", "0.5", "--seed", "5", "--plant-leak")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "a leak was planted" in done.stdout
    assert "1 × descriptor" in done.stdout
