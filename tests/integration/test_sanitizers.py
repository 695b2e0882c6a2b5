"""That a report of a sanitizer is seen; for runs with programs that have one."""

import signal

import pytest
from support.processes import Shim
from support.runner_container import RunnerContainer
from support.sanitizers import FOLDER, take_reports

pytestmark = [
    pytest.mark.sanitizers,
    pytest.mark.skipif(FOLDER is None, reason="the programs have no sanitizers; scripts/test --all runs it with some that do"),
]


def test_a_report_about_a_shim_is_seen_also_when_another_shim_has_started(home):
    with Shim(home) as shim:
        shim.wait_ready()
        # A sanitizer reports a crash, whoever caused it.
        shim.signal(signal.SIGSEGV)
        assert shim.wait() != 0
    with Shim(home) as shim:
        shim.wait_ready()
        assert shim.stop() == 0
    assert "Sanitizer" in take_reports()


def test_a_report_about_a_runner_in_a_container_is_seen(image):
    with RunnerContainer(image) as runner:
        runner.wait_ready()
        runner.signal("SEGV")
        assert runner.wait() != 0
    assert "Sanitizer" in take_reports()
