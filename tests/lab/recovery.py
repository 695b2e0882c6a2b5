"""A recorded disk as it was at each point, and what a shim makes of it.

    python -m lab.recovery LOG FOLDER FIRST [POINT]

FIRST: how many flushes belong to making the disk. POINT: the first point to look at, counted from 1; those before it are passed over.
Run it in a mount namespace of its own. Prints each fault, how far it is after each 100 points, and what was seen.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import requests
from support.processes import ROOT, RUNNER, SHIM, free_port, wait_until

from lab.commands import run
from lab.context import IMAGE
from lab.write_log import power_cuts

MIB = 1 << 20
DISK_MIB = 160
# The partitions, in MiB from the disk's begin, and their sizes: the volume's, the home's.
VOLUME = (1, 64)
HOME = (65, 94)
# The shim's home in the guest and here: containers are known by the folder they mount.
HOME_PATH = Path("/root/.dstack")
ENGINE = ROOT / "build/dev/tests/support/test_fake_engine_program"
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
# Also where nothing points at a fault: a task takes the volume at one of so many points.
VOLUME_TASK_EVERY = 25


class Engine:
    """The stand-in for Docker. It outlives the points; what it holds is removed after each."""

    def __init__(self):
        self.process = subprocess.Popen([ENGINE, IMAGE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.socket = self.process.stdout.readline().strip()

    def close(self) -> None:
        self.process.communicate()

    def call(self, method: str, path: str, body: dict | None = None) -> str:
        arguments = ["curl", "-sS", "--unix-socket", self.socket, "-X", method, f"http://engine{path}"]
        if body is not None:
            arguments += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
        return run(*arguments).stdout

    def make_containers(self) -> None:
        """As Docker has them when the host has booted again: ended."""
        for journal in (HOME_PATH / "tasks").glob("*/task.json"):
            name = journal.parent.name
            mount = {"Type": "bind", "Source": str(HOME_PATH / "runners" / name), "Target": "/tmp/runner"}
            labels = {"ai.dstack.shim.is-task": "true", "ai.dstack.shim.task-id": name.rsplit("-", 1)[0]}
            body = {"Image": IMAGE, "Labels": labels, "Env": [], "HostConfig": {"Mounts": [mount]}}
            identifier = json.loads(self.call("POST", f"/containers/create?name={name}", body))["Id"]
            self.call("POST", f"/containers/{identifier}/start")
            self.call("POST", f"/containers/{identifier}/kill")

    def remove_containers(self) -> list[str]:
        """Which there were."""
        containers = json.loads(self.call("GET", "/containers/json?all=1"))
        for container in containers:
            self.call("DELETE", f"/containers/{container['Id']}")
        return [container["Names"][0] for container in containers]


class Loop:
    """A partition of a disk's file as a block device."""

    def __init__(self, disk: Path, partition: tuple[int, int]):
        begin, size = partition
        self.device = run("losetup", "-f", "--show", "-o", begin * MIB, "--sizelimit", size * MIB, disk).stdout.strip()

    def __enter__(self) -> str:
        return self.device

    def __exit__(self, *_) -> None:
        run("losetup", "-d", self.device)


def identity(device: str) -> str:
    """Of the file system: another one means that it was made again."""
    return subprocess.run(["blkid", "-p", "-o", "value", "-s", "UUID", device], capture_output=True, text=True).stdout.strip()


def is_blank(device: str) -> bool:
    return subprocess.run(["cmp", "-s", "-n", str(VOLUME[1] * MIB), device, "/dev/zero"]).returncode == 0


class Judge:
    def __init__(self, folder: Path):
        self.folder = folder
        self.engine = Engine()
        self.volume_identities: set[str] = set()
        self.tasks_found = 0
        self.volumes_taken = 0
        HOME_PATH.mkdir(parents=True, exist_ok=True)

    def look(self, disk: Path, number: int) -> str:
        """What is wrong with the disk at this point, or nothing."""
        copy = self.folder / "point"
        run("cp", "--sparse=always", disk, copy)
        with Loop(copy, VOLUME) as volume, Loop(copy, HOME) as home:
            self.volume_identities.add(identity(volume))
            self.volume_identities.discard("")
            if len(self.volume_identities) > 1:
                return f"the volume was formatted again: {self.volume_identities}"
            run("mount", home, HOME_PATH)
            try:
                trouble = self.recover(number, volume)
            finally:
                run("umount", HOME_PATH)
            checked = subprocess.run(["e2fsck", "-fn", home], capture_output=True, text=True)
            return trouble or ("" if checked.returncode == 0 else checked.stdout)

    def recover(self, number: int, volume: str) -> str:
        # Docker's own disk may have kept the containers, or not.
        if number % 2:
            self.engine.make_containers()
        port = free_port()
        log = self.folder / "point.log"
        command = [SHIM, "--shim-home", HOME_PATH, "--shim-http-port", str(port), "--runner-binary-path", RUNNER]
        environment = {**ENVIRONMENT, "DOCKER_HOST": f"unix://{self.engine.socket}"}
        with log.open("wb") as output:
            shim = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment)
        try:
            trouble = self.settle(shim, f"http://127.0.0.1:{port}")
            if not trouble and (number % VOLUME_TASK_EVERY == 0 or not identity(volume) and not is_blank(volume)):
                trouble = self.take_volume(f"http://127.0.0.1:{port}", volume)
        except (AssertionError, requests.RequestException) as error:
            trouble = repr(error)
        finally:
            shim.terminate()
            status = shim.wait(60)
        left = [str(path) for name in ("tasks", "runners") for path in (HOME_PATH / name).glob("*")] + self.engine.remove_containers()
        if not trouble and status != 0:
            trouble = f"the shim exited with {status}"
        if not trouble and left:
            trouble = f"left behind: {left}"
        return f"{trouble}\n{log.read_text()}" if trouble else ""

    def settle(self, shim: subprocess.Popen, url: str) -> str:
        """What a server does once the host is back: it terminates and removes every task."""
        wait_until(lambda: answers(shim, url), "the shim's healthcheck", 60)
        for known in requests.get(f"{url}/api/tasks", timeout=30).json()["tasks"]:
            self.tasks_found += 1
            info = ended(url, known["id"])
            # A removal that was cut off is finished by the shim itself.
            if info is not None and not info["termination_reason"]:
                return f"a task without a reason: {info}"
            give_back(url, known["id"])
        return ""

    def take_volume(self, url: str, device: str) -> str:
        """A task mounts the volume: what is there is kept, and only what is blank is formatted."""
        self.volumes_taken += 1
        before = identity(device)
        volumes = [{"backend": "aws", "name": "data", "volume_id": "vol-none", "init_fs": True, "device_name": device}]
        body = {"id": "taker", "name": "taker", "image_name": IMAGE, "volumes": volumes, "volume_mounts": [{"name": "data", "path": "/data"}]}
        answer = requests.post(f"{url}/api/tasks", json=body, timeout=30)
        assert answer.status_code == 200, answer.text
        info = wait_until(lambda: (info := task(url, "taker"))["status"] in ("running", "terminated") and info, "the taker's start", 60, pause=0.1)
        give_back(url, "taker")
        after = identity(device)
        if before and after != before:
            return f"the volume was formatted: {before} before, {after} after"
        # A file system that was cut off in its making may be refused, and is never formatted.
        if info["status"] != "running" and not (info["termination_reason"] == "executor_error" and info["termination_message"]):
            return f"the taker: {info}"
        return ""


def answers(shim: subprocess.Popen, url: str) -> bool:
    assert shim.poll() is None, f"the shim exited with {shim.returncode}"
    try:
        return requests.get(f"{url}/api/healthcheck", timeout=30).ok
    except requests.ConnectionError:
        return False


def task(url: str, identifier: str) -> dict | None:
    """Nothing if there is no such task."""
    answer = requests.get(f"{url}/api/tasks/{identifier}", timeout=30)
    assert answer.status_code in (200, 404), answer.text
    return answer.json() if answer.status_code == 200 else None


def ended(url: str, identifier: str) -> dict | None:
    """The task once it has ended, or nothing if it has been removed."""
    last: dict | None = None

    def has_ended() -> bool:
        nonlocal last
        last = task(url, identifier)
        return last is None or last["status"] == "terminated"

    wait_until(has_ended, "the task's end", 60, pause=0.05)
    return last


def give_back(url: str, identifier: str) -> None:
    for action in ("terminate", "remove"):
        answer = requests.post(f"{url}/api/tasks/{identifier}/{action}", json={"timeout": 0}, timeout=30)
        assert answer.status_code in (200, 404), f"{action}: {answer.status_code} {answer.text}"


def main() -> int:
    log, folder, first = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    begin = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    judge = Judge(folder)
    point = seen = wrong = at_flushes = 0
    started = time.monotonic()
    for flush, disk, where in power_cuts(log, folder / "replayed", DISK_MIB * MIB):
        if flush < first:
            continue
        point += 1
        if point < begin:
            continue
        seen += 1
        at_flushes += where == "after"
        trouble = judge.look(disk, point)
        if trouble:
            wrong += 1
            print(f"flush {flush}, {where}: {trouble}", flush=True)
        if seen % 100 == 0:
            print(f"point {point}: {seen} seen, {at_flushes} of them after a flush, {wrong} faults", flush=True)
    judge.engine.close()
    took = (time.monotonic() - started) / max(seen, 1)
    print(
        f"{seen} points, {at_flushes} of them after a flush, {judge.tasks_found} tasks recovered, {judge.volumes_taken} times the volume taken, "
        f"{wrong} faults, {took:.2f} s each"
    )
    return 1 if wrong or not seen else 0


if __name__ == "__main__":
    sys.exit(main())
