"""Parts of the host that tests need for themselves."""

import pwd
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path

from support.processes import SHIM


class HostUser:
    """A user of this host, gone after the test."""

    def __init__(self):
        self.name = f"dstack-{uuid.uuid4().hex[:8]}"
        # pytest's folders, and perhaps the checkout, are for root only, and the user's files are handled as the user.
        self.home = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        self.home.chmod(0o755)
        subprocess.run(["useradd", "-M", "-d", str(self.home), self.name], check=True)
        entry = pwd.getpwnam(self.name)
        subprocess.run(["chown", f"{entry.pw_uid}:{entry.pw_gid}", str(self.home)], check=True)

    @property
    def keys(self) -> Path:
        return self.home / ".ssh/authorized_keys"

    def our_lines(self) -> list[str]:
        if not self.keys.exists():
            return []
        return [line for line in self.keys.read_text().splitlines() if line.endswith(" # added by dstack-shim")]

    def remove(self) -> None:
        subprocess.run(["userdel", self.name], check=True, capture_output=True)
        shutil.rmtree(self.home)


def stand_in_runner(path: Path, script: str) -> Path:
    """A runner that is a shell script, for images that have a shell."""
    path.write_text(f"""#!/bin/sh
if [ "$1" = --version ]; then echo dstack-runner version latest; exit; fi
{script}
""")
    path.chmod(0o755)
    return path


def on_a_host_with_nvidia_nodes(folder: Path, more: str = "") -> Path:
    """The shim, with a /dev of its own that has NVIDIA's node."""
    program = folder / "shim-with-nvidia-nodes"
    program.write_text(f"""#!/bin/sh
exec unshare --mount sh -c '
set -e
mount -t tmpfs dev {folder}/dev
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty {folder}/dev
touch {folder}/dev/nvidiactl
{more}
mount --bind {folder}/dev /dev
exec {SHIM} "$@"' sh "$@"
""")
    program.chmod(0o755)
    (folder / "dev").mkdir()
    return program
