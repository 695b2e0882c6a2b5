"""Parts of the host that tests need for themselves."""

import pwd
import subprocess
import uuid
from pathlib import Path


class HostUser:
    """A user of this host, gone after the test."""

    def __init__(self, folder: Path):
        self.name = f"dstack-{uuid.uuid4().hex[:8]}"
        self.home = folder / self.name
        self.home.mkdir(mode=0o755)
        for parent in self.home.parents:
            # pytest's folders are for root only, and the user's files are handled as the user.
            if str(parent).startswith("/tmp/"):
                parent.chmod(parent.stat().st_mode | 0o011)
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


def stand_in_runner(path: Path, script: str) -> Path:
    """A runner that is a shell script, for images that have a shell."""
    path.write_text(f"""#!/bin/sh
if [ "$1" = --version ]; then echo dstack-runner version latest; exit; fi
{script}
""")
    path.chmod(0o755)
    return path
