"""The shim as a service: what it tells the service manager and the journal."""

import os
import socket

import pytest
from support.processes import Shim


@pytest.fixture
def manager(tmp_path):
    """A service manager's end of sd_notify."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(30)
        yield listener


def hear(manager: socket.socket, wanted: str) -> list[str]:
    """Everything that is said until `wanted` is."""
    heard = []
    while wanted not in heard:
        heard += manager.recv(4096).decode().split("\n")
    return heard


def test_a_service_manager_hears_of_start_life_and_end(home, manager):
    variables = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "200000"}
    with Shim(home, environment=variables) as shim:
        before = hear(manager, "READY=1")
        assert [line for line in before if line.startswith("STATUS=")][0] == "STATUS=Looking for dstack-runner"
        assert before[-1] == f"STATUS=Listens on 127.0.0.1:{shim.port}"
        # READY is true: it is served at once.
        shim.wait_ready(limit=0)
        for _ in range(2):
            hear(manager, "WATCHDOG=1")
        assert shim.stop() == 0
        hear(manager, "STOPPING=1")


def test_lines_for_the_journal_carry_their_priority_and_no_time_of_their_own(home):
    log = home.parent / f"{home.name}.log"
    log.touch()
    found = os.stat(log)
    with Shim(home, environment={"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}) as shim:
        shim.wait_ready()
        assert f"<6>dstack-shim listens on 127.0.0.1:{shim.port}\n" in shim.log()
        # The file in the home is read by people.
        assert " info dstack-shim listens" in (home / "shim.log").read_text()


def test_lines_for_anything_but_the_journal_carry_no_priority(home):
    with Shim(home, environment={"JOURNAL_STREAM": "8:1"}) as shim:
        shim.wait_ready()
        assert " info dstack-shim listens" in shim.log()
        assert "<6>" not in shim.log()
