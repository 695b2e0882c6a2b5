"""A launcher of CI runners as tests start it: its lines, and what is left of it."""

import http.server
import json
import os
import threading
from pathlib import Path

from support.processes import SHIM, Program, wait_until

FOLDER = Path(__file__).parent
AGENT = Path(os.environ.get("GITLAB_RUNNER", FOLDER / "gitlab-runner"))
# What this process may have of a CI step's own.
FOREIGN = ("RUNNER_", "ACTIONS_", "GITHUB_", "GITLAB_", "CI_", "CML_", "DSTACK_SHIM_HTTP_PORT", "REPO_TOKEN", "repo_token")


class AnyShim:
    """Something that answers where a shim does, for launchers whose jobs run on the host."""

    def __init__(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Launcher(Program):
    def __init__(self, log: Path, *arguments, environment: dict[str, str] | None = None, program: list | None = None):
        unset = {name: "" for name in os.environ if name.startswith(FOREIGN)}
        super().__init__([*(program or [SHIM, "ci-runner"]), *arguments], log, {**unset, **(environment or {})})

    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]

    def statuses(self) -> list[str]:
        return [line["status"] for line in self.lines() if "status" in line]

    def messages(self) -> list[str]:
        return [line["message"] for line in self.lines() if "message" in line]

    def find(self, status: str) -> dict:
        return next(line for line in self.lines() if line.get("status") == status)

    def await_status(self, status: str, count: int = 1, limit: float = 30) -> dict:
        def look():
            if self.process.poll() is not None and self.statuses().count(status) < count:
                raise AssertionError(f"ended with {self.process.returncode} before {status}:\n{self.log()}")
            return self.statuses().count(status) >= count

        wait_until(look, f"{count} × {status} in\n{self.log()}", limit)
        return [line for line in self.lines() if line.get("status") == status][-1]

    def find_reason(self) -> str:
        """Why it ended, well."""
        assert self.await_end() == 0, self.log()
        return self.find("terminated")["reason"]

    def await_end(self, limit: float = 60) -> int:
        return self.process.wait(limit)


def below(pid: int) -> list[int]:
    """The process and all below it, as they are now."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, pending = [], [pid]
    while pending:
        found.append(pending.pop())
        pending += children.get(found[-1], [])
    return found


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Launchers:
    """Launchers in `folder`/work/NAME, which have `usual` as flags unless they are given others; all are killed at the end of a `with`."""

    def __init__(self, folder: Path, repo: str, usual: dict, environment: dict):
        self.folder, self.repo, self.usual, self.environment = folder, repo, usual, environment
        self.started = []

    def start(self, *arguments, repo: str | None = None, name: str | None = "r", environment: dict | None = None, **more) -> Launcher:
        usual = {**self.usual, "--workdir": self.folder / f"work/{name or 'r'}", "--name": name, "--repo": repo or self.repo}
        flags = [word for flag, value in usual.items() if value is not None and flag not in arguments for word in (flag, value)]
        log = self.folder / f"launcher-{len(self.started)}.log"
        launcher = Launcher(log, *flags, *arguments, environment={**self.environment, **(environment or {})}, **more)
        self.started.append(launcher)
        return launcher

    def __enter__(self) -> "Launchers":
        return self

    def __exit__(self, *_):
        for launcher in self.started:
            launcher.kill()
