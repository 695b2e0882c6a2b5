"""zig as a cross compiler: unpacked once, with one set of wrapper scripts for each target."""

import fcntl
import os
import shutil
import zipfile
from pathlib import Path

import origins
from lock import Dependency, cache_dir, progress

# Both programs are static. What the shim carries to open a library of the host (shim/dcgm/helper.c) is linked to glibc, and
# to one old enough for every distribution in use.
TARGETS = {
    "amd64-gnu": "x86_64-linux-gnu.2.28",
    "amd64-musl": "x86_64-linux-musl",
    "arm64-gnu": "aarch64-linux-gnu.2.28",
    "arm64-musl": "aarch64-linux-musl",
}

# What zig would do by itself without -O: trap on undefined behaviour. Dependencies are not our code to judge.
FLAGS = "-fno-sanitize=undefined"


def folder(zig: Dependency) -> Path:
    """Named by version alone: cmake/toolchains/zig.cmake must find it too."""
    return cache_dir() / f"zig-{zig.version}"


def install(zig: Dependency) -> None:
    target = folder(zig)
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (target / "zig").exists():
            unpack(zig, target)
        write_wrappers(target)


def unpack(zig: Dependency, target: Path) -> None:
    _, wheel = origins.fetch(zig)
    progress(f"zig {zig.version}: unpacking")
    scratch = target.with_suffix(".unpacking")
    shutil.rmtree(scratch, ignore_errors=True)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(scratch)
    os.chmod(scratch / "ziglang" / "zig", 0o755)
    shutil.rmtree(target, ignore_errors=True)
    os.rename(scratch / "ziglang", target)
    shutil.rmtree(scratch)


def write_wrappers(target: Path) -> None:
    """CMake and configure scripts want one program without arguments."""
    commands = {"ar": "ar", "ranlib": "ranlib", "ld": "ld.lld"}
    for name, triple in TARGETS.items():
        commands[f"{name}-cc"] = f"cc -target {triple} {FLAGS}"
        commands[f"{name}-c++"] = f"c++ -target {triple} {FLAGS}"
    wrappers = target / "wrappers"
    wrappers.mkdir(exist_ok=True)
    for name, command in commands.items():
        text = f"""#!/bin/sh
ZIG_GLOBAL_CACHE_DIR="${{ZIG_GLOBAL_CACHE_DIR:-{cache_dir()}/zig-objects}}" exec {target}/zig {command} "$@"
"""
        wrapper = wrappers / name
        if not wrapper.exists() or wrapper.read_text() != text:
            scratch = wrapper.with_suffix(".new")
            scratch.write_text(text)
            scratch.chmod(0o755)
            scratch.replace(wrapper)
