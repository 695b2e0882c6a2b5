"""A machine of the test's own, for what writes to fixed places and fixed ports: the whole file system of this one with an
overlay over it, a network, a process table and a Docker daemon of its own. What is written there is gone afterwards."""

import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path

from support.processes import ROOT, Program, wait_until

CACHE = Path(os.environ.get("DSTACK_CACHE_DIR") or Path.home() / ".cache/dstack-shim")
SCRIPT = Path(__file__).with_name("machine.sh")
JOIN = Path(__file__).with_name("join_cgroups.sh")
CGROUPS = Path("/sys/fs/cgroup")


class Machine:
    """Everything that runs in it ends with it."""

    def __init__(self, folder: Path, *images: str, systemd: bool = False):
        self.folder = folder
        self.systemd = systemd
        self.name = f"dstack-test-{secrets.token_hex(4)}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "disk").mkdir()
        # These may lie on other file systems, which the overlay does not show.
        shared = [ROOT, CACHE, folder, Path(sys.base_prefix)]
        self.log = folder / "machine.log"
        with self.log.open("ab") as output:
            self.outside = subprocess.Popen(
                [*(["sh", JOIN, self.name] if systemd else []), "unshare", *(["--cgroup"] if systemd else []), "--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child=KILL", "--propagation", "private"]
                + ["sh", SCRIPT, "systemd" if systemd else "dockerd", self.name, folder / "disk", *shared],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_until(self._answers, "the machine's Docker daemon", 60)
            for image in images:
                self.load(image)
        except BaseException:
            self.stop()
            raise

    def _answers(self) -> bool:
        if self.outside.poll() is not None:
            raise AssertionError(f"the machine did not start:\n{self.log.read_text()}")
        # Until the new root is in place, the daemon of this machine would answer.
        if self._init() is None or self.run("test", "-e", "/this-machine", check=False).returncode != 0:
            return False
        if self.systemd and self.run("systemctl", "start", "docker", check=False).returncode != 0:
            return False
        return self.run("docker", "version", check=False).returncode == 0

    def _init(self) -> int | None:
        """Process 1 of the machine, as seen from here."""
        children = Path(f"/proc/{self.outside.pid}/task/{self.outside.pid}/children").read_text().split()
        return int(children[0]) if children else None

    def inside(self, *arguments) -> list[str]:
        entered = ["nsenter", "-t", str(self._init()), "--mount", "--root", "--net", "--pid", "--uts", "--ipc"]
        if self.systemd:
            entered.append("--cgroup")
        # What runs inside is a child of nsenter, and ends with it.
        return [*entered, "setpriv", "--pdeathsig", "KILL", "--", "env", "--chdir=/", *map(str, arguments)]

    def run(self, *arguments, check: bool = True, environment: dict[str, str] | None = None, **more) -> subprocess.CompletedProcess:
        done = subprocess.run(
            self.inside(*arguments),
            **{"capture_output": True, "text": True, "env": {**os.environ, **(environment or {})}, **more},
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{arguments} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def start(self, *arguments, log: Path, environment: dict[str, str] | None = None) -> "ProgramInside":
        return ProgramInside(self.inside(*arguments), log, environment)

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        self.run("sh", "-c", 'mkdir -p "$(dirname "$1")" && cat >"$1" && chmod "$2" "$1"', "sh", path, f"{mode:o}", input=text)

    def read(self, path: str) -> str:
        return self.run("cat", path).stdout

    def load(self, image: str) -> None:
        """An image of this machine's daemon, or of a registry that it reaches."""
        if subprocess.run(["docker", "image", "inspect", image], capture_output=True).returncode != 0:
            subprocess.run(["docker", "pull", "--quiet", image], check=True, capture_output=True)
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved:
            self.run("docker", "load", stdin=saved.stdout)

    def stop(self) -> None:
        self.outside.kill()
        self.outside.wait()
        # The daemon's containers are gone with the process table; their cgroups are not.
        for parent in {*CGROUPS.glob(self.name), *CGROUPS.glob(f"*/{self.name}")}:
            wait_until(lambda: self._remove_cgroup(parent), f"the end of what ran in {parent}")

    @staticmethod
    def _remove_cgroup(parent: Path) -> bool:
        try:
            for folder in sorted((path for path in parent.rglob("*") if path.is_dir()), reverse=True):
                folder.rmdir()
            parent.rmdir()
        except FileNotFoundError:
            pass
        except OSError:
            return False
        return True

    def __enter__(self) -> "Machine":
        return self

    def __exit__(self, *_):
        self.stop()


class ProgramInside(Program):
    """Signals go to the program itself, not to what entered the machine for it."""

    def signal(self, number: int) -> None:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        # One that was started a moment ago may not have entered yet.
        wait_until(lambda: self.process.poll() is not None or children.read_text(), "the program inside")
        if self.process.poll() is None:
            for child in children.read_text().split():
                os.kill(int(child), number)

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.wait()
