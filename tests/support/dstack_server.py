"""A real server of dstack and its CLI, each release in a virtual environment of its own, on a machine of the test's own."""

import json
import subprocess
import sys
from pathlib import Path

from support.machine import CACHE, Machine
from support.processes import RUNNER, SHIM, wait_until

TOKEN = "the-admin-token"
URL = "http://127.0.0.1:3000"

# A server installs its own release's binaries in place of any other version; one that takes itself for a development version
# asks for none (docs/operating.md).
OWN_BINARIES = {"DSTACK_VERSION": "latest", "DSTACK_SERVER_RELOAD_DISABLED": "1"}

ENDED = ("done", "failed", "terminated")


def environment_of(release: str, support: str = "") -> Path:
    """Made once. `support`: for a cloud, "aws"."""
    environment = CACHE / f"venv-server-{release}{'-' * bool(support)}{support}"
    extras = ",".join(["server", support][: 1 + bool(support)])
    if not (environment / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", environment], check=True)
        pip = [environment / "bin/pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, f"dstack[{extras}]=={release}"], check=True)
        (environment / "complete").touch()
    return environment


class Server:
    """Answers once it is made. Its home, with the CLI's configuration, is the machine's /root."""

    def __init__(self, machine: Machine, release: str, folder: Path, fast: int = 1, support: str = "", **variables: str):
        """`fast`: by what its pauses between two looks are divided."""
        self.machine = machine
        environment = environment_of(release, support)
        self.binaries = environment / "bin"
        self.log = folder / f"server-{release}.log"
        settings = {"DSTACK_SERVER_ADMIN_TOKEN": TOKEN, "DSTACK_SERVER_LOG_LEVEL": "DEBUG", "DSTACK_SERVER_LOG_FORMAT": "standard"}
        self.variables = {**settings, "HOME": "/root", **variables}
        self.command = [self.binaries / "dstack"]
        if fast != 1:
            self.command = [self.binaries / "python", Path(__file__).with_name("dstack_server_main.py")]
            # Said before the server's modules are loaded, which its own CLI does later.
            self.variables |= {"DSTACK_TEST_FAST": str(fast), "DSTACK_SERVER_PORT": "3000", "GRPC_ENABLE_FORK_SUPPORT": "false"}
        self._first_start(environment / "first-start.tar")
        self.program = self._start()

    def _first_start(self, kept: Path) -> None:
        """The data base that a server makes at its first start takes it ten seconds, so it is made once for each release."""
        if not kept.exists():
            program = self._start()
            program.stop()
            made = kept.with_suffix(f".{self.machine.name}")
            self.machine.run("tar", "-C", "/root", "-cf", made, ".dstack")
            made.rename(kept)
        self.machine.run("tar", "-C", "/root", "-xf", kept)

    def _start(self):
        program = self.machine.start(*self.command, "server", "-y", log=self.log, environment=self.variables)

        def answers() -> bool:
            assert program.process.poll() is None, self.log.read_text()
            return self.machine.run("curl", "-sf", f"{URL}/healthcheck", check=False).returncode == 0

        try:
            wait_until(answers, "the server", 300, pause=0.2)
        except BaseException:
            program.kill()
            raise
        return program

    def cli(self, *arguments, check: bool = True, folder: Path | str = "/root", limit: float = 120, **more):
        """The CLI as a person types it, its answer."""
        command = ["env", f"--chdir={folder}", self.binaries / "dstack", *arguments]
        variables = {"HOME": "/root", "COLUMNS": "200"}
        done = self.machine.run(*command, check=False, environment=variables, timeout=limit, **more)
        if check and done.returncode != 0:
            raise AssertionError(f"dstack {arguments} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def call(self, path: str, **body):
        """The server's own API."""
        headers = ["-H", "@-", "-H", "Content-Type: application/json"]
        # Not in the arguments, where tests that run at the same time look for it.
        login = f"Authorization: Bearer {TOKEN}\n"
        done = self.machine.run("curl", "-sS", *headers, "-d", json.dumps(body), f"{URL}/api/{path}", input=login)
        return json.loads(done.stdout) if done.stdout else None

    def apply(self, configuration: dict, *arguments, folder: str = "/root/project") -> str:
        """Submits, and does not wait. The run's or fleet's name."""
        name = configuration["name"]
        # JSON is YAML.
        self.machine.write(f"{folder}/{name}.dstack.yml", json.dumps(configuration))
        self.cli("apply", "-y", "-d", "-f", f"{name}.dstack.yml", *arguments, folder=folder)
        return name

    def run_of(self, name: str) -> dict:
        return self.call("project/main/runs/get", run_name=name)

    def job_of(self, name: str) -> dict:
        """The last submission of the run's job, as it ended: status, reason, message, exit status."""
        return self.run_of(name)["jobs"][0]["job_submissions"][-1]

    def wait_for(self, name: str, *statuses: str, limit: float = 300) -> dict:
        """The run, once it has one of these statuses."""

        def reached():
            run = self.run_of(name)
            assert run["status"] not in ENDED or run["status"] in statuses, f"{name}: {run['status']}, {self.job_of(name)}"
            return run["status"] in statuses and run

        return wait_until(reached, f"{name}: {statuses}", limit, pause=0.3)

    def wait_end(self, name: str, limit: float = 300) -> dict:
        self.wait_for(name, *ENDED, limit=limit)
        return self.job_of(name)

    def instance(self, fleet: str) -> dict:
        return self.call("project/main/fleets/get", name=fleet)["instances"][0]

    def wait_idle(self, fleet: str, limit: float = 300) -> dict:
        """The fleet's only instance, once it takes a run. Until then the server may call the fleet full."""

        def idle():
            found = self.instance(fleet)
            assert found["status"] not in ("terminating", "terminated"), found
            return found["status"] == "idle" and found

        return wait_until(idle, "an idle instance", limit, pause=0.3)

    def logs(self, name: str) -> str:
        return self.cli("logs", name).stdout

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_):
        self.program.kill()


class LocalBackend(Server):
    """The last release that has it, with our shim on the port it expects."""

    def __init__(self, machine: Machine, folder: Path):
        super().__init__(machine, "0.20.23", folder, DSTACK_LOCAL_BACKEND_ENABLED="1", **OWN_BINARIES)
        self.shim_log = folder / "shim.log"
        self.shim = machine.start(SHIM, "--runner-binary-path", RUNNER, log=self.shim_log, environment={"HOME": "/root"})
        # In blocks, so that several runs go at once, each in a bridge network.
        self.apply({"type": "fleet", "name": "local", "nodes": 1, "blocks": 4, "backends": ["local"], "resources": ANY})
        self.wait_idle("local")


ANY = {"cpu": "1..", "memory": "1GB..", "disk": "1GB.."}
