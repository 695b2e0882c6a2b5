"""A disk is recorded while tasks live: the shim's home on its second partition, a volume that the shim formats on its first.
Then the disk is made anew as it was at each point, and a shim reads what is there."""

import os
import subprocess
import sys

from support.processes import ROOT

from lab.commands import run
from lab.context import Lab

FLUSHES = int(os.environ.get("DSTACK_LAB_FLUSHES", "1000"))
FIRST_POINT = int(os.environ.get("DSTACK_LAB_FIRST_POINT", "1"))
# Mounts of their own: the home is mounted where the guest had it, and no mount is left.
ALONE = ["unshare", "--mount", "--propagation", "private", sys.executable, "-m"]


def replay(lab: Lab) -> None:
    """The power fails at each of 1,000 flushes (DSTACK_LAB_FLUSHES: how many) of a disk that tasks live on, and between them.
    DSTACK_LAB_FIRST_POINT: the first of these points to look at (1); those before it are passed over."""
    build_engine()
    with lab.check("tasks live on a recorded disk") as notes:
        done = alone("lab.recording", lab.folder, FLUSHES)
        *_, note, first = done.splitlines()
        notes.append(note)
    recover(lab, int(first))


def recover(lab: Lab, first: int) -> None:
    with lab.check("a shim recovers from every point of the record") as notes:
        done = alone("lab.recovery", lab.folder / "recorded.log", lab.folder, first, FIRST_POINT)
        notes.extend(done.splitlines()[-1:])


def build_engine() -> None:
    """The stand-in for Docker, which is a program of the development build."""
    for command in (
        "scripts/build-deps clang common shim runner tests",
        "cmake --preset dev",
        "cmake --build --preset dev --target test_fake_engine_program",
    ):
        run(*command.split(), cwd=ROOT)


def alone(*command) -> str:
    """What it prints, which is shown meanwhile: it takes an hour."""
    lines = []
    with subprocess.Popen(
        [*ALONE, *map(str, command)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout:
            lines.append(line)
            print(f"        {line}", end="", flush=True)
    assert process.returncode == 0, f"{command[0]} exited with {process.returncode}"
    return "".join(lines)
