"""A folder of release binaries for both architectures, as scripts/build --all leaves it, and its upload."""

import hashlib
import os
import subprocess
from pathlib import Path

from support.machine import Machine
from support.processes import ARCHITECTURE, ROOT, RUNNER, SHIM

MACHINES = {"amd64": 62, "arm64": 183}


def make_release(folder: Path, sums: bool = True) -> Path:
    """The other architecture's binaries are this one's, with the other machine's number: nothing here runs them."""
    folder.mkdir(parents=True)
    for binary, program in ((SHIM, "dstack-shim"), (RUNNER, "dstack-runner")):
        content = bytearray(binary.read_bytes())
        for architecture, machine in MACHINES.items():
            content[18:20] = machine.to_bytes(2, "little")
            path = folder / f"{program}-linux-{architecture}"
            path.write_bytes(content)
            path.chmod(0o755)
    if sums:
        write_sums(folder)
    return folder


def upload_from(machine: Machine, release: Path, environment: dict[str, str]) -> str:
    """What scripts/upload says that uploads from a test's machine."""
    command = [ROOT / "scripts/upload", "--dist", release]
    # The first time it installs its S3 client, for which that machine has no network.
    subprocess.run([*command, "--dry-run"], check=True, capture_output=True, env={**os.environ, **environment})
    return machine.run(*command, environment=environment).stdout


def as_version(binary: Path, version: str, target: Path) -> Path:
    """The program with another version of as many letters as `latest` has, without another build."""
    content = binary.read_bytes()
    assert len(version) == len("latest")
    position = content.find(b"latest\0")
    while position >= 0:
        target.write_bytes(content[:position] + version.encode() + content[position + len(version) :])
        target.chmod(0o755)
        said = subprocess.run([target, "--version"], capture_output=True, text=True).stdout.split()
        if said[-1:] == [version]:
            return target
        position = content.find(b"latest\0", position + 1)
    raise AssertionError(f"{binary} does not carry its version as a text")


def write_sums(folder: Path) -> None:
    names = sorted(path.name for path in folder.glob("dstack-*"))
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / "SHA256SUMS").write_text("".join(lines))


def name_here(program: str) -> str:
    return f"{program}-linux-{ARCHITECTURE}"
