"""The real OpenSSH client, with nothing of this machine's configuration, agent or known hosts."""

import subprocess
from pathlib import Path

OPTIONS = {
    "StrictHostKeyChecking": "no",
    "UserKnownHostsFile": "/dev/null",
    "GlobalKnownHostsFile": "/dev/null",
    "LogLevel": "ERROR",
    "IdentitiesOnly": "yes",
    "BatchMode": "yes",
    "ExitOnForwardFailure": "yes",
    "ConnectTimeout": "20",
}


def make_key(path: Path, kind: str = "ed25519") -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "test", "-f", path], check=True)
    return path


def public(key: Path) -> str:
    return key.with_name(f"{key.name}.pub").read_text().strip()


class SshClient:
    """Talks to one server, as `user`, with `key`."""

    def __init__(self, port: int, key: Path, user: str = "root", **options: str):
        self.port = port
        self.key = key
        self.user = user
        self.options = {**OPTIONS, **options}

    def as_user(self, user: str) -> "SshClient":
        return SshClient(self.port, self.key, user, **self.options)

    def with_key(self, key: Path) -> "SshClient":
        return SshClient(self.port, key, self.user, **self.options)

    def having(self, **options: str) -> "SshClient":
        return SshClient(self.port, self.key, self.user, **{**self.options, **options})

    def arguments(self) -> list[str]:
        """What ssh, scp and sftp have in common."""
        flags = [flag for name, value in self.options.items() for flag in ("-o", f"{name}={value}")]
        return ["-F", "none", "-i", str(self.key), "-o", f"Port={self.port}", *flags]

    def command(self, *arguments: str) -> list[str]:
        return ["ssh", *self.arguments(), "-o", f"User={self.user}", *arguments]

    def run(self, script: str, *flags: str, **more) -> subprocess.CompletedProcess:
        """A command given to ssh."""
        return call(self.command(*flags, "127.0.0.1", script), **more)

    def text(self, script: str, *flags: str, **more) -> str:
        """The same, which must succeed; what it printed."""
        done = self.run(script, *flags, **more)
        assert done.returncode == 0, done
        return done.stdout

    def login(self, script: str, *flags: str) -> subprocess.CompletedProcess:
        """What is typed at the prompt of a login; the terminal's echo and prompts are in the output."""
        return call(self.command("-tt", *flags, "127.0.0.1"), input=script)

    def sftp(self, *commands: str) -> subprocess.CompletedProcess:
        arguments = ["sftp", "-q", "-b", "-", *self.arguments(), f"{self.user}@127.0.0.1"]
        return call(arguments, input="\n".join(commands) + "\n", limit=600)

    def scp(self, *arguments: str) -> subprocess.CompletedProcess:
        """In the arguments, HOST: stands for the server."""
        return call(["scp", *self.arguments(), *(argument.replace("HOST:", f"{self.user}@127.0.0.1:") for argument in arguments)])

    def start(self, *arguments: str, **more) -> subprocess.Popen:
        return subprocess.Popen(self.command(*arguments), text=True, env=environment(), **more)


def environment(**more: str) -> dict[str, str]:
    return {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/nonexistent", "TERM": "vt220", **more}


def call(arguments: list, input: str = "", limit: float = 60, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(argument) for argument in arguments],
        input=input,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=limit,
        env=environment(**variables),
    )
