"""The pull of an image for a task, beside the engine's own client."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bench.context import IMAGE, Bench, cpu_seconds_now
from bench.figures import Figure, at_most, ratio
from bench.start import call, end_all
from support.hosts import stand_in_runner
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


UNTIL_PULLED = ("pending", "preparing", "pulling")


def pull_for_task(bench: Bench, port: int, task: str, image: str, ask_every: int) -> float:
    """Seconds from the submission until the image is there, which is asked for every so many milliseconds."""
    began = time.perf_counter()
    call(port, "POST", "/api/tasks", {"id": task, "name": "bench", "image_name": image})
    bench.run("until", port, f"/api/tasks/{task}", ask_every, *UNTIL_PULLED)
    took = time.perf_counter() - began
    bench.run("until", port, f"/api/tasks/{task}", 10, "creating")
    assert call(port, "GET", f"/api/tasks/{task}")["status"] == "running"
    return took


def measure_pull(bench: Bench) -> Iterator[Figure]:
    cpu = Figure("shim's CPU while it pulls", "% of a core", at_most(1))
    for layers in (1, 12):
        figure = Figure(f"pull of {bench.sizes.megabytes} MB, {layers} layers", "s", ratio(1.01))
        name = f"{IMAGE.rpartition('/')[0]}/bench-{layers}:1"
        with bench.work() as folder, bench.shim(folder / "home", stand_in_runner(folder / "runner", "exec sleep 1000")) as shim:
            make_image(folder, name, layers, bench.sizes.megabytes)
            for number in range(bench.sizes.slow_pairs):
                ours = pull_for_task(bench, shim.port, f"t{number}", name, 5)
                end_all(shim)
                docker("rmi", name)
                began = time.perf_counter()
                docker("pull", "--quiet", name)
                figure.add(ours, time.perf_counter() - began)
                docker("rmi", name)
                # Once more, asked about as seldom as a server does.
                before = cpu_seconds_now(shim.process.pid)
                took = pull_for_task(bench, shim.port, f"c{number}", name, 200)
                cpu.add((cpu_seconds_now(shim.process.pid) - before) / took * 100)
                end_all(shim)
                docker("rmi", name)
        yield figure
    yield cpu
