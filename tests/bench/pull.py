"""The pull of an image for a task, beside the engine's own client."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from bench.context import IMAGE, Bench, cpu_seconds_now
from bench.figures import Figure, at_most, ratio
from bench.start import call, end_all
from support.hosts import stand_in_runner
from support.processes import Shim
from support.runner_container import docker


def make_image(folder: Path, name: str, layers: int, megabytes: int) -> None:
    """Of bytes that do not compress; pushed, and gone from the engine."""
    lines = [f"FROM {IMAGE}"]
    for layer in range(layers):
        (folder / f"part-{layer}").write_bytes(os.urandom(megabytes * 10**6 // layers))
        lines.append(f"COPY part-{layer} /part-{layer}")
    (folder / "Dockerfile").write_text("\n".join(lines) + "\n")
    subprocess.run(["docker", "build", "-q", "-t", name, folder], check=True, capture_output=True, env={**os.environ, "DOCKER_BUILDKIT": "0"})
    docker("push", "--quiet", name)
    docker("rmi", name)


BEFORE_PULLING = ("pending", "preparing")


def submit(port: int, task: str, image: str) -> None:
    call(port, "POST", "/api/tasks", {"id": task, "name": "bench", "image_name": image})


def wait_until_running(bench: Bench, port: int, task: str) -> None:
    bench.run("until", port, f"/api/tasks/{task}", 10, "creating")
    assert call(port, "GET", f"/api/tasks/{task}")["status"] == "running"


def pull_time(bench: Bench, port: int, task: str, image: str) -> float:
    """Seconds from the submission until the image is there."""
    began = time.perf_counter()
    submit(port, task, image)
    bench.run("until", port, f"/api/tasks/{task}", 5, *BEFORE_PULLING, "pulling")
    took = time.perf_counter() - began
    wait_until_running(bench, port, task)
    return took


class PullEnd:
    """Notes when the engine says that a pull has ended, and how much CPU the shim has used by then."""

    def __init__(self, shim: Shim):
        self.shim = shim
        command = ["docker", "events", "--since", str(time.time()), "--filter", "event=pull", "--format", "{{.Action}}"]
        self.events = subprocess.Popen(command, stdout=subprocess.PIPE)
        self.thread = threading.Thread(target=self.wait)
        self.thread.start()

    def wait(self) -> None:
        self.events.stdout.readline()
        self.at, self.cpu = time.perf_counter(), cpu_seconds_now(self.shim.process.pid)
        self.events.kill()
        self.events.communicate()

    def result(self) -> tuple[float, float]:
        self.thread.join()
        return self.at, self.cpu


def pull_cpu(bench: Bench, shim: Shim, task: str, image: str) -> float:
    """Percent of a core from when the task says that it pulls until the image is there, asked about as seldom as a server does."""
    end = PullEnd(shim)
    submit(shim.port, task, image)
    bench.run("until", shim.port, f"/api/tasks/{task}", 1, *BEFORE_PULLING)
    began, before = time.perf_counter(), cpu_seconds_now(shim.process.pid)
    bench.run("until", shim.port, f"/api/tasks/{task}", 200, "pulling")
    # Not when the task has ceased to pull: the creation of its container has begun by then.
    ended, after = end.result()
    wait_until_running(bench, shim.port, task)
    return (after - before) / (ended - began) * 100


def measure_pull(bench: Bench) -> Iterator[Figure]:
    cpu = Figure("shim's CPU while it pulls", "% of a core", at_most(1))
    for layers in (1, 12):
        figure = Figure(f"pull of {bench.sizes.megabytes} MB, {layers} layers", "s", ratio(1.01))
        name = f"{IMAGE.rpartition('/')[0]}/bench-{layers}:1"
        with bench.work() as folder, bench.shim(folder / "home", stand_in_runner(folder / "runner", "exec sleep 1000")) as shim:
            make_image(folder, name, layers, bench.sizes.megabytes)
            for number in range(bench.sizes.slow_pairs):
                ours = pull_time(bench, shim.port, f"t{number}", name)
                end_all(shim)
                docker("rmi", name)
                began = time.perf_counter()
                docker("pull", "--quiet", name)
                figure.add(ours, time.perf_counter() - began)
                docker("rmi", name)
                cpu.add(pull_cpu(bench, shim, f"c{number}", name))
                end_all(shim)
                docker("rmi", name)
        yield figure
    yield cpu
