"""A Docker daemon of the test's own, for tests that restart it or need it set up otherwise."""

import json
import os
import signal
import subprocess
import tempfile
from pathlib import Path

from support.processes import Program, wait_until


class OwnEngine:
    def __init__(self, log_folder: Path, **settings):
        self.log_folder = log_folder
        # The path of a socket has 107 characters at most.
        self.folder = Path(tempfile.mkdtemp(prefix="dstack-engine-"))
        # Remapped users have to get through.
        self.folder.chmod(0o711)
        self.host = f"unix://{self.folder}/docker.sock"
        self.settings = settings
        self.daemon: Program | None = None
        # A bridge of its own: the usual one is the host's Docker's, and "none" would remove that.
        self.bridge = f"dst-{self.folder.name[-8:]}"
        self.prefix: list[str] = []  # of the daemon's command line
        self.hosts: list[str] = []  # that it listens on as well

    def start(self) -> "OwnEngine":
        self.configure()
        self.daemon = Program(
            [*self.prefix, "dockerd", "--config-file", self.folder / "daemon.json", "--host", self.host]
            + [word for host in self.hosts for word in ("--host", host)]
            + ["--data-root", self.folder / "data", "--exec-root", self.folder / "exec"]
            + ["--pidfile", self.folder / "pid", "--bridge", self.bridge, "--iptables=false", "--ip6tables=false"],
            self.log_folder / "own-engine.log",
        )

        def answers():
            assert self.daemon.process.poll() is None, self.daemon.log()
            return self.call("version", check=False).returncode == 0

        wait_until(answers, "the engine's answer", 60)
        return self

    def configure(self, **more) -> None:
        self.settings |= more
        (self.folder / "daemon.json").write_text(json.dumps(self.settings))

    def call(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        return subprocess.run(["docker", "--host", self.host, *arguments], check=check, capture_output=True, text=True)

    def reload(self, **more) -> None:
        """Changes settings of the running daemon."""
        self.configure(**more)
        self.daemon.signal(signal.SIGHUP)
        for name, value in more.items():
            format = {"live-restore": "{{.LiveRestoreEnabled}}"}[name]
            wait_until(lambda: self.call("info", "--format", format).stdout.strip() == str(value).lower(), f"{name} {value}")

    def stop(self) -> None:
        self.daemon.signal(signal.SIGTERM)
        self.daemon.wait(60)

    def kill(self) -> None:
        """With its containerd, which the next one would wait for. What holds the containers' processes lives on."""
        self.daemon.kill()
        (self.folder / "pid").unlink()
        containerd = int((self.folder / "exec/containerd/containerd.pid").read_text())
        os.kill(containerd, signal.SIGKILL)
        (self.folder / "exec/containerd/containerd.pid").unlink()

    def restart(self) -> None:
        self.stop()
        self.start()

    def __enter__(self) -> "OwnEngine":
        # With an address of its own. It would otherwise take the lowest of its ports', another one whenever a container
        # comes or goes, and what containers then send to the old one is lost until they ask again.
        address = ":".join(["02", *(f"{byte:02x}" for byte in os.urandom(5))])
        subprocess.run(["ip", "link", "add", self.bridge, "address", address, "type", "bridge"], check=True)
        subprocess.run(["ip", "address", "add", "198.51.100.1/24", "dev", self.bridge], check=True)
        subprocess.run(["ip", "link", "set", self.bridge, "up"], check=True)
        return self.start()

    def __exit__(self, *_):
        if self.daemon.process.poll() is not None:
            self.start()
        for container in self.call("ps", "--all", "--quiet", check=False).stdout.split():
            self.call("rm", "--force", "--volumes", container, check=False)
        self.stop()
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for point in reversed([mount for mount in mounts if mount.startswith(f"{self.folder}/")]):
            subprocess.run(["umount", point], capture_output=True)
        subprocess.run(["ip", "link", "delete", self.bridge], capture_output=True)
        subprocess.run(["rm", "-rf", "--one-file-system", self.folder], capture_output=True)
