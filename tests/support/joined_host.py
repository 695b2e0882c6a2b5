"""A machine with a real systemd, a server of dstack on it, and what a person types to make it a runner."""

import json
import shutil
import sys
from pathlib import Path

from support.dstack_server import TOKEN, Server
from support.machine import Machine
from support.processes import ARCHITECTURE, ROOT, RUNNER, SHIM
from support.releases import as_version, make_release, name_here

RELEASE = "0.22.5"
FAST = 5
CPU = {"amd64": "x86:1..", "arm64": "arm:1.."}[ARCHITECTURE]


def offer_binaries(folder: Path, version: str = "latest") -> Path:
    """A folder of downloads as the server's release has it, with our programs."""
    binaries = folder / "downloads" / RELEASE / "binaries"
    binaries.mkdir(parents=True)
    for program, binary in (("dstack-shim", SHIM), ("dstack-runner", RUNNER)):
        if version == "latest":
            shutil.copy(binary, binaries / name_here(program))
        else:
            as_version(binary, version, binaries / name_here(program))
    return folder / "downloads"


def serve_binaries(machine: Machine, folder: Path, address: str = "127.0.0.1", version: str = "latest"):
    downloads = offer_binaries(folder, version)
    return machine.start(sys.executable, "-m", "http.server", "8100", "--bind", address, "-d", downloads, log=folder / "web.log")


def start_server(machine: Machine, folder: Path, address: str = "127.0.0.1", **variables: str) -> Server:
    where = f"http://{address}:8100/{{version}}/binaries"
    downloads = {
        "DSTACK_SHIM_DOWNLOAD_URL": f"{where}/dstack-shim-linux-{{arch}}",
        "DSTACK_RUNNER_DOWNLOAD_URL": f"{where}/dstack-runner-linux-{{arch}}",
    }
    return Server(machine, RELEASE, folder, fast=FAST, **downloads, **variables)


class JoinedHost:
    """What somebody does at a host: install, config, start, status, leave."""

    def __init__(self, machine: Machine, folder: Path):
        self.machine = machine
        release = make_release(folder / "release")
        machine.run("sh", ROOT / "scripts/install.sh", "--runner", "--from", release)

    def runner(self, *arguments, check: bool = True, limit: float = 240, **more):
        done = self.machine.run("/usr/local/bin/dstack-runner", *arguments, check=False, environment={"HOME": "/root"}, timeout=limit, **more)
        if check and done.returncode != 0:
            journal = self.machine.run("journalctl", "-u", "dstack-join", "--no-pager", "-n", "60", check=False).stdout
            raise AssertionError(f"dstack-runner {arguments} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}\n{journal}")
        return done

    def configure(self, server: str, token: str = TOKEN):
        return self.runner("config", "--token", "-", "--server", server, input=token + "\n")

    def status(self) -> dict:
        return json.loads(self.runner("status", "--json", check=False).stdout)

    def files(self) -> str:
        """The folders that joining writes to, with the modes and contents of what is in them. Not the users' files: the machine
        sees through to this one's, where other tests make users meanwhile."""
        listing = "cd / && find etc usr/local root/.ssh root/.dstack -xdev \\( -type f -o -type l -o -type d \\) 2>/dev/null | grep -vE '^etc/(passwd|shadow|group|gshadow|subuid|subgid|\\.pwd)' | sort"
        names = self.machine.run("sh", "-c", listing).stdout.splitlines()
        digest = (
            "import hashlib, os, sys\n"
            "for name in sys.stdin.read().splitlines():\n"
            "    path = '/' + name\n"
            "    status = os.lstat(path)\n"
            "    text = hashlib.sha256(open(path, 'rb').read()).hexdigest() if os.path.isfile(path) and not os.path.islink(path) else ''\n"
            "    print(name, oct(status.st_mode), text)\n"
        )
        return self.machine.run("python3", "-c", digest, input="\n".join(names)).stdout


def job(image: str, name: str, *commands: str) -> dict:
    return {
        "type": "task",
        "name": name,
        "image": image,
        "user": "root",
        "shell": "sh",
        "commands": list(commands),
        "resources": {"cpu": CPU, "memory": "0GB..", "disk": "0GB.."},
    }
