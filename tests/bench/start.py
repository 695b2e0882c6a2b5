"""From a request to what it asks for: a job's first line, a container, the shim itself."""

import http.client
import json
import shutil
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.context import IMAGE, PROGRAMS, Bench, cpu_seconds_now, descriptors, memory, threads
from bench.engine import Engine
from bench.figures import Figure, at_most, more, ratio, shown
from bench.output import Reader
from support.hosts import stand_in_runner
from support.processes import Shim
from support.runner_container import submission

FIRST_LINE = ["/bench/bench_writer", "bytes", "1", "/result/wrote"]


class Connection:
    """To the shim's or the runner's API, for any number of requests."""

    def __init__(self, port: int):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def call(self, method: str, path: str, body=None) -> dict:
        self.connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        text = answer.read()
        assert answer.status == 200, f"{method} {path}: {text}"
        return json.loads(text) if text else {}


def call(port: int, method: str, path: str, body=None) -> dict:
    return Connection(port).call(method, path, body)


def wait_for_answer(port: int) -> None:
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/api/healthcheck")
            if connection.getresponse().status == 200:
                return
        except (OSError, http.client.HTTPException):
            time.sleep(0.0005)


def wait_until_running(shim: Shim, task: str) -> dict:
    while (info := call(shim.port, "GET", f"/api/tasks/{task}"))["status"] != "running":
        assert info["status"] != "terminated", info
        time.sleep(0.002)  # oftener, and the engine would lack a processor
    return info


def measure_first_line(bench: Bench) -> Iterator[Figure]:
    figure = Figure("/api/run to the first line at a reader", "ms", more(2))
    for _ in range(bench.sizes.pairs):
        with bench.work() as folder:
            spawned = int(bench.run("first_line", PROGRAMS / "bench_writer", "bytes", 1, folder / "wrote")) / 1e6
            with bench.runner(folder) as container:
                container.submit(FIRST_LINE)
                reader = Reader(container.port)
                with socket.create_connection(("127.0.0.1", container.port)) as server:
                    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    began = time.monotonic_ns()
                    server.sendall(b"POST /api/run HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
                    first, _, _ = reader.result()
                figure.add((first - began) / 1e6, spawned)
    yield figure


def first_line_at(port: int) -> None:
    call(port, "POST", "/api/submit", submission(["/bin/sh", "-c", "echo line"]))
    reader = Reader(port)
    call(port, "POST", "/api/run")
    reader.result()


def measure_chain(bench: Bench, network: str) -> Iterator[Figure]:
    """A task's container until its runner answers, and on to its job's first line; the engine's calls alone beside it."""
    ready = Figure(f"submit to the runner's answer, {network} network", "ms", more(5))
    chain = Figure(f"submit to the job's first line, {network} network", "ms", more(8))
    engine, body = Engine(), None
    with bench.work() as folder, bench.shim(folder / "home") as shim:
        for number in range(bench.sizes.pairs + 1):
            task = str(uuid.uuid4())
            began = time.perf_counter()
            call(shim.port, "POST", "/api/tasks", {"id": task, "name": "bench", "image_name": IMAGE, "network_mode": network})
            info = wait_until_running(shim, task)
            port = next((each["host"] for each in info.get("ports") or [] if each["container"] == 10999), 10999)
            wait_for_answer(port)
            ours = time.perf_counter() - began
            first_line_at(port)
            ours_line = time.perf_counter() - began
            if body is None:
                (folder / "bare").mkdir()
                body = engine.body_like(info["container_id"], folder / "bare")
            call(shim.port, "POST", f"/api/tasks/{task}/terminate", {"timeout": 0})
            call(shim.port, "POST", f"/api/tasks/{task}/remove")
            for left in (folder / "bare").iterdir():
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            began = time.perf_counter()
            container = engine.start(body)
            port = engine.port_of(container) or 10999
            wait_for_answer(port)
            bare = time.perf_counter() - began
            first_line_at(port)
            bare_line = time.perf_counter() - began
            engine.remove(container)
            if number:  # the first pair warms up
                ready.add(ours * 1000, bare * 1000)
                chain.add(ours_line * 1000, bare_line * 1000)
    yield from (ready, chain)


def measure_chain_bridge(bench: Bench) -> Iterator[Figure]:
    yield from measure_chain(bench, "bridge")


def measure_chain_host(bench: Bench) -> Iterator[Figure]:
    yield from measure_chain(bench, "host")


def measure_ending(bench: Bench) -> Iterator[Figure]:
    terminate = Figure("terminate of a running task", "ms", more(5))
    remove = Figure("remove of a task", "ms", more(5))
    engine, body = Engine(), None
    with bench.work() as folder, bench.shim(folder / "home", stand_in_runner(folder / "runner", "exec sleep 1000")) as shim:
        for number in range(bench.sizes.pairs):
            call(shim.port, "POST", "/api/tasks", {"id": f"t{number}", "name": "bench", "image_name": IMAGE})
            info = wait_until_running(shim, f"t{number}")
            body = body or engine.body_like(info["container_id"], folder / "bare")
            (folder / "bare").mkdir(exist_ok=True)
            began = time.perf_counter()
            call(shim.port, "POST", f"/api/tasks/t{number}/terminate", {"timeout": 0})
            ended = time.perf_counter()
            call(shim.port, "POST", f"/api/tasks/t{number}/remove")
            removed = time.perf_counter()
            container = engine.start(body)
            bare_began = time.perf_counter()
            engine.kill(container)
            bare_ended = time.perf_counter()
            engine.remove(container)
            bare_removed = time.perf_counter()
            terminate.add((ended - began) * 1000, (bare_ended - bare_began) * 1000)
            remove.add((removed - ended) * 1000, (bare_removed - bare_ended) * 1000)
    yield from (terminate, remove)


def start_all_by_engine(body: dict, count: int, at_a_time: int) -> float:
    local = threading.local()

    def start(_) -> str:
        if not hasattr(local, "engine"):
            local.engine = Engine()
        return local.engine.start(body)

    began = time.perf_counter()
    with ThreadPoolExecutor(at_a_time) as pool:
        containers = list(pool.map(start, range(count)))
    took = time.perf_counter() - began
    for container in containers:
        Engine().remove(container)
    return took


def end_all(shim: Shim) -> None:
    for task in call(shim.port, "GET", "/api/tasks")["tasks"]:
        call(shim.port, "POST", f"/api/tasks/{task['id']}/terminate", {"timeout": 0})
        call(shim.port, "POST", f"/api/tasks/{task['id']}/remove")


def measure_many(bench: Bench) -> Iterator[Figure]:
    """Tasks submitted at once until all run; beside it the engine alone, at the best number of starts at a time."""
    for count in bench.sizes.tasks_at_once:
        yield from many_at_once(bench, count)


def many_at_once(bench: Bench, count: int) -> Iterator[Figure]:
    figure = Figure(f"{count} tasks submitted at once until all run", "s", ratio(1.05))
    with bench.work() as folder, bench.shim(folder / "home", stand_in_runner(folder / "runner", "exec sleep 1000")) as shim:
        (folder / "bare").mkdir()
        call(shim.port, "POST", "/api/tasks", {"id": "first", "name": "bench", "image_name": IMAGE})
        body = Engine().body_like(wait_until_running(shim, "first")["container_id"], folder / "bare")
        end_all(shim)
        choices = [each for each in (1, 2, 4, 8, 16, 32) if each <= count]
        best = min(choices, key=lambda at_a_time: start_all_by_engine(body, count, at_a_time))
        for round_ in range(bench.sizes.slow_pairs):
            connection = Connection(shim.port)
            began = time.perf_counter()
            for number in range(count):
                connection.call("POST", "/api/tasks", {"id": f"{round_}-{number}", "name": f"bench-{number}", "image_name": IMAGE})
            # One by one and seldom: whoever asks takes the engine's processor.
            for number in range(count):
                while (info := connection.call("GET", f"/api/tasks/{round_}-{number}"))["status"] != "running":
                    assert info["status"] != "terminated", info
                    time.sleep(0.02)
            ours = time.perf_counter() - began
            end_all(shim)
            figure.add(ours, start_all_by_engine(body, count, best))
    yield figure
    yield Figure(f"engine's starts at a time beside {count} tasks", "", shown()).add(best)


def measure_running(bench: Bench) -> Iterator[Figure]:
    """What tasks that just run cost the shim, and its start with them."""
    count = bench.sizes.tasks
    with bench.work() as folder:
        runner = stand_in_runner(folder / "runner", "exec sleep 1000")
        with bench.shim(folder / "home", runner) as shim:
            pid = shim.process.pid
            time.sleep(min(bench.sizes.idle, 3))  # until it has given back the memory of its start
            yield Figure("shim's memory, idle", "MB", at_most(5)).add(memory(pid))
            yield Figure("shim's threads, idle", "", shown()).add(threads(pid))
            yield Figure("shim's descriptors, idle", "", shown()).add(descriptors(pid))
            for number in range(count):
                call(shim.port, "POST", "/api/tasks", {"id": f"t{number}", "name": f"bench-{number}", "image_name": IMAGE})
            for number in range(count):
                wait_until_running(shim, f"t{number}")
            time.sleep(min(bench.sizes.idle, 3))  # until threads that wait for work have given up
            yield Figure(f"shim's memory, {count} tasks", "MB", at_most(6)).add(memory(pid))
            yield Figure(f"shim's threads, {count} tasks", "", shown()).add(threads(pid))
            yield Figure(f"shim's descriptors, {count} tasks", "", shown()).add(descriptors(pid))
            before = cpu_seconds_now(pid)
            time.sleep(bench.sizes.idle)
            used = (cpu_seconds_now(pid) - before) / bench.sizes.idle * 100
            yield Figure(f"shim's CPU, {count} tasks running", "% of a core", at_most(0.1)).add(used)
            shim.kill()
        yield start_of_shim(bench, folder / "home", runner, count, 30)
        with bench.shim(folder / "home", runner) as shim:
            end_all(shim)


def start_of_shim(bench: Bench, home: Path, runner: Path, tasks: int, limit: float) -> Figure:
    """From the start of the process to its first answer, without the engine's own list of the containers."""
    figure = Figure(f"shim's start, {tasks} tasks", "ms", more(limit))
    for _ in range(bench.sizes.pairs):
        began = time.perf_counter()
        engine = Engine()
        engine.call("GET", "/_ping")
        engine.call("GET", '/containers/json?all=1&filters={"label":["ai.dstack.shim.is-task=true"]}')
        bare = time.perf_counter() - began
        began = time.perf_counter()
        with Shim(home, runner=runner) as shim:
            wait_for_answer(shim.port)
            figure.add((time.perf_counter() - began) * 1000, bare * 1000)
    return figure


def measure_start_of_shim(bench: Bench) -> Iterator[Figure]:
    with bench.work() as folder:
        yield start_of_shim(bench, folder / "home", stand_in_runner(folder / "runner", "exec sleep 1000"), 0, 8)
