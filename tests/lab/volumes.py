"""Volumes on disks with serial numbers, as AWS shows them."""

import subprocess

from support.processes import wait_until

from lab.calls import PATIENCE, Calls
from lab.guest import Disk, Guest, make_disk
from lab.context import Lab

FOLDER = "/mnt/disks/dstack-volumes"
# A virtio disk's serial has 20 characters at most, as an AWS volume's.
BLANK = "vol-0123456789abcdef0"
OTHER = "vol-0123456789abcdef1"
UNTOUCHED = "vol-0123456789abcdef2"


def serial(volume: str) -> str:
    return volume.replace("-", "", 1)


def volume(name: str, identifier: str, init_fs: bool = True) -> dict:
    return {
        "volumes": [{"backend": "aws", "name": name, "volume_id": identifier, "init_fs": init_fs, "device_name": "/dev/sdz"}],
        "volume_mounts": [{"name": name, "path": "/data"}],
        "network_mode": "bridge",
    }


def volumes(lab: Lab) -> None:
    disks = [Disk(make_disk(lab.folder / identifier, 400), serial(identifier)) for identifier in (BLANK, OTHER, UNTOUCHED)]
    with lab.guest(*disks) as guest:
        lab.install(guest)
        calls = Calls(guest)
        format_once(lab, guest, calls)
        share(lab, guest, calls)
        xfs(lab, guest, calls)
        busy(lab, guest, calls)
        with lab.check("a blank disk without init_fs is refused and stays blank"):
            calls.submit("refused", **volume("untouched", UNTOUCHED, init_fs=False))
            info = wait_until(lambda: (info := calls.info("refused"))["status"] == "terminated" and info, "the refusal", PATIENCE, pause=0.5)
            assert info["termination_reason"] == "executor_error", info
            assert guest.run(f"blkid -p {device(guest, UNTOUCHED)}", check=False).returncode == 2
            calls.end("refused")


def device(guest: Guest, identifier: str) -> str:
    return "/dev/" + guest.text(f"lsblk -ndo NAME,SERIAL | awk '$2 == \"{serial(identifier)}\" {{ print $1 }}'")


def inside(guest: Guest, info: dict, script: str) -> str:
    return guest.text(f"docker exec {info['container_id']} sh -c '{script}'")


def format_once(lab: Lab, guest: Guest, calls: Calls) -> None:
    with lab.check("a blank disk is found by its serial, formatted and mounted where Docker sees it"):
        info = calls.run("first", **volume("data", BLANK))
        inside(guest, info, "echo precious > /data/file")
        assert guest.text(f"cat {FOLDER}/data/file") == "precious"
        assert guest.text(f"findmnt -no SOURCE,FSTYPE {FOLDER}/data").split() == [device(guest, BLANK), "ext4"]
        assert guest.text(f"stat -c %a {FOLDER}/data") == "777"
    with lab.check("terminate answers when the disk is unmounted"):
        wait_until(lambda: calls.has_terminated("first"), "the task's end", PATIENCE, pause=0.5)
        assert guest.run(f"mountpoint -q {FOLDER}/data", check=False).returncode != 0
        calls.end("first")
    with lab.check("the next task finds what is on it"):
        before = guest.text(f"blkid -p -o value -s UUID {device(guest, BLANK)}")
        info = calls.run("second", **volume("data", BLANK))
        assert inside(guest, info, "cat /data/file") == "precious"
        assert guest.text(f"blkid -p -o value -s UUID {device(guest, BLANK)}") == before
        calls.end("second")


def share(lab: Lab, guest: Guest, calls: Calls) -> None:
    with lab.check("two tasks share a volume, and the last one's end unmounts it"):
        calls.run("left", **volume("data", BLANK))
        right = calls.run("right", **volume("data", BLANK))
        calls.end("left")
        assert inside(guest, right, "cat /data/file") == "precious"
        calls.end("right")
        assert guest.run(f"mountpoint -q {FOLDER}/data", check=False).returncode != 0


def xfs(lab: Lab, guest: Guest, calls: Calls) -> None:
    with lab.check("a disk with XFS is mounted as it is"):
        guest.run(f"mkfs.xfs -q {device(guest, OTHER)}")
        info = calls.run("xfs", **volume("other", OTHER))
        assert guest.text(f"findmnt -no FSTYPE {FOLDER}/other") == "xfs"
        inside(guest, info, "echo kept > /data/file")
        calls.end("xfs")


def busy(lab: Lab, guest: Guest, calls: Calls) -> None:
    with lab.check("a volume in use on the host keeps its task, and no longer than that"):
        calls.run("busy", **volume("data", BLANK))
        with guest.start(f"exec 3< {FOLDER}/data/file; echo open; read -r line", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdout.readline().strip() == b"open"
            answer = calls.terminate("busy")
            assert answer.status_code == 500, answer.text
            assert guest.text(f"cat {FOLDER}/data/file") == "precious"
            holder.communicate(b"\n")
        wait_until(lambda: calls.info("busy")["status"] == "terminated", "the task's end", PATIENCE, pause=0.5)
        assert guest.run(f"mountpoint -q {FOLDER}/data", check=False).returncode != 0
        calls.end("busy")
