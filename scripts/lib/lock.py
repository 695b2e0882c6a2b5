"""The lock file cmake/dependencies.toml, and where the cache lies."""

import os
import platform
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def cache_dir() -> Path:
    return Path(os.environ.get("DSTACK_CACHE_DIR") or Path.home() / ".cache" / "dstack-shim")


def progress(text: str) -> None:
    """Progress goes to stderr: stdout belongs to what a script is asked for."""
    print(f"-- {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Archive:
    sha256: str
    file: str = ""
    url: str = ""
    debian: str = ""
    pypi: str = ""
    crate: str = ""
    subfolder: str = ""
    machine: str = ""


@dataclass(frozen=True)
class Dependency:
    name: str
    version: str
    licence: str
    used_by: list[str]
    archives: list[Archive]
    notices: list[str] = field(default_factory=list)
    needs: list[str] = field(default_factory=list)
    system: str = ""
    libc: str = ""
    static: bool = False


def read() -> dict[str, Dependency]:
    with open(REPOSITORY / "cmake" / "dependencies.toml", "rb") as file:
        tables = tomllib.load(file)
    dependencies = {}
    for name, table in tables.items():
        archives = [Archive(**archive) for archive in table.pop("archive")]
        # A program (zig) has an archive for each kind of machine that runs it; a source has none of that kind.
        archives = [archive for archive in archives if archive.machine in ("", platform.machine())]
        dependencies[name] = Dependency(name=name, archives=archives, **table)
    return dependencies
