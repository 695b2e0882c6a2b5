"""Brings an archive into the cache, from the first origin that has the right bytes."""

import hashlib
import os
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path

from lock import Archive, Dependency, cache_dir, progress


class Unavailable(Exception):
    """This origin cannot give the archive; the message says why."""


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def from_folder(archive: Archive, target: Path) -> None:
    folder = os.environ.get("DSTACK_DEPS_DIR")
    if not folder:
        raise Unavailable("DSTACK_DEPS_DIR is not set")
    source = Path(folder) / archive.file
    if not source.is_file():
        raise Unavailable(f"{source} does not exist")
    shutil.copyfile(source, target)


def from_url(archive: Archive, target: Path) -> None:
    with urllib.request.urlopen(archive.url, timeout=30) as response, open(target, "wb") as file:
        shutil.copyfileobj(response, file)


def from_pypi(archive: Archive, target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run(["python3", "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", folder, archive.pypi])
        take_only_file(Path(folder), "*.whl", target)


def run(command: list[str], **options) -> str:
    try:
        return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options).stdout
    except FileNotFoundError:
        raise Unavailable(f"{command[0]} is not installed") from None
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout).strip().splitlines()
        raise Unavailable(f"{command[0]}: {lines[-1] if lines else f'exit status {error.returncode}'}") from None


def take_only_file(folder: Path, pattern: str, target: Path) -> None:
    files = list(folder.glob(pattern))
    if len(files) != 1:
        raise Unavailable(f"{len(files)} files match {pattern}")
    shutil.move(files[0], target)


def origins(archive: Archive) -> list[tuple[str, Callable[[Archive, Path], None]]]:
    found = [("DSTACK_DEPS_DIR", from_folder)]
    if os.environ.get("DSTACK_OFFLINE", "0") != "0":
        return found
    if archive.url:
        found.append((archive.url, from_url))
    if archive.pypi:
        found.append((f"PyPI {archive.pypi}", from_pypi))
    return found


def fetch(dependency: Dependency) -> tuple[Archive, Path]:
    """The archive in the cache, with its path; SystemExit with every origin's answer if none has it."""
    store = cache_dir() / "archives"
    for archive in dependency.archives:
        # Only checked files get this name, so it need not be hashed again.
        cached = store / f"{archive.sha256}-{archive.file}"
        if cached.is_file():
            return archive, cached

    store.mkdir(parents=True, exist_ok=True)
    answers = []
    for archive in dependency.archives:
        for origin, bring in origins(archive):
            with tempfile.TemporaryDirectory(dir=store) as folder:
                target = Path(folder) / "archive"
                try:
                    bring(archive, target)
                    if (found := sha256(target)) != archive.sha256:
                        raise Unavailable(f"sha256 is {found}, must be {archive.sha256}")
                except (Unavailable, OSError) as error:
                    answers.append(f"  {origin}: {error}")
                    continue
                cached = store / f"{archive.sha256}-{archive.file}"
                os.replace(target, cached)
                progress(f"{dependency.name} {dependency.version}: fetched from {origin}")
                return archive, cached
    raise SystemExit("\n".join([f"{dependency.name} {dependency.version} cannot be had:", *answers]))
