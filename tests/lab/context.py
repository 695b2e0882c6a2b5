"""What a scenario has at hand: guests, our programs in them, and a report to write checks into."""

import subprocess
from contextlib import contextmanager
from pathlib import Path

from support.processes import ROOT
from support.releases import as_version, write_sums

from lab.guest import Disk, Guest
from lab.images import Image
from lab.report import Report

IMAGE = "lab/busybox:1"


class Lab:
    def __init__(self, image: Image, accelerator: str, folder: Path, report: Report):
        self.image = image
        self.accelerator = accelerator
        self.folder = folder
        self.report = report
        self.check = report.check
        self.architecture = image.distribution.architecture
        self.binaries = [ROOT / f"dist/{program}-linux-{self.architecture}" for program in ("dstack-shim", "dstack-runner")]
        if not all(binary.exists() for binary in self.binaries):
            subprocess.run([ROOT / "scripts/build", "--arch", self.architecture], check=True)

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

    def release(self, version: str | None = None) -> Path:
        """A folder as a release's tarball unpacks to: the binaries and install.sh. `version`: another than the build's, six letters."""
        folder = self.folder / f"release-{version or 'built'}"
        if not folder.exists():
            folder.mkdir()
            for binary in self.binaries:
                if version:
                    as_version(binary, version, folder / binary.name)
                else:
                    (folder / binary.name).write_bytes(binary.read_bytes())
            write_sums(folder)
            (folder / "install.sh").write_bytes((ROOT / "scripts/install.sh").read_bytes())
        return folder

    def install(self, guest: Guest, version: str | None = None) -> None:
        """By install.sh, as a person does."""
        guest.copy(self.release(version), "/root/release")
        guest.run("sh /root/release/install.sh --from /root/release")

    def package(self) -> Path:
        """The Debian package of the binaries."""
        target = self.folder / "packages"
        if not target.exists():
            made = subprocess.run([ROOT / "scripts/dist", "--built", "--arch", self.architecture, "--to", target], capture_output=True, text=True)
            assert made.returncode == 0, made.stderr
        (package,) = target.glob("*.deb")
        return package
