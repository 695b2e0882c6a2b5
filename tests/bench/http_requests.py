"""Requests to the shim on connections that stay, beside an epoll loop that answers the same bytes."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.context import PROGRAMS, Bench
from bench.figures import Figure, ratio
from support.hosts import stand_in_runner

PATH = "/api/healthcheck"


def answer_of(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return connection.recv(65536)


@contextmanager
def answer_loop(answer: Path) -> Iterator[int]:
    """Its port."""
    with subprocess.Popen([PROGRAMS / "bench_answer_loop", answer], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as loop:
        try:
            yield int(loop.stdout.readline())
        finally:
            loop.stdin.close()


def measure_requests(bench: Bench) -> Iterator[Figure]:
    latency = Figure("a request on a connection that stays", "µs", ratio(1.5))
    rate = Figure("requests on 32 connections", "1/s", ratio(0.8, at_least=True))
    with bench.work() as folder, bench.shim(folder / "home", stand_in_runner(folder / "runner", "exit")) as shim:
        (folder / "answer").write_bytes(answer_of(shim.port))
        with answer_loop(folder / "answer") as bare:
            for _ in range(bench.sizes.pairs):
                ours, theirs = (bench.run("requests", port, PATH, 1, 0.3).split() for port in (shim.port, bare))
                latency.add(int(ours[0]) / 1000, int(theirs[0]) / 1000)
                ours, theirs = (bench.run("requests", port, PATH, 32, 0.5).split() for port in (shim.port, bare))
                rate.add(float(ours[1]), float(theirs[1]))
    yield from (latency, rate)
