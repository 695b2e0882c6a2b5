"""More tasks than this machine could run, with an engine that only pretends: what they cost the shim, and how that grows."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.context import PROGRAMS, Bench, cpu_seconds_now, descriptors, memory, threads
from bench.engine import Engine
from bench.figures import Figure, at_most, more, ratio, shown
from bench.start import Connection, wait_for_answer
from support.hosts import stand_in_runner
from support.processes import Shim

IMAGE = "app:1"
AT_A_TIME = 32
# MB, and ms beyond what the engine takes for its list.
MEMORY = {100: 6, 1000: 16}
START = {100: 30, 1000: 200}
LIST = '/containers/json?all=1&filters={"label":["ai.dstack.shim.is-task=true"]}'


@contextmanager
def simulated_engine() -> Iterator[str]:
    """The path of its socket."""
    command = [PROGRAMS.parent / "support/test_fake_engine_program", IMAGE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as engine:
        try:
            yield engine.stdout.readline().strip()
        finally:
            engine.stdin.close()


def run_tasks(connection: Connection, numbers: range) -> float:
    """Submits so many tasks, a few at a time, and waits until they run; seconds."""
    began = time.perf_counter()
    for first in range(numbers.start, numbers.stop, AT_A_TIME):
        batch = range(first, min(first + AT_A_TIME, numbers.stop))
        for number in batch:
            connection.call("POST", "/api/tasks", {"id": f"t{number}", "name": f"bench-{number}", "image_name": IMAGE})
        for number in batch:
            while (info := connection.call("GET", f"/api/tasks/t{number}"))["status"] != "running":
                assert info["status"] != "terminated", info
                time.sleep(0.002)
    return time.perf_counter() - began


def start_of_shim(bench: Bench, shim_with, socket: str, count: int) -> tuple[Figure, list[float]]:
    """And the milliseconds of CPU, which no engine's list is in."""
    cpu = []
    figure = Figure(f"shim's start, {count} tasks, simulated engine", "ms", more(START[count]) if count in START else shown())
    for _ in range(bench.sizes.slow_pairs):
        began = time.perf_counter()
        Engine(socket).call("GET", LIST)
        bare = time.perf_counter() - began
        began = time.perf_counter()
        with shim_with() as shim:
            wait_for_answer(shim.port)
            figure.add((time.perf_counter() - began) * 1000, bare * 1000 if count in START else None)
            cpu.append(cpu_seconds_now(shim.process.pid) * 1000)
    return figure, cpu


def growth(name: str, unit: str, costs: dict[int, list[float]]) -> Iterator[Figure]:
    """Of each step in `costs`, which has as many values for each number of tasks."""
    counts = sorted(costs)
    for few, many in zip(counts, counts[1:], strict=False):
        figure = Figure(f"growth: {name}, {few} to {many} tasks", unit, ratio(12))
        for one, other in zip(costs[many], costs[few], strict=True):
            figure.add(one, other)
        yield figure


def measure_many_tasks(bench: Bench) -> Iterator[Figure]:
    launch: dict[int, list[float]] = {}
    start: dict[int, list[float]] = {}
    with bench.work() as folder, simulated_engine() as socket:
        runner = stand_in_runner(folder / "runner", "exec sleep 1000")

        def shim_with() -> Shim:
            return Shim(folder / "home", runner=runner, environment={"DOCKER_HOST": f"unix://{socket}"})

        done, took = 0, 0.0
        for count in bench.sizes.many:
            with shim_with() as shim:
                shim.wait_ready()
                took += run_tasks(Connection(shim.port), range(done, count))
                launch[count], done = [took], count
                pid = shim.process.pid
                time.sleep(3)  # until it has given memory back
                limit = at_most(MEMORY[count]) if count in MEMORY else shown()
                yield Figure(f"shim's memory, {count} tasks, simulated engine", "MB", limit).add(memory(pid))
                yield Figure(f"shim's threads, {count} tasks, simulated engine", "", shown()).add(threads(pid))
                yield Figure(f"shim's descriptors, {count} tasks, simulated engine", "", shown()).add(descriptors(pid))
                before = cpu_seconds_now(pid)
                time.sleep(bench.sizes.idle)
                used = (cpu_seconds_now(pid) - before) / bench.sizes.idle * 100
                yield Figure(f"shim's CPU, {count} tasks, simulated engine", "% of a core", at_most(0.1)).add(used)
            figure, start[count] = start_of_shim(bench, shim_with, socket, count)
            yield figure
    yield from growth("submit until all run", "s", launch)
    yield from growth("CPU of the shim's start", "ms", start)
