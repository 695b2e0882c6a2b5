"""An SSH server of the distribution on a machine of the test's own: a host that servers log in to, a place to clone from."""

from pathlib import Path

from support.machine import Machine
from support.processes import Program, wait_until

PORT = 2222


def make_key(machine: Machine, path: str) -> str:
    """A key pair without a passphrase; the public key."""
    machine.run("sh", "-c", f"mkdir -p -m 700 $(dirname {path}) && ssh-keygen -q -t ed25519 -N '' -f {path}")
    return machine.read(f"{path}.pub").strip()


def start_ssh_server(machine: Machine, folder: Path, *keys: str) -> Program:
    """For root, with these public keys and whatever a server adds later."""
    machine.run("sh", "-c", "mkdir -p -m 700 /root/.ssh && ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/test_host_key")
    machine.write("/root/.ssh/authorized_keys", "".join(f"{key}\n" for key in keys), 0o600)
    machine.write(
        "/etc/ssh/test_sshd_config",
        f"""Port {PORT}
HostKey /etc/ssh/test_host_key
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
Subsystem sftp internal-sftp
""",
    )
    log = folder / "sshd.log"
    server = machine.start("/usr/sbin/sshd", "-D", "-e", "-f", "/etc/ssh/test_sshd_config", log=log)
    wait_until(lambda: "Server listening" in log.read_text(), "the SSH server")
    return server
