"""The shim's memory after hundreds of tasks that came and went."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from bench.context import memory
from bench.many import IMAGE, simulated_engine
from bench.start import Connection
from support.hosts import stand_in_runner
from support.processes import ROOT, Shim, wait_until

pytestmark = [
    pytest.mark.release,
    pytest.mark.skipif(
        not (ROOT / "build/dev/tests/support/test_fake_engine_program").exists(), reason="needs the programs of the debug build with tests"
    ),
]

AT_ONCE = 8
LIVES = 400
# MB. It was 2.8 with an allocator that does not find what other threads have freed.
MOST_GROWTH = 1


def live(port: int, number: int) -> None:
    """One task from submit to remove."""
    connection = Connection(port)
    connection.call("POST", "/api/tasks", {"id": f"t{number}", "name": f"task-{number}", "image_name": IMAGE})
    wait_until(lambda: connection.call("GET", f"/api/tasks/t{number}")["status"] == "running", f"task {number} to run", 60)
    connection.call("POST", f"/api/tasks/t{number}/terminate", {"termination_reason": "done", "termination_message": "", "timeout": 0})
    connection.call("POST", f"/api/tasks/t{number}/remove", {})


def least_memory(pid: int) -> float:
    """It gives memory back a moment after its last work."""
    seen = []
    for _ in range(20):
        time.sleep(0.2)
        seen.append(memory(pid))
    return min(seen)


def test_memory_does_not_grow_with_tasks_that_are_gone(tmp_path: Path):
    with simulated_engine() as socket:
        runner = stand_in_runner(tmp_path / "runner", "exec sleep 1000")
        with Shim(tmp_path / "home", runner=runner, environment={"DOCKER_HOST": f"unix://{socket}"}) as shim:
            shim.wait_ready()
            after = []
            with ThreadPoolExecutor(AT_ONCE) as threads:
                for first in (0, LIVES):
                    list(threads.map(lambda number: live(shim.port, number), range(first, first + LIVES)))
                    after.append(least_memory(shim.process.pid))
    assert after[1] - after[0] < MOST_GROWTH, after
