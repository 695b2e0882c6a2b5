"""dstack-shim exec: programs in a task's container, as docker exec runs them."""

import io
import os
import signal
import subprocess
import tarfile

import pytest
from support.certificates import make_certificates
from support.own_engine import OwnEngine
from support.person import Client, Terminal
from support.processes import Shim, free_port


@pytest.fixture
def client(shim, image) -> Client:
    return Client(shim.port, image)


@pytest.fixture
def container(client) -> str:
    """The container of a task named job."""
    client.detach("job", "sleep 1000")
    return client.list()["job"]["container_id"]


def both(client: Client, container: str, options: list[str], command: list[str], **more) -> tuple:
    """How the command ends here, and how under docker exec."""
    more = {"capture_output": True, "timeout": 60, "stdin": subprocess.DEVNULL, **more}
    ours = subprocess.run(client.command("exec", *options, "job", "--", *command), **more)
    docker = subprocess.run(["docker", "exec", *options, container, *command], **more)
    return ours, docker


@pytest.mark.parametrize(
    "options,command",
    [
        ([], ["sh", "-c", "exit 7"]),
        ([], ["sh", "-c", "kill -KILL $$"]),
        ([], ["sh", "-c", "echo out; echo err >&2; printf '\\0\\377'"]),
        ([], ["pwd"]),
        (["-w", "/tmp"], ["pwd"]),
        (["-u", "1:1"], ["id"]),
        (["-e", "A=b c", "-e", "HERE", "-e", "ABSENT"], ["sh", "-c", 'echo "$A $HERE ${ABSENT-unset}"']),
        (["-i"], ["cat"]),
        ([], ["sh", "-c", "test -p /dev/stdin && echo pipe; cat"]),
        (["-t"], ["sh", "-c", "tty >/dev/null && echo x"]),
        (["-w", "/no/such"], ["true"]),
    ],
)
def test_a_program_ends_as_under_docker_exec(client, container, options, command):
    environment = {**os.environ, "HERE": "from here"}
    environment.pop("ABSENT", None)
    ours, docker = both(client, container, options, command, env=environment)
    assert (ours.returncode, ours.stdout) == (docker.returncode, docker.stdout)
    assert ours.stderr == docker.stderr


@pytest.mark.parametrize("command", [["no-such-command"], ["/etc"]])
def test_what_cannot_be_executed_is_reported_as_by_docker_exec(client, container, command):
    ours, docker = both(client, container, [], command)
    assert ours.returncode == docker.returncode == 126
    # Engines send the reason as the program's output.
    assert command[0] in (ours.stdout + ours.stderr).decode()


def test_input_comes_through_byte_for_byte_and_ends(client, container):
    given = bytes(range(256)) * 20000
    ours, docker = both(client, container, ["-i"], ["sh", "-c", "cat; echo end >&2; exit 5"], stdin=None, input=given)
    assert (ours.returncode, ours.stdout, ours.stderr) == (5, given, b"end\n")
    assert (docker.returncode, docker.stdout) == (5, given)


def test_output_that_is_not_read_ends_the_command(client, container):
    running = subprocess.Popen(client.command("exec", "job", "--", "yes"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdout.read(4) == b"y\ny\n"
    running.stdout.close()
    assert running.wait(60) == 128 + signal.SIGPIPE


@pytest.mark.parametrize("words", [["--"], []])
def test_a_terminal_has_its_size_and_keys_reach_the_program(client, container, words):
    with Terminal(client.command("exec", "-it", "job", *words, "sh"), 40, 120) as terminal:
        # As with docker, the first moment of a program may be without.
        terminal.type(b"until stty size | grep '^40 120'; do sleep 0.1; done\n")
        terminal.expect(b"\r\n40 120\r\n")
        terminal.resize(50, 100)
        terminal.type(b"until stty size | grep '^50 100'; do sleep 0.1; done\n")
        terminal.expect(b"\r\n50 100\r\n")
        terminal.type(b"trap 'echo caught' INT; tty\n")
        terminal.expect(b"/dev/pts/")
        # The key is the program's, not ours.
        terminal.type(b"\x03")
        terminal.expect(b"caught")
        terminal.type(b"exit 6\n")
        assert terminal.wait() == 6


def test_single_keys_come_without_a_line_end(client, container):
    script = "stty raw -echo; dd bs=1 count=1 2>/dev/null | od -An -tx1; stty sane"
    with Terminal(client.command("exec", "-it", "job", "sh", "-c", f"echo ready; {script}")) as terminal:
        terminal.expect(b"ready")
        terminal.type(b"\x1b")
        terminal.expect(b"1b")
        assert terminal.wait() == 0


def test_the_terminal_is_restored_after_a_signal(client, container):
    with Terminal(client.command("exec", "-it", "job", "sh", "-c", "echo ready; sleep 1000")) as terminal:
        terminal.expect(b"ready")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.wait() == 128 + signal.SIGTERM


def test_what_it_cannot_do_is_said_in_one_line(client, container):
    for options, status, reason in (
        (["-it", "job"], 1, "not a TTY"),
        (["absent"], 1, "no task"),
        (["--no-such-option", "job"], 125, "--no-such-option"),
    ):
        ended = client("exec", *options, "--", "true")
        assert ended.returncode == status
        assert reason in ended.stderr.decode()
    client.text("stop", "-t", "0", "job")
    ended = client("exec", "job", "--", "true")
    assert ended.returncode == 1 and "is not running" in ended.stderr.decode()


@pytest.fixture
def remote_engine(tmp_path, image):
    """The address of a dockerd behind TLS that wants the client's certificate, and what DOCKER_CERT_PATH names."""
    certificates = make_certificates(tmp_path / "certificates")
    files = {"tlscacert": "ca.pem", "tlscert": "server.pem", "tlskey": "server-key.pem"}
    engine = OwnEngine(tmp_path, tlsverify=True, **{key: str(certificates / name) for key, name in files.items()})
    engine.hosts = [f"tcp://127.0.0.1:{free_port()}"]
    with engine:
        engine.call("pull", image)
        yield engine.hosts[0], certificates


def test_programs_and_files_go_through_an_engine_behind_tls(remote_engine, home, image, tmp_path):
    host, certificates = remote_engine
    environment = {**os.environ, "DOCKER_HOST": host, "DOCKER_CERT_PATH": str(certificates), "DOCKER_TLS_VERIFY": "1"}
    with Shim(home, environment=environment) as shim:
        shim.wait_ready()
        client = Client(shim.port, image)
        client.detach("job", "sleep 1000")

        def run(*arguments, **more) -> tuple:
            ended = subprocess.run(client.command(*arguments), capture_output=True, timeout=60, env=environment, **more)
            return ended.returncode, ended.stdout, ended.stderr

        assert run("exec", "job", "--", "sh", "-c", "echo out; echo err >&2; exit 7") == (7, b"out\n", b"err\n")
        # The end of the input has to arrive, and what the program writes after it.
        given = bytes(range(256)) * 10000
        assert run("exec", "-i", "job", "--", "sh", "-c", "cat; echo end", input=given) == (0, given + b"end\n", b"")
        plain = ("run", "--image", image, "-i", "--rm", "--entrypoint", "sh", "--", "-c", "cat; echo end")
        assert run(*plain, input=b"hello\n")[:2] == (0, b"hello\nend\n")
        with Terminal(client.command("exec", "-it", "job", "sh"), env=environment) as terminal:
            terminal.type(b"echo $((40 + 2)); exit 3\n")
            terminal.expect(b"\r\n42\r\n")
            assert terminal.wait() == 3
        assert run("cp", "-q", "-", "job:/tmp", input=tar_of("file", given)) == (0, b"", b"")
        assert run("cp", "-q", "job:/tmp/file", str(tmp_path / "file")) == (0, b"", b"")
        assert (tmp_path / "file").read_bytes() == given
        # Without the certificates it says what it could not reach.
        plain_environment = {**environment, "DOCKER_CERT_PATH": "", "DOCKER_TLS_VERIFY": "", "HOME": str(tmp_path)}
        refused = subprocess.run(client.command("exec", "job", "--", "true"), capture_output=True, env=plain_environment)
        assert refused.returncode == 1 and host.removeprefix("tcp://").encode() in refused.stderr
        client.text("rm", "--force", "job")


def tar_of(name: str, content: bytes) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


def test_a_user_without_access_to_the_engine_is_told_so(client, container):
    nobody = {"user": 65534, "group": 65534, "extra_groups": []}
    ended = subprocess.run(client.command("exec", "job", "--", "true"), capture_output=True, timeout=60, **nobody)
    assert ended.returncode == 1
    assert "docker.sock" in ended.stderr.decode() and "root" in ended.stderr.decode()


def test_the_container_of_a_server_s_task_takes_programs_too(client, shim):
    from support.shim_calls import Calls

    Calls(shim).run(client.image, name="server-0-0", network_mode="bridge")
    assert client.text("exec", "server-0-0", "--", "echo", "hello") == "hello\n"
