"""A folder of release binaries for both architectures, as scripts/build --all leaves it."""

import hashlib
from pathlib import Path

from support.processes import ARCHITECTURE, RUNNER, SHIM

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


def write_sums(folder: Path) -> None:
    names = sorted(path.name for path in folder.glob("dstack-*"))
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / "SHA256SUMS").write_text("".join(lines))


def name_here(program: str) -> str:
    return f"{program}-linux-{ARCHITECTURE}"
