"""What the shim costs beside the plain engine on the same machine in the same run, held against its limits.

    python tests/bench/shim.py [--tasks N]

Needs a Docker engine and an image with a shell in a local registry, as scripts/test provides them. Medians of interleaved
pairs; a limit that is missed makes the exit code 1.
"""

import argparse
import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.hosts import stand_in_runner  # noqa: E402
from support.processes import RUNNER, Shim  # noqa: E402

IMAGE = os.environ.get("DSTACK_TEST_REGISTRY", "127.0.0.1:5000") + "/busybox:1"
PAIRS = 15
failures = []


def report(what: str, value: float, unit: str, limit: float) -> None:
    good = value < limit
    print(f"{'ok  ' if good else 'MISS'} {what}: {value:.2f} {unit} (limit {limit:g})", flush=True)
    if not good:
        failures.append(what)


class Engine:
    """The bare engine, on a connection that stays."""

    def __init__(self, path: str = "/var/run/docker.sock"):
        self.connection = http.client.HTTPConnection("docker")
        self.connection.sock = socket.socket(socket.AF_UNIX)
        self.connection.sock.connect(path)

    def call(self, method: str, path: str, body=None) -> tuple[int, bytes]:
        data = None if body is None else json.dumps(body)
        self.connection.request(method, "/v1.41" + path, data, {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        return answer.status, answer.read()


def wait_for_answer(port: int) -> None:
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/api/healthcheck")
            if connection.getresponse().status == 200:
                return
        except (OSError, http.client.HTTPException):
            time.sleep(0.0005)


def call(shim: Shim, method: str, path: str, body=None) -> dict:
    connection = http.client.HTTPConnection("127.0.0.1", shim.port, timeout=60)
    connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status == 200, text
    return json.loads(text) if text else {}


def create_body(engine: Engine, container: str, folder: Path) -> dict:
    """The same container once more, with a folder of its own."""
    seen = json.loads(engine.call("GET", f"/containers/{container}/json")[1])
    config, host = seen["Config"], seen["HostConfig"]
    body = {key: config[key] for key in ("Image", "User", "Env", "Entrypoint", "Cmd", "ExposedPorts")}
    body["HostConfig"] = {key: host[key] for key in ("Mounts", "NetworkMode", "PortBindings", "LogConfig")}
    body["HostConfig"]["PortBindings"] = {
        port: [{"HostIp": "127.0.0.1", "HostPort": ""}] for port in host["PortBindings"]
    }
    for mount in body["HostConfig"]["Mounts"]:
        if mount["Target"] == "/tmp/runner":
            mount["Source"] = str(folder)
    return body


def start_by_shim(shim: Shim) -> tuple[float, str, str]:
    task = str(uuid.uuid4())
    began = time.perf_counter()
    call(shim, "POST", "/api/tasks", {"id": task, "name": "bench", "image_name": IMAGE, "network_mode": "bridge"})
    while (info := call(shim, "GET", f"/api/tasks/{task}"))["status"] != "running":
        assert info["status"] != "terminated", info
        time.sleep(0.005)  # oftener, and the engine would be short of a processor
    wait_for_answer(next(port["host"] for port in info["ports"] if port["container"] == 10999))
    return time.perf_counter() - began, task, info["container_id"]


def start_by_engine(engine: Engine, body: dict) -> tuple[float, str]:
    began = time.perf_counter()
    status, answer = engine.call("POST", "/containers/create", body)
    assert status == 201, answer
    container = json.loads(answer)["Id"]
    status, answer = engine.call("POST", f"/containers/{container}/start")
    assert status == 204, answer
    ports = json.loads(engine.call("GET", f"/containers/{container}/json")[1])["NetworkSettings"]["Ports"]
    wait_for_answer(int(ports["10999/tcp"][0]["HostPort"]))
    return time.perf_counter() - began, container


def measure_start_of_tasks(folder: Path) -> None:
    engine = Engine()
    shims, engines, body = [], [], None
    with Shim(folder / "home", runner=RUNNER) as shim:
        shim.wait_ready()
        for number in range(PAIRS + 1):
            took, task, container = start_by_shim(shim)
            if body is None:
                (folder / "bare").mkdir()
                body = create_body(engine, container, folder / "bare")
            else:
                shims.append(took)
            call(shim, "POST", f"/api/tasks/{task}/terminate", {"timeout": 0})
            call(shim, "POST", f"/api/tasks/{task}/remove")
            took, container = start_by_engine(engine, body)
            if number:
                engines.append(took)
            engine.call("DELETE", f"/containers/{container}?force=1&v=1")
    difference = statistics.median(a - b for a, b in zip(shims, engines))
    print(f"     submit until the runner answers: {statistics.median(shims) * 1e3:.1f} ms; "
          f"bare engine: {statistics.median(engines) * 1e3:.1f} ms")
    report("submit until the runner answers, more than the bare engine", difference * 1e3, "ms", 20)


def measure_start_of_shim(folder: Path) -> None:
    over = []
    for _ in range(PAIRS):
        began = time.perf_counter()
        assert Engine().call("GET", "/_ping")[0] == 200
        assert Engine().call("GET", '/containers/json?all=1&filters={"label":["ai.dstack.shim.is-task=true"]}')[0] == 200
        engine = time.perf_counter() - began
        began = time.perf_counter()
        with Shim(folder / "start", runner=folder / "runner") as shim:
            wait_for_answer(shim.port)
            over.append(time.perf_counter() - began - engine)
    report("start until the first answer, more than the engine takes", statistics.median(over) * 1e3, "ms", 15)


def resident(shim: Shim) -> float:
    for line in Path(f"/proc/{shim.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


def measure_requests(folder: Path) -> None:
    with Shim(folder / "requests", runner=folder / "runner") as shim:
        shim.wait_ready()
        report("idle resident memory", resident(shim), "MB", 6)
        with socket.create_connection(("127.0.0.1", shim.port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            request = b"GET /api/healthcheck HTTP/1.1\r\nHost: x\r\n\r\n"
            times = []
            for _ in range(5000):
                began = time.perf_counter()
                connection.sendall(request)
                assert connection.recv(65536).startswith(b"HTTP/1.1 200")
                times.append(time.perf_counter() - began)
        report("a keep-alive request", statistics.median(times) * 1e6, "us", 100)


def measure_callers(folder: Path) -> None:
    """What it costs to look a caller up: a connection each, to the path that anybody may call and to one that not."""

    def ask(path: str) -> float:
        began = time.perf_counter()
        with socket.create_connection(("127.0.0.1", shim.port)) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
            return time.perf_counter() - began

    def median() -> float:
        return statistics.median(ask("/api/pull") - ask("/api/healthcheck") for _ in range(1000)) * 1e6

    with Shim(folder / "callers", runner=folder / "runner") as shim:
        shim.wait_ready()
        print(f"     without a task: {median():.1f} us")
        call(shim, "POST", "/api/tasks", {"id": "caller", "name": "bench", "image_name": IMAGE})
        while call(shim, "GET", "/api/tasks/caller")["status"] != "running":
            time.sleep(0.01)
        report("looking a new connection's caller up while a task is in the host's network", median(), "us", 1000)
        call(shim, "POST", "/api/tasks/caller/terminate", {"timeout": 0})
        call(shim, "POST", "/api/tasks/caller/remove")


def measure_many_tasks(folder: Path, count: int) -> None:
    home = folder / "many"
    with Shim(home, runner=folder / "runner") as shim:
        shim.wait_ready()
        before = resident(shim)
        for number in range(count):
            call(shim, "POST", "/api/tasks", {"id": f"t{number}", "name": f"bench-{number}", "image_name": IMAGE})
            # One at a time, so that the engine is not what is measured.
            while call(shim, "GET", f"/api/tasks/t{number}")["status"] != "running":
                time.sleep(0.01)
        report(f"{count} running tasks, more resident memory", resident(shim) - before, "MB", 10)
        shim.kill()
    began = time.perf_counter()
    assert Engine().call("GET", '/containers/json?all=1&filters={"label":["ai.dstack.shim.is-task=true"]}')[0] == 200
    engine = time.perf_counter() - began
    began = time.perf_counter()
    with Shim(home, runner=folder / "runner") as shim:
        wait_for_answer(shim.port)
        took = time.perf_counter() - began
        print(f"     of it the engine's list: {engine * 1e3:.1f} ms")
        report(f"restore of {count} tasks", took, "s", 1)
        tasks = call(shim, "GET", "/api/tasks")["tasks"]
        assert len(tasks) == count and {task["status"] for task in tasks} == {"running"}
        for task in tasks:
            call(shim, "POST", f"/api/tasks/{task['id']}/terminate", {"timeout": 0})
            call(shim, "POST", f"/api/tasks/{task['id']}/remove")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=100, help="how many for memory and restore; 0 leaves these out")
    arguments = parser.parse_args()
    subprocess.run(["docker", "pull", "--quiet", IMAGE], check=True, stdout=subprocess.DEVNULL)
    folder = Path(tempfile.mkdtemp(prefix="dstack-bench-"))
    try:
        stand_in_runner(folder / "runner", "exec sleep 1000")
        measure_requests(folder)
        measure_callers(folder)
        measure_start_of_shim(folder)
        measure_start_of_tasks(folder)
        if arguments.tasks:
            measure_many_tasks(folder, arguments.tasks)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
