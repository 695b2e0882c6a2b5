"""Images that take a while to make, and are kept."""

import os
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from support.runner_container import docker


def debian_image(*packages: str) -> str:
    """This machine's own distribution at its smallest, with packages of it, from its own mirror; made once on this machine."""
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    suite = release["VERSION_CODENAME"]
    name = f"dstack-test-{release['ID']}:{'-'.join((suite, *packages))}"
    if docker("images", "-q", name).strip():
        return name
    cache = Path(os.environ.get("DSTACK_CACHE_DIR", Path.home() / ".cache/dstack-shim")) / "images"
    kept = cache / f"{'-'.join((release['ID'], suite, *packages))}.tar"
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        mirrors = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(REPO_URI)", f"Codename: {suite}"], check=True, capture_output=True, text=True
        ).stdout.split()
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            root = Path(folder) / "root"
            include = [f"--include={','.join(packages)}"] if packages else []
            subprocess.run(["debootstrap", "--variant=minbase", *include, suite, root, mirrors[0]], check=True, capture_output=True)
            made = Path(folder) / "image.tar"
            subprocess.run(["tar", "-C", root, "--exclude=./dev/*", "--exclude=./var/cache/apt/*", "-cf", made, "."], check=True)
            made.rename(kept)
    docker("import", str(kept), name)
    return name


def image_with(base: str, name: str, programs: list[str], *changes: str) -> str:
    """`base` with programs of this machine and the libraries they need; `changes` as `docker commit --change` has them."""
    files = sorted({file for program in programs for file in (program, *libraries_of(program))})
    container = docker("create", base, "true").strip()
    try:
        if files:
            archive = subprocess.run(["tar", "-chf", "-", "-C", "/", *(file.lstrip("/") for file in files)], check=True, capture_output=True)
            subprocess.run(["docker", "cp", "-", f"{container}:/"], input=archive.stdout, check=True, capture_output=True)
        docker("commit", *(word for change in changes for word in ("--change", change)), container, name)
    finally:
        docker("rm", container)
    return name


@contextmanager
def images_in(registry: str, base: str) -> Iterator[Callable[..., str]]:
    """Makes images with programs of this machine, and pushes them; the engine's copies are gone at the end."""
    docker("pull", base)
    made = []

    def make(name: str, programs: list[str], *changes: str, base: str = base) -> str:
        made.append(image_with(base, f"{registry}/{name}-{uuid.uuid4().hex[:8]}:1", programs, *changes))
        docker("push", made[-1])
        return made[-1]

    yield make
    subprocess.run(["docker", "rmi", "-f", *made], capture_output=True)


def libraries_of(program: str) -> set[str]:
    """Paths, as the dynamic loader finds them; none of a script or a static program."""
    lines = subprocess.run(["ldd", program], capture_output=True, text=True).stdout.splitlines()
    return {word for line in lines for word in line.split() if word.startswith("/")}
