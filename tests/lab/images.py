"""Disk images of Debian for the lab's guests. Each is made by debootstrap once and kept in the cache."""

import hashlib
import inspect
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from support.machine import CACHE

from lab.chroot import is_foreign, run_inside
from lab.commands import run

LAB = CACHE / "lab"
SCRIPT = Path(__file__).with_name("guest.sh")
SOURCES = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("debian*"))]
DEFAULT_MIRROR = "http://deb.debian.org/debian"
DISK_GIB = 12


@dataclass(frozen=True)
class Distribution:
    name: str  # on the lab's command line
    suite: str
    architecture: str  # Debian's and ours: amd64, arm64
    kernel: str  # the package
    docker_from: str | None = None  # another suite, for a newer Docker


DISTRIBUTIONS = {
    distribution.name: distribution
    for distribution in (
        Distribution("debian13", "trixie", "amd64", "linux-image-cloud-amd64"),
        Distribution("debian12", "bookworm", "amd64", "linux-image-cloud-amd64"),
        Distribution("debian13-newer-docker", "trixie", "amd64", "linux-image-cloud-amd64", docker_from="sid"),
        Distribution("debian13-arm64", "trixie", "arm64", "linux-image-cloud-arm64"),
    )
}


@dataclass(frozen=True)
class Image:
    """What a guest boots from. The disk is never written: each guest has an overlay over it."""

    distribution: Distribution
    disk: Path
    kernel: Path
    initramfs: Path
    key: Path  # root's and the ordinary user's, for SSH


def mirror() -> str:
    """The Debian mirror of this machine, or the project's own."""
    for source in SOURCES:
        if not source.is_file():
            continue
        for line in source.read_text().splitlines():
            if line.startswith(("URIs:", "deb ")):
                address = next((part for part in line.split() if part.startswith("http") and "security" not in part), None)
                if address:
                    return address.rstrip("/")
    return DEFAULT_MIRROR


def key() -> Path:
    """The lab's SSH key, made once."""
    path = LAB / "key"
    if not path.exists():
        LAB.mkdir(parents=True, exist_ok=True)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "dstack-shim lab", "-f", path)
    return path


def folder_of(distribution: Distribution) -> Path:
    """Named after all that the image is made by, so that a change makes it anew."""
    recipe = "".join([SCRIPT.read_text(), *map(inspect.getsource, (make, bootstrap, take_docker_from, make_busybox)), key().with_suffix(".pub").read_text()])
    return LAB / f"{distribution.name}-{hashlib.sha256(recipe.encode()).hexdigest()[:8]}"


def image(distribution: Distribution) -> Image:
    folder = folder_of(distribution)
    if not (folder / "complete").exists():
        for outdated in LAB.glob(f"{distribution.name}-????????"):
            shutil.rmtree(outdated)
        make(distribution, folder)
        (folder / "complete").touch()
    return Image(distribution, folder / "disk.qcow2", folder / "vmlinuz", folder / "initrd.img", key())


def make(distribution: Distribution, folder: Path) -> None:
    print(f"-- making an image of {distribution.name} (once)", flush=True)
    root = folder / "root"
    folder.mkdir(parents=True)
    try:
        bootstrap(distribution, root)
        if distribution.docker_from:
            take_docker_from(distribution.docker_from, root / "etc/apt")
        seed = root / "opt/seed"
        seed.mkdir(parents=True)
        shutil.copy(SCRIPT, seed / "guest.sh")
        shutil.copy(key().with_suffix(".pub"), seed / "authorized_keys")
        make_busybox(root, seed / "busybox.tar", distribution)
        run_inside(root, distribution.architecture, "sh", "/opt/seed/guest.sh", distribution.kernel)
        shutil.rmtree(seed)
        for name in ("vmlinuz", "initrd.img"):
            (source,) = (root / "boot").glob(f"{name}-*")
            shutil.copy(source, folder / name)
        raw = folder / "disk.raw"
        with raw.open("wb") as file:
            file.truncate(DISK_GIB << 30)
        run("mkfs.ext4", "-q", "-d", root, raw)
        run("qemu-img", "convert", "-c", "-o", "compression_type=zstd", "-O", "qcow2", raw, folder / "disk.qcow2")
        raw.unlink()
    except BaseException:
        shutil.rmtree(folder)
        raise
    shutil.rmtree(root)


def bootstrap(distribution: Distribution, root: Path) -> None:
    """The least that apt works in; guest.sh installs the rest. The second stage runs the distribution's own programs."""
    options = [f"--arch={distribution.architecture}", "--variant=minbase"]
    if is_foreign(distribution.architecture):
        options.append("--foreign")
    run("debootstrap", *options, distribution.suite, root, mirror())
    if is_foreign(distribution.architecture):
        # As in a container, where no devices can be made: the first stage made them.
        run_inside(root, distribution.architecture, "env", "container=lxc", "/debootstrap/debootstrap", "--second-stage")


def take_docker_from(suite: str, apt: Path) -> None:
    """Everything else stays the distribution's own."""
    (apt / "sources.list.d/docker.list").write_text(f"deb {mirror()} {suite} main\n")
    pins = (("*", 100), ("docker.io docker-cli containerd runc tini-static", 990))
    (apt / "preferences.d/docker").write_text(
        "\n".join(f"Package: {names}\nPin: release n={suite}\nPin-Priority: {priority}\n" for names, priority in pins)
    )


def make_busybox(root: Path, target: Path, distribution: Distribution) -> None:
    """A container's root file system as a tar file: the distribution's own busybox, which is static."""
    tree = root / "opt/busybox"
    (tree / "bin").mkdir(parents=True)
    for name in ("etc", "root", "tmp"):
        (tree / name).mkdir()
    fetch = (
        "apt-get -qq -o Acquire::Check-Valid-Until=false update && cd /opt/busybox && apt-get -qq download busybox-static && "
        "dpkg-deb --fsys-tarfile busybox-static_*.deb | tar -x --wildcards --transform='s,.*/,,' --directory=bin '*bin/busybox' && rm *.deb && "
        "for applet in $(bin/busybox --list); do [ $applet = busybox ] || ln -s busybox bin/$applet; done"
    )
    run_inside(root, distribution.architecture, "sh", "-c", fetch)
    (tree / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (tree / "etc/group").write_text("root:x:0:\n")
    os.chmod(tree / "tmp", 0o1777)
    run("tar", "-C", tree, "--owner=0", "--group=0", "-cf", target, ".")
    shutil.rmtree(tree)
