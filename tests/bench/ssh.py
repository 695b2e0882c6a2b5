"""The runner's SSH server against the distribution's, on this machine with one client: login to first prompt, a command,
sftp both ways; and what the server costs the runner's start and memory.

    python -m bench.ssh [IMAGE] [ROUNDS]      in tests/, with the Python of scripts/test
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from support.distribution_sshd import options_for, start_beside
from support.runner_container import docker
from support.ssh_client import SshClient
from support.ssh_servers import SshRunner

SIZE = 1 << 30


def to_prompt(ssh: SshClient) -> float:
    started = time.perf_counter()
    with ssh.start("-tt", "127.0.0.1", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as session:
        seen = ""
        while not seen.endswith(("# ", "$ ")):
            piece = session.stdout.read(1)
            assert piece, seen
            seen += piece
        taken = time.perf_counter() - started
        session.stdin.write("exit\n")
        session.stdin.flush()
        session.stdout.read()
    return taken * 1000


def command(ssh: SshClient) -> float:
    started = time.perf_counter()
    ssh.text("true")
    return (time.perf_counter() - started) * 1000


def throughput(ssh: SshClient, *commands: str) -> float:
    """MB/s."""
    started = time.perf_counter()
    done = ssh.sftp(*commands)
    assert done.returncode == 0, done
    return SIZE / (time.perf_counter() - started) / 1e6


class CpuOf:
    """What a container's programs have used, which other work on the machine changes little: 10⁶ of it are a second."""

    def __init__(self, name: str):
        folder = docker("inspect", "-f", "{{.Id}}", name).strip()
        (self.file,) = [file for file in Path("/sys/fs/cgroup").glob(f"**/*{folder}*/cpu*") if file.name in ("cpuacct.usage", "cpu.stat")][:1]

    def microseconds(self) -> int:
        text = self.file.read_text()
        return int(text) // 1000 if self.file.name == "cpuacct.usage" else int(text.split()[1])

    def of(self, action) -> float:
        """Milliseconds."""
        before = self.microseconds()
        action()
        return (self.microseconds() - before) / 1000


def compare(what: str, unit: str, measure, clients: dict[str, SshClient], rounds: int) -> None:
    measured = {name: [] for name in clients}
    for _ in range(rounds):
        # In turn, so that whatever else the machine does hits both.
        for name, client in clients.items():
            measured[name].append(measure(client))
    medians = {name: statistics.median(values) for name, values in measured.items()}
    ours, theirs = medians.values()
    text = ", ".join(f"{name} {medians[name]:.0f} ({min(values):.0f} … {max(values):.0f})" for name, values in measured.items())
    print(f"{what}: {text} {unit}; ratio {ours / theirs:.2f}", flush=True)


def resident_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def main() -> None:
    image = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:5000/busybox:1"
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with SshRunner(folder, image, options=options_for(folder)) as runner:
            pid = int(docker("inspect", "-f", "{{.State.Pid}}", runner.container.name))
            children = [file.read_text().split() for file in Path(f"/proc/{pid}/task").glob("*/children")]
            print(f"resident: runner {resident_kib(pid)} KiB, its sshd {resident_kib(int(sum(children, [])[0]))} KiB")
            clients = {"ours": runner.ssh, "the distribution's": start_beside(runner, folder)}
            source = folder / "source"
            source.touch()
            os.truncate(source, SIZE)
            put, get = f"put {source} /dev/null", f"get {source} /dev/null"
            cpu = CpuOf(runner.container.name)
            compare("login to first prompt", "ms", to_prompt, clients, rounds)
            compare("a command", "ms", command, clients, rounds)
            compare("server's CPU time for a command", "ms", lambda ssh: cpu.of(lambda: ssh.run("true")), clients, rounds)
            compare("sftp put 1 GB to /dev/null", "MB/s", lambda ssh: throughput(ssh, put), clients, 5)
            compare("sftp get 1 GB to /dev/null", "MB/s", lambda ssh: throughput(ssh, get), clients, 5)
            compare("server's CPU time for the put", "ms", lambda ssh: cpu.of(lambda: ssh.sftp(put)), clients, 3)
            compare("server's CPU time for the get", "ms", lambda ssh: cpu.of(lambda: ssh.sftp(get)), clients, 3)


if __name__ == "__main__":
    main()
