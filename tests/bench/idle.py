"""Connections that say nothing, in any number: what they cost the runner, and that it answers all the same."""

import resource
import socket
from collections.abc import Iterator

from bench.context import Bench, descriptors, memory, process_of, threads
from bench.figures import Figure, shown
from support.processes import wait_until


def measure_idle_connections(bench: Bench) -> Iterator[Figure]:
    count = bench.sizes.connections
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, count + 1000)), hard))
    with bench.work() as folder, bench.runner(folder) as container:
        pid = process_of(container.name)
        before = memory(pid)
        connections = [socket.create_connection(("127.0.0.1", container.port)) for _ in range(count)]
        # Those beyond the limit are refused at once, and closed.
        wait_until(lambda: descriptors(pid) > min(count, 1000), "the connections")
        name = f"runner with {count} idle connections"
        yield Figure(f"{name}: memory", "MB", shown()).add(memory(pid), before)
        yield Figure(f"{name}: threads", "", shown()).add(threads(pid))
        yield Figure(f"{name}: descriptors", "", shown()).add(descriptors(pid))
        for connection in connections:
            connection.close()
        wait_until(lambda: container.get("/api/healthcheck").ok, "an answer")
        wait_until(lambda: threads(pid) < 30, "the end of the connections")
        yield Figure(f"{name}: memory when they have gone", "MB", shown()).add(memory(pid), before)
