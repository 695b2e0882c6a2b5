"""The argument lists and environments of all processes, machines of the test's own included, sampled while something happens."""

import threading
from pathlib import Path

PAUSE = 0.1


class ArgumentLists:
    """Collects those with one of these texts in them, until the end of the `with`. A test must not use such a text itself
    meanwhile."""

    FILE = "cmdline"

    def __init__(self, *secrets: str):
        self.secrets = [secret.encode() for secret in secrets]
        self.found: set[str] = set()
        self.samples = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._end.wait(PAUSE):
            self.samples += 1
            for file in Path("/proc").glob(f"[0-9]*/{self.FILE}"):
                try:
                    text = file.read_bytes()
                except OSError:  # it has ended
                    continue
                if any(secret in text for secret in self.secrets):
                    self.found.add(self.describe(file.parent, text))

    def describe(self, process: Path, text: bytes) -> str:
        return text.replace(b"\0", b" ").decode(errors="replace")

    def __enter__(self) -> "ArgumentLists":
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._end.set()
        self._thread.join()


class Environments(ArgumentLists):
    """The names of the processes with one of these texts in their environment."""

    FILE = "environ"

    def describe(self, process: Path, text: bytes) -> str:
        try:
            return (process / "comm").read_text().strip()
        except OSError:
            return "a process that has ended"
