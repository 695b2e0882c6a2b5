"""Where a dependency comes from for a toolchain, and how it gets there.

Every dependency has a prefix of its own, named by a hash of all that went into it, so that a change rebuilds just what it
concerns, and checkouts, branches and build folders share what they have in common.
"""

import fcntl
import functools
import hashlib
import os
import platform
import resource
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import lock
import origins
import zig
from lock import REPOSITORY, Dependency, cache_dir, progress

RECIPES = REPOSITORY / "cmake" / "recipes"
TOOLCHAINS = REPOSITORY / "cmake" / "toolchains"


def toolchains() -> list[str]:
    return sorted(file.stem for file in TOOLCHAINS.glob("*-*.cmake")) + ["clang"]


@dataclass(frozen=True)
class Installed:
    """The distribution's own package."""

    name: str
    version: str
    origin: str = "installed package"
    prefix: str = "/usr"

    def is_for(self, toolchain: str) -> bool:
        return True

    def is_built(self) -> bool:
        return True

    def build(self) -> None:
        pass


@dataclass(frozen=True)
class Staged:
    """A pinned source, built into a prefix in the cache."""

    dependency: Dependency
    toolchain: str
    needs: list["Staged"]

    @property
    def name(self) -> str:
        return self.dependency.name

    @property
    def version(self) -> str:
        return self.dependency.version

    @property
    def origin(self) -> str:
        return "pinned source"

    @functools.cached_property
    def key(self) -> str:
        parts = [self.version, *(archive.sha256 for archive in self.dependency.archives)]
        parts += [compiler_identity(self.toolchain), *(need.key for need in self.needs)]
        files = [RECIPES / "lib.sh", self.recipe, *sorted((RECIPES / self.name).glob("*")), *toolchain_files(self.toolchain)]
        parts += [file.read_text() for file in files]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]

    @property
    def recipe(self) -> Path:
        return RECIPES / f"{self.name}.sh"

    @property
    def prefix(self) -> Path:
        return cache_dir() / "stage" / self.toolchain / f"{self.name}-{self.version}-{self.key}"

    def is_for(self, toolchain: str) -> bool:
        """Not so for what only a static program of another toolchain needs."""
        return self.dependency.static or self.toolchain == toolchain

    def is_built(self) -> bool:
        return self.prefix.is_dir()

    def build(self) -> None:
        if self.is_built():
            return
        work = cache_dir() / "work" / self.toolchain / self.name
        work.parent.mkdir(parents=True, exist_ok=True)
        with open(work.with_suffix(".lock"), "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not self.is_built():  # by whoever held the lock
                self.build_in(work, file.fileno())

    def build_in(self, work: Path, lock_fd: int) -> None:
        archive, path = origins.fetch(self.dependency)
        progress(f"{self.name} {self.version}: building for {self.toolchain}")
        start = time.monotonic()
        cpu_before = cpu_seconds_of_children()
        shutil.rmtree(work, ignore_errors=True)
        source = work / "source"
        top = unpack(path, source)

        log = work.with_suffix(".log")
        with open(log, "w") as output:
            result = subprocess.run(
                ["bash", "-c", 'source "$1"; source "$2"', "recipe", RECIPES / "lib.sh", self.recipe],
                cwd=work,
                env=os.environ | self.environment(work, top / archive.subfolder),
                # Were this program killed, its compilers would still hold the lock while they write there.
                pass_fds=[lock_fd],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        if result.returncode != 0:
            tail = "".join(log.read_text(errors="replace").splitlines(keepends=True)[-40:])
            raise SystemExit(f"{tail}\n{self.name} {self.version} does not build for {self.toolchain}; all of it: {log}")

        self.prefix.parent.mkdir(parents=True, exist_ok=True)
        os.rename(f"{work}/image{self.prefix}", self.prefix)
        shutil.rmtree(work)
        cpu = cpu_seconds_of_children() - cpu_before
        progress(f"{self.name} {self.version}: built in {time.monotonic() - start:.0f} s ({cpu:.0f} CPU seconds)")

    def environment(self, work: Path, source: Path) -> dict[str, str]:
        """What cmake/recipes/lib.sh promises to a recipe."""
        variables = {
            "RECIPES": str(RECIPES),
            "SOURCE": str(source),
            "WORK": str(work),
            "PREFIX": str(self.prefix),
            "IMAGE": f"{work}/image",
            "TOOLCHAIN": self.toolchain,
            "TOOLCHAIN_FILE": str(TOOLCHAINS / f"{self.toolchain}.cmake"),
            "ROOTS": ";".join(str(need.prefix) for need in self.needs),
            "DSTACK_CACHE_DIR": str(cache_dir()),
        }
        for need in self.needs:
            variables[f"ROOT_{need.name}"] = str(need.prefix)
        if self.toolchain.startswith("zig-"):
            wrappers = zig.folder(lock.read()["zig"]) / "wrappers"
            target = self.toolchain.removeprefix("zig-")
            variables |= {
                "CC": f"{wrappers}/{target}-cc",
                "CXX": f"{wrappers}/{target}-c++",
                "LD": f"{wrappers}/ld",
                "AR": f"{wrappers}/ar",
                "RANLIB": f"{wrappers}/ranlib",
            }
        else:
            variables |= {"CC": "clang-19", "CXX": "clang++-19"}
        return variables


def cpu_seconds_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def unpack(archive: Path, target: Path) -> Path:
    """The folder that the source lies in: most archives hold one folder, a wheel several."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(target)
    else:
        # Python 3.12 asks for a filter, Debian 12's 3.11.2 does not know of any.
        options = {"filter": "tar"} if hasattr(tarfile, "tar_filter") else {}
        with tarfile.open(archive) as tar:
            tar.extractall(target, **options)
    entries = list(target.iterdir())
    return entries[0] if len(entries) == 1 else target


def toolchain_files(toolchain: str) -> list[Path]:
    """The file itself and the one of its family, which it includes."""
    family = TOOLCHAINS / f"{toolchain.split('-')[0]}.cmake"
    return sorted({family, TOOLCHAINS / f"{toolchain}.cmake"})


@functools.cache
def compiler_identity(toolchain: str) -> str:
    if toolchain.startswith("zig-"):
        return lock.read()["zig"].version + repr(zig.TARGETS) + zig.FLAGS
    return subprocess.run(["clang-19", "--version"], check=True, capture_output=True, text=True).stdout


def installed(dependency: Dependency) -> Installed | None:
    if not dependency.system or os.environ.get("DSTACK_SYSTEM_DEPS", "1") == "0":
        return None
    module = dependency.system.split()[0]
    if subprocess.run(["pkg-config", "--exists", dependency.system]).returncode != 0:
        return None
    found = subprocess.run(["pkg-config", "--modversion", module], check=True, capture_output=True, text=True)
    return Installed(dependency.name, found.stdout.strip())


def plan(toolchain: str, wanted: set[str]) -> list[Installed | Staged]:
    """All that is wanted by its own name or linked by a user that is wanted, each after what it needs itself."""
    dependencies = lock.read()
    done: dict[tuple[str, str], Installed | Staged] = {}

    def add(name: str, toolchain: str) -> Installed | Staged:
        dependency = dependencies[name]
        if dependency.static:
            toolchain = static_toolchain(toolchain)
        if (name, toolchain) not in done:
            needs = [add(need, toolchain) for need in dependency.needs]
            # The distribution's libraries are for its own libc: no use to the release binaries.
            item = None if toolchain.startswith("zig-") else installed(dependency)
            done[name, toolchain] = item or Staged(dependency, toolchain, [need for need in needs if isinstance(need, Staged)])
        return done[name, toolchain]

    for dependency in dependencies.values():
        if dependency.libc and not toolchain.endswith(f"-{dependency.libc}"):
            continue
        names = {dependency.name, *dependency.used_by}
        if wanted & names or (not wanted and dependency.used_by):
            add(dependency.name, toolchain)
    return list(done.values())


def static_toolchain(toolchain: str) -> str:
    if toolchain.startswith("zig-"):
        return toolchain
    return {"x86_64": "zig-amd64-musl", "aarch64": "zig-arm64-musl"}[platform.machine()]


def prepare(toolchains: set[str]) -> None:
    """Sees to it that the compilers are there."""
    if any(toolchain.startswith("zig-") for toolchain in toolchains):
        zig.install(lock.read()["zig"])
    if any(toolchain.startswith("clang") for toolchain in toolchains) and not shutil.which("clang++-19"):
        sys.exit("clang++-19 is not installed: run scripts/setup")
