"""From /api/run to the first line at a /logs_ws reader, and what an idle runner holds in memory.

    python -m bench.runner_start [IMAGE] [ROUNDS]      in tests/, with the Python of scripts/test
"""

import socket
import statistics
import sys
import time

import websocket
from support.runner_container import RunnerContainer, docker


def resident_kib(container: RunnerContainer) -> int:
    pid = docker("inspect", "-f", "{{.State.Pid}}", container.name).strip()
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def first_line_ms(container: RunnerContainer) -> float:
    container.submit(["/bin/sh", "-c", "echo hello"])
    reader = websocket.create_connection(f"ws://127.0.0.1:{container.port}/logs_ws")
    with socket.create_connection(("127.0.0.1", container.port)) as server:
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        started = time.perf_counter()
        server.sendall(b"POST /api/run HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        assert reader.recv() == b"hello\r\n"
        return (time.perf_counter() - started) * 1000


def main() -> None:
    image = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:5000/busybox:1"
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    times, memory = [], []
    for _ in range(rounds):
        with RunnerContainer(image) as container:
            container.wait_ready()
            memory.append(resident_kib(container))
            times.append(first_line_ms(container))
    print(f"first line after /api/run: median {statistics.median(times):.1f} ms, least {min(times):.1f}, most {max(times):.1f}")
    print(f"idle resident memory: {max(memory)} KiB at most")


if __name__ == "__main__":
    main()
