"""What is left once every task has been removed: nothing."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import requests
from soak.host import Host

VOLUMES = "/mnt/disks/dstack-volumes"
# Threads that wait for work and pooled connections give up by themselves within this.
SETTLES = 30  # seconds


def descriptors(pid: int) -> Counter:
    """How many of each kind: files by path, all else by what it is."""
    kinds = Counter()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(entry)
        except FileNotFoundError:
            continue
        kinds[re.sub(r":\[\d+\]$", "", target)] += 1
    return kinds


def read(file: Path) -> str:
    """Empty once its thread or process has ended."""
    try:
        return file.read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def threads(pid: int) -> Counter:
    return Counter(name for file in Path(f"/proc/{pid}/task").glob("*/comm") if (name := read(file)))


def children(pid: int) -> Counter:
    found = Counter()
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        found += Counter(name for child in read(file).split() if (name := read(Path(f"/proc/{child}/comm"))))
    return found


def connections(pid: int) -> list[str]:
    """What its established TCP connections are, with who is at the other end: for the report of a leak."""
    lines = subprocess.run(["ss", "-Htnp", "state", "established"], capture_output=True, text=True).stdout.splitlines()
    ports = {line.split()[2] for line in lines if f"pid={pid}," in line}
    return [line for line in lines if line.split()[2] in ports or line.split()[3] in ports]


def memory(pid: int) -> int:
    """Bytes of anonymous memory that are resident."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Anonymous:\s+(\d+)", text, re.MULTILINE)[1]) << 10


def processes_of_containers(host: Host) -> dict[int, str]:
    """By process: the container of this engine that it holds."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_text().split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if "containerd-shim" in command[0] and any(word.startswith(str(host.engine.folder)) for word in command):
            found[int(folder.name)] = command[command.index("-id") + 1] if "-id" in command else "?"
    return found


def end_what_docker_lost(host: Host) -> list[str]:
    """A Docker that is killed while it makes a container may leave a process that it does not know of afterwards."""
    known = host.engine.call("ps", "--all", "--quiet", "--no-trunc").stdout.split()
    lost = {pid: container for pid, container in processes_of_containers(host).items() if container not in known}
    for pid in lost:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return list(lost.values())


class Quiet:
    """Compares a shim that has no task with the first one that had none."""

    def __init__(self, host: Host):
        self.host = host
        self.first: dict[str, Counter] | None = None
        self.took = 0.0
        self.last: list[str] = []

    def of_the_process(self) -> dict[str, Counter]:
        pid = self.host.shim.process.pid
        return {"descriptor": descriptors(pid), "thread": threads(pid), "child": children(pid)}

    def left_in_the_process(self) -> list[str]:
        if not self.first:
            return []
        now = self.of_the_process()
        return [f"{count} × {kind} {name}" for kind in now for name, count in (now[kind] - self.first[kind]).items()]

    def left_on_the_host(self) -> list[str]:
        host = self.host
        found = [f"task {task}" for task in requests.get(f"{host.shim.url}/api/tasks", timeout=20).json()["tasks"]]
        found += [f"container {line}" for line in host.engine.call("ps", "--all", "--format", "{{.Names}} {{.Status}}").stdout.splitlines()]
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        found += [f"mount {point}" for point in mounts if point.startswith(VOLUMES) or point.startswith(f"{host.home}/")]
        found += [f"key {line}" for line in host.user.our_lines()]
        found += [f"folder {path}" for name in ("tasks", "runners") for path in (host.home / name).glob("*")]
        metrics = requests.get(f"{host.shim.url}/metrics", timeout=20).text
        found += [
            line for line in metrics.splitlines() if line.startswith("dstack_shim_gpus") and 'state="taken"' in line and not line.endswith(" 0")
        ]
        found += [f"process {pid} of container {container}" for pid, container in processes_of_containers(host).items()]
        return found

    def check(self) -> list[str]:
        """What is still left after all had time to be given back."""
        began = time.monotonic()
        self.last = []  # what was left a moment before nothing was
        # The host is asked once the process is quiet: a request keeps a thread and a connection of the shim busy.
        while (found := self.left_in_the_process() or self.left_on_the_host()) and time.monotonic() < began + SETTLES:
            self.last = found
            time.sleep(0.2)
        self.took = time.monotonic() - began
        if not found and not self.first:
            self.first = self.settled()
        return found

    def settled(self) -> dict[str, Counter]:
        """Once nothing has changed for some seconds."""
        seen, since = self.of_the_process(), time.monotonic()
        while time.monotonic() - since < 5:
            time.sleep(0.2)
            if (now := self.of_the_process()) != seen:
                seen, since = now, time.monotonic()
        return seen

    def __str__(self) -> str:
        return json.dumps(self.first)
