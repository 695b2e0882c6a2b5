"""The distribution's own sshd, to stand beside ours."""

import os
import subprocess
from pathlib import Path

from support.processes import free_port, wait_until
from support.runner_container import HOST_PROGRAMS, docker
from support.ssh_client import SshClient, make_key, public
from support.ssh_servers import SshRunner


def configure(folder: Path, key: Path) -> tuple[Path, int]:
    """A configuration that takes `key` and nothing of anybody's, and its port."""
    port = free_port()
    host_key = folder / f"host-key-{port}"
    make_key(host_key)
    keys = folder / f"keys-{port}"
    keys.write_text(public(key) + "\n")
    config = folder / f"sshd_config-{port}"
    config.write_text(f"""Port {port}
HostKey {host_key}
AuthorizedKeysFile {keys}
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PidFile none
Subsystem sftp internal-sftp
""")
    return config, port


def wait_answers(client: SshClient) -> SshClient:
    wait_until(lambda: client.run("true").returncode == 0, "the distribution's sshd")
    return client


class HostSshd:
    """On this host, until the end of a `with`."""

    def __init__(self, folder: Path, key: Path):
        os.makedirs("/run/sshd", exist_ok=True)
        config, self.port = configure(folder, key)
        self.process = subprocess.Popen(["/usr/sbin/sshd", "-D", "-f", config], stderr=subprocess.DEVNULL)
        self.ssh = SshClient(self.port, key)

    def __enter__(self) -> "HostSshd":
        wait_answers(self.ssh)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def options_for(folder: Path) -> list[str]:
    """Of a container that it is to be started in: its program, its user, its configuration."""
    passwd = folder / "passwd-with-sshd"
    passwd.write_text("root:x:0:0:root:/root:/bin/bash\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n")
    return [*HOST_PROGRAMS, "-v", f"{folder}:{folder}", "-v", f"{passwd}:/etc/passwd:ro"]


def start_beside(runner: SshRunner, folder: Path) -> SshClient:
    """In the same container as ours."""
    config, port = configure(folder, runner.key)
    docker("exec", runner.container.name, "mkdir", "-p", "/run/sshd")
    docker("exec", "-d", runner.container.name, "/usr/sbin/sshd", "-D", "-f", str(config))
    return wait_answers(SshClient(port, runner.key))
