"""A runner whose SSH server one logs in to."""

from pathlib import Path

from support.runner_container import RunnerContainer
from support.ssh_client import SshClient, make_key, public


class SshRunner:
    """A runner in a container, and a client that has its key. Used as a context manager, as RunnerContainer is."""

    def __init__(self, folder: Path, image: str, *arguments: str, **more):
        self.key = folder / "key"
        if not self.key.exists():
            make_key(self.key)
        self.container = RunnerContainer(image, "--ssh-authorized-key", public(self.key), *arguments, **more)
        self.ssh = SshClient(self.container.ssh_port, self.key)

    def __enter__(self) -> "SshRunner":
        self.container.wait_ready()
        return self

    def __exit__(self, *_):
        self.container.__exit__()

    def start(self, script: str = "exec sleep 1000000", **spec) -> None:
        """A job that has got to its end or its sleep when this returns."""
        self.container.start(["/bin/sh", "-c", f"{script}"], **spec)

    def file(self, path: str) -> str:
        return self.container.copy_out(path).decode(errors="surrogateescape")
