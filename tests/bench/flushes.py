"""How often the shim waits for the disk in a task's life: each flush is what a power cut must not undo, and takes milliseconds."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.context import IMAGE, Bench
from bench.figures import Figure, shown
from bench.start import call, wait_until_running
from support.hosts import stand_in_runner
from support.processes import wait_until

CALLS = ("fsync", "fdatasync", "syncfs", "sync_file_range")


def traces_all_threads(tracer: int, pid: int) -> bool:
    try:
        return all(f"TracerPid:\t{tracer}\n" in status.read_text() for status in Path(f"/proc/{pid}/task").glob("*/status"))
    except OSError:  # a thread that has just ended
        return False


@contextmanager
def traced(pid: int, output: Path) -> Iterator[None]:
    """Writes each call that flushes, of all threads of the process, to `output`."""
    calls = ",".join(CALLS)
    command = ["strace", "--follow-forks", "--quiet=attach", "-e", f"trace={calls}", "-e", "signal=none", "-o", output, "-p", str(pid)]
    with subprocess.Popen(command) as tracer:
        try:
            wait_until(lambda: traces_all_threads(tracer.pid, pid), "strace")
            yield
        finally:
            tracer.terminate()


def count_flushes(trace: str) -> int:
    return len(re.findall(rf"\b(?:{'|'.join(CALLS)})\(", trace))


def measure_flushes(bench: Bench) -> Iterator[Figure]:
    with bench.work() as folder, bench.shim(folder / "home", stand_in_runner(folder / "runner", "exec sleep 1000")) as shim:
        steps = {
            "submitted, until it runs": lambda: (
                call(shim.port, "POST", "/api/tasks", {"id": "task", "name": "bench", "image_name": IMAGE}),
                wait_until_running(shim, "task"),
            ),
            "terminated": lambda: call(shim.port, "POST", "/api/tasks/task/terminate", {"timeout": 0}),
            "removed": lambda: call(shim.port, "POST", "/api/tasks/task/remove"),
        }
        for name, step in steps.items():
            trace = folder / "trace"
            with traced(shim.process.pid, trace):
                step()
            yield Figure(f"flushes of a task as it is {name}", "", shown()).add(count_flushes(trace.read_text()))
