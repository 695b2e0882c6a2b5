"""Brings an archive into the cache, from the first origin that has the right bytes."""

import functools
import hashlib
import os
import re
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
    source = Path(os.environ["DSTACK_DEPS_DIR"]) / archive.file
    if not source.is_file():
        raise Unavailable(f"{source} does not exist")
    shutil.copyfile(source, target)


def from_url(archive: Archive, target: Path) -> None:
    with urllib.request.urlopen(archive.url, timeout=30) as response, open(target, "wb") as file:
        shutil.copyfileobj(response, file)


def from_pypi(archive: Archive, target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run(["python3", "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", folder, archive.pypi])
        move_only_match(Path(folder), "*.whl", target)


def from_crates(archive: Archive, target: Path) -> None:
    """Cargo fetches what a package depends on, so a package is made that depends on this."""
    name, version = archive.crate.split("=")
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder)
        (package / "lib.rs").touch()
        (package / "Cargo.toml").write_text(f"""
[package]
name = "fetch"
version = "0.0.0"
edition = "2021"
[lib]
path = "lib.rs"
[dependencies]
{name} = {{ version = "={version}", default-features = false }}
""")
        run(["cargo", "fetch", "--quiet"], cwd=package, env=os.environ | {"CARGO_HOME": f"{folder}/home"})
        move_only_match(package, f"home/registry/cache/*/{name}-{version}*.crate", target)


def from_debian(archive: Archive, target: Path) -> None:
    """From whichever of Debian's suites has the file, through an apt of our own: the machine's stays as it is."""
    apt = debian_apt()
    stanzas = run(["apt-cache", "showsrc", "--only-source", archive.debian], env=apt).split("\n\n")
    for stanza in stanzas:
        if archive.sha256 in stanza and (version := re.search(r"^Version: (\S+)$", stanza, re.MULTILINE)):
            break
    else:
        raise Unavailable("in no suite any more")
    with tempfile.TemporaryDirectory() as folder:
        package = f"{archive.debian}={version[1]}"
        run(["apt-get", "source", "--quiet", "--download-only", "--tar-only", "--only-source", package], cwd=folder, env=apt)
        move_only_match(Path(folder), "*.orig.tar.*", target)


@functools.cache
def debian_apt() -> dict[str, str]:
    """The environment in which apt knows Debian's sources, from the mirror that the machine itself uses."""
    known = run(["apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)", "Created-By: Packages"]).splitlines()
    mirrors = [line.removeprefix("Debian ") for line in known if line.startswith("Debian ") and "security" not in line]
    mirror = mirrors[0] if mirrors else "http://deb.debian.org/debian"
    root = cache_dir() / "apt"
    for folder in ["etc/apt.conf.d", "etc/preferences.d", "etc/sources.list.d", "state/lists/partial", "cache/archives/partial"]:
        (root / folder).mkdir(parents=True, exist_ok=True)
    # Trusted because the SHA-256 in the lock file decides; the keys of suites newer than the machine are unknown to it.
    suites = ["trixie", "trixie-backports", "forky", "sid"]
    (root / "etc/sources.list").write_text("".join(f"deb-src [trusted=yes] {mirror} {suite} main\n" for suite in suites))
    config = root / "apt.conf"
    config.write_text(f"""
Dir::Etc "{root}/etc";
Dir::State "{root}/state";
Dir::Cache "{root}/cache";
Acquire::Check-Valid-Until "false";
Acquire::Languages "none";
APT::Sandbox::User "";
""")
    environment = os.environ | {"APT_CONFIG": str(config)}
    progress(f"reading Debian's lists of sources from {mirror}")
    run(["apt-get", "update", "--quiet"], env=environment)
    return environment


def run(command: list[str], **options) -> str:
    try:
        return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options).stdout
    except FileNotFoundError:
        raise Unavailable(f"{command[0]} is not installed") from None
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout).strip().splitlines()
        raise Unavailable(f"{command[0]}: {lines[-1] if lines else f'exit status {error.returncode}'}") from None


def move_only_match(folder: Path, pattern: str, target: Path) -> None:
    files = list(folder.glob(pattern))
    if len(files) != 1:
        raise Unavailable(f"{len(files)} files match {pattern}")
    shutil.move(files[0], target)


def origins(archive: Archive) -> list[tuple[str, Callable[[Archive, Path], None]]]:
    """In order of trial."""
    folder = os.environ.get("DSTACK_DEPS_DIR")
    found = []
    if folder and archive.file:
        found.append((folder, from_folder))
    if os.environ.get("DSTACK_OFFLINE", "0") != "0":
        return found
    if archive.url:
        found.append((archive.url, from_url))
    if archive.pypi:
        found.append((f"PyPI, {archive.pypi}", from_pypi))
    if archive.crate:
        found.append((f"crates.io, {archive.crate}", from_crates))
    if archive.debian:
        found.append((f"Debian, {archive.debian}", from_debian))
    return found


def trials(dependency: Dependency) -> list[tuple[Archive, str, Callable[[Archive, Path], None]]]:
    """The folder before the network, whichever archive it has."""
    found = [(archive, name, bring) for archive in dependency.archives for name, bring in origins(archive)]
    return sorted(found, key=lambda trial: trial[2] is not from_folder)


def fetch(dependency: Dependency) -> tuple[Archive, Path]:
    """The archive and its path in the cache; SystemExit with every origin's answer if none has it."""
    store = cache_dir() / "archives"
    for archive in dependency.archives:
        # Only what was checked gets this name, so it need not be hashed again.
        if (cached := store / archive.sha256).is_file():
            return archive, cached

    store.mkdir(parents=True, exist_ok=True)
    answers = []
    for archive, origin, bring in trials(dependency):
        with tempfile.TemporaryDirectory(dir=store) as folder:
            target = Path(folder) / "archive"
            try:
                bring(archive, target)
                if (found := sha256(target)) != archive.sha256:
                    raise Unavailable(f"sha256 is {found}, must be {archive.sha256}")
            except (Unavailable, OSError) as error:
                answers.append(f"  {origin}: {error}")
                continue
            cached = store / archive.sha256
            os.replace(target, cached)
            progress(f"{dependency.name} {dependency.version}: fetched from {origin}")
            return archive, cached
    raise SystemExit("\n".join([f"{dependency.name} {dependency.version} cannot be had:", *answers]))
