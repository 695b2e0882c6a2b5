"""Tasks' lives on a disk that qemu records, without a virtual machine: the disk is exported by FUSE, and the shim is this machine's.

    python -m lab.recording FOLDER FLUSHES

Run it in a mount namespace of its own. Writes FOLDER/recorded.log and prints how many flushes made the disk, for lab.recovery.
"""

import subprocess
import sys
from pathlib import Path

import requests
from support.processes import RUNNER, SHIM, free_port, wait_until

from lab.commands import run
from lab.context import IMAGE
from lab.recovery import DISK_MIB, ENVIRONMENT, HOME, HOME_PATH, MIB, VOLUME, Engine, Loop, answers, give_back, task
from lab.write_log import flushes, make_blank


def main() -> int:
    folder, wanted = Path(sys.argv[1]), int(sys.argv[2])
    disk, log, export = make_blank(folder / "recorded", DISK_MIB * MIB), folder / "recorded.log", folder / "export"
    log.touch()
    export.touch()
    node = f"node-name=disk,driver=blklogwrites,file.driver=raw,file.file.driver=file,file.file.filename={disk},log.driver=file,log.filename={log}"
    exported = f"type=fuse,id=export,node-name=disk,mountpoint={export},writable=on"
    daemon = subprocess.Popen(["qemu-storage-daemon", "--blockdev", node, "--export", exported])
    try:
        wait_until(lambda: subprocess.run(["mountpoint", "-q", export]).returncode == 0 or export.stat().st_size > 0, "the export of the disk")
        with Loop(export, VOLUME) as volume, Loop(export, HOME) as home:
            run("mkfs.ext4", "-q", home)
            HOME_PATH.mkdir(parents=True, exist_ok=True)
            run("mount", home, HOME_PATH)
            try:
                run("sync", "-f", HOME_PATH)
                first = flushes(log)
                lives = live(log, first + wanted, volume, folder / "recording.log")
            finally:
                run("umount", HOME_PATH)
    finally:
        daemon.terminate()
        daemon.wait()
    print(f"{lives} tasks, {flushes(log) - first} flushes")
    print(first)
    return 0


def live(log: Path, until: int, volume: str, output: Path) -> int:
    """Tasks one after another, one in four with a volume. How many."""
    engine = Engine()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [SHIM, "--shim-home", HOME_PATH, "--shim-http-port", str(port), "--runner-binary-path", RUNNER]
    with output.open("wb") as lines:
        shim = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=lines, stderr=lines, env={**ENVIRONMENT, "DOCKER_HOST": f"unix://{engine.socket}"}
        )
    lives = 0
    try:
        wait_until(lambda: answers(shim, url), "the shim's healthcheck", 60)
        while flushes(log) < until:
            name = f"task-{lives}"
            volumes = [{"backend": "aws", "name": "data", "volume_id": "vol-none", "init_fs": True, "device_name": volume}] if lives % 4 == 0 else []
            mounts = [{"name": entry["name"], "path": "/data"} for entry in volumes]
            body = {"id": name, "name": name, "image_name": IMAGE, "volumes": volumes, "volume_mounts": mounts}
            answer = requests.post(f"{url}/api/tasks", json=body, timeout=30)
            assert answer.status_code == 200, answer.text
            info = wait_until(lambda: (info := task(url, name))["status"] in ("running", "terminated") and info, f"the start of {name}", 60)
            assert info["status"] == "running", info
            give_back(url, name)
            lives += 1
    finally:
        shim.terminate()
        shim.wait()
        engine.close()
    return lives


if __name__ == "__main__":
    sys.exit(main())
