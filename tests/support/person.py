"""dstack-shim as a person at the host uses it: a client of a running shim."""

import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import termios

from support.processes import SHIM, wait_until

# Ends when it is interrupted, with a word.
TRAPPING = "trap 'echo caught; exit 0' INT; echo ready; while :; do sleep 0.1; done"


class Client:
    def __init__(self, port: int, image: str = ""):
        self.port = port
        self.image = image

    def command(self, *arguments) -> list[str]:
        return [str(SHIM), "--shim-http-port", str(self.port), *map(str, arguments)]

    def __call__(self, *arguments) -> subprocess.CompletedProcess:
        return subprocess.run(self.command(*arguments), capture_output=True, timeout=120, stdin=subprocess.DEVNULL)

    def text(self, *arguments) -> str:
        ended = self(*arguments)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.decode()

    def detach(self, name: str, script: str, *options) -> str:
        """Starts a job that goes on by itself; its task's id."""
        run = ("run", "--image", self.image, "--name", name, "--detach", *options)
        return self.text(*run, "--", "/bin/sh", "-c", script).strip()

    def list(self) -> dict[str, dict]:
        return {task["name"]: task for task in json.loads(self.text("ps", "--json"))}

    def wait_for_output(self, task: str, text: bytes) -> None:
        wait_until(lambda: text in self("logs", task).stdout, f"{text!r} among the logs")

    def wait_ended(self, name: str) -> dict:
        return wait_until(lambda: (task := self.list()[name])["status"] == "terminated" and task, f"the end of {name}")


def on_terminal(command: list[str], columns: int = 80) -> tuple[int, str]:
    """Runs a command whose stdout and stderr are a terminal; its exit code and what it showed."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other side is closed
                break
            shown += piece
    os.close(ours)
    return process.returncode, shown.decode()


def interrupted_on_terminal(command: list[str], ready: bytes) -> tuple[int, bytes]:
    """Runs a command as a shell would, types Ctrl-C once `ready` is shown; its exit code and what it showed."""
    ours, theirs = pty.openpty()
    # Its session's terminal, so that the kernel knows whom to interrupt.
    own = {"start_new_session": True, "preexec_fn": lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, **own) as process:
        os.close(theirs)
        shown = b""
        typed = False
        while True:
            try:
                shown += os.read(ours, 65536)
            except OSError:  # the other side is closed
                break
            if ready in shown and not typed:
                os.write(ours, b"\x03")
                typed = True
    os.close(ours)
    return process.returncode, shown


class Terminal:
    """A command on a terminal of its own, as a shell starts it: what is typed, what is shown, its size."""

    def __init__(self, command: list[str], rows: int = 24, columns: int = 80, **more):
        self.ours, theirs = pty.openpty()
        self.resize(rows, columns)
        # Its session's terminal, so that the kernel knows whom to signal.
        own = {"start_new_session": True, "preexec_fn": lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)}
        self.before = termios.tcgetattr(theirs)
        self.process = subprocess.Popen(command, **{"stdin": theirs, "stdout": theirs, "stderr": theirs, **own, **more})
        self.theirs = theirs
        self.shown = b""
        self.seen = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        os.write(self.ours, keys)

    def read(self) -> None:
        while select.select([self.ours], [], [], 0.05)[0]:
            self.shown += os.read(self.ours, 65536)

    def expect(self, text: bytes) -> bytes:
        """Waits until `text` is shown after what was expected last; what came before it."""

        def is_shown() -> bool:
            self.read()
            return text in self.shown[self.seen :]

        wait_until(is_shown, f"{text!r} on the terminal, which shows {self.shown[-500:]!r}")
        start = self.seen
        at = self.shown.index(text, start)
        self.seen = at + len(text)
        return self.shown[start:at]

    def wait(self) -> int:
        """Its exit status; the terminal is as it was before."""

        def has_ended() -> bool:
            self.read()
            return self.process.poll() is not None

        wait_until(has_ended, "the end of the command")
        self.read()
        assert termios.tcgetattr(self.theirs) == self.before
        return self.process.returncode
