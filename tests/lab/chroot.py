"""Commands in the root file system of an image, also of one for another architecture, where qemu-user runs the programs."""

import platform
import shlex
import subprocess
from pathlib import Path

from lab.commands import checked

MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
ALL_IDS = "0 0 4294967295\n"


def is_foreign(architecture: str) -> bool:
    return MACHINES[architecture] != platform.machine()


def run_inside(root: Path, architecture: str, *command) -> None:
    """Mounts are its own, so that none is left, however this ends."""
    entered = f"exec chroot {root} {shlex.join(map(str, command))}"
    own_formats = is_foreign(architecture) and not Path(f"/proc/sys/fs/binfmt_misc/qemu-{MACHINES[architecture]}").exists()
    if own_formats:
        entered = f"exec unshare --user --mount sh -c {shlex.quote(with_own_formats(root, architecture, entered))}"
    script = f"mount -t proc proc {root}/proc && mount -t sysfs sysfs {root}/sys && {entered}"
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*namespaces, "sh", "-c", script], text=True, **pipes) as process:
        try:
            if own_formats and process.stdout.readline():
                (inner,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
                for kind in ("uid_map", "gid_map"):
                    Path(f"/proc/{inner}/{kind}").write_text(ALL_IDS)
            output, errors = process.communicate("mapped\n" if own_formats else "")
        except BaseException:
            process.kill()
            raise
    checked(subprocess.CompletedProcess(["chroot", root, *command], process.returncode, output, errors))


def with_own_formats(root: Path, architecture: str, command: str) -> str:
    """A user namespace may have a binfmt_misc of its own, where this machine has none. Says a line, and waits for one until
    all users are mapped, which only a process outside may do. The interpreter is opened at once (flag F), outside of the root."""
    formats = f"{root}/proc/sys/fs/binfmt_misc"
    missing = f"no binfmt_misc for {MACHINES[architecture]}: start systemd-binfmt, or use Linux 6.7 or later"
    return (
        f"echo && read -r _ && {{ mount -t binfmt_misc binfmt_misc {formats} || {{ echo {shlex.quote(missing)} >&2; exit 1; }}; }} && "
        f"cat /usr/lib/binfmt.d/qemu-{MACHINES[architecture]}.conf >{formats}/register && {command}"
    )
