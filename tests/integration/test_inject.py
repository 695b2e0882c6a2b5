"""System calls of both programs fail, one after the other: no crash, no leak, the error names the cause, and the next task or job runs."""

import re
import subprocess

import pytest
from support.hosts import HostUser
from support.processes import ROOT

INJECT = ROOT / "build/dev/tests/inject/inject"
pytestmark = pytest.mark.skipif(not INJECT.exists(), reason="needs the programs of the debug build with tests, on x86-64")
ROW = re.compile(r"^([A-Z]+(?: \(\w+\))?) +(\d+) +(\d+) +(\d+) +(\d+)  ", re.MULTILINE)
KINDS = ["ENOSPC", "EIO", "EROFS", "EMFILE", "ENOMEM", "EAGAIN (threads)", "EIO (fsync)", "EACCES (rename)"]


@pytest.fixture
def user():
    made = HostUser()
    yield made
    assert made.our_lines() == []
    made.remove()


def check(program: str, *options: str) -> None:
    done = subprocess.run([INJECT, program, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {name: (int(reached), int(failed)) for name, _, _, reached, failed in ROW.findall(done.stdout)}
    assert list(rows) == KINDS, done.stdout
    for name, (reached, failed) in rows.items():
        assert reached == failed, (name, done.stdout)
        # A runner flushes and renames nothing.
        assert reached > 0 or program == "runner", (name, done.stdout)


def test_calls_of_the_shim_that_fail_cost_one_task_at_most(user):
    check("shim", "--every", "7", "--user", user.name)


def test_calls_of_the_runner_that_fail_cost_the_job_at_most():
    check("runner", "--every", "29")


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_every_call_of_the_shim_may_fail(user):
    check("shim", "--user", user.name)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_every_call_of_the_runner_may_fail():
    check("runner")
