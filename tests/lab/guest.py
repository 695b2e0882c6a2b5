"""A virtual machine that the lab drives over SSH."""

import os
import shlex
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from lab.commands import run
from lab.images import Image
from support.processes import free_port, wait_until
from support.ssh_client import OPTIONS

# Under emulation on a busy machine with two cores; with KVM a guest boots in seconds.
BOOT_LIMIT = 1800
COMMAND_LIMIT = 600


@dataclass(frozen=True)
class Disk:
    """A disk beside the root disk. `log`: where each write and flush is recorded (qemu's blklogwrites)."""

    path: Path
    serial: str
    log: Path | None = None


def make_disk(path: Path, mebibytes: int) -> Path:
    with path.open("wb") as file:
        file.truncate(mebibytes << 20)
    return path


class Guest:
    """Booted once it is made. `inside`: how a command is started where the guest's port is, such as in a network namespace."""

    def __init__(self, image: Image, folder: Path, accelerator: str, disks: tuple[Disk, ...] = (), inside=lambda *command: list(command)):
        self.image = image
        self.folder = folder
        self.accelerator = accelerator
        self.disks = disks
        self.inside = inside
        self.port = free_port()
        self.console = folder / "console.log"
        self.process: subprocess.Popen | None = None
        run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", image.disk, folder / "disk.qcow2")

    def __enter__(self) -> "Guest":
        try:
            self.boot()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self.cut_power()

    # Power

    def boot(self, limit: float = BOOT_LIMIT) -> float:
        """How many seconds it took until SSH answered."""
        started = time.monotonic()
        with (self.folder / "qemu.log").open("ab") as log:
            self.process = subprocess.Popen(self.inside("nice", "-n", "5", *self._command()), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.connect(limit)
        return time.monotonic() - started

    def cut_power(self) -> None:
        """What the guest has not written to its disks by now is lost."""
        self.disconnect()
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def shut_down(self) -> None:
        self.run("systemctl", "poweroff", check=False)
        self.disconnect()
        self.process.wait(COMMAND_LIMIT)
        self.process = None

    def reboot(self) -> None:
        before = self.text("cat", "/proc/sys/kernel/random/boot_id")
        self.run("systemctl", "reboot", check=False)
        self.disconnect()

        def is_back() -> bool:
            self.connect(BOOT_LIMIT)
            done = self.run("cat", "/proc/sys/kernel/random/boot_id", check=False)
            if done.returncode == 0 and done.stdout != before:
                return True
            self.disconnect()
            return False

        wait_until(is_back, "the guest after its reboot", BOOT_LIMIT, pause=1)

    def _command(self) -> list:
        is_arm = self.image.distribution.architecture == "arm64"
        program, machine, cpu, console = "qemu-system-x86_64", "q35", "Nehalem", "ttyS0"
        if is_arm:
            program, machine, cpu, console = "qemu-system-aarch64", "virt,gic-version=max", "cortex-a72", "ttyAMA0"
        if self.accelerator == "kvm":
            cpu = "host"
        # Emulation flushes its translations at each switch of page tables, which a kernel's mitigations make at each system call.
        accelerator, kernel = ("kvm", "") if self.accelerator == "kvm" else ("tcg,thread=multi", " mitigations=off")
        command = [program, "-machine", machine, "-accel", accelerator, "-cpu", cpu, "-smp", "2", "-m", "2G"]
        command += ["-nodefaults", "-display", "none", "-serial", f"file:{self.console}"]
        command += ["-kernel", self.image.kernel, "-initrd", self.image.initramfs]
        command += ["-append", f"root=/dev/vda rw console={console} panic=-1{kernel}"]
        command += ["-drive", f"file={self.folder}/disk.qcow2,if=none,id=root,format=qcow2,discard=unmap", "-device", "virtio-blk-pci,drive=root"]
        for index, disk in enumerate(self.disks):
            node = f"disk{index}"
            file = f"driver=raw,file.driver=file,file.filename={disk.path}"
            if disk.log is not None:
                file = f"driver=blklogwrites,file.driver=raw,file.file.driver=file,file.file.filename={disk.path},log.driver=file,log.filename={disk.log}"
            command += ["-blockdev", f"node-name={node},{file}", "-device", f"virtio-blk-pci,drive={node},serial={disk.serial}"]
        # No way out of the guest but the port that SSH comes in by.
        command += ["-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-:22", "-device", "virtio-net-pci,netdev=net,romfile="]
        command += ["-device", "virtio-rng-pci"]
        return command

    # SSH

    def _ssh(self, *arguments, user: str = "root") -> list[str]:
        options = [
            flag
            for name, value in {**OPTIONS, "ServerAliveInterval": "30", "ServerAliveCountMax": "10"}.items()
            for flag in ("-o", f"{name}={value}")
        ]
        socket = ["-S", str(self.folder / f"ssh-{user}")]
        return self.inside("ssh", "-F", "none", "-i", str(self.image.key), "-p", str(self.port), *options, *socket, "-l", user, *map(str, arguments))

    def connect(self, limit: float = 120) -> None:
        """One connection carries all commands and forwarded ports: a handshake takes an emulated machine seconds."""

        def answers() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"qemu exited with {self.process.returncode}: {(self.folder / 'qemu.log').read_text()[-2000:]}")
            return (
                subprocess.run(
                    self._ssh("-M", "-N", "-f", "127.0.0.1"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                ).returncode
                == 0
            )

        wait_until(answers, f"SSH to the guest (its console: {self.console})", limit, pause=1)

    def disconnect(self) -> None:
        subprocess.run(self._ssh("-O", "exit", "127.0.0.1"), stdin=subprocess.DEVNULL, capture_output=True)

    def run(self, *command, check: bool = True, user: str = "root", limit: float = COMMAND_LIMIT, **more) -> subprocess.CompletedProcess:
        """A command of one argument is a script for the guest's shell."""
        text = command[0] if len(command) == 1 else quoted(command)
        done = subprocess.run(
            self._ssh("127.0.0.1", text, user=user),
            **{"stdin": None if "input" in more else subprocess.DEVNULL, "capture_output": True, "text": True, "timeout": limit, **more},
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{text} exited with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def text(self, *command, **more) -> str:
        return self.run(*command, **more).stdout.strip()

    def start(self, *command, user: str = "root", **more) -> subprocess.Popen:
        text = command[0] if len(command) == 1 else quoted(command)
        return subprocess.Popen(self._ssh("127.0.0.1", text, user=user), **{"stdin": subprocess.DEVNULL, **more})

    def copy(self, source: Path, target: str) -> None:
        """A file or a folder with what is in it."""
        with subprocess.Popen(["tar", "-C", source.parent, "-cf", "-", "--owner=0", "--group=0", source.name], stdout=subprocess.PIPE) as packed:
            renamed = f"mkdir -p {target}.new && tar -C {target}.new -xf - && rm -rf {target} && mv {target}.new/{source.name} {target} && rmdir {target}.new"
            self.run(renamed, stdin=packed.stdout)

    def forward(self, port: int) -> int:
        """A port here that is the guest's `port` on its loopback interface, as a server's tunnel makes it."""
        here = free_port()
        run(*self._ssh("-O", "forward", "-L", f"{here}:127.0.0.1:{port}", "127.0.0.1"), env=os.environ)
        return here

    def backward(self, port: int) -> None:
        """The guest reaches this machine's `port` on its own loopback interface."""
        run(*self._ssh("-O", "forward", "-R", f"127.0.0.1:{port}:127.0.0.1:{port}", "127.0.0.1"), env=os.environ)


def quoted(command) -> str:
    return shlex.join(map(str, command))
