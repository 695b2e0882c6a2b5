"""What a scenario has at hand: guests, our programs in them, and a report to write checks into."""

import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

from support.processes import ROOT
from support.releases import write_sums

from lab.guest import Disk, Guest
from lab.images import Image
from lab.report import Report

IMAGE = "lab/busybox:1"


class Lab:
    def __init__(self, image: Image, accelerator: str, folder: Path, report: Report, earlier: Path | None = None):
        """`earlier`: a folder with the programs that an upgrade begins with, as scripts/build names them."""
        self.image = image
        self.accelerator = accelerator
        self.folder = folder
        self.report = report
        self.check = report.check
        self.architecture = image.distribution.architecture
        self.binaries = self.binaries_in(ROOT / "dist")
        if not all(binary.exists() for binary in self.binaries):
            subprocess.run([ROOT / "scripts/build", "--arch", self.architecture], check=True)
        self.earlier = self.binaries_in(earlier) if earlier else self.binaries

    def binaries_in(self, folder: Path) -> list[Path]:
        return [folder / f"{program}-linux-{self.architecture}" for program in ("dstack-shim", "dstack-runner")]

    @contextmanager
    def guest(self, *disks: Disk, **more):
        """Booted, with the image of jobs in its Docker."""
        guest = Guest(self.image, self.folder, self.accelerator, disks, **more)
        try:
            with self.check(f"boots with {self.accelerator}") as notes:
                notes.append(f"SSH after {guest.boot():.0f} s")
                kernel, systemd = guest.text("uname -r"), guest.text("systemctl --version | head -n 1").split()[1]
                docker = guest.text("docker version --format '{{.Server.Version}}'")
                notes.append(f"Linux {kernel}, systemd {systemd}, Docker {docker}")
            guest.run(f"docker import --change 'ENV PATH=/bin' /opt/lab/busybox.tar {IMAGE}")
            yield guest
        finally:
            guest.close()

    def release(self) -> Path:
        """A folder as a release's tarball unpacks to: the binaries and install.sh."""
        folder = self.folder / "release"
        if not folder.exists():
            folder.mkdir()
            for binary in self.binaries:
                shutil.copy(binary, folder)
            complete_release(folder)
        return folder

    def install(self, guest: Guest, release: Path | None = None) -> None:
        """By install.sh, as a person does."""
        guest.copy(release or self.release(), "/root/release")
        guest.run("sh /root/release/install.sh --from /root/release")

    def package(self) -> Path:
        """The Debian package of the binaries."""
        target = self.folder / "packages"
        if not target.exists():
            made = subprocess.run([ROOT / "scripts/dist", "--built", "--arch", self.architecture, "--to", target], capture_output=True, text=True)
            assert made.returncode == 0, made.stderr
        (package,) = target.glob("*.deb")
        return package


def complete_release(folder: Path) -> None:
    """Adds what a release has beside its binaries."""
    write_sums(folder)
    shutil.copy(ROOT / "scripts/install.sh", folder)
