"""A host for a soak: everything that a shim touches, made for it alone, so that what is left at the end can be counted.

It needs mount and network namespaces of its own (scripts/soak makes them), with another /dev, /mnt and /etc/resolv.conf.
"""

import os
import stat
import subprocess
import time
from pathlib import Path

from soak.dns import ADDRESS, Dns
from soak.proxy import Proxy
from support.hosts import HostUser
from support.own_engine import OwnEngine
from support.processes import ROOT, Shim, free_port
from support.registries import start_registry

GPUS = ("GPU-2b79666e-d81f-f3f8-fd47-9903f118c3f5", "GPU-7c1f2d0a-5b1e-4f7e-9c0d-2f6f5a1b3c4d")
HOME_SIZE = 96 << 20
VOLUME_SIZE = 16 << 20
LOOP_MAJOR, LOOPS = 7, 256


def run(*command) -> str:
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout


def make_dev(folder: Path) -> None:
    """A /dev with what a container engine needs, all loop devices, and a node that stands for NVIDIA's."""
    folder.mkdir()
    run("mount", "-t", "tmpfs", "-o", "mode=755", "dev", folder)
    for name in ("null", "zero", "full", "random", "urandom", "tty", "loop-control", "fuse", "net"):
        if Path("/dev", name).exists():
            run("cp", "-a", f"/dev/{name}", folder)
    for number in range(LOOPS):
        os.mknod(folder / f"loop{number}", 0o660 | stat.S_IFBLK, os.makedev(LOOP_MAJOR, number))
    for name, target in {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}.items():
        (folder / name).symlink_to(target)
    for name in ("pts", "shm", "mqueue"):
        (folder / name).mkdir()
        if Path("/dev", name).is_dir():
            run("mount", "--rbind", f"/dev/{name}", folder / name)
    # Any character device will do.
    os.mknod(folder / "nvidiactl", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    # Moved, so that nothing of the machine's is below the folder when that is removed.
    run("mount", "--move", folder, "/dev")


class Host:
    def __init__(self, folder: Path):
        self.folder = folder
        run("ip", "link", "set", "lo", "up")
        make_dev(folder / "dev")
        run("mount", "-t", "tmpfs", "mnt", "/mnt")
        self.tools = self.make_tools()
        self.home = folder / "disk"
        self.mount_home()
        self.dns = Dns()
        (folder / "resolv.conf").write_text(f"nameserver {ADDRESS}\noptions timeout:2 attempts:2\n")
        run("mount", "--bind", folder / "resolv.conf", "/etc/resolv.conf")
        self.registry = self.start_registry()
        self.user = HostUser()
        self.volumes = [self.make_disk(f"volume-{number}") for number in range(2)]
        self.runner_port, self.shim_port = free_port(), free_port()
        self.shim: Shim | None = None
        self.shims = 0  # started so far

    def make_tools(self) -> Path:
        """nvidia-smi, and the hook by which Docker knows that it can give containers NVIDIA's GPUs. It does nothing."""
        tools = self.folder / "tools"
        tools.mkdir()
        rows = "; ".join(f"echo 'NVIDIA L4, 23034, {gpu}, 550.54.15'" for gpu in GPUS)
        health = "; ".join(f"echo '{gpu}, 00000000:{number:02X}:00.0, 0'" for number, gpu in enumerate(GPUS, 1))
        (tools / "nvidia-smi").write_text(f'#!/bin/sh\ncase "$*" in\n*ecc.errors*) {health} ;;\n*) {rows} ;;\nesac\n')
        (tools / "nvidia-container-runtime-hook").write_text("#!/bin/sh\nexit 0\n")
        for tool in tools.iterdir():
            tool.chmod(0o755)
        return tools

    def make_disk(self, name: str, size: int = VOLUME_SIZE) -> str:
        image = self.folder / name
        with image.open("wb") as file:
            file.truncate(size)
        return run("losetup", "--find", "--show", image).strip()

    def mount_home(self) -> None:
        self.home_device = self.make_disk("home-disk", HOME_SIZE)
        run("mkfs.ext4", "-q", "-m", "0", self.home_device)
        self.home.mkdir()
        run("mount", self.home_device, self.home)

    def start_registry(self) -> Proxy:
        address = f"127.0.0.1:{free_port()}"
        (self.folder / "registry.yml").write_text(
            f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {self.folder}/registry}}}}\nhttp: {{addr: '{address}'}}\n"
        )
        self.registry_program = start_registry(self.folder / "registry.yml", address)
        host, port = address.split(":")
        return Proxy((host, int(port)))

    def image(self, tag: str) -> str:
        return f"registry.soak.test:{self.registry.port}/busybox:{tag}"

    def start(self) -> None:
        """The engine, the images and the shim."""
        os.environ["PATH"] = f"{self.tools}:{os.environ['PATH']}"
        self.engine = OwnEngine(self.folder, **{"insecure-registries": [f"registry.soak.test:{self.registry.port}"], "shutdown-timeout": 3})
        self.engine.__enter__()
        os.environ["DOCKER_HOST"] = self.engine.host
        script = "source scripts/lib/docker.sh; busybox_image $0 && docker tag $0 $1 && docker push --quiet $1"
        subprocess.run(["bash", "-ec", script, self.image("1"), self.image("latest")], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        self.start_shim()

    def start_shim(self) -> None:
        ports = ["--runner-http-port", self.runner_port, "--runner-ssh-port", free_port()]
        self.shim = Shim(self.home, *ports, port=self.shim_port)
        self.shims += 1
        self.shim.wait_ready(60)

    def kill_shim(self) -> None:
        self.shim.kill()
        self.start_shim()

    def restart_engine(self, by_kill: bool) -> None:
        if by_kill:
            self.engine.kill()
            self.engine.start()
        else:
            self.engine.restart()

    def fill_disk(self) -> None:
        """To the last block, in pieces, since what is freed meanwhile is taken by others."""
        with (self.home / "filler").open("wb", buffering=0) as filler:
            for piece in (1 << 20, 4096, 1):
                try:
                    while True:
                        filler.write(b"x" * piece)
                except OSError:
                    time.sleep(0.05)

    def empty_disk(self) -> None:
        (self.home / "filler").unlink(missing_ok=True)

    def close(self) -> None:
        if self.shim:
            self.shim.kill()
        self.engine.__exit__()
        self.registry_program.kill()
        self.user.remove()
        run("umount", self.home)
        for device in [*self.volumes, self.home_device]:
            run("losetup", "--detach", device)
