"""The disk of the shim's home has an error, and the kernel makes it read-only."""

import json
import subprocess
from pathlib import Path

import pytest
from conftest import containers_of, remove
from support.hosts import stand_in_runner
from support.processes import SHIM, Shim, wait_until
from support.shim_calls import Calls


class Disk:
    def __init__(self, folder: Path):
        self.image = folder / "disk"
        self.folder = folder / "home"
        self.folder.mkdir()
        with self.image.open("wb") as image:
            image.truncate(32 << 20)
        subprocess.run(["mkfs.ext4", "-q", self.image], check=True)

    def mount(self) -> None:
        subprocess.run(["mount", "-o", "loop,errors=remount-ro", self.image, self.folder], check=True)

    def fail(self) -> None:
        source = subprocess.run(["findmnt", "-no", "SOURCE", self.folder], check=True, capture_output=True, text=True)
        Path("/sys/fs/ext4", Path(source.stdout.strip()).name, "trigger_fs_error").write_text("1")

    def repair(self) -> None:
        wait_until(lambda: subprocess.run(["umount", self.folder], capture_output=True).returncode == 0, "the disk's release")
        # 1: there were errors, which are gone.
        assert subprocess.run(["e2fsck", "-fy", self.image], capture_output=True).returncode in (0, 1)
        self.mount()


@pytest.fixture
def disk(tmp_path):
    disk = Disk(tmp_path)
    disk.mount()
    try:
        yield disk
    finally:
        remove(containers_of(disk.folder))
        subprocess.run(["umount", "--lazy", disk.folder], check=True)


def finding(check: str, shim: Shim) -> dict:
    doctor = [SHIM, "--shim-http-port", str(shim.port), "--shim-home", shim.home, "doctor", "--json"]
    checks = json.loads(subprocess.run(doctor, capture_output=True).stdout)["checks"]
    return next(entry for entry in checks if entry["name"] == check)


def test_a_home_that_turns_read_only_loses_no_task(disk, image, tmp_path):
    runner = stand_in_runner(tmp_path / "runner", "exec sleep 1000")
    home = disk.folder
    with Shim(home, runner=runner) as shim:
        calls = Calls(shim.wait_ready())
        assert finding("home", shim)["verdict"] == "ok"
        stays = calls.run(image)["id"]
        ends = calls.run(image)["id"]
        disk.fail()
        # What cannot be written down is not begun, and says why.
        refused = calls.post("/api/tasks", id="new", name="new", image_name=image)
        assert (refused.status_code, "Read-only file system" in refused.text) == (500, True)
        assert calls.get("/api/tasks/new").status_code == 404
        # What runs is told of, and can be ended.
        assert calls.info(stays)["status"] == "running"
        ended = calls.terminate(ends, termination_reason="aborted_by_user")
        assert (ended.status_code, ended.json()["status"]) == (200, "terminated")
        refused = calls.remove(ends)
        assert (refused.status_code, "Read-only file system" in refused.text) == (500, True)
        seen = finding("home", shim)
        assert seen["verdict"] == "broken" and "read-only" in seen["found"]
        shim.kill()
    # One that starts says why it cannot.
    with Shim(home, runner=runner) as shim:
        assert shim.wait() == 1
        assert "Read-only file system" in shim.log()
    # A repair needs the disk for itself.
    remove(containers_of(home))
    disk.repair()
    with Shim(home, runner=runner) as shim:
        calls = Calls(shim.wait_ready())
        for task in (stays, ends):
            assert calls.wait_for(task, "terminated")["termination_reason"]
            assert calls.remove(task).status_code == 200
        assert calls.run(image)["status"] == "running"
