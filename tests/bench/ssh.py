"""The runner's SSH server beside the distribution's, in the same container with one client."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from bench.context import IMAGE, Bench, memory, pids_of, process_of, proportional_memory
from bench.figures import Figure, ratio, shown
from support.distribution_sshd import options_for, start_beside
from support.ssh_client import SshClient
from support.ssh_servers import SshRunner


def login(ssh: SshClient) -> float:
    """Milliseconds to the first prompt."""
    began = time.perf_counter()
    with ssh.start("-tt", "127.0.0.1", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as session:
        seen = ""
        while not seen.endswith(("# ", "$ ")):
            piece = session.stdout.read(1)
            assert piece, seen
            seen += piece
        taken = time.perf_counter() - began
        session.stdin.write("exit\n")
        session.stdin.flush()
        session.stdout.read()
    return taken * 1000


def transfer(ssh: SshClient, command: str, size: int) -> float:
    """MB/s."""
    began = time.perf_counter()
    done = ssh.sftp(command)
    assert done.returncode == 0, done
    return size / (time.perf_counter() - began)


def compare(figure: Figure, measure: Callable[[SshClient], float], ours: SshClient, theirs: SshClient, pairs: int) -> Figure:
    for _ in range(pairs):
        figure.add(measure(ours), measure(theirs))
    return figure


def memory_of_sessions(ssh: SshClient, count: int, servers: Callable[[], list[int]]) -> float:
    """MB of all processes of the server, shared pages counted once."""
    with ExitStack() as sessions:
        for _ in range(count):
            session = sessions.enter_context(ssh.start("127.0.0.1", "echo ready; exec cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            # Ends it, and before the wait for its end.
            sessions.callback(session.stdin.close)
            assert session.stdout.readline() == "ready\n"
        return sum(proportional_memory(pid) for pid in servers())


def processes_in(container: str, program: str) -> list[int]:
    found = []
    for pid in pids_of(container):
        # Of an earlier session there may be a process that is just ending.
        with suppress(OSError):
            if os.readlink(f"/proc/{pid}/exe") == program:
                found.append(pid)
    return found


def measure_ssh(bench: Bench) -> Iterator[Figure]:
    size = bench.sizes.megabytes
    with bench.work() as folder, SshRunner(folder, IMAGE, options=options_for(folder)) as runner:
        pid = process_of(runner.container.name)
        children = [int(word) for file in Path(f"/proc/{pid}/task").glob("*/children") for word in file.read_text().split()]
        ours, theirs = runner.ssh, start_beside(runner, folder)
        source = folder / "source"
        source.touch()
        os.truncate(source, size * 10**6)
        put, get = f"put {source} /dev/null", f"get {source} /dev/null"
        yield compare(Figure("ssh login to the first prompt", "ms", ratio(0.8)), login, ours, theirs, bench.sizes.pairs)
        for name, command in (("put", put), ("get", get)):
            figure = Figure(f"sftp {name} of {size} MB", "MB/s", ratio(1.1, at_least=True))
            yield compare(figure, lambda ssh, command=command: transfer(ssh, command, size), ours, theirs, bench.sizes.slow_pairs)
        yield Figure("sshd's memory, idle", "MB", shown()).add(sum(memory(child) for child in children))
        figure = Figure(f"sshd's memory, {bench.sizes.sessions} sessions", "MB", ratio(1))
        for _ in range(bench.sizes.slow_pairs):
            figure.add(
                memory_of_sessions(ours, bench.sizes.sessions, lambda: processes_in(runner.container.name, "/dstack/ssh/bin/sshd")),
                memory_of_sessions(theirs, bench.sizes.sessions, lambda: processes_in(runner.container.name, "/usr/sbin/sshd")),
            )
        yield figure
