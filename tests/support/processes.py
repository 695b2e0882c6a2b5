"""The two programs as tests start them: on free ports, with a home of their own."""

import os
import platform
import signal
import socket
import subprocess
import time
from pathlib import Path

import requests

ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
SHIM = Path(os.environ.get("DSTACK_SHIM_BINARY", ROOT / f"dist/dstack-shim-linux-{ARCHITECTURE}"))
RUNNER = Path(os.environ.get("DSTACK_RUNNER_BINARY", ROOT / f"dist/dstack-runner-linux-{ARCHITECTURE}"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, what: str, limit: float = 30, pause: float = 0.01):
    """Looks again every 10 ms (where looking is cheap) until `condition()` is true; its value."""
    deadline = time.monotonic() + limit
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {limit} s")
        time.sleep(pause)


class Program:
    """A started program with its output in a file. Used as a context manager it is killed at the end."""

    def __init__(self, arguments: list, log: Path, environment: dict[str, str] | None = None):
        self.log_path = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [str(argument) for argument in arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
            )

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def wait(self, limit: float = 30) -> int:
        return self.process.wait(limit)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


class Shim(Program):
    def __init__(self, home: Path, *arguments, port: int | None = None, runner: Path = RUNNER, binary: Path = SHIM, **more):
        self.home = home
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        super().__init__(
            [binary, "--shim-home", home, "--shim-http-port", self.port, "--runner-binary-path", runner, *arguments],
            home.parent / f"{home.name}.log",
            **more,
        )

    def wait_ready(self, limit: float = 30) -> "Shim":
        def answers():
            if self.process.poll() is not None:
                raise AssertionError(f"the shim ended with {self.process.returncode}:\n{self.log()}")
            try:
                return requests.get(f"{self.url}/api/healthcheck", timeout=5).ok
            except requests.ConnectionError:
                return False

        wait_until(answers, "the shim's healthcheck", limit)
        return self

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.wait()


class Runner(Program):
    """A runner outside a container, for what does not need one."""

    def __init__(self, folder: Path, *arguments, port: int | None = None, binary: Path = RUNNER, **more):
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        super().__init__(
            [binary, "start", "--temp-dir", folder, "--http-address", "localhost", "--http-port", self.port]
            + ["--ssh-port", free_port(), *arguments],
            folder.parent / f"{folder.name}.log",
            **more,
        )
