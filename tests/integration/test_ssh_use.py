"""What people and editors do over SSH: copying, forwarding, agents, many sessions."""

import filecmp
import os
import re
import signal
import socket
import subprocess
import threading

import pytest
from support.distribution_sshd import HostSshd
from support.processes import free_port, wait_until
from support.runner_container import HOST_PROGRAMS, docker
from support.ssh_client import call, make_key
from support.ssh_servers import SshRunner


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ssh")


@pytest.fixture(scope="module")
def small(folder, image):
    """Busybox; no job yet."""
    with SshRunner(folder, image) as runner:
        yield runner


@pytest.fixture(scope="module")
def full(folder, image):
    """With this machine's programs."""
    with SshRunner(folder, image, options=HOST_PROGRAMS) as runner:
        yield runner


class Echo:
    """Answers each connection with what it sent, turned to capitals."""

    def __init__(self, address):
        self.listener = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.listener.bind(address)
        self.listener.listen()
        self.port = None if isinstance(address, str) else self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(connection.recv(100).upper())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def ask(address, text: bytes = b"hello") -> bytes:
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as connection:
        connection.settimeout(20)
        connection.connect(address)
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(100):
            answer += piece
        return answer


def answers(address) -> bool:
    try:
        return ask(address) == b"hello"
    except ConnectionError:
        return False


class Forwarding:
    """A client that does nothing but forward; ready when entered: a client asks for its forwards before its command."""

    def __init__(self, ssh, *flags: str):
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.process = ssh.start(*flags, "127.0.0.1", "echo ready; exec cat", **pipes)

    def __enter__(self):
        assert self.process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def short_path(folder):
    """Of a socket: 108 bytes at most."""
    path = f"/tmp/dstack-{os.getpid()}-{free_port()}"
    yield path
    if os.path.exists(path):
        os.unlink(path)


def random_file(path, size):
    with path.open("wb") as file:
        for start in range(0, size, 1 << 20):
            file.write(os.urandom(min(1 << 20, size - start)))
    return path


@pytest.mark.parametrize("size", [8 << 20, pytest.param(1 << 30, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
def test_sftp_puts_and_gets(small, tmp_path, size):
    source = random_file(tmp_path / "source", size)
    done = small.ssh.sftp(f"put {source} /tmp/it", f"get /tmp/it {tmp_path}/back", "rm /tmp/it")
    assert done.returncode == 0, done
    assert filecmp.cmp(source, tmp_path / "back", shallow=False)


def test_sftp_has_what_editors_use(small, tmp_path):
    (tmp_path / "a").write_text("a")
    done = small.ssh.sftp(
        "mkdir /tmp/d", f"put {tmp_path}/a /tmp/d/a", "rename /tmp/d/a /tmp/d/b", "symlink b /tmp/d/link", "chmod 600 /tmp/d/b",
        "ls -l /tmp/d", "cd /tmp/d", "pwd", f"get link {tmp_path}/b", "rm b", "rm link", "rmdir /tmp/d", "df /tmp",
    )  # fmt: skip
    assert done.returncode == 0, done
    assert re.search(r"-rw------- .*/b\n", done.stdout)
    assert (tmp_path / "b").read_text() == "a"


def test_sftp_begins_in_the_home(small):
    assert "/root" in small.ssh.sftp("pwd").stdout


@pytest.mark.parametrize("old_protocol", [[], ["-O"]])
def test_scp_copies_both_ways(full, tmp_path, old_protocol):
    source = random_file(tmp_path / "source", 1 << 20)
    assert full.ssh.scp(*old_protocol, str(source), "HOST:/tmp/it").returncode == 0
    assert full.ssh.scp(*old_protocol, "HOST:/tmp/it", f"{tmp_path}/back").returncode == 0
    assert filecmp.cmp(source, tmp_path / "back", shallow=False)


def test_a_relative_path_is_below_the_home_for_each_of_them(full, tmp_path):
    """Also while a job runs, whose working folder is another one."""
    (tmp_path / "it").write_text("it")
    full.ssh.text("mkdir -p ~/d")
    full.start(working_dir="/work")
    wait_until(lambda: full.file("/dstack/environment"), "the job's variables")
    assert full.ssh.scp(f"{tmp_path}/it", "HOST:d/one").returncode == 0
    assert full.ssh.scp("-O", f"{tmp_path}/it", "HOST:d/two").returncode == 0
    assert full.ssh.sftp(f"put {tmp_path}/it d/three").returncode == 0
    assert full.ssh.text("ls ~/d").split() == ["one", "three", "two"]


def test_a_local_port_is_forwarded(small):
    port = free_port()
    with Echo(("127.0.0.1", 0)) as echo, Forwarding(small.ssh, "-L", f"{port}:127.0.0.1:{echo.port}"):
        assert ask(("127.0.0.1", port)) == b"HELLO"


def test_a_remote_port_is_forwarded(small):
    port = free_port()
    with Echo(("127.0.0.1", 0)) as echo, Forwarding(small.ssh, "-R", f"{port}:127.0.0.1:{echo.port}"):
        assert ask(("127.0.0.1", port)) == b"HELLO"


def test_a_socks_proxy_reaches_what_the_container_reaches(small):
    port = free_port()
    with Forwarding(small.ssh, "-D", str(port)):
        url = f"http://127.0.0.1:{small.container.port}/api/healthcheck"
        done = call(["curl", "-sS", "--socks5-hostname", f"127.0.0.1:{port}", url])
        assert "dstack-runner" in done.stdout


def test_sockets_are_forwarded_both_ways_over_a_stale_path(small, short_path):
    """As the server does before it submits a job: its own socket to /run/dstack, once more after a lost connection."""
    remote = f"/run/dstack/{free_port()}.sock"
    with Echo(("127.0.0.1", 0)) as echo:
        for _ in range(2):
            with Forwarding(small.ssh, "-R", f"{remote}:127.0.0.1:{echo.port}", "-L", f"{short_path}:{remote}"):
                assert ask(short_path) == b"HELLO"
            assert small.ssh.text(f"ls {remote}") == f"{remote}\n"
            os.unlink(short_path)


def test_an_agent_is_forwarded(full, tmp_path, short_path):
    key = make_key(tmp_path / "agent-key")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", short_path], stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: os.path.exists(short_path), "the agent")
        call(["ssh-add", "-q", key], SSH_AUTH_SOCK=short_path)
        fingerprint = call(["ssh-keygen", "-lf", key]).stdout.split()[1]
        assert fingerprint in full.ssh.text("ssh-add -l", "-A", SSH_AUTH_SOCK=short_path)
    finally:
        agent.kill()
        agent.wait()


def test_a_jump_through_a_host_ends_in_the_container(small, folder):
    """As the CLI does: the host's own sshd, then ours."""
    with HostSshd(folder, small.key) as host:
        config = folder / "jump-config"
        config.write_text(f"""
Host *
    IdentityFile {small.key}
    IdentitiesOnly yes
    User root
    HostName 127.0.0.1
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
    LogLevel ERROR
Host host
    Port {host.port}
Host job
    Port {small.ssh.port}
    ProxyJump host
""")
        done = call(["ssh", "-F", config, "job", "cat /dstack/ssh/conf/sshd_config"])
        assert f"Port {small.ssh.port}\n" in done.stdout, done


def test_a_hundred_sessions_run_at_once_over_one_connection(small, short_path):
    with small.ssh.start("-MNS", short_path, "127.0.0.1") as master:
        wait_until(lambda: os.path.exists(short_path), "the connection")
        # Each waits for the last one.
        script = "echo >>/tmp/sessions; until [ $(wc -l </tmp/sessions) = 100 ]; do sleep 0.1; done"
        sessions = [small.ssh.start("-S", short_path, "127.0.0.1", script) for _ in range(100)]
        assert [session.wait(60) for session in sessions] == [0] * 100
        master.kill()
    small.ssh.text("rm /tmp/sessions")


@pytest.mark.long
def test_a_hundred_connections_are_made_at_once(small):
    script = "echo >>/tmp/sessions; until [ $(wc -l </tmp/sessions) = 100 ]; do sleep 0.1; done"
    sessions = [small.ssh.having(ConnectTimeout="100").start("127.0.0.1", script) for _ in range(100)]
    assert [session.wait(120) for session in sessions] == [0] * 100
    small.ssh.text("rm /tmp/sessions")


def test_an_editor_installs_and_reaches_its_server(small, tmp_path, short_path):
    """As VS Code's remote extension and JetBrains do: a script typed into a shell without a terminal starts a server that
    outlives it; sftp brings a file; later connections forward to the server's socket."""
    script = """
uname -s; echo "home=$HOME"
mkdir -p ~/.editor
cat >~/.editor/server <<'END'
#!/bin/sh
exec nc -ll -p $1 -e cat
END
chmod +x ~/.editor/server
"""
    port = free_port()
    done = call(small.ssh.command("-T", "-D", str(free_port()), "127.0.0.1", "sh"), input=script)
    assert done.stdout.splitlines() == ["Linux", "home=/root"], done
    source = random_file(tmp_path / "extension", 100_000)
    assert small.ssh.sftp(f"put {source} .editor/extension").returncode == 0
    start = f"~/.editor/server {port} >~/.editor/log 2>&1 </dev/null & echo started"
    assert call(small.ssh.command("-T", "127.0.0.1", "sh"), input=start).stdout == "started\n"
    with Forwarding(small.ssh, "-L", f"{short_path}:127.0.0.1:{port}"):
        wait_until(lambda: answers(short_path), "the editor's server")
    small.ssh.text("kill $(pidof nc); rm -r ~/.editor")


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_client_that_falls_silent_is_dropped(folder, image):
    """After four questions in two minutes."""
    with SshRunner(folder, image) as runner:
        runner.start()
        session = runner.ssh.start("127.0.0.1", "echo here; exec sleep 1006", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            assert session.stdout.readline() == "here\n"
            session.send_signal(signal.SIGSTOP)
            wait_until(lambda: "sshd-session" not in docker("top", runner.container.name), "the session's end", limit=200)
            assert "Timeout, client not responding" in runner.file("/dstack/ssh/log/sshd.log")
        finally:
            session.kill()
            session.communicate()


@pytest.mark.long
def test_seconds_without_connections_are_counted_from_the_last_long_one(folder, image):
    with SshRunner(folder, image) as runner:
        runner.start()
        wait_until(lambda: runner.container.pull()["no_connections_secs"] >= 2, "a count")
        with runner.ssh.start("127.0.0.1", "exec sleep 1007", stdin=subprocess.PIPE) as session:
            wait_until(lambda: runner.container.pull()["no_connections_secs"] == 0, "a connection that counts")
            session.kill()
        wait_until(lambda: runner.container.pull()["no_connections_secs"] >= 2, "a count from its end")
