"""The reader of qemu's write logs, with logs that qemu makes."""

import subprocess
from pathlib import Path

import pytest
from support.processes import ROOT

from lab.write_log import Replay, make_blank, power_cuts, read_log

pytestmark = pytest.mark.long

MIB = 1 << 20


@pytest.fixture
def recorded(tmp_path) -> tuple[Path, Path]:
    """A disk of 4 MiB and the log of what was done to it."""
    if subprocess.run([ROOT / "scripts/setup", "lab"]).returncode != 0:
        pytest.skip("qemu is not installed, and cannot be")
    disk, log = tmp_path / "disk", tmp_path / "log"
    disk.write_bytes(bytes(4 * MIB))
    log.touch()
    options = f"driver=blklogwrites,file.driver=raw,file.file.driver=file,file.file.filename={disk},log.driver=file,log.filename={log}"
    commands = [
        "write -P 1 0 4k",
        "write -P 2 1M 64k",
        "flush",
        "write -P 3 512 512",
        "discard 1M 4k",
        "write -f -P 4 2M 4k",
        "write -z 0 512",
        "flush",
    ]
    subprocess.run(
        ["qemu-io", "--image-opts", options, *[part for command in commands for part in ("-c", command)]], check=True, stdout=subprocess.DEVNULL
    )
    return disk, log


def test_all_requests_make_the_disk_as_it_is(recorded, tmp_path):
    disk, log = recorded
    with Replay(log, make_blank(tmp_path / "replayed", 4 * MIB)) as replay:
        for request in read_log(log):
            replay.apply(request)
    assert (tmp_path / "replayed").read_bytes() == disk.read_bytes()


def test_the_requests_up_to_a_flush_make_the_disk_as_it_was(recorded, tmp_path):
    _, log = recorded
    cuts = power_cuts(log, tmp_path / "replayed", 4 * MIB)
    number, disk, where = next(cut for cut in cuts if cut[2] == "after")
    assert number == 1
    wanted = bytearray(4 * MIB)
    wanted[:4096] = b"\1" * 4096
    wanted[MIB : MIB + 65536] = b"\2" * 65536
    assert disk.read_bytes() == wanted
